"""The account of a credential: what the servers would call whoever shows it."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import isawaitable
from typing import TYPE_CHECKING, NamedTuple

from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.errors import TokenError
from guardrail_mw.identity.digest import Digester
from guardrail_mw.values import Facts

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import Guardrail
    from guardrail_mw.policy import Policy

__all__ = ["Named", "name"]

_NOWHERE = "192.0.2.1"
"""An address of documentation (RFC 5737), from which nobody calls."""


class Named(NamedTuple):
    """Whose a credential is."""

    account: str
    source: str
    """Which of the policy's sources recognised it."""


async def name(guardrail: Guardrail, credential: str, source: str | None) -> Named:
    """Whose it is: a key, a token, a proxy's name for the account. Nothing is charged, remembered of it, or logged.

    Args:
        guardrail: its policy has the sources, its secrets the key of digests.
        credential: is in no text of an error.
        source: whose it must be; whichever recognises it if None.

    Raises:
        MisuseError: it is nobody's, or there is no such source.
    """
    policy = guardrail.policy
    known = [item.use for item in policy.identity.sources]
    if source is not None and source not in known:
        raise MisuseError("source", f"is none of the policy's: {', '.join(known) or 'it has none'}.")
    credential = credential.strip()
    if not credential:
        raise MisuseError("credential", "is empty.")
    trouble: TokenError | None = None
    for headers in _presented(policy, credential, source):
        try:
            found = guardrail.engine.identify(Facts("POST", "/", [headers], peer=_NOWHERE))
            subject = await found if isawaitable(found) else found
        except TokenError as error:
            trouble = error
            continue
        if subject.candidate and source in {None, subject.source}:
            return Named(subject.candidate, subject.source)
    for item in policy.identity.sources:
        if item.use == "header" and source in {None, "header"}:  # a proxy's word, which needs no proof here
            digester = Digester(guardrail.secrets.id_key)
            return Named(digester.account(item.use, item.with_.issuer, credential), item.use)
    if trouble is not None:
        raise MisuseError("credential", f"is refused: {trouble.public} ({trouble.code})")
    raise MisuseError("credential", "is recognised by no source of the policy.")


def _presented(policy: Policy, credential: str, source: str | None) -> Iterator[tuple[bytes, bytes]]:
    """The headers that it may stand in."""
    try:
        value = credential.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise MisuseError("credential", "is no text.") from error
    names: dict[str, None] = {}
    for item in policy.identity.sources:
        if source in {None, item.use}:
            names |= dict.fromkeys(getattr(item.with_, "headers", ()))
    for header in names:
        yield header.encode(), b"Bearer " + value if header == "authorization" else value
