"""Requests over time: how many came in each part of a trace, what became of them, and whose they were."""

from __future__ import annotations

from typing import Any, Final

from guardrail_mw.simulate.codes import CODES
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE, SECOND

__all__ = ["PARTS", "Timeline", "step_of"]

PARTS: Final = 120
"""At most."""
_STEPS: Final = (SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 28 * DAY, 364 * DAY)


def step_of(start: int, end: int) -> int:
    """The length of a part, µs: the shortest usual one of which `PARTS` are enough, from `start` to `end` (µs)."""
    return next((step for step in _STEPS if (end - start) // step < PARTS), _STEPS[-1])


class Timeline:
    """Counts requests.

    Args:
        start: µs of the first.
        end: µs of the last.
    """

    def __init__(self, start: int, end: int) -> None:
        self.start, self.step = start, step_of(start, end)
        self._parts = (end - start) // self.step + 1
        self._codes: dict[int, list[int]] = {}
        self._labels: dict[str, list[int]] = {}

    def add(self, at: int, code: int, label: str) -> None:
        """One came at `at` (µs); `code` is an index into `CODES`, and `label` empty where it has none."""
        part = (at - self.start) // self.step
        self._codes.setdefault(code, [0] * self._parts)[part] += 1
        if label:
            self._labels.setdefault(label, [0] * self._parts)[part] += 1

    def figures(self) -> dict[str, Any]:
        """Where it begins (µs), how long a part is (s), and requests of each part, by what became of them and by label."""
        return {
            "start": self.start,
            "seconds": self.step // SECOND,
            "codes": {CODES[code]: many for code, many in sorted(self._codes.items())},
            "labels": dict(sorted(self._labels.items())),
        }
