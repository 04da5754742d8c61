"""The pipeline: identify, charge, score, decide, respond, settle; and who owns it."""

from __future__ import annotations

from guardrail_mw.engine.core import Engine
from guardrail_mw.engine.exchange import Exchange
from guardrail_mw.engine.guardrail import Guardrail

__all__ = ["Engine", "Exchange", "Guardrail"]
