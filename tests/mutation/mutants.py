"""Every small wrong turn that a module could take: mutmut's operators at each place of its text that can matter.

mutmut's own runner changes functions only, by a trampoline for each. Half of what these packages are is not in functions:
settings' bounds, tables of codes, defaults. So its operators are used, and its runner is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import libcst as cst
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.mutators import mutation_operators
from tests.mutation.config import UNTOUCHED, WORDED

_NAMES = {"__all__", "__slots__"}


class Mutant(NamedTuple):
    """One change of one file."""

    file: str
    """Below `src`."""
    within: str
    """The class or function, by its qualified name; empty at a module's level."""
    line: int
    """Where the change begins."""
    start: int
    end: int
    """Characters of the text that are replaced."""
    new: str

    @property
    def package(self) -> str:
        """The package below `guardrail_mw` that it is in."""
        return self.file.split("/")[1]

    def text(self, text: str) -> str:
        """The file's text with the change in it. Lines keep their numbers: what became shorter is followed by empty ones."""
        lost = text.count("\n", self.start, self.end) - self.new.count("\n")
        stop = text.find("\n", self.end)
        stop = len(text) if stop < 0 else stop
        return text[: self.start] + self.new + text[self.end : stop] + "\n" * lost + text[stop:]

    def lines(self, text: str) -> tuple[str, str]:
        """What was there and what is there now: whole lines, each run of white space as one space."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        before, after = text[first:last], text[first : self.start] + self.new + text[self.end : last]
        return " ".join(before.split()), " ".join(after.split())


def mutants(root: Path, file: str) -> list[Mutant]:
    """Those of one file, in the order of its text; none changes nothing but a name of a type or a word for people."""
    text = (root / file).read_text(encoding="utf-8")
    wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
    places = wrapper.resolve(WhitespaceInclusivePositionProvider)
    starts = [0]
    for each in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(each))
    found: dict[tuple[int, int, str], Mutant] = {}
    for node, new, within in _walk(wrapper.module, ""):
        if isinstance(node, cst.Match):
            start, end, replacement = _difference(text, wrapper.module.deep_replace(node, new).code)
        else:
            place = places[node]
            start = starts[place.start.line - 1] + place.start.column
            end = starts[place.end.line - 1] + place.end.column
            replacement = wrapper.module.code_for_node(new)
        line = text.count("\n", 0, start) + 1
        found.setdefault((start, end, replacement), Mutant(file, within, line, start, end, replacement))
    whole = [each for each in found.values() if _valid(each.text(text))]
    return sorted(whole, key=lambda each: (each.start, each.end))


def _valid(text: str) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:  # `return` outside of a function, in place of `break`
        return False
    return True


def _difference(old: str, new: str) -> tuple[int, int, str]:
    start = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    room = min(len(old), len(new)) - start
    same = next((at for at in range(room) if old[-1 - at] != new[-1 - at]), room)
    return start, len(old) - same, new[start : len(new) - same]


def _walk(node: Any, within: str, mode: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Each node that may be changed, what it may become, and where it is.

    `mode` is `type` inside of an annotation, where only calls count (`Field(ge=1)`), and `prose` where texts are for people.
    """
    if _passed_over(node):
        return
    mode = _mode(node, mode)
    if mode != "type" and not (mode == "prose" and isinstance(node, cst.SimpleString) and " " in node.value):
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                changed = list(operator(node))
                yield from ((node, new, within) for new in (changed[:1] if isinstance(node, cst.SimpleString) else changed))
    if isinstance(node, (cst.FunctionDef, cst.ClassDef)):
        within = f"{within}.{node.name.value}".lstrip(".")
    for child in node.children:
        yield from _walk(child, within, mode)


def _mode(node: Any, mode: str) -> str:
    if isinstance(node, cst.Annotation):
        return "type"
    if isinstance(node, cst.Call):
        if mode == "type":
            return ""
        return "prose" if _dotted(node.func) in WORDED else mode
    return "prose" if isinstance(node, (cst.Raise, cst.Assert)) else mode


def _passed_over(node: Any) -> bool:
    match node:
        case (
            cst.Import()
            | cst.ImportFrom()
            | cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString())
            | cst.If(test=cst.Name(value="TYPE_CHECKING"))
            | cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name(value="TypeAlias")))
            | cst.Arg(keyword=cst.Name(value="description"))
        ):
            return True
        case cst.Decorator(decorator=cst.Call(func=func)):
            return _dotted(func) == "dataclass"
        case cst.Call(func=func):
            return _dotted(func).partition(".")[0] in UNTOUCHED
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
            return name in _NAMES or _type(node.value)
    return False


def _type(value: Any) -> bool:
    """Whether what is assigned is a type for checkers alone."""
    return isinstance(value, cst.Subscript) and _dotted(value.value) in {"Callable", "Mapping", "Sequence"}


def _dotted(node: Any) -> str:
    match node:
        case cst.Name(value=name):
            return str(name)
        case cst.Attribute(value=value, attr=cst.Name(value=name)):
            return f"{_dotted(value)}.{name}"
    return "?"
