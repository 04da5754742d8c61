"""A run written down between two batches, so that it can be interrupted, and goes on as if it had not been.

Everything is written: the world, the store, what the process knew, the ledgers. What lives only while a process does (locks, the
tables of event loops) is made anew. A checkpoint is read by the version that wrote it, and only by whoever wrote it: it is
Python's own format, which can do anything when it is read, so it belongs into a folder of one's own.
"""

from __future__ import annotations

import copyreg
import os
import pickle
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from weakref import WeakKeyDictionary

from guardrail_mw.engine import Guardrail
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.keys import Secrets

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.policy import Policy

__all__ = ["CheckpointError", "load", "save"]

_FORMAT: Final = 1
_PARTS: Final = ("store", "counts", "_standings", "_gathering", "_resolver", "_lasting", "_worker")
"""What a guardrail learns. Its engine knows nothing that it could not find again."""


class CheckpointError(Exception):
    """A checkpoint cannot be read, or is of another run."""


def _anew(kind: type[Any]) -> Any:
    return lambda _: (kind, ())


class _Pickler(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table.copy()
    dispatch_table[type(Lock())] = _anew(Lock)
    dispatch_table[WeakKeyDictionary] = _anew(WeakKeyDictionary)

    def __init__(self, file: BinaryIO, environ: dict[str, str]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._environ = environ
        self._id_key = Secrets.read(environ, shared=False).id_key

    def reducer_override(self, value: Any) -> Any:
        """How to make anew what is made of functions and of states of hashes."""
        if type(value) is Digester:
            return Digester, (self._id_key,)
        if type(value) is Guardrail:
            value.engine.resolver.forget()
            parts = {name: getattr(value, name) for name in _PARTS}
            return _guardrail, (value.policy, value.clock, self._environ, parts)
        return NotImplemented


def _guardrail(policy: Policy, clock: Clock, environ: dict[str, str], parts: dict[str, Any]) -> Guardrail:
    """A guardrail that goes on from what another one knew. Its engine is compiled anew."""
    found = Guardrail(policy, store=parts["store"], clock=clock, environ=environ)
    for name, part in parts.items():
        setattr(found, name, part)
    found.apply(policy)
    return found


def save(folder: Path, name: str, what: str, state: object, environ: dict[str, str]) -> None:
    """Write a state down, in place of the last one: all of it or nothing.

    Args:
        folder: made where there is none.
        name: the file's, without an ending.
        what: the run's description; `load` asks for the same.
        state: anything that holds runs.
        environ: what their guards were made with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pickle"
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        pickle.dump((_FORMAT, what), file)
        _Pickler(file, environ).dump(state)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(folder: Path, name: str, what: str) -> Any:
    """The state that was written last; None where none was.

    Raises:
        CheckpointError: it is of another run, or cannot be read.
    """
    path = folder / f"{name}.pickle"
    if not path.exists():
        return None
    try:
        with path.open("rb") as file:
            found = pickle.load(file)  # noqa: S301 - a folder of one's own; see above
            if found != (_FORMAT, what):
                raise CheckpointError(f"{path} is of another run: {found[1]}. This is {what}. Take another folder.")
            return pickle.load(file)  # noqa: S301 - likewise
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Remove it to begin anew.") from error
