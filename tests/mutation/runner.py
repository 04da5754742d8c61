"""Tries mutants, each in a process forked from a warm one: `python -m tests.mutation.runner {hot,cold} JOB RESULTS`.

*hot*: the tests are collected once; a child puts the mutant's code into the functions that are there and runs the tests chosen.
*cold*: what is mutated runs when its module is imported, so a child imports the package and collects the tests anew, by an
import hook; only the libraries are there already. A mutant that turns out to be no function's code is answered by `cold`.

Nothing is written but RESULTS: one line of JSON a mutant, `{"id", "outcome", "by", "seconds"}`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, Final, NamedTuple

import pytest
from tests.mutation.base import ARGUMENTS, Task, limit
from tests.mutation.mutants import Mutant

SOURCE: Final = Path(os.environ["MUTATION_SOURCE"])
MEMORY: Final = 6 * 2**30
"""Bytes of address space of a child."""
COLLECT: Final = 60.0
"""Seconds that collecting may take."""
_LIVED, _KILLED, _COLD = 0, 1, 3


class Tried(NamedTuple):
    """What became of a mutant."""

    outcome: str
    """killed, timeout, survived, or cold: it cannot be tried hot."""
    by: str
    """The test that noticed."""


def forked(child: Callable[[Callable[[str], None]], int]) -> Tried:
    """What `child`, which says what it does and ends with a code, comes to in a process of its own."""
    scratch = tempfile.mkdtemp(prefix="mutant-")
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = _KILLED
        with contextlib.suppress(BaseException):
            _settle(scratch)
            code = child(lambda text: _write(writes, text))
        os._exit(code)
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8", errors="replace") as pipe:
        said = pipe.read().splitlines()
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(scratch, ignore_errors=True)
    by = said[-1] if said else ""
    if os.WIFSIGNALED(status):
        return Tried("timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed", by)
    return Tried({_LIVED: "survived", _COLD: "cold"}.get(os.WEXITSTATUS(status), "killed"), by)


def _write(pipe: int, text: str) -> None:
    os.write(pipe, f"{text}\n".encode())


def _settle(scratch: str) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nowhere, each)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = scratch
    tempfile.tempdir = None


def _alarm(seconds: float) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


# Hot


class Hot:
    """A pytest plugin that runs mutants in place of the tests that were collected."""

    def __init__(self, tasks: Sequence[Task], answer: Callable[[Task, Tried, float], None]) -> None:
        self._tasks = tasks
        self._answer = answer

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """One child after another."""
        live = _live()
        items = {item.nodeid: item for item in session.items}
        gc.collect()
        gc.freeze()
        for task in self._tasks:
            chosen = [(items[name], took) for name, took in task.tests if name in items]
            started = time.perf_counter()

            def child(say: Callable[[str], None], task: Task = task, chosen: Any = chosen) -> int:
                if task.mutant is not None and not _swapped(task.mutant, live):
                    return _COLD
                return _run(session, chosen, say)

            self._answer(task, forked(child), time.perf_counter() - started)
        return True


def _run(session: pytest.Session, chosen: Sequence[tuple[pytest.Item, float]], say: Callable[[str], None]) -> int:
    for at, (item, took) in enumerate(chosen):
        following = chosen[at + 1][0] if at + 1 < len(chosen) else None
        say(item.nodeid)
        _alarm(limit(took))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return _KILLED
    return _LIVED


def _live() -> dict[str, dict[tuple[str, int], list[FunctionType]]]:
    """The package's functions that are there, by file, then by name and first line."""
    found: dict[str, dict[tuple[str, int], list[FunctionType]]] = defaultdict(lambda: defaultdict(list))
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(f"{SOURCE}/"):
            code = each.__code__
            found[code.co_filename][code.co_qualname, code.co_firstlineno].append(each)
    return found


def _swapped(mutant: Mutant, live: dict[str, dict[tuple[str, int], list[FunctionType]]]) -> bool:
    """Put the mutant's code into the functions; whether that changes what will run."""
    path, code = _compiled(mutant)
    if _module(mutant.file) not in sys.modules:
        _hook(mutant, code)
        return True
    changed = 0
    seen: set[tuple[str, int]] = set()
    for each in _codes(code):
        key = each.co_qualname, each.co_firstlineno
        functions = [function for function in live[path].get(key, ()) if function.__code__ != each]
        if not functions:
            continue
        if key in seen:  # two lambdas of one line
            return False
        seen.add(key)
        for function in functions:
            try:
                function.__code__ = each
            except ValueError:  # it closes over other names now
                return False
            changed += 1
    return changed > 0


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def _compiled(mutant: Mutant) -> tuple[str, CodeType]:
    path = SOURCE / mutant.file
    text = mutant.text(path.read_text(encoding="utf-8"))
    return str(path), compile(text, str(path), "exec", dont_inherit=True)


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# Cold


class _Mutated(SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def _hook(mutant: Mutant, code: CodeType) -> None:
    """Have the mutant's module imported with its code."""
    name, path = _module(mutant.file), str(SOURCE / mutant.file)
    loader = _Mutated(name, path)
    loader.code = code

    class Finder:
        @staticmethod
        def find_spec(fullname: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
            return importlib.util.spec_from_file_location(fullname, path, loader=loader) if fullname == name else None

    sys.meta_path.insert(0, Finder)


class _Chosen:
    def __init__(self, tests: Sequence[tuple[str, float]], say: Callable[[str], None]) -> None:
        self._took = dict(tests)
        self._order = {name: at for at, (name, _) in enumerate(tests)}
        self._say = say

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((each for each in items if each.nodeid in self._order), key=lambda each: self._order[each.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._say(item.nodeid)
        _alarm(limit(self._took[item.nodeid]))


def cold(task: Task) -> Tried:
    """Try one mutant from before the package is imported."""

    def child(say: Callable[[str], None]) -> int:
        _alarm(COLLECT)
        if task.mutant is not None:
            _hook(task.mutant, _compiled(task.mutant)[1])
        files = dict.fromkeys(name.partition("::")[0] for name, _ in task.tests)
        say("its import")
        code = pytest.main([*ARGUMENTS, "-x", *files], plugins=[_Chosen(task.tests, say)])
        return _LIVED if code in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED} else _KILLED

    return forked(child)


def _warm(names: Sequence[str]) -> None:
    """Import the libraries that the tests will want."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


def main(kind: str, job: str, results: str) -> int:
    """Try the tasks of a job, in order."""
    given = json.loads(Path(job).read_text(encoding="utf-8"))
    tasks = [Task.read(each) for each in given["tasks"]]
    with Path(results).open("a", encoding="utf-8") as sink:

        def answer(task: Task, tried: Tried, seconds: float) -> None:
            sink.write(json.dumps({"id": task.id, **tried._asdict(), "seconds": round(seconds, 3)}) + "\n")
            sink.flush()

        if kind == "hot":
            files = dict.fromkeys(name.partition("::")[0] for task in tasks for name, _ in task.tests)
            return int(pytest.main([*ARGUMENTS, *files], plugins=[Hot(tasks, answer)]))
        _warm(given["loaded"])
        for task in tasks:
            started = time.perf_counter()
            answer(task, cold(task), time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
