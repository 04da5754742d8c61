"""What the operator's port answers about clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response
from starlette.routing import Route

from guardrail_mw.clusterwork.orders import ORDERS, VALUES
from guardrail_mw.console.asked import LONG, body_of, known, misuse, number
from guardrail_mw.console.problems import ProblemError, answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from guardrail_mw.clusterwork.work import Clusterwork
    from guardrail_mw.engine import Guardrail

__all__ = ["MOST", "ClusterApi"]

MOST: Final = 200
"""Clusters in one answer."""
_USUAL: Final = 20
_LAST: Final = 10_000_000


class ClusterApi:
    """The routes about the clusters of one guardrail.

    Args:
        guardrail: whose store has them.
    """

    def __init__(self, guardrail: Guardrail) -> None:
        self._guardrail = guardrail

    def routes(self) -> list[Route]:
        """All of them."""
        one = "/v1/clusters/{cluster}"
        return [
            Route("/v1/clusters", self.clusters),
            Route("/v1/clusters/explanation", self.explain),
            Route(one, self.cluster),
            Route(f"{one}/picture", self.picture),
            Route(f"{one}/split", self.split, methods=["POST"]),
            Route(f"{one}/join", self.join, methods=["POST"]),
            *[Route(f"{one}/{order}", self._order(order), methods=["POST"], name=order) for order in ORDERS],
        ]

    async def clusters(self, request: Request) -> Response:
        """A page of them, the worst first."""
        n, skip = number(request, "n", _USUAL, MOST), number(request, "skip", 0, _LAST, least=0)
        return answer(await self._work().clusters(n, skip))

    async def cluster(self, request: Request) -> Response:
        """One."""
        return answer(await self._asked(self._work().cluster(request.path_params["cluster"])))

    async def picture(self, request: Request) -> Response:
        """One as a page."""
        return answer({"html": await self._asked(self._work().picture(request.path_params["cluster"]))})

    async def explain(self, request: Request) -> Response:
        """What two accounts share, and why each is where it is."""
        work = self._work()
        one, other = request.query_params.get("a"), request.query_params.get("b")
        for name, account in (("a", one), ("b", other)):
            if not account:
                raise misuse(name, "is missing: an account.")
        return answer(await self._asked(work.explain(str(one), str(other))))

    async def split(self, request: Request) -> Response:
        """Split members off from the others."""
        given = known(await body_of(request, LONG), {"accounts", "reason", "until", "free"}, {"accounts", "reason"})
        accounts, until, free = given["accounts"], _text(given, "until"), given.get("free", False)
        if not isinstance(accounts, list) or not all(isinstance(each, str) for each in accounts):
            raise misuse("accounts", "is no list of accounts.")
        if not isinstance(free, bool):
            raise misuse("free", "is neither true nor false.")
        cluster, reason = request.path_params["cluster"], given["reason"]
        return answer(await self._asked(self._work().split(cluster, accounts, reason, until, free=free)))

    async def join(self, request: Request) -> Response:
        """Take back what was split off."""
        given = known(await body_of(request), {"reason"}, {"reason"})
        return answer(await self._asked(self._work().join(request.path_params["cluster"], given["reason"])))

    def _order(self, order: str) -> Any:
        named = [VALUES[order]] if order in VALUES else []

        async def ordered(request: Request) -> Response:
            given = known(await body_of(request), {"reason", "until", *named}, {"reason", *named})
            value, until = "".join(_text(given, name) or "" for name in named), _text(given, "until")
            cluster = request.path_params["cluster"]
            return answer(await self._asked(self._work().order(cluster, order, value, given["reason"], until)))

        return ordered

    def _work(self) -> Clusterwork:
        if self._guardrail.policy.clusters is None:
            raise ProblemError(404, "clusters_off", "The policy has no section `clusters:`, so there are none.")
        try:
            from guardrail_mw.clusterwork.work import Clusterwork
        except ImportError as error:
            cure = "Install them with: pip install 'guardrail-mw[clusters]'"
            raise ProblemError(
                503, "clusters_missing", f"Clusters need numpy and scipy, not installed here. {cure}"
            ) from error
        return Clusterwork.of(self._guardrail)

    @staticmethod
    async def _asked(asking: Any) -> Any:
        from guardrail_mw.clusterwork.work import OrderError, UnknownError

        try:
            return await asking
        except UnknownError as error:
            detail = f"`{error.argument}` {error.text}"
            raise ProblemError(404, "unknown_cluster", detail, argument=error.argument) from error
        except OrderError as error:
            raise misuse(error.argument, error.text) from error


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise misuse(name, "is not text.")
    return value
