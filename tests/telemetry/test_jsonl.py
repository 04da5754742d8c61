"""The sink `jsonl`: lines, rotation, several processes."""

from __future__ import annotations

import errno
import fcntl
import gzip
import json
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from subprocess import PIPE
from textwrap import dedent
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.telemetry.jsonl import JsonlFile, JsonlSettings, JsonlSink, rotated
from guardrail_mw.telemetry.lines import line
from guardrail_mw.telemetry.recorder import Recorder, pack
from guardrail_mw.testing.clock import FakeClock

from .kit import Counts, event, scope

SIZE = len(line(event(id="0" * 24))) + 1


def settings(path: Path, **more: Any) -> JsonlSettings:
    return JsonlSettings.model_validate({"path": str(path), **more})


def file(path: Path, **more: Any) -> JsonlFile:
    return JsonlFile(settings(path, **more), FakeClock())


def packed(*numbers: int) -> list[bytes]:
    return [pack(event(id=f"{number:024}")) for number in numbers]


def numbers(path: Path) -> list[int]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [int(json.loads(each)["id"]) for each in text.splitlines()]


@pytest.mark.anyio
async def test_a_sink_writes_lines(tmp_path: Path) -> None:
    counts = Counts()
    path = tmp_path / "new" / "events.jsonl"
    sink = JsonlSink(settings(path), scope(counts))
    await sink.start()
    sent = [event(id=f"{number:024}", tier="é\n\ud800") for number in range(40)]
    for each in sent:
        sink.emit(each)
    await sink.aclose()
    sink.emit(event(id=f"{40:024}"))
    await sink.aclose()
    assert [json.loads(each) for each in path.read_text().splitlines()][:-1] == sent
    assert numbers(path) == list(range(41))
    assert counts == {}
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.anyio
async def test_an_event_that_json_cannot_hold_costs_only_itself(tmp_path: Path) -> None:
    counts = Counts()
    sink = JsonlSink(settings(tmp_path / "events.jsonl"), scope(counts))
    recorder = Recorder([sink], clock=FakeClock(), observer=counts)
    for number, risk in enumerate([0.0, float("nan"), 0.0]):
        recorder.emit(event(id=f"{number:024}", risk=risk))
    await recorder.aclose()
    assert numbers(tmp_path / "events.jsonl") == [0, 2]
    assert counts == {"events.failed": 1}


def test_a_busy_process_writes_many_events_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that never rests gives the thread a turn every 5 ms: at 16 events each, 3,200 a second were all it could write."""
    monkeypatch.setattr(threading.Thread, "start", lambda _: None)
    sink = JsonlSink(settings(tmp_path / "events.jsonl"), scope(Counts()))
    sizes: list[int] = []
    write = sink.file.write

    def measured(batch: list[bytes]) -> None:
        sizes.append(len(batch))
        write(batch)

    monkeypatch.setattr(sink.file, "write", measured)
    for number in range(600):
        sink.emit_packed(packed(number)[0])
    sink.writer.flush()
    assert sizes == [256, 256, 88]
    assert numbers(tmp_path / "events.jsonl") == list(range(600))


def test_it_rotates_before_a_file_grows_too_large_and_keeps_so_many(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = file(path, rotate=f"{3 * SIZE}B", keep=2)
    for number in range(11):
        output.write(packed(number))
    assert numbers(path) == [9, 10]
    assert [each.name for each in rotated(path)] == [
        "events.20260101T000000000001.jsonl",
        "events.20260101T000000000002.jsonl",
    ]
    assert [numbers(each) for each in rotated(path)] == [[3, 4, 5], [6, 7, 8]]


def test_a_batch_is_never_torn_apart_however_large(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = file(path, rotate=f"{SIZE}B")
    output.write(packed(1, 2, 3))
    output.write(packed(4, 5))
    assert (numbers(path), [numbers(each) for each in rotated(path)]) == ([4, 5], [[1, 2, 3]])


def test_what_is_put_aside_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = file(path, rotate=f"{SIZE}B", keep=2, gzip=True)
    for number in range(5):
        output.write(packed(number))
    assert {each.name for each in tmp_path.iterdir() if each.suffix != ".gz"} == {path.name, f"{path.name}.lock"}
    assert [numbers(each) for each in rotated(path)] == [[2], [3]]
    assert {each.suffix for each in rotated(path)} == {".gz"}


def test_a_clock_that_goes_back_does_not_make_the_latest_the_oldest(tmp_path: Path) -> None:
    path, clock = tmp_path / "events.jsonl", FakeClock()
    output = JsonlFile(settings(path, rotate=f"{SIZE}B", keep=2), clock)
    for number in range(4):
        output.write(packed(number))
        clock.jump(-3600)
    assert [numbers(each) for each in rotated(path)] == [[1], [2]]
    clock.jump(86_400)
    output.write(packed(4))
    assert [each.name for each in rotated(path)][-1] == "events.20260101T200000000000.jsonl"


def test_only_what_was_put_aside_counts_as_that(tmp_path: Path) -> None:
    path = tmp_path / "a[1].jsonl"
    output = file(path, rotate=f"{SIZE}B", keep=1)
    others = [tmp_path / name for name in ("a1.20200101T000000000000.jsonl", "a[1].notes.jsonl", "a[1].jsonl.txt")]
    for other in others:
        other.write_text("mine")
    for number in range(3):
        output.write(packed(number))
    assert [numbers(each) for each in rotated(path)] == [[1]]
    assert [other.read_text() for other in others] == ["mine"] * 3


def test_a_file_that_somebody_else_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    output = file(path)
    output.write(packed(1))
    path.rename(tmp_path / "by-logrotate")
    output.write(packed(2))
    path.rename(tmp_path / "again")
    path.write_bytes(b"")
    output.write(packed(3))
    assert [numbers(tmp_path / name) for name in ("by-logrotate", "again", "events.jsonl")] == [[1], [2], [3]]


def test_a_line_that_broke_off_ends_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"v":1,"id":"')
    file(path).write(packed(1))
    broken, good = path.read_bytes().splitlines()
    assert (broken, json.loads(good)["id"]) == (b'{"v":1,"id":"', f"{1:024}")


def test_what_a_full_disk_took_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    output = file(path)
    output.write(packed(1))
    real, calls = os.write, []

    def full(opened: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(opened, data[:100])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        output.write(packed(2))
    assert calls == [SIZE, SIZE - 100]
    assert numbers(path) == [1]
    output.write(packed(3))
    assert numbers(path) == [1, 3], "in pieces of a hundred bytes, and whole"


def test_a_forked_process_has_a_lock_of_its_own(tmp_path: Path) -> None:
    output = file(tmp_path / "events.jsonl")
    output.write(packed(1))
    before = output._lock
    assert before is not None
    held = os.dup(before)  # as the parent's, after a fork
    output.forked()
    output.write(packed(2))
    assert output._lock is not None
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        fcntl.flock(output._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
    output.close()
    assert numbers(tmp_path / "events.jsonl") == [1, 2]


def test_a_file_a_process_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    output = file(tmp_path / "new" / "events-{pid}.jsonl")
    output.write(packed(1))
    assert numbers(tmp_path / "new" / f"events-{os.getpid()}.jsonl") == [1]
    with pytest.raises(OSError, match="No locks"):
        file(tmp_path / "events.jsonl").write(packed(1))


WRITES = """
    import sys
    from guardrail_mw.clock import SystemClock
    from guardrail_mw.telemetry.jsonl import JsonlFile, JsonlSettings
    from guardrail_mw.telemetry.recorder import pack

    path, rotate, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = JsonlSettings.model_validate({"path": path, "rotate": rotate, "keep": 10_000, "gzip": start == 0})
    file = JsonlFile(settings, SystemClock())
    print("ready", flush=True)
    sys.stdin.readline()
    for first in range(start, start + 300, 5):
        file.write([pack({"id": f"{number:024}", "filling": "x" * 1300}) for number in range(first, first + 5)])
"""


def test_processes_share_a_file_and_its_rotation(tmp_path: Path) -> None:
    """Batches of 6.7 KB, beyond what a pipe would take whole, while files are put aside 29 times, some compressed."""
    path = tmp_path / "events.jsonl"
    size = len(line({"id": "0" * 24, "filling": "x" * 1300})) + 1
    starts = (0, 1000, 2000, 3000)
    command = [sys.executable, "-c", dedent(WRITES), str(path), f"{40 * size}B"]
    writers = [subprocess.Popen([*command, str(start)], stdin=PIPE, stdout=PIPE, text=True) for start in starts]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n"] * 4
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    found = [numbers(each) for each in (*rotated(path), path)]
    assert [len(each) for each in found] == [40] * 30
    assert sorted(number for each in found for number in each) == [
        number for start in starts for number in range(start, start + 300)
    ]
    for each in found:
        assert all(second == first + 1 for first, second in pairwise(each) if first % 5 != 4), "batches are whole"


def test_settings() -> None:
    made = JsonlSettings(path="events.jsonl")
    assert (str(made.rotate), made.keep, made.gzip) == ("100MiB", 5, False)
    for bad in ({}, {"path": ""}, {"path": "x", "keep": 0}, {"path": "x", "rotate": "10"}, {"path": "x", "gzip": "yes"}):
        with pytest.raises(ValidationError):
            JsonlSettings.model_validate(bad)


@pytest.mark.parametrize("path", ["events.jsonl", "new/er/events.jsonl", "events-{pid}.jsonl"])
def test_a_trial_leaves_nothing_behind(tmp_path: Path, path: str) -> None:
    file(tmp_path / path).trial()
    assert list(tmp_path.iterdir()) == []


def test_a_trial_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    written = file(path)
    written.write(packed(1))
    file(path).trial()
    written.write(packed(2))
    assert numbers(path) == [1, 2]
    path.write_bytes(b"")
    file(path).trial()
    assert path.exists()


@pytest.mark.parametrize("path", ["file/events.jsonl", "folder"])
def test_a_trial_of_what_cannot_be_written(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"exists|directory"):
        file(tmp_path / path).trial()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_a_trial_looks_at_the_lock_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write the file but not lock it, writes nothing."""
    asked = []

    def access(path: Path, mode: int) -> bool:
        asked.append((path.name, mode))
        return False

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(PermissionError) as caught:
        file(tmp_path / "events.jsonl").trial()
    assert caught.value.filename == str(tmp_path / "events.jsonl.lock")
    assert asked == [(tmp_path.name, os.W_OK)]
    assert list(tmp_path.iterdir()) == []
