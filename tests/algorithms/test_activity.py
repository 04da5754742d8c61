"""What an account did, against plain lists; figures by hand."""

from __future__ import annotations

import random
from collections import Counter

from guardrail_mw.algorithms import activity
from guardrail_mw.algorithms.activity import EMPTY, Summary

DAY = 24
H = 8760
"""2026-01-01T00."""


def hours(**counts: int) -> tuple[int, ...]:
    return tuple(counts.get(f"h{at}", 0) for at in range(24))


def test_nothing_was_done() -> None:
    assert (len(EMPTY), EMPTY) == (activity.LENGTH, bytes(94))
    assert activity.unpack(EMPTY) == Summary(0, 0, 0, 0, 0, 0, 0, (0,) * 24, (0,) * 8)
    assert not activity.since(EMPTY, 0)


def test_where_everything_stands() -> None:
    packed = activity.add(EMPTY, H + 5, 0x010203, 0x0A0B0C0D0E0F, 0x01, 0x0205)
    head = "223d 223d 0001 00010203 0a0b0c0d0e0f 000205 000001"
    assert packed[:22] == bytes.fromhex(head)
    # 0x010203 is 66,051, more than 2 bytes hold: halved
    assert packed[22:70] == bytes(10) + (33_025).to_bytes(2, "big") + bytes(36)
    assert packed[70:] == bytes(15) + bytes.fromhex("010203") + bytes(6)  # day 365 stands at 365 % 8 = 5


def test_two_days() -> None:
    packed = activity.add(EMPTY, H, 3, 900, 1, 2)
    packed = activity.add(packed, H + 25, 2, 100)
    packed = activity.add(packed, H + 26, 1, 1)
    assert activity.unpack(packed) == Summary(H, H + 26, 2, 6, 1001, 2, 1, hours(h0=3, h1=2, h2=1), (0,) * 6 + (3, 3))


def test_days_leave_the_ring() -> None:
    packed = EMPTY
    for day in range(10):
        packed = activity.add(packed, H + day * DAY, day + 1, 0)
    assert activity.unpack(packed).recent == (3, 4, 5, 6, 7, 8, 9, 10)
    packed = activity.add(packed, H + 12 * DAY, 20, 0)
    assert activity.unpack(packed).recent == (6, 7, 8, 9, 10, 0, 0, 20)
    packed = activity.add(packed, H + 500 * DAY, 7, 0)
    assert activity.unpack(packed).recent == (0,) * 7 + (7,)
    assert activity.unpack(packed).days == 12


def test_what_is_told_late() -> None:
    packed = activity.add(EMPTY, H + 10 * DAY, 1, 1)
    packed = activity.add(packed, H + 3 * DAY + 2, 2, 1)
    packed = activity.add(packed, H + 2 * DAY + 3, 4, 1)
    found = activity.unpack(packed)
    assert found.recent == (2, 0, 0, 0, 0, 0, 0, 1), "the eighth day back counts, the ninth does not"
    assert (found.first, found.last, found.days, found.requests) == (H + 2 * DAY + 3, H + 10 * DAY, 1, 7)
    assert found.hours == hours(h0=1, h2=2, h3=4)


def test_since() -> None:
    packed = activity.add(EMPTY, H + 47, 1, 1)
    assert [activity.since(packed, day) for day in (0, 366, 367)] == [True, True, False]
    assert activity.since(activity.add(EMPTY, 0, 0, 0), 0)


def test_sums_stop_and_proportions_stay() -> None:
    packed = activity.add(EMPTY, H, 10, 2**48 - 5)
    packed = activity.add(packed, H + 1, 65_530, 10)
    packed = activity.add(packed, H + 1, 10, 0)
    found = activity.unpack(packed)
    assert found.tokens == 2**48 - 1
    assert found.hours == hours(h0=5, h1=32_770)  # 65,540 is too many: all are halved
    packed = activity.add(packed, H + 2, 2**32, 0, 2**23, 2**24)
    found = activity.unpack(packed)
    assert found.requests == 2**32 - 1
    assert (found.fresh, found.windowed) == (2**22, 2**23)
    assert found.recent[-1] == 2**24 - 1
    # 2^32 halved seventeen times is 32,768; the other hours are nothing by then
    assert found.hours == hours(h2=32_768)


def test_against_lists() -> None:
    rng = random.Random(3)
    packed, told = EMPTY, []
    hour = H
    for _ in range(500):
        hour += rng.choice([0, 0, 1, 1, 5, 30])
        each = (
            hour - rng.choice([0, 0, 0, 1, 2]),
            rng.randrange(50),
            rng.randrange(10**6),
            rng.randrange(3),
            rng.randrange(9),
        )
        told.append(each)
        packed = activity.add(packed, *each)
        found = activity.unpack(packed)
        assert (found.first, found.last) == (min(at for at, *_ in told), max(at for at, *_ in told))
        sums = [sum(each[at] for each in told) for at in range(1, 5)]
        assert [found.requests, found.tokens, found.fresh, found.windowed] == sums
        by_hour: Counter[int] = Counter()
        by_day: Counter[int] = Counter()
        for at, requests, *_ in told:
            by_hour[at % 24] += requests
            by_day[at // 24] += requests
        assert list(found.hours) == [by_hour[at] for at in range(24)]
        newest = found.last // 24
        assert list(found.recent) == [by_day[day] for day in range(newest - 7, newest + 1)]
