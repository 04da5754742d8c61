"""An organisation that was verified vouches for the cluster of its accounts: told to the desk of clusters."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from guardrail_mw import plugins
from guardrail_mw.engine import linking

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import Guardrail

__all__ = ["vouch"]

logger = logging.getLogger("guardrail_mw")


async def vouch(guardrail: Guardrail, cluster: str, *, verified: bool, code: str, case: str, until: int, why: str) -> bool:
    """See `Vouch`."""
    graph, settings = linking.graph_of(guardrail), guardrail.policy.clusters
    desk = plugins.load("services", "clusters")(graph, settings, clock=guardrail.clock)
    try:
        await desk.order(cluster, "vouch", f"{verified:d} {code} {case}", why, until)
    except ValueError as error:  # it is no more
        logger.warning("An organisation was verified, and its cluster %s is not found: %s", cluster, error)
        return False
    return True
