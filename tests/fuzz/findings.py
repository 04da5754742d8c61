"""What was found, kept apart by where it went wrong, each as the smallest input that still does."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .base import Target

ATTEMPTS: Final = 2_000
"""Times that one input is tried smaller."""
MOST: Final = 50
"""Different findings of one target; after that something is broken altogether."""


def sign(error: BaseException) -> str:
    """What tells one fault from another: the kind of error, and the last lines it came through."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename != __file__][-3:]
    return f"{type(error).__name__} " + " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames))


def fault(check: Callable[[bytes], None], data: bytes) -> str:
    """The sign of what an input brings to light; empty where that is nothing."""
    try:
        check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        return sign(error)
    return ""


def smaller(check: Callable[[bytes], None], data: bytes, wanted: str) -> bytes:
    """The shortest input that cutting pieces out of `data` leads to, with the same fault."""
    attempts, size = ATTEMPTS, len(data) // 2
    while size and attempts:
        at = 0
        while at < len(data) and attempts:
            attempts -= 1
            shorter = data[:at] + data[at + size :]
            if fault(check, shorter) == wanted:
                data = shorter
            else:
                at += size
        size //= 2
    return data


class Findings:
    """Collects faults of one target and writes each down in `folder`, once."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target = target
        self.folder = folder
        self.known: dict[str, Path] = {}

    def check(self, data: bytes) -> None:
        """As the target's check, but what it raises is written down."""
        try:
            self.target.check(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            self._note(data, error)

    def _note(self, data: bytes, error: Exception) -> None:
        wanted = sign(error)
        if wanted in self.known or len(self.known) >= MOST:
            return
        name = f"{self.target.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:10]}"
        self.known[wanted] = path = self.folder / name
        smallest = data if "of the processor" in str(error) else smaller(self.target.check, data, wanted)
        path.write_bytes(smallest)
        told = "".join(traceback.format_exception(error))
        (self.folder / f"{name}.txt").write_text(f"{smallest!r}\n\n{told}", errors="backslashreplace")
        sys.stderr.write(f"FOUND {self.target.name}: {type(error).__name__}: {str(error)[:200]} ({path})\n")
        sys.stderr.flush()
