"""The breaker's figures, worked out by hand. Times in µs."""

from __future__ import annotations

import pytest

from guardrail_mw.stores.breaker import PROBE_EVERY, Breaker

MS = 1000
SECOND = 1_000_000


def opened(at: int = 0, breaker: Breaker | None = None) -> Breaker:
    """A breaker that opens at `at`."""
    breaker = breaker or Breaker()
    assert [breaker.failed(now) for now in (at - 50 * MS, at - 25 * MS, at)] == [False, False, True]
    return breaker


def probes_until_closed(breaker: Breaker, start: int) -> int:
    """How many good probes it takes, the first at `start`; and that it is the last that closes."""
    for probe in range(1, 20):
        now = start + (probe - 1) * PROBE_EVERY
        assert breaker.due(now)
        if breaker.probed(now, ok=True):
            return probe
    raise AssertionError


def test_a_slow_batch_does_not_open_it() -> None:
    breaker = Breaker()
    assert not any(breaker.failed(SECOND) for _ in range(32))
    assert not breaker.open


def test_two_slow_batches_with_an_answer_between_do_not_open_it() -> None:
    breaker = Breaker()
    first = [breaker.failed(0) for _ in range(32)]
    breaker.succeeded()
    second = [breaker.failed(200 * MS) for _ in range(32)]
    assert not any(first + second)


@pytest.mark.parametrize(("last", "opens"), [(49_999, False), (50_000, True)])
def test_three_failures_in_a_row_open_it_when_50_ms_apart(last: int, opens: bool) -> None:
    breaker = Breaker()
    assert not breaker.failed(0)
    assert not breaker.failed(25 * MS)
    assert breaker.failed(last) is opens
    assert breaker.open is opens


def test_two_failures_are_too_few_however_far_apart() -> None:
    breaker = Breaker()
    assert not breaker.failed(0)
    assert not breaker.failed(60 * SECOND)
    assert breaker.failed(120 * SECOND)


def test_a_success_ends_the_run() -> None:
    breaker = Breaker()
    for now in range(0, 10 * SECOND, 100 * MS):
        breaker.failed(now)
        breaker.failed(now + 50 * MS)
        breaker.succeeded()
        breaker.succeeded()
        breaker.succeeded()
    assert not breaker.open


def test_half_of_the_last_second_opens_it() -> None:
    # A failure every 50 ms, a success between two: the 11th failure, at 500 ms, makes 11 of 21.
    breaker = Breaker()
    seen = []
    for at in range(11):
        seen.append(breaker.failed(at * 50 * MS))
        breaker.succeeded()
    assert seen == [False] * 10 + [True]


def test_a_third_of_the_last_second_does_not() -> None:
    breaker = Breaker()
    for at in range(400):
        assert not breaker.failed(at * 50 * MS)
        breaker.succeeded()
        breaker.succeeded()


def test_a_share_of_less_than_half_a_second_means_nothing() -> None:
    breaker = Breaker()
    for at in range(100):
        assert not breaker.failed(at * 4_999)  # the last at 494.9 ms
        breaker.succeeded()


def test_failures_older_than_a_second_do_not_count() -> None:
    # Every other one fails, but no more than ten results lie within a second.
    breaker = Breaker()
    for at in range(100):
        assert not breaker.failed(at * 200 * MS)
        breaker.succeeded()


def test_while_open_requests_change_nothing() -> None:
    breaker = opened()
    breaker.succeeded()
    assert not breaker.failed(10 * SECOND)
    assert breaker.open


def test_one_probe_every_100_ms_whoever_asks() -> None:
    breaker = opened(0)
    assert [breaker.due(now) for now in (0, 0, 99_999, 100_000, 100_000, 150_000, 199_999, 200_000)] == [
        True, False, False, True, False, False, False, True,
    ]  # fmt: skip


def test_a_closed_breaker_needs_no_probe() -> None:
    breaker = Breaker()
    assert not breaker.due(SECOND)
    assert not breaker.probed(SECOND, ok=True)


def test_three_good_probes_in_a_row_close_it() -> None:
    breaker = opened(0)
    probes = [True, True, False, True, True, True]
    assert [breaker.probed(now, ok=ok) for now, ok in enumerate(probes)] == [False] * 5 + [True]
    assert not breaker.open
    assert breaker.since == 5


def test_a_store_that_flaps_must_answer_longer_but_never_a_second() -> None:
    breaker = Breaker()
    now = SECOND
    took = []
    for _ in range(5):
        opened(now, breaker)
        took.append(probes_until_closed(breaker, now))
        now += SECOND + 50 * MS
    assert took == [3, 6, 8, 8, 8]
    assert max(took) * PROBE_EVERY < SECOND


def test_after_ten_calm_seconds_three_suffice_again() -> None:
    breaker = Breaker()
    opened(SECOND, breaker)
    assert probes_until_closed(breaker, SECOND) == 3  # closed at 1.2 s
    opened(11_200 * MS - 1, breaker)
    assert probes_until_closed(breaker, 11_200 * MS - 1) == 6  # closed at 11.7 s, less a µs
    opened(21_700 * MS - 1, breaker)
    assert probes_until_closed(breaker, 21_700 * MS - 1) == 3


def test_it_remembers_a_bounded_number_of_failures() -> None:
    breaker = Breaker()
    for _ in range(5000):
        breaker.failed(0)
        breaker.succeeded()
    assert len(breaker._failures) == 1024
