"""Clusters as inline SVG: no script, no font, no colour that the page's own style does not name."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import cos, degrees, log1p, pi, sin
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Band", "Net", "bands", "net", "share"]

_SIZE: Final = 960
_RING: Final = 330
_INNER: Final = 285
_TOWARDS: Final = 0.72
_ROUNDS: Final = 160
_DRAWN: Final = 100
"""Rounds in which accounts are drawn to their values; in the others they only make room for one another."""
_APART: Final = 15.0
_WIDTH: Final = 960
_BAND: Final = 78
_NAMES: Final = 120
_FIGURES: Final = 230
_BARS: Final = 100


class Net(NamedTuple):
    """Accounts, and the values that they share."""

    accounts: Sequence[str]
    tied: NDArray[np.bool_]
    hubs: Sequence[tuple[str, str, NDArray[np.int64]]]
    """A name, the family, and the places of the accounts that hold it."""


def net(drawn: Net, what: str) -> str:
    """Accounts as points inside a ring of values, each near what it shares with few."""
    angles = [2 * pi * (at + 0.5) / len(drawn.hubs) - pi / 2 for at in range(len(drawn.hubs))]
    ring = np.array([(cos(angle), sin(angle)) for angle in angles]) * _RING + _SIZE / 2
    points = _placed(drawn, ring)
    lines, circles, hubs = [], [], []
    for (name, family, members), place, angle in zip(drawn.hubs, ring, angles, strict=True):
        for member in members.tolist():
            ends = f'x1="{place[0]:.0f}" y1="{place[1]:.0f}" x2="{points[member][0]:.0f}" y2="{points[member][1]:.0f}"'
            lines.append(f'<line class="edge" stroke="var(--{family})" {ends}/>')
        hubs.append(_hub(name, family, len(members), place, angle))
    for account, tied, place in zip(drawn.accounts, drawn.tied.tolist(), points, strict=True):
        loose = "" if tied else " loose"
        at = f'cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="5"'
        circles.append(f'<circle class="account{loose}" {at}><title>{escape(account)}</title></circle>')
    body = "".join([*lines, *circles, *hubs])
    return f'<svg viewBox="0 0 {_SIZE} {_SIZE}" role="img" aria-label="{escape(what)}">{body}</svg>'


def _hub(name: str, family: str, members: int, place: NDArray[np.float64], angle: float) -> str:
    size = 7 + 2.2 * members**0.5
    size = min(size, 20)
    far = (_RING + size + 8) / _RING
    x, y = _SIZE / 2 + (place[0] - _SIZE / 2) * far, _SIZE / 2 + (place[1] - _SIZE / 2) * far
    left = cos(angle) < 0
    turn = degrees(angle) + (180 if left else 0)
    box = f'x="{place[0] - size / 2:.1f}" y="{place[1] - size / 2:.1f}" width="{size:.1f}" height="{size:.1f}" rx="3"'
    label = f"{family} · {members}"
    return (
        f'<rect class="hub" fill="var(--{family})" {box}><title>{escape(name)}, held by {members}</title></rect>'
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{"end" if left else "start"}" dominant-baseline="middle" '
        f'transform="rotate({turn:.1f} {x:.1f} {y:.1f})">{escape(label)}</text>'
    )


def _placed(drawn: Net, ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where each account goes: drawn to its values, the rarer the more, and away from its neighbours. The same every time."""
    count, centre = len(drawn.accounts), np.full(2, _SIZE / 2)
    sums, weight = np.zeros((count, 2)), np.zeros(count)
    for (_, _, members), place in zip(drawn.hubs, ring, strict=True):
        rare = 1 / len(members) ** 1.5
        sums[members] += rare * place
        weight[members] += rare
    home = np.where(weight[:, None] > 0, sums / np.maximum(weight, 1e-12)[:, None], centre)
    home = centre + _TOWARDS * (home - centre)
    turn = np.arange(count) * 2.399963  # the golden angle
    seed = np.stack((np.cos(turn), np.sin(turn)), axis=1) * np.sqrt(np.arange(count) + 1.0)[:, None]
    points = home + seed
    for turned in range(_ROUNDS):
        pull = 0.03 if turned < _DRAWN else 0.0
        apart = points[:, None, :] - points[None, :, :]
        distance = np.sqrt((apart**2).sum(axis=2)) + 1e-6
        push = np.where(distance < _APART, (_APART - distance) / distance, 0.0)
        points = points + 0.35 * (apart * push[:, :, None]).sum(axis=1) / 2 + pull * (home - points)
        out = points - centre
        length = np.sqrt((out**2).sum(axis=1)) + 1e-6
        points = np.where((length > _INNER)[:, None], centre + out / length[:, None] * _INNER, points)
    return np.asarray(points, np.float64)


class Band(NamedTuple):
    """A family's values."""

    family: str
    counts: Sequence[int]
    """How many members hold each, the commonest first."""
    covered: int
    """Members who hold any."""


def bands(rows: Sequence[Band], members: int, what: str) -> str:
    """Of each family a row of bars, a bar a value, as high as the logarithm of how many hold it.

    Args:
        rows: families.
        members: of the cluster: the highest bar there can be.
        what: it shows, read out in its place.
    """
    drawn = []
    width = (_WIDTH - _NAMES - _FIGURES) / _BARS
    for index, (family, counts, covered) in enumerate(rows):
        base = (index + 1) * _BAND - 14
        drawn.append(f'<line class="base" x1="{_NAMES}" x2="{_NAMES + width * _BARS:.0f}" y1="{base}" y2="{base}"/>')
        drawn.append(f'<text class="name" x="{_NAMES - 10}" y="{base - 4}" text-anchor="end">{escape(family)}</text>')
        for place, count in enumerate(counts[:_BARS]):
            high = (_BAND - 24) * log1p(count) / log1p(members)
            box = f'x="{_NAMES + place * width:.1f}" y="{base - high:.1f}" width="{width - 1:.1f}" height="{high:.1f}"'
            drawn.append(f'<rect fill="var(--{family})" {box}><title>{count:,} members</title></rect>')
        x = _NAMES + width * _BARS + 12
        values = f"{len(counts):,} {'value' if len(counts) == 1 else 'values'}, of up to {counts[0]:,} members"
        drawn.append(f'<text x="{x:.0f}" y="{base - 20}">{values}</text>')
        drawn.append(
            f'<text x="{x:.0f}" y="{base - 4}">{covered:,} members hold any ({escape(share(covered, members))})</text>'
        )
    return f'<svg viewBox="0 0 {_WIDTH} {len(rows) * _BAND}" role="img" aria-label="{escape(what)}">{"".join(drawn)}</svg>'


def share(part: int, whole: int) -> str:
    """A share, whole percents."""
    return "<1%" if 0 < part * 100 < whole else f"{part / whole:.0%}"
