"""`use: stripe_identity`: Stripe's VerificationSessions.

One is made for each case, of a verification flow where the level names one, else a check of a document with a selfie; the
case goes along as `client_reference_id`, the level as metadata. The way there is good once, and a while: `resume` takes
another.

`requires_input` is where a session begins (pending) and where it returns when a check fails: then `last_error` says why,
and the person may try again. That is declined until they have, except where they only left (`abandoned`). What is redacted
keeps the status that it had; `redacted` events decide nothing. A document's number is told only to restricted keys that may
read sensitive results: with `documents: true`, `fetch` asks for it.

Sources: Stripe, API reference, "Verification Session" (create, retrieve, cancel, redact, events), "Idempotent requests";
"How sessions work"; "Access verification results"; webhooks, "Verify webhook signatures manually". Run against a stand-in
only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final
from urllib.parse import quote, urlencode
from uuid import uuid4

from pydantic import BaseModel, Field, model_validator

from guardrail_mw.errors import Problem
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
    is_id,
    moment,
    number,
    payload,
    report,
    tested,
    text,
)
from guardrail_mw.friction.verification.providers.signing import pairs
from guardrail_mw.settings import refuse

__all__ = ["StripeIdentityProvider", "StripeIdentitySettings", "StripeLevel"]

_PREFIX: Final = "vs_"
HOSTS: Final = ("verify.stripe.com",)
_SESSIONS: Final = "/v1/identity/verification_sessions"
_EVENT: Final = "identity.verification_session."
_REPORT: Final = "last_verification_report"
_STATES: Final[Mapping[str, State]] = {"verified": "approved", "processing": "pending", "canceled": "withdrawn"}


class StripeLevel(Worth):
    """A level, and what Stripe is to check for it."""

    flow: str = Field(default="", max_length=255, pattern=r"^(vf_[A-Za-z0-9_]+)?$")
    """A verification flow of the dashboard; without one, a document and a selfie that matches it."""


class StripeIdentitySettings(ProviderSettings):
    """`with` of `use: stripe_identity`."""

    key: str = Field(max_length=255, pattern=r"^(sk|rk)_(live|test)_[A-Za-z0-9_]+$", repr=False)
    """A secret or, better, a restricted key. Write ${NAME}, and set it in the environment."""
    levels: dict[str, StripeLevel] = Field(min_length=1, max_length=64)
    """The policy's levels."""
    documents: bool = False
    """Whether to ask for numbers of documents, so that one is known again. Takes a restricted key that may read them."""
    test: bool = False
    """Whether what test mode approves counts."""

    @model_validator(mode="after")
    def _said(self) -> StripeIdentitySettings:
        if "_test_" in self.key[:8] and not self.test:
            refuse([Problem("key", "is of test mode, where nobody is verified.", "Say `test: true` if that is meant.")])
        return self


class StripeIdentityProvider:
    """Stripe Identity.

    Args:
        settings: keys and levels.
        means: clock and digests.
    """

    Settings: ClassVar[type[BaseModel]] = StripeIdentitySettings
    webhook: ClassVar[bool] = True
    hosts: ClassVar[Sequence[str]] = HOSTS

    __slots__ = ("_caller", "_means", "_secrets", "settings")

    def __init__(self, settings: StripeIdentitySettings, means: Means, /) -> None:
        self.settings = settings
        self._means = means
        self._caller = Caller("Stripe Identity", "https://api.stripe.com", settings, means)
        self._secrets = tuple(secret.encode() for secret in settings.secrets)

    async def start(self, begin: Begin, /) -> Started:
        """Create a session."""
        level = self.settings.levels.get(begin.level)
        if level is None:
            raise ProviderError("refused", "a level that the settings do not have")
        fields = {
            "client_reference_id": begin.case,
            "return_url": begin.return_url,
            "metadata[level]": begin.level,
            **(
                {"verification_flow": level.flow}
                if level.flow
                else {"type": "document", "options[document][require_matching_selfie]": "true"}
            ),
        }
        answer = await self._ask("POST", "", fields, begin.idempotency_key)
        return started(text(answer.body, "id"), text(answer.body, "url"), HOSTS)

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """The session's way there, which is new each time that it is retrieved."""
        del begin
        answer = await self._ask("GET", f"/{known(which, _PREFIX)}")
        if text(answer.body, "status") != "requires_input":
            raise ProviderError("rejected", "a session that wants nothing")
        return started(which, text(answer.body, "url"), HOSTS)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """One event."""
        if len(raw) > LONGEST:
            raise WebhookError("unreadable")
        now = self._means.clock.now()
        pairs(self._secrets, headers.get("stripe-signature", ""), raw, now)
        found = payload(raw)
        kind = text(found, "type")
        if not kind.startswith(_EVENT) or kind == f"{_EVENT}redacted":
            return ()
        session = below(found, "data", "object")
        at, which, event = moment(below(found, "created"), now), text(session, "id"), text(found, "id")
        if at is None or not is_id(which) or not is_id(event):
            raise WebhookError("unreadable")
        return (self._read(session, event, at),)

    async def fetch(self, which: str, /) -> Report | None:
        """Retrieve the session."""
        wanted = f"?expand[]={_REPORT}.document.number" if self.settings.documents else ""
        answer = await self._ask("GET", f"/{known(which, _PREFIX)}" + quote(wanted, safe="?=.&_"))
        if text(answer.body, "id") != which:
            raise ProviderError("unreadable", "no session of this id")
        begun = moment(below(answer.body, "created"), answer.at)
        return self._read(answer.body, f"{which}:{text(answer.body, 'status')}:{answer.at}", answer.at, begun)

    async def cancel(self, which: str, /) -> None:
        """Cancel the session; it must want input."""
        await self._ask("POST", f"/{known(which, _PREFIX)}/cancel", key=str(uuid4()))

    async def redact(self, which: str, /) -> None:
        """Redact the session, which may take Stripe days."""
        try:
            await self._ask("POST", f"/{known(which, _PREFIX)}/redact", key=str(uuid4()))
        except ProviderError as error:
            if error.code != "unknown":
                raise

    def _read(self, session: object, event: str, at: int, begun: int | None = None) -> Report:
        """What a session says. Of one that is fetched it is not known when it was approved: it lasts from when it was made."""
        status, failed = text(session, "status"), text(session, "last_error", "code")
        state = _STATES.get(status, "pending")
        if status == "requires_input" and failed and failed != "abandoned":
            state = "declined"
        state = tested(state, below(session, "livemode") is not True, self.settings.test)
        country = text(session, _REPORT, "document", "issuing_country")
        read = Report(
            case(text(session, "client_reference_id")),
            text(session, "id"),
            event,
            state,
            at,
            document=number(self._means, "document", country, text(session, _REPORT, "document", "number")),
        )
        level = text(session, "metadata", "level")
        return report(read, self.settings.levels.get(level), begun, level=level)

    async def _ask(self, method: str, path: str, fields: Mapping[str, str] | None = None, key: str = "") -> Answer:
        """One call. A POST is repeated under its idempotency key."""
        headers = {"authorization": f"Bearer {self.settings.key}", **({"idempotency-key": key} if key else {})}
        body = urlencode(fields).encode() if fields else b""
        return await self._caller.ask(
            method, _SESSIONS + path, headers, body, kind="x-www-form-urlencoded", again=bool(key) or method != "POST"
        )
