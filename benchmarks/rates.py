"""The limits that every candidate is given, in each library's own words."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ALLOW", "DENY", "Rate"]

_NAMES = {1: "second", 60: "minute", 3600: "hour", 86_400: "day", 604_800: "week"}


class Rate(NamedTuple):
    """`amount` requests in `seconds`."""

    amount: int
    seconds: int

    @property
    def name(self) -> str:
        """`minute`."""
        return _NAMES[self.seconds]

    @property
    def text(self) -> str:
        """In the grammar of `limits`, which has no week."""
        return f"{self.amount}/7 day" if self.name == "week" else f"{self.amount}/{self.name}"


ALLOW = {
    1: (Rate(1_000_000, 60),),
    4: (Rate(100_000, 1), Rate(1_000_000, 60), Rate(10_000_000, 3600), Rate(100_000_000, 86_400)),
}
"""So high that nothing is ever refused."""

DENY = {
    1: (Rate(1, 86_400),),
    4: (Rate(1, 60), Rate(2, 3600), Rate(3, 86_400), Rate(4, 604_800)),
}
"""Used up by the first request. pyrate-limiter takes longer periods only with larger amounts."""
