"""Which options of `guardrail-mw simulate` go together; what would be passed over in silence is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from guardrail_mw.cli.output import Cannot

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy

__all__ = ["families", "options", "policy"]

_APART: Final = {
    ("seed", "seeds"): "--seed and --seeds both say what is drawn: leave out one of them.",
    ("trace", "quick"): "--trace stands in place of --quick: leave out one of them.",
    ("trace", "file"): "--trace stands in place of --scenario: leave out one of them.",
    (
        "trace",
        "seeds",
    ): "A trace is one run, and --seeds are several: leave out --trace, or write --seed in place of --seeds.",
    (
        "trace",
        "ratio",
    ): "--ratio is of made-up people, and a trace has its own: leave out --trace or --ratio.",
    (
        "trace",
        "scale",
    ): "--scale is of made-up people, and a trace has its own: leave out --trace or --scale.",
    (
        "trace",
        "checkpoint",
    ): "A trace has no checkpoints, for it is run as a whole: leave out one of --trace and --checkpoint.",
    ("quick", "file"): "--quick has a scenario of its own: leave out one of --quick and --scenario.",
    ("quick", "ratio"): "--quick has a scenario of its own, whose sizes are fixed: leave out one of --quick and --ratio.",
    ("quick", "scale"): "--quick has a scenario of its own, whose sizes are fixed: leave out one of --quick and --scale.",
}
"""Options of which one says nothing beside the other, and what to do."""


def options(named: frozenset[str]) -> None:
    """Refuse options that say nothing beside one another.

    Args:
        named: the options that somebody wrote, by the names that the command calls them.

    Raises:
        Cannot: two do not go together; says which, and what to do.
    """
    for pair, text in _APART.items():
        if named.issuperset(pair):
            raise Cannot(text)


def families(without: Iterable[str], known: Iterable[str], whose: str) -> None:
    """Refuse to leave out what there is not.

    Args:
        without: families that are to be left out.
        known: families of which there is a kind of evidence.
        whose: where: `a simulation`, `guardrail:campaign`.

    Raises:
        Cannot: of one of them there is no kind.
    """
    every = sorted(set(known))
    for family in without:
        if family not in every:
            raise Cannot(f"--without {family}: no evidence in {whose} is of that family. There are {', '.join(every)}.")


def policy(name: str, without: Iterable[str], named: frozenset[str]) -> Policy:
    """Refuse a policy that would decide nothing, and options about evidence where it keeps none.

    Args:
        name: the policy's.
        without: families that are to be left out.
        named: the options that somebody wrote.

    Returns:
        The policy.

    Raises:
        Cannot: nothing would come of it.
        PolicyError: the policy is bad.
    """
    from guardrail_mw.policy import load

    found = load(name)
    if found.mode == "off":
        raise Cannot(f"The mode of {name} is off: it would decide nothing. Set it to shadow or enforce.")
    if found.clusters is not None:
        return found
    if tuple(without):
        raise Cannot(f"{name} has no section `clusters:`, so there is no evidence that --without could leave out.")
    idle = sorted(named & {"every", "feed"})
    if idle:
        raise Cannot(f"{name} has no section `clusters:`, so --{idle[0]} says nothing: leave it out.")
    return found
