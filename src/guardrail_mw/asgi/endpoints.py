"""The middleware's own endpoints, below `/.guardrail` unless the policy says where else.

`live` and `ready`, what an orchestrator asks before it sends requests here, are answered in every mode, `off` as well: whoever
turns the guard off must not take the servers out of service. Nothing is charged or recorded for them, and they tell nobody which
policy or version runs. Where the guard is not off, `challenge` takes answers where the policy's ladder has challenges; `verify`,
`appeal` and `webhooks` are there where it has `verification`, `status` where it has either. Whatever else lies there is the
app's, guarded as any path; so are CORS preflights, which its own CORS middleware answers for every path.
"""

from __future__ import annotations

import logging
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from guardrail_mw.asgi.appealing import Appealing
from guardrail_mw.asgi.body import BodyBudget, Counted, OverBudgetError
from guardrail_mw.asgi.clearing import CHALLENGE, Answers
from guardrail_mw.asgi.edge import facts_of, is_preflight, own_path
from guardrail_mw.asgi.problems import problem
from guardrail_mw.asgi.reporting import LONGEST, STATUS, WEBHOOKS, Reporting
from guardrail_mw.asgi.respond import Answer, send_answer
from guardrail_mw.asgi.verifying import Verifying
from guardrail_mw.asgi.visiting import Gate
from guardrail_mw.engine.appeals import APPEALS
from guardrail_mw.engine.cases import VERIFY
from guardrail_mw.stores.base import Bill, Entry, Gcra
from guardrail_mw.stores.resilient import Resilient

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import Receive, Scope, Send
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine import Guardrail
    from guardrail_mw.values import Facts

__all__ = ["LIVE", "READY", "Endpoints"]

logger = logging.getLogger("guardrail_mw")

LIVE: Final = "/live"
READY: Final = "/ready"

_PROBE: Final = (Gcra("probe", 1, 1, 1, 1),)
_LEAST: Final = 4 * LONGEST
"""Bytes of bodies that one network may always hold, where the process has them: a provider's webhooks come from few addresses."""
_OVERLOADED: Final = (503, "overloaded", "Too much is being read at the moment. Try again shortly.")
_SOON: Final = [(b"retry-after", b"1")]
_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"
_METHODS: Final = ("GET", "HEAD")
_LIVE: Final = b'{"status":"live"}'
_READY: Final = b'{"status":"ready"}'
_NOT_READY: Final = (
    b'{"type":"about:blank","title":"Service Unavailable","status":503,'
    b'"detail":"The store does not answer, and the policy refuses requests without it.","code":"store_unavailable"}'
)
_NOT_ALLOWED: Final = (
    b'{"type":"about:blank","title":"Method Not Allowed","status":405,'
    b'"detail":"Only GET and HEAD are answered here.","code":"method_not_allowed"}'
)


class _Places:
    """Below the prefix, before a name or a link."""

    verify = VERIFY
    appeals = APPEALS
    webhooks = WEBHOOKS


class Endpoints:
    """Answers its paths, below the app's root as the router sees it, written exactly so.

    Args:
        guardrail: whose they are.
        clock: for how often answers to challenges may be wrong.
        budget: of bodies, the process's.
    """

    __slots__ = ("_answers", "_appealing", "_budget", "_guardrail", "_reporting", "_verifying")

    def __init__(self, guardrail: Guardrail, clock: Clock, budget: BodyBudget) -> None:
        self._guardrail = guardrail
        self._budget = budget
        self._answers = Answers(guardrail, clock)
        gate = Gate(clock)
        self._verifying = Verifying(guardrail, gate)
        self._appealing = Appealing(guardrail, gate)
        self._reporting = Reporting(guardrail, clock)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer an http request if it is for one of them; False where it is the app's."""
        path, engine = own_path(scope), self._guardrail.engine
        prefix = engine.policy.endpoints.prefix
        if not path.startswith(prefix):
            return False
        what, facts = path[len(prefix) :], facts_of(scope, path, "http")
        if is_preflight(facts):
            return False
        told = await self._counted(what, scope, receive, facts)
        if told is not None:
            await send_answer(send, told, head=scope["method"] == "HEAD")
            return True
        if what not in {LIVE, READY}:
            return False
        method = scope["method"]
        if method not in _METHODS:
            await _send(send, 405, _PROBLEM, _NOT_ALLOWED, (b"allow", b"GET, HEAD"))
        elif what == LIVE:
            await _send(send, 200, _JSON, _LIVE, head=method == "HEAD")
        elif await self.ready():
            await _send(send, 200, _JSON, _READY, head=method == "HEAD")
        else:
            await _send(send, 503, _PROBLEM, _NOT_READY, head=method == "HEAD")
        return True

    async def _counted(self, what: str, scope: Scope, receive: Receive, facts: Facts) -> Answer | None:
        """The response of an endpoint that may read a body, which counts on the process's budget; None where it is none."""
        engine = self._guardrail.engine
        if engine.mode == "off":
            return None
        self._budget.limit = engine.policy.inspect.budget.bytes
        counted = Counted(receive, self._budget, engine.resolver.fallback(facts).account, _LEAST)
        try:
            if what == CHALLENGE and engine.clearing is not None:
                return await self._answers.answer(scope, counted.receive, facts)
            if what == STATUS and (engine.clearing is not None or engine.cases is not None):
                return await self._reporting.status(scope, facts)
            if engine.cases is not None and what.startswith("/"):
                return await self._told(what, scope, counted.receive, facts)
        except OverBudgetError as error:
            logger.warning("A body for an endpoint of the guard's was not read: %s", error)
            return problem(*_OVERLOADED, headers=_SOON)
        finally:
            counted.close()
        return None

    async def _told(self, what: str, scope: Scope, receive: Receive, facts: Facts) -> Answer | None:
        """The response of an endpoint of `verification`; None where it is none."""
        place, _, rest = what[1:].partition("/")
        if not rest or "/" in rest:
            return None
        match f"/{place}":
            case _Places.verify:
                return await self._verifying.answer(rest, scope, receive, facts)
            case _Places.appeals:
                return await self._appealing.answer(rest, scope, receive, facts)
            case _Places.webhooks:
                return await self._reporting.webhook(rest, scope, receive, facts)
        return None

    async def ready(self) -> bool:
        """Whether requests are served: the store answers, or the policy lets requests pass where it does not.

        The store is asked only where its answer matters, and as a request asks it, once: a store that is full or read-only
        answers reads. So asking without end costs the store what requests without end would.
        """
        store = self._guardrail.store
        if self._guardrail.engine.mode != "enforce" or not isinstance(store, Resilient) or store.on_error != "deny":
            return True
        home = f"p:{token_hex(8)}"
        try:
            await store.charge(Bill(token_hex(12), (Entry(home, _PROBE),), home))
        except Exception as error:
            logger.info("Not ready: %s", type(error).__name__, exc_info=error)
            return False
        return True


async def _send(send: Send, status: int, kind: bytes, body: bytes, *fields: tuple[bytes, bytes], head: bool = False) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *fields,
    ]
    await send_answer(send, Answer(status, headers, body), head=head)
