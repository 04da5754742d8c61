"""The budget that members of a material cluster share: counted in the one round trip, told, and never refused by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.explaining import explain, explain_limits
from guardrail_mw.stores.base import Budget, Change
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.upstream import Upstream

from ..asgi.kit import JSON, CountingStore, Guarded, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
DAY = 86_400
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
REQUESTS = {"name": "requests", "rate": "1000/minute"}
FIRST, SECOND = "c" * 12, "d" * 12
PROMPT = chat(40, max_tokens=20)
"""10 tokens in and 20 out are likely, and used."""


def guarded(store: Any, clock: FakeClock, **more: Any) -> Guarded:
    document = policy(REQUESTS, clusters={"rebuild": "apart"}, telemetry={"metrics": True}, **more)
    return Guarded(Upstream(used=(10, 20)), document, store=store, clock=clock, environ=SECRETS)


@pytest.fixture(params=["memory", "redis", "valkey", "fakeredis", "cluster"])
async def site(request: pytest.FixtureRequest, guardrail_prefix: str) -> AsyncIterator[Guarded]:
    """One process on each kind of store."""
    clock = FakeClock()
    store: Any = CountingStore(clock)
    if request.param != "memory":
        url = request.getfixturevalue(f"guardrail_{request.param}").url
        store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
    found = guarded(store, clock)
    yield found
    await found.guardrail.close()


async def ask(site: Guarded, key: bytes, body: Any = PROMPT) -> dict[str, Any]:
    """The event of a request, settled."""
    answer = await site.post(CHAT, body, (b"authorization", b"Bearer " + key), JSON)
    await site.guardrail.drain()
    assert answer.status == 200
    assert not [value for _, value in answer.headers if b"cluster" in value]
    event = site.guardrail.recorder.find(answer.decision)
    assert event is not None
    validate(event)
    return event


def told(event: dict[str, Any]) -> dict[str, Any] | None:
    """What an event says of the budget."""
    return next((each for each in event["limits"] if each["name"] == "cluster-budget"), None)


def figures(event: dict[str, Any]) -> tuple[int, int, bool]:
    """Cost, what is left, and whether it was admitted."""
    found = told(event)
    assert found is not None
    assert (found["unit"], found["shadow"]) == ("tokens", True)
    return found["cost"], found["remaining"], found["ok"]


async def bind(site: Guarded, account: str, cluster: str = FIRST, budget: str = "") -> None:
    """As a rebuild does."""
    changes = [Change("set", "cluster", cluster)] if cluster else [Change("unset", "cluster")]
    changes.append(Change("set", "budget", budget) if budget else Change("unset", "budget"))
    await site.store.remember(account, changes)


async def accounts(site: Guarded, *keys: bytes) -> list[str]:
    return [(await ask(site, key))["account"] for key in keys]


async def test_members_share_it_and_nobody_is_refused(site: Guarded) -> None:
    """Of 100 a day three requests of 30 fit, whoever asks; from then on each would have been refused, and is not counted."""
    one, two, other, alone = await accounts(site, b"one", b"two", b"other", b"alone")
    await bind(site, one, budget="100")
    await bind(site, two, budget="100")
    await bind(site, other, SECOND, "100")
    await bind(site, alone)
    assert figures(await ask(site, b"one")) == (30, 70, True)
    assert figures(await ask(site, b"two")) == (30, 40, True)
    assert figures(await ask(site, b"two")) == (30, 10, True)
    refused = await ask(site, b"one")
    assert figures(refused) == (30, 10, False)
    assert (refused["decision"], refused["would"], refused["refusal"]) == ("allow", None, None)
    assert figures(await ask(site, b"other")) == (30, 70, True)
    assert told(await ask(site, b"alone")) is None
    said = [line for line in explain(refused, policy=site.guardrail.policy) if "cluster-budget" in line]
    assert said == [
        "  cluster-budget         recorded only, it is in shadow: costs 30 tokens, 10 tokens left, 20 tokens short"
    ]
    metrics = site.guardrail.metrics
    assert metrics is not None
    assert b'limit="cluster-budget",shadow="true"} 1.0' in metrics.render("")[0]


async def test_it_begins_anew_at_midnight_utc(site: Guarded) -> None:
    [one] = await accounts(site, b"one")
    site.clock.advance(DAY - site.clock.now() // 1_000_000 % DAY - 1)
    await bind(site, one, budget="30")
    assert figures(await ask(site, b"one")) == (30, 0, True)
    assert figures(await ask(site, b"one")) == (30, 0, False)
    site.clock.advance(1)
    assert figures(await ask(site, b"one")) == (30, 0, True)


async def test_another_figure_goes_on_with_what_was_used(site: Guarded) -> None:
    """It acts on the very next request, in every process; who leaves has none."""
    [one] = await accounts(site, b"one")
    other = guarded(site.store, site.clock)
    await bind(site, one, budget="50")
    assert figures(await ask(site, b"one")) == (30, 20, True)
    assert figures(await ask(other, b"one")) == (30, 20, False)
    await bind(site, one, budget="200")
    assert figures(await ask(other, b"one")) == (30, 140, True)
    await bind(site, one, "")
    assert told(await ask(site, b"one")) is None
    assert told(await ask(other, b"one")) is None


async def test_what_was_underestimated_is_owed(site: Guarded) -> None:
    """Five were likely, and thirty used: a budget of 20 is overdrawn by ten."""
    [one] = await accounts(site, b"one")
    await bind(site, one, budget="20")
    assert figures(await ask(site, b"one", chat(4, max_tokens=4))) == (5, 15, True)
    assert figures(await ask(site, b"one", chat(4, max_tokens=4))) == (5, 0, False)
    await bind(site, one, budget="31")
    assert figures(await ask(site, b"one", chat(4, max_tokens=4))) == (5, 1, False)


async def test_operators_see_it_and_can_refill_it(site: Guarded) -> None:
    [one] = await accounts(site, b"one")
    await bind(site, one, budget="40")
    await ask(site, b"one")
    operator = Operator(site.guardrail)
    limits = await operator.limits(one)
    assert [each["name"] for each in limits] == ["requests", "cluster-budget"]
    [line] = [each for each in explain_limits(limits) if each.startswith("cluster-budget")]
    assert line.startswith("cluster-budget         10 tokens left of 40/day; as new in ")
    assert line.endswith(", in shadow")
    assert await operator.refill(one, "cluster-budget", "their launch") == {"fields": 1}
    assert figures(await ask(site, b"one")) == (30, 10, True)


async def test_who_is_in_no_material_cluster_is_charged_as_ever() -> None:
    """Not a step more, and nobody a round trip more."""
    clock = FakeClock()
    site = guarded(CountingStore(clock), clock)
    one, _ = await accounts(site, b"one", b"two")
    before = [step for entry in site.bills[-1].entries for step in entry.steps]
    await bind(site, one, budget="100")
    await ask(site, b"one")
    site.bills.clear()
    await ask(site, b"two")
    await ask(site, b"one")
    plain, member = site.bills
    assert [step for entry in plain.entries for step in entry.steps] == before
    assert len(before) == 1
    assert [entry.home for entry in member.entries] == [one, f"c:{FIRST}"]
    [step] = member.entries[1].steps
    assert isinstance(step, Budget)
    assert step[1:] == (30, 100, "day", True, True)


async def test_routes_that_are_not_metered_do_not_count() -> None:
    clock = FakeClock()
    site = guarded(CountingStore(clock), clock)
    [one] = await accounts(site, b"one")
    await bind(site, one, budget="100")
    await ask(site, b"one")
    site.bills.clear()
    await site.get("/v1/files", (b"authorization", b"Bearer one"))
    assert [entry.home for entry in site.bills[0].entries] == [one]


async def test_a_figure_that_cannot_be_read_or_counted_refuses_nobody() -> None:
    clock = FakeClock()
    site = guarded(CountingStore(clock), clock)
    [one] = await accounts(site, b"one")
    for text, left in (("many", None), ("9" * 20, 10**15 - 30), ("-5", None)):
        await bind(site, one, budget=text)
        found = told(await ask(site, b"one"))
        assert (found and found["remaining"]) == left, text
        await site.store.reset(f"c:{FIRST}")
