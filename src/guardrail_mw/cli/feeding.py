"""Evidence out of files: everything is looked through before anything is written."""

from __future__ import annotations

import asyncio
import sys
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from guardrail_mw.algorithms import edges
from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.rows import rows, size
from guardrail_mw.clock import SystemClock
from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.engine.figures import clean, plural
from guardrail_mw.engine.linking import Linker, graph_of, moment_of
from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from guardrail_mw.engine import Guardrail

__all__ = ["Facts", "Fed", "feed", "file_type", "link_now", "look_through"]

file_type = click.Path(exists=True, dir_okay=False, path_type=Path)
KNOWN: Final = ("account", "subject", "issuer", "kind", "value", "created")
SEEN: Final = ("first_seen", "last_seen")
_AT_ONCE: Final = 32
"""Accounts that are written at a time."""


class Facts:
    """What a file says of one account."""

    __slots__ = ("created", "keys", "last", "since")

    def __init__(self) -> None:
        self.keys = array("q")
        self.since = array("q")
        """Parallel: µs at which the account first showed it, and last; 0 where the file does not say."""
        self.last = array("q")
        self.created: int | None = None


class Fed(NamedTuple):
    """What was written."""

    accounts: int
    values: int


class _Row(NamedTuple):
    account: str
    key: int | None
    created: int | None
    since: int
    last: int


async def look_through(
    path: Path, guardrail: Guardrail, *, history: bool, skip: bool, now: int | None = None
) -> dict[str, Facts]:
    """Read all of a file, and say everything that is wrong with it.

    Args:
        path: of the file.
        guardrail: its policy knows the kinds.
        history: whether its times count.
        skip: whether bad lines are passed over.
        now: µs, what comes after it lies ahead; the machine's time unless given.

    Returns:
        Of each account, what the file says.

    Raises:
        Cannot: a line is bad, and is not to be passed over; nothing was written.
    """
    linker = Linker(guardrail)
    found: dict[str, Facts] = {}
    bad: list[str] = []
    with _bar(size(path), "Looking") as bar:
        for number, row in rows(path, bar.update):
            try:
                _add(found, await _read(linker, row, history=history, now=now))
            except MisuseError as error:
                bad.append(f"{path.name}:{number}: {error.argument} {error.text}")
            except _BadRow as error:
                bad.append(f"{path.name}:{number}: {error}")
    for line in bad:
        click.echo(clean(line), err=True)
    if bad and not skip:
        raise Cannot(
            f"{plural(len(bad), 'line')} cannot be used, so nothing was written. Mend them, or pass them over: --skip-bad."
        )
    if not found:
        raise Cannot(f"There is nothing to write in {path.name}.")
    return found


async def feed(found: dict[str, Facts], write: Callable[[str, Facts], Awaitable[None]]) -> Fed:
    """Write what a file says, some accounts at a time.

    Raises:
        Cannot: the store failed; says how much was written. To do all of it again does no harm.
    """
    done = 0
    with _bar(len(found), "Writing") as bar:
        for part in _parts(list(found.items())):
            results = await asyncio.gather(*[write(account, facts) for account, facts in part], return_exceptions=True)
            failed = [each for each in results if isinstance(each, BaseException)]
            done += len(part) - len(failed)
            bar.update(len(part))
            if failed and isinstance(failed[0], StoreError):
                cure = "Give the command again once the store is well: what is written twice counts once."
                raise Cannot(
                    f"The store failed after {done} of {plural(len(found), 'account')}: {failed[0]} {cure}"
                ) from failed[0]
            if failed:
                raise failed[0]
    return Fed(len(found), sum(len(set(facts.keys)) for facts in found.values()))


async def link_now(guardrail: Guardrail, found: dict[str, Facts]) -> Fed:
    """Write it as seen now."""
    graph = graph_of(guardrail)

    async def write(account: str, facts: Facts) -> None:
        await graph.link(account, tuple(dict.fromkeys(facts.keys))[-edges.MOST :], facts.created)

    return await feed(found, write)


class _BadRow(Exception):  # noqa: N818 - a row is bad
    """A row that is none."""


async def _read(linker: Linker, row: dict[str, Any] | str, *, history: bool, now: int | None) -> _Row:
    if isinstance(row, str):
        raise _BadRow(row)
    known = (*KNOWN, *SEEN) if history else KNOWN
    strange = [name for name in row if name not in known]
    if strange:
        if strange[0] in SEEN:
            raise _BadRow(f"{strange[0]} is history: `guardrail-mw clusters import --history` takes it")
        raise _BadRow(f"{strange[0][:40]!r} is not known here. There are {', '.join(known)}")
    if "subject" in row and "account" in row:
        raise _BadRow("it has both an account and a subject")
    whose = linker.named(row["subject"], row.get("issuer", "")) if "subject" in row else row.get("account", "")
    found = await linker.read(whose, row.get("kind", ""), row.get("value", ""), created=row.get("created"))
    since, last = (moment_of(name, row.get(name)) or 0 for name in SEEN)
    if since and last and last < since:
        raise _BadRow("last_seen lies before first_seen")
    if max(found.created or 0, since, last) > (SystemClock().now() if now is None else now):
        raise _BadRow("it speaks of a time that lies ahead")
    return _Row(*found, since, last)


def _add(found: dict[str, Facts], row: _Row) -> None:
    facts = found.get(row.account)
    if facts is None:
        facts = found[row.account] = Facts()
    if row.key is not None:
        facts.keys.append(row.key)
        facts.since.append(row.since)
        facts.last.append(row.last)
    if facts.created is None:
        facts.created = row.created


def _parts(everything: Sequence[tuple[str, Facts]]) -> Iterator[Sequence[tuple[str, Facts]]]:
    for start in range(0, len(everything), _AT_ONCE):
        yield everything[start : start + _AT_ONCE]


def _bar(length: int, label: str) -> Any:
    """Progress, where somebody watches: on the terminal's error stream, or nowhere."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty(), width=0)
