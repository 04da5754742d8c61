"""Commands and replies by themselves: what a bill says, and that the short way reads a reply as the long one does."""

from __future__ import annotations

import pytest

from guardrail_mw.stores.base import Bill, Count, Distinct, Entry, Gcra, Reading, Receipt, Sketch
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.charging import _Frame
from guardrail_mw.values import Standing

SECOND = 1_000_000
NOW = 1_767_225_600_000_000
BILL = Bill(
    "0" * 24,
    (
        Entry("a:1", (Gcra("u", 1, 1, SECOND, 10), Count("c", "denied", 60 * SECOND, 3), Distinct("d", "ab", 60 * SECOND))),
        Entry("e", (Gcra("g", 2, 7, SECOND, 10), Sketch("k", "cd", 9 * SECOND), Count("n", "attempts", 21))),
    ),
    "a:1",
    "a:1",
    5,
    seen=6,
)
REPLY = b"A %d 0 1 1000000 0 12 0 64 2 1 285714 2 10 3 4711 1" % NOW
READ = (
    Reading(True, 9, SECOND, 0, (NOW + SECOND, 0, 0, 0)),
    Reading(True, 12, 0, 0),
    Reading(False, 64, 0, 0),
    Reading(True, 8, 285_715, 0, (NOW + 2 + 285_714, 2, 10, 3)),
    Reading(True, 4711, 0, 0),
    Reading(True, 1, 0, 0),
)
"""The second home's own time is two µs ahead. Two of seven a second span 285,714 + 2/7 µs."""


def test_a_command_says_what_is_counted() -> None:
    text = codec.charge_command(BILL, codec.whole(BILL), "p:", 99, 7).decode().split("\r\n")
    assert text[-2] == (
        f"{'0' * 24} 6 5 6 0 99 7 0 0 2 "
        "1 0 3 u u 1000000 10000000 0 c c 3 n 3000000 d d 1 ab 1000000 "
        "3 0 3 g g 285714 2 7 1428571 3 0 k k 1 cd 9000000 c n 1 a 2"
    )
    keys = [each for each in text if each.startswith("p:")]
    assert keys == ["p:{a:1}", "p:{a:1}:d:d", "p:{e}", "p:{e}:h:k:0", "p:{e}:h:k:1", "p:{a:1}:s"]


@pytest.mark.parametrize("short", [True, False])
def test_a_reply_is_read_the_same_both_ways(short: bool) -> None:
    part = codec.whole(BILL)
    codec.charge_command(BILL, part, "p:", 0)
    assert isinstance(part.notes, _Frame)
    assert part.notes.buckets is not None
    if not short:
        part.notes = part.notes._replace(buckets=None)
    assert codec.parse_charge(REPLY, BILL, part) == Receipt(BILL, "admitted", NOW, None, READ)


def test_a_reply_that_tells_of_the_standing() -> None:
    part = codec.whole(BILL)
    codec.charge_command(BILL, part, "p:", 0)
    stored = [b"v", b"5", b"u", b"11", b"w", b"9", b"rung", b"delay 1", b"since", b"3"]
    told = codec.parse_charge([REPLY, stored], BILL, part)
    standing = Standing(5, {"rung": "delay 1", "since": "3"}, 9)
    assert told == Receipt(BILL, "admitted", NOW, standing, READ)


def test_a_refused_bill_s_counts() -> None:
    part = codec.whole(BILL)
    codec.charge_command(BILL, part, "p:", 0)
    denied = codec.parse_charge(b"D" + REPLY[1:].replace(b"0 1 1000000 0", b"0 0 9500000 0"), BILL, part)
    assert denied.code == "denied"
    assert denied.readings[0] == Reading(False, 0, 9_500_000, 500_000)
    assert [reading.remaining for reading in denied.readings[1:3]] == [12, 64]
    assert all(reading.mark is None for reading in denied.readings)
