"""How long the scorers that ship take together for one request: at the middle, and at the 99th percentile.

    python -m benchmarks.scorers --rounds 20

`velocity`, `automation` and `cluster` as `benchmarks.whole` has them, asked by the panel that the engine asks; nothing speaks
against anybody. One SDK is what most requests come from; forty browsers in turn fit what is remembered of agents; an agent that
was never seen has to be read. Beside them a panel without scorers, which is what asking and timing cost by themselves.
"""

from __future__ import annotations

import gc
import random
from itertools import count
from time import perf_counter_ns, thread_time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.common import arguments, machine, middle, rounds, save, table
from benchmarks.whole import SCORERS, VELOCITY
from guardrail_mw.clock import SystemClock
from guardrail_mw.engine.counts import Counts
from guardrail_mw.policy import load
from guardrail_mw.risk.base import Velocity
from guardrail_mw.risk.runner import NOTHING, Panel
from guardrail_mw.testing.requests import context, request

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

CALLS: Final = 5000
"""A round's, of each kind: 50 of them are beyond the 99th percentile."""

_SDK: Final = {
    "host": "api.example",
    "user-agent": "OpenAI/Python 2.8.1",
    "accept": "application/json",
    "content-type": "application/json",
    "x-stainless-lang": "python",
    "x-stainless-runtime": "CPython",
    "x-stainless-os": "Linux",
}
_SYSTEMS: Final = (
    ("Windows NT 10.0; Win64; x64", "Windows"),
    ("Macintosh; Intel Mac OS X 10_15_7", "macOS"),
    ("X11; Linux x86_64", "Linux"),
    ("X11; CrOS x86_64 14541.0.0", "Chrome OS"),
)


def browser(build: int, version: int = 142, system: int = 0) -> dict[str, str]:
    """What a Chrome sends with a call from a page."""
    platform, named = _SYSTEMS[system]
    chrome = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.{build}.0 Safari/537.36"
    return {
        "host": "api.example",
        "user-agent": f"Mozilla/5.0 ({platform}) {chrome}",
        "accept": "application/json",
        "accept-language": "en-US,en;q=0.9",
        "content-type": "application/json",
        "sec-ch-ua": f'"Chromium";v="{version}", "Google Chrome";v="{version}", "Not_A Brand";v="99"',
        "sec-ch-ua-platform": f'"{named}"',
        "sec-fetch-mode": "cors",
        "sec-fetch-site": "cross-site",
    }


def one_sdk() -> Iterator[dict[str, str]]:
    """Always the same."""
    while True:
        yield _SDK


def forty_browsers() -> Iterator[dict[str, str]]:
    """Ten versions on four systems, in turn."""
    for number in count():
        yield browser(0, 133 + number // 4 % 10, number % 4)


def always_new() -> Iterator[dict[str, str]]:
    """No two alike."""
    for number in count(1):
        yield browser(number)


class Kind(NamedTuple):
    """Who is asked about what."""

    panel: Panel
    headers: Iterator[dict[str, str]]


def panel(scorers: Sequence[Any]) -> Panel:
    """As the engine makes it."""
    policy = load({"version": 1, "velocity": VELOCITY, "risk": {"scorers": list(scorers)}})
    rules = {each.name: Velocity(each.name, each.family, each.over.us) for each in policy.velocity}
    return Panel(policy.risk, rules, clock=SystemClock(), observer=Counts())


def kinds() -> dict[str, Kind]:
    """What is measured, each with scorers of its own."""
    return {
        "no scorers": Kind(panel([]), one_sdk()),
        "one SDK": Kind(panel(SCORERS), one_sdk()),
        "40 browsers in turn": Kind(panel(SCORERS), forty_browsers()),
        "each agent new": Kind(panel(SCORERS), always_new()),
    }


class Taken(NamedTuple):
    """µs of each call of a round, sorted."""

    cpu: list[float]
    """Of the thread: what other programs do meanwhile is not in it."""
    wall: list[float]


def round_of(kind: Kind) -> Taken:
    """Time each call by itself. Requests are made before, as the edge makes them: each is another."""
    counts = {"attempts": 12, "networks": 2}
    asked = [context(request(headers=next(kind.headers)), counts=counts, standing={"since": "1"}) for _ in range(CALLS)]
    run = kind.panel.run
    taken = Taken([], [])
    gc.collect()
    for each in asked:
        cpu, wall = thread_time_ns(), perf_counter_ns()
        found = run(each)
        wall, cpu = perf_counter_ns() - wall, thread_time_ns() - cpu
        taken.cpu.append(cpu / 1000)
        taken.wall.append(wall / 1000)
        if found is not NOTHING:
            message = f"something was found: {found}"
            raise SystemExit(message)
    return Taken(sorted(taken.cpu), sorted(taken.wall))


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """All rounds: the median over them of each one's middle and of its 99th percentile. The first round warms up."""
    every = kinds()
    seen: dict[str, list[Taken]] = {name: [] for name in every}
    for number in range(rounds(options) + 1):
        for name in random.sample(list(every), len(every)):
            taken = round_of(every[name])
            if number:
                seen[name].append(taken)
    return {
        name: {
            "cpu_p50_us": middle([each.cpu[CALLS // 2] for each in taken]),
            "cpu_p99_us": middle([each.cpu[CALLS * 99 // 100] for each in taken]),
            "wall_p50_us": middle([each.wall[CALLS // 2] for each in taken]),
            "wall_p99_us": middle([each.wall[CALLS * 99 // 100] for each in taken]),
        }
        for name, taken in seen.items()
    }


def report(found: Mapping[str, Mapping[str, float]]) -> str:
    """The table."""
    columns = ("cpu_p50_us", "cpu_p99_us", "wall_p50_us", "wall_p99_us")
    rows = [[name, *[f"{row[column]:.1f}" for column in columns]] for name, row in found.items()]
    return table(["", "CPU p50, µs", "p99", "wall p50, µs", "p99"], rows)


def main() -> None:
    """Run, print, save."""
    options = arguments(__doc__ or "", 20, 3).parse_args()
    print(f"{machine()}\n- {rounds(options)} rounds of {CALLS} calls of each kind\n")
    found = measure(options)
    print(report(found))
    save(options.json, found)


if __name__ == "__main__":
    main()
