"""Where our own endpoints are, as whoever asked must write it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from guardrail_mw.engine.hints import hint

if TYPE_CHECKING:
    from guardrail_mw.asgi.types import Scope
    from guardrail_mw.engine import Exchange
    from guardrail_mw.policy.endpoints import EndpointsSettings

__all__ = ["appeal_of", "url_of"]


def url_of(scope: Scope, settings: EndpointsSettings, path: str) -> str:
    """Where an endpoint is: absolute where the policy says how the outside sees this server, else a path."""
    own = f"{settings.prefix}{path}"
    return f"{settings.public_url}{own}" if settings.public_url is not None else _below_root(scope, own)


def appeal_of(exchange: Exchange, scope: Scope) -> str:
    """Where whoever is refused may appeal; empty where nobody may, or nobody could be told apart."""
    appeals = exchange.engine.appeals
    found = appeals.link(exchange, hint(exchange)) if appeals is not None else ""
    return found if not found or exchange.engine.policy.endpoints.public_url is not None else _below_root(scope, found)


def _below_root(scope: Scope, own: str) -> str:
    """A path where the app is mounted below another."""
    root = quote(scope.get("root_path") or "", safe="/~!$&'()*+,;=:@").lstrip("/")  # may be what a client has asked for
    return f"/{root}{own}" if root else own
