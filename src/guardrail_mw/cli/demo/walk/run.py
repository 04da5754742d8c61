"""The walk as a command."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Final

from rich.console import Console

from guardrail_mw.cli.demo.walk import ending
from guardrail_mw.cli.demo.walk.board import Board
from guardrail_mw.cli.demo.walk.pacing import SPEED, Pacer
from guardrail_mw.cli.demo.walk.scene import DAYS, MINUTES, Scene
from guardrail_mw.cli.demo.walk.walk import Walk
from guardrail_mw.cli.output import PROBLEM, quiet
from guardrail_mw.engine.figures import utc
from guardrail_mw.simulate.clock import WorldClock

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["show", "tour"]

_WIDE: Final = 80
_LABELS: Final = 32
"""Characters that stand before the last column of a line, at most."""


async def tour(seed: int, folder: Path | None) -> int:
    """Walk through it at sixty times the machine's pace, and say what came of it. Returns the exit code.

    Args:
        seed: of everybody who takes part.
        folder: where the pictures go; a temporary one unless given.
    """
    board, scene = Board(Console(highlight=False)), Scene(seed)
    return await show(Walk(scene, Pacer(WorldClock(scene.begin)), board.tell, board.look), board, folder)


async def show(walk: Walk, board: Board, folder: Path | None) -> int:
    """Have a walk run and ended, shown on a board. Returns the exit code.

    Args:
        walk: what is to be shown, not yet begun.
        board: that it tells.
        folder: where the pictures go; a temporary one unless given.
    """
    console = board.console
    _say(console, _opening(walk.scene))
    with quiet():
        try:
            await walk.remember()
            async with board.showing(walk):
                await walk.run()
            return await _end(console, walk, folder)
        finally:
            await walk.close()


def _opening(scene: Scene) -> list[str]:
    who = "An office and a campaign call a guarded model server, side by side. Each request goes through the middleware, on the"
    under = "embedded store, under guardrail:campaign with its own thresholds (guardrail-mw demo --policy)."
    clock = f"The clock begins at {utc(scene.begin)}, after {DAYS} days of imported history, and runs"
    return [f"{who} {under}", f"{clock} {SPEED} times as fast at most: {MINUTES} minutes take {MINUTES} seconds."]


async def _end(console: Console, walk: Walk, folder: Path | None) -> int:
    _head(console, "What came of it")
    _say(console, ending.figures(walk))
    _head(console, "When, by the demo's clock and by yours")
    _list(console, ending.times(walk))
    account, cluster = await ending.reasons(walk)
    if account:
        _head(console, "Why, of one of its accounts: what guardrail-mw explain says")
        _list(console, account)
    if cluster:
        _head(console, "Why its cluster: what guardrail-mw clusters show says")
        _list(console, cluster)
    paths = ending.write(await ending.pages(walk), folder or Path(tempfile.mkdtemp(prefix="guardrail-demo-")))
    _head(console, "The pictures: a page each, for a browser")
    _list(console, map(str, paths))
    _head(console, "To try the server yourself: guardrail-mw demo --serve")
    return 0 if ending.contained(walk) else PROBLEM


def _head(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False, markup=False, soft_wrap=True)


def _say(console: Console, paragraphs: Iterable[str]) -> None:
    for text in paragraphs:
        console.print(fill(text, _WIDE, break_on_hyphens=False), highlight=False, markup=False, soft_wrap=True)


def _list(console: Console, lines: Iterable[str]) -> None:
    """Lines, wrapped where a terminal would break them anywhere; elsewhere as they are."""
    width = min(console.width, 100) if console.is_terminal else 0
    for text in lines:
        console.print(_hung(text, width) if width else text, highlight=False, markup=False, soft_wrap=True)


def _hung(text: str, width: int) -> str:
    """A line of columns or of a list, its rest below its last column."""
    columns = [each.end() for each in re.finditer(r"\s{2,}", text) if each.end() <= _LABELS]
    listed = len(text) - len(text.lstrip())
    indent = max(columns, default=0)
    indent = indent if indent > listed else listed + 2
    return fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
