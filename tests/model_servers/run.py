# ruff: noqa: T201 - it reports
"""Real model servers, guarded, called with the official SDKs, from nothing.

    python tests/model_servers/run.py [NAME …] [--keep FOLDER]

For each server: a venv, a tiny model with random weights, the server behind the middleware as `examples/` mounts it, calls
whole, streamed and broken off, a limit that refuses, and then the accounting: what the guard settled for each call is compared
with what the server reported of it. It ends with a table, and with exit code 1 if anything did not agree.

It needs Python 3.11 and its pip, and a compiler for llama-cpp-python; packages come from the index that pip is set up for. Where
that index has PyTorch for graphics cards only, `PIP_FIND_LINKS` or `PIP_EXTRA_INDEX_URL` may name one that has it for the
processor, which saves gigabytes. The first run takes about a quarter of an hour, most of it pip's. `--keep` names a folder that
the venvs stay in, and with them each server's log, events and calls; without it all is made in a temporary folder and removed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

# A script's own folder comes first in the path, and has modules with the servers' names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.model_servers import accounting  # noqa: E402 - see above
from tests.model_servers.accounting import Call, Gap, Refused  # noqa: E402 - likewise
from tests.model_servers.kit import PROMPTS, REQUESTS, ROOT, Part, Place, amended  # noqa: E402 - likewise
from tests.model_servers.processes import (  # noqa: E402 - likewise
    StepError,
    adopt,
    descendants,
    end,
    environment,
    free_port,
    installed,
    run,
    serving,
    until,
)

HERE = Path(__file__).resolve().parent
_PART = re.compile(r"^PART = ", re.MULTILINE)
"""What a part's module has and no other here; some of those are for a server's venv, and cannot be imported."""
BUILD = 600.0
TALK = 600.0
"""Seconds for a stage of the calls."""
EVENT = 30.0
"""Seconds until the event of a call that is over must be there; a server may take a while to see that a client has gone."""


class Outcome(NamedTuple):
    """How it went with one server."""

    part: Part
    version: str
    calls: int
    agreed: int
    """Calls that came with usage, and were settled by it."""
    with_usage: int
    counted: int
    """Calls without usage that were settled as they should be."""
    without: int
    gaps: list[Gap]
    wrong: list[str]
    seconds: float


def parts() -> dict[str, Part]:
    """All servers, by name."""
    names = sorted(file.stem for file in HERE.glob("*.py") if _PART.search(file.read_text()))
    return {name: importlib.import_module(f"tests.model_servers.{name}").PART for name in names}


def events_of(file: Path) -> dict[str, dict[str, Any]]:
    """The events that are written by now, by their decisions, in order."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return {event["id"]: event for event in found}


class Trial:
    """One server, from its venv to its accounts."""

    def __init__(self, part: Part, folder: Path) -> None:
        self.part = part
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.events = folder / "events.jsonl"
        self.wrong: list[str] = []

    def prepare(self) -> None:
        """Install it, and lay out what it is started in."""
        part, folder = self.part, self.folder
        python = installed(part, folder)
        self.place = Place(python, python.parent, folder, HERE, free_port())
        self.env = environment(folder, {name: self.place.fill(value) for name, value in part.environment.items()})
        for old in (*folder.glob("*.jsonl*"), *folder.glob("*.json"), folder / "steps.log"):
            old.unlink(missing_ok=True)
        for name in ("example", "model"):
            shutil.rmtree(folder / name, ignore_errors=True)
        example = folder / "example"
        shutil.copytree(ROOT / "examples" / part.example, example, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
        policy = example / "policy.yaml"
        script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
        document = json.loads(self._output(str(python), "-c", script, str(policy)))
        policy.write_text(json.dumps(amended(document, self.events), indent=1))  # JSON is YAML
        for command in part.build:
            self._run("build", [self.place.fill(word) for word in command], BUILD)

    def _output(self, *command: str) -> str:
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True).stdout

    def _run(self, what: str, command: list[str], seconds: float) -> None:
        run(what, command, self.folder / "steps.log", cwd=self.folder / "example", env=self.env, seconds=seconds)

    def version(self) -> str:
        """Of the server's package."""
        script = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
        return self._output(str(self.place.python), "-c", script, self.part.package).strip()

    def talk(self, stage: str) -> Any:
        """Have the calls of a stage made."""
        part, fill = self.part, self.place.fill
        out = self.folder / f"{stage}.json"
        plan = {
            "url": self.place.url,
            "key": part.key,
            "model": fill(part.model),
            "models": {kind: fill(model) for kind, model in part.models.items()},
            "calls": part.calls,
            "silent": part.silent,
            "at_once": part.at_once,
            "most": part.most,
            "endless": part.endless,
            "endless_prompt": part.endless_prompt,
            "prompts": PROMPTS,
            "requests": REQUESTS,
            "out": str(out),
        }
        file = self.folder / "plan.json"
        file.write_text(json.dumps(plan))
        self._run("calls", [str(self.place.python), "-P", str(HERE / "talk.py"), str(file), stage], TALK)
        return json.loads(out.read_text())

    def await_events(self, *decisions: str) -> dict[str, dict[str, Any]]:
        """The events, once those of these decisions are there; or without them."""
        until(lambda: events_of(self.events).keys() >= {*decisions}, EVENT)
        return events_of(self.events)

    def served(self) -> tuple[list[Call], Call, list[Refused]]:
        """Start it, call it, stop it."""
        with serving(self.part, self.place, self.env, self.folder / "server.log"):
            calls = [Call(**each) for each in self.talk("calls")]
            for command in self.part.also:
                try:
                    self._run("also", [self.place.fill(word) for word in command], TALK)
                except StepError as error:
                    self.wrong.append(str(error))
            self.await_events(*(call.decision for call in calls))  # by then all is settled, and the budgets show it
            rest = self.talk("limit")
            refused = [Refused(**each) for each in rest["refused"]]
            last = Call(**rest["last"])
            self.await_events(last.decision, *(each.headers.get("x-guardrail-decision", "") for each in refused))
        return calls, last, refused

    def judge(self, calls: list[Call], last: Call, refused: list[Refused]) -> tuple[dict[str, int], list[Gap]]:
        """Compare; what is wrong is noted, what agrees is counted."""
        part, events = self.part, events_of(self.events)
        kept = {"agreed": 0, "with_usage": 0, "counted": 0, "without": 0}
        for call in [*calls, last]:
            wrong = accounting.checked(call, events.get(call.decision), part)
            self.wrong += [f"{call.kind}, {call.client}: {each}" for each in wrong]
            if call.kind != "models":
                told = accounting.said(call) is not None and not call.kind.endswith("_broken")
                kept["with_usage" if told else "without"] += 1
                kept["agreed" if told else "counted"] += not wrong
        missing = [each.decision for each in [*calls, last] if each.decision not in events]
        if missing:
            return kept, []
        order = list(events.values())
        self.wrong += accounting.balance(order[: order.index(events[last.decision]) + 1])
        for each in refused:
            vendor = each.error.partition(".")[0]
            self.wrong += [f"refused, {vendor}: {wrong}" for wrong in accounting.refusal(each, events, vendor)]
        return kept, accounting.gaps(calls, events, part)

    def outcome(self) -> Outcome:
        """All of it."""
        started = time.monotonic()
        kept: dict[str, int] = dict.fromkeys(("agreed", "with_usage", "counted", "without"), 0)
        calls: list[Call] = []
        gaps: list[Gap] = []
        version = "?"
        try:
            self.prepare()
            version = self.version()
            print(f"{self.part.title} {version}: starting on port {self.place.port}", flush=True)
            calls, last, refused = self.served()
            kept, gaps = self.judge(calls, last, refused)
            calls.append(last)
        except StepError as error:
            self.wrong.append(str(error))
        except subprocess.CalledProcessError as error:
            self.wrong.append(f"{error}\n{error.stderr}")
        finally:
            end(lambda: descendants(os.getpid()))
        (self.folder / "gaps.json").write_text(json.dumps([each._asdict() for each in gaps], indent=1))
        return Outcome(
            self.part, version, len(calls), **kept, gaps=gaps, wrong=self.wrong, seconds=time.monotonic() - started
        )


def report(outcomes: list[Outcome]) -> None:
    """The tables, as Markdown, and what went wrong."""
    print("\n| server | version | calls | settled as reported | counted, none reported | seconds |")
    print("| --- | --- | --: | --: | --: | --: |")
    for each in outcomes:
        figures = f"{each.agreed} of {each.with_usage} | {each.counted} of {each.without} | {each.seconds:.0f}"
        print(f"| {each.part.title} | {each.version} | {each.calls} | {figures} |")
    if any(each.gaps for each in outcomes):
        print("\n| server | call | prompt | input: settled, true | output: settled, true |")
        print("| --- | --- | --- | --- | --- |")
    for each in outcomes:
        for gap in each.gaps:
            output = "?" if gap.true_output is None else share(gap.output, gap.true_output)
            call, prompt = gap.kind.replace("_", " "), gap.prompt
            print(f"| {each.part.title} | {call} | {prompt} | {share(gap.input, gap.true_input)} | {output} |")
    for each in outcomes:
        for wrong in each.wrong:
            print(f"\n{each.part.title}: {wrong}")


def share(settled: int, true: int) -> str:
    """Two figures, and how far the first is from the second."""
    return f"{settled}, {true}" + (f" ({settled / true - 1:+.0%})" if true else "")


def main() -> int:
    """The command."""
    known = parts()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which servers: {', '.join(known)}; all unless named")
    parser.add_argument("--keep", type=Path, help="a folder for venvs, logs, events and calls; a temporary one unless given")
    options = parser.parse_args()
    unknown = sorted({*options.names} - known.keys())
    if unknown:
        parser.error(f"no such server: {', '.join(unknown)}. There are {', '.join(known)}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    adopt()
    with tempfile.TemporaryDirectory(prefix="model-servers-") as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        try:
            outcomes = [Trial(known[name], folder / name).outcome() for name in options.names or known]
        except KeyboardInterrupt:
            print("interrupted; the servers are stopped", file=sys.stderr)
            return 128 + signal.SIGINT
        finally:
            end(lambda: descendants(os.getpid()))
        report(outcomes)
    return 1 if any(each.wrong for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
