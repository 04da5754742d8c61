"""Cases: who is to be verified by whom, how far that has come, and what was done about it.

What a verification has come to lies in the account's standing (`friction.verification.assurance`), where every request finds it.
The case itself, with its history, is a record in a drawer of the store's; the link that people get is sealed over all that its
page shows, so that a link costs the store nothing. Whoever has it can begin and look, and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.clusters.binding import bound
from guardrail_mw.engine.ground import CASE, KEPT, OWNER, files_of, noted
from guardrail_mw.engine.states import decided
from guardrail_mw.errors import StoreError
from guardrail_mw.friction.memory import rung as remembered_rung
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.sealing import Sealer
from guardrail_mw.friction.verification.assurance import Entry, code_of, entries, raised
from guardrail_mw.friction.verification.providers import Begin, Means
from guardrail_mw.recent import Recent
from guardrail_mw.stores.base import Change, Files

if TYPE_CHECKING:
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.engine.ground import Ground
    from guardrail_mw.friction.ladder import Rung
    from guardrail_mw.friction.verification import Asking
    from guardrail_mw.friction.verification.providers import Provider
    from guardrail_mw.friction.verification.settings import VerificationSettings

__all__ = ["VERIFY", "Cases", "Link", "lost"]

logger = logging.getLogger("guardrail_mw")

VERIFY: Final = "/verify"
"""Below the prefix."""
_ASKED: Final = 65_536
"""Cases of which a process remembers that it has filed them."""
_VERSION: Final = 1


class Link(NamedTuple):
    """What the address of a verification says."""

    subject: str
    """Home of who is verified: an account, or a cluster, `c:…`, for its organisation."""
    account: str
    """Home of the account that was asked."""
    provider: str
    level: str
    rung: str
    """The name of the rung that asked."""
    decision: str
    """The id of the decision that asked."""
    since: int
    """µs when it was made."""
    until: int
    who: str
    """What its owner knows the account by: the end of a key, the middle of a name left out."""


def lost(link: Link, fields: Mapping[str, str]) -> bool:
    """Whether an organisation was approved, and the account of a link has nothing of it.

    There was no such cluster then; or the account was asked afterwards: clusters change, and what was said of one holds for no
    other that has its name.
    """
    said = whole(fields.get("heard"))
    approved = link.subject != link.account and fields.get("state") == "approved"
    return approved and (fields.get("why") == "gone" or 0 < said < link.since)


class Cases:
    """The cases of a policy's providers.

    Args:
        settings: the policy's `verification`.
        ground: what they stand on.
    """

    def __init__(self, settings: VerificationSettings, ground: Ground) -> None:
        self.settings = settings
        self.standings = ground.standings
        self.clock = ground.clock
        self.notices = ground.notices
        self.store = ground.store
        self.vouch = ground.vouch
        self._key = ground.key
        endpoints, keys = ground.endpoints, ground.keys
        self.base = f"{endpoints.public_url or ''}{endpoints.prefix}{VERIFY}/"
        self._links = Sealer(keys.derive("verify"))
        self._references = Sealer(keys.derive("reference"))
        self.means = Means(ground.clock, self._token, self.base)
        """What providers may use."""
        self.providers: dict[str, Provider] = {name: each.build(self.means) for name, each in settings.providers.items()}
        """By their names in the policy."""
        self._filed: Recent[str, bool] = Recent(_ASKED)
        """Ways back, by the provider's ids."""

    @property
    def files(self) -> Files:
        """Where records are."""
        return files_of(self.store)

    def _token(self, kind: str, value: str) -> str:
        return blake2b(value.encode(), digest_size=16, key=self._key, person=kind.encode()[:16]).hexdigest()

    def name(self, subject: str, provider: str, level: str) -> str:
        """What the record of a case is called."""
        said = f"{subject}\0{provider}\0{level}"
        return blake2b(said.encode(), digest_size=12, key=self._key, person=b"case").hexdigest()

    def named(self, link: Link) -> str:
        """Likewise of a link's."""
        return self.name(link.subject, link.provider, link.level)

    # Asking

    async def ask(self, exchange: Exchange, rung: Rung, asks: Asking, who: str) -> tuple[str, int]:
        """The address where whoever a rung has stopped is verified, and until when it is good. The first time is filed.

        Args:
            exchange: judged, of an account.
            rung: that acts.
            asks: what it wants.
            who: what the account's owner knows it by.
        """
        subject, now = exchange.subject, self.clock.now()
        assert subject is not None  # noqa: S101 - a rung acts
        link = Link(
            self.whose(exchange, asks),
            subject.candidate,
            asks.provider,
            asks.level,
            rung.name,
            exchange.id,
            now,
            now + self.settings.link.us,
            who,
        )
        try:
            await self._file(link, exchange.standing.fields)
        except StoreError as error:
            logger.info("That a case was asked for could not be noted: %s", error)
        return self.base + self._links.seal_values(_VERSION, link), link.until

    async def _file(self, link: Link, fields: Mapping[str, str]) -> None:
        name, now = self.named(link), link.since
        alone = link.subject == link.account
        held = entries(fields).get(code_of(link.provider, link.level)) if alone else None
        mark = f"{name} {held.order if held is not None else 0} {fields.get('since', '')}"  # a standing may be forgotten
        if self._filed.get(mark):
            return
        deadline, on = now + self.settings.deadline.us, remembered_rung(fields)
        reached = on.since if on.name == link.rung and on.since else now
        known = await self.files.file(
            CASE,
            name,
            [
                Change("first", "subject", link.subject),
                Change("first", "account", link.account),
                Change("first", "provider", link.provider),
                Change("first", "level", link.level),
                Change("first", "asked", str(now)),
                Change("first", "deadline", str(deadline)),
                Change("set", "rung", link.rung),
                Change("set", "decision", link.decision),
            ],
            now + KEPT,
        )
        if alone and held is None and known.get("state") == "approved" and now < whole(known.get("until")):
            await self._restore(name, link, known)
        again = decided(known, now)
        if again or known.get("asked") == str(now):
            said = [noted(reached, "reached", link.rung), noted(now, "asked", link.decision)]
            anew = {"asked": str(now), "deadline": str(deadline), "anew": known.get("order", "")} if again else {}
            said += [Change("set", *each) for each in anew.items()]
            await self.files.file(CASE, name, said, now + KEPT)
            self.notices.tell(
                "asked", now, case=name, account=link.account, subject=link.subject, rung=link.rung, deadline=deadline
            )
        if alone:
            await self.own(link.account, name, now + KEPT)
        self._filed.put(mark, True)  # noqa: FBT003 - a value

    async def own(self, account: str, name: str, until: int) -> None:
        """Note whose own a case is, so that it is found, whatever the policy has by then, when the account is to be forgotten."""
        await self.files.file(OWNER, account, [Change("set", f"c.{name}", "")], until)

    async def _restore(self, name: str, link: Link, known: Mapping[str, str]) -> None:
        """Put an approval back into a standing that was forgotten, as that of who does not call for 90 days is."""
        at, until = whole(known.get("at")), whole(known.get("until"))
        entry = Entry("approved", at, until, known.get("ial", ""), known.get("acr", ""), link.provider, name)
        await self.store.remember(link.account, raised({}, code_of(link.provider, link.level), entry))

    @staticmethod
    def whose(exchange: Exchange, asks: Asking) -> str:
        """Who is verified: where an organisation's word is enough, the suspect cluster that the account is in."""
        subject = exchange.subject
        assert subject is not None  # noqa: S101 - a rung acts
        cluster = bound(exchange.standing.fields) if asks.organisation else ""
        return f"c:{cluster}" if cluster else subject.candidate

    # Looking

    def read(self, sealed: str) -> Link | None:
        """What a link says, whether its time is over or not; None for what we did not seal."""
        values = self._links.open_values(_VERSION, sealed)
        return Link(*values) if values is not None else None

    def begun(self, link: Link, sealed: str, reference: str = "") -> Begin:
        """What a provider is told of it, but for the idempotency key; under the reference that it has, if it has one."""
        return Begin(reference or self.reference(self.named(link)), link.level, self.base + sealed, "")

    def reference(self, name: str) -> str:
        """What a provider is given for a case, to carry it: another each time, and always the case's."""
        return self._references.seal(name.encode())

    def referred(self, reference: str) -> str:
        """The name of a case, as a provider carries it; empty for what we did not give."""
        plain = self._references.open(reference) if reference else None
        return plain.decode() if plain is not None else ""

    async def case(self, link: Link) -> Mapping[str, str]:
        """The record of a link's case; empty where there is none.

        Raises:
            StoreError: it cannot be known.
        """
        return await self.files.pull(CASE, self.named(link)) or {}

    def onward(self, name: str) -> Sequence[str]:
        """Origins that a provider may send people to, for a page's policy."""
        provider = self.providers.get(name)
        hosts = provider.hosts if provider is not None else ()
        return [f"https://{each}{host}" for host in hosts for each in ("", "*.")]
