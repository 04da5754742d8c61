"""How an account stands: what of its latest decision and its standing says which limits would hold, and where."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.stores.base import Change

from ..asgi.kit import KEY, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from .kit import VERIFIES, shown

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "60/minute"}
HERE = {"name": "here", "per": ["network"], "rate": "60/minute"}


def guarded(*limits: dict[str, Any], **rest: Any) -> Guarded:
    """One that writes events, from which networks are known."""
    return Guarded(Upstream(), policy(*limits, friction={"ladder": [{"at": 90, "do": "delay"}]}, **rest))


async def test_a_limit_as_it_stands() -> None:
    kit = guarded(REQUESTS, HERE, {"name": "slots", "concurrency": 3, "shadow": True})
    for _ in range(2):
        await kit.post(CHAT, chat())
    account = kit.bills[0].candidate
    peeked = await kit.guardrail.peek(account)
    requests, here, slots = peeked.limits
    home = kit.bills[0].entries
    network = next(entry.home for entry in home if entry.home.startswith("n:"))
    assert requests[:5] == ("requests", "requests", "token_bucket", "60/minute", ("account",))
    assert (requests.model, requests.remaining, requests.reset, requests.wait, requests.ok) == (None, 58, 2_000_000, 0, True)
    assert (requests.shadow, requests.whose) == (False, account)
    assert (here.remaining, here.whose, here.per) == (58, network, ("network",))
    assert (slots.kind, slots.shadow, slots.remaining) == ("concurrency", True, 3)
    assert (peeked.account, peeked.rung, peeked.risk) == (account, "", 0.0)


async def test_what_only_a_request_would_tell() -> None:
    kit = guarded(REQUESTS, HERE)
    peeked = await kit.guardrail.peek("a:nobodyhasseenthisoneyet")
    requests, here = peeked.limits
    assert requests.remaining == 60
    assert (here.remaining, here.reset, here.wait, here.ok, here.whose) == (None, 0, 0, True, "")
    assert peeked.home("network") is None
    assert peeked.home("account") == "a:nobodyhasseenthisoneyet"
    assert peeked.home("") == "e"


async def test_a_network_is_its_own() -> None:
    kit = guarded({**REQUESTS, "when": {"authenticated": True}}, HERE)
    await kit.get(CHAT, (b"x-nothing", b"1"), method="POST")
    network = kit.bills[0].payer
    peeked = await kit.guardrail.peek(network)
    assert [(held.name, held.remaining) for held in peeked.limits] == [("here", 59)]
    assert peeked.home("network") == network


@pytest.mark.parametrize(
    ("fields", "when"), [(shown(), {"verified": True}), ({"verdict": "watched"}, {"verdict": "watched"})]
)
async def test_a_standing_says_what_would_hold(fields: dict[str, str], when: dict[str, Any]) -> None:
    kit = guarded(REQUESTS, {"name": "special", "when": when, "rate": "7/minute"}, **VERIFIES)
    await kit.post(CHAT, chat())
    account = kit.bills[0].candidate
    assert [held.name for held in (await kit.guardrail.peek(account)).limits] == ["requests"]
    await kit.store.remember(account, [Change("set", *each) for each in fields.items()])
    assert [held.name for held in (await kit.guardrail.peek(account)).limits] == ["requests", "special"]


async def test_its_cluster_is_where_its_usage_is_counted() -> None:
    kit = guarded({"name": "together", "per": ["cluster"], "rate": "9/minute"})
    await kit.post(CHAT, chat())
    account = kit.bills[0].candidate
    assert (await kit.guardrail.peek(account)).home("cluster") == account
    await kit.store.remember(account, [Change("set", "cluster", "abc")])
    peeked = await kit.guardrail.peek(account)
    assert peeked.home("cluster") == "c:abc"
    assert [(held.whose, held.remaining) for held in peeked.limits] == [("c:abc", 9)]


async def test_models_that_limits_tell_apart_are_told_each() -> None:
    limits = {"name": "each", "per": ["account", "model"], "rate": "9/minute"}
    kit = guarded(limits, REQUESTS, models={"large": {}, "small": {}})
    await kit.post(CHAT, {**chat(), "model": "small"})
    peeked = await kit.guardrail.peek(kit.bills[0].candidate)
    assert [(held.name, held.model, held.remaining) for held in peeked.limits] == [
        ("each", "large", 9),
        ("each", "small", 8),
        ("each", "other", 9),
        ("requests", None, 59),
    ]


async def test_routes_by_path_and_by_name() -> None:
    kit = guarded(REQUESTS)
    await kit.post(CHAT, chat())
    account = kit.bills[0].candidate
    assert [held.name for held in (await kit.guardrail.peek(account, CHAT)).limits] == ["requests"]
    assert (await kit.guardrail.peek(account, "/v1/models")).limits == ()
    with pytest.raises(MisuseError):
        await kit.guardrail.peek(account, "no-such-route")
    assert await kit.left(KEY) == {"requests": 59}, "to look charges nothing"
