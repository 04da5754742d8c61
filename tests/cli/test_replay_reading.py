"""Events come out in the order in which they were charged, from however many files and runs."""

from __future__ import annotations

import json
import random
from pathlib import Path

from guardrail_mw.cli.replay.reading import Events

from .test_replay import limited, record


def test_many_runs_are_merged_and_ties_keep_their_order(tmp_path: Path) -> None:
    """97 events in runs of 10, several of one time: as Python's own stable sort has them."""
    [event] = record(limited(), [("ada", 1)])
    dice = random.Random(5)
    events = [{**event, "id": f"{number:024x}", "at": dice.randrange(1, 40)} for number in range(97)]
    first, second = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    first.write_text("".join(json.dumps(each) + "\n" for each in events[:60]))
    second.write_text("".join(json.dumps(each) + "\n" for each in events[60:]))
    with Events([first, second], run=10) as found:
        read: list[int] = []
        found.read(read.append)
        assert sum(read) == found.size
        ids = [each.id for each in found]
    assert ids == [each["id"] for each in sorted(events, key=lambda each: int(each["at"]))]
    assert (found.count, found.first, found.last) == (
        97,
        min(each["at"] for each in events),
        max(each["at"] for each in events),
    )


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    [event] = record(limited(), [("ada", 1)])
    file = tmp_path / "events.jsonl"
    file.write_text('{"v":"' + "x" * 3_000_000 + '"}\n' + json.dumps(event) + "\n" + "[" * 100_000 + "\n")
    with Events([file]) as found:
        found.read()
        assert len(list(found)) == 1
    assert found.complaints == ["events.jsonl:1: the line is longer than 1 MiB", "events.jsonl:3: it is nested too deeply"]
