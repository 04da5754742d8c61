"""A policy under test: an app behind it, a clock that stands still, a store of its own. What the fixture `guarded` makes.

def test_the_fourth_at_once_waits(guarded):
    api = guarded("policy.yaml")
    assert [api.chat().status for _ in range(4)] == [200, 200, 200, 429]
    api.clock.advance(1)
    assert api.chat().status == 200
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from guardrail_mw.asgi.middleware import GuardrailMiddleware
from guardrail_mw.engine import Guardrail
from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import Policy, load
from guardrail_mw.quantities import Duration
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing import calls
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.upstream import Upstream

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import PolicySource
    from guardrail_mw.engine.peeking import Peeked
    from guardrail_mw.stores.base import Store
    from guardrail_mw.telemetry.event import Event

__all__ = ["ENVIRON", "Answer", "Guarded"]

T = TypeVar("T")

ENVIRON: Final[Mapping[str, str]] = {
    "GUARDRAIL_ID_KEY": "the same in every test: thresholds stay put",
    "GUARDRAIL_KEYS": "the same in every test: cookies do too",
}
"""What a `Guarded` is run in besides what it is given: nothing of the machine's own environment."""
_UNSET: Final = re.compile(r"environment variable (\w+), which is not set")
_ALL: Final = 10_000
_PATIENT: Final = Duration.parse("10s")
"""A test asks what a store answers, not how soon."""


class Answer(NamedTuple):
    """What the caller got, and what was recorded of it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """In order, names in lower case."""
    body: bytes
    waited: float
    """Seconds that passed on the clock meanwhile: how long a rung held it."""
    recorded: Event | None
    """The decision's event; None where none was made."""

    def header(self, name: str) -> str | None:
        """A header's value, the first of several; None where it is missing."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def event(self) -> Event:
        """The decision's event: docs/reference/events.md says what is in it.

        Raises:
            LookupError: no decision was made.
        """
        if self.recorded is None:
            raise LookupError("no decision was made: the route is exempt, the mode is off, or the policy was not asked")
        return self.recorded

    @property
    def decision(self) -> str:
        """allow, delay, trim, challenge, verify or deny."""
        said: str = self.event["decision"]
        return said

    @property
    def left(self) -> dict[str, int]:
        """What is left of each limit that held, by name, in its unit, this call's reservation taken."""
        return {limit["name"]: limit["remaining"] for limit in self.event["limits"]}


class Guarded:
    """An app behind a policy, on an event loop and a thread of its own: plain tests call it, and `async` ones as they do.

    The policy's sinks and its operator's port are left out: `events` has what they would have heard, and no port is opened.
    A store has 10 s to answer, whatever the policy says.

    Args:
        policy: a path, the name of a policy that ships, a mapping, or a `Policy`.
        app: any ASGI app; `Upstream` unless given.
        store: one that `clock` drives, or a URL; whatever the policy says, memory unless given.
        clock: stands still until told to move.
        environ: what the environment says: variables of the policy, `GUARDRAIL_MODE` to run it in another mode.
        headers: those of every call.
        peer: the address that every call comes from.

    Raises:
        PolicyError: the policy is bad; every problem at once.
    """

    def __init__(
        self,
        policy: PolicySource,
        app: Any = None,
        *,
        store: Store | str | None = None,
        clock: FakeClock | None = None,
        environ: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        peer: str = calls.PEER,
    ) -> None:
        environ = {**ENVIRON, **(environ or {})}
        self.clock = clock if clock is not None else FakeClock()
        self.app: Any = app if app is not None else Upstream()
        if isinstance(store, str):
            environ["GUARDRAIL_STORE"] = store
        opened = None if isinstance(store, str) else store if store is not None else MemoryStore(clock=self.clock)
        self.guardrail = Guardrail(_alone(policy, environ), store=opened, clock=self.clock, environ=environ)
        self._middleware = GuardrailMiddleware(self.app, self.guardrail)
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self._peer = peer
        self._thread = ThreadPoolExecutor(1, "guarded")
        self._runner = asyncio.Runner()
        self._closed = False

    # Calls

    def chat(self, prompt: str | int = "Hello", **more: Any) -> Answer:
        """Send one `calls.chat`."""
        return self.ask(calls.chat(prompt, **more))

    def messages(self, prompt: str | int = "Hello", **more: Any) -> Answer:
        """Send one `calls.messages`."""
        return self.ask(calls.messages(prompt, **more))

    def embeddings(self, texts: str | int | list[str] = "Hello", **more: Any) -> Answer:
        """Send one `calls.embeddings`."""
        return self.ask(calls.embeddings(texts, **more))

    def get(self, path: str, **more: Any) -> Answer:
        """Send one `calls.call` with GET."""
        return self.ask(calls.call("GET", path, **more))

    def ask(self, call: calls.Call) -> Answer:
        """Send one call; what the app raises comes out here."""
        return self._run(self._send(call))

    def together(self, *several: calls.Call) -> list[Answer]:
        """Send several at once; the answers in the same order. Each waits while any of them does."""

        async def send() -> list[Answer]:
            return list(await asyncio.gather(*map(self._send, several)))

        return self._run(send())

    # What is known afterwards

    @property
    def events(self) -> list[Event]:
        """The event of each decision, the oldest first."""
        return self.guardrail.recorder.latest(_ALL)[::-1]

    @property
    def counts(self) -> Mapping[str, int]:
        """What was counted, by name: docs/reference/counts.md has the names."""
        return self.guardrail.counts.read()

    def peek(self, answer: Answer, route: str = "") -> Peeked:
        """How whoever got this answer stands now: limits, remembered risk, rung. Charges nothing."""
        return self._run(self.guardrail.peek(answer.event["account"], route))

    def close(self) -> None:
        """Let go of the store and the loop; once is enough. The fixture does it."""
        if self._closed:
            return
        self._closed = True
        self._run(self.guardrail.close())
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._thread.submit(self._runner.run, work).result()

    async def _send(self, call: calls.Call) -> Answer:
        sent: list[dict[str, Any]] = []
        coming = [{"type": "http.request", "body": call.body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not coming:
                await asyncio.Event().wait()  # the caller stays
            return coming.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        before = self.clock.monotonic()
        await self._middleware(call.scope(self._headers, self._peer), receive, send)
        waited = (self.clock.monotonic() - before) / 1_000_000
        await self.guardrail.drain()
        return self._read(sent, waited)

    def _read(self, sent: list[dict[str, Any]], waited: float) -> Answer:
        nothing: dict[str, Any] = {"status": 0, "headers": ()}
        start = next((each for each in sent if each["type"] == "http.response.start"), nothing)
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in start["headers"])
        decision = dict(headers).get("x-guardrail-decision")
        body = b"".join([each.get("body", b"") for each in sent if each["type"] == "http.response.body"])
        recorded = self.guardrail.recorder.find(decision) if decision is not None else None
        return Answer(start["status"], headers, body, waited, recorded)


def _alone(policy: PolicySource, environ: Mapping[str, str]) -> Policy:
    """The policy, heard and watched by nobody else, and patient with its store."""
    try:
        read = load(policy, environ=environ, without={"console"})
    except PolicyError as error:
        raise PolicyError([_told(each) for each in error.problems]) from error.__cause__
    quiet = read.telemetry.model_copy(update={"events": []})
    patient = read.store.model_copy(update={"deadline": _PATIENT})
    return read.model_copy(update={"console": None, "telemetry": quiet, "store": patient})


def _told(problem: Problem) -> Problem:
    """What a variable that is missing wants in a test: nothing of the machine's own environment is read."""
    missing = _UNSET.search(problem.message)
    return problem if missing is None else replace(problem, hint=f"In a test: guarded(…, environ={{{missing[1]!r}: …}}).")
