"""Worlds in which there is nothing to find, or nothing that should be found."""

from __future__ import annotations

from typing import Final

import numpy as np

from guardrail_mw.simulate.world.world import World

__all__ = ["EVIDENCE", "permute"]

EVIDENCE: Final[dict[str, tuple[str, ...]]] = {
    "address": ("address", "hop", "pool", "lease", "elsewhere", "roam"),
    "device": ("device", "devices"),
    "payment": ("card",),
    "domain": ("domain", "verified"),
    "organisation": ("organisation", "issuer"),
    "client": ("client",),
    "system": ("system", "turns"),
    "template": ("template", "templated", "free"),
    "release": ("launch", "settle"),
}
"""Kinds of evidence, and the columns of personas that make each up."""


def permute(world: World, seed: int, kinds: tuple[str, ...] = tuple(EVIDENCE)) -> World:
    """Give each kind of evidence to other accounts, each kind in an order of its own; in place.

    As many accounts hold each value as before, and nobody holds two of them together but by chance. Volumes and hours stay.

    Raises:
        ValueError: the world has begun.
    """
    if world.at != world.start:
        raise ValueError("evidence is permuted before the first batch is taken")
    people, rng = world.people, np.random.default_rng((seed, 1))
    for kind in kinds:
        order = rng.permutation(len(people))
        for name in EVIDENCE[kind]:
            setattr(people, name, getattr(people, name)[order])
    return world
