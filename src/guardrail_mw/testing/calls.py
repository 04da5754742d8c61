"""Calls as the official SDKs make them, for `Guarded`: say what matters, the rest is ordinary.

from guardrail_mw.testing.calls import chat, messages

chat("What is a heron?", key="sk-two", stream=True)
messages(2000, max_tokens=64)  # a prompt that is estimated at 2,000 tokens
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

__all__ = ["KEY", "PEER", "Call", "call", "chat", "embeddings", "messages"]

KEY: Final = "sk-test"
"""The key of whoever says nothing else."""
PEER: Final = "192.0.2.1"
"""The address of whoever says nothing else."""

_MODEL: Final = "large-1"
_CHARACTERS: Final = 4
"""Of a prompt, to the token that the estimate counts."""


class Call(NamedTuple):
    """One call, before the headers that every call of a `Guarded` has are put in."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    """Its own, lower-case: they go before all others."""
    ordinary: Mapping[str, str]
    """What the SDK sends, the credential too: all others go before them."""
    peer: str | None
    """The peer's address; None for the one that the `Guarded` has."""

    def scope(self, headers: Mapping[str, str], peer: str) -> dict[str, Any]:
        """The ASGI scope, as a server makes it. `headers` and `peer` are those of every call."""
        path, _, query = self.path.partition("?")
        said = {**self.ordinary, **headers, **self.headers}
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said.items()],
            "client": (self.peer or peer, 50_000),
            "server": ("127.0.0.1", 80),
            "state": {},
        }


def call(
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str | None = KEY,
    headers: Mapping[str, str] | None = None,
    peer: str | None = None,
) -> Call:
    """Any call.

    Args:
        method: in capitals.
        path: with its query, if it has one.
        body: bytes as they are, anything else as JSON; None for none.
        key: goes as `Authorization: Bearer`; None for no credential.
        headers: its own.
        peer: the address that it comes from.
    """
    credential = {} if key is None else {"authorization": f"Bearer {key}"}
    return _call(method, path, body, {"user-agent": "OpenAI/Python 1.109.1", **credential}, headers, peer)


def chat(
    prompt: str | int = "Hello",
    *,
    key: str | None = KEY,
    headers: Mapping[str, str] | None = None,
    peer: str | None = None,
    path: str = "/v1/chat/completions",
    **body: Any,
) -> Call:
    """A chat completion, in OpenAI's shape.

    Args:
        prompt: its text, or how many tokens it is estimated at.
        key: goes as `Authorization: Bearer`; None for no credential.
        headers: its own.
        peer: the address that it comes from.
        path: where it goes.
        body: more of the body, or in place of what it has: model, stream, n, max_tokens.
    """
    said = {"model": _MODEL, "messages": [{"role": "user", "content": _text(prompt)}], **body}
    return call("POST", path, said, key=key, headers=headers, peer=peer)


def embeddings(
    texts: str | int | list[str] = "Hello",
    *,
    key: str | None = KEY,
    headers: Mapping[str, str] | None = None,
    peer: str | None = None,
    path: str = "/v1/embeddings",
    **body: Any,
) -> Call:
    """Embeddings, in OpenAI's shape: of a text, of several, or of one that is estimated at so many tokens; else as `chat`."""
    said = {"model": _MODEL, "input": texts if isinstance(texts, list) else _text(texts), **body}
    return call("POST", path, said, key=key, headers=headers, peer=peer)


def messages(
    prompt: str | int = "Hello",
    *,
    key: str | None = KEY,
    headers: Mapping[str, str] | None = None,
    peer: str | None = None,
    path: str = "/v1/messages",
    **body: Any,
) -> Call:
    """A message, in Anthropic's shape: the key goes as `x-api-key`, `max_tokens` is 1024; else as `chat`."""
    said = {"model": _MODEL, "max_tokens": 1024, "messages": [{"role": "user", "content": _text(prompt)}], **body}
    ordinary = {"user-agent": "Anthropic/Python 0.60.0", "anthropic-version": "2023-06-01"}
    credential = {} if key is None else {"x-api-key": key}
    return _call("POST", path, said, {**ordinary, **credential}, headers, peer)


def _call(
    method: str, path: str, body: Any, ordinary: Mapping[str, str], headers: Mapping[str, str] | None, peer: str | None
) -> Call:
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    about = {"content-type": "application/json", "content-length": str(len(sent))} if body is not None else {}
    own = {name.lower(): value for name, value in (headers or {}).items()}
    return Call(method, path, sent, own, {"host": "api.example", "accept": "application/json", **ordinary, **about}, peer)


def _text(prompt: str | int) -> str:
    return prompt if isinstance(prompt, str) else "x" * (prompt * _CHARACTERS)
