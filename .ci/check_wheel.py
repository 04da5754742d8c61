"""Check an installed wheel against the sources, whose folder is the argument: nothing is missing, no extra is needed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import guardrail_mw
from guardrail_mw.plugins import KINDS, installed

_EXTRAS = {"hiredis", "numpy", "redis", "scipy", "starlette", "uvicorn"}
"""What plugins may miss where their extra is not installed; the policy that names one then says which to install."""

source = Path(sys.argv[1]) / "guardrail_mw"
package = Path(guardrail_mw.__file__).parent
if package == source:
    sys.exit(f"{package} is the source. Run this with the interpreter of an environment that has the wheel.")


def files(folder: Path) -> set[str]:
    """What a folder ships."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)) for path in paths}


if difference := sorted(files(source) ^ files(package)):
    sys.exit(f"the wheel and {source} differ in: {', '.join(difference)}")
for name in guardrail_mw.__all__:
    getattr(guardrail_mw, name)
for kind in KINDS:
    for name, point in installed(kind).items():
        try:
            point.load()
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in _EXTRAS:
                sys.exit(f"the {kind} plugin {name} does not load: {error!r}")
if {"numpy", "rich", "starlette"} & set(sys.modules):
    sys.exit("the library imported what only an extra brings")
importlib.import_module("guardrail_mw.cli")
print(f"{len(files(package))} files, {len(guardrail_mw.__all__)} public names")
