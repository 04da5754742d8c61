"""Reads a policy anew when its files change or on SIGHUP. A bad one is refused with its errors, and the running one stays.

Files are noticed through `watchfiles` where it is installed, and in any case by looking at them every second: a look reads
each file. What a policy `extends` is watched with it, and so are symbolic links that are swapped, as Kubernetes does with
ConfigMaps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

from guardrail_mw.errors import PolicyError
from guardrail_mw.policy.document import Policy
from guardrail_mw.policy.loader import Examined, examine
from guardrail_mw.policy.merge import digest

__all__ = ["Watcher"]

_NOTIFIED: Final = find_spec("watchfiles") is not None
_DEBOUNCE: Final = 50
"""ms for an editor to finish writing."""


class Watcher:
    """Watches one policy.

    Args:
        source: a file, or the name of a policy that ships (which changes with the environment, on SIGHUP).
        on_policy: is handed each new policy that is sound and differs from the running one.
        on_error: is handed what is wrong with a new one, once for each state of the files.
        running: the policy that runs now.
        environ: what `${NAME}` refers to.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        on_policy: Callable[[Policy], object],
        on_error: Callable[[PolicyError], object],
        *,
        running: Policy | None = None,
        environ: Mapping[str, str] | None = None,
        interval: float = 1.0,
    ) -> None:
        self.running = running
        self._source = source
        self._on_policy = on_policy
        self._on_error = on_error
        self._environ = environ
        self._interval = interval
        self._seen: Mapping[str, str] = {}
        self._wake: asyncio.Event | None = None
        self._forced = False

    def check_now(self, *, force: bool = False) -> bool:
        """Look at the files, and read them if they changed (or by `force`). Whether a new policy was handed on."""
        return self._hand_on(self._look(force=force))

    def poke(self) -> None:
        """Have `run` read the policy now. From its own event loop."""
        self._forced = True
        if self._wake is not None:
            self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled; takes SIGHUP meanwhile where it can (in the main thread, not on Windows)."""
        self._wake = asyncio.Event()
        hangups = _Hangups.of(asyncio.get_running_loop())
        hangups.add(self.poke)
        try:
            while True:
                forced, self._forced = self._forced, False
                self._hand_on(await asyncio.to_thread(self._look, force=forced))
                await self._pause(self._wake)
        finally:
            hangups.discard(self.poke)
            self._wake = None

    def _look(self, *, force: bool) -> Examined | None:
        if not force and self._seen and self._seen == {file: digest(file) for file in self._seen}:
            return None
        found = examine(self._source, environ=self._environ)
        self._seen = found.files
        return found

    def _hand_on(self, found: Examined | None) -> bool:
        if found is None:
            return False
        if found.error is not None:
            self._on_error(found.error)
        if found.policy is None or found.policy == self.running:
            return False
        self.running = found.policy
        self._on_policy(found.policy)
        return True

    async def _pause(self, wake: asyncio.Event) -> None:
        """Until a file seems to have changed, somebody pokes, or the interval is over."""
        folders = _folders(self._seen)
        if not wake.is_set():
            if _NOTIFIED and folders:
                await _notified(folders, wake, self._interval)
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), self._interval)
        wake.clear()


async def _notified(folders: set[Path], wake: asyncio.Event, interval: float) -> None:
    import watchfiles

    changes = watchfiles.awatch(
        *folders,
        stop_event=wake,
        recursive=False,
        debounce=_DEBOUNCE,
        step=10,
        rust_timeout=round(interval * 1000),
        yield_on_timeout=True,
    )
    async for _ in changes:
        break
    await changes.aclose()


def _folders(files: Iterable[str]) -> set[Path]:
    """Where the files are named, and where they really lie."""
    folders = {folder for file in files for folder in (Path(file).absolute().parent, Path(file).resolve().parent)}
    return {folder for folder in folders if folder.is_dir()}


class _Hangups:
    """Who is told of SIGHUP in one event loop. Whoever took the signal before is told too, and gets it back in the end."""

    _loops: ClassVar[dict[asyncio.AbstractEventLoop, _Hangups]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._told: list[Callable[[], None]] = []
        self._before: Any = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> _Hangups:
        return cls._loops.setdefault(loop, cls(loop))

    def add(self, told: Callable[[], None]) -> None:
        self._told.append(told)
        if len(self._told) == 1 and hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGHUP)
            with suppress(NotImplementedError, RuntimeError, ValueError):
                self._loop.add_signal_handler(signal.SIGHUP, self._hung_up)

    def discard(self, told: Callable[[], None]) -> None:
        self._told.remove(told)
        if not self._told:
            self._loops.pop(self._loop, None)
            if self._before is not None and self._loop.remove_signal_handler(signal.SIGHUP):
                signal.signal(signal.SIGHUP, self._before)

    def _hung_up(self) -> None:
        for told in list(self._told):
            told()
        if callable(self._before):
            self._before(signal.SIGHUP, None)
