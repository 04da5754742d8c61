"""The daily budget of a material cluster, as a limit: no policy writes it, its members' standings hold the figure."""

from __future__ import annotations

from typing import Final

from guardrail_mw.limits.limit import Limit, digest
from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.quantities import MOST, Budget

__all__ = ["BOUND", "CODE", "NAME", "cluster_budget"]

NAME: Final = "cluster-budget"
"""How events, metrics and `explain` call it; no limit of a policy with clusters may have that name."""
CODE: Final = digest(NAME, 4)
"""Its field. The figure is not in it: a day's count goes on when an operator, or a rebuild, changes the budget."""
BOUND: Final = f"{CODE}.v"
"""Where it binds: what was used before an organisation was verified, perhaps all of it, is not counted on what it has since. What
is carried, refilled and reset goes by what stands before the dot."""


def cluster_budget(tokens: int, *, binds: bool = False) -> Limit:
    """At most so many tokens a UTC day of all members together. Unless it `binds` it is in shadow, whatever the policy's mode."""
    figure = Budget.parse(f"{min(max(tokens, 1), int(MOST))}/day")
    limit = Limit(
        LimitSettings(name=NAME, per=["cluster"], unit="tokens", budget=figure), None, shadow=not binds, strict=False
    )
    limit.code = BOUND if binds else CODE
    return limit
