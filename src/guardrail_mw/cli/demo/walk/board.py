"""What is seen meanwhile: a board that is alive on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from textwrap import fill
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from guardrail_mw.cli.demo.walk.scene import MINUTES
from guardrail_mw.engine.figures import utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guardrail_mw.cli.demo.walk.sides import Tale
    from guardrail_mw.cli.demo.walk.story import Moment
    from guardrail_mw.cli.demo.walk.walk import Walk

__all__ = ["Board", "line"]

_COLUMNS: Final = ("", "accounts", "asked", "served", "challenged", "solved", "verify", "limited", "verdict")
_STYLES: Final = {"campaign": "magenta", "office": "cyan", "others": "dim", "": "bold"}
_OFTEN: Final = 0.25
"""Seconds between two looks."""
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*#@"


def line(moment: Moment) -> tuple[str, str]:
    """A moment by both clocks and whose it is; and what it is."""
    return f"{utc(moment.at)[11:19]}  {moment.here:5.1f} s  {moment.side:<8}  ", moment.text


class Board:
    """Shows a walk.

    Args:
        console: where.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._walk: Walk | None = None
        utf = (console.encoding or "").lower().startswith("utf")
        self._blocks = _BLOCKS if utf else _ASCII

    def tell(self, moment: Moment) -> None:
        """Something happened."""
        head, text = line(moment)
        if not self.console.is_terminal:
            self._plain(head + text)
            return
        width = min(self.console.width, 100)
        whole = fill(head + text, width, subsequent_indent=" " * len(head), break_on_hyphens=False)
        said = Text(whole)
        said.stylize("dim", 0, len(head) - 10)
        said.stylize(_STYLES[moment.side], len(head) - 10, len(head))
        self.console.print(said)

    def look(self) -> None:
        """A moment to say how things stand, where nothing is alive."""
        walk = self._walk
        if walk is None or self.console.is_terminal:
            return
        parts = [f"{each.name} {each.served:,} served of {each.asked:,}" for each in walk.tales.values()]
        now = walk.pacer
        self._plain(f"{utc(now.clock.now())[11:19]}  {now.here:5.1f} s  so far    {'; '.join(parts)}")

    def _plain(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @asynccontextmanager
    async def showing(self, walk: Walk) -> AsyncIterator[None]:
        """Show it for as long as the context lasts."""
        self._walk = walk
        if not self.console.is_terminal:
            yield
            return
        with Live(self.drawn(), console=self.console, auto_refresh=False, transient=True) as live:
            task = asyncio.create_task(self._repeat(live))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})
        self.console.print(self.drawn())

    async def _repeat(self, live: Live) -> None:
        while True:
            await asyncio.sleep(_OFTEN)
            live.update(self.drawn(), refresh=True)

    def drawn(self) -> Group:
        """The board as it is now."""
        walk = self._walk
        assert walk is not None  # noqa: S101 - it is shown
        return Group(Text(), self._clocks(walk), Text(), self._table(walk), Text(), *self._served(walk), Text())

    def _clocks(self, walk: Walk) -> Text:
        pacer = walk.pacer
        clock = f"{utc(pacer.clock.now())[:19]} on the demo's clock"
        here = f", {pacer.here:.0f} s here: {pacer.speed:.0f} times as fast"
        return Text.assemble((clock, "bold"), here)

    def _table(self, walk: Walk) -> Table:
        table = Table(pad_edge=False, box=None, header_style="dim", padding=(0, 1, 0, 0))
        for name in _COLUMNS:
            table.add_column(name, justify="left" if name in {"", "verdict"} else "right", no_wrap=True)
        for each in walk.tales.values():
            table.add_row(*_cells(each))
        return table

    def _served(self, walk: Walk) -> list[Text]:
        """Exchanges served, a character a minute."""
        most = max([many for each in walk.tales.values() for many in each.minutes.values()], default=1)
        lines = [Text("served, minute by minute", "dim")]
        for each in walk.tales.values():
            heights = [-(-each.minutes[minute] * (len(self._blocks) - 1) // most) for minute in range(MINUTES)]
            bars = "".join(self._blocks[height] for height in heights)
            lines.append(Text.assemble(f"{each.name:<10}", (bars, _STYLES[each.name])))
        return lines


def _cells(tale: Tale) -> list[Text]:
    figures = (
        len(tale.accounts),
        tale.asked,
        tale.served,
        *(tale.met[each] for each in ("challenged", "solved", "verify", "limited")),
    )
    verdict = {"suspect": "yellow", "confirmed": "red"}.get(tale.verdict, "")
    cells = [Text(f"{each:,}", "dim" if not each else "") for each in figures]
    return [Text(tale.name, _STYLES[tale.name]), *cells, Text(tale.verdict, verdict)]
