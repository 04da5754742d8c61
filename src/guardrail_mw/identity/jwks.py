"""Fetched keys: renewed in the background, learned at once when a token names a new one, kept when the issuer fails.

A fetch runs in a thread and an event loop of its own, so that neither a slow issuer nor the loading of certificates holds
up a request, and so that requests of any event loop can await the same fetch.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from guardrail_mw import fetching
from guardrail_mw.clock import Clock
from guardrail_mw.identity.jwk import KeySet, read_jwks
from guardrail_mw.recent import Recent
from guardrail_mw.values import Observer

__all__ = ["FetchError", "RemoteKeys", "fetch"]

DEADLINE: Final = 5.0
"""Seconds for a whole fetch, from resolving the name to the last byte."""
LARGEST: Final = 262_144
"""Bytes of a key set; real ones have 1 to 10 kB."""
PERIOD: Final = 300_000_000
"""µs after which keys are fetched anew, in the background."""
RETRY: Final = 30_000_000
"""µs after which a failed fetch is tried again."""
FIRST_RETRY: Final = 2_000_000
"""The same while there are no keys at all."""
COOL_DOWN: Final = 30_000_000
"""µs in which a `kid` that a fetch did not bring causes no other."""
BUDGET: Final = 5
"""Fetches that unknown `kid`s may cause at once; one comes back every `REFILL` µs."""
REFILL: Final = 12_000_000
KIDS: Final = 1024
"""Unknown `kid`s remembered in a generation."""
_HEADERS: Final = {"accept": "application/jwk-set+json, application/json"}


class FetchError(Exception):
    """The issuer did not give its keys. For logs."""


async def fetch(url: str) -> bytes:
    """Get `url` within `DEADLINE`; no redirects, no compression, at most `LARGEST` bytes.

    Raises:
        FetchError: whatever went wrong.
    """
    try:
        found = await fetching.fetch("GET", url, deadline=DEADLINE, longest=LARGEST, headers=_HEADERS)
    except fetching.NoAnswerError as error:
        raise FetchError(str(error)) from error
    if found.status != 200:  # noqa: PLR2004 - nothing else is a key set
        raise FetchError(f"status {found.status}; redirects are not followed")
    return found.body


class RemoteKeys:
    """The keys behind one URL. May be used from several event loops and threads.

    Args:
        url: of the JSON Web Key Set.
        clock: read monotonically.
        observer: hears `identity.jwks_{fetched,failed,key_left_out,budget_spent,changed}`.
        withdrawn: called, from any thread, when a key that was there is gone.
    """

    def __init__(self, url: str, *, clock: Clock, observer: Observer, withdrawn: Callable[[], None]) -> None:
        self.url = url
        self.current: KeySet | None = None
        """The newest set that could be read, however old; None before the first."""
        self.last_error = ""
        """Why the last fetch failed, for logs and health checks; empty after one that did not."""
        self._clock = clock
        self._observer = observer
        self._withdrawn = withdrawn
        self._lock = threading.Lock()
        self._running: Future[None] | None = None
        self._due = 0
        self._cooling: Recent[str, int] = Recent(KIDS)
        self._spent_until = 0

    def freshen(self) -> None:
        """Start a fetch in the background when the last is too long ago. Never waits."""
        if self._is_due():
            with self._lock:
                if self._is_due():
                    self._launch()

    def _is_due(self) -> bool:
        return self._running is None and self._clock.monotonic() >= self._due

    async def ready(self) -> None:
        """Wait for the first keys; comes back without them when the issuer fails."""
        if self.current is not None:
            return
        self.freshen()
        await self._wait(self._running)

    async def learn(self, kid: str | None) -> None:
        """Wait for a fetch that began after now and may bring `kid`; comes back at once where none may be made.

        A fetch that is under way is awaited first, since it may bring it; if not, it began too early to tell.
        """
        if self.current is None:
            await self.ready()
            return
        await self._wait(self._running)
        if kid is None or self.current.knows(kid):
            return
        with self._lock:
            running = self._running or self._launch_for(kid)
        await self._wait(running)

    async def aclose(self) -> None:
        """Wait for the fetch under way, if there is one: at most `DEADLINE`."""
        await self._wait(self._running)

    def _launch_for(self, kid: str) -> Future[None] | None:
        """With the lock: a fetch for `kid`, where its cool-down and the budget over all allow one."""
        now = self._clock.monotonic()
        if (self._cooling.get(kid) or 0) > now:
            return None
        if max(self._spent_until, now) + REFILL > now + BUDGET * REFILL:
            self._observer.count("identity.jwks_budget_spent")
            return None
        self._spent_until = max(self._spent_until, now) + REFILL
        self._cooling.put(kid, now + COOL_DOWN)
        return self._launch(kid)

    def _launch(self, kid: str | None = None) -> Future[None]:
        """With the lock: begin a fetch."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        self._running = future
        threading.Thread(target=self._run, args=(future, kid), name="guardrail-jwks", daemon=True).start()
        return future

    async def _wait(self, running: Future[None] | None) -> None:
        """Until `running` has ended, however it does; a waiter that is cancelled leaves alone."""
        if running is None or running.done():
            return
        try:
            async with asyncio.timeout(DEADLINE + 1):
                await asyncio.wrap_future(running)
        except TimeoutError:
            return

    def _run(self, future: Future[None], kid: str | None) -> None:
        """In the thread: fetch, take over, tell the waiters. Whatever an issuer sends must not keep `_running` for ever."""
        try:
            if self._take(asyncio.run(fetch(self.url))):
                self._withdrawn()
            self.last_error = ""
            self._due = self._clock.monotonic() + PERIOD
        except Exception as error:  # noqa: BLE001 - see above; it is counted and told
            self.last_error = str(error)
            self._observer.count("identity.jwks_failed")
            self._due = self._clock.monotonic() + (FIRST_RETRY if self.current is None else RETRY)
            if kid is not None:
                self._cooling.pop(kid)
        finally:
            with self._lock:
                self._running = None
            future.set_result(None)

    def _take(self, body: bytes) -> bool:
        """Read a set and make it the current one; tells whether a key is gone."""
        try:
            keys, left_out = read_jwks(json.loads(body))
        except RecursionError as error:
            raise FetchError("nested too deeply") from error
        self._observer.count("identity.jwks_fetched")
        if left_out:
            self._observer.count("identity.jwks_key_left_out", len(left_out))
        before, self.current = self.current, keys
        if before is None or before.prints == keys.prints:
            return False
        self._observer.count("identity.jwks_changed")
        return not before.prints <= keys.prints
