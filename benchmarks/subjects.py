"""What a request costs among a thousand subjects and among a million, and how many bytes each takes.

    python -m benchmarks.subjects --rounds 15

For each store there are as many guarded apps as sizes, each filled with its subjects by one request each, all in one
process (with Redis: a server of its own each). Every round each size is measured in a new order, on subjects drawn at random
from all of them, so caches are as cold as that size makes them. The limits refill so slowly that no subject is forgotten
meanwhile. Bytes a subject: what the process (its RSS; Python's allocator, over 10,000) or the server (`used_memory`) grew.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.candidates import Candidate, Case, StoreName, guarded, policy
from benchmarks.common import Redis, arguments, machine, middle, rounds, save, table, use_keys
from benchmarks.traffic import Sample, bare_starlette, drive, sample

if TYPE_CHECKING:
    import argparse

SIZES = (1_000, 10_000, 100_000, 1_000_000)
REQUESTS = 4000
MAX_SUBJECTS = 2_000_000
TRACED = 10_000
RATES = (100, 96, 90, 80)
COUNTED = 100_000
"""Bytes a subject are told from this size on: below it the noise of the process is larger."""
CONCURRENT = {"memory": 1, "redis": 64}


class Filled(NamedTuple):
    """A guarded app with its subjects."""

    candidate: Candidate
    size: int
    bytes_each: float


def document(store: StoreName, url: str, limits: int) -> dict[str, Any]:
    """Up to four limits of about a hundred a day, with bursts that are never used up."""
    asked = [
        {"name": f"limit-{rate}", "per": ["account"], "rate": f"{rate}/day", "burst": 100_000} for rate in RATES[:limits]
    ]
    made = policy(Case((), store, url), asked)
    made["store"]["max_subjects"] = MAX_SUBJECTS
    return made


def key(number: int) -> bytes:
    """A subject's API key."""
    return b"Bearer sk-subject-%012d" % number


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def fill(candidate: Candidate, size: int, concurrent: int) -> None:
    """Let each subject call once.

    Raises:
        SystemExit: a request was refused.
    """
    for start in range(0, size, 10_000):
        keys = [key(number) for number in range(start, min(size, start + 10_000))]
        statuses = await drive(candidate.app, keys, concurrent)
        if statuses[200] != len(keys):
            message = f"filling {size} subjects: {dict(statuses)}"
            raise SystemExit(message)
    await candidate.drain()


async def traced(limits: int) -> float:
    """Bytes a subject in memory, by Python's own allocator."""
    candidate = guarded(document("memory", "", limits))
    await fill(candidate, 100, 1)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await fill(candidate, TRACED, 1)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    await candidate.close()
    return (after - before) / (TRACED - 100)


async def prepare(store: StoreName, size: int, limits: int, stack: contextlib.ExitStack) -> Filled:
    """Make and fill one size."""
    redis = stack.enter_context(Redis()) if store == "redis" else None
    candidate = guarded(document(store, redis.url if redis else "", limits))
    await fill(candidate, 1, 1)
    gc.collect()
    before = int(redis.info("memory")["used_memory"]) if redis else resident()
    await fill(candidate, size, CONCURRENT[store])
    gc.collect()
    after = int(redis.info("memory")["used_memory"]) if redis else resident()
    print(f"{store}, {limits} limits: {size} subjects", file=sys.stderr)
    return Filled(candidate, size, (after - before) / size)


async def _nothing() -> None:
    return None


async def measure(store: StoreName, size: int, candidate: Candidate | None) -> Sample:
    """A sample of one size, or of the bare app."""
    keys = [key(random.randrange(size)) for _ in range(REQUESTS)]
    app, drain = (candidate.app, candidate.drain) if candidate else (bare_starlette(), _nothing)
    taken = await sample(app, drain, keys, CONCURRENT[store], collect=False)
    if taken.statuses[200] != REQUESTS:
        message = f"{size} subjects: {dict(taken.statuses)}"
        raise SystemExit(message)
    return taken


async def run(store: StoreName, limits: int, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one store."""
    sizes = [size for size in SIZES if size <= options.most]
    each_traced = await traced(limits) if store == "memory" else None
    with contextlib.ExitStack() as stack:
        filled = [await prepare(store, size, limits, stack) for size in sizes]
        gc.collect()
        gc.freeze()  # what was filled is old, as in a server that has run for long
        figures: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
        bare: list[float] = []
        for number in range(rounds(options) + 1):
            random.shuffle(filled)
            base = await measure(store, sizes[0], None)
            for each in filled:
                taken = await measure(store, each.size, each.candidate)
                if number:
                    figures[each.size].append((taken.cpu - base.cpu, taken.wall - base.wall))
            bare.append(base.cpu)
        for each in filled:
            await each.candidate.close()
        gc.unfreeze()
    first = figures[sizes[0]]
    return {
        "bare_us": middle(bare),
        "traced_bytes": each_traced,
        "sizes": {
            each.size: {
                "cpu_us": middle([cpu for cpu, _ in figures[each.size]]),
                "wall_us": middle([wall for _, wall in figures[each.size]]),
                "of_smallest": middle([mine[0] / least[0] for mine, least in zip(figures[each.size], first, strict=True)]),
                "bytes": each.bytes_each,
            }
            for each in sorted(filled, key=lambda each: each.size)
        },
    }


def report(store: str, limits: int, found: dict[str, Any]) -> None:
    """Print one table."""
    print(f"\n### {store}, {limits} limit{'s' * (limits > 1)}, {CONCURRENT[store]} at once\n")
    smallest = next(iter(found["sizes"]))
    print(
        table(
            ["subjects", "CPU added, µs", f"of {smallest} subjects", "wall added, µs", "bytes a subject"],
            [
                [
                    f"{size:,}",
                    f"{row['cpu_us']:.1f}",
                    f"{row['of_smallest']:.2f}",
                    f"{row['wall_us']:.1f}",
                    f"{row['bytes']:.0f}" if size >= COUNTED else "",
                ]
                for size, row in found["sizes"].items()
            ],
        )
    )
    if found["traced_bytes"] is not None:
        print(f"\nBy Python's own allocator, over {TRACED:,} subjects: {found['traced_bytes']:.0f} bytes a subject.")


def main() -> None:
    """Run, print, save."""
    parser = arguments(__doc__ or "", 15, 3)
    parser.add_argument("--stores", nargs="+", default=["memory", "redis"], choices=["memory", "redis"])
    parser.add_argument("--limits", nargs="+", type=int, default=[1, 4], choices=range(1, len(RATES) + 1))
    parser.add_argument("--most", type=int, default=None, help="the largest size (default 1000000, with --quick 100000)")
    options = parser.parse_args()
    options.most = options.most or (100_000 if options.quick else SIZES[-1])
    use_keys()
    print(
        f"{machine()}\n- asyncio event loop, {rounds(options)} rounds of {REQUESTS} requests, max_subjects {MAX_SUBJECTS:,}"
    )
    everything = {}
    for store in options.stores:
        for limits in options.limits:
            everything[f"{store} {limits}"] = found = asyncio.run(run(store, limits, options))
            report(store, limits, found)
    save(options.json, everything)


if __name__ == "__main__":
    main()
