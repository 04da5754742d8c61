"""Who is who: read by the scorer of the table, and by nothing that decides."""

from __future__ import annotations

from dataclasses import dataclass, field

from guardrail_mw.simulate.world.arrays import Bools, Ints, Shorts

__all__ = ["Labels"]


@dataclass(slots=True)
class Labels:
    """The truth about accounts, a row each, as in `World.accounts`."""

    cohorts: list[str]
    """Names; `campaign` for accounts that an operator made."""
    operators: list[str]
    cohort: Shorts
    group: Ints
    """Numbers of ordinary groups over all cohorts; an operator's accounts are a group as well."""
    operator: Shorts
    """Whose account it is: an operator's number, or -1. A bought account is its buyer's."""
    taken: Shorts
    """The operator who uses it beside its owner, or -1."""
    held_out: Bools
    """Whether its cohort, or its attacker's type, is held out from tuning."""
    victims: dict[str, list[int]] = field(default_factory=dict)
    """By operator: the groups whose evidence it plants."""
    hosts: dict[str, list[int]] = field(default_factory=dict)
    """By operator: the groups among whose accounts its own are."""
