"""One request to a server elsewhere: no redirects, no compression, a deadline over all of it, an answer of bounded length.

Whoever asks says in its own words what it means that nothing came. Nothing is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache
from ssl import SSLContext
from typing import Final, NamedTuple

import httpx2

__all__ = ["Fetched", "NoAnswerError", "UnfitAnswerError", "fetch"]

_HEADERS: Final = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "guardrail_mw"}
_NOTHING: Final[Mapping[str, str]] = {}


class NoAnswerError(Exception):
    """No whole answer came.

    Args:
        text: for logs; may name the server.
        kind: what went wrong, in a word that tells nothing of what was sent.
    """

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class UnfitAnswerError(NoAnswerError):
    """One came that is not read: it is too long, or compressed though that was not asked for."""


class Fetched(NamedTuple):
    """An answer, whatever it says."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - as it says


async def fetch(
    method: str, url: str, *, deadline: float, longest: int, headers: Mapping[str, str] = _NOTHING, content: bytes = b""
) -> Fetched:
    """Ask once.

    Args:
        method: GET, POST.
        url: of what is asked.
        deadline: seconds, from resolving the name to the last byte.
        longest: bytes of an answer.
        headers: besides ours, or in their place.
        content: the body.

    Raises:
        NoAnswerError: whatever went wrong; `UnfitAnswerError` where what came is not read.
    """
    try:
        async with (
            asyncio.timeout(deadline),
            httpx2.AsyncClient(follow_redirects=False, timeout=deadline, headers=_HEADERS, verify=_context()) as client,
            client.stream(method, url, headers=headers, content=content) as response,
        ):
            return Fetched(response.status_code, response.headers, await _read(response, longest))
    except TimeoutError as error:
        raise NoAnswerError(f"no whole answer within {deadline:g} s", type(error).__name__) from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        kind = type(error).__name__
        raise NoAnswerError(f"{kind}: {error}", kind) from error


async def _read(response: httpx2.Response, longest: int) -> bytes:
    """The body, as it comes."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnfitAnswerError("a compressed answer, which was not asked for", "compressed")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > longest:
            raise UnfitAnswerError(f"more than {longest} bytes", "too long")
    return bytes(body)


@cache
def _context() -> SSLContext:
    """Whom to trust, loaded once: that takes some ten milliseconds, in which no request of the event loop goes on."""
    return httpx2.create_ssl_context()
