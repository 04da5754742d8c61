"""What the owner of an account knows it by, so that a page can name it: the end of a key, a name with its middle left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrail_mw.identity.claims import peek_claims

if TYPE_CHECKING:
    from guardrail_mw.engine.exchange import Exchange

__all__ = ["hint", "masked"]

_NAMES: Final = ("email", "preferred_username", "name", "sub")
_KEY: Final = 12
"""Characters from which on a key shows its last four: fewer than a third of what is secret."""
_SHORT: Final = 4
_CUT: Final = 64


def hint(exchange: Exchange) -> str:
    """For the account of an exchange; its digest's beginning where its credential has no name that its owner would know."""
    subject, resolver = exchange.subject, exchange.engine.resolver
    assert subject is not None  # noqa: S101 - identified before
    shown = resolver.shown(exchange.facts)
    if subject.source == "jwt":
        claims = peek_claims(shown) or {}
        name = next((each for each in map(claims.get, _NAMES) if isinstance(each, str) and each), "")
        if name:
            return masked(name)
    elif len(shown) >= _KEY:
        return f"…{_plain(shown[-4:].decode('latin-1'))}"
    return subject.candidate.removeprefix("a:")[:8]


def masked(name: str) -> str:
    """A name with its middle left out; of an address its domain stays."""
    name = _plain(name)[:256]
    local, at, domain = name.rpartition("@")
    if at and local:
        return f"{local[0]}…@{domain}"[:_CUT]
    return f"{name[:1]}…" if len(name) <= _SHORT else f"{name[:2]}…{name[-2:]}"


def _plain(text: str) -> str:
    return "".join([each if each.isprintable() else "?" for each in text])
