"""What a decision adds to a request: CPU and wall time over the bare app, ours and the peers' side by side.

    python -m benchmarks.middleware --rounds 30

Every cell (a store, a verdict, one limit or four, one caller or 64) is measured in every round, its candidates in a new
order each time. *Added* is a candidate's time less the bare app's in the same round; the tables show medians over the
rounds, and the ratio to slowapi is the median of the rounds' ratios. Nothing is timed before each candidate has been seen to
enforce: a first request passes, a second with the same key is refused, one with another key passes.
"""

from __future__ import annotations

import asyncio
import random
import sys
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.candidates import BARE, CANDIDATES, Candidate, Case, StoreName, available
from benchmarks.common import Redis, arguments, machine, middle, rounds, save, spread, table, use_keys
from benchmarks.rates import ALLOW, DENY
from benchmarks.traffic import Sample, drive, names, sample

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

REQUESTS = {"memory": 640, "redis": 320}
"""In one sample."""
KEYS = {"allow": 1000, "deny": 64}
"""API keys that take turns."""
BASELINE = "slowapi"


class Setting(NamedTuple):
    """What one set of candidates is built for."""

    store: StoreName
    verdict: str
    limits: int


class Cell(NamedTuple):
    """One measured situation."""

    setting: Setting
    concurrent: int


class Figure(NamedTuple):
    """What a candidate added in one round, µs a request."""

    cpu: float
    wall: float


Figures = dict[Cell, dict[str, list[Figure]]]


async def enforces(name: str, candidate: Candidate) -> None:
    """Exit unless the candidate refuses a key that is used up, and only that one.

    Raises:
        SystemExit: it does not; timing it would compare nothing.
    """
    used, other = names(2, f"sk-verify-{random.randrange(10**9)}")
    seen = []
    for key in (used, used, other):
        seen.append(next(iter(await drive(candidate.app, [key]))))
        await candidate.drain()
    expected = [200, 200, 200] if name in BARE.values() else [200, 429, 200]
    if seen != expected:
        message = f"{name} answered {seen}, expected {expected}: it does not enforce what was asked, so it is not timed"
        raise SystemExit(message)


async def build(setting: Setting, wanted: list[str], redis: Redis) -> dict[str, Candidate]:
    """The candidates of a setting, verified, with every key seen once (and used up where they are to be refused)."""
    rates = (ALLOW if setting.verdict == "allow" else DENY)[setting.limits]
    found = {}
    for name in wanted:
        if setting.verdict == "allow":
            strict = await available(name, Case(DENY[setting.limits], setting.store, redis.url, port=redis.port))
            if not isinstance(strict, str):
                await enforces(name, strict)
                await strict.close()
        candidate = await available(name, Case(rates, setting.store, redis.url, port=redis.port))
        if isinstance(candidate, str):
            if setting.limits == 1:
                print(f"{setting.store}: {name} skipped, {candidate}", file=sys.stderr)
            continue
        for _ in range(1 if setting.verdict == "allow" else 2):
            await drive(candidate.app, keys_of(setting))
            await candidate.drain()
        found[name] = candidate
    return found


def keys_of(setting: Setting) -> list[bytes]:
    """Its own keys: asgi-ratelimit's counters do not tell one amount from another."""
    return names(KEYS[setting.verdict], f"sk-{setting.verdict}-{setting.limits}")


def chosen(setting: Setting) -> Iterator[bytes]:
    """Keys for a sample: all in turn, from a random start."""
    keys = keys_of(setting)
    start = random.randrange(len(keys))
    for number in range(REQUESTS[setting.store]):
        yield keys[(start + number) % len(keys)]


def is_sound(name: str, cell: Cell, taken: Sample) -> bool:
    """Whether a sample is of the verdict it is meant to be. Refusals may fall short by a fiftieth."""
    expected = 200 if cell.setting.verdict == "allow" or name in BARE.values() else 429
    total = sum(taken.statuses.values())
    return taken.statuses[expected] >= total * (1 if expected == 200 else 0.98)


async def take(name: str, candidate: Candidate, cell: Cell) -> Sample:
    """A sample; another one where a calendar minute began in it, which sets fixed windows of a minute free.

    Raises:
        SystemExit: three in a row are not of the verdict that they are meant to be.
    """
    for _ in range(3):
        taken = await sample(candidate.app, candidate.drain, list(chosen(cell.setting)), cell.concurrent)
        if is_sound(name, cell, taken):
            return taken
    message = f"{name} answered {dict(taken.statuses)} in {cell}: the sample is worthless"
    raise SystemExit(message)


async def measure(cell: Cell, candidates: dict[str, Candidate]) -> dict[str, Figure]:
    """One round of one cell."""
    order = list(candidates)
    random.shuffle(order)
    taken = {}
    for name in order:
        taken[name] = await take(name, candidates[name], cell)
    added = {}
    for name, candidate in candidates.items():
        bare = taken[BARE[candidate.base]]
        added[name] = (
            Figure(taken[name].cpu, taken[name].wall)
            if name in BARE.values()
            else Figure(taken[name].cpu - bare.cpu, taken[name].wall - bare.wall)
        )
    return added


async def run(options: argparse.Namespace, redis: Redis) -> Figures:
    """All rounds; each goes through all cells in a new order."""
    wanted = [name for name in CANDIDATES if not options.only or name in options.only or name in BARE.values()]
    settings = [Setting(*each) for each in product(options.stores, options.verdicts, (1, 4))]
    built: dict[Setting, dict[str, Candidate]] = {}
    for setting in settings:
        built[setting] = await build(setting, wanted, redis)
    cells = [Cell(setting, concurrent) for setting in settings for concurrent in (1, 64)]
    figures: Figures = {cell: {} for cell in cells}
    count = rounds(options)
    for number in range(count + 1):  # the first warms up and is thrown away
        random.shuffle(cells)
        for cell in cells:
            for name, figure in (await measure(cell, built[cell.setting])).items():
                if number:
                    figures[cell].setdefault(name, []).append(figure)
        print(f"round {number} of {count}", file=sys.stderr)
    for candidates in built.values():
        for candidate in candidates.values():
            await candidate.close()
    return figures


def ratio(cell: dict[str, list[Figure]], name: str, field: int) -> float | None:
    """The median of the rounds' ratios to slowapi."""
    if BASELINE not in cell or name in BARE.values():
        return None
    return middle([mine[field] / theirs[field] for mine, theirs in zip(cell[name], cell[BASELINE], strict=True)])


def entry(cell: dict[str, list[Figure]], name: str) -> str:
    """`CPU (of slowapi) / wall`."""
    if name not in cell:
        return ""
    cpu, wall = (f"{middle([each[field] for each in cell[name]]):.1f}" for field in (0, 1))
    share = ratio(cell, name, 0)
    return f"{cpu} / {wall}" if share is None else f"{cpu} ({share:.2f}) / {wall}"


def report(figures: Figures) -> None:
    """Print a table for each store and verdict."""
    situations = list(product((1, 4), (1, 64)))
    head = ["", *(f"{limits} limit{'s' * (limits > 1)}, {concurrent} at once" for limits, concurrent in situations)]
    for store, verdict in dict.fromkeys((cell.setting.store, cell.setting.verdict) for cell in figures):
        cells = [figures[Cell(Setting(store, verdict, limits), concurrent)] for limits, concurrent in situations]
        present = [name for name in CANDIDATES if any(name in cell for cell in cells)]
        print(f"\n### {store}, {'allowed' if verdict == 'allow' else 'refused'}: µs a request, CPU (of slowapi's) / wall\n")
        lines = [
            [f"{name}, whole" if name in BARE.values() else name, *(entry(cell, name) for cell in cells)] for name in present
        ]
        print(table(head, lines))


def plain(figures: Figures) -> dict[str, Any]:
    """For JSON: medians, quartiles and ratios."""
    out: dict[str, Any] = {}
    for cell, found in figures.items():
        place = f"{cell.setting.store} {cell.setting.verdict} {cell.setting.limits} limits {cell.concurrent} concurrent"
        out[place] = {
            name: {
                "cpu_us": middle([each.cpu for each in rounds_]),
                "cpu_quartiles": spread([each.cpu for each in rounds_]),
                "wall_us": middle([each.wall for each in rounds_]),
                "wall_quartiles": spread([each.wall for each in rounds_]),
                "cpu_of_slowapi": ratio(found, name, 0),
                "wall_of_slowapi": ratio(found, name, 1),
            }
            for name, rounds_ in found.items()
        }
    return out


def main() -> None:
    """Run, print, save."""
    parser = arguments(__doc__ or "", 30, 3)
    parser.add_argument("--stores", nargs="+", default=["memory", "redis"], choices=["memory", "redis"])
    parser.add_argument("--verdicts", nargs="+", default=["allow", "deny"], choices=["allow", "deny"])
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"of: {', '.join(CANDIDATES)}")
    parser.add_argument("--loop", default="asyncio", choices=["asyncio", "uvloop"])
    options = parser.parse_args()
    use_keys()
    where = machine()
    with Redis() as redis:
        if options.loop == "uvloop":
            import uvloop

            figures = uvloop.run(run(options, redis))
        else:
            figures = asyncio.run(run(options, redis))
    print(
        f"{where}\n- {options.loop} event loop, {rounds(options)} rounds of {REQUESTS['memory']} requests in memory, "
        f"{REQUESTS['redis']} with Redis"
    )
    report(figures)
    save(options.json, {"machine": where, "loop": options.loop, "rounds": rounds(options), "cells": plain(figures)})


if __name__ == "__main__":
    main()
