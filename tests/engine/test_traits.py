"""What is known of a subject by its standing, and what that makes hold for it."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.core import Lasting
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Bill, Change, Receipt
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import CountingStore, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from .kit import VERIFIES, shown

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
USAGE = b'{"usage": {"prompt_tokens": 1000, "completion_tokens": 200}}'


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        (shown(), {"verified": True}),
        ({"verdict": "suspect"}, {"verdict": "suspect"}),
        (shown(acr="gold"), {"acr": "bronze"}),
        (shown("3"), {"ial": "2"}),
    ],
)
async def test_a_standing_says_what_holds(fields: dict[str, str], when: dict[str, Any]) -> None:
    document = policy({"name": "a", "when": when, "rate": "9/minute"}, **VERIFIES)
    document["identity"]["assurance"] = ["bronze", "gold"]
    guarded = Guarded(Upstream(), document)
    await guarded.post(CHAT)
    assert sum(len(entry.steps) for entry in guarded.bills[-1].entries) == 0
    await guarded.store.remember(guarded.bills[0].candidate, [Change("set", *each) for each in fields.items()])
    await guarded.post(CHAT)
    assert sum(len(entry.steps) for entry in guarded.bills[-1].entries) == 1


async def test_accounts_of_one_cluster_pay_together() -> None:
    guarded = Guarded(Upstream(), policy({"name": "together", "per": ["cluster"], "rate": "9/minute"}))
    await guarded.post(CHAT)
    account = guarded.bills[0].candidate
    assert [entry.home for entry in guarded.bills[0].entries] == [account]
    await guarded.store.remember(account, [Change("set", "cluster", "abc")])
    await guarded.post(CHAT)
    assert [(entry.home, entry.parent) for entry in guarded.bills[-1].entries] == [("c:abc", "e")]


async def test_a_key_that_was_proved_once_pays_for_itself_though_it_is_proved_no_longer() -> None:
    app = Upstream()
    guarded = Guarded(app, policy({"name": "a", "rate": "9/minute"}, trust="app"))
    await guarded.post(CHAT)
    candidate = guarded.bills[0].candidate
    assert guarded.bills[0].payer != candidate
    began = guarded.clock.now()
    assert (await guarded.guardrail.peek(candidate)).standing.fields == {"proved": "1", "since": str(began)}
    guarded.clock.advance(60)
    app.status = 401
    await guarded.post(CHAT)
    await guarded.post(CHAT)
    assert not guarded.bills[-1].proved
    assert guarded.bills[-1].payer == candidate
    app.status = 200
    await guarded.post(CHAT)
    fields = (await guarded.guardrail.peek(candidate)).standing.fields
    assert (fields["proved"], fields["since"]) == ("1", str(began)), "since when is never said anew"


async def test_what_was_used_is_paid_at_the_price_of_its_model() -> None:
    """$3 and $15 a million: 1000 x 3 + 200 x 15 = 6000 micro-dollars; at the dearest, small's, it would be 60,000."""
    models = {
        "large": {"usd_per_million": {"input": 3, "output": 15}},
        "small": {"usd_per_million": {"input": 30, "output": 150}},
    }
    guarded = Guarded(Upstream(USAGE), policy({"name": "spend", "unit": "usd", "rate": "1/hour"}, models=models))
    await guarded.post(CHAT, {**chat(), "model": "large"})
    assert await guarded.left() == {"spend": 994_000}


async def test_what_the_app_adds_is_owed_where_the_request_was_charged() -> None:
    tokens = {"unit": "tokens", "rate": "9000/minute"}
    guarded = Guarded(Upstream(USAGE), policy({"name": "own", **tokens}, {"name": "net", "per": ["network"], **tokens}))
    await guarded.post(CHAT, chat())
    guarded.store.settled.clear()
    exchange = guarded.app.scopes[0]["state"]["guardrail"]
    await exchange.add("tokens", 500)
    [added] = guarded.store.settled
    assert added.used == (500, 500)
    charged = guarded.bills[0].entries
    assert [(entry.home, entry.parent) for entry in added.receipt.bill.entries] == [
        (entry.home, entry.parent) for entry in charged
    ]
    assert added.receipt.now == guarded.clock.now()
    assert await guarded.left() == {"own": 9000 - 1200 - 500, "net": 9000 - 1200 - 500}


class Alone(CountingStore):
    """Every charge meets another standing; it can decide without it."""

    heard: tuple[Bill, StoreError] | None = None
    fails = False

    async def charge(self, bill: Bill) -> Receipt:
        await self.remember(bill.candidate, [Change("add", "cases", "1")])
        return await super().charge(bill)

    async def alone(self, bill: Bill, error: StoreError) -> Receipt:
        """As a store with a fallback does."""
        self.heard = bill, error
        if self.fails:
            raise StoreError("It fails too.")
        return (await super().charge(bill._replace(candidate="")))._replace(local=True)


@pytest.mark.parametrize(("fails", "status"), [(False, 200), (True, 503)])
async def test_who_is_stale_twice_is_decided_by_the_store_alone(fails: bool, status: int) -> None:
    store = Alone(FakeClock())
    store.fails = fails
    guarded = Guarded(Upstream(), policy({"name": "a", "rate": "9/minute"}, store={"on_error": "deny"}), store=store)
    assert (await guarded.post(CHAT)).status == status
    assert store.heard is not None
    bill, error = store.heard
    assert bill.candidate == guarded.bills[0].candidate
    assert error.public == "The account's standing keeps changing."
    assert guarded.guardrail.counts.read().get("engine.undecided", 0) == int(fails)


def test_what_lasts_beyond_a_reload_tells_its_observer() -> None:
    from ..telemetry.kit import Counts  # noqa: TID252 - an observer that counts

    counts = Counts()
    lasting = Lasting.of(load({"version": 1, "friction": {"delays": {"at_once": 0}}}), counts)
    assert not lasting.waiting.admit()
    assert counts == {"friction.delays_full": 1}
