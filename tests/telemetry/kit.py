"""What the tests of telemetry share: events as the pipeline makes them, and an observer that counts."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from guardrail_mw.telemetry.base import Scope
from guardrail_mw.testing.clock import FakeClock

AT = 1_767_225_600_000_000
"""µs: 2026-01-01T00:00:00Z."""
ACCOUNT = "a:0pUqk5yNNjEpBi6UQ7Yw9A"

_ALLOWED: dict[str, Any] = {
    "v": 1,
    "id": "5f2d0c9b7a61e48f3d20b7c4",
    "at": AT,
    "policy": "91c1f3b2a0e45d67",
    "identity": "0f3c9a71",
    "mode": "enforce",
    "route": "/v1/**",
    "method": "POST",
    "dialect": "openai",
    "model": "large",
    "account": ACCOUNT,
    "candidate": ACCOUNT,
    "network": "n:Zl2hO0eYqf3rG4mSPc9xUw",
    "organisation": "",
    "cluster": "",
    "device": "d:XyO4vS0kC2u1mE7bJ5aTqg",
    "device_kind": "seen",
    "tier": "pro",
    "acr": "",
    "ial": "",
    "authenticated": True,
    "verified": False,
    "source": "api_key",
    "established": False,
    "decision": "allow",
    "code": "",
    "status": 200,
    "outcome": "answered",
    "would": None,
    "limits": [
        {"name": "requests", "unit": "requests", "cost": 1, "remaining": 117, "reset_ms": 1500, "ok": True, "shadow": False},
        {
            "name": "tokens",
            "unit": "tokens",
            "cost": 1060,
            "remaining": 398_940,
            "reset_ms": 159,
            "ok": True,
            "shadow": False,
        },
        {
            "name": "spend",
            "unit": "usd",
            "cost": 15_468,
            "remaining": 0,
            "reset_ms": 86_400_000,
            "ok": False,
            "shadow": True,
        },
    ],
    "refusal": None,
    "velocity": {"attempts": [12, False], "devices-per-account": [64, True]},
    "risk": 12.5,
    "effective": 20.25,
    "findings": [
        {
            "scorer": "velocity",
            "family": "device",
            "score": 13,
            "reason": "devices-per-account",
            "figures": {"count": 7, "from": 5, "full": 20},
            "shadow": False,
        }
    ],
    "verdict": "none",
    "rung": None,
    "rung_at": None,
    "why": [],
    "delay_ms": 0,
    "trimmed": [],
    "estimate": {"input": 36, "output": 1024, "items": 1},
    "used": {"input": 30, "cached": 6, "cache_write": 0, "output": 412, "complete": True},
    "duration_ms": 812.4,
    "changes": 0,
}


def event(**more: Any) -> dict[str, Any]:
    """The event of a request that was answered, with whatever is different."""
    return copy.deepcopy(_ALLOWED) | more


def denied(**more: Any) -> dict[str, Any]:
    """The event of a request that a limit refused."""
    limits = event()["limits"][:1]
    limits[0].update(remaining=0, reset_ms=60_000, ok=False)
    refused: dict[str, Any] = {
        "decision": "deny",
        "code": "rate_limited",
        "status": 429,
        "outcome": "denied",
        "limits": limits,
        "refusal": {"limit": "requests", "kind": "token_bucket", "unit": "requests", "wait_ms": 480},
        "why": ["token_bucket"],
        "used": None,
        "duration_ms": 0.6,
    }
    return event(**(refused | more))


class Counts(Counter[str]):
    """An observer that remembers."""

    def count(self, event: str, by: int = 1) -> None:
        """Note it."""
        self[event] += by


def scope(observer: Counts | None = None, clock: FakeClock | None = None) -> Scope:
    """What the policy would build a sink with."""
    return Scope("test", clock or FakeClock(), observer if observer is not None else Counts())
