"""docs/reference/testing.md has every module of the kit, and of those that are for others every name."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import guardrail_mw.testing

PAGE = (Path(__file__).parents[2] / "docs/reference/testing.md").read_text()
SECTIONS = dict(re.findall(r"^### `guardrail_mw\.testing\.(\w+)`$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL))
MODULES = {each.name for each in pkgutil.iter_modules(guardrail_mw.testing.__path__)}


def first_cells(text: str) -> list[str]:
    """What stands as code in the first cells of tables, without arguments."""
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return [name.partition("(")[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_module_is_there() -> None:
    parts = PAGE.partition("\n## Parts\n")[2].partition("\n## ")[0]
    assert sorted([*SECTIONS, *first_cells(parts), "plugin"]) == sorted(MODULES)


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_every_name_is_there(name: str) -> None:
    module = importlib.import_module(f"guardrail_mw.testing.{name}")
    assert sorted(first_cells(SECTIONS[name])) == sorted(module.__all__)


@pytest.mark.parametrize(("kind", "section"), [("Guarded", "Guarded"), ("Answer", "Answer")])
def test_every_member_is_there(kind: str, section: str) -> None:
    """Of the two that tests talk to; what a tuple has by itself is not among them."""
    from guardrail_mw.testing import guarded

    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0].partition("| member |")[2]
    made: object = getattr(guarded, kind)
    inherited = {*dir(tuple), "_asdict", "_fields", "_field_defaults", "_make", "_replace"}
    members = {name for name in dir(made) if not name.startswith("_")} - inherited
    if kind == "Guarded":
        api = guarded.Guarded({"version": 1})
        members |= {name for name in vars(api) if not name.startswith("_")}
        api.close()
    assert sorted(first_cells(text)) == sorted(members)
