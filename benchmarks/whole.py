"""What judgement costs on top of limits, a layer at a time, beside slowapi's four limits in the same run.

    python -m benchmarks.whole --rounds 20

Eight limits (account, network, everyone), then velocity counts, three scorers, a ladder, and events to a file, each with all
that stands before it. Requests come with a thousand API keys in turn from one network, as the official `openai` client sends
them, and nobody reaches a rung. In memory one request at a time, in Redis 64 at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.candidates import CANDIDATES, Candidate, Case, StoreName, guarded, policy
from benchmarks.common import Redis, arguments, machine, middle, rounds, save, table, use_keys
from benchmarks.rates import ALLOW
from benchmarks.traffic import names, sample

if TYPE_CHECKING:
    import argparse

REQUESTS = 640
CONCURRENT = {"memory": 1, "redis": 64}
LIMITS: list[dict[str, Any]] = [
    {"name": "second", "per": ["account"], "rate": "100000/second"},
    {"name": "minute", "per": ["account"], "rate": "1000000/minute"},
    {"name": "hour", "per": ["account"], "rate": "10000000/hour"},
    {"name": "day", "per": ["account"], "rate": "100000000/day"},
    {"name": "network", "per": ["network"], "rate": "100000000/minute"},
    {"name": "network-a-day", "per": ["network"], "rate": "1000000000/day"},
    {"name": "everyone", "per": [], "rate": "10000000/second"},
    {"name": "everyone-a-day", "per": [], "rate": "10000000000/day"},
]
VELOCITY = [
    {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"},
    {"name": "networks", "distinct": "network", "per": "account", "over": "24h"},
]
SCORERS = [
    {"use": "velocity", "with": {"attempts": {"from": 900_000, "full": 1_000_000}, "networks": {"from": 5, "full": 20}}},
    {"use": "automation"},
    {"use": "cluster"},
]
LADDER = [
    {"at": 30, "do": "delay", "with": {"seconds": 0.5}},
    {"at": 50, "do": "trim"},
    {"at": 95, "do": "deny"},
]


def layers(case: Case, events: Path) -> dict[str, dict[str, Any]]:
    """Policies, each with what the one before it has."""
    document = policy(case, LIMITS)
    found = {"eight limits": document}
    further: dict[str, dict[str, Any]] = {
        "and velocity": {"velocity": VELOCITY},
        "and three scorers": {"risk": {"scorers": SCORERS}},
        "and a ladder": {"friction": {"ladder": LADDER}},
        "and events to a file": {"telemetry": {"events": [{"use": "jsonl", "with": {"path": str(events)}}]}},
    }
    for name, more in further.items():
        document = {**document, **more}
        found[name] = document
    return found


async def run(store: StoreName, options: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one store: CPU and wall time that each adds to the bare app, in µs a request."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(Redis()) if store == "redis" else None
        case = Case(ALLOW[4], store, redis.url if redis else "", port=redis.port if redis else 0)
        candidates: dict[str, Candidate] = {name: await CANDIDATES[name](case) for name in ("bare app", "slowapi")}
        candidates |= {name: guarded(each) for name, each in layers(case, folder / "events-{pid}.jsonl").items()}
        added: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for number in range(rounds(options) + 1):
            order = list(candidates)
            random.shuffle(order)
            taken = {}
            for name in order:
                keys = random.sample(names(1000), REQUESTS)
                taken[name] = await sample(candidates[name].app, candidates[name].drain, keys, CONCURRENT[store])
                if taken[name].statuses[200] != REQUESTS:
                    message = f"{name}: {dict(taken[name].statuses)}"
                    raise SystemExit(message)
            bare = taken["bare app"]
            for name, each in taken.items():
                if number:
                    added[name].append((each.cpu - bare.cpu, each.wall - bare.wall))
        for candidate in candidates.values():
            await candidate.close()
    slow = added["slowapi"]
    return {
        name: {
            "cpu_us": middle([cpu for cpu, _ in each]),
            "wall_us": middle([wall for _, wall in each]),
            "of_slowapi": statistics.median(mine[0] / theirs[0] for mine, theirs in zip(each, slow, strict=True)),
        }
        for name, each in added.items()
        if name != "bare app"
    }


def main() -> None:
    """Run, print, save."""
    parser = arguments(__doc__ or "", 20, 3)
    parser.add_argument("--stores", nargs="+", default=["memory", "redis"], choices=["memory", "redis"])
    options = parser.parse_args()
    use_keys()
    print(f"{machine()}\n- asyncio event loop, {rounds(options)} rounds of {REQUESTS} requests")
    everything = {}
    for store in options.stores:
        everything[store] = found = asyncio.run(run(store, options))
        print(f"\n### {store}, {CONCURRENT[store]} at once\n")
        rows = [
            [name, f"{row['cpu_us']:.1f}", f"{row['of_slowapi']:.2f}", f"{row['wall_us']:.1f}"]
            for name, row in found.items()
        ]
        print(table(["", "CPU added, µs", "of slowapi, four limits", "wall added, µs"], rows))
    save(options.json, everything)


if __name__ == "__main__":
    main()
