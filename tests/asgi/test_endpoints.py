"""What an orchestrator asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from guardrail_mw.asgi import endpoints
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Receipt, Settlement
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from .kit import KEY, Answer, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "2/minute"}
PROBLEM = "application/problem+json"
LIVE, READY = "/.guardrail" + endpoints.LIVE, "/.guardrail" + endpoints.READY


class Shared:
    """A store that is not this process's own, and can be out of order."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.failure: Exception | None = None
        self.bills: list[Bill] = []
        self._memory = MemoryStore(clock=clock)

    async def charge(self, bill: Bill) -> Receipt:
        self.bills.append(bill)
        if self.failure is not None:
            raise self.failure
        return await self._memory.charge(bill)

    def settle(self, settlements: Sequence[Settlement]) -> None:
        self._memory.settle(settlements)

    async def drain(self) -> None:
        await self._memory.drain()

    async def close(self) -> None:
        await self._memory.close()


@pytest.fixture
async def shared() -> AsyncIterator[Any]:
    """Makes an app guarded on a store of its own kind; closed at the end."""
    made: list[Guarded] = []

    def make(mode: str = "enforce", on_error: str = "deny") -> Guarded:
        clock = FakeClock()
        keys = {"GUARDRAIL_KEYS": "k" * 32, "GUARDRAIL_ID_KEY": "i" * 32}
        document = policy(REQUESTS, mode=mode, store={"on_error": on_error})
        made.append(Guarded(Upstream(), document, store=Shared(clock), clock=clock, environ=keys))
        return made[-1]

    yield make
    for guarded in made:
        await guarded.guardrail.close()


def problem(answer: Answer) -> tuple[int, str]:
    """Status and code of an answer in RFC 9457's shape."""
    assert answer.field("content-type") == PROBLEM
    assert answer.json["status"] == answer.status
    return answer.status, answer.json["code"]


@pytest.mark.parametrize("mode", ["enforce", "shadow", "off"])
@pytest.mark.parametrize(("path", "said"), [(LIVE, "live"), (READY, "ready")])
async def test_both_answer_in_every_mode_without_the_app_and_uncharged(mode: str, path: str, said: str) -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, policy({"name": "requests", "rate": "1/minute"}, mode=mode))
    for _ in range(5):
        answer = await guarded.get(path)
        assert (answer.status, answer.json) == (200, {"status": said})
        assert answer.field("content-type") == "application/json"
        assert answer.field("cache-control") == "no-store"
    assert upstream.calls == 0
    assert guarded.bills == []
    assert len(guarded.guardrail.recorder) == 0


@pytest.mark.parametrize("path", [LIVE, READY])
async def test_a_head_says_how_long_the_body_would_be(path: str) -> None:
    guarded = Guarded(Upstream(), policy())
    whole, head = await guarded.get(path), await guarded.get(path, method="HEAD")
    assert head.status == 200
    assert head.body == b""
    assert head.field("content-length") == whole.field("content-length") == str(len(whole.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_not_allowed(method: str) -> None:
    upstream = Upstream()
    answer = await Guarded(upstream, policy()).get(LIVE, method=method)
    assert problem(answer) == (405, "method_not_allowed")
    assert answer.field("allow") == "GET, HEAD"
    assert upstream.calls == 0


@pytest.mark.parametrize(
    "path",
    ["/.guardrail", "/.guardrail/", "/.guardrail/live/", "/.guardrail/lives", "//.guardrail/live", "/v1/.guardrail/live"],
)
async def test_every_other_path_is_the_apps_and_guarded(path: str) -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, policy({"name": "requests", "rate": "1/minute"}))
    assert [(await guarded.get(path)).status for _ in range(2)] == [200, 429]
    assert upstream.calls == 1


async def test_they_stand_below_the_apps_root() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, policy())
    assert (await guarded.get(f"/models{LIVE}", root_path="/models")).json == {"status": "live"}
    assert upstream.calls == 0
    assert (await guarded.get(f"/models{LIVE}")).body == b"{}"  # without that root it is a path of the app's
    assert (await guarded.get(f"/modelsx{LIVE}", root_path="/models")).body == b"{}"
    assert upstream.calls == 2


async def test_a_socket_there_is_the_apps() -> None:
    upstream = Upstream()
    guarded = Guarded(upstream, policy())
    scope = {"type": "websocket", "path": LIVE, "headers": [KEY], "client": ("198.51.100.7", 1), "state": {}}
    await guarded.ask(scope)
    assert upstream.calls == 1


async def test_not_ready_where_the_policy_refuses_without_the_store(shared: Any) -> None:
    guarded = shared()
    assert (await guarded.get(READY)).status == 200
    guarded.store.failure = StoreError("Down.", "at redis://user:secret@db.internal")
    answer = await guarded.get(READY)
    assert problem(answer) == (503, "store_unavailable")
    assert b"secret" not in answer.body
    assert b"db.internal" not in answer.body
    assert (await guarded.get(READY, method="HEAD")).body == b""
    assert (await guarded.post("/v1/chat/completions", {})).status == 503  # and so it is for requests
    assert (await guarded.get(LIVE)).status == 200  # a restart would not mend it
    guarded.store.failure = None


async def test_a_store_that_fails_in_its_own_way_is_not_ready_either(shared: Any) -> None:
    guarded = shared()
    guarded.store.failure = RuntimeError("a plugin's")
    assert problem(await guarded.get(READY)) == (503, "store_unavailable")


@pytest.mark.parametrize(
    ("mode", "on_error"), [("enforce", "allow"), ("enforce", "local"), ("shadow", "deny"), ("off", "deny")]
)
async def test_ready_without_asking_where_requests_pass_all_the_same(shared: Any, mode: str, on_error: str) -> None:
    guarded = shared(mode, on_error)
    guarded.store.failure = StoreError("Down.")
    assert (await guarded.get(READY)).status == 200
    assert guarded.store.bills == []
    assert (await guarded.post("/v1/chat/completions", {})).status == 200


async def test_asking_charges_nobody(shared: Any) -> None:
    guarded = shared()
    for _ in range(3):
        assert (await guarded.get(READY)).status == 200
    assert len({bill.payer for bill in guarded.store.bills}) == 3  # a subject of its own each time, gone at once
    assert all(bill.payer.startswith("p:") and bill.candidate == "" for bill in guarded.store.bills)
    assert [(await guarded.post("/v1/chat/completions", {})).status for _ in range(3)] == [200, 200, 429]


async def test_a_breaker_that_is_open_is_not_ready_without_asking_the_store(shared: Any) -> None:
    guarded = shared()
    guarded.store.failure = StoreError("Down.")
    for _ in range(3):  # opens on three failures in a row over 50 ms
        assert guarded.guardrail.store.available
        await guarded.get(READY)
        guarded.clock.advance(0.025)
    assert not guarded.guardrail.store.available
    asked = len(guarded.store.bills)
    assert problem(await guarded.get(READY)) == (503, "store_unavailable")
    assert len(guarded.store.bills) == asked
    guarded.store.failure = None
