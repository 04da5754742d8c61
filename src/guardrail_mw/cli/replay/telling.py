"""The table, and what it comes to, in plain text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from textwrap import wrap
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from guardrail_mw.cli.replay.comparing import Comparison, Line
    from guardrail_mw.cli.replay.reading import Events
    from guardrail_mw.policy import Policy
    from guardrail_mw.values import Mode

__all__ = ["HEADS", "Told", "by", "cells", "moment", "printable", "sentences", "tell"]

HEADS: Final = ("then", "now", "more", "fewer", "per million", "shadow", "accounts", "new", "established")
_SHORT: Final = {"limit": "Limits", "rung": "Rungs", "scorer": "Scorers", "other": "Other"}
_NAME: Final = 24
_WIDE: Final = 100
_POLICIES: Final = 5


class Told(NamedTuple):
    """A replay that is over."""

    policy: Policy
    name: str
    mode: Mode
    events: Events
    comparison: Comparison
    cautions: list[str]


def tell(told: Told) -> Iterator[str]:
    """What was replayed, a line for each rule, what it comes to, and what to mind."""
    comparison, events = told.comparison, told.events
    yield f"{told.name} (policy {told.policy.hash}) in {told.mode}, on {events.count - events.repeated:,} events"
    yield f"of {moment(events.first)} to {moment(events.last)} UTC, recorded by {by(events)}"
    yield ""
    yield f"{'':<{_NAME}}" + "".join(f"{head:>{_width(head)}}" for head in HEADS)
    for kind, lines in groupby(comparison.lines(), key=lambda line: line.kind):
        yield _SHORT[kind]
        for line in lines:
            name = line.name if len(line.name) <= _NAME - 3 else f"{line.name[: _NAME - 4]}…"
            yield f"  {name:<{_NAME - 2}}" + "".join(
                f"{cell:>{_width(head)}}" for head, cell in zip(HEADS, cells(line), strict=True)
            )
    yield ""
    for sentence in sentences(comparison):
        yield from wrap(sentence, _WIDE)
    if told.cautions:
        yield ""
        yield "To be minded"
        for caution in told.cautions:
            yield from wrap(caution, _WIDE, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)


def _width(head: str) -> int:
    return max(len(head), 7) + 2


def by(events: Events) -> str:
    """The policies that recorded the events: those of most first, a few of them."""
    found = sorted(events.policies, key=lambda each: -events.policies[each])
    more = f" and {len(found) - _POLICIES} more" if len(found) > _POLICIES else ""
    return ", ".join(found[:_POLICIES]) + more


def printable(line: str) -> str:
    """The line, without what would steer a terminal: files may hold anything."""
    return line if line.isprintable() else "".join([each if each.isprintable() else "\ufffd" for each in line])


def cells(line: Line) -> list[str]:
    """One rule's figures, as `HEADS` calls them; a dash for none."""
    figures = (
        line.before, line.after, line.more, line.fewer, line.per_million, line.shadow_after, line.accounts, line.new_accounts,
        line.established,
    )  # fmt: skip
    return [f"{figure:,}" if figure else "-" for figure in figures]


def moment(at: int) -> str:
    """A time, to the second."""
    return f"{datetime.fromtimestamp(at / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"


def sentences(comparison: Comparison) -> Iterator[str]:
    """What the figures come to."""
    totals = comparison.totals
    requests = totals["requests"]
    if not requests:
        yield "There is nothing to compare."
        return
    share = 100 * totals["same"] / requests
    yield (
        f"For {totals['same']:,} of {requests:,} requests ({share:.2f}%) the same would be done. Newly refused "
        f"{totals['newly_refused']:,} ({comparison.per_million(totals['newly_refused']):,} in a million), newly slowed or "
        f"trimmed {totals['newly_slowed']:,} ({comparison.per_million(totals['newly_slowed']):,}), dealt with more mildly "
        f"{totals['milder']:,}."
    )
    networks = totals["networks"]
    payers = _plural(totals["accounts"] - networks, "account")
    if networks:
        payers += f", and {_plural(networks, 'network')} that paid for who had none,"
    yield (
        f"Of {payers} {totals['accounts_newly_touched']:,} would be touched to which nothing was done, "
        f"{totals['established_newly_touched']:,} of them known for 30 days; {totals['accounts_no_longer_touched']:,} would no "
        "longer be touched."
    )


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
