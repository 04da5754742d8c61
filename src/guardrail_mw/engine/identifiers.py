"""Ids of decisions: 24 hex digits, unique over all processes, telling nothing."""

from __future__ import annotations

import os

__all__ = ["identifiers"]

_BLOCK = 512
_SIZE = 12


class _Identifiers:
    """Twelve random bytes each, drawn a block at a time. For all threads; a forked process draws its own."""

    __slots__ = ("_ready",)

    def __init__(self) -> None:
        self._ready: list[str] = []

    def __call__(self) -> str:
        try:
            return self._ready.pop()  # one step of the interpreter: no two threads get the same
        except IndexError:
            block = os.urandom(_BLOCK * _SIZE).hex()
            ready = [block[at : at + 2 * _SIZE] for at in range(0, len(block), 2 * _SIZE)]
            last = ready.pop()
            self._ready = ready
            return last

    def forget(self) -> None:
        """Draw anew: the block is also the parent's."""
        self._ready = []


identifiers = _Identifiers()
"""The next id."""
os.register_at_fork(after_in_child=identifiers.forget)
