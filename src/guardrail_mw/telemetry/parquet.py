"""The sink `parquet`: events in rolling Parquet files, a column a field."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from pydantic import BaseModel, model_validator
from pydantic import Field as Limits

from guardrail_mw.quantities import Duration, Size
from guardrail_mw.settings import Settings
from guardrail_mw.telemetry.base import Scope
from guardrail_mw.telemetry.columns import encode, schema
from guardrail_mw.telemetry.event import Event
from guardrail_mw.telemetry.extras import needs
from guardrail_mw.telemetry.recorder import pack, unpack
from guardrail_mw.telemetry.writer import Unwritten, Writer

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

__all__ = ["ParquetFiles", "ParquetSettings", "ParquetSink"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PART: Final = ".part"
_BLOCK: Final = 256
"""Events that become columns at once: the interpreter is held for 0.2 ms at most."""
_GROUP: Final = 16_384
"""Events of a row group."""
_PARENTS: Final[list[object]] = []
_UNFIT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What an event that is none raises on its way to columns."""


class ParquetSettings(Settings):
    """`with` of `use: parquet`."""

    folder: str = Limits(min_length=1, max_length=4096)
    """Where files go, `events-20260101T000000000000-PID.parquet`. One appears whole, under its name, when it is finished."""
    every: Duration = Duration.parse("10m")
    """How long a file takes events before the next begins."""
    rotate: Size = Size.parse("100MiB")
    """The size beyond which the next begins."""
    keep: int = Limits(default=1_000, ge=1, le=1_000_000)
    """How many files are kept, all processes' together; the oldest go."""

    @model_validator(mode="after")
    def _installed(self) -> Self:
        needs("pyarrow", "parquet")
        return self


class ParquetFiles:
    """Files of one process. Used from one thread at a time.

    Args:
        settings: where, and how large.
    """

    batch = 16  # they are unpacked

    def __init__(self, settings: ParquetSettings) -> None:
        self._settings = settings
        self._folder = Path(settings.folder)
        self._file: ParquetWriter | None = None
        self._part = Path()
        self._named = 0
        """The time in the last file's name: names ascend, whatever the clock does."""
        self._begin()

    def _begin(self) -> None:
        self._rows: list[Event] = []
        self._blocks: list[pa.RecordBatch] = []
        self._blocked = 0
        self._began = 0
        """`at` of the file's first event."""
        self._events = 0
        """Of the file, those included that are not written yet."""

    def write(self, batch: list[bytes]) -> None:
        """Take packed events; what makes a row group is written.

        Raises:
            Unwritten: the disk is full, the folder is not ours: what the file would have held is lost.
        """
        events = [unpack(packed) for packed in batch]
        first, last = events[0]["at"], events[-1]["at"]
        self._began = self._began or first
        due = last - self._began >= self._settings.every.us
        self._rows += events
        self._events += len(events)
        if len(self._rows) >= _BLOCK:
            self._block()
        if self._blocked >= _GROUP:
            self._guarded(self._group)
            due = due or self._part.stat().st_size >= self._settings.rotate.bytes
        if due:
            self.close()

    def idle(self) -> None:
        """Nothing came for as long as a file lasts: it is finished."""
        self.close()

    def close(self) -> None:
        """Finish the file: it gets its name.

        Raises:
            Unwritten: as `write`.
        """
        try:
            self._block()
        finally:
            self._guarded(self._finish)
            self._begin()

    def forked(self) -> None:
        """Begin a file of our own. The parent's is kept from being closed here: that would write to it."""
        _PARENTS.append(self._file)
        self._file = None
        self._begin()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Where writing fails, the file is given up and the next begins."""
        try:
            work()
        except Exception as error:
            lost, self._file = self._events, None
            self._begin()
            with suppress(OSError):
                self._part.unlink(missing_ok=True)
            raise Unwritten(lost) from error

    def _finish(self) -> None:
        self._group()
        if self._file is not None:
            self._file.close()
            self._file = None
            self._part.rename(self._part.with_suffix(""))
            self._forget_old()

    def _block(self) -> None:
        """Make columns of what came. An event that does not fit them costs only itself."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            blocks = [encode(rows)]
        except _UNFIT:
            blocks = [block for row in rows if (block := _fitting(row)) is not None]
        count = sum(block.num_rows for block in blocks)
        self._blocks += blocks
        self._blocked += count
        self._events -= len(rows) - count
        if count < len(rows):
            raise Unwritten(len(rows) - count)

    def _group(self) -> None:
        if not self._blocks:
            return
        import pyarrow as pa

        blocks, self._blocks, self._blocked = self._blocks, [], 0
        if self._file is None:
            self._file = self._new()
        self._file.write_table(pa.Table.from_batches(blocks), row_group_size=_GROUP * 2)

    def _new(self) -> ParquetWriter:
        from pyarrow.parquet import ParquetWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        self._named = max(self._began, self._named + 1)
        moment = _EPOCH + timedelta(microseconds=self._named)
        self._part = self._folder / f"events-{moment:%Y%m%dT%H%M%S%f}-{os.getpid()}.parquet{_PART}"
        return ParquetWriter(self._part, schema(), compression="zstd")

    def _forget_old(self) -> None:
        for old in sorted(self._folder.glob("events-*.parquet"))[: -self._settings.keep]:
            old.unlink(missing_ok=True)


def _fitting(event: Event) -> pa.RecordBatch | None:
    try:
        return encode([event])
    except _UNFIT:
        return None


class ParquetSink:
    """Writes events to Parquet files; the request path only hands them over.

    Args:
        settings: where, and how large.
        scope: clock and observer.
    """

    Settings: ClassVar[type[BaseModel]] = ParquetSettings

    def __init__(self, settings: ParquetSettings, scope: Scope) -> None:
        self.files = ParquetFiles(settings)
        patience = settings.every.us / 1_000_000
        self.writer = Writer(
            "guardrail events parquet", self.files, clock=scope.clock, observer=scope.observer, patience=patience
        )
        self.emit_packed = self.writer.put

    def emit(self, event: Event) -> None:
        """Hand an event over that nobody has packed yet."""
        self.emit_packed(pack(event))

    async def start(self) -> None:
        """Start the thread, and load the library in it rather than with the first event."""
        await asyncio.to_thread(schema)
        self.writer.start()

    async def aclose(self) -> None:
        """Write what waits, and finish the file."""
        await asyncio.to_thread(self.writer.stop)
