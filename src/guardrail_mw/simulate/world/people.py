"""Personas: an account, and what it calls with.

Everybody is one persona, but for people who change for some days and operators that use another's account: those are further
personas of that account.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world.arrays import Bools, Bytes, Floats, Ints, Shorts, Wides

__all__ = ["FOREVER", "SESSION", "People"]

FOREVER: Final = np.iinfo(np.int64).max
SESSION: Final = 255
"""As many devices: a new one in every hour."""


@dataclass(slots=True)
class People:
    """Personas in columns; a row each. About 150 bytes."""

    account: Ints
    """The row whose account this persona uses: its own, but for operators in others' accounts."""
    created: Wides
    """Microseconds: when the account was made."""
    begin: Wides
    """From when on it calls."""
    until: Wides
    address: Ints
    hop: Shorts
    """How many addresses from `address` on it moves about in."""
    pool: Ints
    """The first of a provider's 256 addresses that `address` is one of; itself where it is fixed."""
    lease: Ints
    """Hours after which the homes of such a block get one another's addresses; 0: never."""
    elsewhere: Ints
    """A mobile network's address, or a home's."""
    roam: Floats
    """The share of calls from `elsewhere`."""
    device: Ints
    """-1: none."""
    devices: Bytes
    """How many from `device` on; 255: a new one in every hour."""
    card: Ints
    domain: Ints
    verified: Bools
    """Whether its e-mail address is."""
    organisation: Ints
    issuer: Bytes
    client: Shorts
    system: Ints
    template: Ints
    free: Ints
    """The family of its free text."""
    templated: Floats
    """The share of its calls that fill in a template."""
    length: NDArray[np.int8]
    """Index into `volumes.PROFILES`."""
    rhythm: Bytes
    """Index into `volumes.RHYTHMS`."""
    zone: NDArray[np.int8]
    slot: Shorts
    """Minutes into the week at which its group meets; -1: it does not."""
    rate: Floats
    spread: Floats
    active: Floats
    most: Ints
    launch: Floats
    settle: Floats
    turns: Bools
    """Its system prompt is another one from a release on."""

    def __len__(self) -> int:
        return len(self.account)

    def take(self, rows: NDArray[Any]) -> People:
        """Some of them, in the order given."""
        return People(*(getattr(self, each.name)[rows] for each in fields(self)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """One after another; `account` is as it was in each part."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))
