"""Operators: whose accounts they use, and what they do with them."""

from __future__ import annotations

from guardrail_mw.simulate.world.campaigns.operator import Force, Operator
from guardrail_mw.simulate.world.campaigns.recruiting import Recruits, recruit

__all__ = ["Force", "Operator", "Recruits", "recruit"]
