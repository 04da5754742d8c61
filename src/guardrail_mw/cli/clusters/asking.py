"""How a command asks about clusters: at the shared store, or by the operator's port of a server, whose store may be its own."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.port import Port, client_of
from guardrail_mw.cli.reach import PATIENCE, WORK, here
from guardrail_mw.clusterwork.orders import VALUES

__all__ = ["Asked", "FarClusters", "by_port"]


_PAGE: Final = 200
_ID: Final = re.compile("[0-9a-f]{1,24}")


class Asked(Protocol):
    """What can be asked, wherever it is; see `Clusterwork`."""

    async def clusters(self) -> dict[str, Any]:
        """See `Clusterwork.clusters`."""
        ...

    async def cluster(self, cluster: str) -> dict[str, Any]:
        """See `Clusterwork.cluster`."""
        ...

    async def picture(self, cluster: str) -> str:
        """See `Clusterwork.picture`."""
        ...

    async def explain(self, one: str, other: str) -> dict[str, Any]:
        """See `Clusterwork.explain`."""
        ...

    async def order(self, cluster: str, order: str, value: str, reason: str, until: str | None = None) -> dict[str, Any]:
        """See `Clusterwork.order`."""
        ...

    async def split(
        self, cluster: str, accounts: Sequence[str], reason: str, until: str | None = None, *, free: bool = False
    ) -> dict[str, Any]:
        """See `Clusterwork.split`."""
        ...

    async def join(self, cluster: str, reason: str) -> dict[str, Any]:
        """See `Clusterwork.join`."""
        ...


class FarClusters:
    """By the port.

    Args:
        port: the port.
    """

    def __init__(self, port: Port) -> None:
        self._ask = port.ask

    async def clusters(self) -> dict[str, Any]:
        """See `Clusterwork.clusters`."""
        found: list[Any] = []
        rebuilt = None
        while True:
            page = await self._ask("GET", "/v1/clusters", params={"n": _PAGE, "skip": len(found)}, timeout=WORK.seconds)
            if found and page["rebuilt"] != rebuilt:  # worked out anew meanwhile: what was read is of other clusters
                found = []
                continue
            rebuilt = page["rebuilt"]
            found += page["clusters"]
            if not page["more"]:
                return {**page, "clusters": found}

    async def cluster(self, cluster: str) -> dict[str, Any]:
        """See `Clusterwork.cluster`."""
        return await self._ask("GET", _of(cluster), timeout=WORK.seconds)

    async def picture(self, cluster: str) -> str:
        """See `Clusterwork.picture`."""
        found = await self._ask("GET", f"{_of(cluster)}/picture", timeout=WORK.seconds)
        return str(found["html"])

    async def explain(self, one: str, other: str) -> dict[str, Any]:
        """See `Clusterwork.explain`."""
        return await self._ask("GET", "/v1/clusters/explanation", params={"a": one, "b": other}, timeout=WORK.seconds)

    async def order(self, cluster: str, order: str, value: str, reason: str, until: str | None = None) -> dict[str, Any]:
        """See `Clusterwork.order`."""
        said = {"reason": reason, "until": until}
        if order in VALUES:
            said[VALUES[order]] = value
        return await self._ask("POST", f"{_of(cluster)}/{order}", json=said, timeout=WORK.seconds)

    async def split(
        self, cluster: str, accounts: Sequence[str], reason: str, until: str | None = None, *, free: bool = False
    ) -> dict[str, Any]:
        """See `Clusterwork.split`."""
        said = {"accounts": list(accounts), "reason": reason, "until": until, "free": free}
        return await self._ask("POST", f"{_of(cluster)}/split", json=said, timeout=WORK.seconds)

    async def join(self, cluster: str, reason: str) -> dict[str, Any]:
        """See `Clusterwork.join`."""
        return await self._ask("POST", f"{_of(cluster)}/join", json={"reason": reason}, timeout=WORK.seconds)


def _of(cluster: str) -> str:
    """The path of a cluster.

    Raises:
        Cannot: none can be called that.
    """
    wanted = cluster.strip().lower()
    if not _ID.fullmatch(wanted):
        shown = cluster[:32].encode("ascii", "backslashreplace").decode()
        raise Cannot(f"ID '{shown}' is no cluster of the last rebuild. `guardrail-mw clusters list` has them all.")
    return f"/v1/clusters/{wanted}"


def by_port(url: str, ask: Callable[[Asked], Awaitable[None]]) -> None:
    """Ask a server.

    Args:
        url: its operator's port.
        ask: what is asked.

    Raises:
        Cannot: it cannot be reached, or what was asked for cannot be.
    """

    async def asking() -> None:
        async with client_of(url, PATIENCE.seconds) as client:
            await ask(FarClusters(Port(client)))

    here(asking)
