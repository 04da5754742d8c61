"""A call as it goes over the wire: headers and a body in the shape of its program's dialect."""

from __future__ import annotations

import json
from typing import Any, Final

from guardrail_mw.simulate.world.programs import Program

__all__ = ["PATHS", "body", "headers"]

PATHS: Final = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
"""Where a dialect's calls go."""


def headers(program: Program) -> list[tuple[bytes, bytes]]:
    """What the program sends with every call, lower-cased; credentials and cookies are the caller's to add."""
    pairs = [
        ("host", "api.service.example"),
        ("user-agent", program.agent),
        ("accept", "application/json" if program.family != "browser" else "*/*"),
        ("content-type", "application/json"),
        *program.headers,
    ]
    if program.dialect == "anthropic":
        pairs.append(("anthropic-version", "2023-06-01"))
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in pairs]


def body(dialect: str, model: str, system: str, message: str, output: int) -> bytes:
    """The request's JSON.

    Args:
        dialect: `openai` or `anthropic`.
        model: the model's name.
        system: the system prompt, or nothing.
        message: the last user message.
        output: tokens that it allows for the answer.
    """
    user: dict[str, Any] = {"role": "user", "content": message}
    if dialect == "anthropic":
        document: dict[str, Any] = {"model": model, "max_tokens": output, "messages": [user]}
        if system:
            document["system"] = system
    else:
        first = [{"role": "system", "content": system}] if system else []
        document = {"model": model, "messages": [*first, user], "max_completion_tokens": output}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
