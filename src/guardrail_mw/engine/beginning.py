"""How a verification begins: once consent is given, once however many clicks there are, and not without end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from hashlib import blake2b
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from guardrail_mw.engine.cases import lost
from guardrail_mw.engine.ground import CASE, KEPT, REFERENCE, noted, referring, tally_of
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.verification.providers import ProviderError
from guardrail_mw.identity.failures import Failures
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.engine.cases import Cases, Link
    from guardrail_mw.friction.verification.providers import Begin, Provider

__all__ = ["Beginning", "Begun"]

logger = logging.getLogger("guardrail_mw")

_TRIES_FOR: Final = 30 * 86_400_000_000
_TURN: Final = 150_000_000
"""µs in which one click of several begins a verification: longer than a provider may take."""
_BACK: Final = 12
"""Ways back to what was begun, a minute: each is a call to the provider."""
_TOGETHER: Final = 5
"""How many times an account's tries all of a cluster have."""

Begun: TypeAlias = Literal["approved", "pending", "many", "busy", "unavailable", "over"]
"""Why a verification does not begin: there is one that holds; one is being looked at, and wants nothing more; there were too
many; another click begins one; the provider cannot; the case is over."""


class Beginning:
    """Begins verifications of cases.

    Args:
        cases: what they are of.
    """

    def __init__(self, cases: Cases) -> None:
        self._cases = cases
        self._resumed = Failures(cases.clock, _BACK)

    async def begin(self, link: Link, sealed: str) -> str | Begun:
        """Where a person goes who has consented; else why nowhere.

        Raises:
            StoreError: the store failed; what began at the provider may be begun again.
        """
        provider, now = self._cases.providers.get(link.provider), self._cases.clock.now()
        fields = await self._cases.files.pull(CASE, self._cases.named(link))
        if provider is None or fields is None or "account" not in fields:  # erased, or from another policy
            return "over"
        begin = self._cases.begun(link, sealed, fields.get("reference", ""))
        if fields.get("state") == "approved" and now < whole(fields.get("until")) and not lost(link, fields):
            return "approved"
        if (
            fields.get("ref")
            and fields.get("state", "") in {"", "pending"}
            and fields.get("by", link.account) == link.account
        ):
            way = await self._go_on(provider, fields, begin)
            if way:
                return self._ours(way, sealed)
        return await self._begin(provider, link, sealed, begin, fields)

    async def _begin(
        self, provider: Provider, link: Link, sealed: str, begin: Begin, fields: Mapping[str, str]
    ) -> str | Begun:
        """Have another verification made, if there may be one and no other click makes it."""
        name, count = self._cases.named(link), whole(fields.get("round")) + 1
        which = f"{whole(fields.get('asked'))}-{count}"  # rounds are counted anew once erased
        if not await self._another(link, which):
            return "many"
        mark = f"turn.{count}.{self._cases.clock.now() // _TURN}"
        reference = await self._turn(name, count, mark)
        if not reference:
            return "busy"
        back = blake2b(begin.return_url.encode(), digest_size=4).hexdigest()  # another wish under the same key is refused
        wish = begin._replace(case=reference, idempotency_key=f"{name}-{which}-{back}")
        return await self._start(provider, link, sealed, wish, count, mark)

    async def _turn(self, name: str, count: int, mark: str) -> str:
        """The reference of a case's next verification, whoever begins it; empty where another click does just now."""
        mine, place = token_hex(8), f"reference.{count}"
        changes = [Change("first", mark, mine), Change("first", place, self._cases.reference(name))]
        known = await self._cases.files.file(CASE, name, changes, self._cases.clock.now() + KEPT)
        return known[place] if known[mark] == mine else ""

    async def _another(self, link: Link, which: str) -> bool:
        """Whether a case may begin one more verification: they cost something, whoever keeps clicking.

        Of a cluster each account has its tries, so that one of them does not use up all of them; together they have some more.
        """
        budget, until, most = (
            f"starts:{self._cases.named(link)}",
            self._cases.clock.now() + _TRIES_FOR,
            self._cases.settings.tries,
        )
        if link.subject == link.account:
            return await tally_of(self._cases.store).take(budget, which, most, until)
        alone = await tally_of(self._cases.store).take(f"{budget}:{link.account}", which, most, until)
        return alone and await tally_of(self._cases.store).take(budget, which, most * _TOGETHER, until)

    async def _start(self, provider: Provider, link: Link, sealed: str, begin: Begin, count: int, mark: str) -> str | Begun:
        name, now = self._cases.named(link), self._cases.clock.now()
        try:
            started = await provider.start(begin)
        except ProviderError as error:
            logger.warning("A verification by %s could not begin: %s", link.provider, error.detail or error.code)
            await self._cases.files.file(CASE, name, [Change("unset", mark)], now + KEPT)
            return "unavailable"
        said = {"ref": started.id, "url": started.url, "state": "", "until": "", "why": "", "started": str(now)}
        said |= {"reference": begin.case, "by": link.account}
        changes = [Change("set", field, value) for field, value in said.items()]
        changes += [Change("unset", mark), Change("unset", f"reference.{count}")]
        until = now + KEPT
        await self._cases.files.file(REFERENCE, referring(link.provider, started.id), [Change("set", "case", name)], until)
        await self._cases.files.file(
            CASE, name, [*changes, Change("max", "round", str(count)), noted(now, "started", started.id)], until
        )
        self._cases.notices.tell("started", now, case=name, account=link.account, provider=link.provider)
        return self._ours(started.url, sealed)

    async def _go_on(self, provider: Provider, fields: Mapping[str, str], begin: Begin) -> str:
        """The way back to what was begun, or why there is none now; empty where there will be none."""
        which = fields["ref"]
        if self._resumed.spent(which, which):
            return "busy"
        self._resumed.add(which, which)
        try:
            return (await provider.resume(which, begin)).url
        except ProviderError as error:
            if error.code in {"unsupported", "unavailable"}:
                return fields.get("url", "")
            if error.code != "rejected":
                return ""
        try:  # decided, or being looked at: another would cost something, and ask for the same once more
            report = await provider.fetch(which)
        except ProviderError as trouble:
            return "unavailable" if trouble.code == "unavailable" else ""
        return "pending" if report is not None and report.state == "pending" else ""

    def _ours(self, url: str, sealed: str) -> str:
        """Pages of ours are found under the link, which ends; the reference that the provider has does not."""
        return self._cases.base + sealed if url.startswith(self._cases.base) else url
