"""Which tests are asked about a mutant, and whether it can be tried hot."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from types import CodeType
from typing import Any

from tests.mutation.config import FAR, NEAR, SLOW
from tests.mutation.mutants import Mutant

Tests = list[tuple[str, float]]


class Reach:
    """What `tests.mutation.reach` saw.

    Args:
        seen: what it wrote.
        root: the folder that has the package in it.
    """

    def __init__(self, seen: dict[str, Any], root: Path) -> None:
        self._root = root
        bad = set(seen["bad"])
        self.took: dict[str, float] = {name: took for name, took in seen["took"].items() if name not in bad and took <= SLOW}
        """Seconds of each test that can be asked."""
        self.loaded: list[str] = seen["loaded"]
        """Modules of libraries that the tests load."""
        self._lines: dict[str, dict[int, set[str]]] = {
            file: {int(line): set(who) for line, who in lines.items()} for file, lines in seen["lines"].items()
        }
        self._outer: dict[str, Any] = {}

    def hot(self, mutant: Mutant) -> bool:
        """Whether it is in functions' bodies alone, of which none runs when the module is imported."""
        text = (self._root / mutant.file).read_text(encoding="utf-8")
        if mutant.file not in self._outer:
            self._outer[mutant.file] = _outer(compile(text, mutant.file, "exec", dont_inherit=True))
        if "" in self._at(mutant):
            return False
        return bool(self._outer[mutant.file] == _outer(compile(mutant.text(text), mutant.file, "exec", dont_inherit=True)))

    def near(self, mutant: Mutant, *, hot: bool) -> Tests:
        """Those of the package's own tests that reach it, quick ones first; where it is no line of a function all of them."""
        own = f"tests/{mutant.package}/"
        names = {name for name in self.took if name.startswith(own)}
        return self._enough(names & self._at(mutant), NEAR) if hot else self._enough(names, NEAR, self._module(mutant))

    def far(self, mutant: Mutant, *, hot: bool) -> Tests:
        """Other tests that reach it, or its module where it is no line of a function."""
        own = f"tests/{mutant.package}/"
        names = {name for name in self._at(mutant) if not name.startswith(own)}
        if not hot:
            names = {name for name in self._module(mutant) if not name.startswith(own)}
        return self._enough(names & self.took.keys(), FAR)

    def _module(self, mutant: Mutant) -> set[str]:
        """Tests that reach anything in its module."""
        return set().union(*self._lines.get(mutant.file, {}).values())

    def _at(self, mutant: Mutant) -> set[str]:
        """Tests that reach its line, or the nearest one above that is known: a statement of many lines has its first alone."""
        lines = self._lines.get(mutant.file, {})
        return next((lines[line] for line in range(mutant.line, 0, -1) if line in lines), set())

    def _enough(self, names: Iterable[str], seconds: float, first: Collection[str] = ()) -> Tests:
        """As many as take `seconds` together: one of each test function before a second one of any, quick ones first.

        Those that are in `first` come before all others.
        """
        turns: dict[str, int] = {}
        ordered = []
        for name in sorted(names, key=lambda each: (self.took[each], each)):
            function = name.partition("[")[0]
            turns[function] = turns.get(function, 0) + 1
            ordered.append((name not in first, turns[function], self.took[name], name))
        chosen: Tests = []
        left = seconds
        for _, _, took, name in sorted(ordered):
            left -= took
            if left >= 0:
                chosen.append((name, took))
        return chosen


def _outer(code: CodeType) -> Any:
    """What of a module runs when it is imported: all but functions' bodies."""
    inner = tuple(
        (_outer(each) if not each.co_flags & 1 else (each.co_qualname, each.co_firstlineno))  # 1: CO_OPTIMIZED, a function
        if isinstance(each, CodeType)
        else (type(each), repr(each))
        for each in code.co_consts
    )
    return code.co_code, code.co_names, inner
