"""Leases, against the rule in words: a slot is lent for 30 s, and free again on the microsecond."""

from __future__ import annotations

import random

from guardrail_mw.algorithms import lease

SECOND = 1_000_000


def test_a_lease_lasts_thirty_seconds_to_the_microsecond() -> None:
    held: dict[str, int] = {}
    assert lease.take(held, 0, "one", 1)
    assert not lease.take(held, 30 * SECOND - 1, "two", 1)
    assert lease.next_expiry(held, 30 * SECOND - 1) == 1
    assert lease.take(held, 30 * SECOND, "two", 1)
    assert held == {"two": 60 * SECOND}


def test_as_many_as_the_limit_and_no_more() -> None:
    held: dict[str, int] = {}
    assert [lease.take(held, 0, name, 3) for name in "abcd"] == [True, True, True, False]
    assert lease.count(held, 0) == 3


def test_a_refusal_lends_nothing() -> None:
    held = {"a": 40 * SECOND}
    assert not lease.take(held, 20 * SECOND, "b", 1)
    assert held == {"a": 40 * SECOND}


def test_a_holder_keeps_its_slot_and_takes_no_second() -> None:
    held: dict[str, int] = {}
    assert lease.take(held, 0, "a", 1)
    assert lease.take(held, 10 * SECOND, "a", 1)
    assert held == {"a": 40 * SECOND}


def test_the_first_to_expire_is_the_next() -> None:
    assert lease.next_expiry({"a": 50, "b": 20, "c": 70}, 15) == 5
    assert lease.next_expiry({"a": 10}, 15) == 0
    assert lease.next_expiry({}, 15) == 0


def test_counting_forgets_what_expired_and_changes_nothing() -> None:
    held = {"a": 10, "b": 11}
    assert lease.count(held, 10) == 1
    assert held == {"a": 10, "b": 11}
    lease.sweep(held, 10)
    assert held == {"b": 11}


def test_against_a_list_of_everything_that_was_lent() -> None:
    source = random.Random(11)
    for _ in range(200):
        limit, now = source.randint(1, 4), 0
        held: dict[str, int] = {}
        lent: list[tuple[str, int]] = []
        for number in range(40):
            now += source.choice([0, SECOND, 9 * SECOND, 31 * SECOND])
            alive = {name for name, until in lent if until > now}
            holder = source.choice([str(number), *sorted(alive)])
            expected = holder in alive or len(alive) < limit
            assert lease.take(held, now, holder, limit) == expected
            if expected:
                lent = [(name, until) for name, until in lent if name != holder] + [(holder, now + lease.TTL)]
            assert lease.count(held, now) == len({name for name, until in lent if until > now}) <= limit


def test_a_lease_that_expires_now_is_nobodys_wait() -> None:
    assert lease.next_expiry({"gone": 1000, "next": 1007, "last": 1010}, 1000) == 7
    assert lease.next_expiry({"gone": 1000}, 1000) == 0
