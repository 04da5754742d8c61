"""The store's clock, told from replies."""

from __future__ import annotations

import pytest

from guardrail_mw.stores.redis.pipes import StoreTime


def test_a_reply_bounds_the_stores_time_from_both_sides() -> None:
    time = StoreTime()
    assert not time.known
    # Sent at 10 s, read at 10.004 s: when the store said 1,000,000 µs it was between the two, so its clock is
    # 9,000,000 to 9,004,000 µs behind ours; the earlier bound lets a command run to the very deadline.
    time.learn(1_000_000, 10.0, 10.004)
    assert time.known
    assert time.at(20.0) == 20_000_000 - 9_000_000


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        (11.999, 12.003, 11_000_000),  # sent before, read later: tells nothing new, the tighter bound stays
        (12.002, 12.003, 10_998_000),  # a faster way: the clock is at least 9,002,000 µs behind
        (12.100, 12.101, 10_900_000),  # contradicts: the store's clock went back, the newest holds
        (11.500, 11.501, 11_500_000),  # contradicts: it jumped ahead
    ],
)
def test_bounds_are_intersected_and_the_newest_wins_a_contradiction(sent: float, received: float, expected: int) -> None:
    time = StoreTime()
    time.learn(1_000_000, 10.0, 10.004)
    time.learn(3_000_000, sent, received)
    assert time.at(20.0) == expected
