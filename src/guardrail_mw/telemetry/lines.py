"""An event as one line of JSON."""

from __future__ import annotations

import json

from guardrail_mw.telemetry.event import Event

__all__ = ["line"]

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


def line(event: Event) -> str:
    """The event in ASCII, without a line break: no text in it, wherever it comes from, begins a line of its own.

    Raises:
        TypeError, ValueError: it holds something that JSON cannot.
    """
    return _encode(event)
