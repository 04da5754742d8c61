"""What http requests and sockets have in common at the edge."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from random import random
from typing import TYPE_CHECKING, Any, Literal

from guardrail_mw.asgi.asked import asked
from guardrail_mw.asgi.clearing import challenged
from guardrail_mw.asgi.fields import Limit, Template
from guardrail_mw.asgi.respond import Answer, close_turn, send_answer, send_refusal
from guardrail_mw.engine import refusals
from guardrail_mw.errors import TokenError
from guardrail_mw.values import Allow, Challenge, Delay, Deny, Facts, Subject, Trim, Verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrail_mw.asgi.dialects.base import Dialect
    from guardrail_mw.asgi.types import App, Receive, Scope, Send
    from guardrail_mw.engine import Exchange, Guardrail
    from guardrail_mw.limits.tariff import Shape

__all__ = ["Edge", "facts_of", "is_preflight", "own_path"]

logger = logging.getLogger("guardrail_mw")

_PREFLIGHT = b"access-control-request-method"
_STRIPPED = (b"x-guardrail", b"x_guardrail")
_CUT = 512
_REMEMBERED = 256

Header = tuple[bytes, bytes]


def own_path(scope: Scope) -> str:
    """The path below the app's root. Source: ASGI 3.0, `path` includes `root_path`."""
    path: str = scope["path"]
    root: str = scope.get("root_path") or ""
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        return path[len(root) :] or "/"
    return path


def facts_of(scope: Scope, path: str, kind: Literal["http", "websocket"]) -> Facts:
    """Read the scope. What pretends to come from us is taken out, for the app as well."""
    headers = scope.get("headers")
    if not isinstance(headers, list):  # any iterable, perhaps one that can be read once; tests of apps leave it out
        headers = scope["headers"] = list(headers or ())
    if [1 for name, _ in headers if name >= b"x" and name.startswith(_STRIPPED)]:  # comparing halves what startswith costs
        headers = scope["headers"] = [header for header in headers if not header[0].startswith(_STRIPPED)]
    client = scope.get("client")
    return Facts(scope.get("method", "GET"), path, headers, peer=(client[0] if client else "") or "unix", kind=kind)


def is_preflight(facts: Facts) -> bool:
    """Whether a browser asks what a script of another origin may send: it is free, and the app's to answer, wherever it goes."""
    return facts.method == "OPTIONS" and any(name == _PREFLIGHT for name, _ in facts.headers)


class Edge:
    """Identifies, charges and refuses, for both kinds of connection."""

    def __init__(self, app: App, guardrail: Guardrail, dialects: Mapping[str, Dialect]) -> None:
        self.app = app
        self.guardrail = guardrail
        self.dialects = dialects
        self._twins = False

    def warn_of_twins(self) -> None:
        """Another middleware of ours has charged this request already. Said once; two with different policies may be meant."""
        if not self._twins:
            self._twins = True
            logger.warning(
                "Two GuardrailMiddleware stand before one app, and each charges: on a shared store every request counts twice. "
                "Mount it once, unless the two have policies of their own."
            )

    async def identify(self, exchange: Exchange) -> Subject | Deny:
        """Whom the request is attributed to, or why its credential is refused; in shadow it falls back to its network."""
        engine, facts = exchange.engine, exchange.facts
        try:
            found = engine.identify(facts)
            return found if isinstance(found, Subject) else await found
        except TokenError as error:
            deny = self.bad(exchange, error)
            return deny if deny is not None else engine.resolver.fallback(facts)

    def bad(self, exchange: Exchange, error: TokenError) -> Deny | None:
        """Bad input: the refusal, or None in shadow, where it is noted."""
        deny = refusals.bad_input(exchange.id, error)
        logger.info("%s: %s (%s) %r", exchange.id, error.public, error.code, error.detail[:_CUT])
        return self.unless_shadow(exchange, deny)

    def unless_shadow(self, exchange: Exchange, deny: Deny) -> Deny | None:
        """The refusal; in shadow it is noted, and nothing is done."""
        if exchange.engine.mode == "enforce":
            self.guardrail.counts.count("engine.refused")
            return deny
        if exchange.would is None:
            exchange.would = deny
            self.guardrail.counts.count("engine.would_refuse")
            limit = f" by {deny.refusal.limit}" if deny.refusal is not None else ""
            logger.info("%s: would have been refused%s (%s)", exchange.id, limit, deny.code)
        return None

    def obey(self, exchange: Exchange, deny: Deny | None) -> Deny | None:
        """Decide; in shadow what would have been done is noted, and nothing is."""
        decision = deny if deny is not None else exchange.engine.decide(exchange)
        if isinstance(decision, (Challenge, Verify)):
            decision = refusals.by_rung(decision)
        if isinstance(decision, Deny):
            if self.unless_shadow(exchange, decision) is not None:
                exchange.decision = decision
                return decision
            decision = Allow(exchange.id)
        elif type(decision) is not Allow and exchange.engine.mode != "enforce":
            exchange.would = decision
            self.guardrail.counts.count("engine.would_slow")
            decision = Allow(exchange.id)
        exchange.decision = decision
        return None

    async def slow(self, exchange: Exchange) -> None:
        """Let a delayed exchange wait, its slots held; where too many wait already it is trimmed instead."""
        decision, engine = exchange.decision, exchange.engine
        if not isinstance(decision, Delay):
            return
        waiting = engine.judge.waiting
        if not waiting.admit():
            judgement = exchange.judgement
            if judgement is not None:
                step = judgement.step
                exchange.judgement = judgement._replace(step=step._replace(why=(*step.why, "delays-full")))
            if engine.judge.permits(exchange, "trim"):
                exchange.decision = Trim(exchange.id, (), decision.reasons)
            return
        exchange.delayed = await waiting.wait(decision.seconds, self.guardrail.sleep)

    @contextmanager
    def held(self, exchange: Exchange) -> Iterator[None]:
        """Renew what the exchange holds meanwhile."""
        receipt = exchange.receipt
        if receipt is None or not receipt.open:
            yield
            return
        keeper = self.guardrail.keeper()
        keeper.hold(exchange)
        try:
            yield
        finally:
            keeper.release(exchange)

    @staticmethod
    def abandon(exchange: Exchange) -> None:
        """It ended before the app heard of it: everything goes back."""
        if exchange.receipt is not None:
            exchange.engine.cancel(exchange)
            exchange.engine.record(exchange, "abandoned", status=0)

    def device_field(self, exchange: Exchange) -> list[Header]:
        """The cookie that makes the caller's device a signed one, if the client keeps it, where one is due."""
        engine, subject = exchange.engine, exchange.subject
        cookie: bytes | None = b""
        if subject is not None and subject.device_due:
            cookie = engine.resolver.device_cookie(exchange.facts)
        elif engine.clearing is not None:
            cookie = engine.clearing.introduced(exchange)
        return [(b"set-cookie", cookie)] if cookie else []

    async def refuse(self, exchange: Exchange, deny: Deny, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the refusal; what was charged goes back first."""
        engine, dialect = exchange.engine, self.dialects[exchange.dialect]
        engine.cancel(exchange)
        told = await challenged(exchange, deny, scope, receive)
        if isinstance(told, Deny):
            told = await asked(exchange, told, scope)
        if isinstance(told, Deny):
            deny = told
        exchange.decision = deny
        event = engine.record(exchange, "denied", status=dialect.status(deny))
        if event is not None and self.guardrail.tracing is not None:
            self.guardrail.tracing.refused(event)
        if isinstance(told, Answer):
            await send_answer(send, told, head=scope["method"] == "HEAD")
            return
        await send_refusal(
            scope,
            receive,
            send,
            deny,
            dialect,
            self.rate_fields(exchange),
            random=random(),  # noqa: S311 - jitter, no secret
            now=exchange.receipt.now if exchange.receipt is not None else None,
        )

    async def close_turn(self, send: Send, deny: Deny) -> int:
        """Close a socket whose turn is refused; the code it was closed with."""
        return await close_turn(send, deny)

    def rate_fields(self, exchange: Exchange) -> list[Header]:
        """The fields that tell what is left; none in shadow, none where nothing was charged."""
        receipt, tariff = exchange.receipt, exchange.tariff
        if receipt is None or tariff is None or exchange.engine.mode != "enforce":
            return []
        return _template(tariff.shape, exchange).render(receipt.readings, receipt.now)


def _template(shape: Shape, exchange: Exchange) -> Template:
    """The fields of a tariff, made once. What belongs to everyone, or refuses nobody, is not shown."""
    template: Any = shape.template
    if template is None:
        shown = [
            Limit(slot.limit.name, slot.limit.kind, slot.limit.unit, slot.limit.depth, slot.limit.span, place=place)
            for place, slot in zip(shape.places, shape.slots, strict=True)
            if not (slot.share or slot.limit.shared or slot.limit.shadow)
        ]
        template = shape.template = Template(shown, exchange.dialect, exchange.engine.policy.headers)
    kept: Template = template
    return kept
