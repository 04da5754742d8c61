"""How accounts stand, whole: each limit, where it is counted, and what the store was asked for it."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine import peeking
from guardrail_mw.engine.peeking import Held, Peeked, _homes, _subject
from guardrail_mw.stores.base import Bill, Change, Receipt
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Standing

from ..asgi.kit import CountingStore, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..telemetry.kit import ACCOUNT, event  # noqa: TID252 - the kit of events

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
STRANGER = "a:nobodyhasseenthisoneyet"
LADDER = {"ladder": [{"at": 50, "do": "delay", "name": "slow"}]}
LIMITS: list[dict[str, Any]] = [
    {"name": "requests", "rate": "60/minute", "burst": 2},
    {"name": "each", "per": ["account", "model"], "unit": "tokens", "rate": "6000/minute"},
    {"name": "net", "per": ["network"], "window": "100/hour", "shadow": True},
    {"name": "slots", "concurrency": 3},
    {"name": "month", "unit": "usd", "budget": "5/month"},
    {"name": "all", "per": [], "unit": "tokens", "rate": "60000/minute"},
]
MODELS = {"large": {"names": ["large-*"], "usd_per_million": {"input": 3, "output": 15}}}


class Peeking(CountingStore):
    """Notes what is looked at."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.peeked: list[Bill] = []

    async def peek(self, bill: Bill) -> Receipt:
        """Noted and carried out."""
        self.peeked.append(bill)
        return await super().peek(bill)


def made(*limits: dict[str, Any], **rest: Any) -> Guarded:
    """An app on a store that notes what is looked at; answers use 100 tokens and write 100."""
    more: dict[str, Any] = {"friction": LADDER, "models": MODELS} | rest
    app = Upstream(b'{"usage": {"prompt_tokens": 100, "completion_tokens": 100}}')
    return Guarded(app, policy(*limits, **more), store=Peeking(FakeClock()))


def held(name: str, figure: str, remaining: int | None, reset: int = 0, **more: Any) -> Held:
    """A limit in requests of the account with room."""
    usual: dict[str, Any] = {
        "unit": "requests", "kind": "token_bucket", "per": ("account",), "model": None, "wait": 0, "ok": True,
        "shadow": False, "whose": "",
    }  # fmt: skip
    return Held(**usual | {"name": name, "amount": figure, "remaining": remaining, "reset": reset} | more)


async def test_an_account_as_it_stands() -> None:
    """Two calls of 200 tokens, at 1 request, 100 tokens and, for all, 1000 a second; they cost 2 × $0.0018.

    A bucket of two is empty after them. An hour's window is as new after 63 minutes. 31 days of January are left.
    """
    kit = made(*LIMITS, reserve={"output": 100})
    for _ in range(2):
        await kit.post(CHAT, chat(400, model="large-1"))
    account, network = kit.bills[0].candidate, next(each.home for each in kit.bills[0].entries if each.home[0] == "n")
    now = kit.clock.now()
    peeked = await kit.guardrail.peek(account)
    standing = Standing(0, {"since": str(now)}, peeked.standing.seen)
    tokens: dict[str, Any] = {"unit": "tokens", "whose": account, "per": ("account", "model")}
    assert peeked == Peeked(
        account,
        now,
        peeked.standing,
        (
            held("requests", "60/minute", 0, 2_000_000, wait=1_000_000, ok=False, whose=account),
            held("each", "6000/minute", 5600, 4_000_000, model="large", **tokens),
            held("each", "6000/minute", 6000, model="other", **tokens),
            held("net", "100/hour", 98, 3_780_000_000, kind="sliding_window", shadow=True, whose=network, per=("network",)),
            held("slots", "3", 3, kind="concurrency", whose=account),
            held("month", "5/month", 4_996_400, 31 * 86_400_000_000, unit="usd", kind="budget", whose=account),
            held("all", "60000/minute", 59_600, 400_000, unit="tokens", whose="e", per=()),
        ),
        0.0,
        "",
        {"account": account, "cluster": account, "network": network, "organisation": account, "device": account},
    )
    assert peeked.standing.fields == standing.fields
    assert peeked.limits[0].told() == {
        "name": "requests", "unit": "requests", "kind": "token_bucket", "amount": "60/minute", "per": ["account"],
        "model": None, "remaining": 0, "ok": False, "shadow": False, "whose": account, "reset_ms": 2000, "wait_ms": 1000,
    }  # fmt: skip


def test_times_are_told_in_whole_ms_and_never_too_short() -> None:
    told = [held("a", "9/minute", 1, us, wait=us).told() for us in (0, 1, 1000, 1001)]
    assert [(each["reset_ms"], each["wait_ms"]) for each in told] == [(0, 0), (1, 1), (1, 1), (2, 2)]


async def test_what_the_store_is_asked() -> None:
    """The standing, then for each model all limits at once, a home once; nobody but the account, at a cost of one."""
    kit = made(*LIMITS)
    await kit.post(CHAT, chat())
    account, network = kit.bills[0].candidate, next(each.home for each in kit.bills[0].entries if each.home[0] == "n")
    await kit.guardrail.peek(account)
    first, *others = kit.store.peeked
    assert [(each.home, each.steps) for each in first.entries] == [(account, ())]
    assert [[(each.home, each.parent, len(each.steps)) for each in bill.entries] for bill in others] == [
        [(account, "e", 4), (network, "e", 1), ("e", "e", 1)]
    ] * 2
    for bill in kit.store.peeked:
        assert (bill.payer, bill.candidate, len(bill.id), bill.notes) == (account, account, 24, None)
    assert len({bill.id for bill in kit.store.peeked}) == 3
    costs = [getattr(step, "cost", 1) for bill in others for entry in bill.entries for step in entry.steps]
    assert costs == [1] * 12
    kit.store.peeked.clear()
    await kit.guardrail.peek(NETWORK)
    assert [(bill.payer, bill.candidate) for bill in kit.store.peeked] == [(NETWORK, "")] * 3


async def test_an_account_that_nobody_has_seen() -> None:
    limits = [*LIMITS[:4], LIMITS[5], {"name": "group", "per": ["organisation"], "rate": "9/minute"},
              {"name": "both", "per": ["account", "network"], "rate": "9/minute"}]  # fmt: skip
    kit = made(*limits, models={})
    peeked = await kit.guardrail.peek(STRANGER)
    assert {each.name: (each.remaining, each.whose) for each in peeked.limits} == {
        "requests": (2, STRANGER), "each": (6000, STRANGER), "net": (None, ""), "slots": (3, STRANGER), "all": (60_000, "e"),
        "group": (None, ""), "both": (None, ""),
    }  # fmt: skip
    assert peeked.limits[2] == held("net", "100/hour", None, kind="sliding_window", shadow=True, per=("network",))
    assert (peeked.standing, peeked.risk, peeked.rung) == (Standing(), 0.0, "")
    homes = [peeked.home(each) for each in ("", "account", "cluster", "network", "organisation", "device", "another")]
    assert homes == ["e", STRANGER, STRANGER, None, None, None, STRANGER]


async def test_a_network_that_nobody_has_seen() -> None:
    kit = made(
        {"name": "net", "per": ["network"], "rate": "9/minute"},
        {"name": "group", "per": ["organisation"], "rate": "9/minute"},
    )
    peeked = await kit.guardrail.peek(NETWORK)
    assert [(each.name, each.remaining, each.whose) for each in peeked.limits] == [("net", 9, NETWORK), ("group", None, "")]
    assert [peeked.home(each) for each in ("account", "network", "organisation")] == [NETWORK, NETWORK, None]


async def test_an_account_of_which_is_remembered() -> None:
    """16 points are left, of which half an hour halves each; four until one."""
    kit = made(LIMITS[0])
    await kit.post(CHAT, chat())
    account = kit.bills[0].candidate
    fields = {"heat": str(kit.clock.now() + 4 * 1_800_000_000), "rung": "slow 5", "cluster": "abc"}
    await kit.store.remember(account, [Change("set", *item) for item in fields.items()])
    peeked = await kit.guardrail.peek(account)
    assert (peeked.risk, peeked.rung, peeked.home("cluster")) == (16.0, "slow", "c:abc")
    assert peeked.standing.fields.items() >= fields.items()
    assert kit.guardrail.engine._standings.get(account) == peeked.standing, "the process knows it from now on"


def test_where_an_account_is_counted() -> None:
    told = event(organisation="o:1")
    assert _homes(ACCOUNT, {}, None, 5) == {
        "account": ACCOUNT, "cluster": ACCOUNT, "network": None, "organisation": None, "device": None,
    }  # fmt: skip
    assert _homes(ACCOUNT, {"cluster": "abc"}, told, 5) == {
        "account": ACCOUNT, "cluster": "c:abc", "network": NETWORK, "organisation": "o:1", "device": told["device"],
    }  # fmt: skip
    part = {"cluster": "abc", "counters": "def 6 0"}
    assert [_homes(ACCOUNT, part, None, now)["cluster"] for now in (5, 6)] == ["c:def", "c:abc"]
    assert _homes(ACCOUNT, {"cluster": ""}, event(device="", network=""), 5) == dict.fromkeys(
        ("account", "cluster", "network", "organisation", "device"), ACCOUNT
    )
    assert _homes(NETWORK, {}, None, 5) == {
        "account": NETWORK, "cluster": NETWORK, "network": NETWORK, "organisation": None, "device": None,
    }  # fmt: skip


def test_whom_a_look_takes_an_account_for() -> None:
    told = event(organisation="o:1", acr="gold", ial="2", verified=True, authenticated=False)
    usual: dict[str, Any] = {
        "network_parent": "", "organisation": "", "organisation_name": "", "tier": "", "acr": "", "ial": "", "payment": "",
        "source": "anonymous", "device": "", "device_kind": "", "device_due": False, "until": None, "memo": None,
        "cache": None, "verified": False,
    }  # fmt: skip
    of_event = {
        "organisation": "o:1", "tier": "pro", "acr": "gold", "ial": "2", "source": "api_key", "device": told["device"],
        "verified": True,
    }  # fmt: skip
    account = {"account": ACCOUNT, "candidate": ACCOUNT, "network": NETWORK, "authenticated": False}
    for given, expected in (
        ((ACCOUNT, told, {}), {**usual, **of_event, **account}),
        ((ACCOUNT, told, {"did.5": "tier pro by mail"}), {**usual, **of_event, **account, "tier": ""}),
        ((ACCOUNT, None, {}), {**usual, **account, "network": "", "authenticated": True}),
        ((ACCOUNT, {}, {}), {**usual, **account, "network": "", "authenticated": True}),
        ((NETWORK, None, {}), {**usual, "account": NETWORK, "candidate": "", "network": NETWORK, "authenticated": False}),
        ((NETWORK, event(), {}), {**usual, **of_event, "organisation": "", "acr": "", "ial": "", "verified": False,
                                  "account": NETWORK, "candidate": "", "network": NETWORK, "authenticated": False}),
    ):  # fmt: skip
        found = _subject(*given)
        assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("routes", "asked", "found"),
    [
        ([], "", ("POST", "", 0)),
        ([{"path": "/a"}], "", ("POST", "/a", 0)),
        ([{"path": "/a", "exempt": True}, {"path": "/b"}], "", ("POST", "/b", 0)),
        ([{"path": "/a"}, {"path": "/b/**", "dialect": "openai"}], "", ("POST", "/b/**", 1)),
        ([{"path": "/a", "methods": ["PUT", "GET"]}], "", ("PUT", "/a", 0)),
        ([{"path": "/a", "exempt": True}], "", ("POST", "", 0)),
        ([{"path": "/a", "name": "first"}, {"path": ["/b/*/c", "/d"], "methods": ["PUT"]}], "first", ("POST", "first", 0)),
        ([{"path": "/a", "name": "first"}, {"path": ["/b/*/c", "/d"], "name": "x", "methods": ["PUT"]}], "x", ("PUT", "x", 0)),
        ([{"path": "/a/**"}, {"path": "/b"}], "/b", ("POST", "/b", 0)),
        ([{"path": "/a/**"}, {"path": "/b"}], "/zzz", ("POST", "", 0)),
        ([{"path": "/a/**", "dialect": "openai", "methods": ["POST"]}], "/a/x", ("POST", "/a/**", 1)),
    ],
)  # fmt: skip
def test_which_route_is_looked_at(routes: Any, asked: str, found: tuple[str, str, int]) -> None:
    guarded = Guarded(Upstream(), {**policy(LIMITS[0]), "routes": routes})
    route = peeking._route(guarded.guardrail.engine, asked)
    assert (route.method, route.label, int(route.metered)) == found


@pytest.mark.parametrize(
    ("routes", "text"),
    [
        ([{"path": "/a"}, {"path": "/b", "name": "bee"}], "route: is none of the policy's: /a, bee."),
        ([], "route: is none of the policy's: it has none."),
    ],
)
async def test_a_route_that_is_none(routes: Any, text: str) -> None:
    guarded = Guarded(Upstream(), {**policy(LIMITS[0]), "routes": routes})
    with pytest.raises(ValueError, match=r"^route: ") as caught:
        await guarded.guardrail.peek(STRANGER, "zzz")
    assert str(caught.value) == text
