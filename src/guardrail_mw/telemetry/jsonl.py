"""The sink `jsonl`: events in a file, one line of JSON each, with rotation.

Several processes may write to one file. Each batch is written under a lock (`PATH.lock`, flock), which also covers rotation: so
lines never mix, whatever their length, and no process goes on writing to a file that another has put aside. O_APPEND alone
would not do: it says nothing of a write that stops half-way, and nothing of rotation.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

from pydantic import BaseModel, Field

from guardrail_mw.clock import Clock
from guardrail_mw.quantities import Size
from guardrail_mw.settings import Settings
from guardrail_mw.telemetry.base import Scope
from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.recorder import pack
from guardrail_mw.telemetry.writer import Writer

__all__ = ["JsonlFile", "JsonlSettings", "JsonlSink", "rotated"]

_MODE: Final = 0o640
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP: Final = "%Y%m%dT%H%M%S%f"


class JsonlSettings(Settings):
    """`with` of `use: jsonl`."""

    path: str = Field(min_length=1, max_length=4096)
    """The file; a relative one is beside wherever the server was started. `{pid}` in it is the process's number: a file a
    process, for file systems without locks."""
    rotate: Size = Size.parse("100MiB")
    """The size beyond which it is put aside under its name and the time, `events.20260101T000000000000.jsonl`."""
    keep: int = Field(default=5, ge=1, le=10_000)
    """How many files put aside are kept; the oldest go."""
    gzip: bool = False
    """Whether files put aside are compressed."""


class JsonlFile:
    """One file that several processes append to. Used from one thread at a time.

    Args:
        settings: where, and how much of it.
        clock: for the names of files put aside.
    """

    batch = 256

    def __init__(self, settings: JsonlSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._opened: int | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """Where this process writes."""
        return Path(self._settings.path.replace("{pid}", str(os.getpid())))

    def write(self, batch: list[bytes]) -> None:
        """Append packed events, a line each. All or none: what was written in part is taken back.

        Raises:
            OSError: the disk is full, the folder is not ours.
        """
        data = b"".join([packed + b"\n" for packed in batch])
        aside = None
        with self._locked():
            opened = self._open()
            size = os.fstat(opened).st_size
            if size and size + len(data) > self._settings.rotate.bytes:
                aside = self._put_aside()
                opened, size = self._open(), 0
            _append(opened, data, size)
        if aside is not None and self._settings.gzip:
            _compress(aside)

    def trial(self) -> None:
        """Open the file as a write does, and leave nothing behind that was not there.

        Raises:
            OSError: it cannot be written.
        """
        path = self.path
        missing = [folder for folder in path.parents if not folder.exists()]
        new = not path.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE))
            lock = Path(f"{path}.lock")
            if not os.access(lock if lock.exists() else path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(lock))
        finally:
            with suppress(OSError):
                if new and not path.stat().st_size:
                    path.unlink()
            for folder in missing:
                with suppress(OSError):
                    folder.rmdir()

    def idle(self) -> None:
        """Lines are in the file as soon as they are written."""

    def close(self) -> None:
        """Close the files; the next write opens them again."""
        for opened in (self._opened, self._lock):
            if opened is not None:
                os.close(opened)
        self._opened = self._lock = None

    def forked(self) -> None:
        """A lock that was opened before a fork is the parent's and ours at once: it needs one of its own."""
        self.close()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._opened is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if "{pid}" in self._settings.path:  # nobody else writes to it
            yield
            return
        if self._lock is None:
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _open(self) -> int:
        """The file that has the name now: another process may have put aside the one we know."""
        path = self.path
        if self._opened is not None:
            with suppress(FileNotFoundError):
                if os.path.samestat(path.stat(), os.fstat(self._opened)):
                    return self._opened
            os.close(self._opened)
            self._opened = None
        self._opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        return self._opened

    def _put_aside(self) -> Path:
        """Give the file a name by the time, after those of all others: also where the clock went back."""
        path = self.path
        kept = rotated(path)
        moment = _EPOCH + timedelta(microseconds=self._clock.now())
        if kept:
            moment = max(moment, _moment(kept[-1], path) + timedelta(microseconds=1))
        aside = path.with_name(f"{path.stem}.{moment:{_STAMP}}{path.suffix}")
        path.rename(aside)
        for old in [*kept, aside][: -self._settings.keep]:
            old.unlink(missing_ok=True)
        return aside


class JsonlSink:
    """Writes events to a file; the request path only hands them over.

    Args:
        settings: which file, and how much of it.
        scope: clock and observer.
    """

    Settings: ClassVar[type[BaseModel]] = JsonlSettings

    def __init__(self, settings: JsonlSettings, scope: Scope) -> None:
        self.file = JsonlFile(settings, scope.clock)
        self.writer = Writer("guardrail events jsonl", self.file, clock=scope.clock, observer=scope.observer)
        self.emit_packed = self.writer.put

    def emit(self, event: Event) -> None:
        """Hand an event over that nobody has packed yet."""
        self.emit_packed(pack(event))

    async def start(self) -> None:
        """Start the thread."""
        self.writer.start()

    async def aclose(self) -> None:
        """Write what waits."""
        await asyncio.to_thread(self.writer.stop)


def rotated(path: Path) -> list[Path]:
    """The files that were put aside, the oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}\.[0-9]{{8}}T[0-9]{{12}}{re.escape(path.suffix)}(\.gz)?")
    return sorted(found for found in path.parent.iterdir() if name.fullmatch(found.name))


def _moment(aside: Path, path: Path) -> datetime:
    stamp = aside.name.removeprefix(f"{path.stem}.").partition(".")[0]
    return datetime.strptime(stamp.removesuffix(path.suffix), _STAMP).replace(tzinfo=UTC)


def _append(opened: int, data: bytes, size: int) -> None:
    """Write all of it, or leave the file as it was. Where it ends within a line, which a full disk can do, that line ends."""
    if size and os.pread(opened, 1, size - 1) != b"\n":
        data = b"\n" + data
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(opened, view) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(opened, size)
        raise


def _compress(path: Path) -> None:
    """Compress a file that nobody writes to any more. It may have gone: others count what is kept, too."""
    part = Path(f"{path}.gz.part")
    try:
        with path.open("rb") as plain, gzip.open(part, "wb", compresslevel=6) as packed:
            shutil.copyfileobj(plain, packed, 1 << 20)
        part.rename(f"{path}.gz")
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        part.unlink(missing_ok=True)
