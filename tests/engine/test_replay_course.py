"""What goes on beside a replay's decisions: how long requests are under way, what is given back, what is remembered."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.past import Decided, Past
from guardrail_mw.engine.replaying import Replay, Ruling
from guardrail_mw.values import Mode

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events
from .kit import CALM, REQUESTS, came, replay, ruled, rulings

pytestmark = pytest.mark.anyio

NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
DAYS_30 = 30 * 86_400_000_000
ONCE = [{"name": "requests", "per": ["account"], "rate": "1/hour"}]
SLOTS = [{"name": "slots", "per": ["account"], "concurrency": 1}]
ROOMY = [{"name": "roomy", "per": [], "rate": "900/minute"}]
SLOW: dict[str, Any] = {
    "friction": {
        "ladder": [
            {"at": 50, "do": "delay", "name": "slow", "with": {"seconds": 0.5}},
            {"at": 60, "do": "trim", "name": "cut"},
            {"at": 90, "do": "deny", "name": "stop"},
        ]
    }
}


def overridden(at: float, rung: str, **more: Any) -> Past:
    """A request that an operator's override put on a rung, when it was recorded and so in the replay."""
    return came(at, **{"why": ["override"], "rung": rung, "rung_at": 50.0, **more})


# How long


async def test_who_is_delayed_only_now_is_under_way_for_so_much_longer() -> None:
    """10 s then, 10.5 s now."""
    first = overridden(0, "slow", duration_ms=10_000.0)
    assert await ruled(replay(SLOTS, **SLOW), first, came(10.4), came(10.6)) == ["slow", "slots", "allow"]


async def test_who_was_delayed_then_waits_as_long_now_or_not_at_all() -> None:
    """10 s of which 2 were waited: 10 s where the rung still acts, 8 s where it does not."""
    first = overridden(0, "slow", duration_ms=10_000.0, delay_ms=2_000, decision="delay")
    assert await ruled(replay(SLOTS, **SLOW), first, came(9.9), came(10.1)) == ["slow", "slots", "allow"]
    calm = came(0, duration_ms=10_000.0, delay_ms=2_000, decision="delay", rung="slow", rung_at=50.0)
    assert await ruled(replay(SLOTS, **SLOW), calm, came(7.9), came(8.1)) == ["allow", "slots", "allow"]
    odd = came(0, duration_ms=1.0, delay_ms=2, decision="delay", rung="slow", rung_at=50.0)
    assert await ruled(replay(SLOTS, **SLOW), odd, came(0.1)) == ["allow", "allow"], "never less than nothing"


async def test_who_was_refused_then_takes_as_long_as_others_on_its_route_on_average() -> None:
    """4 s and 10 s are 7 s; nobody is known to have taken any time elsewhere."""
    of = replay(SLOTS)
    assert await ruled(of, came(0, duration_ms=4_000.0), came(20, duration_ms=10_000.0)) == ["allow", "allow"]
    assert await ruled(of, came(40, like=denied), came(46.9), came(47)) == ["allow", "slots", "allow"]
    at_once = [came(60, like=denied, route="elsewhere", id=f"{number:024x}") for number in range(3)]
    assert await ruled(of, *at_once, came(60)) == ["allow"] * 4


async def test_all_that_have_ended_by_then_are_settled() -> None:
    """1060 reserved and 448 used by each: of 3200 three reservations leave no room, three uses leave it for one."""
    tokens = [{"name": "tokens", "per": ["account"], "unit": "tokens", "window": "3200/day"}]
    of = replay(tokens)
    three = [came(at, duration_ms=10_000.0) for at in (0, 1, 2)]
    assert await ruled(of, *three, came(5), came(12, duration_ms=9_000.0), came(13)) == [
        "allow", "allow", "allow", "tokens", "allow", "tokens",
    ]  # fmt: skip


async def test_a_slot_is_renewed_for_as_long_as_it_is_held() -> None:
    """A lease lives 30 s; this one is held for 100, and given back then."""
    of = replay(SLOTS)
    first = came(0, duration_ms=100_000.0)
    assert await ruled(of, first, came(35), came(65), came(99), came(100)) == ["allow", "slots", "slots", "slots", "allow"]


# Places to wait in


@pytest.mark.parametrize(
    ("mode", "places", "actions"),
    [
        ("enforce", 1, ["delay", "trim", "delay", "trim", "delay"]),
        ("enforce", 2, ["delay", "delay", "delay", "trim", "delay"]),
        ("enforce", 0, ["trim"] * 5),
        ("shadow", 0, ["delay"] * 5),
    ],
)
async def test_who_finds_no_place_to_wait_is_trimmed(mode: Mode, places: int, actions: list[str]) -> None:
    """Each waits half a second, and makes room with its end."""
    friction = {**SLOW["friction"], "delays": {"at_once": places}}
    of = replay(ROOMY, mode=mode, friction=friction)
    found = await rulings(of, *[overridden(at, "slow") for at in (0, 0.4, 0.5, 0.7, 1.0)])
    assert [ruling and ruling.decided for ruling in found] == [Decided(action, "rung", "slow") for action in actions]


async def test_a_place_is_held_for_as_long_as_was_waited_then() -> None:
    friction = {**SLOW["friction"], "delays": {"at_once": 1}}
    long = overridden(0, "slow", delay_ms=2_000, duration_ms=2_000.0, decision="delay")
    found = await rulings(replay(ROOMY, friction=friction), long, *[overridden(at, "slow") for at in (1.9, 2.0)])
    assert [ruling and ruling.decided.action for ruling in found] == ["delay", "trim", "delay"]


# What is given back


REFUSED_BY_TRIM: dict[str, Any] = {"like": denied, "code": "parameters_refused", "status": 403, "refusal": None}


@pytest.mark.parametrize(
    ("first", "rule", "back"),
    [
        (came(0), "allow", False),
        (came(0, status=500, outcome="failed"), "allow", True),
        (came(0, status=0, outcome="abandoned"), "allow", False),
        (overridden(0, "stop"), "stop", True),
        (overridden(0, "cut", decision="trim"), "cut", False),
        (overridden(0, "cut", **REFUSED_BY_TRIM), "cut", True),
        (overridden(0, "cut", **REFUSED_BY_TRIM | {"status": 0}), "cut", False),
        (overridden(0, "slow", **REFUSED_BY_TRIM), "slow", False),
        (overridden(0, "slow", decision="delay", status=0, outcome="abandoned"), "slow", True),
        (overridden(0, "slow", decision="delay", status=0, outcome="abandoned", delay_ms=500), "slow", False),
        (overridden(0, "slow", decision="delay", status=200, outcome="abandoned"), "slow", False),
        (overridden(0, "slow", decision="delay", status=0), "slow", False),
        (overridden(0, "slow", decision="allow", status=0, outcome="abandoned"), "slow", False),
        (came(0, like=denied, code="bad_body", status=400, refusal=None), "bad_body", False),
    ],
)
async def test_who_gets_its_charge_back(first: Past, rule: str, back: bool) -> None:
    """One request an hour: whether a second one finds room."""
    assert await ruled(replay(ONCE, **SLOW), first, came(1)) == [rule, "allow" if back else "requests"]


@pytest.mark.parametrize("rung", ["stop", "cut", "slow"])
async def test_in_shadow_what_a_rung_would_do_gives_nothing_back(rung: str) -> None:
    of = replay(ONCE, mode="shadow", **SLOW)
    for first in (overridden(0, rung, **REFUSED_BY_TRIM), overridden(0.5, rung, status=0, outcome="abandoned")):
        assert await ruled(of, first) == [rung if first.at == AT else "requests"]
    assert await ruled(of, came(1)) == ["requests"]


async def test_what_was_bad_in_itself_used_nothing_but_a_request() -> None:
    tokens = [{"name": "tokens", "per": ["account"], "unit": "tokens", "window": "1600/day"}]
    bad = [came(at, like=denied, code="bad_body", status=400, refusal=None) for at in (0, 1)]
    assert await ruled(replay(tokens), *bad, came(2)) == ["bad_body", "bad_body", "allow"]
    assert await ruled(replay(ONCE), *bad) == ["bad_body", "requests"]
    in_shadow = came(0, mode="shadow", would={"decision": "deny", "code": "bad_body", "limit": "", "rung": ""})
    again = came(1, mode="shadow", would={"decision": "deny", "code": "bad_body", "limit": "", "rung": ""})
    assert await ruled(replay(ONCE, mode="shadow"), in_shadow, again) == ["bad_body", "bad_body"]


# What never fits


@pytest.mark.parametrize(("mode", "last"), [("enforce", "requests"), ("shadow", "exceeds_limit")])
async def test_what_can_never_fit_counts_as_a_request(mode: Mode, last: str) -> None:
    """1060 are more than 1000. Where nothing acts it goes on, and is bad whatever else refuses it."""
    limits = [{"name": "tokens", "per": ["account"], "unit": "tokens", "window": "1000/day"}, REQUESTS]
    of = replay(limits, mode=mode, reserve={"strict": True, "output": 9})
    found = await rulings(of, *[came(at) for at in (0, 1, 2)])
    assert [ruling and ruling.decided.rule for ruling in found] == ["exceeds_limit", "exceeds_limit", last]
    assert found[0] == Ruling(Decided("deny", "other", "exceeds_limit"), 0.0, (), (), established=False)


@pytest.mark.parametrize(
    ("estimate", "limit", "fits"),
    [
        ({"input": 1, "output": 0, "items": 1}, {"unit": "tokens", "window": "2/day"}, 2),
        ({"input": 0, "output": 1, "items": 1}, {"unit": "tokens", "window": "2/day"}, 2),
        ({"input": 9, "output": 1, "items": 1}, {"unit": "output_tokens", "window": "3/day"}, 3),
        ({"input": 1, "output": 9, "items": 1}, {"unit": "input_tokens", "window": "3/day"}, 3),
        ({"input": 0, "output": 0, "items": 2}, {"window": "4/day"}, 2),
        ({"input": 0, "output": 0, "items": 1}, {"window": "3/day"}, 3),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
async def test_what_was_estimated_is_charged(estimate: Any, limit: Any, fits: int, strict: bool) -> None:
    measured = {"name": "some", "per": ["account"], "unit": "tokens", "window": "9000/day"}
    of = replay([{"name": "few", "per": ["account"], **limit}, measured], reserve={"strict": strict, "output": 1})
    found = await ruled(of, *[came(at, estimate=estimate, used=None) for at in range(fits + 1)])
    assert found == [*["allow"] * fits, "few"]


async def test_a_request_on_no_route_is_not_read() -> None:
    """Whatever model it was for is `other` there, and nothing is reserved for it."""
    each = [{"name": "each", "per": ["account", "model"], "rate": "1/hour"}]
    of = replay(each, models={"large": {}, "small": {}})
    assert await ruled(of, came(0, route=""), came(1, route="", model="small")) == ["allow", "each"]
    assert await ruled(of, came(2), came(3, model="small")) == ["allow", "allow"]


# What is remembered


async def standing(of: Replay) -> dict[str, str]:
    """What the replay remembers of the account."""
    found: dict[str, str] = (await of._store.export(ACCOUNT))["standing"]["fields"]
    return found


async def test_what_is_remembered_of_an_account_is_what_was_then() -> None:
    of = replay([*ROOMY, {"name": "net", "per": ["network"], "rate": "2/hour"}], **SLOW)
    since = {"since": str(AT)}
    found = [{**event()["findings"][0], "reason": "cluster-suspect", "family": family} for family in ("release", "payment")]
    await of.decide(came(0))
    assert await standing(of) == since
    await of.decide(came(1, verdict="suspect", cluster="abc", findings=found))
    judged = {**since, "verdict": "suspect", "families": "release,payment", "cluster": "abc"}
    assert await standing(of) == judged
    await of.decide(came(2, verdict="suspect", cluster="abc", findings=found[:1]))
    assert await standing(of) == {**judged, "families": "release"}
    await of.decide(overridden(3, "slow", cluster="abc"))
    held = {**since, "families": "release", "cluster": "abc", "override": "slow 0"}
    assert await standing(of) == held
    await of.decide(came(4, like=denied, cluster="abc", limits=denied()["limits"]))
    assert await standing(of) == held, "a limit refused it: nobody asked for overrides"
    await of.decide(came(5, like=denied, limits=denied()["limits"]))
    assert await standing(of) == {**since, "families": "release", "override": "slow 0"}
    await of.decide(came(6, account=NETWORK))
    assert await standing(of) == {**since, "families": "release", "proved": "1"}
    await of.decide(came(7))
    assert await standing(of) == {**since, "families": "release"}


async def test_what_is_to_be_remembered_is_what_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    of = replay(ROOMY, **SLOW)
    told: list[tuple[str, Any]] = []
    remember = of._store.remember

    async def noting(account: str, changes: Any) -> int:
        told.append((account, [tuple(each) for each in changes]))
        return await remember(account, changes)

    monkeypatch.setattr(of._store, "remember", noting)
    await rulings(
        of,
        came(0),
        came(1, verdict="suspect", cluster="abc", established=True),
        came(2, verdict="suspect", cluster="abc", established=True),
        overridden(3, "slow", established=True),
        came(4, account=NETWORK),
        came(5),
    )
    since = str(AT + 1_000_000 - DAYS_30)
    assert told == [
        (ACCOUNT, [("set", "verdict", "suspect"), ("set", "cluster", "abc"), ("first", "since", since)]),
        (ACCOUNT, [("unset", "verdict", ""), ("unset", "cluster", ""), ("set", "override", "slow 0")]),
        (ACCOUNT, [("unset", "override", ""), ("set", "proved", "1")]),
        (ACCOUNT, [("unset", "proved", ""), ("first", "since", since)][:1]),
    ]


def test_how_many_subjects_are_told_apart() -> None:
    assert replay()._store._max == 500_000
    assert Replay(replay().policy, mode="enforce", key=b"k" * 32, most=7)._store._max == 7


async def test_whom_nothing_is_known_of_is_not_looked_at() -> None:
    of = replay(ROOMY)
    await of.decide(came(0, candidate="", account=NETWORK, authenticated=False, verdict="suspect", cluster="abc"))
    assert await standing(of) == {}
    assert of._store._standings == {}


@pytest.mark.parametrize(("at", "since"), [(0, AT - DAYS_30), (5, AT + 5_000_000 - DAYS_30)])
async def test_who_was_established_then_is_so_now(at: float, since: int) -> None:
    """And keeps its beginning; only of what is done to it is that told."""
    of = replay(ONCE)
    found = await rulings(of, came(at, established=True), came(at + 1), came(at + 2, established=True))
    assert await standing(of) == {"since": str(since)}
    passed, refused = Ruling(Decided(), 0.0, (), (), False), Ruling(Decided("deny", "limit", "requests"), 0.0, (), (), True)
    assert found == [passed, refused, refused]


async def test_nobody_is_established_before_time_began() -> None:
    of = replay(ROOMY)
    await of.decide(came(established=True)._replace(at=7))
    assert await standing(of) == {"since": "1"}


# What is told


async def test_what_is_told_of_a_request() -> None:
    """A limit and a rung in shadow, a scorer that found something, the risk that came of it, and to whom something was done."""
    shadows = [{"name": "shadowed", "per": ["account"], "rate": "1/hour", "shadow": True}]
    rules: dict[str, Any] = {
        "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        "risk": {
            "scorers": [
                {"use": "velocity", "with": {"attempts": {"from": 0, "full": 5}}},
                {"use": "velocity", "name": "idle", "weight": 0, "with": {"attempts": {"from": 0, "full": 5}}},
                {"use": "velocity", "name": "trial", "shadow": True, "with": {"attempts": {"from": 0, "full": 5}}},
            ]
        },
        "friction": {"ladder": [{"at": 30, "do": "delay"}, {"at": 50, "do": "trim", "shadow": True}]},
    }
    of = replay(shadows, **rules)
    health = came(3, route="/health", method="GET")
    found = await rulings(of, came(0, established=True), came(1), came(2), health)
    over = ("limit", "shadowed")
    passed = Ruling(Decided(), 0.0, (), (), established=False)
    slowed = Decided("delay", "rung", "delay")
    assert found == [
        Ruling(Decided(), 20.0, ("velocity",), (), established=False),
        Ruling(slowed, 40.0, ("velocity",), (over,), established=True),
        Ruling(slowed, 60.0, ("velocity",), (over, ("rung", "trim")), established=True),
        passed,
    ]
    unjudged = replay(shadows)
    assert await rulings(unjudged, came(0), came(1)) == [passed, Ruling(Decided(), 0.0, (), (over,), established=False)]
    assert unjudged.shared == of.shared == 0


async def test_what_happened_to_a_turn() -> None:
    """A message on a socket, which has no status, holds no slot of its own and takes no time."""
    of = replay([*SLOTS, {"name": "tokens", "per": ["account"], "unit": "tokens", "window": "1600/day"}])
    turns = [came(at, status=0, duration_ms=5_000.0, **CALM) for at in (0, 1)]
    assert await ruled(of, *turns, came(6)) == ["allow", "tokens", "allow"]
    other = replay(SLOTS)
    assert await ruled(other, came(0, duration_ms=50_000.0), came(1, status=0), came(2)) == ["allow", "allow", "slots"]
