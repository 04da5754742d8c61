"""The sink `parquet`: what is written is what is read, and what is lost is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from guardrail_mw.telemetry import parquet
from guardrail_mw.telemetry.columns import decode, encode, schema
from guardrail_mw.telemetry.event import FIELDS
from guardrail_mw.telemetry.parquet import ParquetFiles, ParquetSettings, ParquetSink
from guardrail_mw.telemetry.recorder import pack
from guardrail_mw.telemetry.writer import Unwritten

from .kit import AT, Counts, denied, event, scope

MINUTE = 60_000_000


def settings(folder: Path, **more: Any) -> ParquetSettings:
    return ParquetSettings.model_validate({"folder": str(folder), **more})


def files(folder: Path, **more: Any) -> ParquetFiles:
    return ParquetFiles(settings(folder, **more))


def read(folder: Path) -> list[list[dict[str, Any]]]:
    return [[decode(row) for row in pq.read_table(each).to_pylist()] for each in sorted(folder.glob("*.parquet"))]


def numbered(*numbers: int, at: int = AT) -> list[bytes]:
    return [pack(event(id=f"{number:024}", at=at)) for number in numbers]


def ids(folder: Path) -> list[list[int]]:
    return [[int(each["id"]) for each in one] for one in read(folder)]


@pytest.mark.anyio
async def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    counts = Counts()
    sink = ParquetSink(settings(tmp_path / "events"), scope(counts))
    await sink.start()
    would = {"decision": "deny", "code": "rate_limited", "limit": "requests", "rung": ""}
    sent = [event(), denied(), event(would=would, velocity={}, findings=[], limits=[]), event(rung="slow", rung_at=30)]
    for each in sent:
        sink.emit(each)
    await sink.aclose()
    assert read(tmp_path / "events") == [sent]
    assert counts == {}


def test_a_column_a_field_with_its_type() -> None:
    columns = schema()
    assert columns.names == list(FIELDS)
    assert columns.field("at").type == pa.int64()
    assert columns.field("risk").type == pa.float64()
    assert columns.field("why").type == pa.list_(pa.field("item", pa.string(), nullable=False))
    assert [field.name for field in columns if field.nullable] == [name for name, field in FIELDS.items() if field.null]
    limit = columns.field("limits").type.value_type
    assert {each.name: str(each.type) for each in limit} == {
        "name": "string", "unit": "string", "cost": "int64", "remaining": "int64", "reset_ms": "int64",
        "ok": "bool", "shadow": "bool",
    }  # fmt: skip


def test_text_that_is_no_unicode_is_written_nevertheless() -> None:
    (row,) = encode([event(tier="pro\ud800", why=["\udcff"])]).to_pylist()
    assert (row["tier"], row["why"]) == ("pro?", ["?"])


def test_files_roll_by_the_events_own_time(tmp_path: Path) -> None:
    output = files(tmp_path, every="10m")
    for number, at in enumerate([AT, AT + 10 * MINUTE - 1, AT + 10 * MINUTE, AT + 10 * MINUTE + 1, AT + 30 * MINUTE]):
        output.write(numbered(number, at=at))
        assert not list(tmp_path.glob("*.parquet")) or number >= 2, "a file appears whole, and when it is finished"
    output.close()
    assert ids(tmp_path) == [[0, 1, 2], [3, 4]]
    assert [each.name[:29] for each in sorted(tmp_path.iterdir())] == [
        "events-20260101T000000000000-",
        "events-20260101T001000000001-",
    ]


def test_files_roll_by_their_size_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BLOCK", 2)
    monkeypatch.setattr(parquet, "_GROUP", 4)
    output = files(tmp_path, rotate="1KiB", keep=2)
    for number in range(0, 14, 2):
        output.write(numbered(number, number + 1))
    assert ids(tmp_path) == [[4, 5, 6, 7], [8, 9, 10, 11]]
    output.idle()
    assert ids(tmp_path) == [[8, 9, 10, 11], [12, 13]]
    assert not list(tmp_path.glob("*.part"))


def test_small_files_wait_for_more(tmp_path: Path) -> None:
    output = files(tmp_path)
    output.write(numbered(1))
    assert list(tmp_path.iterdir()) == []
    output.idle()
    output.idle()
    assert ids(tmp_path) == [[1]]


def test_an_event_that_fits_no_column_costs_only_itself(tmp_path: Path) -> None:
    output = files(tmp_path)
    for bad in (event(risk="high"), event(status=2**70), {"at": AT}, event(findings=[{}])):
        output.write([*numbered(1), pack(bad), *numbered(2)])
    with pytest.raises(Unwritten) as caught:
        output.close()
    assert caught.value.events == 4
    assert ids(tmp_path) == [[1, 2] * 4]


def test_a_file_that_cannot_be_written_is_counted_and_the_next_begins(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.write_text("a file is in the way")
    output = files(folder)
    output.write(numbered(1, 2, 3))
    with pytest.raises(Unwritten) as caught:
        output.close()
    assert (caught.value.events, type(caught.value.__cause__)) == (3, FileExistsError)
    folder.unlink()
    output.write(numbered(4))
    output.close()
    assert ids(folder) == [[4]]


def test_a_disk_that_fills_up_leaves_no_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    output = files(tmp_path)
    output.write(numbered(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetWriter, "write_table", lambda *_, **__: full())
        with pytest.raises(Unwritten) as caught:
            output.close()
    assert caught.value.events == 2
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_begins_a_file_of_its_own(tmp_path: Path) -> None:
    output = files(tmp_path)
    output.write(numbered(1))
    output.forked()
    output.write(numbered(2))
    output.close()
    assert ids(tmp_path) == [[2]]
