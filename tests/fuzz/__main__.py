"""A coverage-guided fuzzer over everything that reads what strangers send.

    python -m tests.fuzz [TARGET …] [--minutes 60] [--corpus FOLDER] [--seed-corpus FOLDER] [--findings FOLDER]

Without a TARGET all are run, one after another, each for its share of the minutes. Every input goes through the invariants of
its target (`tests/fuzz/<target>.py`), of which most are an independent oracle. What it finds is cut down and written to the
folder of findings, and the run goes on; what belongs in the repository goes into `REGRESSIONS` of `test_corpus.py`, which
replays it in every run of the tests.

It takes atheris, which brings libFuzzer and instruments this package, PyYAML and PyJWT as they are imported; its wheels are for
Linux: `python -m uv run --extra test --group fuzz python -m tests.fuzz`.

Exit code: 0 nothing was found, 1 something was, 2 atheris is missing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

NAMES: Final = ("headers", "jwt", "body", "trim", "answer", "policy", "quantity", "path")
INSTALL: Final = "It takes atheris. Install it with: python -m pip install atheris (or run with uv's --group fuzz)."
HUNG: Final = 30
"""Seconds that one input may take before libFuzzer ends the process; the invariants' own bounds are far below."""
MEMORY: Final = 2_048
"""MiB that a target may take."""
_FOUND: Final = re.compile(r"FOUND .*\((.*)\)")
_STATUS: Final = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)")


class Ran(NamedTuple):
    """How one target's run went."""

    name: str
    runs: int
    seconds: float
    before: tuple[int, int]
    """Edges and features that the seeds reach."""
    after: tuple[int, int]
    """What was reached in the end."""
    corpus: int
    """Inputs that reached something new."""
    found: int
    """Findings."""


def arguments(given: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=str(__doc__).partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all unless given")
    parser.add_argument("--minutes", type=float, default=60, help="for all targets together (60)")
    parser.add_argument(
        "--corpus", type=Path, help="where inputs that reach something new are kept; a folder that is thrown away"
    )
    parser.add_argument(
        "--seed-corpus", type=Path, action="append", default=[], help="further inputs, in a folder for each target"
    )
    parser.add_argument(
        "--findings", type=Path, help="where findings are written; a new folder beside the machine's other ones"
    )
    found = parser.parse_args(given)
    unknown = [each for each in found.targets if each not in NAMES]
    if unknown:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return found


def seed(name: str, folder: Path) -> None:
    """Write the seeds and the dictionary of a target, made by its code, into `folder`."""
    target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    inputs = folder / "seeds"
    inputs.mkdir(parents=True)
    for index, each in enumerate(target.seeds()):
        (inputs / f"{index:05}").write_bytes(each)
    words = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
    (folder / "words").write_text("".join(f'"{word}"\n' for word in words))


def run(name: str, seconds: float, corpus: Path, more: list[Path], findings: Path) -> Ran:
    """Fuzz one target for so long; a process that libFuzzer ended (a hang, no memory) is followed by another."""
    target = importlib.import_module("tests.fuzz.targets").TARGETS[name]
    artifacts = set(findings.iterdir())
    said = Said()
    with tempfile.TemporaryDirectory() as scratch:
        seed(name, Path(scratch))
        grown = corpus / name
        grown.mkdir(parents=True, exist_ok=True)
        folders = [str(each / name) for each in more if (each / name).is_dir()]
        started = time.monotonic()
        while (left := seconds - (time.monotonic() - started)) >= 1:
            options = [
                f"-max_total_time={int(left)}",
                f"-max_len={target.longest}",
                f"-timeout={HUNG}",
                f"-rss_limit_mb={MEMORY}",
            ]
            options += [f"-dict={scratch}/words", f"-artifact_prefix={findings}/{name}-", "-reload=0"]
            command = [sys.executable, "-m", "tests.fuzz.child", name, str(findings)]
            if not follow([*command, *options, str(grown), f"{scratch}/seeds", *folders], said):
                raise SystemExit(f"{name} did not start")
    kept = {each.name for each in set(findings.iterdir()) - artifacts if re.search("-(crash|timeout|oom|leak)-", each.name)}
    return Ran(name, said.runs, time.monotonic() - started, said.before, said.after, said.corpus, len(said.found | kept))


class Said:
    """What libFuzzer said of its progress so far, over all its processes."""

    def __init__(self) -> None:
        self.runs = self.corpus = 0
        self.before = self.after = (0, 0)
        self.found: set[str] = set()

    def line(self, line: str) -> bool:
        """Take one line; True where it tells of progress. What was found, and what ended the process, is passed on."""
        told = _FOUND.fullmatch(line.rstrip())
        if told is not None:
            self.found.add(told[1])
        progress = _STATUS.match(line)
        if progress is None:
            if line.startswith(("FOUND", "==", "Traceback", "SUMMARY", "ERROR")):
                sys.stderr.write(line)
            return False
        reached = int(progress[3]), int(progress[4])
        if progress[2] == "INITED" and self.before == (0, 0):
            self.before = reached
        self.after, self.corpus = max(self.after, reached), int(progress[5])
        self._runs = int(progress[1])
        return True

    def over(self) -> None:
        """A process has ended: the next one counts its runs from 0."""
        self.runs += self._runs
        self._runs = 0

    _runs = 0


def follow(command: list[str], said: Said) -> bool:
    """Run libFuzzer and hear what it says; whether it began at all."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    environ = os.environ | {"PYTHONPATH": path}
    begun = False
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=environ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            begun = said.line(line) or begun
    said.over()
    return begun


def main(given: list[str]) -> int:
    """Run the targets and say how it went."""
    asked = arguments(given)
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write(INSTALL + "\n")
        return 2
    findings = asked.findings or Path(tempfile.mkdtemp(prefix="guardrail-fuzz-"))
    findings.mkdir(parents=True, exist_ok=True)
    names = asked.targets or list(NAMES)
    with tempfile.TemporaryDirectory() as thrown_away:
        corpus = (asked.corpus or Path(thrown_away)).absolute()
        rows = []
        for name in names:
            row = run(
                name,
                asked.minutes * 60 / len(names),
                corpus,
                [each.absolute() for each in asked.seed_corpus],
                findings.absolute(),
            )
            rows.append(row)
            print(told(row), flush=True)  # noqa: T201 - what the command says
    found = sum(row.found for row in rows)
    print(f"{found} findings in {findings}" if found else "nothing was found")  # noqa: T201 - likewise
    return 1 if found else 0


def told(row: Ran) -> str:
    """One line on a run."""
    rate = row.runs / max(row.seconds, 1)
    reached = f"edges {row.before[0]} -> {row.after[0]}, features {row.before[1]} -> {row.after[1]}, corpus {row.corpus}"
    return f"{row.name:<9} {row.runs:>9} runs in {row.seconds:.0f} s ({rate:.0f}/s), {reached}, findings {row.found}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
