"""Recorded events, out of any number of files, in the order in which they were charged; however many there are.

Events are written when requests end, by several processes, into files that are rotated: none of that is the order in which a
store saw them. So they are sorted, in memory as far as they fit, beyond that in temporary files, which are merged.
"""

from __future__ import annotations

import gzip
import json
import marshal
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, Self

from guardrail_mw.cli.output import Cannot
from guardrail_mw.engine.past import Past, past

__all__ = ["RUN", "SHOWN", "Events"]

RUN: Final = 100_000
"""Events that are sorted in memory at a time; an event takes about 500 bytes."""
SHOWN: Final = 5
_LONGEST: Final = 1 << 20
_BUFFER: Final = 1 << 18
_HEAD: Final = struct.Struct("<qqI")
_OFTEN: Final = 64
_UNMEASURED: Final = (0, 0)

_Put = tuple[int, int, bytes]
"""When, its place among all that were read, and what it says, packed."""


class Events:
    """Reads and sorts. Use it as a context: it has temporary files.

    Args:
        paths: of files of JSON lines; what ends in .gz is unpacked.
        run: events that are sorted in memory at a time.
    """

    def __init__(self, paths: Sequence[Path], *, run: int = RUN) -> None:
        self._paths = list(paths)
        self._run = run
        self._stack = ExitStack()
        self._held: list[_Put] = []
        self._spilled: list[IO[bytes]] = []
        self.count = 0
        """Events that were read, those that were there twice included."""
        self.malformed = 0
        """Lines that are no event."""
        self.complaints: list[str] = []
        """What is wrong with the first of those, with file and line."""
        self.repeated = 0
        """Events that were read twice: the same id at the same time. Known once all have been given out."""
        self.policies: dict[str, int] = {}
        """Hashes of the policies that decided, and how many events each has."""
        self.identities: set[str] = set()
        """Hashes of what those say of identity."""
        self.scorers: set[str] = set()
        """That found something in any event."""
        self.measured = False
        """Whether any event holds sizes."""
        self.clusters = False
        """Whether any event names a cluster."""
        self.first = self.last = 0
        """µs of the earliest and the latest."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        try:
            return sum(path.stat().st_size for path in self._paths)
        except OSError as error:
            raise _unreadable(error.filename, error) from error

    def read(self, progress: Callable[[int], object] = lambda _: None) -> None:
        """Read all files; `progress` is told how many bytes more have been read.

        Raises:
            Cannot: a file cannot be read.
        """
        for path in self._paths:
            try:
                self._file(path, progress)
            except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined] # of gzip's own
                raise _unreadable(path, error) from error
        self._held.sort()

    def _file(self, path: Path, progress: Callable[[int], object]) -> None:
        done = 0
        with path.open("rb") as raw:
            lines: IO[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw  # type: ignore[assignment] # reads bytes
            number = 0
            while line := lines.readline(_LONGEST):
                number += 1
                self._line(line, path, number, lines)
                if not number % _OFTEN:
                    at = raw.tell()
                    progress(at - done)
                    done = at
            progress(raw.tell() - done)

    def _line(self, line: bytes, path: Path, number: int, lines: IO[bytes]) -> None:
        if len(line) == _LONGEST and not line.endswith(b"\n"):
            while (rest := lines.readline(_LONGEST)) and not rest.endswith(b"\n"):
                pass
            self._complain(path, number, "the line is longer than 1 MiB")
            return
        if line.isspace():
            return
        try:
            found = past(json.loads(line, parse_constant=_no_number))
        except RecursionError:
            self._complain(path, number, "it is nested too deeply")
        except UnicodeDecodeError:
            self._complain(path, number, "it is not UTF-8")
        except json.JSONDecodeError:
            self._complain(path, number, "it is not JSON")
        except ValueError as error:
            self._complain(path, number, str(error))
        else:
            self._keep(found)

    def _complain(self, path: Path, number: int, what: str) -> None:
        self.malformed += 1
        if len(self.complaints) < SHOWN:
            self.complaints.append(f"{path.name}:{number}: {what}")

    def _keep(self, found: Past) -> None:
        at = found.at
        self.first = min(self.first, at) if self.count else at
        self.last = max(self.last, at)
        self.policies[found.policy] = self.policies.get(found.policy, 0) + 1
        self.identities.add(found.identity)
        self.scorers.update([finding[0] for finding in found.findings])
        self.measured = self.measured or found.used is not None or found.estimate[:2] != _UNMEASURED
        self.clusters = self.clusters or (found.seed is not None and bool(found.seed[2]))
        self._held.append((at, self.count, marshal.dumps(tuple(found))))
        self.count += 1
        if len(self._held) >= self._run:
            self._spill()

    def _spill(self) -> None:
        self._held.sort()
        file = self._stack.enter_context(TemporaryFile(buffering=_BUFFER))  # noqa: SIM115 - it is closed with the others
        for at, place, packed in self._held:
            file.write(_HEAD.pack(at, place, len(packed)))
            file.write(packed)
        file.seek(0)
        self._spilled.append(file)
        self._held = []

    def __iter__(self) -> Iterator[Past]:
        """The events, the earliest first, those of one time in the order in which they were read. Once only."""
        self.repeated = 0
        when, ids = -1, set[str]()
        for at, _, packed in merge(*map(_stored, self._spilled), self._held):
            found = Past._make(marshal.loads(packed))  # noqa: S302 - our own bytes
            if at != when:
                when, ids = at, {found.id}
            elif found.id in ids:
                self.repeated += 1
                continue
            else:
                ids.add(found.id)
            yield found


def _stored(file: IO[bytes]) -> Iterator[_Put]:
    while head := file.read(_HEAD.size):
        at, place, size = _HEAD.unpack(head)
        yield at, place, file.read(size)


def _no_number(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not JSON")


def _unreadable(path: object, error: Exception) -> Cannot:
    reason = getattr(error, "strerror", None) or "it is not whole gzip data"
    return Cannot(f"{path} cannot be read: {reason.lower()}.")
