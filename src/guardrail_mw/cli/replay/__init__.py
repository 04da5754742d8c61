"""`guardrail-mw replay`: what a policy would have decided about requests that were recorded."""

from __future__ import annotations

from guardrail_mw.cli.replay.command import replay

__all__ = ["replay"]
