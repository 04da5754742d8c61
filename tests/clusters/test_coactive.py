"""Accounts that work at the same hours: who has such a value, which, since when; and whom it joins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest

from guardrail_mw.algorithms import activity, edges, keys
from guardrail_mw.clusters.coactive import coactive
from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.forming import form
from guardrail_mw.clusters.hours import tell
from guardrail_mw.clusters.reading import Read, Reader, table
from guardrail_mw.clusters.rebuild import Rebuilt, Rules, rebuild
from guardrail_mw.clusters.state import Given, State
from guardrail_mw.stores.base import Held

from .kit import CONTENT, DAY, KINDS, MONTH, Crowd, idle, key, named

HOUR = 3_600_000_000
TODAY = 500
"""Day since the epoch of edges."""
NOW = edges.EPOCH + (TODAY * DAY + 5) * HOUR


def value(*blocks: int, pace: int) -> int:
    """The key of three-hour blocks of the day and a step of pace, put together by hand."""
    return (15 << 57) + 8 * sum([1, 2, 4, 8, 16, 32, 64, 128][each] for each in blocks) + pace


def did(
    hours: Mapping[int, int], *, days: int = 10, requests: int | None = None, first: int = 0, last: int = 0
) -> Activities:
    """One account with requests by hour of the day."""
    done = idle(1)
    for hour, many in hours.items():
        done.hours[0, hour] = many
    done.requests[0] = sum(hours.values()) if requests is None else requests
    done.days[0], done.first[0], done.last[0] = days, first, last
    return done


def values(done: Activities, oldest: int = 0) -> list[int]:
    return [int(each) for each in coactive(done, oldest).key]


def test_blocks_that_have_a_twentieth_count() -> None:
    """Of 200 requests 10 make a block count and 9 do not; 20 a day are the third step: 9 to 26."""
    done = did({9: 60, 11: 40, 12: 81, 14: 0, 17: 9, 21: 4, 22: 4, 23: 2})
    assert values(done) == [value(3, 4, 7, pace=2)] == [15 << 57 | 0b10011000 << 3 | 2]


@pytest.mark.parametrize(
    ("requests", "days", "pace"),
    [
        (200, 67, 0),
        (201, 67, 1),
        (899, 100, 1),
        (900, 100, 2),
        (269, 10, 2),
        (270, 10, 3),
        (2_186 * 3, 3, 6),
        (2_187 * 3, 3, 7),
    ],
)
def test_the_pace_goes_up_in_threes(requests: int, days: int, pace: int) -> None:
    assert values(did({9: 100}, requests=requests, days=days)) == [value(3, pace=pace)]


@pytest.mark.parametrize(("requests", "days", "has"), [(100, 3, True), (99, 3, False), (100, 2, False)])
def test_an_account_needs_a_hundred_requests_and_three_days(requests: int, days: int, has: bool) -> None:
    assert len(values(did({9: requests}, days=days))) == has


def test_who_was_silent_for_as_long_as_evidence_counts_has_none() -> None:
    assert values(did({9: 100}, last=410 * DAY), oldest=410) == [value(3, pace=2)]
    assert values(did({9: 100}, last=410 * DAY - 1), oldest=410) == []


def test_hours_that_were_halved_are_shares_all_the_same() -> None:
    """A store halves all hours where one is full: 70,000 at nine are 35,000 then, and 5,000 later at noon 5,000 of 40,000."""
    done = did({9: 35_000, 12: 5_000}, requests=75_000, days=100)
    assert values(done) == [value(3, 4, pace=6)]


def test_who_has_done_nothing_has_no_hours() -> None:
    assert values(idle(3)) == []
    assert values(did({}, requests=100)) == []


def test_held_since_the_first_request() -> None:
    found = coactive(did({9: 100}, first=4_321, last=9_000), 0)
    assert (found.row.tolist(), found.first.tolist()) == ([0], [4_321])


# In words


@pytest.mark.parametrize(
    ("blocks", "pace", "said"),
    [
        ((3, 4, 5), 2, "works 09-18 UTC, 9 to 26 requests on an active day"),
        ((0,), 0, "works 00-03 UTC, under 3 requests on an active day"),
        ((7,), 1, "works 21-24 UTC, 3 to 8 requests on an active day"),
        ((7, 0), 3, "works 21-03 UTC, 27 to 80 requests on an active day"),
        ((0, 2, 4, 6), 6, "works 00-03, 06-09, 12-15 and 18-21 UTC, 729 to 2,186 requests on an active day"),
        (range(8), 7, "works at all hours, 2,187 or more requests on an active day"),
    ],
)
def test_a_value_can_be_told(blocks: Iterable[int], pace: int, said: str) -> None:
    assert tell(value(*blocks, pace=pace)) == said


@pytest.mark.parametrize("other", [keys.join(keys.PAYMENT, 255 << 3), keys.join(keys.COACTIVE, 1 << 56 | 24), 15 << 57 | 7])
def test_no_other_can(other: int) -> None:
    assert tell(other) == ""


# As it is read


def packed(hours: Mapping[int, int], days: Sequence[int]) -> bytes:
    """So many requests at these hours of each of the days."""
    done = activity.EMPTY
    for day in days:
        for hour, many in hours.items():
            done = activity.add(done, day * DAY + hour, many, 0)
    return done


def account(name: str, done: bytes, shown: Sequence[int] = (), at: int = NOW) -> Held:
    return Held(name, at, edges.note(b"", shown, at).edges, done, "", "")


def read(held: Iterable[Held], lookback: int = 90, *, hours: bool = True) -> Read:
    reader = Reader(NOW, lookback, hours=hours)
    reader.add(list(held))
    return reader.read()


OFFICE = {9: 10, 10: 10, 14: 20}
"""40 a day in the fourth and the fifth block: the step of 27 to 80."""
CARD, OTHER = key("payment", 1), key("payment", 2)


def test_it_is_read_with_what_accounts_showed() -> None:
    held = [account("a:b", packed(OFFICE, range(490, 500)), [CARD]), account("a:a", packed(OFFICE, range(498, 500)), [CARD])]
    found = read(held).held
    rows = list(zip(found.owner.tolist(), found.key.tolist(), found.first.tolist(), strict=True))
    now = TODAY * DAY + 5
    assert rows == [(0, CARD, now), (1, CARD, now), (1, value(3, 4, pace=3), 490 * DAY + 9)]
    assert read(held, hours=False).held.key.tolist() == [CARD, CARD]


@pytest.mark.parametrize(("lookback", "many"), [(10, 1), (9, 0)])
def test_it_goes_as_evidence_does_that_is_not_seen_again(lookback: int, many: int) -> None:
    assert len(read([account("a:a", packed(OFFICE, range(480, 491)))], lookback).held.key) == many


def test_an_account_that_is_taken_for_new_stays_so() -> None:
    """Since when it is there is what it was told, or when it was first seen: hours say nothing of it."""
    found = read([account("a:a", packed(OFFICE, range(490, 500)), [CARD])]).held
    assert found.since.tolist() == [TODAY * DAY + 5]


# Whom it joins


def joined(crowd: Crowd, now: int = 2_100) -> list[list[str]]:
    graph = crowd.graph()
    return named(graph, form(graph, CONTENT, now=now, age=MONTH, new=now - 45 * DAY).cluster)


HOURS = value(3, 4, 5, pace=3)


def test_a_card_and_hours_in_common_tie_and_hours_alone_do_not() -> None:
    """124 of 2,124 have the hours, 12 on each of two cards: 0.7 are expected, which is 22.8 nats. The other hundred stay free."""
    crowd = Crowd(2_000)
    one = crowd.group("one", 12, 2_000, [CARD, HOURS])
    two = crowd.group("two", 12, 2_000, [OTHER, HOURS])
    crowd.group("zz", 100, 2_000, [HOURS])
    assert joined(crowd) == [one, two]


def test_office_hours_that_many_keep_tie_nobody() -> None:
    """424 of 2,024 have them: on a card of 12 accounts 2.5 are expected, and twelve are 9.3 nats above: 15 are needed."""
    crowd = Crowd(1_600)
    crowd.group("one", 12, 2_000, [CARD, HOURS])
    crowd.group("two", 12, 2_000, [OTHER, HOURS])
    crowd.group("zz", 400, 2_000, [HOURS])
    assert joined(crowd) == []


def test_however_rare_the_hours_are_they_join_nobody_by_themselves() -> None:
    """Everybody who has them is of one cluster but five, who share nothing else: 9 nats, and 12 are needed, in two families."""
    crowd = Crowd(2_000)
    camp = crowd.group("camp", 30, 2_000, [CARD, key("system", 1), HOURS])
    crowd.group("zz", 5, 2_050, [HOURS])
    assert joined(crowd) == [camp]


@pytest.mark.parametrize(
    ("since", "worked", "joins"),
    [(2_050, 2_050, True), (0, 0, False), (0, 2_050, True)],
    ids=["new", "established, at work before", "established, at work since"],
)
def test_hours_that_were_kept_before_draw_nobody_in(since: int, worked: int, joins: bool) -> None:
    """The cluster began at 2,000. Somebody comes to its card then, or its card is planted on him; he works when it does."""
    crowd = Crowd(2_000)
    camp = crowd.group("camp", 30, 2_000, [CARD, key("system", 1), HOURS])
    crowd.add("a:zz", since, {CARD: 2_050, HOURS: worked})
    assert joined(crowd) == [[*camp, "a:zz"] if joins else camp]


def test_who_spreads_his_hours_loses_them_and_nothing_else() -> None:
    """Thirty accounts of two cards and one prompt, each at hours of its own: tied by card and prompt as before."""
    crowd = Crowd(2_000)
    for number in range(30):
        hours = value(*[block for block in range(8) if (number + 1) >> block & 1], pace=3)
        crowd.add(f"a:camp{number:02}", 2_000, [CARD, key("system", 1), hours])
    assert [len(each) for each in joined(crowd)] == [30]


def rebuilt(accounts: list[Held], *, hours: bool = True) -> Rebuilt:
    found = read(accounts, hours=hours)
    return rebuild(found.held, found.activity, State(), Given(), Rules(table(KINDS)), NOW)


def campaign(schedule: Mapping[int, int] = OFFICE) -> list[Held]:
    """24 accounts on one card that work on the same ten days; a thousand others with a card each, of 36 schedules."""
    found = [account(f"a:camp{number:02}", packed(schedule, range(490, 500)), [CARD]) for number in range(24)]
    for number in range(1_000):
        its = {each % 24: 20 for each in (number % 8 * 3, number // 8 % 8 * 3)}
        found.append(account(f"a:~{number:04}", packed(its, range(490, 500)), [key("payment", 100 + number)]))
    return found


def test_a_rebuild_finds_who_works_together() -> None:
    """A card alone ties nobody; with the hours it does, and the cluster says so. 32 others keep them: 1.3 are expected."""
    assert rebuilt(campaign(), hours=False).state.clusters == ()
    (found,) = rebuilt(campaign()).state.clusters
    assert found.members == tuple(f"a:camp{number:02}" for number in range(24))
    assert found.families == ("payment", "timing")


def test_no_record_of_hours_is_written() -> None:
    """A record is read by who shows the value with a request, which nobody does."""
    assert set(rebuilt(campaign()).marks) == {CARD}


def test_hours_do_not_hang_on_who_else_is_read() -> None:
    """So an export in parts has what a rebuild reads at once."""
    every = campaign()
    whole, parts = read(every).held, [read(every[begin : begin + 7]).held for begin in range(0, len(every), 7)]

    def rows(held: object) -> set[tuple[str, int, int]]:
        names = np.array(held.accounts)[held.owner]  # type: ignore[attr-defined]
        return set(zip(names.tolist(), held.key.tolist(), held.first.tolist(), strict=True))  # type: ignore[attr-defined]

    assert rows(whole) == set().union(*[rows(each) for each in parts])
