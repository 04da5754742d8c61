"""Scenarios that ship: a quick one, and the campaigns that were reported."""

from __future__ import annotations

from guardrail_mw.simulate.world.scenario import Scenario

__all__ = ["february", "quick"]


def quick() -> Scenario:
    """A small town and the smallest of February's operators, for a week instead of 45 days; so much a day as was reported."""
    campaign = {"operator": "small", "like": "february-small", "goal": 23_333, "days": 7}
    return Scenario.model_validate(
        {
            "name": "quick",
            "days": 38,
            "ordinary_days": 31,
            "accounts": 1500,
            "volume": 0.15,
            "scale": 10,
            "models": [{"name": "large-1"}, {"name": "small-1"}, {"name": "large-2", "released": 33.625}],
            "campaigns": [campaign],
        }
    )


def february(ratio: float = 10, scale: float = 1) -> Scenario:
    """February's three operators, naive: 16.55 million exchanges over 45 days.

    Args:
        ratio: ordinary accounts for each of theirs.
        scale: divides the two larger ones.
    """
    names = {"small": "february-small", "middle": "february-middle", "large": "february-large"}
    return Scenario.model_validate(
        {
            "name": "february, naive",
            "ratio": ratio,
            "scale": scale,
            "campaigns": [{"operator": name, "like": like} for name, like in names.items()],
        }
    )
