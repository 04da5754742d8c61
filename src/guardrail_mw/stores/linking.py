"""The memory store's graph: what accounts have shown and done, who holds which value. Everything is done under the store's lock.

Packed as in Redis, for there may be millions: about 700 bytes an account with 20 values, 16 of which nobody else holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from guardrail_mw.algorithms import activity, edges, values
from guardrail_mw.stores.base import Activity, Held, Record
from guardrail_mw.stores.remembering import Known

__all__ = ["Linked", "exported", "parted"]

_PART = 1000
_BUCKET = 0xFFFF
"""What of a key names its bucket."""
_NOTHING: Final = dict[str, str]().get
_T = TypeVar("_T")
_tuple = tuple.__new__


class Linked:
    """The graph.

    Args:
        most: accounts that are kept; beyond it the one that showed something longest ago makes room.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._accounts: dict[str, bytes] = {}
        self._buckets: dict[int, values.Bucket] = {}
        self._records: dict[int, bytes] = {}
        self._marked: set[int] = set()
        self._posts: dict[str, tuple[str, int]] = {}
        self.notes: dict[str, bytes] = {}
        """The worker's, by name."""

    def show(self, account: str, keys: Sequence[int], now: int) -> tuple[Record, ...]:
        """An account shows values: note it, and say what is known of them."""
        kept = self._accounts.get(account, activity.EMPTY)
        noted = edges.note(kept[activity.LENGTH :], keys, now)
        self._put(account, kept[: activity.LENGTH] + noted.edges)
        who = edges.short(account)
        found = [self._hold(key, who) if new else self._look(key, who) for key, new in zip(keys, noted.new, strict=True)]
        for key in noted.gone:
            self._drop(key, who)
        return tuple([Record(*values.read(record)) for record in found])

    def note(self, activities: Sequence[Activity]) -> None:
        """See `Graph.note`."""
        for account, hour, requests, tokens, fresh, windowed in activities:
            kept = self._accounts.get(account, activity.EMPTY)
            done = activity.add(kept[: activity.LENGTH], hour, requests, tokens, fresh, windowed)
            self._put(account, done + kept[activity.LENGTH :])

    def remove(self, account: str, keys: Sequence[int] | None, now: int, before: int | None = None) -> int:
        """Take edges away (see `edges.remove`), and the account where nothing is left. Returns how many."""
        kept = self._accounts.get(account)
        if kept is None:
            return 0
        done = kept[: activity.LENGTH]
        left, gone = edges.remove(kept[activity.LENGTH :], keys, now, before)
        over = done == activity.EMPTY or (before is not None and not activity.since(done, before))
        if over and not left:
            del self._accounts[account]
        else:
            self._accounts[account] = done + left
        who = edges.short(account)
        for key in gone:
            self._drop(key, who)
        return len(gone)

    def forget(self, account: str, now: int) -> bool:
        """All of an account. False where there was nothing."""
        some = account in self._accounts
        self.remove(account, None, now)
        self._accounts.pop(account, None)
        return some

    def accounts(self) -> list[str]:
        """All of whom something is kept."""
        return list(self._accounts)

    def held(self, standings: Mapping[str, Known], accounts: Sequence[str], since: int, now: int) -> list[Held]:
        """Those of `accounts` that showed or did something on the day `since` or later."""
        today = edges.day_of(now)
        packed, standing, found = self._accounts.get, standings.get, []
        for account in accounts:
            kept = packed(account, activity.EMPTY)
            shown = kept[activity.LENGTH :]
            if not activity.since(kept, since) and today - edges.youngest(shown, today) < since:
                continue
            known = standing(account)
            fields = known[1].get if known is not None and known[3] > now else _NOTHING
            begun, created = fields("since"), fields("created")
            found.append(
                _tuple(
                    Held,
                    (
                        account,
                        int(begun) if begun else 0,
                        shown,
                        kept[: activity.LENGTH],
                        fields("cluster", ""),
                        fields("verdict", ""),
                        int(created) if created else 0,
                        fields("budget", ""),
                        fields("counters", ""),
                    ),
                )
            )
        return found

    def unnamed(self, *named: Mapping[int, object]) -> set[int]:
        """Values of which the last rebuild said something, and this one does not."""
        return self._marked.difference(*named)

    def mark(self, key: int, clusters: Sequence[tuple[str, int]], established: int) -> None:
        """See `Graph.mark`: of one value, named or not."""
        record = self._records.get(key)
        if record is None and clusters:
            bucket, at = self._single(key)
            if at >= 0:
                record = values.bare(self._cut(key, bucket, at), 1)
        if record is None:
            self._marked.discard(key)
            return
        tail = values.said(established, clusters)
        self._records[key] = record[: values.BARE] + tail
        if tail:
            self._marked.add(key)
        else:
            self._marked.discard(key)

    def elect(self, name: str, who: str, until: int, now: int) -> bool:
        """See `Graph.elect`."""
        holder, ends = self._posts.get(name, (who, 0))
        if holder != who and ends > now:
            return False
        self._posts[name] = (who, until)
        return True

    def export(self, account: str) -> dict[str, Any]:
        """What is kept of an account, as JSON has it; nothing where nothing is."""
        kept = self._accounts.get(account)
        return {} if kept is None else {"evidence": exported(kept)}

    # Accounts

    def _put(self, account: str, kept: bytes) -> None:
        before = self._accounts.pop(account, None)
        self._accounts[account] = kept
        if before is None and len(self._accounts) > self._most:
            oldest = next(islice(self._accounts, 1))
            self.forget(oldest, edges.EPOCH)

    # Values

    def _single(self, key: int) -> tuple[values.Bucket, int]:
        """The bucket that a value belongs to, and where it stands there; -1 where it does not."""
        bucket = self._buckets.get(key & _BUCKET)
        return (bytearray(), -1) if bucket is None else (bucket, values.find(bucket, _rest(key)))

    def _cut(self, key: int, bucket: values.Bucket, at: int) -> bytes:
        holder = values.cut(bucket, at)
        if not bucket:
            del self._buckets[key & _BUCKET]
        return holder

    def _hold(self, key: int, who: bytes) -> bytes:
        record = self._records.get(key)
        if record is not None:
            record = self._records[key] = values.hold(record)
            return record
        bucket, at = self._single(key)
        if at < 0:
            bucket += _rest(key) + who
            self._buckets[key & _BUCKET] = bucket
            return who
        if values.holder(bucket, at) == who:
            return who
        record = self._records[key] = values.bare(self._cut(key, bucket, at), 2)
        return record

    def _look(self, key: int, who: bytes) -> bytes:
        return self._records.get(key, who)

    def _drop(self, key: int, who: bytes) -> None:
        record = self._records.get(key)
        if record is not None:
            left = values.drop(record, who)
            if left:
                self._records[key] = left
            else:
                del self._records[key]
            return
        bucket, at = self._single(key)
        if at >= 0 and values.holder(bucket, at) == who:
            self._cut(key, bucket, at)


def _rest(key: int) -> bytes:
    """What a value is called in its bucket."""
    return (key >> 16).to_bytes(6, "big")


def parted(everything: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """In parts, between which requests come in."""
    for start in range(0, len(everything), _PART):
        yield everything[start : start + _PART]


def exported(kept: bytes) -> dict[str, Any]:
    """An account's evidence as JSON has it: each key with the hour of its first and the day of its last showing."""
    shown = [
        {"key": f"{edge.key:016x}", "first_hour": edge.first, "last_day": edge.last}
        for edge in edges.unpack(kept[activity.LENGTH :])
    ]
    done = activity.unpack(kept[: activity.LENGTH])._asdict()
    return {
        "edges": shown,
        "activity": {name: list(each) if isinstance(each, tuple) else each for name, each in done.items()},
    }
