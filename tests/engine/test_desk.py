"""What an operator sees and does, on the store in memory and on real ones."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from guardrail_mw.engine.desk import ACTS, MisuseError, Operator
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
DAY = 86_400_000_000
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]}
LADDER = [{"at": 25, "do": "delay", "with": {"seconds": 0.5}}, {"at": 90, "do": "deny"}]
LIMITS = (
    {"name": "requests", "rate": "60/minute"},
    {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "rate": "6000/minute"},
    {"name": "window", "window": "10/hour"},
    {"name": "month", "unit": "usd", "budget": "5/month"},
    {"name": "slots", "concurrency": 3},
    {"name": "network", "per": ["network"], "rate": "100/minute"},
    {"name": "group", "per": ["organisation"], "rate": "100/minute"},
    {"name": "campaign", "per": ["cluster"], "when": {"verdict": "suspect"}, "rate": "7/day"},
    {"name": "all", "per": [], "rate": "1000/second", "shadow": True},
)
MODELS = {"large": {"names": ["large-*"], "usd_per_million": {"input": 3, "output": 15}}}


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung that delays does so by what the policy says."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


class Kit:
    """A guarded app, whose account is known, and its operator."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.operator = Operator(guarded.guardrail)

    async def call(self, times: int = 1, **body: Any) -> str:
        """So many calls by the first key; its account."""
        for _ in range(times):
            await self.guarded.post(CHAT, chat(400, max_tokens=100, **body))
        await self.guarded.guardrail.drain()
        account: str = self.guarded.guardrail.recorder.latest(1)[0]["account"]
        return account

    async def left(self, account: str, *, model: str | None = None) -> dict[str, int | None]:
        """What is left of each limit."""
        return {
            each["name"]: each["remaining"] for each in await self.operator.limits(account) if each["model"] in {None, model}
        }

    async def shown(self, account: str) -> dict[str, Any]:
        """How it stands."""
        return await self.operator.show(account)

    async def put(self, account: str, **fields: str) -> None:
        """Something another process has learned."""
        await self.guarded.guardrail.store.remember(account, [Change("set", *item) for item in fields.items()])


def document(*limits: Any, **rest: Any) -> dict[str, Any]:
    friction = {"ladder": LADDER}
    return policy(*(limits or LIMITS), models=MODELS, velocity=[ATTEMPTS], risk=RISK, friction=friction, **rest)


Make = Callable[..., Kit]


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest, guardrail_prefix: str) -> AsyncIterator[Make]:
    """Puts an app behind a policy, on each kind of store."""
    made: list[Kit] = []

    def makes(found: Any = None) -> Kit:
        clock = FakeClock()
        store: Any = None
        if request.param != "memory":
            url = request.getfixturevalue(f"guardrail_{request.param}").url
            store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
        app = Upstream(b'{"usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}}')
        made.append(Kit(Guarded(app, found or document(), store=store, clock=clock, environ=SECRETS)))
        return made[-1]

    yield makes
    for kit in made:
        await kit.guarded.guardrail.close()


@pytest.fixture
def kit(make: Make) -> Kit:
    return make()


# Seeing


async def test_limits_are_those_of_the_next_request(kit: Kit) -> None:
    """Two calls of 200 tokens to `large`: 100 × $3 and 100 × $15 a million each, $0.0036 in all, of $5."""
    account = await kit.call(2, model="large-1")
    assert await kit.left(account, model="large") == {
        "requests": 58, "tokens": 5600, "window": 8, "month": 4_996_400, "slots": 3, "network": 98, "group": 98, "all": 998,
    }  # fmt: skip
    assert (await kit.left(account, model="other"))["tokens"] == 6000
    found = await kit.operator.limits(account)
    assert [each["name"] for each in found if each["name"] != "tokens"] == [
        "requests", "window", "month", "slots", "network", "group", "all",
    ]  # fmt: skip
    requests = found[0]
    assert (requests["amount"], requests["unit"], requests["per"], requests["reset_ms"]) == (
        "60/minute", "requests", ["account"], 2000,
    )  # fmt: skip
    assert [each["shadow"] for each in found if each["name"] == "all"] == [True]


async def test_looking_charges_nothing_and_proves_nobody(kit: Kit) -> None:
    account = await kit.call()
    before = await kit.operator.export(account)
    for _ in range(3):
        await kit.operator.show(account)
        await kit.operator.limits(account)
    assert await kit.operator.export(account) == before


async def test_a_full_limit_says_when_there_is_room(make: Make) -> None:
    kit = make(document({"name": "requests", "rate": "60/minute", "burst": 2}))
    account = await kit.call(3)
    [limit] = await kit.operator.limits(account)
    assert (limit["ok"], limit["remaining"]) == (False, 0)
    assert 0 < limit["wait_ms"] <= 1000


async def test_a_limit_in_tokens_is_full_too(make: Make) -> None:
    """200 tokens are used of 200; at 100 a second the next comes in 10 ms."""
    kit = make(document({"name": "tokens", "unit": "tokens", "rate": "6000/minute", "burst": 200}, reserve={"output": 100}))
    [limit] = await kit.operator.limits(await kit.call())
    assert (limit["ok"], limit["remaining"], limit["wait_ms"]) == (False, 0, 10)


async def test_the_main_route_is_the_first_that_is_metered() -> None:
    routes = [
        {"path": "/health", "exempt": True},
        {"path": "/other/**", "limits": ["requests"]},
        {"path": "/v1/**", "dialect": "openai"},
    ]
    kit = Kit(Guarded(Upstream(), {**document(), "routes": routes}))
    assert len(await kit.left("a:" + "A" * 22)) == 7
    kit = Kit(Guarded(Upstream(), {**document(), "routes": routes[:2]}))
    assert await kit.left("a:" + "A" * 22) == {"requests": 60}
    kit = Kit(Guarded(Upstream(), {**document(), "routes": []}))
    assert len(await kit.left("a:" + "A" * 22)) == 7


async def test_what_only_a_request_tells_is_not_guessed(make: Make) -> None:
    """Another process, which has seen no decision of the account."""
    kit = make()
    account = await kit.call()
    stranger = Operator(Guarded(Upstream(), document(), store=kit.guarded.guardrail.store, environ=SECRETS).guardrail)
    left = {each["name"]: each["remaining"] for each in await stranger.limits(account)}
    assert (left["requests"], left["network"], left["group"], left["all"]) == (59, None, None, 999)
    with pytest.raises(MisuseError, match="which organisation this account's is was not told here"):
        await stranger.refill(account, "group", "a guess")


async def test_limits_follow_what_the_standing_says(kit: Kit) -> None:
    account = await kit.call()
    assert "campaign" not in await kit.left(account)
    await kit.put(account, verdict="suspect", cluster="somebody1")
    assert (await kit.left(account))["campaign"] == 7
    await kit.call(2)
    assert (await kit.left(account))["campaign"] == 5
    assert (await kit.operator.refill(account, "campaign", "a class of 30"))["fields"] == 1
    assert (await kit.left(account))["campaign"] == 7


async def test_routes(kit: Kit) -> None:
    account = await kit.call()
    assert await kit.operator.limits(account, "/v1/models") == []
    names = [each["name"] for each in await kit.operator.limits(account, "/v1/messages/**")]
    assert names == [each["name"] for each in await kit.operator.limits(account)]
    with pytest.raises(MisuseError, match="route: is none of the policy's: /health, "):
        await kit.operator.limits(account, "chat")


async def test_an_account_that_is_slowed(kit: Kit) -> None:
    """Four attempts are a risk of 40: beyond the first rung, wherever between 22.5 and 27.5 it begins for this account."""
    account = await kit.call(4)
    shown = await kit.shown(account)
    assert shown["account"] == account
    assert shown["known"] is True
    assert shown["risk"] == pytest.approx(40, abs=0.1)
    assert shown["rung"]["name"] == "delay"
    assert shown["since"] <= shown["rung"]["since"] <= shown["now"]
    first, second = shown["rungs"]
    assert (first["name"], first["do"], second["name"]) == ("delay", "delay", "deny")
    assert 22.5 <= first["at"] <= 27.5
    assert 89 <= second["at"] <= 91
    assert [event["decision"] for event in shown["decisions"]] == ["delay", "delay", "allow", "allow"]
    assert kit.operator.find(shown["decisions"][0]["id"]) == shown["decisions"][0]
    assert kit.operator.find("0" * 24) is None


async def test_an_account_that_nobody_knows(kit: Kit) -> None:
    shown = await kit.shown("a:AAAAAAAAAAAAAAAAAAAAAA")
    assert (shown["known"], shown["risk"], shown["rung"], shown["since"], shown["decisions"]) == (False, 0, None, None, [])


async def test_peek_is_the_guardrails(kit: Kit) -> None:
    account = await kit.call(4)
    peeked = await kit.guarded.guardrail.peek(account)
    assert (peeked.account, peeked.rung, round(peeked.risk)) == (account, "delay", 40)
    assert {limit.name: limit.remaining for limit in peeked.limits}["window"] == 6
    assert peeked.home("network") == kit.guarded.guardrail.recorder.latest(1)[0]["network"]
    with pytest.raises(ValueError, match="is not an account's digest"):
        await kit.guarded.guardrail.peek("sk-one")


async def test_networks_have_limits_and_no_standing(make: Make) -> None:
    kit = make(document({"name": "requests", "rate": "60/minute"}, {"name": "net", "per": ["network"], "rate": "9/minute"}))
    for _ in range(2):
        await kit.guarded.get("/v1/chat/completions", (b"x", b"nobody"))
    network = kit.guarded.guardrail.recorder.latest(1)[0]["account"]
    assert network.startswith("n:")
    assert await kit.left(network) == {"requests": 58, "net": 7}
    assert (await kit.shown(network))["known"] is False
    assert await kit.operator.refill(network, "net", "a fair") == {"fields": 1}
    assert await kit.left(network) == {"requests": 58, "net": 9}
    assert (await kit.operator.reset(network, "a fair"))["fields"] == 2  # and the attempts that were counted
    assert await kit.left(network) == {"requests": 60, "net": 9}
    assert (await kit.shown(network))["done"] == []
    assert await kit.left("n:" + "A" * 22) == {"requests": 60, "net": 9}
    for act in (
        kit.operator.erase(network, "x"),
        kit.operator.label(network, "x", "x"),
        kit.operator.override(network, "deny", "x"),
    ):
        with pytest.raises(MisuseError, match="is a network's"):
            await act


# Doing


@pytest.mark.parametrize("limit", ["requests", "tokens", "window", "month", "group"])
async def test_refill_makes_one_limit_as_new(kit: Kit, limit: str) -> None:
    account = await kit.call(2, model="large-1")
    await kit.call(1)
    before = await kit.left(account, model="large")
    whole = {"requests": 60, "tokens": 6000, "window": 10, "month": 5_000_000, "group": 100}
    assert before[limit] != whole[limit]
    assert (await kit.operator.refill(account, limit, "our mistake"))["fields"] == (2 if limit == "tokens" else 1)
    assert await kit.left(account, model="large") == {**before, limit: whole[limit]}
    if limit == "tokens":
        assert (await kit.left(account, model="other"))[limit] == 6000


async def test_a_refill_of_nothing(kit: Kit) -> None:
    account = await kit.call()
    await kit.operator.refill(account, "requests", "once")
    assert await kit.operator.refill(account, "requests", "twice") == {"fields": 0}


@pytest.mark.parametrize("limit", ["network", "all"])
async def test_what_is_not_the_accounts_is_not_refilled(kit: Kit, limit: str) -> None:
    account = await kit.call()
    with pytest.raises(MisuseError, match=f"limit: '{limit}' is counted for "):
        await kit.operator.refill(account, limit, "no")


async def test_reset_of_everything(kit: Kit) -> None:
    """Its counters, its velocity and its remembered risk; not what everyone shares."""
    account = await kit.call(4)
    assert (await kit.operator.reset(account, "a test of ours"))["fields"] > 3
    left = await kit.left(account, model="other")
    assert (left["requests"], left["window"], left["month"], left["tokens"]) == (60, 10, 5_000_000, 6000)
    assert left["network"] == 97  # four calls within a second, 100 a minute
    shown = await kit.shown(account)
    assert (shown["risk"], shown["rung"]) == (0, None)
    assert shown["since"] is not None
    await kit.call()
    assert kit.guarded.guardrail.recorder.latest(1)[0]["risk"] == 10


async def test_reset_of_one_limit_is_a_refill(kit: Kit) -> None:
    account = await kit.call(2)
    assert await kit.operator.reset(account, "just this", "window") == {"fields": 1}
    left = await kit.left(account)
    assert (left["window"], left["requests"]) == (10, 58)


async def test_labels(kit: Kit) -> None:
    account = await kit.call()
    now = (await kit.shown(account))["now"]
    assert await kit.operator.label(account, "research-partner", "contract 7: all good", "7d") == {
        "label": "research-partner", "until": now + 7 * DAY,
    }  # fmt: skip
    assert await kit.operator.label(account, "vip", "by mail") == {"label": "vip", "until": None}
    assert (await kit.shown(account))["labels"] == [
        {"label": "research-partner", "until": now + 7 * DAY, "why": "contract 7: all good"},
        {"label": "vip", "until": None, "why": "by mail"},
    ]
    kit.guarded.clock.advance(7 * 86_400)
    assert [each["label"] for each in (await kit.shown(account))["labels"]] == ["vip"]
    assert await kit.operator.unlabel(account, "vip", "over") == {"label": "vip", "there": True}
    assert await kit.operator.unlabel(account, "vip", "again") == {"label": "vip", "there": False}
    assert (await kit.shown(account))["labels"] == []


async def test_an_override_holds_on_the_next_request_and_ends(kit: Kit) -> None:
    account = await kit.call()
    status = lambda: kit.guarded.post(CHAT, chat())  # noqa: E731 - a call
    await kit.operator.override(account, "deny", "seen in a campaign", "1h")
    assert (await status()).status == 403
    shown = await kit.shown(account)
    assert shown["override"] == {"what": "deny", "until": shown["now"] + 3_600_000_000, "why": "seen in a campaign"}
    kit.guarded.clock.advance(3600)
    assert (await status()).status == 200
    assert (await kit.shown(account))["override"] is None
    await kit.operator.override(account, "deny", "again")
    assert (await status()).status == 403
    assert await kit.operator.override(account, "none", "a mistake", "1h") == {"override": "none", "until": None}
    assert (await status()).status == 200


@pytest.mark.parametrize(
    ("what", "near"),
    [("dney", "rungs are delay, deny"), ("slow", "rungs are delay, deny"), ("dely", "rungs are delay, deny")],
)
async def test_an_override_of_an_unknown_name_is_refused_with_those_there_are(kit: Kit, what: str, near: str) -> None:
    account = await kit.call()
    with pytest.raises(MisuseError, match=near):
        await kit.operator.override(account, what, "a slip")
    assert (await kit.shown(account))["done"] == []


STAFF = (
    {"name": "requests", "rate": "60/hour", "burst": 2},
    {"name": "staff", "replaces": "requests", "when": {"tier": "staff"}, "rate": "60/hour", "burst": 5},
)


def staffed(*more: Any) -> dict[str, Any]:
    """Nobody waits, for nothing is judged; and every request is recorded."""
    return policy(*STAFF, *more, telemetry={"metrics": False})


AT_ONCE = [200] * 5 + [429]


async def statuses(guarded: Guarded, times: int) -> list[int]:
    return [(await guarded.post(CHAT, chat())).status for _ in range(times)]


async def test_a_tier_holds_until_it_ends_in_every_process(make: Make) -> None:
    """Two at once for everybody, five for staff. The other process has met the account before, and plans anew both times.

    What was planned before is not planned again, so each has what it says of the account in its memory when the tier ends.
    """
    kit = make(staffed())
    clock, first = kit.guarded.clock, kit.guarded
    other = Guarded(Upstream(), staffed(), store=first.store, clock=clock, environ=SECRETS)
    account = await kit.call()
    assert await statuses(other, 2) == [200, 429]
    assert await kit.operator.tier(account, "staff", "their launch", "1h") == {
        "tier": "staff", "until": clock.now() + 3_600_000_000,
    }  # fmt: skip
    assert await statuses(other, 3) + await statuses(first, 3) == AT_ONCE
    shown = await kit.shown(account)
    assert (shown["tier"], shown["tier_until"], shown["tier_why"]) == ("staff", shown["now"] + 3_600_000_000, "their launch")
    assert [each["name"] for each in await kit.operator.limits(account)] == ["staff"]
    assert first.guardrail.recorder.latest(1)[0]["tier"] == "staff"

    clock.advance(3599)  # all is new: a request a minute came back, 59 of them
    assert await statuses(first, 3) == [200] * 3
    clock.advance(1)
    for process in (first, other):
        await kit.operator.reset(account, "so that the old limit is as new")
        assert await statuses(process, 3) == [200, 200, 429]
        assert process.guardrail.recorder.latest(1)[0]["tier"] == ""
    shown = await kit.shown(account)
    assert (shown["tier"], shown["tier_until"], shown["tier_why"]) == ("", None, "")
    assert [each["name"] for each in await kit.operator.limits(account)] == ["requests"]
    assert other.guardrail.engine.planner is not first.guardrail.engine.planner


async def test_a_tier_is_taken_back_and_prolonged(make: Make) -> None:
    kit = make(staffed())
    account = await kit.call(3)
    await kit.operator.tier(account, "staff", "their launch", "1h")
    assert await statuses(kit.guarded, 3) == [200] * 3
    assert await kit.operator.tier(account, "none", "it is over") == {"tier": "none", "until": None}
    assert [each["name"] for each in await kit.operator.limits(account)] == ["requests"], "though its last event says staff"
    assert await statuses(kit.guarded, 1) == [429]
    await kit.operator.tier(account, "staff", "their launch", "1h")
    await kit.operator.tier(account, "staff", "a day more", "1d")
    kit.guarded.clock.advance(86_399)
    assert await statuses(kit.guarded, 6) == AT_ONCE
    kit.guarded.clock.advance(1)
    await kit.operator.reset(account, "so that the old limit is as new")
    assert await statuses(kit.guarded, 3) == [200, 200, 429]
    done = [(each["verb"], each["what"], each["why"]) for each in (await kit.shown(account))["done"]]
    assert done[1:3] == [("tier", "staff", "a day more"), ("tier", "staff", "their launch")]
    assert await kit.operator.erase(account, "they asked") == {"erased": True, "kept": [], "left": []}


async def test_a_tier_that_the_credential_says_holds_again(make: Make) -> None:
    """A proxy says `plus`; the operator's `staff` stands above it, for an hour."""
    plus = {"name": "plus", "replaces": "requests", "when": {"tier": "plus"}, "rate": "60/hour", "burst": 3}
    told = staffed(plus)
    told["identity"] = {
        "trusted_proxies": ["198.51.100.0/24"],
        "sources": [{"use": "header", "with": {"account": "x-user", "tier": "x-tier"}}],
    }
    guarded = make(told).guarded

    async def tier() -> str:
        await guarded.post(CHAT, chat(), (b"x-user", b"ada"), (b"x-tier", b"plus"), client=("198.51.100.7", 1))
        event = guarded.guardrail.recorder.latest(1)[0]
        assert [each["name"] for each in event["limits"]] == [event["tier"]]
        await guarded.guardrail.drain()
        return str(event["tier"])

    assert await tier() == "plus"
    account = guarded.guardrail.recorder.latest(1)[0]["account"]
    operator = Operator(guarded.guardrail)
    assert [each["name"] for each in await operator.limits(account)] == ["plus"]
    await operator.tier(account, "staff", "an audit", "1h")
    assert await tier() == "staff"
    guarded.clock.advance(3600)
    assert await tier() == "plus"
    assert [each["name"] for each in await operator.limits(account)] == ["plus"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"tier": "stuff", "until": "1d"},
            r"^tier: 'stuff' is no tier that the policy's rules ask for. Its tiers are staff\.$",
        ),
        ({"tier": "staff"}, r"^until: is missing\. A tier is given for a time, such as 7d\.$"),
        ({"tier": "staff", "until": "soon"}, "^until: "),
        ({"tier": "staff", "until": "1d", "reason": " "}, "^reason: "),
        ({"tier": "staff", "until": "1d", "account": "a:" + "A" * 22}, "^account: is not known"),
        ({"tier": "staff", "until": "1d", "account": "n:" + "A" * 22}, "^account: is a network's"),
    ],
)
async def test_a_tier_that_cannot_be(given: dict[str, str], text: str) -> None:
    kit = Kit(Guarded(Upstream(), staffed()))
    account = await kit.call()
    before = await kit.operator.export(account)
    with pytest.raises(MisuseError, match=text):
        await kit.operator.tier(**{"account": account, "reason": "x", **given})
    assert await kit.operator.export(account) == before
    none = Kit(Guarded(Upstream(), document()))
    with pytest.raises(MisuseError, match="It names none: write a limit with"):
        await none.operator.tier(await none.call(), "staff", "x", "1d")


async def test_a_scorer_in_shadow_leaves_its_risk_behind_and_that_is_said() -> None:
    kit = Kit(Guarded(Upstream(), document()))
    [told] = (await kit.operator.switch("velocity", "shadow"))["then"]
    assert told.startswith("Accounts keep the risk that velocity has given them by now; half of it is gone every 30m.")
    assert (await kit.operator.switch("velocity", None))["then"] == []
    assert (await kit.operator.switch("delay", "shadow"))["then"] == []


async def test_switches_are_logged_in_words(caplog: pytest.LogCaptureFixture) -> None:
    kit = Kit(Guarded(Upstream(), document()))
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        await kit.operator.switch("", "off", "an incident")
        await kit.operator.switch("requests", "shadow")
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "switch everything: off: an incident",
        "Switches: everything to off. Mode off.",
        "switch requests: shadow: no reason was given",
        "Switches: everything to off, requests to shadow. Mode off.",
    ]


async def test_export_and_erase(kit: Kit) -> None:
    account = await kit.call(4)
    await kit.operator.label(account, "vip", "by mail")
    exported = await kit.operator.export(account)
    assert exported["account"] == account
    assert exported["standing"]["fields"]["label.vip"] == "0 by mail"
    assert exported["counters"]
    assert await kit.operator.erase(account, "they asked") == {"erased": True, "kept": [], "left": []}
    assert (await kit.operator.export(account))["standing"]["fields"] == {}
    assert (await kit.shown(account))["known"] is False
    assert await kit.operator.erase(account, "twice") == {"erased": False, "kept": [], "left": []}


async def test_erasing_is_no_amnesty(kit: Kit) -> None:
    """What holds against an account outlives its data: else whoever asks to be forgotten starts afresh."""
    account = await kit.call()
    await kit.put(account, verdict="confirmed", cluster="somebody1")
    await kit.operator.override(account, "deny", "a campaign")
    kept = ["override", "override.why", "cluster", "verdict"]
    assert await kit.operator.erase(account, "they asked") == {"erased": True, "kept": kept, "left": []}
    assert sorted((await kit.operator.export(account))["standing"]["fields"]) == sorted(kept)
    assert (await kit.guarded.post(CHAT, chat())).status == 403


async def test_erasing_forgets_what_is_in_its_favour(kit: Kit) -> None:
    account = await kit.call()
    await kit.operator.override(account, "allow", "a friend")
    assert await kit.operator.erase(account, "they asked") == {"erased": True, "kept": [], "left": []}


# Reasons


async def test_reasons_are_kept_the_last_twenty(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    """The clock stands still while they are written: each still has a time of its own."""
    account = await kit.call()
    with caplog.at_level(logging.WARNING, "guardrail_mw.operators"):
        for number in range(23):
            await kit.operator.label(account, f"label-{number}", f"reason {number}")
    done = (await kit.shown(account))["done"]
    assert [each["why"] for each in done] == [f"reason {number}" for number in range(22, 2, -1)]
    assert (done[0]["verb"], done[0]["what"]) == ("label", "label-22")
    assert len({each["at"] for each in done}) == 20
    assert caplog.messages[-1] == f"label label-22 {account}: reason 22"


@pytest.mark.parametrize("reason", ["", "  ", "x" * 257, "two\nlines", "a\x1b[31mred", "nul\0", "rtl\u202eoverride"])
async def test_a_reason_is_one_line(kit: Kit, reason: str) -> None:
    account = await kit.call()
    for verb in ACTS:
        given = {"limit": "requests", "slug": "vip", "what": "deny", "tier": "none", "reason": reason}
        wanted = {"refill": ["limit"], "label": ["slug"], "unlabel": ["slug"], "override": ["what"], "tier": ["tier"]}
        with pytest.raises(MisuseError, match=r"^reason: "):
            await kit.operator.act(verb, account, {name: given[name] for name in [*wanted.get(verb, []), "reason"]})
    assert (await kit.left(account))["requests"] == 59
    assert (await kit.shown(account))["done"] == []


async def test_erasing_keeps_its_reason_in_the_log_alone(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    account = await kit.call()
    with caplog.at_level(logging.WARNING, "guardrail_mw.operators"):
        await kit.operator.erase(account, "ticket 12")
    assert caplog.messages == [f"erase - {account}: ticket 12"]
    assert (await kit.shown(account))["done"] == []


# By name, as JSON brings it


@pytest.mark.parametrize(
    ("verb", "given", "text"),
    [
        ("refil", {}, "verb: 'refil' is nothing that can be done to an account. Did you mean `refill`?"),
        ("__init__", {}, "verb: '__init__' is nothing"),
        ("refill", {"reason": "x"}, "limit: is missing."),
        ("refill", {"reason": "x", "limit": None}, "limit: is missing."),
        ("label", {"slug": "Vip", "reason": "x"}, "slug: is not a label"),
        ("label", {"slug": "v", "reason": "x", "until": "soon"}, "until: 'soon' does not begin with"),
        ("label", {"slug": "v", "reason": "x", "untl": "7d"}, "untl: is not known here. Did you mean `until`?"),
        ("override", {"what": 1, "reason": "x"}, "what: is not text."),
        (
            "refill",
            {"limit": "reqests", "reason": "x"},
            "limit: 'reqests' is no limit of the policy. Did you mean `requests`?",
        ),
        ("reset", {}, "reason: is missing."),
        ("reset", {"account": "a:other", "reason": "x"}, "account: is not known here."),
    ],
)
async def test_what_cannot_be_is_said(verb: str, given: dict[str, Any], text: str) -> None:
    kit = Kit(Guarded(Upstream(), document()))
    account = await kit.call()
    with pytest.raises(MisuseError) as caught:
        await kit.operator.act(verb, account, given)
    assert str(caught.value).startswith(text)
    assert caught.value.argument == text.partition(":")[0]


@pytest.mark.parametrize(
    "account", ["", "alice", "sk-one", "a:", "a:short", "e", "o:AAAAAAAAAAAAAAAAAAAAAA", "a:" + "A" * 65, "a:AAAAAAAA}x"]
)
async def test_only_an_account_is_one(account: str) -> None:
    kit = Kit(Guarded(Upstream(), document()))
    with pytest.raises(MisuseError, match=r"^account: is not an account's digest"):
        await kit.operator.act("reset", account, {"reason": "x"})


# Switches


async def test_a_rule_is_switched_to_shadow_and_back(make: Make) -> None:
    kit = make(document({"name": "requests", "rate": "1/minute"}))
    await kit.call()
    assert (await kit.guarded.post(CHAT, chat())).status == 429
    found = await kit.operator.switch("requests", "shadow", "a rush")
    assert found == {
        "mode": "enforce",
        "policy": "enforce",
        "switches": {"requests": "shadow"},
        "rules": ["requests", "velocity", "delay", "deny"],
        "then": [],
    }
    assert (await kit.guarded.post(CHAT, chat())).status == 200
    assert (await kit.operator.switch("requests", None))["switches"] == {}
    assert (await kit.guarded.post(CHAT, chat())).status == 429


@pytest.mark.parametrize(
    ("rule", "risk"),
    [("delay", 40.0), ("velocity", 0.0)],
)
async def test_rungs_and_scorers_are_switched(kit: Kit, rule: str, risk: float) -> None:
    """Four attempts would be delayed; what is switched to shadow is still recorded."""
    await kit.operator.switch(rule, "shadow")
    await kit.call(4)
    event = kit.guarded.guardrail.recorder.latest(1)[0]
    would = {"decision": "delay", "code": "", "limit": "", "rung": "delay"}
    assert (event["decision"], event["risk"], event["would"]) == ("allow", risk, would)
    assert [found["score"] for found in event["findings"]] == [40]


async def test_everything_is_switched(make: Make) -> None:
    kit = make(document({"name": "requests", "rate": "1/minute"}))
    await kit.call()
    for mode, status in (("shadow", 200), ("enforce", 429), ("off", 200)):
        assert (await kit.operator.switch("", mode, "a test"))["mode"] == mode
        assert (await kit.guarded.post(CHAT, chat())).status == status
    assert (await kit.operator.modes())["switches"] == {"": "off"}


async def test_a_switch_that_cannot_be() -> None:
    kit = Kit(Guarded(Upstream(), document()))
    with pytest.raises(
        MisuseError, match=r"rule: 'request' is no limit, scorer or rung of the policy. Did you mean `requests`?"
    ):
        await kit.operator.switch("request", "shadow")
    with pytest.raises(MisuseError, match=r"mode: 'shadw' is not a mode. Did you mean `shadow`?"):
        await kit.operator.switch("", "shadw")
    with pytest.raises(MisuseError, match="mode: of a rule can only be shadow"):
        await kit.operator.switch("requests", "enforce")
    with pytest.raises(MisuseError, match="mode: of a rule can only be shadow"):
        await kit.operator.switch("requests", "off")
    with pytest.raises(MisuseError, match="reason: holds a line break"):
        await kit.operator.switch("", "off", "a\nb")
    with pytest.raises(MisuseError, match=r"reason: is missing\. Off lets everything through"):
        await kit.operator.switch("", "off")
    nobody: Any
    for nobody in (None, 0, [], " "):  # as JSON may bring it: none of them is everything
        with pytest.raises(MisuseError, match=r"^rule: "):
            await kit.operator.switch(nobody, "off")
    assert (await kit.operator.modes())["switches"] == {}


async def test_a_switch_of_a_rule_that_is_gone_can_be_taken_away() -> None:
    kit = Kit(Guarded(Upstream(), document()))
    await kit.guarded.store.write_switch("old-rule", "shadow")
    assert (await kit.operator.switch("old-rule", None))["switches"] == {}


async def test_a_store_without_a_desk_says_so() -> None:
    class Bare:
        """Only what every store can do."""

        def __init__(self, store: MemoryStore) -> None:
            self.charge, self.settle, self.renew, self.remember = store.charge, store.settle, store.renew, store.remember
            self.spend, self.peek, self.drain, self.close = store.spend, store.peek, store.drain, store.close

    clock = FakeClock()
    guarded = Guarded(Upstream(), document(), store=Bare(MemoryStore(clock=clock)), clock=clock, environ=SECRETS)
    operator = Operator(guarded.guardrail)
    with pytest.raises(StoreError, match=r"no desk|has no reset"):
        await operator.export("a:" + "A" * 22)
    with pytest.raises(StoreError, match="desk"):
        await operator.reset("a:" + "A" * 22, "x")
    with pytest.raises(StoreError, match="switches"):
        await operator.switch("", "off", "x")
