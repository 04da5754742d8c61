"""`guardrail-mw simulate`: made-up traffic, or a trace of real traffic, through the middleware; and what came of it."""

from __future__ import annotations

from guardrail_mw.cli.simulate.command import simulate

__all__ = ["simulate"]
