"""`use: persona`: Persona's inquiries.

One is made for each case, of the template that the level names; the case goes along as `reference-id`. People get a
one-time link.

Templates differ in who decides: without a workflow or a reviewer, `completed` is the end of an inquiry that passed, and
`completed: approved` says so; with one, `completed` is not decided yet, and `approved`, `declined` and `needs_review`
follow. An approval is worth what the level says whose template the inquiry has. Redacted inquiries keep their status;
`inquiry.redacted` decides nothing.

Sources: Persona, API reference of version 2023-01-05: "Create an Inquiry", "Generate a one-time link", "Retrieve an
Inquiry", "Expire an Inquiry", "Redact an Inquiry"; "Idempotence"; "Inquiry Model Lifecycle"; "Webhooks", "Webhook best
practices", "Inquiry redacted"; "Inquiry One-Time Links". Run against a stand-in only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal
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
    text,
)
from guardrail_mw.friction.verification.providers.signing import pairs
from guardrail_mw.settings import refuse

__all__ = ["PersonaLevel", "PersonaProvider", "PersonaSettings"]

_PREFIX: Final = "inq_"
HOSTS: Final = ("withpersona.com",)
VERSION: Final = "2023-01-05"
_INQUIRIES: Final = "/api/v1/inquiries"
_STATES: Final[Mapping[str, State]] = {
    "created": "pending",
    "pending": "pending",
    "needs_review": "pending",
    "approved": "approved",
    "declined": "declined",
    "failed": "declined",
    "expired": "expired",
}
_TEMPLATES: Final = ("inquiry-template", "template")


class PersonaLevel(Worth):
    """A level, and what Persona is to check for it."""

    template: str = Field(max_length=64, pattern=r"^(itmpl|blu|tmpl)_[A-Za-z0-9]+$")
    """The inquiry template."""


class PersonaSettings(ProviderSettings):
    """`with` of `use: persona`."""

    key: str = Field(max_length=255, pattern=r"^persona_[A-Za-z0-9_-]+$", repr=False)
    """Of the API. Write ${NAME}, and set it in the environment."""
    levels: dict[str, PersonaLevel] = Field(min_length=1, max_length=64)
    """The policy's levels, each of a template of its own."""
    completed: Literal["pending", "approved"] = "pending"
    """What an inquiry is that passed its checks: `approved` where no workflow and nobody decides afterwards."""
    test: bool = False
    """Whether the key may be of the sandbox."""

    @model_validator(mode="after")
    def _apart(self) -> PersonaSettings:
        names = [level.template for level in self.levels.values()]
        if len(set(names)) < len(names):
            refuse([Problem("levels", "has a template twice.", "An approval could not be told to be of one or the other.")])
        if self.key.startswith("persona_sandbox_") and not self.test:
            refuse([Problem("key", "is of the sandbox, where nobody is verified.", "Say `test: true` if that is meant.")])
        return self


class PersonaProvider:
    """Persona.

    Args:
        settings: keys and templates.
        means: clock and digests.
    """

    Settings: ClassVar[type[BaseModel]] = PersonaSettings
    webhook: ClassVar[bool] = True
    hosts: ClassVar[Sequence[str]] = HOSTS

    __slots__ = ("_caller", "_levels", "_means", "_secrets", "settings")

    def __init__(self, settings: PersonaSettings, means: Means, /) -> None:
        self.settings = settings
        self._means = means
        self._caller = Caller("Persona", "https://api.withpersona.com", settings, means)
        self._secrets = tuple(secret.encode() for secret in settings.secrets)
        self._levels = {level.template: name for name, level in settings.levels.items()}

    async def start(self, begin: Begin, /) -> Started:
        """Create an inquiry, and a link to it."""
        level = self.settings.levels.get(begin.level)
        if level is None:
            raise ProviderError("refused", "a level that the settings do not have")
        attributes = {"inquiry-template-id": level.template, "reference-id": begin.case, "redirect-uri": begin.return_url}
        answer = await self._ask("POST", "", {"data": {"attributes": attributes}}, begin.idempotency_key)
        return await self._link(text(answer.body, "data", "id"))

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """Another link. An expired inquiry has none."""
        del begin
        return await self._link(which)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """One event."""
        if len(raw) > LONGEST:
            raise WebhookError("unreadable")
        now = self._means.clock.now()
        pairs(self._secrets, headers.get("persona-signature", ""), raw, now)
        found = payload(raw)
        name = text(found, "data", "attributes", "name")
        if not name.startswith("inquiry.") or name == "inquiry.redacted":
            return ()
        inquiry, event = below(found, "data", "attributes", "payload", "data"), text(found, "data", "id")
        at = moment(text(found, "data", "attributes", "created-at"), now)
        if at is None or not is_id(event) or not is_id(text(inquiry, "id")):
            raise WebhookError("unreadable")
        return (self._read(inquiry, event, at),)

    async def fetch(self, which: str, /) -> Report | None:
        """Retrieve the inquiry."""
        answer = await self._ask("GET", f"/{known(which, _PREFIX)}")
        inquiry = below(answer.body, "data")
        if text(inquiry, "id") != which:
            raise ProviderError("unreadable", "no inquiry of this id")
        return self._read(inquiry, f"{which}:{text(inquiry, 'attributes', 'status')}:{answer.at}", answer.at)

    async def cancel(self, which: str, /) -> None:
        """Expire the inquiry and its sessions."""
        await self._ask("POST", f"/{known(which, _PREFIX)}/expire", key=str(uuid4()))

    async def redact(self, which: str, /) -> None:
        """Redact the inquiry and what belongs to it."""
        try:
            await self._ask("DELETE", f"/{known(which, _PREFIX)}")
        except ProviderError as error:
            if error.code != "unknown":
                raise

    async def _link(self, which: str) -> Started:
        """A one-time link: a second is no harm."""
        answer = await self._ask("POST", f"/{known(which, _PREFIX)}/generate-one-time-link", key=str(uuid4()))
        return started(which, text(answer.body, "meta", "one-time-link"), HOSTS)

    def _read(self, inquiry: object, event: str, at: int) -> Report:
        """What an inquiry says."""
        attributes, relations = below(inquiry, "attributes"), below(inquiry, "relationships")
        status = text(attributes, "status")
        state = self.settings.completed if status == "completed" else _STATES.get(status, "pending")
        templates = (text(relations, name, "data", "id") for name in _TEMPLATES)
        country = text(attributes, "fields", "selected-country-code", "value")
        read = Report(
            case(text(attributes, "reference-id")),
            text(inquiry, "id"),
            event,
            state,
            at,
            document=number(self._means, "document", country, text(attributes, "fields", "identification-number", "value")),
        )
        decided = moment(text(attributes, "decisioned-at") or text(attributes, "completed-at"), at)
        level = next((self._levels[name] for name in templates if name in self._levels), "")
        return report(read, self.settings.levels.get(level), decided, level=level)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str = "") -> Answer:
        """One call. A POST is repeated under its idempotency key."""
        headers = {
            "authorization": f"Bearer {self.settings.key}",
            "persona-version": VERSION,
            "key-inflection": "kebab",
            **({"idempotency-key": key} if key else {}),
        }
        sent = json.dumps(body).encode() if body is not None else b""
        return await self._caller.ask(method, _INQUIRIES + path, headers, sent, again=bool(key) or method != "POST")
