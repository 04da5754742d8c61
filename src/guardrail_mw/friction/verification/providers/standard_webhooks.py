"""`use: standard_webhooks`: a service of anybody's own that signs its webhooks as the Standard Webhooks specification has it.

Signed is `id.timestamp.body` under HMAC-SHA256; `webhook-signature` holds one or more `v1,` and base64, with blanks in
between, and secrets are base64 behind `whsec_`. Asymmetric signatures (`v1a`) are not looked at. The rest is ours:

    POST   {url}               {"case": …, "level": …, "return_url": …}, with Idempotency-Key  →  {"id": …, "url": …}
    POST   {url}/{id}/resume   {"return_url": …}                                               →  {"id": …, "url": …}
    GET    {url}/{id}          →  an event, as a webhook has it
    POST   {url}/{id}/cancel   →  any 2xx
    DELETE {url}/{id}          →  any 2xx, and 404 where there is nothing left

each with `Authorization: Bearer` and the `token`. An event, in a webhook or when asked for:

    {"type": "verification.updated", "timestamp": "2026-01-01T00:00:00Z",
     "data": {"id": …, "case": …, "state": "pending" | "approved" | "declined" | "expired" | "withdrawn",
              "level": …, "document": …, "person": …}}

`timestamp` is when the state was reached, whenever it is delivered. `level` is what was really checked; an approval is
worth what `levels` says for it, and is none where it is not listed. `document` and `person` are optional: anything that is
the same for the same document or person. Events of another `type` than `verification.…` are of no concern.

Source: "Standard Webhooks Specification", version 1 (github.com/standard-webhooks/standard-webhooks). Run against a
stand-in, and against the vector of the specification's own libraries.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator

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
from guardrail_mw.friction.verification.providers.calling import Caller, known, started
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
from guardrail_mw.friction.verification.providers.signing import LONGEST_HEADER, check_date, mac, matches, seconds
from guardrail_mw.settings import refuse

__all__ = ["StandardWebhooksProvider", "StandardWebhooksSettings"]

_PREFIX: Final = "whsec_"
_LONGEST_ID: Final = 255
_STATES: Final[Mapping[str, State]] = {state: state for state in get_args(State)}


class StandardWebhooksSettings(ProviderSettings):
    """`with` of `use: standard_webhooks`."""

    url: str = Field(min_length=1, max_length=512)
    """Where the service is."""
    token: str = Field(min_length=8, max_length=1_024, pattern=r"^[\x21-\x7e]+$", repr=False)
    """What calls show. Write ${NAME}, and set it in the environment."""
    hosts: list[str] = Field(default_factory=list, max_length=16)
    """Hosts that people may be sent to, and those below them; without any, that of `url`."""
    levels: dict[str, Worth] = Field(min_length=1, max_length=64)
    """What an approval is worth, by what was checked."""

    @field_validator("secrets")
    @classmethod
    def _keys(cls, secrets: list[str]) -> list[str]:
        wrong = [index for index, secret in enumerate(secrets) if not 24 <= len(_key(secret)) <= 64]  # noqa: PLR2004 - as specified
        if wrong:
            refuse([Problem(str(index), "is not whsec_ and 24 to 64 bytes in base64.", "") for index in wrong])
        return secrets

    @model_validator(mode="after")
    def _somewhere(self) -> StandardWebhooksSettings:
        wrong = [
            index for index, host in enumerate(self.hosts) if not host or host != host.lower() or set(host) & set("/:@ ")
        ]
        if wrong:
            refuse(
                [Problem(f"hosts.{index}", "is not a host.", "Write it in small letters: which.example") for index in wrong]
            )
        return self


class StandardWebhooksProvider:
    """A service of one's own.

    Args:
        settings: where, its keys, what it checks.
        means: clock and digests.
    """

    Settings: ClassVar[type[BaseModel]] = StandardWebhooksSettings
    webhook: ClassVar[bool] = True

    __slots__ = ("_caller", "_keys", "_means", "hosts", "settings")

    def __init__(self, settings: StandardWebhooksSettings, means: Means, /) -> None:
        self.settings = settings
        self._means = means
        self._caller = Caller("The verification service", "", settings, means)
        self._keys = tuple(_key(secret) for secret in settings.secrets)
        self.hosts = tuple(settings.hosts) or (urlsplit(settings.url).hostname or "",)
        """See `Provider`."""

    async def start(self, begin: Begin, /) -> Started:
        """Ask for one."""
        wanted = {"case": begin.case, "level": begin.level, "return_url": begin.return_url}
        answer = await self._ask("POST", "", wanted, {"idempotency-key": begin.idempotency_key})
        return started(text(answer, "id"), text(answer, "url"), self.hosts)

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """Ask for another way there."""
        answer = await self._ask("POST", f"/{known(which)}/resume", {"return_url": begin.return_url})
        return started(which, text(answer, "url"), self.hosts)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """One event."""
        if len(raw) > LONGEST:
            raise WebhookError("unreadable")
        event, stamp, signed = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
        if not signed or len(signed) > LONGEST_HEADER or not 0 < len(event) <= _LONGEST_ID or not event.isascii():
            raise WebhookError("unsigned")
        date = seconds(stamp)
        if date is None or "." in event:  # a dot would let a part of the which pass for the date
            raise WebhookError("unsigned")
        given = [made for each in signed.split() if each.startswith("v1,") and (made := _bytes(each[3:]))]
        if not matches([mac(key, f"{event}.{stamp}.".encode(), raw) for key in self._keys], given):
            raise WebhookError("signature")
        check_date(date, self._means.clock.now())
        found = payload(raw)
        if not text(found, "type").startswith("verification."):
            return ()
        read = self._read(found, event)
        if read is None:
            raise WebhookError("unreadable")
        return (read,)

    async def fetch(self, which: str, /) -> Report | None:
        """Ask what became of it."""
        answer = await self._ask("GET", f"/{known(which)}")
        read = self._read(answer, digest(json.dumps(answer, sort_keys=True).encode()))
        if read is None or read.id != which:
            raise ProviderError("unreadable", "no event of this id")
        return read

    async def cancel(self, which: str, /) -> None:
        """Ask to stop it."""
        await self._ask("POST", f"/{known(which)}/cancel", {})

    async def redact(self, which: str, /) -> None:
        """Ask to forget it."""
        try:
            await self._ask("DELETE", f"/{known(which)}")
        except ProviderError as error:
            if error.code != "unknown":
                raise

    def _read(self, found: Mapping[str, Any], event: str) -> Report | None:
        """An event; None where it is not as documented."""
        data = below(found, "data")
        which, at = text(data, "id"), moment(text(found, "timestamp"), self._means.clock.now())
        if at is None or not is_id(which):
            return None
        read = Report(
            case(text(data, "case")),
            which,
            event,
            _STATES.get(text(data, "state"), "pending"),
            at,
            document=number(self._means, "document", "", text(data, "document")),
            person=number(self._means, "person", "", text(data, "person")),
        )
        level = text(data, "level")
        return report(read, self.settings.levels.get(level), level=level)

    async def _ask(
        self, method: str, path: str, body: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        sent = json.dumps(body).encode() if body is not None else b""
        shown = {"authorization": f"Bearer {self.settings.token}", **(headers or {})}
        return (await self._caller.ask(method, path, shown, sent)).body


def _key(secret: str) -> bytes:
    return _bytes(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else b""


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
