"""Ids of decisions: 24 hex digits, unique over all processes, telling nothing."""

from __future__ import annotations

import os

__all__ = ["identifiers"]

_BLOCK = 4096
_SIZE = 12


class _Identifiers:
    """Twelve random bytes each, drawn a block at a time. A forked process draws its own."""

    __slots__ = ("_at", "_block")

    def __init__(self) -> None:
        self._block = ""
        self._at = 0

    def __call__(self) -> str:
        at = self._at
        if at >= len(self._block):
            self._block = os.urandom(_BLOCK * _SIZE).hex()
            at = 0
        self._at = at + 2 * _SIZE
        return self._block[at : self._at]

    def forget(self) -> None:
        """Draw anew: the block is also the parent's."""
        self._block = ""


identifiers = _Identifiers()
"""The next id."""
os.register_at_fork(after_in_child=identifiers.forget)
