"""Whether a plugin loads, and which extra it needs where it does not."""

from __future__ import annotations

import re
from typing import NamedTuple

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError

__all__ = ["Loading", "loading"]

_EXTRA = re.compile(r"^([A-Za-z0-9._-]+).*\bextra\s*==\s*['\"]([^'\"]+)['\"]")


class Loading(NamedTuple):
    """How loading a plugin went."""

    trouble: str = ""
    """Why it does not load; empty where it does."""
    cure: str = ""
    """The command that installs what it lacks, where its distribution says so in an extra."""


def loading(kind: str, name: str) -> Loading:
    """Load a plugin."""
    try:
        plugins.load(kind, name)
    except PluginError as error:
        return Loading(error.detail or error.public, _cure(kind, name, error.__cause__))
    return Loading()


def _cure(kind: str, name: str, cause: BaseException | None) -> str:
    point = plugins.installed(kind).get(name)
    if point is None or point.dist is None or not isinstance(cause, ModuleNotFoundError):
        return ""
    for requirement in point.dist.requires or ():
        found = _EXTRA.match(requirement)
        if found is not None and found[1].lower().replace("-", "_") == (cause.name or "").partition(".")[0]:
            return f"pip install '{point.dist.name}[{found[2]}]'"
    return ""
