"""How findings become one figure: the strongest of each family, then noisy-or across families.

Two findings of one family rest on the same kind of evidence, so the second adds nothing. Two families are taken as
independent: with 40 and 30 out of 100 the chance that neither is right is .6 × .7 = .42, and the risk is 58.

Monotone, exactly and not but for rounding: one more finding or a higher score never lowers the risk, because families are
multiplied in one fixed order, in which each step (a product, a difference, a rounding) keeps the order of its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from guardrail_mw.risk.base import FAMILIES, Family, Finding

__all__ = ["NO_RISK", "Risk", "Weighed", "combine", "explain"]


class Weighed(NamedTuple):
    """A finding and what the policy makes of it."""

    scorer: str
    """The scorer's name in the policy."""
    finding: Finding
    weight: float
    """The scorer's, 0 to 1; its family's comes on top."""
    shadow: bool
    """Whether it is recorded only."""


class Risk(NamedTuple):
    """How suspicious a request is by itself, memory left out."""

    score: float
    """0 to 100, two decimals."""
    families: tuple[tuple[Family, float], ...]
    """What each family says, weights included, two decimals, the strongest first; those that say nothing are left out."""


NO_RISK: Final = Risk(0.0, ())


def combine(findings: Sequence[Weighed], weights: Mapping[Family, float]) -> Risk:
    """The risk of what was found; shadow is the caller's to sort out.

    Args:
        findings: in any order; scores from 0 to 100.
        weights: from 0 to 1, by family; 1 for those that are not there.
    """
    strongest: dict[Family, float] = {}
    for _, finding, weight, _ in findings:
        family = finding.family
        share = weight * weights.get(family, 1.0)
        score = float(finding.score) if share == 1.0 else round(finding.score * share, 2)
        if score > strongest.get(family, 0.0):
            strongest[family] = score
    if not strongest:
        return NO_RISK
    families = sorted(strongest.items(), key=_strongest_first)
    return Risk(_noisy_or(strongest), tuple(families))


def explain(risk: Risk, findings: Sequence[Weighed] = ()) -> list[str]:
    """A line for each family, the strongest first: what it says, what found it, and what the risk would be without it."""
    lines = []
    for family, score in risk.families:
        without = _noisy_or({other: figure for other, figure in risk.families if other != family})
        reasons = sorted({each.finding.reason for each in findings if each.finding.family == family and not each.shadow})
        found = f" ({', '.join(reasons)})" if reasons else ""
        adds = round(risk.score - without, 2)
        would = f"{without:g}, not {risk.score:g}" if adds else f"the same, {risk.score:g}"
        lines.append(
            f"{family} {score:g}{found} adds {f'{adds:g}' if adds else 'nothing'}: without it the risk would be {would}"
        )
    return lines


def _noisy_or(strongest: Mapping[Family, float]) -> float:
    none = 1.0
    for family in FAMILIES:
        if family in strongest:
            none *= 1.0 - strongest[family] / 100.0
    return round(100.0 * (1.0 - none), 2)


def _strongest_first(item: tuple[Family, float]) -> tuple[float, str]:
    return -item[1], item[0]
