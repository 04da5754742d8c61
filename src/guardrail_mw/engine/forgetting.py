"""Forgetting an account's cases and what it wrote in appeals; and finding them, to be exported.

Providers are asked to forget too. What they do not is said, for nobody here can find it any more afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.engine.appeals import APPEAL
from guardrail_mw.engine.ground import CASE, OWNER, REFERENCE, files_of, history, referring
from guardrail_mw.friction.verification.assurance import entries
from guardrail_mw.friction.verification.providers import ProviderError
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import Guardrail
    from guardrail_mw.friction.verification.providers import Provider
    from guardrail_mw.stores.base import Files

__all__ = ["Forgotten", "cases_of", "forget_cases", "forget_texts", "texts_of"]

logger = logging.getLogger("guardrail_mw.operators")

_MAY_GO_ON: Final = frozenset({"unavailable", "refused", "unreadable"})
"""Why a verification that was to be cancelled may go on; one that is over cannot be cancelled, and need not be."""


class Forgotten(NamedTuple):
    """What became of it."""

    some: bool = False
    """Whether there was something."""
    left: tuple[Mapping[str, str], ...] = ()
    """What providers still have: `provider`, `verification` (its id there), `why`."""


async def cases_of(guardrail: Guardrail, account: str) -> dict[str, Mapping[str, str]]:
    """The records of an account's cases, by their names: of what the policy can ask for now, and of what was noted as its own.

    A case of the organisation behind its cluster is not its own.
    """
    files, cases = files_of(guardrail.store), guardrail.engine.cases
    names = []
    if cases is not None:
        for provider, settings in cases.settings.providers.items():
            names += [cases.name(account, provider, level) for level in settings.levels or ()]
    names += [name.removeprefix("c.") for name in await files.pull(OWNER, account) or () if name.startswith("c.")]
    if account.startswith("a:"):
        fields = (await guardrail.peek(account)).standing.fields
        names += [each.case for each in entries(fields).values()]
    found = {name: await files.pull(CASE, name) for name in dict.fromkeys(names)}
    return {
        name: fields
        for name, fields in found.items()
        if fields is not None and fields.get("account") == account == fields.get("subject", account)
    }


async def forget_cases(guardrail: Guardrail, account: str) -> Forgotten:
    """Shred an account's cases, each after its provider was asked to forget what was begun.

    Raises:
        StoreError: the store failed; what is left is found again when it is repeated.
    """
    files, cases = files_of(guardrail.store), guardrail.engine.cases
    found = await cases_of(guardrail, account)
    left = []
    for name, fields in found.items():
        provider = fields.get("provider", "")
        made = cases.providers.get(provider) if cases is not None else None
        begun = [detail for _, what, detail in history(fields) if what == "started"] + [fields.get("ref", "")]
        for which in dict.fromkeys(filter(None, begun)):
            why = await _redacted(made, which) if made is not None else "the policy does not have this provider any more"
            if why:
                left.append({"provider": provider, "verification": which, "why": why})
                logger.warning("erase: %s still has %s of %s: %s", provider, which, account, why)
            await files.shred(REFERENCE, referring(provider, which))
        await files.shred(CASE, name)
    await files.shred(OWNER, account)
    return Forgotten(bool(found), tuple(left))


async def _redacted(provider: Provider, which: str) -> str:
    """Have a verification cancelled and forgotten; why it may not be, else nothing."""
    why = ""
    try:
        await provider.cancel(which)
    except ProviderError as error:
        why = f"not cancelled: {error.detail}" if error.code in _MAY_GO_ON else ""
    try:
        await provider.redact(which)
    except ProviderError as error:
        return f"not redacted: {error.detail}"
    return why


def texts_of(fields: Mapping[str, str], account: str) -> dict[str, str]:
    """Of an appeal's record what is an account's: all of it where it is the subject, else what it wrote."""
    if fields.get("subject") == account:
        return dict(fields)
    return {name: text for name, text in fields.items() if name.startswith("t.") and name.endswith(f".{account}")}


async def forget_texts(files: Files, name: str, fields: Mapping[str, str], account: str) -> None:
    """Forget what an account wrote in an appeal; its own appeal goes whole."""
    if fields.get("subject") == account:
        await files.shred(APPEAL, name)
    else:
        await files.file(APPEAL, name, [Change("unset", field) for field in texts_of(fields, account)], 0)
