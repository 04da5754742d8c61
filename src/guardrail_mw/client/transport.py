"""Transports that solve a challenge and send the request again, once.

The course that they take is one (`guardrail_mw.client.course`); here is what a step of it does in a thread of the caller's own,
and what on an event loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from guardrail_mw.client.course import Course, Turn
from guardrail_mw.client.puzzle import HARDEST, LONGEST, Puzzle, solve

if TYPE_CHECKING:
    from types import TracebackType

    import anyio
    from httpx2 import AsyncBaseTransport, AsyncByteStream, BaseTransport, Request, Response, SyncByteStream
else:  # whoever uses a transport has the library that it is for
    AsyncBaseTransport = BaseTransport = object

__all__ = ["AsyncSolvingTransport", "SolvingTransport"]

_T = TypeVar("_T")


class SolvingTransport(Course, BaseTransport):
    """A transport that solves challenges, for a client that waits.

    Args:
        wrapped: the transport that sends: `httpx2.HTTPTransport()`, or whatever else the client would use.
        longest: seconds that one challenge may take from the refusal to its clearance, waiting for others included; a read
            timeout that is shorter holds in its place.
        hardest: rounds of hashing that a puzzle may take on average.
        origins: servers besides the request's own to which an answer may be sent, `https://guard.example`.
    """

    def __init__(
        self, wrapped: BaseTransport, *, longest: float = LONGEST, hardest: int = HARDEST, origins: Iterable[str] = ()
    ) -> None:
        super().__init__(longest=longest, hardest=hardest, origins=origins)
        self._wrapped = wrapped

    def handle_request(self, request: Request) -> Response:
        """Send a request; where a challenge is the answer, solve that and send it again."""
        return _at_once(self._handle(request))

    def close(self) -> None:
        """Close the wrapped transport."""
        self._wrapped.close()

    def __enter__(self) -> Self:
        self._wrapped.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._wrapped.__exit__(exc_type, exc_value, traceback)

    async def _send(self, request: Request) -> Response:
        return self._wrapped.handle_request(request)

    async def _load(self, request: Request) -> None:
        request.read()

    async def _body(self, response: Response) -> bytes:
        try:
            return b"".join(cast("SyncByteStream", response.stream))
        finally:
            response.close()

    async def _solve(self, puzzle: Puzzle, seconds: float) -> str:
        return solve(puzzle, longest=seconds)

    def _lock(self) -> type[Any]:
        return threading.Lock

    @asynccontextmanager
    async def _waiting(self, turn: Turn, until: float) -> AsyncIterator[bool]:
        ours = turn.lock.acquire(timeout=max(0.0, until - time.monotonic()))
        try:
            yield ours
        finally:
            if ours:
                turn.lock.release()


class AsyncSolvingTransport(Course, AsyncBaseTransport):
    """A transport that solves challenges, for a client on an event loop. The search runs in a thread and keeps nobody waiting.

    Args:
        wrapped: the transport that sends: `httpx2.AsyncHTTPTransport()`, or whatever else the client would use.
        longest: seconds that one challenge may take from the refusal to its clearance, waiting for others included; a read
            timeout that is shorter holds in its place.
        hardest: rounds of hashing that a puzzle may take on average.
        origins: servers besides the request's own to which an answer may be sent, `https://guard.example`.
    """

    def __init__(
        self, wrapped: AsyncBaseTransport, *, longest: float = LONGEST, hardest: int = HARDEST, origins: Iterable[str] = ()
    ) -> None:
        super().__init__(longest=longest, hardest=hardest, origins=origins)
        self._wrapped = wrapped

    async def handle_async_request(self, request: Request) -> Response:
        """Send a request; where a challenge is the answer, solve that and send it again."""
        return await self._handle(request)

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._wrapped.aclose()

    async def __aenter__(self) -> Self:
        await self._wrapped.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._wrapped.__aexit__(exc_type, exc_value, traceback)

    async def _send(self, request: Request) -> Response:
        return await self._wrapped.handle_async_request(request)

    async def _load(self, request: Request) -> None:
        await request.aread()

    async def _body(self, response: Response) -> bytes:
        try:
            return b"".join([part async for part in cast("AsyncByteStream", response.stream)])
        finally:
            await response.aclose()

    async def _solve(self, puzzle: Puzzle, seconds: float) -> str:
        from anyio import to_thread

        given_up = threading.Event()
        try:
            return await to_thread.run_sync(
                lambda: solve(puzzle, longest=seconds, stopped=given_up.is_set), abandon_on_cancel=True
            )
        finally:
            given_up.set()

    def _lock(self) -> type[anyio.Lock]:
        from anyio import Lock

        return Lock

    @asynccontextmanager
    async def _waiting(self, turn: Turn, until: float) -> AsyncIterator[bool]:
        from anyio import move_on_after

        ours = False
        with move_on_after(max(0.0, until - time.monotonic())):
            await turn.lock.acquire()
            ours = True
        try:
            yield ours
        finally:
            if ours:
                turn.lock.release()


def _at_once(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """The outcome of a coroutine none of whose steps waits for an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        outcome: _T = end.value
        return outcome
    raise RuntimeError("A step waited for an event loop where there is none.")
