"""From who calls when to what the service sees: the same for everybody."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from guardrail_mw.simulate.world import volumes
from guardrail_mw.simulate.world.arrays import HOUR, Bools, Floats, Ints, Rng, Shorts, Wides, mix
from guardrail_mw.simulate.world.batch import Batch
from guardrail_mw.simulate.world.people import SESSION, People
from guardrail_mw.simulate.world.releases import Releases
from guardrail_mw.simulate.world.town import Town

__all__ = ["calls"]

_CONVERSATION: Final = volumes.PROFILES.index("conversation")


def calls(
    people: People,
    town: Town,
    releases: Releases,
    rng: Rng,
    made: tuple[Ints, Wides, Bools, Shorts],
    means: Floats,
) -> Batch:
    """What each call is made of.

    Args:
        people: personas.
        town: where new devices come from.
        releases: models.
        rng: where from.
        made: personas, times in order, whether each call is useful, and its operator.
        means: tokens of an operator's exchange, by its number.
    """
    row, at, useful, operator = made
    n = len(row)
    cover = ~useful & (operator >= 0)
    client = people.client[row]
    moves = np.where(rng.random(n, np.float32) * people.hop[row] < 1, 0, rng.integers(0, 1 << 16, n) % people.hop[row])
    lives = _leased(people, row, at)
    roams = rng.random(n, np.float32) < people.roam[row]
    model, released = releases.choose(row, at, people.launch[row], people.settle[row])
    system = people.system[row] + (people.turns[row] & released & (people.system[row] >= 0))
    template = np.where(rng.random(n, np.float32) < people.templated[row], people.template[row], people.free[row])
    length = people.length[row]
    if cover.any():
        system[cover] = town.programs.systems()[client[cover]]
        template[cover] = people.free[row[cover]]
        length[cover] = _CONVERSATION
    given, answered = volumes.tokens(rng, length, means[operator])
    return Batch(
        at=at,
        account=people.account[row],
        address=np.where(roams, people.elsewhere[row], lives + moves).astype(np.int32),
        device=_devices(people, town, row, rng),
        client=client,
        model=model,
        system=system.astype(np.int32),
        template=template.astype(np.int32),
        words=rng.integers(0, 1 << 63, n, np.uint64),
        input=given,
        output=answered,
        useful=useful,
        operator=operator,
        row=row,
    )


def _leased(people: People, row: Ints, at: Wides) -> Ints:
    """Where a persona's line is at the time: its address, or the one of its provider's block that it has got since."""
    address, lease = people.address[row], people.lease[row]
    leased = np.flatnonzero(lease)
    pool = people.pool[row[leased]]
    epoch = at[leased] // (lease[leased].astype(np.int64) * HOUR)
    turn = mix(pool.astype(np.uint64) << np.uint64(32) | epoch.astype(np.uint64), 3) & np.uint64(255)
    # A block's homes are turned and mirrored: each has one address, and neighbours do not stay neighbours.
    spot = ((address[leased] - pool) ^ turn.astype(np.int32)) & 255
    address[leased] = pool + spot
    return address


def _devices(people: People, town: Town, row: Ints, rng: Rng) -> Ints:
    """One of the persona's own; or, for those who take a new one in every session, one that was never seen."""
    device, many = people.device[row], people.devices[row]
    several = np.flatnonzero((many > 1) & (many < SESSION) & (device >= 0))
    device[several] += (rng.random(len(several)) * many[several]).astype(np.int32)
    fresh: Any = np.flatnonzero((many == SESSION) & (device >= 0))
    if len(fresh):
        callers, which = np.unique(row[fresh], return_inverse=True)
        device[fresh] = town.take("devices", len(callers)) + which
    return device
