"""What an operator's arguments are called on the command line."""

from __future__ import annotations

from typing import Final

__all__ = ["CALLED", "called"]

CALLED: Final = {
    "account": "ACCOUNT",
    "appeal": "ID",
    "case": "ID",
    "cluster": "ID",
    "credential": "The credential",
    "document": "--document",
    "granted": "The decision",
    "limit": "--limit",
    "mode": "The mode",
    "person": "--person",
    "reason": "--reason",
    "route": "--route",
    "rule": "--rule",
    "slug": "LABEL",
    "source": "--source",
    "state": "The state",
    "tier": "TIER",
    "tokens": "TOKENS",
    "until": "--until",
    "verdict": "VERDICT",
    "what": "What is decided,",
}
"""By what `Operator` and the port call them."""


def called(argument: str, text: str) -> str:
    """What is wrong with an argument, which is called as on the command line."""
    return f"{CALLED.get(argument, argument)} {text}"
