"""Which device a request comes from: *signed*, by a cookie of ours, or *seen*, by what the client shows of itself.

The two never count alike. What a client shows anybody can show, so it is evidence that anyone can make up; a signed cookie
cannot be made, only be handed on. Their digests are of different kinds, so that showing what a signed device shows leads
nowhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from guardrail_mw.clock import Clock
from guardrail_mw.identity.device_cookie import RENEW, Cookie, Signer, find
from guardrail_mw.identity.device_settings import DeviceSettings
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.keys import Keyring
from guardrail_mw.values import Headers, Observer

__all__ = ["APART", "Device", "DeviceKind", "Devices", "Told"]

LONGEST: Final = 512
"""Bytes of a header that tell devices apart."""
APART: Final = 64
"""Devices of an account that are told apart."""
IDLE: Final = 86_400_000_000
"""µs after which one that was not worked out anew makes room."""
AGAIN: Final = 43_200_000_000
"""µs after which a device is worked out anew, so that one in use is never idle."""
MOST: Final = 65_536
"""Devices remembered, of all accounts."""

_SECOND: Final = 1_000_000

DeviceKind: TypeAlias = Literal["", "signed", "seen"]


class Device(NamedTuple):
    """What is known of a request's device."""

    home: str = ""
    """`d:…`, or empty where the client shows nothing, or its account has too many."""
    kind: DeviceKind = ""
    due: bool = False
    """Whether the answer should set the cookie: there is none, or it is old."""
    until: int = 0
    """µs since the epoch after which this must be looked at anew."""


class Devices:
    """Tells devices apart. One for a resolver.

    Args:
        settings: the policy's `identity.device`.
        digester: names the devices.
        keys: for the cookie.
        clock: for its age, and for what is idle.
        observer: hears `identity.devices_full` when a device is not told apart.
    """

    __slots__ = ("_clock", "_digester", "_headers", "_observer", "_signer", "_tls", "_told", "cookies", "headers")

    def __init__(
        self, settings: DeviceSettings, digester: Digester, keys: Keyring, clock: Clock, observer: Observer
    ) -> None:
        self._headers = tuple(name.encode() for name in settings.headers)
        self._tls = settings.tls_header.encode() if settings.tls_header is not None else b""
        self._digester = digester
        self._signer = Signer(keys)
        self._clock = clock
        self._observer = observer
        self._told = Told()
        self.cookies = settings.cookie
        """Whether the cookie is read and set."""
        self.headers = frozenset(self._headers) | ({self._tls} if self._tls else frozenset())
        """Names of the headers that a device is told by, besides the cookie."""

    def cookie(self, headers: Headers) -> bytes:
        """The value of our cookie, unread: a request with another is another request."""
        return find(headers) if self.cookies else b""

    def tell(self, read: Sequence[tuple[bytes, bytes]], cookie: bytes, account: str, *, trusted: bool) -> Device:
        """Which device sent this.

        Args:
            read: headers of the request; of one that stands twice the first counts.
            cookie: from `cookie`.
            account: the home of who pays, whose devices are counted.
            trusted: whether the peer is a trusted proxy, whose `tls_header` may be believed.
        """
        now = self._clock.now()
        known = self._signer.read(cookie, now // _SECOND) if cookie else None
        found = self._signed(known, now) if known is not None else self._seen(read, now, trusted=trusted)
        if found.home and not self._told.tell(account, found.home, self._clock.monotonic()):
            self._observer.count("identity.devices_full")
            return Device("", "", found.due, found.until)
        return found

    def _signed(self, cookie: Cookie, now: int) -> Device:
        renew = (cookie.issued + RENEW) * _SECOND
        until = now + AGAIN if now >= renew else min(now + AGAIN, renew)
        return Device("d:" + self._digester.evidence("device-signed", cookie.id), "signed", now >= renew, until)

    def _seen(self, read: Sequence[tuple[bytes, bytes]], now: int, *, trusted: bool) -> Device:
        shown = self._shown(read, trusted=trusted)
        if not shown:
            return Device("", "", self.cookies, now + AGAIN)
        return Device("d:" + self._digester.evidence("device-seen", shown), "seen", self.cookies, now + AGAIN)

    def issue(self, headers: Headers) -> bytes:
        """The value of the `set-cookie` header for an answer whose subject's is due: the same id where there is one."""
        now = self._clock.now() // _SECOND
        cookie = find(headers)
        known = self._signer.read(cookie, now) if cookie else None
        return self._signer.issue(now, known.id if known is not None else None)

    def _shown(self, read: Sequence[tuple[bytes, bytes]], *, trusted: bool) -> bytes:
        """All that the client shows, framed so that nothing can be moved from one header to the next; empty for nothing."""
        first: dict[bytes, bytes] = {}
        for name, value in read:
            first.setdefault(name, value)
        names = (*self._headers, self._tls) if trusted and self._tls else self._headers
        shown = [(name, first[name][:LONGEST]) for name in names if name in first]
        return b"".join([b"%b:%d:%b" % (name, len(value), value) for name, value in shown])


class Told:
    """The devices of each account that are told apart, in this process.

    Bounded: the account that was longest not asked about is forgotten first. Used from several threads it may forget more.
    """

    __slots__ = ("_accounts", "_count")

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, dict[str, int]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        """Devices remembered."""
        return self._count

    def tell(self, account: str, device: str, now: int) -> bool:
        """Whether this device of the account is told apart.

        Args:
            account: its home.
            device: its home.
            now: monotonic µs.
        """
        seen = self._accounts.pop(account, None)
        if seen is None:
            seen = {}
        self._accounts[account] = seen
        if device not in seen:
            if len(seen) >= APART:
                self._sweep(seen, now)
            if len(seen) >= APART:
                return False
            self._count += 1
        seen[device] = now
        while self._count > MOST and self._accounts:
            self._count -= len(self._accounts.popitem(last=False)[1])
        return True

    def _sweep(self, seen: dict[str, int], now: int) -> None:
        idle = [device for device, at in seen.items() if now - at >= IDLE]
        for device in idle:
            del seen[device]
        self._count -= len(idle)
