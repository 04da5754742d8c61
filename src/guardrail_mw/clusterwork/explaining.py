"""Why two accounts are where they are, worked out anew from what lies in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guardrail_mw.algorithms import edges
from guardrail_mw.clusters.explaining import Explained, Explainer
from guardrail_mw.clusters.reading import FAMILIES, table
from guardrail_mw.clusters.rebuild import HOUR
from guardrail_mw.clusters.splitting import apart
from guardrail_mw.engine.accounts import MisuseError

if TYPE_CHECKING:
    from guardrail_mw.worker.desk import Desk

__all__ = ["explained"]

_RECENT = 45 * 24
"""Hours in which a use is new, as in a rebuild."""


async def explained(desk: Desk, one: str, other: str) -> Explained:
    """What two accounts share, and why each is where it is, from the evidence that there is now.

    Raises:
        MisuseError: nothing is kept of one of them.
    """
    state, splits, read = await desk.state(), await desk.splits(), await desk.read()
    now = edges.hour_of(desk.now())

    def work() -> Explained:
        held = apart(read.held, splits)
        age = desk.settings.established.us // HOUR
        found = Explainer(
            held, state, table(desk.settings.known()), content=FAMILIES[2:], age=age, now=now, new=now - _RECENT
        )
        for account in (one, other):
            if not found.knows(account):
                text = f"{account} is not known: it has shown nothing for {desk.settings.lookback}, or never did."
                raise MisuseError("account", text)
        return found.explain(one, other)

    return await asyncio.to_thread(work)
