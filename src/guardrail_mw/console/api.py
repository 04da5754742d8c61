"""What the operator's port answers. Each handler reads the request, asks the operator, and answers in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from guardrail_mw.console.asked import LONGEST, body_of, known, misuse, number
from guardrail_mw.console.clusters import ClusterApi
from guardrail_mw.console.problems import ProblemError, answer
from guardrail_mw.engine.accounts import home_of
from guardrail_mw.engine.desk import ACTS, MisuseError, Operator
from guardrail_mw.engine.explaining import explain, explain_account
from guardrail_mw.engine.linking import link, unlink
from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from starlette.requests import Request

    from guardrail_mw.engine import Guardrail

__all__ = ["LONGEST", "MOST", "Api"]

MOST: Final = 200
"""Decisions in one answer."""
_USUAL: Final = 20


class Api:
    """The routes of one guardrail.

    Args:
        guardrail: whose accounts, policy and store these are.
        document: the OpenAPI document.
    """

    def __init__(self, guardrail: Guardrail, document: Mapping[str, Any]) -> None:
        self._guardrail = guardrail
        self._operator = Operator(guardrail)
        self._document = document

    def routes(self) -> list[Route]:
        """All of them."""
        account = "/v1/accounts/{account}"
        seen = [
            Route("/v1/accounts/id", self.identify, methods=["POST"]),
            Route("/v1/accounts/id", self.only_post, methods=["DELETE", "GET", "PATCH", "PUT"]),  # nobody's account is `id`
            Route("/v1/link", self.link, methods=["POST"]),
            Route("/v1/unlink", self.unlink, methods=["POST"]),
            Route("/live", self.live),
            Route("/openapi.json", self.openapi),
            Route("/metrics", self.metrics),
            Route("/v1/decisions", self.decisions),
            Route("/v1/decisions/{decision}", self.decision),
            Route("/v1/decisions/{decision}/explanation", self.why),
            Route(account, self.account),
            Route(f"{account}/explanation", self.how),
            Route(f"{account}/limits", self.limits),
            Route(f"{account}/export", self.export),
            Route("/v1/mode", self.mode, methods=["GET", "PUT"]),
            Route("/v1/cases", self.cases),
            Route("/v1/cases/{case}", self.case),
            Route("/v1/cases/{case}/decide", self.decide_case, methods=["POST"]),
            Route("/v1/appeals", self.appeals),
            Route("/v1/appeals/{appeal}", self.appeal),
            Route("/v1/appeals/{appeal}/decide", self.decide_appeal, methods=["POST"]),
        ]
        done = [Route(f"{account}/{verb}", self._act(verb), methods=["POST"], name=verb) for verb in ACTS]
        return [*seen, *ClusterApi(self._guardrail).routes(), *done]

    # Seeing

    async def live(self, _request: Request) -> Response:
        """That this process runs."""
        return answer({"status": "live"})

    async def only_post(self, _request: Request) -> Response:
        """Where `id` would be taken for an account."""
        raise HTTPException(405, headers={"Allow": "POST"})

    async def openapi(self, _request: Request) -> Response:
        """What there is."""
        return answer(self._document)

    async def metrics(self, request: Request) -> Response:
        """Metrics, as Prometheus reads them."""
        metrics = self._guardrail.metrics
        if metrics is None:
            raise ProblemError(404, "metrics_off", "The policy keeps no metrics. Set `telemetry: {metrics: true}`.")
        body, kind = metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": kind})

    async def decisions(self, request: Request) -> Response:
        """The latest decisions in this process, about an account or about anyone, the newest first."""
        n = number(request, "n", _USUAL, MOST)
        account = request.query_params.get("account")
        if account is None:
            return answer({"decisions": self._guardrail.recorder.latest(n)})
        return answer({"decisions": self._operator.latest(home_of(account), n)})

    async def decision(self, request: Request) -> Response:
        """One decision."""
        return answer(self._found(request))

    async def why(self, request: Request) -> Response:
        """One decision in words: what was seen, how far it was from the limit or the threshold, what would bring it down."""
        event, policy = self._found(request), self._guardrail.policy
        try:
            rungs = (await self._operator.show(event["account"]))["rungs"]
        except (MisuseError, StoreError):  # a bad credential has no account; the event tells enough
            rungs = ()
        lines = explain(event, policy=policy if event["policy"] == policy.hash else None, rungs=rungs)
        return answer({"decision": event["id"], "lines": lines})

    def _found(self, request: Request) -> dict[str, Any]:
        event = self._operator.find(request.path_params["decision"])
        if event is None:
            text = "It is not among the latest decisions of the process that answers here."
            raise ProblemError(404, "unknown_decision", text)
        return event

    async def identify(self, request: Request) -> Response:
        """The account of a credential. It comes in the body: an address would stand in logs."""
        given = await body_of(request)
        known(given, {"credential", "source"})
        if "credential" not in given:
            raise misuse("credential", "is missing.")
        return answer(await self._operator.identify(given["credential"], given.get("source")))

    async def link(self, request: Request) -> Response:
        """Note what the provider's own systems know of an account. Accounts and values come in the body: no log has them."""
        given = known(await body_of(request), {"account", "kind", "value", "created"})
        kind, value, created = given.get("kind", ""), given.get("value", ""), given.get("created")
        return answer({"account": await link(self._guardrail, given.get("account", ""), kind, value, created=created)})

    async def unlink(self, request: Request) -> Response:
        """Take evidence away."""
        given = known(await body_of(request), {"account", "kind", "value"})
        kind, value = given.get("kind", ""), given.get("value", "")
        return answer({"account": await unlink(self._guardrail, given.get("account", ""), kind, value)})

    async def account(self, request: Request) -> Response:
        """All that is remembered of an account."""
        return answer(await self._operator.show(request.path_params["account"]))

    async def how(self, request: Request) -> Response:
        """How an account stands, in words."""
        account = request.path_params["account"]
        lines = explain_account(await self._operator.show(account), await self._operator.limits(account))
        return answer({"account": account, "lines": lines})

    async def limits(self, request: Request) -> Response:
        """The limits that would hold for an account's next request."""
        route = request.query_params.get("route", "")
        return answer({"limits": await self._operator.limits(request.path_params["account"], route)})

    async def export(self, request: Request) -> Response:
        """All that the store keeps of an account."""
        return answer(await self._operator.export(request.path_params["account"]))

    async def mode(self, request: Request) -> Response:
        """The mode, and what is switched; PUT switches."""
        return answer(await (self._operator.modes() if request.method != "PUT" else self._switch(request)))

    async def cases(self, request: Request) -> Response:
        """Cases of verification, open ones first."""
        n, state = number(request, "n", _USUAL, MOST), request.query_params.get("state", "")
        return answer(await self._operator.casework.cases(n, state))

    async def case(self, request: Request) -> Response:
        """One with its history."""
        return answer(await self._operator.casework.case(request.path_params["case"]))

    async def appeals(self, request: Request) -> Response:
        """Appeals, open ones first."""
        n, state = number(request, "n", _USUAL, MOST), request.query_params.get("state", "")
        return answer(await self._operator.casework.appeals(n, state))

    async def appeal(self, request: Request) -> Response:
        """One with what was written."""
        return answer(await self._operator.casework.appeal(request.path_params["appeal"]))

    # Doing

    async def decide_case(self, request: Request) -> Response:
        """Decide a case, whoever its provider is."""
        given = known(await body_of(request), {"state", "reason", "document", "person"}, {"state", "reason"})
        return answer(await self._operator.casework.decide_case(request.path_params["case"], **given))

    async def decide_appeal(self, request: Request) -> Response:
        """Grant an appeal, or refuse it."""
        given = known(await body_of(request), {"granted", "reason", "until"}, {"granted", "reason"})
        if not isinstance(given.get("until", ""), str | None):
            raise misuse("until", "is not text.")
        return answer(await self._operator.casework.decide_appeal(request.path_params["appeal"], **given))

    async def _switch(self, request: Request) -> dict[str, Any]:
        """Switch everything or one rule; a null mode takes the switch away."""
        given = await body_of(request)
        for name, value in given.items():
            if name not in {"rule", "mode", "reason"}:
                raise misuse(name, "is not known here. There are rule, mode and reason.")
            if not (isinstance(value, str) or (name == "mode" and value is None)):
                raise misuse(name, "is not text.")
        if "mode" not in given:
            raise misuse("mode", "is missing. Write shadow, enforce, off, or null to take a switch away.")
        return await self._operator.switch(given.get("rule", ""), given["mode"], given.get("reason", ""))

    def _act(self, verb: str) -> Any:
        async def act(request: Request) -> Response:
            return answer(await self._operator.act(verb, request.path_params["account"], await body_of(request)))

        return act
