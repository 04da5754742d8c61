"""Cases: who is to be verified by whom, how far that has come, and what was done about it.

What a verification has come to lies in the account's standing (`friction.verification.assurance`), where every request finds it.
The case itself, with its history, is a record in a drawer of the store's; the link that people get is sealed over all that its
page shows, so that a link costs the store nothing. Whoever has it can begin and look, and nothing else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

from guardrail_mw.engine.states import decided
from guardrail_mw.errors import StoreError
from guardrail_mw.friction.memory import rung as remembered_rung
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.sealing import Sealer
from guardrail_mw.friction.verification.assurance import Entry, code_of, entries, raised
from guardrail_mw.friction.verification.providers import Begin, Means, ProviderError
from guardrail_mw.identity.failures import Failures
from guardrail_mw.recent import Recent
from guardrail_mw.stores.base import Change, Files, Tally
from guardrail_mw.stores.resilient import Resilient

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.engine.notices import Notices
    from guardrail_mw.engine.standings import Standings
    from guardrail_mw.friction.ladder import Rung
    from guardrail_mw.friction.verification import Asking
    from guardrail_mw.friction.verification.providers import Provider
    from guardrail_mw.friction.verification.settings import VerificationSettings
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.policy.endpoints import EndpointsSettings
    from guardrail_mw.stores.base import Store

__all__ = [
    "CASE",
    "KEPT",
    "REFERENCE",
    "VERIFY",
    "Begun",
    "Cases",
    "Ground",
    "Link",
    "Vouch",
    "files_of",
    "history",
    "lost",
    "noted",
    "referring",
    "shortened",
    "tally_of",
]

logger = logging.getLogger("guardrail_mw")

VERIFY: Final = "/verify"
"""Below the prefix."""
CASE: Final = "case"
REFERENCE: Final = "reference"
"""Drawers: cases by their names; their names, by the provider's ids."""
_DAY: Final = 86_400_000_000
KEPT: Final = 400 * _DAY
"""µs that a record is kept after it was last touched."""
_TRIES_FOR: Final = 30 * _DAY
_ASKED: Final = 65_536
"""Cases of which a process remembers that it has filed them."""
_BINDS: Final = frozenset({"suspect", "confirmed"})
_VERSION: Final = 1

_TURN: Final = 150_000_000
"""µs in which one click of several begins a verification: longer than a provider may take."""
_BACK: Final = 12
"""Ways back to what was begun, a minute: each is a call to the provider."""
_TOGETHER: Final = 5
"""How many times an account's tries all of a cluster have."""
_LINES: Final = 200
"""Of a history, those that say what was begun not counted."""

Begun: TypeAlias = Literal["approved", "pending", "many", "busy", "unavailable", "over"]
"""Why a verification does not begin: there is one that holds; one is being looked at, and wants nothing more; there were too
many; another click begins one; the provider cannot; the case is over."""


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

    def pack(self) -> bytes:
        """As it is sealed."""
        return json.dumps([_VERSION, *self], separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, plain: bytes) -> Link | None:
        """What was sealed; None for what another version sealed."""
        version, *rest = json.loads(plain)
        return cls(*rest) if version == _VERSION else None


class Vouch(Protocol):
    """Tells that the organisation behind a cluster was verified, or that this was taken back."""

    async def __call__(self, cluster: str, *, verified: bool, until: int, why: str) -> bool:
        """False where there is no such cluster any more.

        Args:
            cluster: its id.
            verified: or taken back.
            until: µs at which that ends.
            why: a line.

        Raises:
            StoreError: the store failed.
        """
        ...


class Ground(NamedTuple):
    """What cases and appeals stand on."""

    endpoints: EndpointsSettings
    """Where the middleware's own addresses are."""
    store: Store
    """Where records and standings are."""
    standings: Standings
    """What this process knows of them."""
    keys: Keyring
    """What links are sealed with."""
    key: bytes
    """What names and tokens are made with; for ever the same."""
    clock: Clock
    notices: Notices
    """Hear what happens."""
    vouch: Vouch | None = None
    """Tells that the organisation behind a cluster was verified; None where the policy has no clusters."""


def files_of(store: Store) -> Files:
    """Where records are kept.

    Raises:
        StoreError: this store keeps none.
    """
    inner = store.store if isinstance(store, Resilient) else store
    if not (isinstance(store, Files) and isinstance(inner, Files)):
        raise StoreError("This store keeps no records of cases.", f"{type(inner).__name__} is no `Files`.")
    return store


def tally_of(store: Store) -> Tally:
    """Where it is counted how many there were.

    Raises:
        StoreError: this store does not count.
    """
    inner = store.store if isinstance(store, Resilient) else store
    if not (isinstance(store, Tally) and isinstance(inner, Tally)):
        raise StoreError("This store keeps no tallies.", f"{type(inner).__name__} has no take().")
    return store


def noted(at: int, what: str, detail: str = "") -> Change:
    """A line of a record's history."""
    return Change("set", f"h.{at}.{what}", detail)


def lost(link: Link, fields: Mapping[str, str]) -> bool:
    """Whether an organisation was approved, and the account of a link has nothing of it.

    There was no such cluster then; or the account was asked afterwards: clusters change, and what was said of one holds for no
    other that has its name.
    """
    said = whole(fields.get("heard"))
    approved = link.subject != link.account and fields.get("state") == "approved"
    return approved and (fields.get("why") == "gone" or 0 < said < link.since)


def shortened(fields: Mapping[str, str]) -> list[Change]:
    """What makes room for a line where a history is long: the oldest go, but for those that say what was begun."""
    lines = [(whole(name.split(".")[1]), name) for name in fields if name.startswith("h.") and not name.endswith(".started")]
    return [Change("unset", name) for _, name in sorted(lines)[: max(0, len(lines) - _LINES + 1)]]


def history(fields: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """When, what, and a detail of it; the oldest first."""
    found = []
    for name, detail in fields.items():
        if name.startswith("h."):
            at, _, what = name.removeprefix("h.").partition(".")
            found.append((whole(at), what, detail))
    return sorted(found)


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
        self._resumed = Failures(ground.clock, _BACK)
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
        return self.base + self._links.seal(link.pack()), link.until

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
        self._filed.put(mark, True)  # noqa: FBT003 - a value

    async def _restore(self, name: str, link: Link, known: Mapping[str, str]) -> None:
        """Put an approval back into a standing that was forgotten, as that of who does not call for 90 days is."""
        at, until = whole(known.get("at")), whole(known.get("until"))
        entry = Entry("approved", at, until, known.get("ial", ""), known.get("acr", ""), link.provider, name)
        await self.store.remember(link.account, raised({}, code_of(link.provider, link.level), entry))

    @staticmethod
    def whose(exchange: Exchange, asks: Asking) -> str:
        """Who is verified: where an organisation's word is enough, the suspect cluster that the account is in."""
        subject, fields = exchange.subject, exchange.standing.fields
        assert subject is not None  # noqa: S101 - a rung acts
        cluster = fields.get("cluster", "") if asks.organisation and fields.get("verdict") in _BINDS else ""
        return f"c:{cluster}" if cluster else subject.candidate

    # Looking

    def read(self, sealed: str) -> Link | None:
        """What a link says, whether its time is over or not; None for what we did not seal."""
        plain = self._links.open(sealed)
        return Link.unpack(plain) if plain is not None else None

    def begun(self, link: Link, sealed: str, reference: str = "") -> Begin:
        """What a provider is told of it, but for the idempotency key; under the reference that it has, if it has one."""
        return Begin(reference or self._references.seal(self.named(link).encode()), link.level, self.base + sealed, "")

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

    # Beginning

    async def begin(self, link: Link, sealed: str) -> str | Begun:
        """Where a person goes who has consented; else why nowhere.

        Raises:
            StoreError: the store failed; what began at the provider may be begun again.
        """
        provider, now = self.providers.get(link.provider), self.clock.now()
        fields = await self.files.pull(CASE, self.named(link))
        if provider is None or fields is None or "account" not in fields:  # erased, or from another policy
            return "over"
        begin = self.begun(link, sealed, fields.get("reference", ""))
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
        name, count = self.named(link), whole(fields.get("round")) + 1
        which = f"{whole(fields.get('asked'))}-{count}"  # rounds are counted anew once erased
        if not await self._another(link, which):
            return "many"
        mark = f"turn.{count}.{self.clock.now() // _TURN}"
        reference = await self._turn(name, count, mark)
        if not reference:
            return "busy"
        back = blake2b(begin.return_url.encode(), digest_size=4).hexdigest()  # another wish under the same key is refused
        wish = begin._replace(case=reference, idempotency_key=f"{name}-{which}-{back}")
        return await self._start(provider, link, sealed, wish, count, mark)

    async def _turn(self, name: str, count: int, mark: str) -> str:
        """The reference of a case's next verification, whoever begins it; empty where another click does just now."""
        mine, place = token_hex(8), f"reference.{count}"
        changes = [Change("first", mark, mine), Change("first", place, self._references.seal(name.encode()))]
        known = await self.files.file(CASE, name, changes, self.clock.now() + KEPT)
        return known[place] if known[mark] == mine else ""

    async def _another(self, link: Link, which: str) -> bool:
        """Whether a case may begin one more verification: they cost something, whoever keeps clicking.

        Of a cluster each account has its tries, so that one of them does not use up all of them; together they have some more.
        """
        budget, until, most = f"starts:{self.named(link)}", self.clock.now() + _TRIES_FOR, self.settings.tries
        if link.subject == link.account:
            return await tally_of(self.store).take(budget, which, most, until)
        alone = await tally_of(self.store).take(f"{budget}:{link.account}", which, most, until)
        return alone and await tally_of(self.store).take(budget, which, most * _TOGETHER, until)

    async def _start(self, provider: Provider, link: Link, sealed: str, begin: Begin, count: int, mark: str) -> str | Begun:
        name, now = self.named(link), self.clock.now()
        try:
            started = await provider.start(begin)
        except ProviderError as error:
            logger.warning("A verification by %s could not begin: %s", link.provider, error.detail or error.code)
            await self.files.file(CASE, name, [Change("unset", mark)], now + KEPT)
            return "unavailable"
        said = {"ref": started.id, "url": started.url, "state": "", "until": "", "why": "", "started": str(now)}
        said |= {"reference": begin.case, "by": link.account}
        changes = [Change("set", field, value) for field, value in said.items()]
        changes += [Change("unset", mark), Change("unset", f"reference.{count}")]
        until = now + KEPT
        await self.files.file(REFERENCE, referring(link.provider, started.id), [Change("set", "case", name)], until)
        await self.files.file(
            CASE, name, [*changes, Change("max", "round", str(count)), noted(now, "started", started.id)], until
        )
        self.notices.tell("started", now, case=name, account=link.account, provider=link.provider)
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
        return self.base + sealed if url.startswith(self.base) else url

    def onward(self, name: str) -> Sequence[str]:
        """Origins that a provider may send people to, for a page's policy."""
        provider = self.providers.get(name)
        hosts = provider.hosts if provider is not None else ()
        return [f"https://{each}{host}" for host in hosts for each in ("", "*.")]


def referring(provider: str, which: str) -> str:
    """The name of the record that says whose case a provider's verification is."""
    return f"{provider}:{which}"
