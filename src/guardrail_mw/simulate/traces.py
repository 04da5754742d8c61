"""Traces from elsewhere: JSON lines or Parquet, a request a row, read in the order of their times.

A row has `time` (ISO 8601 with its zone, or seconds since 1970) and `account`, and may have `model`, `tokens` (of prompt and
answer together) or `input` and `output`, `evidence` (a mapping from kinds to values), `created` (when the account was opened)
and `label`.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from guardrail_mw.simulate.world.arrays import Column

__all__ = ["Bad", "Row", "Trace", "TraceError"]

_SECOND: Final = 1_000_000
_LATEST: Final = 4_102_444_800
"""2100-01-01: whatever is later is in another unit than seconds."""
_LONGEST: Final = 65_536
_MODEL: Final = 256
"""Characters of a model's name, as in a policy."""
_MOST: Final = 1 << 40
_COLUMNS: Final = frozenset({"time", "account", "model", "tokens", "input", "output", "evidence", "created", "label"})


class TraceError(ValueError):
    """A trace cannot be read at all."""


class Bad(NamedTuple):
    """A row that cannot be used."""

    line: int
    """From 1; of Parquet, the row's number from 1."""
    why: str


class Row(NamedTuple):
    """A request."""

    at: int
    """µs since 1970."""
    account: str
    model: str
    input: int
    output: int
    evidence: Mapping[str, tuple[str, ...]]
    created: int | None
    label: str


class Trace:
    """One file.

    Args:
        path: `.parquet`, or else JSON lines.
        kinds: names of the kinds of evidence that a row may show.

    Raises:
        TraceError: it cannot be read.
    """

    def __init__(self, path: Path, kinds: frozenset[str]) -> None:
        self.path = path
        self.bad: list[Bad] = []
        """Rows that cannot be used."""
        self.models: dict[str, int] = {}
        """µs at which each model first came."""
        self._kinds = kinds
        self._parquet = path.suffix == ".parquet"
        self._table: Any = None
        self._at: Column[np.int64] = Column(np.int64)
        self._where: Column[np.int64] = Column(np.int64)
        """Where each row begins: a byte, or a row of the table."""
        try:
            self._scan()
        except (OSError, UnicodeDecodeError) as error:
            raise TraceError(f"{path} cannot be read: {error}") from error
        self._order = np.argsort(self._at.all, kind="stable")

    def __len__(self) -> int:
        return len(self._at)

    @property
    def start(self) -> int:
        """µs of the first request."""
        return int(self._at.all.min()) if len(self) else 0

    @property
    def end(self) -> int:
        """µs of the last."""
        return int(self._at.all.max()) if len(self) else 0

    def __iter__(self) -> Iterator[Row]:
        """Requests, by their times; of those with the same, in the order of the file."""
        if self._parquet:
            for place in self._order.tolist():
                row = self._row(self._table.slice(int(self._where[place]), 1).to_pylist()[0])
                assert isinstance(row, Row)  # noqa: S101 - read before
                yield row
            return
        with self.path.open("rb") as file:
            for place in self._order.tolist():
                file.seek(int(self._where[place]))
                row = self._row(json.loads(file.readline()))
                assert isinstance(row, Row)  # noqa: S101 - read before
                yield row

    def _scan(self) -> None:
        """Read everything once: what is bad is noted, of what is good where it stands."""
        times: list[int] = []
        places: list[int] = []
        for line, (place, document) in enumerate(self._documents(), 1):
            row = self._row(document) if not isinstance(document, str) else document
            if isinstance(row, str):
                self.bad.append(Bad(line, row))
                continue
            if row is None:
                continue
            times.append(row.at)
            places.append(place)
            if row.model:
                self.models[row.model] = min(row.at, self.models.get(row.model, row.at))
        self._at.add(np.array(times, np.int64))
        self._where.add(np.array(places, np.int64))

    def _documents(self) -> Iterator[tuple[int, Any]]:
        """Where each row stands, and what it says; text where that cannot be read, None where there is nothing."""
        if self._parquet:
            yield from self._read_parquet()
            return
        with self.path.open("rb") as file:
            place = 0
            for line in file:
                text = line.strip()
                try:
                    yield place, json.loads(text) if text else None
                except ValueError as error:
                    yield place, f"is not JSON: {error}"
                place += len(line)

    def _read_parquet(self) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            self._table = pq.read_table(self.path, columns=None)
        except pa.ArrowException as error:
            raise TraceError(f"{self.path} is not Parquet that can be read: {error}") from error
        place = 0
        for part in self._table.to_batches():
            for document in part.to_pylist():
                yield place, document
                place += 1

    def _row(self, document: Any) -> Row | str | None:
        """A row; text that says what is wrong with it; None for an empty line."""
        if document is None:
            return None
        if not isinstance(document, dict):
            return "is not an object"
        try:
            return self._checked(document)
        except ValueError as error:
            return str(error)

    def _checked(self, document: dict[str, Any]) -> Row:
        unknown = sorted(set(document) - _COLUMNS)
        if unknown:
            raise ValueError(f"{unknown[0]}: is not a column; there are {', '.join(sorted(_COLUMNS))}")
        account = document.get("account")
        if not isinstance(account, str) or not account or len(account) > _LONGEST:
            raise ValueError("account: must be text that is not empty")
        _whole("account", account)
        model, label = document.get("model"), document.get("label")
        for name, value in (("model", model), ("label", label)):
            if value is not None and not isinstance(value, str):
                raise ValueError(f"{name}: must be text")
            if value is not None:
                _whole(name, value)
        if model is not None and len(model) > _MODEL:
            raise ValueError(f"model: has {len(model)} characters; at most {_MODEL} are a model's name")
        if document.get("tokens") is not None and (document.get("input") is not None or document.get("output") is not None):
            raise ValueError("tokens: stands for input and output together; give either")
        given = _count(document, "tokens") + _count(document, "input")
        created = document.get("created")
        return Row(
            _moment("time", document.get("time")),
            account,
            model or "",
            given,
            _count(document, "output"),
            self._evidence(document.get("evidence")),
            None if created is None else _moment("created", created),
            label or "",
        )

    def _evidence(self, said: Any) -> dict[str, tuple[str, ...]]:
        if said is None:
            return {}
        if isinstance(said, list):  # how Parquet gives a map
            try:
                said = dict(said)
            except (TypeError, ValueError):
                raise ValueError("evidence: must be a mapping from kinds to values") from None
        if not isinstance(said, dict):
            raise ValueError("evidence: must be a mapping from kinds to values")  # noqa: TRY004 - of a row, said to its writer
        found = {}
        for kind, value in said.items():
            if value is None:
                continue
            if kind not in self._kinds:
                raise ValueError(f"evidence: {kind!r} is no kind; there are {', '.join(sorted(self._kinds))}")
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, str) and each and len(each) <= _LONGEST for each in values):
                raise ValueError(f"evidence.{kind}: must be text that is not empty, or a list of it")
            for each in values:
                _whole(f"evidence.{kind}", each)
            found[kind] = tuple(values)
        return found


def _whole(name: str, text: str) -> None:
    """Refuse what is no text: half a character, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name}: holds half of a surrogate pair, which is no character") from None


def _count(document: dict[str, Any], name: str) -> int:
    value = document.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError(f"{name}: must be a whole number of at least 0")
    return value


def _moment(name: str, value: Any) -> int:
    """µs since 1970."""
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name}: is no time; write 2026-02-01T12:00:00Z, or seconds since 1970") from None
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name}: has no zone; write 2026-02-01T12:00:00Z")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: must be a time")
    if not 0 <= value < _LATEST:
        raise ValueError(f"{name}: is not between 1970 and 2100; a number means seconds")
    return round(value * _SECOND)
