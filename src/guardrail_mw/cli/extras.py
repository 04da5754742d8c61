"""Whether a plugin loads, and which extra it needs where it does not."""

from __future__ import annotations

from typing import NamedTuple

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError

__all__ = ["Loading", "loading"]


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
        point = plugins.installed(kind).get(name)
        return Loading(error.detail or error.public, "" if point is None else plugins.cure(point, error.__cause__))
    return Loading()
