"""Ordinary people: who lives in a world, in which groups, and what happens to some of them."""

from __future__ import annotations

from guardrail_mw.simulate.world.cohorts.settling import Settled, settle
from guardrail_mw.simulate.world.cohorts.special import Span

__all__ = ["Settled", "Span", "settle"]
