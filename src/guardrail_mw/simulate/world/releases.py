"""Models, and who moves to a new one when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import DAY, Floats, Shorts, Wides, mix, unit

__all__ = ["Model", "Releases"]

_MONTH: Final = 30


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is served."""

    name: str
    released: int | None
    """Microseconds; none: it was there before the world began."""


class Releases:
    """Models in the order of their release, the old ones first."""

    def __init__(self, models: list[Model], seed: int) -> None:
        self.models = models
        self._seed = seed
        self._old = sum(model.released is None for model in models)
        weights = 1 / np.arange(1, self._old + 1) ** 1.5
        self._odds = np.cumsum(weights / weights.sum())

    def moved(self, which: int, account: NDArray[Any], at: Wides, launch: Floats, settle: Floats) -> NDArray[np.bool_]:
        """Whether accounts have moved to a released model by the time of their calls.

        A share `launch` moves within 24 hours, evenly; until a month has passed, a share `settle` has; the others never do.
        """
        released = self.models[which].released
        if released is None or not len(at) or at[-1] < released:
            return np.zeros(len(at), bool)
        u = unit(mix(account, self._seed * 101 + which))
        late = np.maximum(settle - launch, 1e-9)
        days = np.where(u < launch, u / np.maximum(launch, 1e-9), 1 + (u - launch) / late * (_MONTH - 1))
        moved: NDArray[np.bool_] = (u < np.maximum(launch, settle)) & (at >= released + days * DAY)
        return moved

    def choose(self, account: NDArray[Any], at: Wides, launch: Floats, settle: Floats) -> tuple[Shorts, NDArray[np.bool_]]:
        """The model of each call (`at` sorted), and whether it is a released one."""
        model = np.searchsorted(self._odds, unit(mix(account, self._seed * 101 + 77)), side="right").astype(np.int16)
        model = np.minimum(model, self._old - 1)
        for which in range(self._old, len(self.models)):
            model[self.moved(which, account, at, launch, settle)] = which
        return model, model >= self._old
