"""The house is as it is drawn: names that are promised exist, and nothing of this machine is in it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

import guardrail_mw

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    each.name
    for each in pkgutil.walk_packages(guardrail_mw.__path__, "guardrail_mw.")
    if not each.name.rpartition(".")[2].startswith("__")
)
# Written in two halves, or this file would be the first to be found.
FORBIDDEN = [
    "/wo" + "rk/",
    "/ro" + "ot/",
    "/ho" + "me/",
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs.org",
    "deb." + "debian.org",
]


def files() -> list[Path]:
    """What is tracked or will be: everything here that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):  # a source distribution
        listed = [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.py")]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def order(name: str) -> tuple[int, str]:
    """Ruff's order: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name.lstrip("_")[:1].isupper() else 2), name


def defined(module: ModuleType) -> set[str]:
    """Public classes and functions that a module defines itself."""
    tree = ast.parse(Path(str(module.__file__)).read_text())
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


@pytest.mark.parametrize("name", ["guardrail_mw", *MODULES])
def test_promised_names_exist_and_are_sorted(name: str) -> None:
    module = importlib.import_module(name)
    promised = list(getattr(module, "__all__", []))
    assert promised == sorted(set(promised), key=order)
    assert [each for each in promised if not hasattr(module, each)] == []
    assert defined(module) - set(promised) == set(), "public by its name, but not in __all__"


def test_nothing_of_this_machine_is_in_the_project() -> None:
    pattern = re.compile("|".join(map(re.escape, FORBIDDEN)))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []
