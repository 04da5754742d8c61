"""Does the app accept a key that was invented on the spot? Then a 2xx of its proves nothing, and must not be taken for proof."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from guardrail_mw.cli.asking import Headers, alive, scope_of, status_of
from guardrail_mw.cli.finding import AppRoute
from guardrail_mw.cli.output import Cannot
from guardrail_mw.policy import Policy

__all__ = ["Answer", "Unguarded", "invented", "probe", "trusts"]

PATIENCE = 5.0
"""Seconds for one request."""
_METHODS = ("GET", "POST")
_BODY = {"messages": [{"role": "user", "content": "ping"}], "prompt": "ping", "input": "ping", "max_tokens": 1}


class Answer(NamedTuple):
    """What the app said to one request with an invented key."""

    route: AppRoute
    method: str
    header: str
    """That held the key."""
    status: int | str
    """Or what went wrong, in words."""

    @property
    def accepted(self) -> bool:
        """A 2xx."""
        return isinstance(self.status, int) and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def refused(self) -> bool:
        """What is said to a key that nobody knows."""
        return self.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}

    @property
    def absent(self) -> bool:
        """Nothing is there, where it was only guessed that something might be."""
        return self.route.kind == "guess" and self.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


def trusts(policy: Policy) -> dict[str, list[tuple[str, str]]]:
    """Who proves keys in this policy (`app`, `keys`, …): the (header, prefix) pairs that its `api_key` sources read."""
    found: dict[str, list[tuple[str, str]]] = {}
    for source in policy.identity.sources:
        trust = getattr(source.with_, "trust", None)
        if source.use == "api_key" and trust:
            found.setdefault(trust, []).extend((header, source.with_.prefix) for header in source.with_.headers)
    return found


def invented(header: str, prefix: str) -> tuple[bytes, bytes]:
    """A header with a key that nobody can know."""
    key = f"{prefix}{secrets.token_hex(16)}"
    return header.encode(), (f"Bearer {key}" if header == "authorization" else key).encode()


async def probe(app: Any, routes: Sequence[AppRoute], policy: Policy) -> list[Answer]:
    """Ask every http route, by GET and POST where it has them, once for each header that a key may stand in.

    Raises:
        Cannot: the app does not start.
    """
    trusted = trusts(policy)
    pairs = trusted.get("app") or [pair for each in trusted.values() for pair in each] or [("authorization", "")]
    model = next((name for each in policy.models.values() for name in each.names or () if "*" not in name), "ping")
    body = json.dumps({"model": model, **_BODY}).encode()
    answers: list[Answer] = []
    try:
        async with alive(app) as state:
            for route, method in _asked(routes):
                for header, prefix in dict.fromkeys(pairs):
                    headers: Headers = [(b"host", b"localhost"), invented(header, prefix)]
                    if method == "POST":
                        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
                    scope = {**scope_of(method, route.example, headers, client="127.0.0.1"), "state": dict(state)}
                    sent = body if method == "POST" else b""
                    answers.append(Answer(route, method, header, await status_of(app, scope, sent, PATIENCE)))
    except RuntimeError as error:
        raise Cannot(f"The app does not start: {error}. It must run here as it does where it serves.") from error
    return answers


def _asked(routes: Sequence[AppRoute]) -> Iterator[tuple[AppRoute, str]]:
    for route in routes:
        if route.kind == "mount":
            yield route, "GET"
        for method in _METHODS:
            if method in route.methods:
                yield route, method


class Unguarded:
    """While it lasts, guards that the app builds for itself pass everything untouched: the app alone is asked."""

    def __enter__(self) -> None:
        self._before = os.environ.get("GUARDRAIL_MODE")
        os.environ["GUARDRAIL_MODE"] = "off"

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["GUARDRAIL_MODE"]
        else:
            os.environ["GUARDRAIL_MODE"] = self._before
