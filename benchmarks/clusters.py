"""What a rebuild of all clusters costs, from the bytes that a store hands out to verdicts and packed state.

    python -m benchmarks.clusters --accounts 100000 1000000

Each size has a process of its own, for its peak of memory. Accounts show 20 values each: 16 that nobody else shows (what most
people write) and four that others may: a card (homes of up to four, offices of a few hundred), a network (the home's or the
office's, or a carrier's that up to a thousand share), one of 300 user agents, which a few programs lead, and one of as many
devices as homes. One account in fifty is of a campaign, with cards of 20, addresses of 10, one system prompt, and texts that
are 16 of 90. Stages are in seconds of CPU, what they call included; those that are set in are parts of
the one above.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.common import arguments, machine, middle, rounds, save, table
from guardrail_mw.algorithms import edges
from guardrail_mw.algorithms.keys import AGENT, BITS, DEVICE, NETWORK, PAYMENT, SHINGLE, SYSTEM
from guardrail_mw.clusters.kinds import Kinds
from guardrail_mw.clusters.reading import Reader
from guardrail_mw.clusters.reading import table as by_code
from guardrail_mw.clusters.rebuild import HOUR, Rules, rebuild
from guardrail_mw.clusters.state import Given, State
from guardrail_mw.stores.base import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

EDGES: Final = 20
CAMPAIGN: Final = 50
"""One account in so many."""
DAYS: Final = 400
BATCH: Final = 1_000
NOW: Final = edges.EPOCH + DAYS * 24 * HOUR
_EDGE: Final = np.dtype([("key", ">i8"), ("first", ">u2"), ("last", "u1")])
_DONE: Final = np.dtype([
    ("first", ">u2"), ("last", ">u2"), ("days", ">u2"), ("requests", ">u4"), ("tokens", ">u2", 3), ("windows", "u1", 6),
    ("hours", ">u2", 24), ("recent", "u1", (8, 3)),
])  # fmt: skip
STAGES: Final = (
    ("reading", "add", "batches taken in"),
    ("reading", "read", "bytes to columns"),
    ("rebuild", "rebuild", "rebuild"),
    ("graph", "of", "- values that several hold"),
    ("forming", "form", "- clusters"),
    ("islands", "composites", "  - composites"),
    ("weights", "weigh", "  - weights"),
    ("nominees", "nominate", "  - nominees"),
    ("nominees", "united", "  - clusters that are one"),
    ("growth", "joining", "  - who joins"),
    ("descent", "name", "- ids"),
    ("features", "features", "- figures"),
    ("rebuild", "_rests", "- families"),
    ("rebuild", "_marks", "- records of values"),
    ("state", "pack", "state packed"),
)
"""Modules of `clusters`, functions, and what they do."""


def shown(accounts: int, chance: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys of each account's edges, a row each, and the hour when it came."""
    row = np.arange(accounts)
    since = chance.integers(0, (DAYS - 1) * 24, accounts)
    home = np.repeat(row, chance.integers(1, 5, accounts))[:accounts]
    office = row // 300
    in_office = chance.random(accounts // 300 + 1)[office] < 0.15
    card = np.where(in_office, 10**8 + office, home)
    carrier = 3 * 10**8 + chance.integers(0, max(1, accounts // 1_000), accounts)
    network = np.where(in_office, 2 * 10**8 + office, np.where(chance.random(accounts) < 0.3, carrier, home))
    agent = np.minimum(299, chance.pareto(0.8, accounts).astype(np.int64))
    rest = 10**10 + row[:, None] * EDGES + np.arange(EDGES)
    code = np.full((accounts, EDGES), SHINGLE, np.int64)
    for column, (kind, digest) in enumerate(((PAYMENT, card), (NETWORK, network), (AGENT, agent), (DEVICE, home))):
        code[:, column], rest[:, column] = kind, digest
    mine = np.flatnonzero(row % CAMPAIGN == 0)
    many = len(mine)
    since[mine] = chance.integers((DAYS - 40) * 24, (DAYS - 2) * 24, many)
    rest[mine, 0] = 5 * 10**8 + chance.permutation(many) // 20
    rest[mine, 1] = 6 * 10**8 + chance.permutation(many) // 10
    code[mine, 3], rest[mine, 3] = SYSTEM, 7 * 10**8
    texts = np.sort(np.argpartition(chance.random((many, 90)), 60, axis=1)[:, :60], axis=1)[:, : EDGES - 4]
    rest[mine, 4:] = 8 * 10**8 + texts
    mixed = rest.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15) & np.uint64((1 << BITS) - 1)  # digests have no order
    return code << BITS | mixed.astype(np.int64), since


def held(accounts: int, seed: int = 1) -> Iterator[list[Held]]:
    """Batches as a store gives them."""
    chance = np.random.default_rng(seed)
    keys, since = shown(accounts, chance)
    packed = np.zeros((accounts, EDGES), _EDGE)
    packed["key"], packed["first"], packed["last"] = keys, since[:, None], (DAYS - 1) % 256
    done = np.zeros(accounts, _DONE)
    days = chance.integers(1, 30, accounts)
    done["first"], done["last"], done["days"] = since, DAYS * 24 - 1, days
    done["requests"] = days * chance.integers(1, 60, accounts)
    done["hours"] = chance.integers(0, 40, (accounts, 24))
    done["recent"][:, :, 2] = chance.integers(0, 60, (accounts, 8))
    names = chance.permutation(accounts)
    for begin in range(0, accounts, BATCH):
        yield [
            Held(
                f"a:{names[at]:043x}", int(since[at]) * HOUR + edges.EPOCH, packed[at].tobytes(), done[at].tobytes(), "", ""
            )
            for at in range(begin, min(accounts, begin + BATCH))
        ]


def one(accounts: int) -> dict[str, Any]:
    """Figures of one size: seconds by stage, the second rebuild, bytes."""
    batches = list(held(accounts))
    gc.collect()
    base = _resident()
    rules = Rules(by_code(Kinds()))
    watch = cProfile.Profile(time.process_time, builtins=False)
    begun, spent = time.perf_counter(), time.process_time()
    watch.enable()
    reader = Reader(NOW, 90)
    for batch in batches:
        reader.add(batch)
    read = reader.read()
    done = rebuild(read.held, read.activity, State(), Given(), rules, NOW)
    packed = done.state.pack()
    watch.disable()
    whole, cpu = time.perf_counter() - begun, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = time.process_time()
    again = rebuild(read.held, read.activity, done.state, Given(), rules, NOW + HOUR)
    second = time.process_time() - spent
    found: Any = pstats.Stats(watch)
    stages = dict.fromkeys((label for _, _, label in STAGES), 0.0)
    for (file, _, function), (_, _, _, cumulative, _) in found.stats.items():
        for module, name, label in STAGES:
            if function == name and file.endswith(f"clusters/{module}.py"):
                stages[label] += cumulative
    largest = max(done.state.clusters, key=lambda each: len(each.members))
    return {
        "accounts": accounts,
        "wall": whole,
        "cpu": cpu,
        "again": second,
        "stages": stages,
        "batches": base,
        "peak": peak,
        "clusters": len(done.state.clusters),
        "largest": len(largest.members),
        "verdict": largest.verdict,
        "marks": len(done.marks),
        "state": len(packed),
        "same": again.state.ids() == done.state.ids(),
    }


def _resident() -> float:
    """MiB that this process has at present."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def several(accounts: int, many: int) -> list[dict[str, Any]]:
    """Rounds of one size, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.clusters", "--one", str(accounts)]
    return [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(many)]


def main() -> None:
    """Run all sizes and print what they cost."""
    parser = arguments((__doc__ or "").split("\n", 1)[0], 3, 1)
    parser.add_argument("--accounts", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one(options.one)))
        return
    print(machine(), "\n")
    found = {accounts: several(accounts, rounds(options)) for accounts in options.accounts}

    def row(label: str, figure: Callable[[dict[str, Any]], float], form: str) -> tuple[str, ...]:
        return label, *[format(middle([figure(each) for each in every]), form) for every in found.values()]

    print(table(
        ("", *[f"{accounts:,} accounts" for accounts in found]),
        [
            row("**all, wall s**", lambda each: each["wall"], ".1f"),
            row("**all, CPU s**", lambda each: each["cpu"], ".1f"),
            *[row(label, lambda each, label=label: each["stages"][label], ".2f") for _, _, label in STAGES],  # type: ignore[misc]
            row("the next rebuild", lambda each: each["again"], ".1f"),
            row("peak, MiB", lambda each: each["peak"], ",.0f"),
            row("- of it the store's batches, MiB", lambda each: each["batches"], ",.0f"),
            row("clusters", lambda each: each["clusters"], ",d"),
            row("accounts in the largest", lambda each: each["largest"], ",d"),
            row("values that speak for one", lambda each: each["marks"], ",d"),
            row("state, KiB", lambda each: each["state"] / 1024, ",.0f"),
        ],
    ))  # fmt: skip
    save(options.json, {str(accounts): every for accounts, every in found.items()})


if __name__ == "__main__":
    main()
