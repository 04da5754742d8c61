"""What both transports do, written as if it waited.

Which library a request is of, httpx2 or the httpx before it, the request itself says.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from guardrail_mw.client.puzzle import ChallengeError, Puzzle, challenge_in, read

if TYPE_CHECKING:
    from httpx2 import URL, Request, Response

__all__ = ["Course", "Turn", "listed"]

_LOG: Final = logging.getLogger("guardrail_mw.client")
_FORBIDDEN: Final = 403
_PORTS: Final = {"http": 80, "https": 443}
_KEPT: Final = 32 * 1024 * 1024
"""Bytes of an upload that are read before it is sent, so that it can be sent again."""


class Turn:
    """Requests of one credential to one server: they solve one at a time, and whoever waited goes by what the other reached."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.cleared = 0
        """How many challenges were met."""


class _Turns:
    """The turns of a client; each is forgotten when none of its requests is under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: WeakValueDictionary[tuple[object, ...], Turn] = WeakValueDictionary()

    def of(self, request: Request, lock: type[Any]) -> Turn:
        """The one that a request shares."""
        shown = (request.headers.get(name) for name in ("authorization", "x-api-key", "api-key"))
        key = (_origin(request.url), *shown)
        with self._lock:
            turn = self._turns.get(key)
            if turn is None:
                turn = self._turns[key] = Turn(lock())
        return turn


class _Jar:
    """Cookies of answers that the client never sees, and of those that it does: the newest holds."""

    def __init__(self) -> None:
        self._cookies = CookieJar()

    def keep(self, library: Any, request: Request, response: Response) -> None:
        """Take in what a response sets."""
        if "set-cookie" not in response.headers:
            return
        response.request = request
        library.Cookies(self._cookies).extract_cookies(response)

    def add_to(self, library: Any, request: Request) -> None:
        """Put what belongs to a request beside the cookies that it has."""
        bare = library.Request(request.method, request.url)
        library.Cookies(self._cookies).set_cookie_header(bare)
        ours = _pairs(bare.headers.get("cookie", ""))
        if ours:
            request.headers["cookie"] = "; ".join((_pairs(request.headers.get("cookie", "")) | ours).values())


def _pairs(header: str) -> dict[str, str]:
    """Its cookies by their names."""
    return {pair.partition("=")[0]: pair for pair in header.split("; ") if pair}


def _library(request: Request) -> Any:
    """The httpx or httpx2 that a request is of."""
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in {"httpx", "httpx2"}:
            return sys.modules[name]
    raise TypeError(f"A request of httpx2 or of httpx was expected, not {type(request)}.")


def _origin(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme)


def listed(origins: Iterable[str]) -> tuple[str, ...]:
    """Servers to which answers may be sent.

    Raises:
        TypeError: one text in place of a list.
        ValueError: one of them is not scheme and host.
    """
    if isinstance(origins, str):
        raise TypeError(f"origins is a list of origins, such as [{origins!r}], not one text.")
    found = tuple(origins)
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ValueError(f"{each!r} is no origin. Write scheme and host, such as 'https://guard.example'.")
    return found


class Course:
    """What both transports do.

    Args:
        longest: seconds that one challenge may take from the refusal to its clearance, waiting for others included; a read
            timeout that is shorter holds in its place.
        hardest: rounds of hashing that a puzzle may take on average.
        origins: servers besides the request's own to which an answer may be sent, `https://guard.example`.
    """

    def __init__(self, *, longest: float, hardest: int, origins: Iterable[str]) -> None:
        self._longest = longest
        self._hardest = hardest
        self._origins = listed(origins)
        self._jar = _Jar()
        self._turns = _Turns()

    async def _send(self, request: Request) -> Response:
        raise NotImplementedError

    async def _load(self, request: Request) -> None:
        """Read a request's body into memory."""
        raise NotImplementedError

    async def _body(self, response: Response) -> bytes:
        """A response's body as it is on the wire. The response is closed."""
        raise NotImplementedError

    async def _solve(self, puzzle: Puzzle, seconds: float) -> str:
        raise NotImplementedError

    def _lock(self) -> type[Any]:
        raise NotImplementedError

    def _waiting(self, turn: Turn, until: float) -> AbstractAsyncContextManager[bool]:
        """Holds a turn; False where it was not to be had in time."""
        raise NotImplementedError

    async def _handle(self, request: Request) -> Response:
        """Send it; where a challenge is the answer, solve that and send it again."""
        library = _library(request)
        replayable = await self._replayable(library, request)
        turn = self._turns.of(request, self._lock())
        until = 0.0
        relied = False
        while True:
            cleared = turn.cleared
            response, found = await self._ask(library, request)
            if found is None:
                return response
            if not replayable:
                _LOG.warning("A challenge was not solved: the request's body is a stream that cannot be sent again.")
                return response
            until = until or time.monotonic() + self._patience(request)
            async with self._waiting(turn, until) as ours:
                if not ours:
                    _LOG.warning("A challenge was not solved in time: others were before it.")
                    return response
                if turn.cleared != cleared and not relied:
                    relied = True  # another request of this credential was let through meanwhile: so may this one be
                    continue
                if not await self._clear(library, request, found, until):
                    return response
                turn.cleared += 1
            return await self._pass(library, request)

    async def _replayable(self, library: Any, request: Request) -> bool:
        """Whether a request can be sent a second time; an upload whose length is known is read for that."""
        length = request.headers.get("content-length", "")
        if not isinstance(request.stream, library.ByteStream) and length.isdecimal() and int(length) <= _KEPT:
            await self._load(request)
        return isinstance(request.stream, library.ByteStream)

    def _patience(self, request: Request) -> float:
        limit = request.extensions.get("timeout", {}).get("read")
        return self._longest if limit is None else min(self._longest, limit)

    async def _pass(self, library: Any, request: Request) -> Response:
        """Send a request with what is ours beside it. The client's own is left as it is."""
        copy = library.Request(
            request.method, request.url, headers=request.headers, stream=request.stream, extensions=request.extensions
        )
        copy.headers["guardrail-solve"] = "altcha"
        self._jar.add_to(library, copy)
        response = await self._send(copy)
        self._jar.keep(library, copy, response)
        return response

    async def _ask(self, library: Any, request: Request) -> tuple[Response, Mapping[str, Any] | None]:
        """Send a request: its answer, and the challenge that is in it."""
        response = await self._pass(library, request)
        if response.status_code != _FORBIDDEN or "json" not in response.headers.get("content-type", ""):
            return response, None
        raw = await self._body(response)
        unread = library.Response(
            response.status_code, headers=response.headers, stream=library.ByteStream(raw), extensions=response.extensions
        )
        return unread, _found(library, response.headers, raw)

    async def _clear(self, library: Any, request: Request, challenge: Mapping[str, Any], until: float) -> bool:
        """Solve a challenge, or the one that is made in its place; whether the server was satisfied."""
        base = request.url
        for _ in range(2):
            try:
                puzzle = read(challenge, hardest=self._hardest)
                url = self._url(library, request, base, puzzle.url)
                answer = await self._solve(puzzle, until - time.monotonic())
                cleared, successor = await self._answer(library, request, url, puzzle.case, answer, until)
            except ChallengeError as error:
                _LOG.warning("%s", error)
                return False
            except library.HTTPError as error:
                _LOG.warning("The answer to a challenge could not be sent: %r", error)
                return False
            if cleared or successor is None:
                return cleared
            base, challenge = url, successor
        return False

    def _url(self, library: Any, request: Request, base: URL, written: str) -> URL:
        """Where an answer goes, if it may go there."""
        try:
            url: URL = base.join(written)
            known = {_origin(request.url), *(_origin(library.URL(each)) for each in self._origins)}
        except (library.InvalidURL, ValueError) as error:
            raise ChallengeError("A challenge has no usable URL.", f"{written[:200]!r}: {error}") from error
        if _origin(url) not in known:
            origin = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')[:200]}"
            raise ChallengeError(
                "A challenge wants its answer sent to another server.",
                f"If {origin!r} is yours, name it: origins=[{origin!r}].",
            )
        if url.userinfo:
            raise ChallengeError("A challenge has no usable URL.", "It holds a password.")
        return url

    async def _answer(
        self, library: Any, request: Request, url: URL, case: str, answer: str, until: float
    ) -> tuple[bool, Mapping[str, Any] | None]:
        """Send an answer, without a credential: whether it satisfied, and the challenge in its place."""
        left = max(0.0, until - time.monotonic())
        limits = request.extensions.get("timeout", {})
        timeout = {
            name: left if limits.get(name) is None else min(left, limits[name])
            for name in ("connect", "read", "write", "pool")
        }
        headers = {"accept": "application/json", "user-agent": request.headers.get("user-agent", "guardrail_mw")}
        post = library.Request(
            "POST", url, json={"case": case, "answer": answer}, headers=headers, extensions={"timeout": timeout}
        )
        self._jar.add_to(library, post)
        response = await self._send(post)
        self._jar.keep(library, post, response)
        raw = await self._body(response)
        if response.status_code == library.codes.OK:
            return True, None
        _LOG.info("The answer to a challenge was refused: %d", response.status_code)
        return False, _found(library, response.headers, raw)


def _found(library: Any, headers: Any, raw: bytes) -> Mapping[str, Any] | None:
    """The challenge in a body, of those that are solved here."""
    try:
        text = library.Response(_FORBIDDEN, headers=headers, content=raw).content
    except library.DecodingError:
        return None
    challenge = challenge_in(text)
    return challenge if challenge is not None and challenge.get("type") == "altcha" else None
