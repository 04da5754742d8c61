"""Mutation testing of the packages that decide.

    python -m tests.mutation [PACKAGE …] [--sample N] [--seed S] [--jobs 2] [--work FOLDER] [--lived FILE]

Each mutant is one small wrong turn in `algorithms`, `limits`, `friction` or `engine`; it is killed where a test fails. The tests
asked are those that reach the changed line, as one run under coverage has seen it; `tests/mutation/config.py` says which tests
there are, what is not mutated and why. Survivors that are no mistakes, since nothing that can be seen changes, are listed with
their reasons in `tests/mutation/survivors.toml`, and are counted apart. All of it works on a copy: the tree stays as it is.

With `--sample` that many mutants of each package are tried, the same ones for the same `--seed`. `--work` keeps the copy and the
results, so that a run that was ended goes on; it is for one state of the tree.

It takes mutmut, for its operators: `python -m uv run --extra test --group mutation python -m tests.mutation`.

Exit code: 0 every package has at least 90% killed, 1 one has not, 2 mutmut is missing or a test fails unmutated.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.mutation.config import PACKAGES, SHARE, SKIPPED, UNTOUCHED, WORDED

if TYPE_CHECKING:
    from tests.mutation.mutants import Mutant

INSTALL: Final = "It takes mutmut. Install it with: python -m pip install mutmut (or run with uv's --group mutation)."


class Count(NamedTuple):
    """How one package's mutants fared."""

    package: str
    all: int
    """Mutants that there are."""
    tried: int
    killed: int
    timeout: int
    """Killed by looping."""
    known: int
    """Survived, and known to change nothing."""
    survived: int

    @property
    def share(self) -> float:
        """Of those tried that were killed; what is known to change nothing counts as alive."""
        return (self.killed + self.timeout) / self.tried if self.tried else 1.0

    @property
    def adjusted(self) -> float:
        """The same without those that are known to change nothing."""
        tried = self.tried - self.known
        return (self.killed + self.timeout) / tried if tried else 1.0

    def line(self) -> str:
        """Of the table."""
        give = 1.96 * math.sqrt(self.share * (1 - self.share) / max(1, self.tried) * (1 - self.tried / max(1, self.all)))
        figures = f"{self.all:8}{self.tried:8}{self.killed:8}{self.timeout:9}{self.survived:10}{self.known:12}"
        return f"{self.package:12}{figures}{self.share:9.1%}{self.adjusted:12.1%}  ±{give:.1%}"


HEAD: Final = (
    f"{'package':12}{'mutants':>8}{'tried':>8}{'killed':>8}{'timeout':>9}{'survived':>10}{'equivalent':>12}"
    f"{'share':>9}{'without eq.':>12}  95%"
)


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=str(__doc__).partition("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(PACKAGES)}; all unless given")
    parser.add_argument(
        "--sample", type=int, default=0, metavar="N", help="mutants of each package to try; all unless given"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the sample (1)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes at once (2)")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep the copy and the results there, and go on from them"
    )
    parser.add_argument("--lived", type=Path, metavar="FILE", help="write what survived there, as diffs")
    parser.add_argument("--skipped", action="store_true", help="say what is not mutated, and why")
    found = parser.parse_args(given)
    unknown = [each for each in found.packages if each not in PACKAGES]
    if unknown:
        parser.error(f"no such package: {', '.join(unknown)}; there are {', '.join(PACKAGES)}")
    return found


def main(given: list[str]) -> int:
    """Run it."""
    wanted = arguments(given)
    if wanted.skipped:
        _say(*[f"{call}(…): {why}" for call, why in {**UNTOUCHED, **WORDED}.items()], *SKIPPED)
        return 0
    if importlib.util.find_spec("mutmut") is None:
        _say(INSTALL)
        return 2
    if wanted.work is not None:
        wanted.work.mkdir(parents=True, exist_ok=True)
        return _run(wanted, wanted.work.resolve())
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        return _run(wanted, Path(folder))


def _run(wanted: argparse.Namespace, folder: Path) -> int:
    from tests.mutation.choice import Reach
    from tests.mutation.known import Known
    from tests.mutation.mutants import mutants
    from tests.mutation.run import Run, failing, rounds, sample

    run = Run(folder, wanted.jobs)
    run.copy()
    packages = [each for each in PACKAGES if each in wanted.packages or not wanted.packages]
    everything = {
        package: [
            mutant
            for path in sorted((run.source / "guardrail_mw" / package).rglob("*.py"))
            for mutant in mutants(run.source, str(path.relative_to(run.source)))
        ]
        for package in packages
    }
    reach = Reach(run.reach(), run.source)
    fails = failing(run, packages, reach)
    if fails:
        _say(f"{fails} fails where nothing is mutated.")
        return 2
    chosen = sample(everything, wanted.sample, wanted.seed)
    results = rounds(run, chosen, reach)
    known = Known(Path(__file__).with_name("survivors.toml"), run.source)
    lived = {number: chosen[number] for number in sorted(chosen) if results[number]["outcome"] == "survived"}
    report = [_told(each, run.source, known.why(each)) for each in lived.values()]
    if wanted.lived is None:
        _say(*report)
    else:
        wanted.lived.write_text("\n".join(report), encoding="utf-8")
    counts = []
    for package, found in everything.items():
        numbers = [number for number, mutant in chosen.items() if mutant.package == package]
        outcomes = Counter(results[number]["outcome"] for number in numbers)
        same = sum(1 for number in numbers if number in lived and known.why(lived[number]))
        lives = outcomes["survived"] - same
        counts.append(Count(package, len(found), len(numbers), outcomes["killed"], outcomes["timeout"], same, lives))
    _say(HEAD, *[count.line() for count in counts])
    return 0 if all([count.share >= SHARE for count in counts]) else 1


def _told(mutant: Mutant, source: Path, why: str) -> str:
    before, after = mutant.lines((source / mutant.file).read_text(encoding="utf-8"))
    known = f"  equivalent: {why}\n" if why else ""
    return f"{mutant.file}:{mutant.line} {mutant.within}\n- {before}\n+ {after}\n{known}"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - what the command says


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
