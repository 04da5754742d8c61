"""What accounts have shown before anybody looked: evidence with the times at which it was shown."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.algorithms import edges
from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrail_mw.stores.base import Graph

__all__ = ["Showing", "backfill", "dated", "merged"]

_HOUR: Final = 3_600_000_000


class Showing(NamedTuple):
    """That an account showed a value."""

    key: int
    since: int
    """µs when it first did, and when it last did."""
    last: int


def dated(graph: Graph) -> Any:
    """The store's `link`, if it takes a time.

    Raises:
        StoreError: it does not.
    """
    if "at" not in signature(graph.link).parameters:
        raise StoreError("This store cannot note evidence of the past.", f"{type(graph).__name__}.link() takes no `at`.")
    return graph.link


async def backfill(graph: Graph, account: str, shown: Iterable[Showing], known: bytes, now: int) -> int:
    """Note evidence of the past. What is known keeps the earlier beginning and the later end. Returns how many edges changed.

    Not one step: a value that is known already is taken away for a moment, and whoever dies in between leaves it away; to do it
    again puts it right.

    Args:
        graph: where evidence lies.
        account: its home.
        shown: what is to be noted.
        known: the account's edges as they are kept.
        now: µs.

    Raises:
        StoreError: the store failed, or cannot.
    """
    link = dated(graph)
    before = _showings(known, now)
    after = merged(before, shown)
    old = {each.key: each for each in before}
    changed = [each for each in after if _coarse(each) != _coarse(old.get(each.key))]
    gone = old.keys() - {each.key for each in after}
    away = [each.key for each in changed if each.key in old] + sorted(gone)
    if away:
        await graph.unlink(account, away)
    for when, keys in _groups((edges.hour_of(each.since), each.since, each.key) for each in changed):
        await link(account, keys, at=when)
    late = [each for each in changed if edges.day_of(each.last) != edges.day_of(each.since)]
    for when, keys in _groups((edges.day_of(each.last), each.last, each.key) for each in late):
        await link(account, keys, at=when)
    return len(changed)


def merged(known: Iterable[Showing], more: Iterable[Showing]) -> list[Showing]:
    """All of it, each value once, the first shown first; of more than an account may have those that were last seen latest."""
    found: dict[int, Showing] = {}
    for each in (*known, *more):
        old = found.get(each.key, each)
        found[each.key] = Showing(each.key, min(old.since, each.since), max(old.last, each.last))
    latest = sorted(found.values(), key=lambda each: (-each.last, each.key))[: edges.MOST]
    return sorted(latest, key=lambda each: (each.since, each.key))


def _showings(known: bytes, now: int) -> list[Showing]:
    today = edges.day_of(now)
    return [
        Showing(
            key, edges.EPOCH + first * _HOUR, max(first * _HOUR, (today - edges.age(last, today)) * 24 * _HOUR) + edges.EPOCH
        )
        for key, first, last in edges.unpack(known)
    ]


def _coarse(showing: Showing | None) -> tuple[int, int] | None:
    return None if showing is None else (edges.hour_of(showing.since), edges.day_of(showing.last))


def _groups(each: Iterable[tuple[int, int, int]]) -> list[tuple[int, Sequence[int]]]:
    """Keys by the hour or the day, the earliest first, each with a time in it."""
    found: dict[int, tuple[int, list[int]]] = {}
    for part, when, key in sorted(each):
        found.setdefault(part, (when, []))[1].append(key)
    return list(found.values())
