"""`extends:`: one policy changes another.

Maps merge key by key, what extends wins. `limits` and `velocity` merge by name, in place, and new names come after: a new
figure (`rate`, `window`, `budget`, `concurrency`; of a velocity rule `count`, `distinct`) takes the old one's place and drops
its `burst`. All other lists are replaced whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Final

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.limits.settings import FIGURES
from guardrail_mw.policy.checks import nearest
from guardrail_mw.policy.nodes import Node

__all__ = ["BUILTIN", "MAX_CHAIN", "builtins", "digest", "locate", "merge", "name_of", "read"]

BUILTIN: Final = "guardrail:"
MAX_CHAIN: Final = 8
"""Policies in a chain of `extends`."""


def builtins() -> list[str]:
    """The policies that ship: `guardrail:balanced` and so on."""
    names = [item.name for item in (files("guardrail_mw.policy") / "builtin").iterdir()]
    return sorted(f"{BUILTIN}{name.removesuffix('.yaml')}" for name in names if name.endswith(".yaml"))


def locate(name: str, beside: str) -> str:
    """The source that `extends: name` means in the policy `beside`: a built-in's name, or a file's path."""
    if name.startswith(BUILTIN):
        return name
    folder = FilePath() if beside.startswith((BUILTIN, "<")) else FilePath(beside).parent
    return os.path.normpath(folder / name)


def read(source: str) -> bytes:
    """The bytes of a built-in or file.

    Raises:
        PolicyError: there is none, or it cannot be read; says what to do.
    """
    if source.startswith(BUILTIN):
        if source not in builtins():
            hint = nearest(source, builtins(), "There are")
            raise PolicyError([Problem("", "does not ship with guardrail-mw.", hint, source)])
        return (files("guardrail_mw.policy") / "builtin" / f"{source.removeprefix(BUILTIN)}.yaml").read_bytes()
    try:
        with FilePath(source).open("rb") as file:
            return file.read(1 << 20)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        if isinstance(error, FileNotFoundError) and not FilePath(source).is_absolute():
            reason += f"; looked for {FilePath(source).absolute()}"
        hint = "Name a file that can be read, or a policy that ships: " + ", ".join(builtins()) + "."
        raise PolicyError([Problem("", f"cannot be read: {reason[:1].lower()}{reason[1:]}.", hint, source)]) from error


def digest(source: str, content: bytes | None = None) -> str:
    """What tells one content of a file from another; empty where it cannot be read."""
    if content is None:
        try:
            content = read(source)
        except PolicyError:
            return ""
    return hashlib.sha256(content).hexdigest()


def merge(base: Node, over: Node) -> Node:
    """The tree of `base`, changed by `over`."""
    return _merge(base, over, {"limits": _limits, "velocity": _limits})


def _merge(base: Node, over: Node, lists: dict[str, Callable[[Node, Node], Node]]) -> Node:
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        if key in merged:
            merged[key] = lists[key](merged[key], node) if key in lists else _merge(merged[key], node, {})
        else:
            merged[key] = node
    lines = base.key_lines | dict.fromkeys(over.value) | over.key_lines  # a mapping has none, and must not get the other's
    return replace(over, value=merged, key_lines=lines)


def _limits(base: Node, over: Node) -> Node:
    if not (isinstance(base.value, list) and isinstance(over.value, list)):
        return over
    places = {name: index for index, node in enumerate(base.value) if (name := name_of(node)) is not None}
    items: list[Node] = list(base.value)
    for node in over.value:
        index = places.pop(name, None) if (name := name_of(node)) is not None else None
        if index is None:
            items.append(node)
        else:
            items[index] = _limit(items[index], node)
    return replace(over, value=items)


def name_of(node: Node) -> str | None:
    """A limit's name, if it has one."""
    name = node.at(("name",))
    return name.value if name is not None and isinstance(name.value, str) else None


def _limit(base: Node, over: Node) -> Node:
    figures = set(FIGURES) & over.value.keys()
    dropped = {*FIGURES, "burst"} if figures else set()
    if {"count", "distinct"} & over.value.keys():
        dropped |= {"count", "distinct", "approximate"}
    if figures and "concurrency" in {*figures, *base.value}:
        dropped |= {"unit"}
    kept = replace(base, value={key: node for key, node in base.value.items() if key not in dropped})
    return _merge(kept, over, {})
