"""Events as columns: the schema of Parquet files, made from `event.FIELDS`, and events in it and out of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from guardrail_mw.telemetry.event import FIELDS, Event, Field

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["decode", "encode", "schema"]


@cache
def schema() -> pa.Schema:
    """The columns. `velocity` is a list of name, count and floor; `figures` is JSON text, for every scorer has its own."""
    import pyarrow as pa

    return pa.schema([_column(name, field) for name, field in FIELDS.items()])


def encode(events: Sequence[Event]) -> pa.RecordBatch:
    """Events as columns.

    Raises:
        ValueError, TypeError, KeyError: an event is none.
    """
    import pyarrow as pa

    arrays = []
    for column in schema():  # one by one: between two of them other threads have their turn
        values = [event[column.name] for event in events]
        if column.name == "findings":
            values = [[{**finding, "figures": _json(finding["figures"])} for finding in each] for each in values]
        elif column.name == "velocity":
            values = [_counts(value) for value in values]
        arrays.append(_array(values, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema())


def decode(row: dict[str, Any]) -> Event:
    """The event of a row, as `pyarrow.Table.to_pylist` gives it."""
    velocity = {each["name"]: [each["count"], each["floor"]] for each in row["velocity"]}
    findings = [{**finding, "figures": json.loads(finding["figures"])} for finding in row["findings"]]
    return {**row, "velocity": velocity, "findings": findings}


def _column(name: str, field: Field) -> pa.Field:
    import pyarrow as pa

    kind = pa.struct([_column(*each) for each in (field.fields or {}).items()]) if field.kind == "object" else _type(field)
    return pa.field(name, pa.list_(pa.field("item", kind, nullable=False)) if field.many else kind, nullable=field.null)


def _type(field: Field) -> pa.DataType:
    import pyarrow as pa

    if field.kind == "counts":
        names = {"name": pa.string(), "count": pa.int64(), "floor": pa.bool_()}
        count = pa.struct([pa.field(*each, nullable=False) for each in names.items()])
        return pa.list_(pa.field("item", count, nullable=False))
    kinds = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return kinds.get(field.kind, pa.string())


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Text that is no Unicode (a claim's half of a pair) is written with question marks rather than lost."""
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_readable(value) for value in values], kind)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_readable(each) for each in value]
    return {name: _readable(each) for name, each in value.items()} if isinstance(value, dict) else value


def _counts(value: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "count": count, "floor": floor} for name, (count, floor) in value.items()]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
