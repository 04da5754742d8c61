"""One http request through the pipeline."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from guardrail_mw.asgi.body import BodyReader, Unread
from guardrail_mw.asgi.edge import Edge, facts_of, is_preflight, own_path
from guardrail_mw.asgi.inspect import inspect, refuse_encoded, should_offload
from guardrail_mw.asgi.trimming import rewritten, trim
from guardrail_mw.asgi.usage import Meter
from guardrail_mw.engine import refusals
from guardrail_mw.engine.exchange import NOTHING
from guardrail_mw.errors import TokenError
from guardrail_mw.values import Allow, Deny, Subject, Trim

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from guardrail_mw.asgi.body import BodyBudget
    from guardrail_mw.asgi.dialects.base import Dialect
    from guardrail_mw.asgi.edge import Header
    from guardrail_mw.asgi.types import App, Message, Receive, Scope, Send
    from guardrail_mw.engine import Engine, Exchange, Guardrail
    from guardrail_mw.engine.core import Outcome
    from guardrail_mw.limits.tariff import Tariff
    from guardrail_mw.telemetry.tracing import Around

__all__ = ["Http"]

OURS = frozenset(
    [b"x-guardrail-decision", b"x-guardrail-trimmed", b"ratelimit", b"ratelimit-policy"]
    + [f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset") for unit in ("requests", "tokens")]
    + [
        f"anthropic-ratelimit-{unit}-{what}".encode()
        for what in ("limit", "remaining", "reset")
        for unit in ("requests", "tokens", "input-tokens", "output-tokens")
    ]
)
"""Fields that we may add. Where the app sends one that we send too (a proxy's upstream did), ours stands alone."""
_MARK = "guardrail_mw"
"""In the scopes of requests that were charged."""


class Http(Edge):
    """Guards http requests."""

    def __init__(self, app: App, guardrail: Guardrail, dialects: Mapping[str, Dialect], budget: BodyBudget) -> None:
        super().__init__(app, guardrail, dialects)
        self._budget = budget

    async def __call__(self, engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
        """Guard one request."""
        path = own_path(scope)
        method = scope["method"]
        route = engine.router.find(path, method)
        facts = facts_of(scope, path, "http")
        if route.exempt or is_preflight(facts):
            await self.app(scope, receive, send)
            return
        exchange = engine.begin(route, facts)
        found = await self.identify(exchange)
        if not isinstance(found, Subject):
            await self.refuse(exchange, found, scope, receive, send)
        elif route.measured:
            reader = self._reader(exchange, found, receive)
            try:
                await self._charge(exchange, found, await self._read(exchange, reader), scope, reader.receive, send, reader)
            finally:
                reader.close()
        else:
            await self._charge(exchange, found, None, scope, receive, send)

    def _reader(self, exchange: Exchange, subject: Subject, receive: Receive) -> BodyReader:
        """Of the request's body; whoever made it closes it."""
        policy = exchange.engine.policy.inspect
        self._budget.limit = policy.budget.bytes
        return BodyReader(receive, policy.max_body.bytes, self._budget, exchange.facts.headers, subject.account)

    async def _read(self, exchange: Exchange, reader: BodyReader) -> Deny | None:
        """Inspect the body; what is wrong with it, unless this is shadow: then it goes on as it is, uninspected."""
        engine = exchange.engine
        reserve = engine.policy.reserve
        try:
            refuse_encoded(exchange.facts.headers)
            body = await reader.read()
            if isinstance(body, Unread):
                shed = body is Unread.OVER_BUDGET
                return self.unless_shadow(exchange, refusals.overloaded(exchange.id)) if shed else None
            arguments = (exchange.facts.headers, body, reserve)
            if should_offload(len(body)):
                estimate = await asyncio.to_thread(
                    inspect, *arguments, path=exchange.facts.path, content=engine.read_content
                )
            else:
                estimate = inspect(*arguments, path=exchange.facts.path, content=engine.read_content)
        except TokenError as error:
            return self.bad(exchange, error)
        exchange.estimate = exchange.facts.body = estimate
        exchange.model = engine.planner.models.key(estimate.model)
        return None

    async def _charge(
        self,
        exchange: Exchange,
        subject: Subject,
        deny: Deny | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        reader: BodyReader | None = None,
    ) -> None:
        engine = exchange.engine
        tariff = engine.plan(exchange, subject)
        try:
            deny = await self._bill(exchange, tariff, deny)
            if _MARK in scope:
                self.warn_of_twins()
            scope[_MARK] = True
            scope.setdefault("state", {})["guardrail"] = exchange
            if deny is None and type(exchange.decision) is not Allow:
                with self.held(exchange):
                    await self.slow(exchange)
        except BaseException:  # cancelled, most likely: the app never heard of it
            self.abandon(exchange)
            raise
        decision = exchange.decision
        if deny is None and isinstance(decision, Trim):
            await self._pass_trimmed(exchange, subject, decision, scope, receive, send, reader)
        elif deny is None:
            await self._pass(exchange, subject, scope, receive, send)
        else:
            await self.refuse(exchange, deny, scope, receive, send)

    async def _pass_trimmed(
        self,
        exchange: Exchange,
        subject: Subject,
        decision: Trim,
        scope: Scope,
        receive: Receive,
        send: Send,
        reader: BodyReader | None,
    ) -> None:
        """Read the body, if nobody has, and let the app see what is left of it."""
        reading = reader if reader is not None else self._reader(exchange, subject, receive)
        try:
            try:
                with self.held(exchange):
                    deny = await self._trim(exchange, decision, reading)
            except BaseException:
                self.abandon(exchange)
                raise
            if deny is not None:
                await self.refuse(exchange, deny, scope, reading.receive, send)
                return
            if exchange.trimmed:
                scope = rewritten(scope, reading.size)
            await self._pass(exchange, subject, scope, reading.receive, send)
        finally:
            if reading is not reader:
                reading.close()

    async def _bill(self, exchange: Exchange, tariff: Tariff, bad: Deny | None) -> Deny | None:
        """Charge; returns what to answer, if not the app.

        What is bad about a request is answered after it was charged as one, or bad ones could be sent without end; that it
        is one too many is said first. What is shed is not charged: its client did nothing wrong.
        """
        engine = exchange.engine
        if bad is not None and bad.status >= 500:  # noqa: PLR2004
            return self.obey(exchange, bad)
        deny = await engine.charge(exchange, tariff)
        if deny is not None and deny.status < 500:  # noqa: PLR2004 - it can never fit
            bad = self.unless_shadow(exchange, deny)
            estimate, exchange.estimate = exchange.estimate, NOTHING
            deny = await engine.charge(exchange, exchange.tariff or tariff)
            exchange.estimate = estimate
        waiting = engine.score(exchange) if deny is None and bad is None else None
        if waiting is not None:
            await waiting
        deny = self.obey(exchange, deny)
        if deny is None and bad is not None:
            engine.settle(exchange, "refused")
        return deny or bad

    async def _pass(self, exchange: Exchange, subject: Subject, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer, and settle whatever happens."""
        fields = [(b"x-guardrail-decision", exchange.id.encode()), *self.rate_fields(exchange)]
        if exchange.trimmed:
            fields.append((b"x-guardrail-trimmed", ", ".join(exchange.trimmed).encode()))
        if subject.device_due or exchange.engine.clearing is not None:
            fields += self.device_field(exchange)
        tariff = exchange.tariff
        meter = Meter(exchange.estimate, exchange.facts.path) if tariff is not None and tariff.measured else None
        responder = _Responder(receive, send, fields, meter)
        tracing = self.guardrail.tracing
        if tracing is None:
            await self._run(exchange, responder, scope)
            return
        facts, estimate, route = exchange.facts, exchange.estimate, exchange.route
        model = estimate.model or exchange.model
        with tracing.around(
            facts.path, route=route.label, method=facts.method, dialect=exchange.dialect, model=model, stream=estimate.stream
        ) as span:
            await self._run(exchange, responder, scope, span)

    async def _run(self, exchange: Exchange, responder: _Responder, scope: Scope, span: Around | None = None) -> None:
        receipt = exchange.receipt
        keeper = self.guardrail.keeper() if receipt is not None and receipt.open else None
        if keeper is not None:
            keeper.hold(exchange)
        crashed = False
        try:
            await self.app(scope, responder.receive, responder.send)
        except Exception:
            crashed = not responder.gone
            raise
        finally:
            if keeper is not None:
                keeper.release(exchange)
            status = responder.status
            outcome = _outcome(status, crashed=crashed)
            meter = responder.meter
            usage = meter.usage() if meter is not None and outcome in {"answered", "abandoned"} else None
            exchange.engine.settle(exchange, outcome, status=status, usage=usage)
            event = exchange.engine.record(exchange, outcome, status=status, usage=usage)
            if span is not None and event is not None:
                span.settled(event)

    async def _trim(self, exchange: Exchange, decision: Trim, reader: BodyReader) -> Deny | None:
        """Take out of the body what its caller may not have at present; a refusal where it may not even be asked for."""
        facts = exchange.facts
        try:
            found, body = await trim(reader, exchange.engine.judge.trimmer(exchange), facts.headers, facts.path)
        except TokenError as error:
            if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
                return self.unless_shadow(exchange, refusals.overloaded(exchange.id))
            exchange.engine.settle(exchange, "refused")  # charged as one, or bad ones could be sent without end
            return self.bad(exchange, error)
        if found.refused:
            return self.unless_shadow(exchange, refusals.untrimmed(exchange.id, found.refused, decision.reasons))
        if found.names:
            reader.replace(body)
            exchange.trimmed = found.names
        return None


def _outcome(status: int, *, crashed: bool) -> Outcome:
    """How it ended. What the client walked out on before the first byte pays its prompt; what broke costs nothing."""
    if not status:
        return "failed" if crashed else "abandoned"
    if status >= 500:  # noqa: PLR2004
        return "failed"
    return "refused" if status >= 400 else "answered"  # noqa: PLR2004


class _Responder:
    """Stands between the app and the server: adds fields to the head, and lets the rest pass as it comes."""

    __slots__ = ("_fields", "_receive", "_send", "_unheard", "gone", "meter", "status")

    def __init__(self, receive: Receive, send: Send, fields: list[Header], meter: Meter | None) -> None:
        self._receive = receive
        self._send = send
        self._fields = fields
        self.meter = meter
        self.status = 0
        """0 until the answer has begun."""
        self.gone = False
        """Whether the app was told that the client went away: what it raises then is no failure of its own."""
        self._unheard = False
        """Whether it answered that with an error: then there was no answer, or hanging up would be free."""

    async def receive(self) -> Message:
        """For the app: the client's messages as they come."""
        try:
            message = await self._receive()
        except Exception:  # how Ray Serve may say it
            self.gone = True
            raise
        if message["type"] == "http.disconnect":
            self.gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """For the app. A plain function, so that passing on costs no second coroutine.

        The meter sees first what is sent: what a client hangs up on has been made for it.
        """
        if message["type"] == "http.response.start":
            status = message["status"]
            self._unheard = self.gone and status >= 400  # noqa: PLR2004
            if not self._unheard:
                self.status = status
            theirs = list(message.get("headers", ()))
            if [1 for name, _ in theirs if name in OURS]:
                ours = {name for name, _ in self._fields} & OURS  # an app's cookies stand beside ours
                theirs = [header for header in theirs if header[0] not in ours]
            message = {**message, "headers": [*theirs, *self._fields]}
        if self.meter is not None and not self._unheard:
            self.meter.message(message)
        return self._send(message)
