"""Whose a request is: sources, network and digests put together, with a short way for what was seen before."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from guardrail_mw.clock import Clock
from guardrail_mw.errors import TokenError
from guardrail_mw.identity.base import MAX_CREDENTIAL, Context, NullObserver, Presented, Source
from guardrail_mw.identity.crowd import Crowd
from guardrail_mw.identity.device import Devices
from guardrail_mw.identity.device_cookie import COOKIE
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.evidence import Evidence, EvidenceSettings
from guardrail_mw.identity.keys import Keyring
from guardrail_mw.identity.network import Locator, Place
from guardrail_mw.identity.settings import IdentitySettings
from guardrail_mw.recent import Recent
from guardrail_mw.values import Credential, Facts, Observer, Subject

__all__ = ["Resolver"]

REMEMBERED = 16_384
"""Subjects in a generation of the cache."""
WEIGHT = 16_777_216
"""Bytes of headers in a generation of the cache."""
HEAVIEST = 4_096
"""Bytes of headers beyond which a request is worked out each time."""
RECHECK = 60_000_000
"""µs after which a subject is worked out anew where something behind it may have changed: a token's key was withdrawn, a
network that shares its parent's home has become free or proved."""

_Read = tuple[tuple[bytes, bytes], ...]
_MALFORMED = re.compile(rb"[\x00-\x20,\x7f]")


class Resolver:
    """Attributes requests to subjects. One for a policy; may be used from several event loops.

    On a hit of its cache `identify` costs about a microsecond. What it caches is found by the peer and by every header that
    the policy has it read, so nothing is ever reused for another network or another credential, and never past a token's
    `exp`.

    Args:
        settings: the policy's `identity:`.
        id_key: 16 to 64 bytes, from `keys.Secrets.read`.
        clock: for expiry.
        observer: hears `identity.*`.
        keys: for the device's cookie; needed where the policy tells devices apart.
        evidence: the policy's `clusters`; None where it has none: then no evidence is worked out.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        *,
        id_key: bytes,
        clock: Clock,
        observer: Observer | None = None,
        keys: Keyring | None = None,
        evidence: EvidenceSettings | None = None,
    ) -> None:
        self._clock = clock
        self._observer: Observer = observer if observer is not None else NullObserver()
        self.digester = Digester(id_key)
        """Names accounts, networks and evidence."""
        self.evidence: Evidence | None = None
        """What subjects show; None where the policy has no clusters."""
        if evidence is not None:
            device = settings.device
            tls = device.tls_header.encode() if device is not None and device.tls_header is not None else b""
            self.evidence = Evidence(evidence, self.digester, tls=tls, issuers=len(settings.sources) > 1)
        networks = self.evidence.networks if self.evidence is not None else None
        self._locator = Locator(settings, self.digester, networks)
        self._crowd = Crowd(clock, self._observer)
        self._known: Recent[tuple[str, _Read], Subject] = Recent(REMEMBERED, weigh=_weigh, most=WEIGHT, heaviest=HEAVIEST)
        self._epoch = 0
        self.sources: tuple[Source, ...] = tuple(
            item.build(Context(item.use, clock, self._observer, self.forget)) for item in settings.sources
        )
        self._credentials = frozenset(name for source in self.sources for name in source.credentials)
        self._attributes = frozenset(name for source in self.sources for name in source.attributes)
        self._wanted = self._credentials | self._attributes | {self._locator.header}
        self._devices: Devices | None = None
        if settings.device is not None:
            if keys is None:
                raise ValueError("devices are told apart by a signed cookie, and there are no keys to sign it with")
            self._devices = Devices(settings.device, self.digester, keys, clock, self._observer)
            self._wanted |= self._devices.headers
        if self.evidence is not None:
            self._wanted |= self.evidence.headers

    def identify(self, facts: Facts) -> Subject | Awaitable[Subject]:
        """Whom the request is attributed to; an awaitable only where a source must ask elsewhere.

        The subject may be one that an earlier request got: its `cache` lives as long.

        Raises:
            TokenError: a credential is bad (401), there are several or one is malformed (400), or it is too long (431). An
                awaitable raises the same.
        """
        wanted = self._wanted
        read = tuple([(name, value) for name, value in facts.headers if name in wanted])
        if self._devices is not None:
            read = (*read, (COOKIE, self._devices.cookie(facts.headers)))
        known = self._known.get((facts.peer, read))
        if known is not None and (known.until is None or self._clock.now() < known.until):
            return known
        return self._resolve(facts.peer, read)

    def shown(self, facts: Facts) -> bytes:
        """The credential of a request that was identified; empty where it has none, or names its account by other fields."""
        wanted = self._credentials
        read = tuple([(name, value) for name, value in facts.headers if name in wanted])
        try:
            return self._present(read, self._place(facts)).credential
        except TokenError:
            return b""

    def fallback(self, facts: Facts) -> Subject:
        """The network's subject, whatever the credentials: for what is passed on although they are bad. Never raises."""
        place = self._place(facts)
        subject = self._anonymous(place)
        if self._devices is not None:
            read = tuple([(name, value) for name, value in facts.headers if name in self._devices.headers])
            _mark(subject, self._devices, read, self._devices.cookie(facts.headers), place)
        return subject

    def device_cookie(self, facts: Facts) -> bytes | None:
        """The value of a `set-cookie` header for the answer to a request whose subject's `device_due`; else do not ask.

        Each answer gets an id of its own, but for a client that already has one. None where the policy has no such cookie.
        """
        devices = self._devices
        return devices.issue(facts.headers) if devices is not None and devices.cookies else None

    def vouch(self, facts: Facts) -> None:
        """The app behind has accepted a credential from this network: it is told apart from its neighbours from now on."""
        place = self._place(facts)
        if place.plentiful:
            self._crowd.prove(place)

    def forget(self) -> None:
        """Work every subject out anew. May be called from any thread."""
        self._epoch += 1
        self._known.clear()

    async def start(self) -> None:
        """Let the sources get ready; where no lifespan comes, the first request that needs it does."""
        for source in self.sources:
            await source.start()

    async def aclose(self) -> None:
        """Let the sources end what runs in the background."""
        for source in self.sources:
            await source.aclose()

    def _place(self, facts: Facts) -> Place:
        header = self._locator.header
        chain = tuple(value for name, value in facts.headers if name == header) if header else ()
        return self._locator.locate(facts.peer, chain)

    def _resolve(self, peer: str, read: _Read) -> Subject | Awaitable[Subject]:
        epoch = self._epoch
        header = self._locator.header
        chain = tuple(value for name, value in read if name == header) if header else ()
        place = self._locator.locate(peer, chain)
        presented = self._present(read, place)
        for index, source in enumerate(self.sources):
            found = source.identify(presented)
            if found is None:
                continue
            if isinstance(found, Credential):
                return self._keep((peer, read), place, found, epoch)
            return self._resolve_later((peer, read), place, presented, found, index, epoch)
        return self._keep((peer, read), place, None, epoch)

    async def _resolve_later(
        self,
        key: tuple[str, _Read],
        place: Place,
        presented: Presented,
        waiting: Awaitable[Credential | None],
        index: int,
        epoch: int,
    ) -> Subject:
        found = await waiting
        for source in self.sources[index + 1 :]:
            if found is not None:
                break
            answer = source.identify(presented)
            found = answer if answer is None or isinstance(answer, Credential) else await answer
        return self._keep(key, place, found, epoch)

    def _present(self, read: _Read, place: Place) -> Presented:
        """The one credential of the request; two that differ, or one header twice, are nobody's."""
        names: tuple[bytes, ...] = ()
        attributes: dict[bytes, list[bytes]] = {}
        if len(read) == 1 and read[0][0] not in self._attributes:  # as nearly all are
            name, value = read[0]
            names = (name,)
            shown = _show(name, value) if name in self._credentials else _NOTHING
        else:
            shown = self._gather(read, attributes)
            names = tuple([name for name, _ in read if name in self._credentials])
        credential = shown.value if shown.readable else b""
        if credential:
            self._check(credential)
        return Presented(credential, names, attributes, place.trusted, place.home, place.parent)

    def _gather(self, read: _Read, attributes: dict[bytes, list[bytes]]) -> _Shown:
        """Sort headers into `attributes` and the one credential that all others must equal."""
        shown = _NOTHING
        names: set[bytes] = set()
        for name, value in read:
            if name in self._attributes:
                attributes.setdefault(name, []).append(value)
            if name not in self._credentials:
                continue
            found = _show(name, value)
            if name in names or (found.value and shown.value and found != shown):
                self._observer.count("identity.ambiguous_credential")
                detail = f"{name.decode('latin-1')} beside or twice among {sorted(names)}"
                one_of = ", ".join(sorted(each.decode("latin-1") for each in self._credentials))
                text = f"The request presents several credentials. Send one, in one of: {one_of}."
                raise TokenError(text, detail, status=400, code="ambiguous_credential")
            names.add(name)
            shown = shown if shown.value else found
        return shown

    def _check(self, credential: bytes) -> None:
        if len(credential) > MAX_CREDENTIAL:
            self._observer.count("identity.credential_too_large")
            detail = f"{len(credential)} bytes; at most {MAX_CREDENTIAL}"
            raise TokenError("The credential is too long.", detail, status=431, code="credential_too_large")
        if _MALFORMED.search(credential) is not None:
            self._observer.count("identity.malformed_credential")
            detail = "it holds a comma, a blank or a control character: perhaps two that a proxy joined"
            raise TokenError("The credential is malformed.", detail, status=400, code="ambiguous_credential")

    def _keep(self, key: tuple[str, _Read], place: Place, found: Credential | None, epoch: int) -> Subject:
        """Make the subject and remember it for as long as it is sure to be the same."""
        subject = self._anonymous(place) if found is None else self._subject(place, found)
        until = found.expires if found is not None else None
        if until is not None or (place.plentiful and not subject.authenticated):
            soon = self._clock.now() + RECHECK
            until = soon if until is None else min(until, soon)
        if self._devices is not None:
            *read, (_, cookie) = key[1]
            soon = _mark(subject, self._devices, read, cookie, place)
            until = soon if until is None else min(until, soon)
        subject.until = until
        if self.evidence is not None and found is not None:
            subject.evidence = self.evidence.of(found, subject, place, key[1])
        self._known.put(key, subject)
        if epoch != self._epoch:
            self._known.clear()
        return subject

    def _anonymous(self, place: Place) -> Subject:
        home = self._crowd.home(place)
        return Subject(account=home, network=home, network_parent=place.parent)

    def _subject(self, place: Place, found: Credential) -> Subject:
        digester = self.digester
        candidate = digester.account(found.source, found.issuer, found.value)
        if not found.proved:
            home = self._crowd.home(place)
            return Subject(
                account=home,
                candidate=candidate,
                network=home,
                network_parent=place.parent,
                source=found.source,
                created=found.created,
                signed_in=found.signed_in,
            )
        self._crowd.prove(place)
        organisation = found.organisation
        return Subject(
            account=candidate,
            candidate=candidate,
            network=place.home,
            network_parent=place.parent,
            authenticated=True,
            organisation=digester.organisation(found.source, found.issuer, organisation) if organisation else "",
            organisation_name=organisation,
            tier=found.tier,
            acr=found.acr,
            ial=found.ial,
            payment=digester.evidence("payment", found.payment) if found.payment else "",
            source=found.source,
            created=found.created,
            signed_in=found.signed_in,
        )


class _Shown(NamedTuple):
    value: bytes
    readable: bool
    """False for a scheme that no source reads: it is nobody's, and still differs from every other credential."""


_NOTHING = _Shown(b"", True)  # noqa: FBT003 - a value


def _mark(subject: Subject, devices: Devices, read: Sequence[tuple[bytes, bytes]], cookie: bytes, place: Place) -> int:
    """Note the subject's device; µs since the epoch until which it is sure."""
    device = devices.tell(read, cookie, subject.account, trusted=place.trusted)
    subject.device, subject.device_kind, subject.device_due = device.home, device.kind, device.due
    return device.until


def _show(name: bytes, value: bytes) -> _Shown:
    """What a header presents: behind `Bearer` in `authorization`, else the value itself."""
    value = value.strip(b" \t")
    if name != b"authorization":
        return _Shown(value, readable=True)
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() == b"bearer":
        return _Shown(rest.strip(b" \t"), readable=True)
    return _Shown(value, readable=False)


def _weigh(key: tuple[str, _Read]) -> int:
    return sum([len(value) for _, value in key[1]])
