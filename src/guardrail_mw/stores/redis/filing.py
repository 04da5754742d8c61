"""Records into commands, and what comes back.

A drawer is one slot: its index (names by when they were made), its ends (names by until when) and its records change in one
command, so that none of them ever says what another does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from guardrail_mw.stores.base import Change
from guardrail_mw.stores.redis.scripts import evalsha, tag

__all__ = ["filing_command", "home_of", "listing_command", "parse_listing", "parse_record"]

LATEST = 2**52
"""µs in 2112: later is as good as then, and no server takes any figure."""


def home_of(drawer: str) -> str:
    """Names the drawer's slot."""
    return f"f:{drawer}"


def filing_command(
    way: Literal["file", "pull", "shred"],
    drawer: str,
    name: str,
    prefix: str,
    now: int | None,
    changes: Sequence[Change] = (),
    until: int = 0,
) -> bytes:
    """The command that merges into a record, reads it or forgets it; to forget answers 1, or 0 where there was nothing."""
    key = tag(prefix, home_of(drawer))
    words = [word for each in changes for word in each]
    return evalsha(
        "filing", [key, f"{key}:u", f"{key}:r:{name}"], f"{now or 0} {min(max(until, 0), LATEST)}", way, name, *words
    )


def parse_record(reply: Any) -> dict[str, str] | None:
    """A record's fields; None where there is none."""
    if reply is None:
        return None
    flat = [each.decode() for each in reply]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def listing_command(drawer: str, most: int, after: str, prefix: str, now: int | None) -> bytes:
    """The command that lists names."""
    key = tag(prefix, home_of(drawer))
    return evalsha("filing", [key, f"{key}:u"], f"{now or 0} {most}", "listed", after)


def parse_listing(reply: Any) -> list[str] | None:
    """The names; None where more has ended than goes in one command: ask again."""
    return None if reply == 0 else [each.decode() for each in reply]
