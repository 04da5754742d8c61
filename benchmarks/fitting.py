"""Fits `clusters/verdict.toml` to looks at simulated worlds: ordinary clusters against campaigns.

    python -m benchmarks.fitting --seeds 1 2 3 4 5 6 --means "" residential jitter cover-50 paraphrase --write

Only cohorts, means and ratios take part that are not held out. At each look every cluster above the floor is a case: a
campaign's, if more than nine in ten of its members are an operator's; ordinary, if fewer than one in fifty are; others are left
out. The weights are a logistic regression's, both sides counting alike, with a small ridge and no weight below 0: every figure
may only speak for suspicion. `suspect` is the worst ordinary cluster at any look, and a nat; `confirmed` is 3 nats above.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from scipy.optimize import minimize

from benchmarks.common import table
from benchmarks.straight import Straight
from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.simulate.world.arrays import HOUR
from guardrail_mw.simulate.world.ranges import ranges
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.world import World

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR: Final = (20, 300)
"""Members and exchanges."""
BEGIN: Final = 30 * 24
"""Hour at which campaigns begin."""
CAMPAIGN, ORDINARY = 0.9, 0.02
"""Shares of members that are an operator's."""
RIDGE: Final = 0.002
NAMES: Final = ("small", "middle", "large")


class Case(NamedTuple):
    """A cluster at a look."""

    means: str
    seed: int
    hour: int
    members: int
    share: float
    """Of members that are an operator's."""
    cohort: str
    """That most are of."""
    figures: tuple[float, ...]


def looked(hour: int) -> bool:
    """Whether there is a look at an hour.

    Every five days before campaigns begin, every four hours on their first two days, then every three days.
    """
    since = hour - BEGIN
    return hour % 120 == 0 if since <= 0 else since % (4 if since <= 48 else 72) == 0


def cases(means: str, seed: int, days: int) -> Iterator[Case]:
    """All looks at a world."""
    laid = [each for each in means.split("+") if each]
    if any(ranges().means[each].held_out for each in laid):
        message = f"{means} is held out from tuning"
        raise SystemExit(message)
    campaigns = [{"operator": name, "like": f"february-{name}", "means": laid} for name in NAMES]
    world = World(Scenario.model_validate({"ratio": 10, "scale": 10, "campaigns": campaigns}), seed)
    straight, labels = Straight(world), world.labels
    for batch in world.batches():
        straight.take(batch)
        hour = (world.at - world.start) // HOUR
        if hour > days * 24:
            return
        if not looked(hour):
            continue
        state, _ = straight.rebuilt()
        for each in state.clusters:
            if len(each.members) >= FLOOR[0] and each.exchanges >= FLOOR[1]:
                rows = np.array([int(member[2:]) for member in each.members])
                cohort = labels.cohorts[int(np.bincount(labels.cohort[rows]).argmax())]
                share = float((labels.operator[rows] >= 0).mean())
                figures = tuple(each.figures[name] for name in FEATURES)
                yield Case(means, seed, hour, len(rows), share, cohort, figures)


def fitted(figures: NDArray[Any], campaign: NDArray[np.bool_]) -> tuple[NDArray[Any], float]:
    """Weights of standardised figures, none below 0, and the bias."""
    weigh = np.where(campaign, 0.5 / campaign.sum(), 0.5 / (~campaign).sum())

    def loss(tried: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        score = figures @ tried[:-1] + tried[-1]
        cost = weigh * np.logaddexp(0, np.where(campaign, -score, score))
        slope = (1 / (1 + np.exp(-score)) - campaign) * weigh
        ridge = RIDGE * float((tried[:-1] ** 2).sum())
        return float(cost.sum()) + ridge, np.append(figures.T @ slope + 2 * RIDGE * tried[:-1], slope.sum())

    many = figures.shape[1]
    bounds = [(0, None)] * many + [(None, None)]
    found = minimize(loss, np.zeros(many + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[:-1], float(found[-1])


def written(weights: NDArray[Any], centre: NDArray[Any], scale: NDArray[Any], rest: tuple[float, float]) -> str:
    """The file, with the words that stand in it now."""
    text = (files("guardrail_mw.clusters") / "verdict.toml").read_text()
    whys = tomllib.loads(text)["figures"]
    bias, suspect = rest
    lines = [text.split("bias =", 1)[0] + f"bias = {bias}", f"suspect = {suspect}", f"confirmed = {suspect + 3:.1f}"]
    for name, *figures in zip(FEATURES, weights.tolist(), centre.tolist(), scale.tolist(), strict=True):
        said = "\n".join(f"{key} = {value}" for key, value in zip(("weight", "centre", "scale"), figures, strict=True))
        lines.append(f'\n[figures.{name}]\n{said}\nwhy = "{whys[name]["why"]}"')
    return "\n".join(lines) + "\n"


def main() -> None:
    """Look, fit, say how well it does, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5, 6])
    parser.add_argument("--means", nargs="+", default=[""], help="several laid over one another as a+b; empty for naive")
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="in place of the file in src")
    options = parser.parse_args()
    every = [case for means in options.means for seed in options.seeds for case in cases(means, seed, options.days)]
    share = np.array([case.share for case in every])
    clear = (share < ORDINARY) | (share > CAMPAIGN)
    kept = [case for case, is_clear in zip(every, clear.tolist(), strict=True) if is_clear]
    figures, campaign = np.array([case.figures for case in kept]), share[clear] > CAMPAIGN
    centre, scale = np.round(figures.mean(axis=0), 2), np.round(figures.std(axis=0) + 1e-9, 2)
    weights, bias = fitted((figures - centre) / scale, campaign)
    weights, bias = np.round(weights, 2), round(bias, 1)
    score = ((figures - centre) / scale) @ weights + bias
    suspect = float(np.ceil((score[~campaign].max() + 1) * 10) / 10)
    text = written(weights, centre, scale, (bias, suspect))
    print(text)
    print(
        f"{campaign.sum()} looks at campaigns, {(~campaign).sum()} at ordinary clusters, {(~clear).sum()} mixed ones left out\n"
    )
    worst = np.argsort(-np.where(campaign, -np.inf, score))[:8]
    rows = [[kept[at].cohort, str(kept[at].seed), f"{score[at] - suspect:.1f}"] for at in worst]
    print(table(["ordinary, worst", "seed", "nats above suspect"], rows), "\n")
    rows = []
    for means in options.means:
        mine = [at for at, case in enumerate(kept) if case.means == means and campaign[at]]
        early = [at for at in mine if kept[at].hour <= BEGIN + 8]
        least = [min((float(score[at] - suspect) for at in some), default=np.nan) for some in (mine, early)]
        rows.append([means or "naive", str(len(mine)), *[f"{each:.1f}" for each in least]])
    print(table(["campaign", "looks", "least above suspect", "in the first 8 hours"], rows))
    if options.write:
        Path("src/guardrail_mw/clusters/verdict.toml").write_text(text)


if __name__ == "__main__":
    main()
