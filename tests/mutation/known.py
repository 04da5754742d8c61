"""Survivors that are known to change nothing: `survivors.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.mutation.mutants import Mutant


class Known:
    """The survivors that are known to change nothing, from `survivors.toml`."""

    def __init__(self, path: Path, source: Path) -> None:
        self._source = source
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        self._reasons: dict[tuple[str, ...], str] = {
            (each["file"], each["within"], *change): each["why"]
            for each in given.get("equivalent", ())
            for change in each["changes"]
        }

    def why(self, mutant: Mutant) -> str:
        """Why it changes nothing, or nothing."""
        before, after = mutant.lines((self._source / mutant.file).read_text(encoding="utf-8"))
        return self._reasons.get((mutant.file.removeprefix("guardrail_mw/"), mutant.within, before, after), "")
