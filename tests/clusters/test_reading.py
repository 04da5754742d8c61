"""From what a store has packed to columns."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.algorithms import activity, edges, keys
from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.kinds import Kind, Kinds
from guardrail_mw.clusters.reading import FAMILIES, FAMILY, Read, Reader, table
from guardrail_mw.stores.base import Held

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = edges.EPOCH + 500 * DAY + 5 * HOUR
ONE, OTHER = keys.join(keys.PAYMENT, 1), keys.join(63, (1 << 57) - 1)


def held(account: str, shown: bytes = b"", done: bytes = activity.EMPTY, **more: object) -> Held:
    return Held(account, **{"since": NOW, "edges": shown, "activity": done, "cluster": "", "verdict": "", **more})  # type: ignore[arg-type]


def read(*batches: list[Held], lookback: int = 90, now: int = NOW) -> Read:
    reader = Reader(now, lookback)
    for batch in batches:
        reader.add(batch)
    return reader.read()


def rows(found: Read) -> list[tuple[str, int, int]]:
    here = found.held
    columns = zip(here.owner.tolist(), here.key.tolist(), here.first.tolist(), strict=True)
    return [(here.accounts[owner], key, first) for owner, key, first in columns]


def test_edges_as_they_are_packed() -> None:
    shown = edges.note(b"", [ONE, OTHER], NOW - 3 * DAY).edges
    later = edges.note(shown, [ONE, keys.join(8, 7)], NOW).edges
    hour = 500 * 24 + 5
    assert rows(read([held("a:b", later)], [held("a:a", shown), held("a:c")])) == [
        ("a:a", ONE, hour - 72),
        ("a:a", OTHER, hour - 72),
        ("a:b", ONE, hour - 72),
        ("a:b", OTHER, hour - 72),
        ("a:b", keys.join(8, 7), hour),
    ]


@pytest.mark.parametrize("lookback", [1, 30, 90])
def test_what_was_not_seen_for_long_is_left_out(lookback: int) -> None:
    """It still says since when an account is known."""
    old = edges.note(b"", [ONE], NOW - (lookback + 1) * DAY).edges
    both = edges.note(old, [OTHER], NOW - lookback * DAY).edges
    found = read([held("a:a", both, since=0)], lookback=lookback)
    assert [key for _, key, _ in rows(found)] == [OTHER]
    assert found.held.since.tolist() == [(500 - lookback - 1) * 24 + 5]


def test_days_go_round() -> None:
    """Last seen on day 511, which is 255, and read on day 512, which is 0."""
    shown = edges.note(b"", [ONE], edges.EPOCH + 511 * DAY).edges
    assert shown[-1] == 255
    for day, count in ((511, 1), (512, 1), (601, 1), (602, 0)):
        assert len(rows(read([held("a:a", shown)], now=edges.EPOCH + day * DAY))) == count


def test_what_is_seen_while_it_is_read_counts() -> None:
    """Reading began a second before midnight; a store's clock may also run ahead a little."""
    now = edges.EPOCH + 500 * DAY - 1_000_000
    assert len(rows(read([held("a:a", edges.note(b"", [ONE], now + 2_000_000).edges)], now=now))) == 1


def test_since_is_when_it_was_opened_else_first_seen_else_first_shown() -> None:
    shown = edges.note(b"", [ONE], NOW - 10 * DAY).edges
    shown = edges.note(shown, [OTHER], NOW).edges
    hour = 500 * 24 + 5
    found = read([
        held("a:a", shown, created=NOW - 700 * DAY, since=NOW - DAY),
        held("a:b", shown, since=NOW - DAY),
        held("a:c", shown, since=0),
        held("a:d", since=0),
    ])  # fmt: skip
    assert found.held.since[:3].tolist() == [hour - 700 * 24, hour - 24, hour - 240]
    assert found.held.since[3] > hour
    begun = read([held("a:a", since=NOW + HOUR - 1 - 5 * HOUR), held("a:b", since=NOW - 5 * HOUR - 1)]).held.since
    assert begun.tolist() == [500 * 24, 500 * 24 - 1]


def test_standings_of_who_is_in_a_cluster() -> None:
    found = read([held("a:a", cluster="c" * 12, verdict="suspect"), held("a:b"), held("a:c", cluster="d" * 12)])
    assert found.standings == {"a:a": ("c" * 12, "suspect", "", ""), "a:c": ("d" * 12, "", "", "")}


def done(*hours: tuple[int, int], tokens: int = 0, fresh: int = 0, windowed: int = 0) -> bytes:
    packed = activity.EMPTY
    for hour, requests in hours:
        packed = activity.add(packed, hour, requests, tokens, fresh, windowed)
    return packed


def did(packed: bytes, now: int = NOW) -> Activities:
    return read([held("a:a", done=packed)], now=now).activity


TODAY = 500 * 24


def test_activity_as_it_is_packed() -> None:
    found = did(done((TODAY - 48, 70_000), (TODAY + 3, 5), tokens=2**40 + 3, fresh=70_001, windowed=80_002))
    assert (found.requests.tolist(), found.tokens.tolist()) == ([70_005], [2**41 + 6])
    assert (found.first.tolist(), found.last.tolist(), found.days.tolist()) == ([TODAY - 48], [TODAY + 3], [2])
    assert (found.windowed.tolist(), found.fresh.tolist()) == ([160_004], [140_002])
    assert found.hours[0].tolist() == [35_000, 0, 0, 5, *[0] * 20]
    assert found.recent.tolist() == [70_005]


@given(
    st.lists(
        st.tuples(
            st.integers(TODAY - 20 * 24, TODAY + 23),
            *[st.integers(low, high) for low, high in ((1, 10**6), (0, 10**9), (0, 9), (9, 99))],
        ),
        max_size=12,
    )
)
def test_as_the_packing_reads_itself(noted: list[tuple[int, int, int, int, int]]) -> None:
    packed = activity.EMPTY
    for each in noted:
        packed = activity.add(packed, *each)
    found, summary = did(packed), activity.unpack(packed)
    for name in ("requests", "tokens", "first", "last", "days", "windowed", "fresh"):
        assert getattr(found, name).tolist() == [getattr(summary, name)], name
    assert found.hours.tolist() == [list(summary.hours)]
    newest = summary.last // 24
    expected = [many for back, many in enumerate(reversed(summary.recent)) if newest - back > 500 - 7]
    assert found.recent.tolist() == [sum(expected)]


def test_recent_is_the_last_seven_days() -> None:
    daily = done(*[(TODAY - 24 * back, 10 + back) for back in range(7, -1, -1)])
    assert did(daily).recent.tolist() == [sum(range(10, 17))]
    assert did(daily, NOW + DAY).recent.tolist() == [sum(range(10, 16))]
    assert did(daily, NOW + 6 * DAY).recent.tolist() == [10]
    assert did(daily, NOW + 7 * DAY).recent.tolist() == [0]


def test_one_who_is_silent_has_done_nothing_lately() -> None:
    found = did(done((TODAY - 79 * 24, 1_000)))
    assert (found.requests.tolist(), found.recent.tolist()) == ([1_000], [0])


def test_the_order_of_reading_does_not_matter() -> None:
    chance = random.Random(3)
    every = []
    for many in range(1, 200):
        shown = edges.note(b"", [keys.join(12, chance.randrange(9))], NOW).edges
        every.append(held(f"a:{chance.getrandbits(60):015x}", shown, done((TODAY, many))))
    one = read(every)
    chance.shuffle(every)
    other = read(every[:50], [], every[50:])
    assert one.held.accounts == other.held.accounts == sorted(one.held.accounts)
    assert rows(one) == rows(other)
    assert np.array_equal(one.activity.requests, other.activity.requests)


def test_nobody() -> None:
    found = read()
    assert (list(found.held.accounts), rows(found), found.standings) == ([], [], {})
    assert (found.held.since.tolist(), found.activity.requests.tolist()) == ([], [])


# Kinds


def test_kinds_by_code() -> None:
    found = table(Kinds([Kind(40, "badge", "reputation", bound=True)]))
    assert len(found.family) == len(found.bound) == len(found.below) == 64
    assert [code for code in range(64) if found.family[code] >= 0] == [*range(1, 16), 40]
    assert [code for code in range(64) if found.bound[code]] == [1, 2, 3, 6, 8, 40]
    assert {code: int(found.below[code]) for code in range(64) if found.below[code]} == {8: 20}
    assert found.family[40] == found.family[3] == FAMILY["reputation"]
    assert found.family[11] == found.family[12] == FAMILY["client"]
    assert found.wide == (8, 9)


def test_the_families_that_rebuilds_name() -> None:
    assert [list(FAMILY)[number] for number in FAMILIES] == ["payment", "network", "content", "client"]
    assert sorted(FAMILY.values()) == list(range(len(FAMILY)))
    assert len(FAMILY) <= 31  # they are bits of 32


def test_of_shingles_the_sixteen_lowest_of_an_account_count() -> None:
    """Two processes noted twenty between them; the other account has one, which the first has as its twentieth."""
    shingles = [keys.SHINGLE << keys.BITS | digest for digest in range(20, 0, -1)]
    other = [keys.PAYMENT << keys.BITS | 5]
    first, second = (edges.note(b"", shown, NOW).edges for shown in ([*shingles, *other], shingles[:1]))
    found = read([held("a:1", first), held("a:2", second)]).held
    assert found.key[found.owner == 0].tolist() == [*shingles[4:], *other]
    assert found.key[found.owner == 1].tolist() == shingles[:1]
