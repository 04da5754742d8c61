"""Evidence into commands, and what comes back, packed as `algorithms.edges` and `algorithms.values` have it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from guardrail_mw.algorithms import activity, edges, values
from guardrail_mw.stores.base import Activity, Bill, Change, Held, Record
from guardrail_mw.stores.redis.scripts import command, evalsha, tag

__all__ = [
    "COUNT",
    "EDGES",
    "Told",
    "Values",
    "active_command",
    "assign_command",
    "edges_key",
    "elect_command",
    "forget_command",
    "held_command",
    "keep_command",
    "link_command",
    "mark_commands",
    "note_command",
    "parse_forgotten",
    "parse_held",
    "records_of",
    "records_together",
    "scan_command",
    "shelf",
    "shown_command",
    "split_values",
    "tags_of",
    "told",
    "value_command",
]

COUNT = 250
"""Keys that a server looks at before it answers a scan, and accounts that it reads at once."""
EDGES = ":e"
"""Behind an account's own key: what it has done and shown."""
_TAGS = 4096
"""Slots' worth of values: a tag has sixteen buckets of values held once, and the records of the others."""
_KEY = 8
_UNKNOWN = ("", "", "", "", "", "")

Values: TypeAlias = tuple[str, list[int]]
"""A home `v:…`, and the keys of values that lie there."""


class Told(NamedTuple):
    """What noting an account's edges told."""

    new: tuple[bool, ...]
    """Parallel to the keys."""
    gone: tuple[int, ...]
    """Keys of edges that made room."""
    records: tuple[bytes, ...]
    """Parallel to the keys; empty where the values are elsewhere."""


def told(reply: Any) -> Told | None:
    """What a `note` command answered; None where the bill was stale or late."""
    if not reply:
        return None
    new, gone, *records = reply
    return Told(tuple([each == ord("1") for each in new]), _unpacked(gone), tuple(records))


def note_command(bill: Bill, prefix: str, not_after: int, now: int | None, *, alone: bool) -> bytes:
    """The command that notes a bill's edges, and unless the account is `alone` on its server, counts them at the values."""
    return _note(bill.candidate, bill.edges, prefix, f"{now or 0} 1 {not_after} {bill.version}", alone=alone)


def link_command(account: str, keys: Sequence[int], prefix: str, now: int | None, *, alone: bool) -> bytes:
    """The command that notes edges from outside."""
    return _note(account, keys, prefix, f"{now or 0} 0 0 0", alone=alone)


def _note(account: str, keys: Sequence[int], prefix: str, text: str, *, alone: bool) -> bytes:
    name = tag(prefix, account)
    places = [] if alone else _places(keys, prefix)
    return evalsha("note", [name + EDGES, f"{name}:s", *places], text, edges.short(account), _packed(keys))


def split_values(keys: Sequence[int]) -> list[Values]:
    """Keys by the homes of their values."""
    found: dict[str, list[int]] = {}
    for key in keys:
        found.setdefault(f"v:{key & 0xFFF:03x}", []).append(key)
    return list(found.items())


def value_command(way: str, keys: Sequence[int], who: bytes, prefix: str) -> bytes:
    """The command that lets one `hold` values, `drop` them, or `look` at them."""
    return evalsha("value", _places(keys, prefix), way, who, _packed(keys))


def records_of(keys: Sequence[int], noted: Told, looked: Mapping[int, bytes], who: bytes) -> tuple[Record, ...]:
    """Records of values that were looked at before the account became a holder of those that are new to it."""
    found: dict[int, bytes] = {}
    for key, new in zip(keys, noted.new, strict=True):
        if key in found:
            continue
        record = looked[key]
        if len(record) >= values.BARE:
            found[key] = values.hold(record) if new else record
        else:
            found[key] = values.bare(record, 2) if new and record not in {b"", who} else record or who
    return tuple([Record(*values.read(found[key])) for key in keys])


def records_together(noted: Told) -> tuple[Record, ...]:
    """Records of values that were counted with the edges."""
    return tuple([Record(*values.read(record)) for record in noted.records])


def edges_key(account: str, prefix: str) -> str:
    """The key of what an account has done and shown."""
    return tag(prefix, account) + EDGES


def forget_command(
    accounts: Sequence[str], prefix: str, now: int | None, keys: Sequence[int] = (), *, before: int = -1, whole: bool = False
) -> bytes:
    """The command that takes edges away: all, or `keys`, or what was last seen before the day `before`."""
    names = [edges_key(account, prefix) for account in accounts]
    return evalsha("forget", names, f"{now or 0} {before} {whole:d}", _packed(keys))


def parse_forgotten(reply: Any) -> list[tuple[bool, tuple[int, ...]]]:
    """For each account, whether there was anything, and the keys that went."""
    return [(bool(each), _unpacked(each[1:])) for each in reply]


def active_command(activities: Sequence[Activity], prefix: str) -> bytes:
    """The command that adds up what accounts did."""
    names = [edges_key(each.account, prefix) for each in activities]
    return evalsha("active", names, " ".join([str(figure) for each in activities for figure in each[1:]]))


def assign_command(changes: Sequence[tuple[str, Sequence[Change]]], prefix: str, now: int | None) -> bytes:
    """The command that changes standings."""
    counts = " ".join([str(len(its)) for _, its in changes])
    names = [f"{tag(prefix, account)}:s" for account, _ in changes]
    return evalsha("assign", names, f"{now or 0} {counts}", *[word for _, its in changes for each in its for word in each])


def tags_of(keys: Iterable[int]) -> bytes:
    """Which tags keys belong to, a byte each that is 1 for those."""
    found = bytearray(_TAGS)
    for key in keys:
        found[key & 0xFFF] = 1
    return bytes(found)


def mark_commands(
    records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int], tags: bytes, prefix: str
) -> Iterator[tuple[str, bytes]]:
    """The commands that say of every value of those tags what a rebuild says of it; each with the home that it goes to."""
    said: dict[int, list[bytes]] = {number: [] for number, each in enumerate(tags) if each}
    for key in {**records, **established}:
        ends = values.said(established.get(key, 0), records.get(key, ()))
        said[key & 0xFFF].append(key.to_bytes(_KEY, "big") + bytes((len(ends),)) + ends)
    for number, each in said.items():
        home = f"v:{number:03x}"
        name = tag(prefix, home)
        yield home, evalsha("mark", [name, *[f"{name}{bucket:x}" for bucket in range(16)]], "", b"".join(each))


def held_command(names: Sequence[str], prefix: str, now: int | None, *, alone: bool) -> bytes:
    """The command that reads how accounts stand, and what they have shown where a single account's slot is asked."""
    tags = [tag(prefix, name) for name in names]
    shown = [name + EDGES for name in tags] if alone else []
    return evalsha("held", [*[f"{name}:s" for name in tags], *shown], f"{now or 0} {len(names)}")


def shown_command(names: Sequence[str], prefix: str) -> bytes:
    """The command that reads what accounts have shown and done."""
    return command("MGET", *[f"{prefix}{{{name}}}{EDGES}" for name in names])


def parse_held(
    names: Sequence[str], standings: Sequence[bytes], kept: Sequence[bytes | None], since: int, today: int
) -> list[Held]:
    """Those that showed or did something on the day `since` or later."""
    found = []
    for account, standing, all_ in zip(names, standings, kept, strict=True):
        if not all_:
            continue
        done, shown = all_[: activity.LENGTH], all_[activity.LENGTH :]
        if today - edges.youngest(shown, today) < since and not activity.since(done, since):
            continue
        begun, created, cluster, verdict, *bound = standing.decode().split(":", 5) if standing else _UNKNOWN
        found.append(Held(account, int(begun or 0), shown, done, cluster, verdict, int(created or 0), *bound))
    return found


def scan_command(cursor: bytes, prefix: str) -> bytes:
    """The command that lists accounts of which edges are kept, a few at a time."""
    plain = "".join([f"\\{each}" if each in "*?[]\\^" else each for each in prefix])
    return command("SCAN", cursor, "MATCH", f"{plain}{{a:*}}{EDGES}", "COUNT", str(COUNT))


def shelf(prefix: str, name: str) -> str:
    """The key of a worker's notes."""
    return tag(prefix, f"k:{name}")


def elect_command(name: str, who: str, ttl: int, prefix: str, now: int | None) -> bytes:
    """The command that gives somebody a post; it answers 1 or 0."""
    return evalsha("elect", [tag(prefix, f"w:{name}")], f"{now or 0} {ttl}", who)


def keep_command(name: str, blob: bytes, prefix: str) -> bytes:
    """The command that keeps a worker's notes."""
    return command("SET", shelf(prefix, name), blob)


def _places(keys: Sequence[int], prefix: str) -> list[str]:
    """Of each value the bucket and the records."""
    found: list[str] = []
    for key in keys:
        name = f"{prefix}{{v:{key & 0xFFF:03x}}}"
        found += f"{name}{key >> 12 & 15:x}", name
    return found


def _packed(keys: Sequence[int]) -> bytes:
    return b"".join([key.to_bytes(_KEY, "big") for key in keys])


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return tuple([int.from_bytes(packed[at : at + _KEY], "big") for at in range(0, len(packed), _KEY)])
