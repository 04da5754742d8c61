"""Entry points. Built-ins come through the same door as anybody's plugin.

Groups are `guardrail_mw.{identities,scorers,challenges,verifiers,providers,stores,dialects,sinks,services}`. A policy names an
entry point; a dotted path is refused, because YAML must not run code.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from guardrail_mw.errors import PluginError

__all__ = ["KINDS", "cure", "installed", "load"]

KINDS = ("identities", "scorers", "challenges", "verifiers", "providers", "stores", "dialects", "sinks", "services")


_EXTRA = re.compile(r"^([A-Za-z0-9._-]+).*\bextra\s*==\s*['\"]([^'\"]+)['\"]")


@cache
def installed(kind: str) -> dict[str, EntryPoint]:
    """The entry points of one kind, by name.

    Raises:
        PluginError: two distributions offer one name; both are named.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"guardrail_mw.{kind}"):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise PluginError(
                f"Two plugins call themselves {point.name!r} among the {kind}: {_origin(other)} and {_origin(point)}.",
                "Uninstall one of them.",
            )
    return found


def load(kind: str, name: str) -> Any:
    """The object behind an entry point.

    Raises:
        PluginError: there is none of that name, or importing it failed, however; says which are there and what to do.
    """
    points = installed(kind)
    if name not in points:
        near = get_close_matches(name, points, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        known = ", ".join(sorted(points)) or "none"
        raise PluginError(f"No plugin {name!r} among the {kind}; installed: {known}.{hint}")
    try:
        return points[name].load()
    except Exception as error:
        install = cure(points[name], error)
        if install:
            lacks = getattr(error, "name", "")
            raise PluginError(f"The plugin {name!r} needs {lacks}, which is not installed:", install) from error
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"The plugin {name!r} ({_origin(points[name])}) cannot be imported:", reason) from error


def cure(point: EntryPoint, cause: BaseException | None) -> str:
    """The command that installs what a plugin lacks, where its distribution has it in an extra; else nothing."""
    if point.dist is None or not isinstance(cause, ModuleNotFoundError):
        return ""
    for requirement in point.dist.requires or ():
        found = _EXTRA.match(requirement)
        if found is not None and found[1].lower().replace("-", "_") == (cause.name or "").partition(".")[0]:
            return f"pip install '{point.dist.name}[{found[2]}]'"
    return ""


def _origin(point: EntryPoint) -> str:
    return f"{point.value} of {point.dist.name}" if point.dist else point.value
