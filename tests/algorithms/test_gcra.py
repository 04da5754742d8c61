"""Token buckets: figures by hand, exactness at any polling rate, and the brute-force oracle."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from guardrail_mw.algorithms import gcra
from guardrail_mw.algorithms.gcra import NEW, Bucket, Mark
from guardrail_mw.testing.oracle import Rule, Run, random_run

SECOND = 1_000_000
START = 1_767_225_600 * SECOND

# One unit a second, 100 deep: a unit is a second of TAT.
RATE = (1, SECOND)


class WithoutCeiling(Rule):
    """A renewal forgets what it found: each reservation is bounded as if it were alone."""

    def renew(self, bucket: gcra.Bucket, now: int, mark: gcra.Mark, amount: int) -> gcra.Mark:
        """See `gcra.renew`."""
        return super().renew(bucket, now, mark, amount)._replace(ceiling=2**60)


class WithoutRunningSum(Rule):
    """min(unused, max(0, T - now)), and nothing is remembered of what came back meanwhile."""

    def _bound(self, now: int, mark: gcra.Mark) -> tuple[int, int]:
        return max((0, 0), min((mark.unused, mark.unused_rem), (mark.tat - now, mark.tat_rem)))

    def refund(self, bucket: gcra.Bucket, now: int, mark: gcra.Mark, cost: int, amount: int, period: int) -> gcra.Bucket:
        """See `gcra.refund`."""
        back, back_rem = min(gcra.span(cost, amount, period), self._bound(now, mark))
        tat = divmod((bucket.tat - back) * amount + bucket.tat_rem - back_rem, amount)
        return gcra.Bucket(*tat, 0, 0)

    def renew(self, bucket: gcra.Bucket, now: int, mark: gcra.Mark, amount: int) -> gcra.Mark:
        """See `gcra.renew`."""
        return gcra.Mark(*bucket, *self._bound(now, mark), 2**60, 0)


def taken(bucket: Bucket, now: int, cost: int, burst: int = 100) -> tuple[Bucket, Mark]:
    """`cost` units taken at one a second, and the mark."""
    bucket, admitted = gcra.take(bucket, now, cost, *RATE, burst)
    assert admitted
    return bucket, gcra.mark(bucket, cost, *RATE)


def tat(bucket: Bucket) -> float:
    return (bucket.tat - START) / SECOND


def test_a_span_is_whole_microseconds_and_a_remainder() -> None:
    # 7 a second: a unit spans 1,000,000 / 7 = 142,857 + 1/7 µs; three of them 428,571 + 3/7.
    assert gcra.span(1, 7, SECOND) == (142_857, 1)
    assert gcra.span(3, 7, SECOND) == (428_571, 3)
    assert gcra.span(7, 7, SECOND) == (SECOND, 0)


def test_a_new_bucket_is_full_and_empties_unit_by_unit() -> None:
    bucket = NEW
    for left in (9, 8, 7):
        bucket, admitted = gcra.take(bucket, START, 1, 7, SECOND, 10)
        assert admitted
        assert gcra.remaining(bucket, START, 7, SECOND, 10) == left
    assert bucket == Bucket(START + 428_571, 3, 0, 0)
    assert gcra.reset(bucket, START) == 428_572  # rounded up


def test_a_refusal_leaves_the_bucket_and_says_when() -> None:
    bucket, _ = taken(NEW, START, 100)
    after, admitted = gcra.take(bucket, START + 400_000, 1, *RATE, 100)
    assert not admitted
    assert after is bucket
    assert gcra.wait(bucket, START + 400_000, 1, *RATE, 100) == 600_000
    assert not gcra.take(bucket, START + 999_999, 1, *RATE, 100)[1]
    assert gcra.take(bucket, START + SECOND, 1, *RATE, 100)[1]


def test_a_wait_is_rounded_up_and_long_enough() -> None:
    bucket, admitted = gcra.take(NEW, START, 2, 7, SECOND, 2)
    assert admitted
    wait = gcra.wait(bucket, START, 1, 7, SECOND, 2)
    assert wait == 142_858
    assert not gcra.take(bucket, START + wait - 1, 1, 7, SECOND, 2)[1]
    assert gcra.take(bucket, START + wait, 1, 7, SECOND, 2)[1]


def test_what_is_owed_is_owed_in_full_and_nothing_remains() -> None:
    bucket, _ = taken(NEW, START, 100)
    bucket = gcra.owe(bucket, START, 50, *RATE)
    assert tat(bucket) == 150
    assert gcra.remaining(bucket, START, *RATE, 100) == 0
    assert gcra.wait(bucket, START, 1, *RATE, 100) == 51 * SECOND


def test_a_full_bucket_owes_from_now() -> None:
    assert gcra.owe(NEW, START, 3, *RATE) == Bucket(START + 3 * SECOND, 0, 0, 0)


def test_a_debt_ends_at_the_largest() -> None:
    bucket = gcra.owe(NEW, START, 2**60, *RATE)
    assert START + gcra.LARGEST - SECOND < bucket.tat <= START + gcra.LARGEST
    assert gcra.owe(bucket, START, 2**60, *RATE) == Bucket(START + gcra.LARGEST, 0, 0, 0)


def test_a_refund_gives_back_what_was_unused() -> None:
    bucket, mark = taken(NEW, START, 60)
    bucket = gcra.refund(bucket, START, mark, 25, *RATE)
    assert bucket == Bucket(START + 35 * SECOND, 0, 25 * SECOND, 0)


def test_a_refund_gives_back_no_more_than_time_has_left_of_it() -> None:
    # 60 reserved at 0; at 45 the bucket has regained 45 by itself: of 30 unused only 15 can come back.
    bucket, mark = taken(NEW, START, 60)
    bucket = gcra.refund(bucket, START + 45 * SECOND, mark, 30, *RATE)
    assert tat(bucket) == 45
    bucket, mark = taken(NEW, START, 60)
    assert gcra.refund(bucket, START + 60 * SECOND, mark, 60, *RATE) == bucket


def test_remainders_come_back_whole() -> None:
    bucket, _ = gcra.take(NEW, START, 1, 7, SECOND, 7)
    kept = bucket
    bucket, _ = gcra.take(bucket, START, 3, 7, SECOND, 7)
    bucket = gcra.refund(bucket, START, gcra.mark(bucket, 3, 7, SECOND), 3, 7, SECOND)
    assert (bucket.tat, bucket.tat_rem) == (kept.tat, kept.tat_rem)


def test_a_refund_to_a_bucket_that_was_emptied_meanwhile_gives_nothing() -> None:
    bucket, first = taken(NEW, START, 40)
    bucket, second = taken(gcra.refund(bucket, START, first, 40, *RATE), START, 40)
    assert gcra.refund(NEW, START, second, 40, *RATE) == NEW
    anew, _ = taken(NEW, START, 10)
    assert gcra.refund(anew, START, second, 40, *RATE) == anew


def test_refunds_since_the_charge_are_subtracted() -> None:
    # A 50 (T 50), B 50 (T 100); at 20 B's 50 come back (TAT 50); of A's, T - now - 50 < 0: nothing.
    bucket, a = taken(NEW, START, 50)
    bucket, b = taken(bucket, START, 50)
    now = START + 20 * SECOND
    bucket = gcra.refund(bucket, now, b, 50, *RATE)
    assert tat(bucket) == 50
    assert gcra.refund(bucket, now, a, 50, *RATE) == bucket


def test_a_renewal_cuts_to_what_may_come_back_and_moves_t_on() -> None:
    bucket, a = taken(NEW, START, 15)
    bucket, _ = taken(bucket, START, 60)
    a = gcra.renew(bucket, START + 10 * SECOND, a, 1)
    assert a == Mark(START + 75 * SECOND, 0, 0, 0, 5 * SECOND, 0, 5 * SECOND, 0)
    # By then 15 is past; without the renewal nothing would come back.
    bucket = gcra.refund(bucket, START + 40 * SECOND, a, 15, *RATE)
    assert tat(bucket) == 70


def test_open_reservations_are_bounded_together() -> None:
    # 0: A and B reserve 50 each. 10: both are renewed. 20: C uses 20; both are renewed, then give everything back. C alone
    # would stand at 40; bounded one by one they would bring the bucket down to 30, and 110 would have passed at second 20.
    bucket, a = taken(NEW, START, 50)
    bucket, b = taken(bucket, START, 50)
    ten, twenty = START + 10 * SECOND, START + 20 * SECOND
    a, b = gcra.renew(bucket, ten, a, 1), gcra.renew(bucket, ten, b, 1)
    bucket, _ = taken(bucket, twenty, 20)
    a, b = gcra.renew(bucket, twenty, a, 1), gcra.renew(bucket, twenty, b, 1)
    bucket = gcra.refund(bucket, twenty, a, 50, *RATE)
    bucket = gcra.refund(bucket, twenty, b, 50, *RATE)
    assert tat(bucket) == 40


@pytest.mark.parametrize(
    ("amount", "period", "burst", "gaps"),
    [
        (7, SECOND, 7, (1, 3, 977, 14_285)),
        (7, SECOND, 2, (1, 2, 142_857)),
        (3, 7 * SECOND, 5, (999_999, 1_000_003)),
        (1, 7_777_777, 3, (1, 15_555_553)),
        (999_983, 60 * SECOND, 11, (1, 7, 13)),
    ],
)
def test_polling_at_odd_microseconds_admits_burst_and_floor_of_rate_times_time(
    amount: int, period: int, burst: int, gaps: tuple[int, ...]
) -> None:
    """Nothing is lost or won however often it is asked, as long as the bucket never fills meanwhile."""
    source = random.Random(4)
    bucket, admitted, now = NEW, 0, START
    for _ in range(20_000):
        while True:
            bucket, ok = gcra.take(bucket, now, 1, amount, period, burst)
            if not ok:
                break
            admitted += 1
        assert admitted == burst + (now - START) * amount // period
        now += source.choice(gaps)


def test_a_bucket_one_deep_admits_at_the_first_whole_microsecond() -> None:
    # It is full whenever it admits, so the fraction of a µs that passed is not credited: 142,858 µs apart, never less.
    times: list[int] = []
    bucket, now = NEW, START
    while len(times) < 4:
        bucket, ok = gcra.take(bucket, now, 1, 7, SECOND, 1)
        if ok:
            times.append(now - START)
        now += gcra.wait(bucket, now, 1, 7, SECOND, 1)
    assert times == [0, 142_858, 285_716, 428_574]


def test_near_the_largest_numbers_are_exact() -> None:
    amount, period = 1_000_003, 4_294_967_291  # primes
    burst = gcra.LARGEST // period
    bucket, admitted = gcra.take(NEW, START, burst, amount, period, burst)
    assert admitted
    assert bucket.tat + Fraction(bucket.tat_rem, amount) == START + Fraction(burst * period, amount)
    assert gcra.remaining(bucket, START, amount, period, burst) == 0
    assert not gcra.take(bucket, START, 1, amount, period, burst)[1]
    wait = gcra.wait(bucket, START, 1, amount, period, burst)
    assert gcra.take(bucket, START + wait, 1, amount, period, burst)[1]
    assert not gcra.take(bucket, START + wait - 1, 1, amount, period, burst)[1]


def kept_promise(run: Run) -> None:
    worst = run.worst()
    assert worst <= 0, f"{worst} units too many: {run.requests}"


@pytest.mark.parametrize("block", range(4))
def test_no_interval_serves_more_than_burst_and_rate_and_debts_are_kept(block: int) -> None:
    for seed in range(block * 1000, block * 1000 + 1000):
        kept_promise(random_run(seed, Rule(), check_tat=True))


@pytest.mark.slow
def test_forty_thousand_random_runs_keep_the_promise() -> None:
    for seed in range(100_000, 140_000):
        kept_promise(random_run(seed, Rule(), check_tat=True))


@pytest.mark.parametrize(("rule", "seed"), [(WithoutRunningSum(), 91), (WithoutCeiling(), 10_460)])
def test_the_oracle_finds_a_rule_that_gives_too_much(rule: Rule, seed: int) -> None:
    assert random_run(seed, rule).worst() > 0
    kept_promise(random_run(seed, Rule()))


def test_random_runs_admit_refund_and_owe() -> None:
    """The runs would prove nothing if nothing happened in them."""
    runs = [random_run(seed, Rule()) for seed in range(300)]
    requests = [request for run in runs for request in run.requests]
    assert len(requests) > 1500
    assert sum(request.settled is not None and request.used < request.reserved for request in requests) > 400
    assert sum(request.settled is not None and request.used > request.reserved for request in requests) > 100
    assert sum(run.bucket.refunded > 0 for run in runs) > 150
    assert max(run.worst() for run in runs) == 0  # the bound is met, not only kept


def test_remainders_make_a_whole_microsecond() -> None:
    # 3/7 and 4/7: a second to the µs. Then 6/7 + 3/7 = 1 + 2/7, and less 3/7 again 6/7.
    bucket, _ = gcra.take(gcra.take(NEW, START, 3, 7, SECOND, 20)[0], START, 4, 7, SECOND, 20)
    assert bucket == Bucket(START + SECOND, 0, 0, 0)
    bucket, _ = gcra.take(bucket, START, 6, 7, SECOND, 20)
    assert bucket == Bucket(START + 1_857_142, 6, 0, 0)
    more, _ = gcra.take(bucket, START, 3, 7, SECOND, 20)
    assert more == Bucket(START + 2_285_714, 2, 0, 0)
    back = gcra.refund(more, START, gcra.mark(more, 3, 7, SECOND), 3, 7, SECOND)
    assert back == Bucket(START + 1_857_142, 6, 428_571, 3)


def test_a_remainder_counts_to_the_last_microsecond() -> None:
    # A unit of 7 a second is regained after 142,857 1/7 µs. At 142,857 a seventh of a µs is still owed.
    bucket, _ = gcra.take(NEW, START, 1, 7, SECOND, 10)
    assert gcra.reset(bucket, START) == 142_858
    now = START + 142_857
    assert gcra.take(bucket, now, 1, 7, SECOND, 10)[0] == Bucket(START + 285_714, 2, 0, 0)
    assert gcra.owe(bucket, now, 1, 7, SECOND) == Bucket(START + 285_714, 2, 0, 0)
    # Two units taken at 0: at 142,857 they are 1 + 1/10^6 units, so of ten not quite nine are left; a µs later nine are.
    bucket, _ = gcra.take(NEW, START, 2, 7, SECOND, 10)
    assert gcra.remaining(bucket, now, 7, SECOND, 10) == 8
    assert gcra.remaining(bucket, now + 1, 7, SECOND, 10) == 9


def test_what_can_be_taken_now_is_not_waited_for() -> None:
    assert gcra.wait(NEW, START, 1, *RATE, 100) == 0
    bucket, _ = taken(NEW, START, 99)
    assert gcra.wait(bucket, START, 1, *RATE, 100) == 0


def test_a_debt_of_fifty_years_is_kept_and_the_largest_is_whole_units() -> None:
    years = 50 * 365 * 86_400
    assert gcra.owe(NEW, START, years, *RATE) == Bucket(START + years * SECOND, 0, 0, 0)
    # 2^52 is 1 more than a multiple of 3: of units of 3 µs, so many as fit.
    assert gcra.owe(NEW, START, 2**60, 1, 3) == Bucket(START + 2**52 - 1, 0, 0, 0)


def test_no_more_comes_back_than_was_charged() -> None:
    bucket, _ = taken(NEW, START, 60)
    bucket, mark = taken(bucket, START, 25)
    assert gcra.refund(bucket, START, mark, 60, *RATE) == Bucket(START + 60 * SECOND, 0, 25 * SECOND, 0)


def test_the_sum_of_refunds_begins_anew_where_it_would_outgrow_its_field() -> None:
    before = Bucket(START, 0, gcra.LARGEST - 10 * SECOND, 0)
    bucket, mark = taken(before, START, 30)
    assert gcra.refund(bucket, START, mark, 10, *RATE) == Bucket(START + 20 * SECOND, 0, gcra.LARGEST, 0)
    anew = gcra.refund(bucket, START, mark, 11, *RATE)
    assert anew == Bucket(START + 19 * SECOND, 0, 0, 0)
    assert gcra.refund(anew, START, mark, 5, *RATE) == anew, "whoever is open gets nothing back"
