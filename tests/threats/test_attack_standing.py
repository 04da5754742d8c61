"""What is held against an account holds on its next request, whatever it did to be taken for a stranger; and events tell it."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.stores.base import Change

from .kit import CHAT, JSON, KEY, OTHER_KEY, Answer, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

LIMIT = {"name": "requests", "rate": "1000/minute"}
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "1m"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 1, "full": 5}}}]}
FRICTION = {"ladder": [{"at": 50, "do": "trim"}], "decay": "30m"}
FORBIDDEN = (b"x-model", b"not-for-this-key")


class Choosy(Upstream):
    """An app that answers 401 to a good key which asks for a model that is not for it, as LiteLLM does."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.status = 401 if FORBIDDEN in scope["headers"] else 200
        await super().__call__(scope, receive, send)


class Site(Guarded):
    def __init__(self) -> None:
        document = policy(LIMIT, trust="app", velocity=[ATTEMPTS], risk=RISK, friction=FRICTION)
        super().__init__(Choosy(), document)

    async def asks(self, *more: tuple[bytes, bytes]) -> Answer:
        return await self.post(CHAT, chat(n=4), KEY, JSON, *more)

    @property
    def event(self) -> dict[str, Any]:
        return self.guardrail.recorder.latest(1)[0]

    async def heated(self) -> str:
        """The account's home, once it is on the rung, and what it did has left the window."""
        for _ in range(6):
            await self.asks()
        assert self.event["decision"] == "trim"
        self.clock.advance(120)
        return str(self.event["account"])


async def test_a_401_on_demand_is_no_amnesty() -> None:
    site = Site()
    account = await site.heated()
    assert (await site.asks(FORBIDDEN)).status == 401
    site.clock.advance(120)
    answer = await site.asks()
    event = site.event
    assert (event["authenticated"], event["account"]) == (False, account)
    # The rung was met at a risk of 100; 240 s of a half-life of 1800 leave 100 * 2^(-240/1800) = 91.17. The attempts that it
    # counts by itself are one, from where nothing is found.
    assert (event["risk"], event["effective"]) == (0.0, pytest.approx(91.17, abs=0.01))
    assert answer.field("x-guardrail-trimmed") == "n"


async def test_nor_is_it_a_way_round_an_override() -> None:
    site = Site()
    account = await site.heated()
    await site.asks(FORBIDDEN)
    await site.store.remember(account, [Change("set", "override", "deny 0")])
    assert (await site.asks()).status == 403
    assert site.event["why"] == ["override"]


async def test_a_key_that_was_never_proved_is_held_nothing_against() -> None:
    site = Site()
    for _ in range(6):
        assert (await site.asks(FORBIDDEN)).status == 401
    assert site.event["account"].startswith("n:")
    home = site.event["candidate"]
    assert not (await site.guardrail.peek(home)).standing.fields


async def test_the_verdict_in_a_plain_event_is_its_accounts_own() -> None:
    """Events of one kind are written from one outline: whoever came first must not lend the others his verdict."""
    site = Guarded(Upstream(), policy(LIMIT, telemetry={}))

    async def verdict(key: tuple[bytes, bytes]) -> str:
        await site.post(CHAT, chat(), key, JSON)
        return str(site.guardrail.recorder.latest(1)[0]["verdict"])

    assert [await verdict(KEY), await verdict(OTHER_KEY)] == ["none", "none"]
    home = site.guardrail.recorder.latest(1)[0]["account"]
    await site.store.remember(home, [Change("set", "verdict", "suspect")])
    assert [await verdict(OTHER_KEY), await verdict(KEY)] == ["suspect", "none"]
    await site.store.remember(home, [Change("unset", "verdict")])
    assert await verdict(OTHER_KEY) == "none"
