"""One run: a copy of the tree, what reaches what in it, and the rounds in which mutants are tried."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.mutation.base import ARGUMENTS, Task
from tests.mutation.choice import Reach, Tests
from tests.mutation.config import PACKAGES, TESTS
from tests.mutation.mutants import Mutant

ROOT: Final = Path(__file__).parents[2]
NUMBERED: Final = 1_000_000
"""From one package's first number to the next one's."""
COPIED: Final = ("src", "tests", "examples", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", "mkdocs.yml")
"""What tests read."""

Results = dict[int, dict[str, Any]]
"""What became of mutants, by their numbers: see `tests.mutation.runner`."""


class Run:
    """One run, in a folder of its own.

    Args:
        folder: where the copy, the jobs and the results are.
        jobs: processes at once.
    """

    def __init__(self, folder: Path, jobs: int) -> None:
        self._folder = folder
        self._jobs = jobs
        self.tree = folder / "tree"
        self.source = self.tree / "src"
        self._environ = {
            **{name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("GUARDRAIL_")},
            "PYTHONPATH": f"{self.tree}{os.pathsep}{self.source}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "MUTATION_SOURCE": str(self.source),
            "MUTATION_REACH": str(folder / "reach.json"),
        }

    def copy(self) -> None:
        """Copy the tree, if it was not."""
        if self.tree.exists():
            return
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", ".venv")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.tree / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, self.tree / name)

    def reach(self) -> dict[str, Any]:
        """Which test reaches which line: one run of the tests under coverage."""
        found = self._folder / "reach.json"
        if not found.exists():
            command = [sys.executable, "-m", "pytest", "-p", "tests.mutation.reach", *ARGUMENTS, *TESTS]
            with (self._folder / "reach.log").open("wb") as log:
                subprocess.run(command, cwd=self.tree, env=self._environ, stdout=log, stderr=log, check=False)
        seen: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return seen

    def tried(self, round_: str) -> Results:
        """What is known of the mutants of a round, by their numbers."""
        found = {}
        for path in sorted(self._folder.glob(f"{round_}-*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the run was ended in the middle of a line
                    result = json.loads(line)
                    found[result["id"]] = result
        return found

    def attempt(self, round_: str, kind: str, tasks: Sequence[Task], loaded: Sequence[str]) -> Results:
        """Try the tasks of a round, those with a result left out."""
        done = self.tried(round_)
        left = [task for task in tasks if task.id not in done]
        wanted = {task.id for task in tasks}
        running = []
        for job in range(self._jobs if left else 0):
            mine = left[job :: self._jobs]
            if not mine:
                continue
            path = self._folder / f"{round_}-{job}.json"
            path.write_text(json.dumps({"loaded": loaded, "tasks": mine}), encoding="utf-8")
            command = [sys.executable, "-m", "tests.mutation.runner", kind, str(path), str(path.with_suffix(".jsonl"))]
            with path.with_suffix(".log").open("wb") as log:
                running.append(subprocess.Popen(command, cwd=self.tree, env=self._environ, stdout=log, stderr=log))
        while any(process.poll() is None for process in running):
            time.sleep(2)
            sys.stderr.write(f"\r{round_}: {len(self.tried(round_).keys() & wanted)} of {len(tasks)}")
        sys.stderr.write(f"\r{round_}: {len(tasks)}{'':20}\n")
        return self.tried(round_)


def sample(everything: Mapping[str, Sequence[Mutant]], size: int, seed: int) -> dict[int, Mutant]:
    """The mutants to try, by numbers that are the same in every run over the same tree."""
    numbered: dict[int, Mutant] = {}
    for package, found in everything.items():
        order = list(range(len(found)))
        if size:
            random.Random(f"{seed} {package}").shuffle(order)  # so that a larger sample has the smaller in it
            order = order[:size]
        numbered |= {PACKAGES.index(package) * NUMBERED + each: found[each] for each in order}
    return numbered


def failing(run: Run, packages: Collection[str], reach: Reach) -> str:
    """A test of the packages' own that fails where nothing is mutated, hot or cold; empty where they pass."""
    tasks = [
        Task(at, None, [(name, took) for name, took in reach.took.items() if name.startswith(f"tests/{package}/")])
        for at, package in enumerate(PACKAGES)
        if package in packages
    ]
    for kind in ("hot", "cold"):
        for each in run.attempt(f"unmutated {kind}", kind, tasks, reach.loaded).values():
            if each["outcome"] != "survived":
                return f"{each['by']} ({kind})"
    return ""


def rounds(run: Run, chosen: Mapping[int, Mutant], reach: Reach) -> Results:
    """What became of each mutant: a package's own tests are asked first, then the others about what is left."""
    hot = {number for number, mutant in chosen.items() if reach.hot(mutant)}
    results: Results = {}

    def attempt(round_: str, kind: str, numbers: Sequence[int], ask: Callable[..., Tests]) -> None:
        tasks = [Task(number, chosen[number], ask(chosen[number], hot=number in hot)) for number in numbers]
        unasked = [task.id for task in tasks if not task.tests]
        done = run.attempt(round_, kind, [task for task in tasks if task.tests], reach.loaded)
        for number in numbers:
            if number in done:
                results[number] = done[number]
        for number in unasked:
            results.setdefault(number, {"id": number, "outcome": "survived", "by": "", "seconds": 0.0})

    def alive(numbers: Collection[int], outcome: str = "survived") -> list[int]:
        return sorted(number for number in numbers if results[number]["outcome"] == outcome)

    attempt("hot", "hot", sorted(hot), lambda mutant, hot: [*reach.near(mutant, hot=hot), *reach.far(mutant, hot=hot)])
    hot -= set(alive(hot, "cold"))
    attempt("near", "cold", sorted(set(chosen) - hot), reach.near)
    attempt("far", "cold", alive(set(chosen) - hot), reach.far)
    return results
