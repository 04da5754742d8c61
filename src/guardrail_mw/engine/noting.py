"""What operators did, kept with the account that it was done to, and logged."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from guardrail_mw.engine.accounts import KEPT
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.engine.peeking import Peeked
    from guardrail_mw.stores.base import Store

__all__ = ["log", "note"]

logger = logging.getLogger("guardrail_mw.operators")


async def note(store: Store, peeked: Peeked, verb: str, what: str, reason: str, changes: Sequence[Change] = ()) -> None:
    """Make the changes of an account's standing, with the note of who wanted what and why; nothing is kept of networks."""
    account, fields = peeked.account, peeked.standing.fields
    if account.startswith("a:"):
        notes = sorted([name for name in fields if name.startswith("did.")], key=lambda name: name.zfill(32))
        old = [Change("unset", name) for name in notes[: max(0, len(notes) - KEPT + 1)]]
        last = int(notes[-1][4:]) if notes and notes[-1][4:].isdecimal() else 0
        made = Change("set", f"did.{max(peeked.now, last + 1)}", f"{verb} {what} {reason}")
        await store.remember(account, [*changes, made, *old])
    log(account, verb, what, reason)


def log(account: str, verb: str, what: str, reason: str) -> None:
    """Say it to `guardrail_mw.operators`."""
    logger.warning("%s %s %s: %s", verb, what or "-", account, reason)
