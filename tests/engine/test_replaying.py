"""A replay decides as the pipeline did: about the same events the same, about a stricter policy what hand and head work out."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from guardrail_mw.engine.past import Decided, Past, past
from guardrail_mw.engine.replaying import Replay, Ruling
from guardrail_mw.identity.keys import derive
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change

from ..asgi.kit import JSON, KEY, OTHER_KEY, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.test_clearing import EASY, challenge_of, hand_in, robot, solve  # noqa: TID252 - likewise

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
NETWORKS = {"name": "networks", "distinct": "network", "per": "account", "over": "1h"}
RISK = {
    "scorers": [
        {"use": "velocity", "with": {"attempts": {"from": 0, "full": 90}, "networks": {"from": 1, "full": 7}}},
        {"use": "automation", "weight": 0.5},
        {"use": "cluster"},
    ]
}
DELAY = {"at": 25, "do": "delay", "with": {"seconds": 0.5}}
LADDER: dict[str, Any] = {
    "decay": "1m",
    "ladder": [
        {**DELAY, "up": 4},
        {"at": 45, "do": "trim", "shadow": True},
        {"at": 70, "do": "deny"},
    ],
}
LIMITS: list[dict[str, Any]] = [
    {"name": "requests", "rate": "12/minute", "burst": 2},
    {"name": "tokens", "unit": "tokens", "rate": "6000/minute"},
    {"name": "spend", "unit": "usd", "window": "0.05/hour", "shadow": True},
    {"name": "in-flight", "concurrency": 2},
    {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "5/minute"},
    {"name": "all", "per": [], "rate": "90/minute", "burst": 5},
]
MODELS = {"small": {"usd_per_million": {"input": 3, "output": 15}}}
ENVIRON = {"GUARDRAIL_ID_KEY": "a key of the replay's tests, long enough"}


def document(*, mode: str = "enforce", limits: Sequence[Mapping[str, Any]] = LIMITS, **rest: Any) -> dict[str, Any]:
    return policy(
        *limits, mode=mode, **{"models": MODELS, "velocity": [ATTEMPTS, NETWORKS], "risk": RISK, "friction": LADDER} | rest
    )


def recorded(guarded: Guarded) -> list[dict[str, Any]]:
    """What was recorded, as it comes out of a file."""
    return [json.loads(json.dumps(event)) for event in guarded.guardrail.recorder.latest(10_000)[::-1]]


def replaying(guarded: Guarded, other: Mapping[str, Any] | None = None, mode: Any = None) -> Replay:
    new = load(other) if other is not None else guarded.guardrail.policy
    key = derive(guarded.guardrail.secrets.id_key, "friction")
    return Replay(new, mode=mode or new.mode, key=key)


async def replayed(
    guarded: Guarded, other: Mapping[str, Any] | None = None, mode: Any = None
) -> list[tuple[Past, Ruling | None]]:
    """Each recorded request and what the policy makes of it now, in the order in which they were charged."""
    replay = replaying(guarded, other, mode)
    found = sorted(map(past, recorded(guarded)), key=lambda each: each.at)
    return [(each, await replay.decide(each)) for each in found]


def differing(pairs: Sequence[tuple[Past, Ruling | None]]) -> list[Any]:
    return [
        (each.effective, each.decided, tuple(ruling.decided), ruling.effective, each.at)
        for each, ruling in pairs
        if ruling is not None and (each.decided != ruling.decided or round(ruling.effective, 2) != each.effective)
    ]


def usage(tokens: int) -> bytes:
    return json.dumps({"usage": {"prompt_tokens": 100, "completion_tokens": tokens}}).encode()


async def traffic(guarded: Guarded, upstream: Upstream, seed: int, count: int = 300) -> None:
    """Three accounts and strangers, from several networks, in bursts and pauses; answers of all kinds, which take their time."""
    dice = random.Random(seed)

    async def takes(_scope: Any) -> None:
        guarded.clock.advance(round(dice.choice([0.0, 0.05, 0.3, 2.0]), 6))

    upstream.before = takes
    keys = [(KEY, JSON), (OTHER_KEY, JSON), ((b"authorization", b"Bearer sk-three"), JSON), (JSON,)]
    for _ in range(count):
        upstream.status = dice.choice([200] * 8 + [400, 401, 500])
        upstream.pieces = (usage(dice.randrange(400)),)
        agent = (b"user-agent", dice.choice([b"OpenAI/Python 1.109.1", b"python-requests/2.32", b"HeadlessChrome/120"]))
        headers = (*dice.choices(keys, [6, 2, 1, 2])[0], agent)
        body: Any = chat(dice.randrange(40, 4000), max_tokens=dice.choice([16, 400, 3000]), n=dice.choice([1, 1, 2]))
        path = dice.choice([CHAT, CHAT, CHAT, "/v1/models", "/other"])
        body = b'{"n": 1, "n": 2}' if dice.random() < 0.03 else body  # bad in itself
        await guarded.post(path, body, *headers, client=(f"203.0.113.{dice.randrange(4)}", 1))
        if dice.random() < 0.05:  # several at once are more than the buckets hold
            for _ in range(6):
                await guarded.get(CHAT, *headers)
        guarded.clock.advance(round(dice.choice([0.0, 0.0, 0.0, 0.001, 0.4, 1.5, 15.0]), 6))


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("trust", ["gateway", "app"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_same_policy_decides_the_same_about_every_request(mode: str, trust: str, seed: int) -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, document(mode=mode, trust=trust), environ=ENVIRON)
    await traffic(guarded, upstream, seed)
    pairs = await replayed(guarded)
    assert differing(pairs) == []
    kinds = {(each.decided[0], each.decided[1]) for each, _ in pairs}
    assert {("allow", ""), ("deny", "limit"), ("deny", "other"), ("delay", "rung"), ("deny", "rung")} <= kinds
    assert [each.shadowed for each, _ in pairs] == [ruling.shadowed for _, ruling in pairs if ruling is not None]


async def spread(guarded: Guarded, seconds: Sequence[float], *headers: tuple[bytes, bytes]) -> None:
    """A request at each of these seconds."""
    for before, at in zip([0.0, *seconds], seconds, strict=False):
        guarded.clock.advance(round(at - before, 6))
        await guarded.post(CHAT, chat(), *(headers or (KEY, JSON)))


def decided(pairs: Sequence[tuple[Past, Ruling | None]]) -> list[str]:
    return ["-" if ruling is None else ruling.decided.rule or ruling.decided.action for _, ruling in pairs]


async def test_a_stricter_bucket_refuses_what_is_worked_out_by_hand() -> None:
    """Two at a time, and one more every 6 s: of five at once three are refused; 6 s later one passes, of two."""
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "1000/minute"}, friction=LADDER))
    await spread(guarded, [0, 0, 0, 0, 0, 6, 6])
    stricter = policy({"name": "requests", "rate": "10/minute", "burst": 2}, friction=LADDER)
    assert decided(await replayed(guarded, stricter)) == ["allow"] * 2 + ["requests"] * 3 + ["allow", "requests"]


async def test_what_was_refused_then_passes_where_there_is_room() -> None:
    """And is taken to use what was reserved: 100 of input and 50 of output of 400 tokens, so the third is one too many."""
    limits: list[dict[str, Any]] = [
        {"name": "requests", "rate": "1/hour"},
        {"name": "tokens", "unit": "tokens", "rate": "400/hour"},
    ]
    guarded = Guarded(Upstream(usage(50)), policy(*limits, friction=LADDER, reserve={"output": 50}))
    await spread(guarded, [0, 1, 2])
    assert [each.decided[2] for each in map(past, recorded(guarded))] == ["", "requests", "requests"]
    wider = policy({**limits[0], "rate": "10/hour"}, limits[1], friction=LADDER, reserve={"output": 50})
    assert decided(await replayed(guarded, wider)) == ["allow", "allow", "tokens"]


async def test_slots_are_held_for_as_long_as_requests_took() -> None:
    """Each takes 45 s, longer than a lease lives unless it is renewed; one comes every 20 s, and finds two under way."""
    guarded = Guarded(Upstream(), policy({"name": "in-flight", "concurrency": 9}, friction=LADDER))
    began = guarded.clock.now()
    await spread(guarded, [0])
    [event] = recorded(guarded)
    events = [
        {**event, "id": f"{number:024x}", "at": began + number * 20_000_000, "duration_ms": 45_000.0} for number in range(6)
    ]
    replay = replaying(guarded, policy({"name": "in-flight", "concurrency": 2}, friction=LADDER))
    rulings = [await replay.decide(past(each)) for each in events]
    assert [ruling is not None and ruling.decided.action for ruling in rulings] == ["allow", "allow", "deny"] * 2


async def test_in_shadow_what_would_be_refused_still_uses() -> None:
    """In shadow a risk that would deny gives nothing back: the bucket of three is empty after three; in enforce it is not."""
    rules: dict[str, Any] = {"velocity": [ATTEMPTS, NETWORKS], "risk": RISK}
    guarded = Guarded(
        Upstream(), policy({"name": "requests", "rate": "1000/minute"}, **rules, friction=LADDER, mode="shadow")
    )
    await spread(guarded, [0, 0])
    account = recorded(guarded)[0]["account"]
    await guarded.store.remember(account, [Change("set", "override", "deny 0")])
    await spread(guarded, [0, 0, 0])
    other = policy({"name": "requests", "rate": "3/hour"}, **rules, friction=LADDER)
    assert decided(await replayed(guarded, other, "shadow")) == ["allow", "allow", "deny", "requests", "requests"]
    assert decided(await replayed(guarded, other, "enforce")) == ["allow", "allow", "deny", "deny", "deny"]


async def test_overrides_and_verdicts_are_as_they_were() -> None:
    cluster = {"scorers": [{"use": "cluster"}]}
    guarded = Guarded(Upstream(), document(limits=[], risk=cluster, friction={"decay": "1s", "ladder": [DELAY]}))
    await spread(guarded, [0])
    account = recorded(guarded)[0]["account"]
    for change in (
        Change("set", "override", "deny 0"),
        Change("set", "override", "allow 0"),
        Change("unset", "override"),
        Change("set", "verdict", "suspect"),
        Change("set", "families", "network,payment"),
        Change("unset", "verdict"),
    ):
        await guarded.store.remember(account, [change])
        await spread(guarded, [60])
    pairs = await replayed(guarded)
    assert decided(pairs) == ["allow", "deny", "allow", "allow", "delay", "delay", "allow"]
    assert differing(pairs) == []
    assert pairs[5][0].effective == 84.0  # 1 - .4 × .4: suspect is 60 in each of two families


async def test_other_scorers_find_what_they_found_under_their_new_weight() -> None:
    """A headless browser is worth 80 or so by itself; at a weight of 0 nothing is."""
    headers = (KEY, JSON, (b"user-agent", b"Mozilla/5.0 HeadlessChrome/120.0 Safari/537.36"))
    friction = {"ladder": [DELAY]}
    guarded = Guarded(Upstream(), document(limits=[], risk={"scorers": [{"use": "automation"}]}, friction=friction))
    await spread(guarded, [0], *headers)
    [(one, ruling)] = await replayed(guarded)
    assert one.effective > 30
    assert ruling is not None
    assert (ruling.decided, ruling.scorers) == (Decided("delay", "rung", "delay"), ("automation",))
    for change in ({"weight": 0.0}, {"shadow": True}, {"name": "another"}):
        risk = {"scorers": [{"use": "automation", **change}]}
        [(_, ruling)] = await replayed(guarded, document(limits=[], risk=risk, friction=friction))
        would = (("rung", "delay"),) if "shadow" in change else ()
        assert ruling == (Decided(), 0.0, (), would, False)


async def test_a_bad_credential_is_nobodys() -> None:
    guarded = Guarded(Upstream(), document())
    await guarded.post(CHAT, chat(), KEY, KEY, JSON)
    [(one, ruling)] = await replayed(guarded)
    assert (one.decided[1], ruling) == ("other", None)
    assert one.undecided


async def test_routes_are_found_by_name_by_path_or_not_at_all() -> None:
    guarded = Guarded(Upstream(), document(limits=[]))
    await guarded.post(CHAT, chat())
    named = document(limits=[{"name": "here", "rate": "1/hour", "when": {"route": "chat"}}])
    named["routes"] = [{"name": "chat", "path": "/v1/**", "dialect": "openai"}]
    replay = replaying(guarded, named)
    [event] = recorded(guarded)
    for number, route, rule in ((1, "/v1/**", ""), (2, "/v1/**", "here"), (3, "chat", "here"), (4, "gone", ""), (5, "", "")):
        ruling = await replay.decide(past({**event, "id": f"{number:024x}", "route": route}))
        assert ruling is not None
        assert (route, ruling.decided.rule) == (route, rule)
    assert replay.unknown_routes == {"gone": 1}


async def test_subjects_beyond_the_most_are_counted() -> None:
    guarded = Guarded(Upstream(), document(limits=[{"name": "requests", "rate": "10/minute"}]))
    await guarded.post(CHAT, chat())
    [event] = recorded(guarded)
    replay = Replay(guarded.guardrail.policy, mode="enforce", key=b"k" * 32, most=2)
    for number in range(4):
        await replay.decide(past({**event, "account": f"a:{number:022x}", "candidate": f"a:{number:022x}"}))
    assert replay.shared > 0


ODD: list[Any] = [
    None, True, -1, 0, 2, 1.5, 1e300, 2**53, 2**70, "", "x", "\ud800", "a:b", "deny", "none",
    [], {}, [None], [{}], {"a": 1}, [1], ["x"],
]  # fmt: skip


def bent(event: Any, dice: random.Random) -> Any:
    """The event with something else in some place, at any depth."""
    if isinstance(event, dict) and event and dice.random() < 0.9:
        name = dice.choice(sorted(event))
        return {**event, name: bent(event[name], dice)}
    if isinstance(event, list) and event and dice.random() < 0.7:
        place = dice.randrange(len(event))
        return [*event[:place], bent(event[place], dice), *event[place + 1 :]]
    return dice.choice(ODD)


async def test_no_event_whatever_it_holds_ends_a_replay() -> None:
    """It is refused as no event, or replayed; nothing else comes of it."""
    upstream = Upstream()
    guarded = Guarded(upstream, document(), environ=ENVIRON)
    await traffic(guarded, upstream, 4, 100)
    events = [event for event in recorded(guarded) if event["findings"] or event["limits"]]
    replay, dice = replaying(guarded), random.Random(11)
    at, taken = 0, 0
    for _ in range(4000):
        try:
            found = past(bent(dice.choice(events), dice))
        except ValueError:
            continue
        taken += 1
        at = max(at, found.at)
        await replay.decide(found._replace(at=at))
    assert taken > 500


async def test_what_callers_had_solved_is_taken_as_recorded() -> None:
    """Else the policy that recorded them would seem to challenge again everybody who had solved one."""
    rung = {"at": 50, "do": "challenge", "with": {**EASY}}
    risk = {"scorers": [{"use": "automation", "with": {"headless": 80, "solved": "100%"}}]}
    site = Guarded(
        Upstream(), document(risk=risk, friction={"ladder": [rung], "hysteresis": 0, "decay": "1s"}), environ=ENVIRON
    )
    for times in (2, 3):
        for _ in range(times):
            refused = await robot(site)
            site.clock.advance(10)
        if refused.status == 403:
            challenge = challenge_of(refused)
            assert (await hand_in(site, challenge, solve(challenge))).status == 200
    site.clock.advance(1_800)
    await robot(site)
    pairs = await replayed(site)
    assert [each.decided[0] for each, _ in pairs] == ["challenge"] * 2 + ["allow"] * 3 + ["challenge"]
    assert [ruling.decided.action for _, ruling in pairs if ruling is not None] == [each.decided[0] for each, _ in pairs]
