"""A document as a tree in which every value knows its place.

The YAML that is read here is small on purpose: maps, lists, texts, decimal numbers, `true` and `false`. Nothing else has a
meaning: no tags, no merge keys, no dates, octals or sexagesimals, no `yes` and `no`. The tree is built from PyYAML's events,
so nothing is ever constructed, and every limit is held while reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, NoReturn, TypeAlias

import yaml

from guardrail_mw.errors import PolicyError, Problem

__all__ = ["MAX_PROBLEMS", "Node", "Path", "Reader", "dotted", "scalar"]

Path: TypeAlias = tuple[str | int, ...]

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
MAX_PROBLEMS: Final = 100
MAX_WEIGHT: Final = 20_000
"""Values in a document, aliases counted as often as they are used; each hundred characters of a text count as one more."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}", re.ASCII)
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(slots=True, eq=False)
class Node:
    """One value. `value` is a map of nodes, a list of nodes, or whatever stands at a leaf."""

    value: Any
    source: str
    line: int | None
    order: int
    """Rises through the document, and from a document to the one it extends."""
    weight: int = 1
    key_lines: dict[str, int | None] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables whose values are in this text."""
    substituted: bool = False
    broken: bool = False
    """Already complained of: what else is wrong with it would only follow."""

    def at(self, path: Path) -> Node | None:
        """The node at `path`, or None."""
        node: Node | None = self
        for part in path:
            if node is None:
                return None
            if isinstance(node.value, dict) and isinstance(part, str):
                node = node.value.get(part)
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
            else:
                return None
        return node

    def plain(self) -> Any:
        """The tree as dicts, lists and leaves."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """Every node with its path, in order, parents first."""
        yield path, self
        children: Any = ()
        if isinstance(self.value, dict):
            children = self.value.items()
        elif isinstance(self.value, list):
            children = enumerate(self.value)
        for key, node in children:
            yield from node.walk((*path, key))


def scalar(text: str) -> Any:
    """What a plain scalar means: a boolean, a number in decimal, nothing, or else its text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def dotted(path: Path) -> str:
    """`limits[2].rate`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class Reader:
    """Reads documents into trees. What is wrong but does not stop the reading is kept in `problems`, with its order."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, Problem]] = []
        self._order = count()

    def text(self, text: bytes, source: str) -> Node:
        """Read YAML.

        Raises:
            PolicyError: it cannot be read at all: not UTF-8, not YAML, empty, too large, too deep, a bomb.
        """
        if len(text) > MAX_BYTES:
            _stop(source, None, f"is larger than {MAX_BYTES // 1024} KiB.", "A policy is a page or two: is this the file?")
        try:
            decoded = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            _stop(source, text.count(b"\n", 0, error.start) + 1, "is not UTF-8.", "Save it as UTF-8.")
        return _Composer(self, decoded, source).document()

    def mapping(self, mapping: Mapping[Any, Any], source: str) -> Node:
        """Take a mapping of Python: dicts, lists and leaves.

        A key whose value is None counts as left out, but in a plugin's own settings (`with`).

        Raises:
            PolicyError: it is too large or too deep, or holds itself.
        """
        return self._plant(mapping, source, (), [0])

    def _plant(self, value: Any, source: str, path: Path, weight: list[int]) -> Node:
        weight[0] += 1
        if len(path) > MAX_DEPTH or weight[0] > MAX_WEIGHT:
            _stop(source, None, "is too deep, too large, or holds itself.", "A policy is small; is this the right mapping?")
        node = Node(value, source, None, next(self._order))
        if isinstance(value, Mapping):
            node.value = {}
            for key, item in value.items():
                if not isinstance(key, str):
                    self.complain(node, path, f"has a key that is {type(key).__name__}, not text.", "Use text for keys.")
                elif item is not None or "with" in path:
                    node.value[key] = self._plant(item, source, (*path, key), weight)
        elif isinstance(value, list | tuple):
            node.value = [self._plant(item, source, (*path, index), weight) for index, item in enumerate(value)]
        return node

    def complain(self, node: Node, path: Path, message: str, hint: str, line: int | None = None) -> None:
        """Keep a problem.

        Raises:
            PolicyError: there are more than anybody would read.
        """
        if len(self.problems) >= MAX_PROBLEMS:
            _stop(
                node.source, node.line, f"has more than {MAX_PROBLEMS} problems; reading stopped here.", "Mend these first."
            )
        problem = Problem(dotted(path), message, hint, node.source, node.line if line is None else line)
        self.problems.append((node.order, problem))

    def order(self) -> int:
        """The next place in the order."""
        return next(self._order)


def _stop(source: str, line: int | None, message: str, hint: str) -> NoReturn:
    raise PolicyError([Problem("", message, hint, source, line)])


class _Composer:
    """Builds one document's tree from the events of PyYAML's parser."""

    def __init__(self, reader: Reader, text: str, source: str) -> None:
        self._reader = reader
        self._source = source
        self._text = text
        self._anchors: dict[str, Node | None] = {}
        self._weight = 0
        self._line = 1
        self._events: Iterator[Any] = iter(())

    def document(self) -> Node:
        try:
            return self._document()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else self._line
            _stop(self._source, line, f"is not YAML: {_reason(error)}.", "Look at this line and the one before it.")
        except (ValueError, OverflowError):
            _stop(self._source, self._line, "is not YAML: a number or escape in it is out of range.", "Look at this line.")

    def _document(self) -> Node:
        self._events = iter(yaml.parse(self._text, Loader=yaml.SafeLoader))
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    _stop(self._source, self._place(event), "begins a second document.", "Keep one policy in a file.")
                root = self._node(next(self._events), ())
        if root is None:
            _stop(self._source, None, "is empty.", "The smallest policy is `version: 1` and `extends: guardrail:balanced`.")
        return root

    @staticmethod
    def _place(event: Any) -> int:
        return int(event.start_mark.line) + 1

    def _node(self, event: Any, path: Path) -> Node:
        self._line = line = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        if len(path) > MAX_DEPTH:
            _stop(self._source, line, f"is nested deeper than {MAX_DEPTH} levels.", "A policy needs no more than six.")
        node = Node(None, self._source, line, self._reader.order())
        self._weigh(1)
        if event.tag is not None:
            self._reader.complain(node, path, "has a tag, and tags mean nothing here.", "Leave out what begins with `!`.")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        before = self._weight
        self._fill(node, event, path)
        node.weight = 1 + self._weight - before
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _fill(self, node: Node, event: Any, path: Path) -> None:
        if isinstance(event, yaml.MappingStartEvent):
            self._map(node, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                node.value.append(self._node(event, (*path, len(node.value))))
        else:
            event.value.encode()  # lone surrogates, which an escape can write, are no text: ValueError
            self._weigh(len(event.value) // 100)
            node.value = scalar(event.value) if event.style is None and event.implicit[0] else event.value

    def _map(self, node: Node, path: Path) -> None:
        node.value = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = self._place(event)
            if not isinstance(event, yaml.ScalarEvent):
                _stop(self._source, line, "has a key that is not a text.", "Keys are plain words.")
            event.value.encode()
            key, where = event.value, (*path, event.value)
            value = self._node(next(self._events), where)
            if key == "<<" and event.style is None:
                self._reader.complain(value, path, "has a merge key `<<`, which means nothing here.", "Write it out.", line)
            elif key in node.value:
                first = node.key_lines[key]
                self._reader.complain(value, where, f"is given twice, first on line {first}.", "Keep one.", line)
            else:
                node.value[key] = value
                node.key_lines[key] = line

    def _alias(self, event: Any, path: Path) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchors
            what = "stands inside what it refers to" if inside else "refers to nothing"
            _stop(self._source, self._line, f"has an alias that {what}.", "Write it out.")
        if len(path) + 1 > MAX_DEPTH:
            _stop(self._source, self._line, f"is nested deeper than {MAX_DEPTH} levels.", "A policy needs no more than six.")
        self._weigh(node.weight)
        return node

    def _weigh(self, weight: int) -> None:
        self._weight += weight
        if self._weight > MAX_WEIGHT:
            _stop(
                self._source,
                self._line,
                f"has more than {MAX_WEIGHT} values once its aliases are written out.",
                "A policy is small; is this the right file?",
            )


def _reason(error: yaml.YAMLError) -> str:
    """PyYAML's reason in one line, without the excerpt that it quotes from the file."""
    if isinstance(error, yaml.reader.ReaderError):
        return "it holds a control character"
    said = [getattr(error, name, None) for name in ("context", "problem")]
    return ", ".join(" ".join(part.split())[:120] for part in said if part) or "it cannot be parsed"
