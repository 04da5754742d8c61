"""`use: veriff`: Veriff's sessions.

One is made for each case, which goes along as `vendorData`. Requests with a body are signed over it, those without over the
session's which: an HMAC-SHA256 in hexadecimal under the integration's shared secret, which signs webhooks, too, undated. So
a copy of an old one passes: it is known by its digest, and by its date it changes nothing. An integration makes one kind of
check, so there is one worth.

Approved is what has the code 9001 and the status `approved`, both. 9102 is declined, 9104 expired or abandoned, 9103 asks
the person to try again; Veriff's pages give 9121 as in review and, elsewhere, as abandoned, so the status tells. Webhooks
of events (7001, 7002), of watchlists and the like decide nothing. A session that ended without a decision is dated by when
it began.

Veriff documents no call that stops a session: `cancel` is `unsupported`. `redact` deletes it, which Veriff must have
enabled for the integration, and does ten times a day at most. The first way there stays good until the session ends:
`resume` is `unsupported`.

Sources: Veriff, API reference: "Create session", "Decision data", "Delete session"; "HMAC Authentication and Endpoint
Security", "Decision webhook", "Verification session status codes (table)". Run against a stand-in only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from pydantic import BaseModel, Field

from guardrail_mw.friction.verification.providers.base import (
    Begin,
    Means,
    ProviderError,
    ProviderSettings,
    Report,
    Started,
    State,
    WebhookError,
    Worth,
)
from guardrail_mw.friction.verification.providers.calling import Answer, Caller, known, started
from guardrail_mw.friction.verification.providers.reading import (
    LONGEST,
    below,
    case,
    digest,
    is_id,
    moment,
    number,
    payload,
    report,
    text,
)
from guardrail_mw.friction.verification.providers.signing import LONGEST_HEADER, mac, matches

__all__ = ["VeriffProvider", "VeriffSettings"]

HOSTS: Final = ("veriff.com", "veriff.me")
_SESSIONS: Final = "/v1/sessions"
_STATES: Final[Mapping[tuple[object, str], State]] = {
    (9001, "approved"): "approved",
    (9102, "declined"): "declined",
    (9104, "expired"): "expired",
    (9104, "abandoned"): "expired",
    (9121, "abandoned"): "expired",
}


class VeriffSettings(ProviderSettings):
    """`with` of `use: veriff`. The first of `secrets` signs our calls; any signs theirs."""

    key: str = Field(max_length=255, pattern=r"^[A-Za-z0-9_-]+$", repr=False)
    """The integration's API key. Write ${NAME}, and set it in the environment."""
    worth: Worth
    """What an approval of this integration is worth."""


class VeriffProvider:
    """Veriff.

    Args:
        settings: keys and worth.
        means: clock and digests.
    """

    Settings: ClassVar[type[BaseModel]] = VeriffSettings
    webhook: ClassVar[bool] = True
    hosts: ClassVar[Sequence[str]] = HOSTS

    __slots__ = ("_caller", "_means", "_secrets", "settings")

    def __init__(self, settings: VeriffSettings, means: Means, /) -> None:
        self.settings = settings
        self._means = means
        self._caller = Caller("Veriff", "https://stationapi.veriff.com", settings, means)
        self._secrets = tuple(secret.encode() for secret in settings.secrets)

    async def start(self, begin: Begin, /) -> Started:
        """Create a session. Veriff knows no idempotency keys: a call whose answer was lost is not repeated."""
        wanted = {"verification": {"callback": begin.return_url, "vendorData": begin.case}}
        answer = await self._ask("POST", _SESSIONS, json.dumps(wanted).encode())
        return started(text(answer.body, "verification", "id"), text(answer.body, "verification", "url"), HOSTS)

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """There is no such call.

        Raises:
            ProviderError: always.
        """
        raise ProviderError("unsupported", "the first way there stays good")

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """One decision."""
        if len(raw) > LONGEST:
            raise WebhookError("unreadable")
        given, client = headers.get("x-hmac-signature", ""), headers.get("x-auth-client", "")
        if not given or len(given) > LONGEST_HEADER or not given.isascii() or not client.isascii():
            raise WebhookError("unsigned")
        ours = matches([self.settings.key.encode()], [client.encode()])
        if not matches([mac(secret, raw).hex().encode() for secret in self._secrets], [given.lower().encode()]) or not ours:
            raise WebhookError("signature")
        found = payload(raw)
        decided = below(found, "verification")
        if text(found, "status") != "success" or not text(decided, "status") or not isinstance(below(decided, "code"), int):
            return ()
        read = self._read(decided, digest(raw))
        if read is None:
            raise WebhookError("unreadable")
        return (read,)

    async def fetch(self, which: str, /) -> Report | None:
        """The decision; pending where there is none yet."""
        answer = await self._ask("GET", f"{_SESSIONS}/{known(which)}/decision", signed=which.encode())
        decided = below(answer.body, "verification")
        if decided is None and text(answer.body, "status") == "success":
            return Report("", which, f"{which}:pending:{answer.at}", "pending", answer.at)
        read = self._read(decided, digest(json.dumps(decided, sort_keys=True).encode()))
        if read is None or read.id != which:
            raise ProviderError("unreadable", "no decision of this session")
        return read

    async def cancel(self, which: str, /) -> None:
        """There is no such call.

        Raises:
            ProviderError: always.
        """
        raise ProviderError("unsupported", "a session ends by itself")

    async def redact(self, which: str, /) -> None:
        """Delete the session."""
        try:
            await self._ask("DELETE", f"{_SESSIONS}/{known(which)}", signed=which.encode())
        except ProviderError as error:
            if error.code != "unknown":
                raise

    def _read(self, decided: object, event: str) -> Report | None:
        """What a decision says; None where it is not as documented."""
        now, which = self._means.clock.now(), text(decided, "id")
        at = moment(text(decided, "decisionTime") or text(decided, "acceptanceTime"), now)
        if at is None or not is_id(which):
            return None
        country = text(decided, "document", "country")
        read = Report(
            case(text(decided, "vendorData")),
            which,
            event,
            _STATES.get((below(decided, "code"), text(decided, "status")), "pending"),
            at,
            document=number(self._means, "document", country, text(decided, "document", "number")),
            person=number(self._means, "person", country, text(decided, "person", "idNumber")),
        )
        return report(read, self.settings.worth)

    async def _ask(self, method: str, path: str, body: bytes = b"", signed: bytes = b"") -> Answer:
        """One signed call; only a POST is a second wish."""
        headers = {"x-auth-client": self.settings.key, "x-hmac-signature": mac(self._secrets[0], body or signed).hex()}
        return await self._caller.ask(method, path, headers, body, again=method != "POST")
