"""Small worlds, drawn by Hypothesis: groups that share values, wholly or in part, among strangers."""

from __future__ import annotations

import random
from typing import Final

from hypothesis import strategies as st

from .kit import DAY, Crowd, key

__all__ = ["NOW", "crowds"]

NOW: Final = 100 * DAY
_KINDS: Final = (
    "payment", "domain", "device", "device_seen", "network", "network_wide", "system", "agent", "shingle", "release",
    "coactive",
)  # fmt: skip
"""Of every family but volume and automation, bound and not; one digest in several kinds, as that of a shared network."""
_BOUND: Final = ("payment", "device", "network", "domain")
_CLIENT: Final = ("system", "agent", "network_wide")
_TIMES: Final = (0, 1, 200, 700, 719, 720, 721, NOW - 46 * DAY, NOW - 45 * DAY, NOW - DAY, NOW - 1)


@st.composite
def crowds(draw: st.DrawFn) -> Crowd:
    """Up to four groups, that may overlap in what they show, and loose edges."""
    crowd = Crowd(draw(st.sampled_from([900, 600, 400, 200, 0])))
    chance = draw(st.randoms(use_true_random=False))
    for group in range(draw(st.sampled_from([3, 2, 4, 1]))):
        values = [key(kind, draw(st.integers(1, 4))) for kind in draw(st.lists(st.sampled_from(_KINDS), max_size=4))]
        if draw(st.integers(0, 3)):
            seed = (draw(st.sampled_from(_BOUND)), draw(st.sampled_from(_CLIENT)), "shingle")
            values += [key(kind, 10 + group) for kind in seed[: draw(st.integers(2, 3))]]
        share = draw(st.sampled_from([1.0, 0.9, 0.8, 0.5, 0.2]))
        _group(crowd, chance, f"g{group}", draw(st.sampled_from([30, 12, 45, 22, 6, 3])), values, share)
    names = sorted(crowd.since)
    for _ in range(draw(st.integers(0, 30)) if names else 0):
        value = key(chance.choice(_KINDS), chance.randint(1, 14))
        name = chance.choice(names)
        crowd.shown[name].setdefault(value, max(crowd.since[name], chance.choice(_TIMES)))
    return crowd


def _group(crowd: Crowd, chance: random.Random, name: str, many: int, values: list[int], share: float) -> None:
    usual = chance.choice(_TIMES)
    for number in range(many):
        since = usual if chance.random() < 0.7 else chance.choice((-9000, *_TIMES))
        shown = {}
        for value in values:
            if chance.random() < share:
                shown[value] = max(0, since) if chance.random() < 0.7 else max(0, since, chance.choice(_TIMES))
        crowd.add(f"a:{name}{number:02}", since, shown)
