"""What operators ask about clusters and do about them, wherever the store is. Answers are JSON; their `lines` are for people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from guardrail_mw.clusterwork.explaining import explained
from guardrail_mw.clusterwork.listing import until as ending
from guardrail_mw.clusterwork.orders import ORDERS, VERDICTS
from guardrail_mw.clusterwork.picture import picture
from guardrail_mw.clusterwork.rows import both, figures_of
from guardrail_mw.clusterwork.telling import done, ranked, tell, tell_both
from guardrail_mw.engine.accounts import MisuseError, home_of, line_of, moment
from guardrail_mw.engine.figures import plural
from guardrail_mw.engine.linking import graph_of
from guardrail_mw.errors import StoreError
from guardrail_mw.worker.desk import Desk, OrderError, UnknownError

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.clusters.settings import ClustersSettings
    from guardrail_mw.engine import Guardrail
    from guardrail_mw.stores.base import Graph

__all__ = ["Answer", "Clusterwork", "OrderError", "UnknownError"]

Answer: TypeAlias = dict[str, Any]


class Clusterwork:
    """Clusters of one store.

    Args:
        store: where their evidence lies.
        settings: the policy's `clusters`.
        clock: the time of orders.
    """

    def __init__(self, store: Graph, settings: ClustersSettings, *, clock: Clock) -> None:
        self._desk = Desk(store, settings, clock=clock)

    @classmethod
    def of(cls, guardrail: Guardrail, clock: Clock | None = None) -> Clusterwork:
        """Of a guardrail's store, by its clock unless another is given.

        Raises:
            MisuseError: its policy has no clusters.
            StoreError: its store keeps no evidence.
        """
        store, settings = graph_of(guardrail), guardrail.policy.clusters
        assert settings is not None  # noqa: S101 - `graph_of` has seen to it
        return cls(store, settings, clock=clock or guardrail.clock)

    # Seeing

    async def clusters(self, most: int | None = None, skip: int = 0) -> Answer:
        """Clusters, the worst and then the largest first.

        Args:
            most: so many at most; all unless given.
            skip: of the first so many nothing is said.

        Returns:
            `now` and `rebuilt` (µs; null before the first rebuild), `all` (how many there are), `clusters`, `more` (whether there
            are others after these). `listing.tell_list` has it in words.
        """
        desk = self._desk
        state, given, splits = await desk.look()

        def tell_all() -> list[Answer]:
            chosen = ranked(state)[skip : None if most is None else skip + most]
            return [figures_of(each, desk.orders(each, given, splits), splits, desk.judge) for each in chosen]

        found, many = await asyncio.to_thread(tell_all), len(state.clusters)
        rebuilt = state.rebuilt or None
        return {"now": desk.now(), "rebuilt": rebuilt, "all": many, "clusters": found, "more": skip + len(found) < many}

    async def cluster(self, cluster: str) -> Answer:
        """One, by its id or by as much of it as no other begins with.

        Raises:
            UnknownError: there is none, or several.
        """
        desk = self._desk
        state, given, splits = await desk.look()
        found = desk.find(state, cluster)
        orders = desk.orders(found, given, splits)
        lines = list(tell(found, orders, splits, desk, cold=desk.cold(state, desk.now())))
        return {**figures_of(found, orders, splits, desk.judge), "lines": lines}

    async def picture(self, cluster: str) -> str:
        """One as a page in HTML that needs nothing else. The evidence is read for it, as by a rebuild.

        Raises:
            UnknownError: there is none, or several.
        """
        found = self._desk.find(await self._desk.state(), cluster)
        held = (await self._desk.read()).held
        return await asyncio.to_thread(picture, found, held, self._desk)

    async def explain(self, one: str, other: str) -> Answer:
        """What two accounts share, why each is in its cluster, and without what it would not be.

        The evidence is read and worked out anew, which takes as long as a rebuild.

        Raises:
            MisuseError: one of them is no account, or nothing is kept of it.
        """
        found = await explained(self._desk, *[home_of(each, only="a") for each in (one, other)])
        kinds = self._desk.settings.known()
        return {**both(found, kinds), "lines": list(tell_both(found, kinds))}

    # Doing

    async def order(self, cluster: str, order: str, value: str, reason: str, until: str | None = None) -> Answer:
        """Order something of a cluster, and of all that comes of it. It acts before this returns.

        Args:
            cluster: its id.
            order: one of `ORDERS`.
            value: of `label` one of `VERDICTS`; of `budget` the tokens a UTC day that all members share, or `auto` for what was
                worked out; else empty.
            reason: a line.
            until: for how long, a duration; for good unless given.

        Returns:
            `cluster`, its `verdict` and `budget` now, `until` (µs, or null for good), `touched`: the accounts whose standing
            was set.

        Raises:
            OrderError, MisuseError: it cannot be; nothing was changed.
        """
        why, end = line_of("reason", reason), moment(until, self._desk.now())
        what, given = _meant(order, value)
        made = await self._desk.order(cluster, what, given, why, end)
        return {
            "cluster": made.after.id,
            "verdict": made.after.verdict,
            "budget": made.after.allowance or None,
            "until": end or None,
            "touched": list(made.touched),
            "lines": list(done(made, what, given, end, self._desk)),
        }

    async def split(
        self, cluster: str, accounts: Sequence[str], reason: str, until: str | None = None, *, free: bool = False
    ) -> Answer:
        """Split members off from the rest of their cluster, as of the next rebuild; `free` takes their verdict away at once.

        Raises:
            OrderError, MisuseError: it cannot be; nothing was changed.
        """
        desk, why = self._desk, line_of("reason", reason)
        homes = [home_of(each, only="a") for each in accounts]
        made = await desk.split(cluster, homes, why, moment(until, desk.now()))
        if free:
            try:
                await desk.free(made.side)
            except StoreError as error:
                text = "They are split off, as of the next rebuild, and not freed until then: say it again."
                raise StoreError(text, error.detail or error.public) from error
        what = f"{plural(len(made.side), 'account')} split off from {made.cluster} {ending(made.until)}"
        now = "they are in no cluster" if free else "they are treated as before (--free frees them at once)"
        line = f"{what}, as of the next rebuild (every {desk.settings.every}). Until then {now}."
        return {"cluster": made.cluster, "accounts": list(made.side), "until": made.until or None, "lines": [line]}

    async def join(self, cluster: str, reason: str) -> Answer:
        """Take back every split that was given of a cluster, as of the next rebuild.

        Raises:
            OrderError, MisuseError: it cannot be; nothing was changed.
        """
        gone = await self._desk.join(cluster, line_of("reason", reason))
        what = f"{plural(len(gone), 'split')} of {cluster} taken back"
        lines = [f"{what}, as of the next rebuild (every {self._desk.settings.every})."]
        return {"cluster": cluster, "accounts": sorted({each for split in gone for each in split.side}), "lines": lines}


def _meant(order: str, value: str) -> tuple[str, str]:
    """What an order is called at the desk, and its value there."""
    if order not in ORDERS:
        raise MisuseError("order", f"{order[:32]!r} is none. There are {', '.join(ORDERS)}.")
    if order == "label":
        if value not in VERDICTS:
            raise MisuseError("verdict", f"{value[:32]!r} is none. There are {', '.join(VERDICTS)}.")
        return ("judge", "") if value == "auto" else ("verdict", value)
    if order == "budget":
        if not value:
            raise MisuseError("tokens", "is missing: so many tokens a UTC day, or `auto`.")
        return order, "" if value == "auto" else value
    if value:
        raise MisuseError("value", f"is not for {order}.")
    return order, ""
