"""A whole turn of the worker against a real Redis: accounts read, clusters found and judged, standings and values written.

    python -m benchmarks.rebuilding --accounts 1000000

The accounts are those of `benchmarks.clusters`: 20 values each, one account in fifty of a campaign, so that of a million 20,000
standings are written. They are put into Redis as it keeps them, and each has a standing, as an account that has called. The first
turn writes every standing and every record of a value; the second, an hour later, what has changed.
"""

from __future__ import annotations

import asyncio
import resource
import time
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from benchmarks.clusters import NOW, held
from benchmarks.common import Redis, arguments, machine, middle, rounds, save, table
from guardrail_mw.algorithms import activity
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.stores.redis.evidence import edges_key
from guardrail_mw.stores.redis.scripts import tag
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.worker import Worker

if TYPE_CHECKING:
    import argparse

TARGET: Final = 60
"""Seconds that a million accounts may take on two cores."""
_PREFIX: Final = "gr:"
_HOUR: Final = 3_600_000_000
_US: Final = 1_000_000


class Nobody:
    """Hears nothing."""

    def count(self, event: str, by: int = 1) -> None:
        """Nothing."""


def fill(redis: Redis, accounts: int) -> None:
    """What a store that has served so many accounts keeps of them."""
    import redis as client

    with client.Redis.from_url(redis.url) as connection:
        pipeline = connection.pipeline(transaction=False)
        for batch in held(accounts):
            for each in batch:
                if len(each.activity) != activity.LENGTH:
                    message = f"activity is {len(each.activity)} bytes, not {activity.LENGTH}"
                    raise SystemExit(message)
                pipeline.set(edges_key(each.account, _PREFIX), each.activity + each.edges)
                standing = {"since": each.created, "created": each.created, "u": NOW}
                pipeline.hset(f"{tag(_PREFIX, each.account)}:s", mapping=standing)
            pipeline.execute()


async def turns(url: str) -> list[dict[str, Any]]:
    """Two turns."""
    clock = FakeClock(NOW)
    store = RedisStore(url, deadline=10 * _US, clock=clock)
    worker = Worker(store, ClustersSettings(), clock=clock, observer=Nobody())
    found = []
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        state = await worker.turn()
        if state is None:
            message = "another worker has the post"
            raise SystemExit(message)
        figures: dict[str, Any] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        largest = max(state.clusters, key=lambda each: len(each.members))
        judged = [each for each in state.clusters if each.verdict in {"suspect", "confirmed"}]
        figures |= {"clusters": len(state.clusters), "largest": len(largest.members), "verdict": largest.verdict}
        figures |= {"members": len(list(chain.from_iterable(each.members for each in state.clusters)))}
        figures |= {"suspect": sum(len(each.members) for each in judged)}
        found.append(figures)
        clock.advance(_HOUR / _US)
    await store.close()
    return found


def one(accounts: int) -> list[dict[str, Any]]:
    """A round: seconds and what was found, turn by turn."""
    with Redis() as redis:
        fill(redis, accounts)
        size = int(redis.info("memory")["used_memory"])
        spent = redis.info("cpu")
        found = asyncio.run(turns(redis.url))
        later = redis.info("cpu")
        server = sum(float(later[name]) - float(spent[name]) for name in ("used_cpu_user", "used_cpu_sys"))
    for each in found:
        each |= {"server": server, "redis_mib": size / 2**20}
        each["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def main() -> None:
    """Run, print, save."""
    parser = arguments((__doc__ or "").split("\n", 1)[0], 1, 1)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    options: argparse.Namespace = parser.parse_args()
    if options.quick:
        options.accounts = min(options.accounts, 20_000)
    print(machine(), "\n")
    every = [one(options.accounts) for _ in range(rounds(options))]

    def row(label: str, figure: str, form: str) -> list[str]:
        return [label, *[format(middle([each[turn][figure] for each in every]), form) for turn in (0, 1)]]

    rows = [
        row(f"wall, s; {TARGET} may be for a million", "wall", ".1f"),
        row("CPU of the worker, s", "cpu", ".1f"),
        row("CPU of Redis, both turns, s", "server", ".1f"),
        row("peak of the worker, MiB", "peak_mib", ".0f"),
        row("Redis, MiB", "redis_mib", ".0f"),
        row("clusters", "clusters", ".0f"),
        row("their members", "members", ".0f"),
        row("members of suspect ones", "suspect", ".0f"),
    ]
    print(table([f"{options.accounts:,} accounts", "first turn", "second turn"], rows))
    save(options.json, {"accounts": options.accounts, "rounds": every})


if __name__ == "__main__":
    main()
