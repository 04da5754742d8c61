"""Evidence of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.history import Showing, backfill, dated, merged
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.linking import Linked

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = edges.EPOCH + 400 * DAY


class Dated:
    """A graph whose `link` takes a time, of one account."""

    def __init__(self) -> None:
        self.linked = Linked(1_000)
        self.calls: list[str] = []

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        assert created is None
        self.calls.append("link")
        self.linked.show(account, keys, NOW if at is None else at)

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        self.calls.append("unlink")
        self.linked.remove(account, keys, NOW)

    def edges(self) -> bytes:
        found = self.linked.held({}, self.linked.accounts(), 0, NOW)
        return found[0].edges if found else b""

    def seen(self) -> list[tuple[int, int, int]]:
        """Keys, with the days of the first and the last showing before now."""
        day = edges.day_of(NOW)
        return [(key, day - first // 24, edges.age(last, day)) for key, first, last in edges.unpack(self.edges())]


def run(graph: Dated, *shown: Showing) -> int:
    return asyncio.run(backfill(graph, "a:1", shown, graph.edges(), NOW))  # type: ignore[arg-type]


def ago(key: int, first: int, last: int) -> Showing:
    """Shown so many days ago."""
    return Showing(key, NOW - first * DAY, NOW - last * DAY)


def test_times_are_kept() -> None:
    graph = Dated()
    assert run(graph, ago(2, 60, 3), ago(1, 80, 80), ago(3, 60, 3)) == 3
    assert graph.seen() == [(1, 80, 80), (2, 60, 3), (3, 60, 3)]
    assert graph.calls == ["link"] * 3, "two beginnings, and one end that is another day"


def test_what_is_known_keeps_the_earlier_beginning_and_the_later_end() -> None:
    graph = Dated()
    graph.linked.show("a:1", [1, 2, 3], NOW - 2 * DAY)
    graph.linked.show("a:1", [1], NOW)
    assert run(graph, ago(1, 50, 40), ago(2, 1, 1), ago(3, 2, 2)) == 2
    assert graph.seen() == [(3, 2, 2), (1, 50, 0), (2, 2, 1)]
    assert run(graph, ago(1, 50, 40), ago(2, 1, 1), ago(3, 2, 2)) == 0, "to do it again changes nothing"
    assert graph.linked.show("a:2", [1], NOW)[0].holders == 2


def test_an_account_keeps_what_was_seen_latest() -> None:
    graph = Dated()
    graph.linked.show("a:1", range(60), NOW - 5 * DAY)
    assert run(graph, *[ago(100 + number, 9, 4 if number < 4 else 6) for number in range(10)]) == 4
    kept = [key for key, _, _ in graph.seen()]
    assert sorted(kept) == [*range(60), 100, 101, 102, 103]
    run(graph, ago(200, 3, 1))
    assert len(graph.seen()) == 64
    assert 200 in [key for key, _, _ in graph.seen()]
    assert 59 not in [key for key, _, _ in graph.seen()]


def test_merging() -> None:
    assert merged([Showing(1, 10, 20)], [Showing(1, 15, 30), Showing(2, 5, 6)]) == [Showing(2, 5, 6), Showing(1, 10, 30)]


def test_a_store_that_takes_no_time() -> None:
    class Undated:
        async def link(self, account: str, keys: Sequence[int], created: int | None = None) -> None:
            """Now."""

    with pytest.raises(StoreError, match=r"Undated.link\(\) takes no `at`"):
        dated(Undated())  # type: ignore[arg-type]
