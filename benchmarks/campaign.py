"""How long a whole campaign takes through the fast path of the proving ground: calls, rebuilds and the making of traffic apart.

    python -m benchmarks.campaign                   # February: 16.55 million exchanges, 24,000 accounts; about an hour
    python -m benchmarks.campaign --share .05       # a twentieth of their days, to see that it runs

Few ordinary accounts are about: what is measured is the campaign's own exchanges, admitted or refused, as the middleware decides
them with clusters, limits and evidence. Rebuilds every three hours. One process, on one event loop; seconds are its CPU's.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.common import arguments, machine, save, table
from guardrail_mw.simulate.run import Pace, Run
from guardrail_mw.simulate.table import Table
from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.simulate.world.scenario import load_scenario
from guardrail_mw.simulate.world.world import World

if TYPE_CHECKING:
    import argparse

TARGET: Final = 30 * 60
"""Seconds that February's exchanges may take."""
EXCHANGES: Final = 16_550_000
"""Of February's plan."""
_SCENARIO: Final = Path(__file__).parent / "scenarios" / "february-full.yaml"


def world(ratio: float) -> World:
    """February in full, among few."""
    scenario = load_scenario(_SCENARIO).model_copy(update={"ratio": ratio})
    return World(scenario, 101)


def main() -> None:
    """Run, and print."""
    parser = arguments(__doc__ or "", 1, 1)
    parser.add_argument("--share", type=float, default=1.0, help="of the campaign's days (default 1)")
    parser.add_argument("--ratio", type=float, default=0.5, help="ordinary accounts for each of the campaign (default .5)")
    chosen = parser.parse_args()
    print(machine())
    logging.getLogger("guardrail_mw").setLevel(logging.ERROR)  # each verdict that begins to act is a warning
    chosen.share = min(chosen.share, 0.02) if chosen.quick else chosen.share
    figures = run(chosen)
    print()
    print(table(["", "figure"], [[name, f"{value:,.1f}"] for name, value in figures.items()]))
    save(chosen.json, figures)


def run(chosen: argparse.Namespace) -> dict[str, float]:
    """The figures of one run."""
    made = world(chosen.ratio)
    begins = made.start + made.scenario.ordinary_days * DAY
    ran = Run(made, Table(made), pace=Pace(quick=3 * HOUR, windows=()))
    ran.go(begins)
    before, clock = ran.times.made, time.perf_counter()
    rebuilds, rebuilt = ran.times.rebuilds, ran.times.rebuilt
    ran.go(begins + int((made.end - begins) * chosen.share))
    times = ran.times
    calls, seconds = times.many["campaign"], times.calls["campaign"]
    return {
        "exchanges": calls,
        "µs of CPU a call": 1e6 * seconds / calls,
        "exchanges a second": calls / seconds,
        f"minutes for {EXCHANGES:,}": EXCHANGES * seconds / calls / 60,
        "minutes that they may take": TARGET / 60,
        "seconds of making the traffic": times.made - before,
        "rebuilds": times.rebuilt - rebuilt,
        "seconds of rebuilds": times.rebuilds - rebuilds,
        "wall seconds": time.perf_counter() - clock,
        "peak, MiB": float(ran.figures()["peak_mib"]),
    }


if __name__ == "__main__":
    main()
