"""A stretch of traffic, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Bools, Ints, Shorts, Wides

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Calls in time's order, a row each."""

    at: Wides
    """Microseconds since 1970."""
    account: Ints
    """Row of `World.accounts`."""
    address: Ints
    """Index into `World.addresses`."""
    device: Ints
    """A number, -1 where the caller keeps no cookie."""
    client: Shorts
    """Index into `World.programs`."""
    model: Shorts
    """Index into `World.models`."""
    system: Ints
    """The system prompt's number, or -1."""
    template: Ints
    """The family of the last user message; families of free text among them."""
    words: NDArray[Any]
    """Seed of the message's free part: 64 bits."""
    input: Ints
    """Tokens of the prompt, all of it."""
    output: Ints
    useful: Bools
    """A campaign's call in its plan: not cover. A label."""
    operator: Shorts
    """Who makes the call: an operator's number, or -1. A label."""
    row: Ints
    """The persona that calls: the world's own."""

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Several, in time's order; of calls at one moment the first part's come first."""
        if len(parts) == 1:
            return parts[0]
        order = np.argsort(np.concatenate([part.at for part in parts]), kind="stable")
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts])[order] for each in fields(cls)))

    def take(self, rows: NDArray[Any] | slice) -> Batch:
        """Some of the calls, in the order given."""
        return replace(self, **{each.name: getattr(self, each.name)[rows] for each in fields(self)})
