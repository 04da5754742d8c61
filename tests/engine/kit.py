"""What the tests of replays share: recorded requests, and a policy that decides about them anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from guardrail_mw.engine.past import Past, past
from guardrail_mw.engine.replaying import Replay, Ruling
from guardrail_mw.policy import load
from guardrail_mw.values import Mode

from ..telemetry.kit import AT, event  # noqa: TID252 - the kit of events

SECOND = 1_000_000
CALM: dict[str, Any] = {"risk": 0.0, "effective": 0.0, "findings": [], "limits": [], "velocity": {}}
VERIFIES: Any = {
    "endpoints": {"public_url": "https://api.example"},
    "verification": {"name": "us", "providers": {"ids": {"use": "manual", "with": {"levels": {"id": {"ial": "2"}}}}}},
}
"""Of a policy by which people are verified."""
REQUESTS = {"name": "requests", "per": ["account"], "rate": "2/hour"}


def shown(ial: str = "", acr: str = "", until: int = 10**17, at: int = 7) -> dict[str, str]:
    """Fields of the standing of who was verified by VERIFIES, as they are kept: the order is 16 a µs, and 1 for an approval.

    What stands between is the beginning of the SHA-256 of `3 ids id`.
    """
    said = f'["approved",{until},"{ial}","{acr}","ids","c1"]'
    return {"cases": "1", f"case.403d1bd8e895.{16 * at + 1}": said}


def came(at: float = 0, *, like: Any = event, **more: Any) -> Past:
    """A request so many seconds after the first."""
    found = like(
        **CALM
        | {"id": f"{round(at * 10):024x}", "at": AT + round(at * SECOND), "route": "/v1/**", "duration_ms": 0.0}
        | more
    )
    return past(found)


def replay(limits: Any = None, *, paths: Mapping[str, str] | None = None, mode: Mode = "enforce", **rest: Any) -> Replay:
    """Two requests an hour for an account, unless other limits are given."""
    document = {
        "version": 1,
        "routes": [
            {"path": "/health", "exempt": True},
            {"path": "/v1/models", "methods": ["GET"], "limits": []},
            {"path": "/v1/**", "dialect": "openai"},
        ],
        "limits": limits or [REQUESTS],
        **rest,
    }
    return Replay(load(document), mode=mode, key=b"k" * 32, paths=paths)


async def rulings(of: Replay, *all_of_them: Past) -> list[Ruling | None]:
    """What is made of each, in their order."""
    return [await of.decide(each) for each in all_of_them]


async def ruled(of: Replay, *all_of_them: Past) -> list[str]:
    """The rule, or what was done, for each."""
    return [
        "-" if ruling is None else ruling.decided.rule or ruling.decided.action for ruling in await rulings(of, *all_of_them)
    ]
