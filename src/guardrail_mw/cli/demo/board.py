"""The table of a driven demo: alive on a terminal, plain lines elsewhere; and the summary in words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from guardrail_mw.cli.demo.tally import Tally, dollars

__all__ = ["showing", "summary"]

_COLUMNS: Final = ("account", "what it does", "admitted", "refused", "by", "tokens", "dollars", "least left")
_NUMBERS: Final = frozenset({"admitted", "refused", "tokens", "dollars"})
_WIDE = 100
"""Columns of a terminal from which on there is room to say what each does."""
_LIVE = 0.25
_PLAIN = 5.0
"""Seconds between two looks."""


@asynccontextmanager
async def showing(tallies: Sequence[Tally], elapsed: Callable[[], float], console: Console) -> AsyncIterator[None]:
    """Show the table for as long as the context lasts."""
    if console.is_terminal:
        columns = _COLUMNS if console.width >= _WIDE else tuple(name for name in _COLUMNS if name != "what it does")
        with Live(_table(tallies, columns), console=console, refresh_per_second=4, transient=True) as live:
            task = asyncio.create_task(_repeat(_LIVE, lambda: live.update(_table(tallies, columns))))
            try:
                yield
            finally:
                await _ended(task)
        console.print(_table(tallies, columns))
        return
    task = asyncio.create_task(_repeat(_PLAIN, lambda: _print(tallies, elapsed(), console)))
    try:
        yield
    finally:
        await _ended(task)
    _print(tallies, elapsed(), console)


async def _repeat(seconds: float, look: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(seconds)
        look()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _row(tally: Tally) -> dict[str, str]:
    figures = (tally.admitted, tally.refusals, tally.why() or "-", tally.tokens, dollars(tally.micro), tally.left or "-")
    return dict(zip(_COLUMNS, (tally.name, tally.what, *map(str, figures)), strict=True))


def _table(tallies: Sequence[Tally], columns: Sequence[str]) -> Table:
    table = Table(pad_edge=False, box=None, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for tally in tallies:
        cells = _row(tally)
        style = "red" if tally.refusals > tally.admitted else "yellow" if tally.refusals else "green"
        cells["refused"] = f"[{style}]{cells['refused']}[/]"
        table.add_row(*(cells[name] for name in columns))
    return table


def _print(tallies: Sequence[Tally], seconds: float, console: Console) -> None:
    for tally in tallies:
        by = f" ({tally.why()})" if tally.refusals else ""
        used = f"{tally.tokens} tokens, {dollars(tally.micro)}"
        left = f"; left: {tally.left}" if tally.left else ""
        line = f"{seconds:5.1f} s  {tally.name:<9} {tally.admitted} admitted, {tally.refusals} refused{by}, {used}{left}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def summary(tallies: Sequence[Tally], seconds: float) -> list[str]:
    """What happened, in words."""
    admitted, refused = sum(each.admitted for each in tallies), sum(each.refusals for each in tallies)
    spent = sum(each.micro for each in tallies)
    what = f"{admitted} were admitted ({dollars(spent)}), {refused} refused"
    first = f"In {seconds:.0f} s, {admitted + refused} requests came: {what}."
    return [first, *_about({each.name: each for each in tallies}), *_unexpected(tallies)]


def _about(people: dict[str, Tally]) -> Iterator[str]:
    ada, bob, cyd, dev = (people[name] for name in ("ada", "bob", "cyd", "dev"))
    crowd, inventor = people["strangers"], people["inventor"]
    yield f"ada, a person, was admitted {ada.admitted} times and refused {ada.refusals} times."
    yield (
        f"bob's loop was refused {bob.refused['requests']} times by `requests`, told each time how long to wait, and got through "
        f"{bob.admitted} times: as fast as its limit, no faster."
    )
    if cyd.refused["spend"]:
        yield f"cyd spent {dollars(cyd.micro)} of the day's budget; then `spend` refused, and said that no retry will help."
    yield f"dev's agent was held to four streams at a time: `in-flight` refused {dev.refused['in-flight']} more."
    if crowd.refused["capacity"]:
        yield (
            f"{crowd.admitted + crowd.refusals} strangers, each far below any limit of its own, together wanted more than "
            f"their part: `capacity`, which keeps 60% for those with an account, shed {crowd.refused['capacity']}."
        )
    yield f"{inventor.refusals} invented keys were refused; none of them was worth anything."


def _unexpected(tallies: Sequence[Tally]) -> Iterator[str]:
    for tally in tallies:
        for what, times in tally.unexpected.items():
            yield f"Unexpected: {tally.name} got {what}, {times} times."
