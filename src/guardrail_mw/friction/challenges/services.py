"""`use: turnstile`, `hcaptcha`, `recaptcha`: services that ask people something, and judge what they answer (`siteverify`).

All three take a form with `secret` and `response` and answer with JSON: `success`, `hostname`, `error-codes`. What each
documents besides is used: Turnstile repeats `action` and `cdata`, which binds an answer to the case it was given for, and takes
an `idempotency_key`, so that a call may be repeated; hCaptcha takes the `sitekey`. Without an idempotency key a call whose
answer was lost is not repeated: the service would call the token used.

Sources: Cloudflare, "Validate the token" of Turnstile's documentation; hCaptcha, "Developer Guide", "Verify the user response
server side"; Google, "Verifying the user's response" of reCAPTCHA v2.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar, Final, TypeAlias
from urllib.parse import urlencode, urlsplit
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel, Field, field_validator

from guardrail_mw.errors import Problem
from guardrail_mw.fetching import NoAnswerError, fetch
from guardrail_mw.friction.challenges.base import Asked, ChallengerSettings, Means, Outcome
from guardrail_mw.quantities import Duration
from guardrail_mw.settings import refuse

__all__ = [
    "HCaptchaChallenger",
    "HCaptchaSettings",
    "RecaptchaChallenger",
    "RecaptchaSettings",
    "ServiceSettings",
    "TurnstileChallenger",
    "TurnstileSettings",
]

logger = logging.getLogger("guardrail_mw")

LONGEST: Final = 8_192
"""Characters of an answer, and bytes of a service's."""
TRIES: Final = 2
"""Calls, where a service knows that they are one."""
_OURS: Final = frozenset({"missing-input-secret", "invalid-input-secret", "sitekey-secret-mismatch", "bad-request"})
"""Errors of ours, not of whoever answers."""
_SERVICES: Final = frozenset({"internal-error"})

Body: TypeAlias = Mapping[str, Any]


class ServiceSettings(ChallengerSettings):
    """`with` of all three."""

    sitekey: str = Field(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_-]+$")
    """Public: stands in the page."""
    secret: str = Field(min_length=1, max_length=255, repr=False)
    """Write ${NAME}, and set it in the environment."""
    hostnames: list[str] = Field(min_length=1, max_length=64)
    """Hosts that the page is shown on, as the service names them. An answer that was given elsewhere solves nothing."""
    deadline: Duration = Duration.parse("5s")
    """How long the service may take to judge an answer."""
    url: str = Field(default="", max_length=512)
    """Where answers are judged, where it is not the service's usual place: behind a proxy of yours, or `www.recaptcha.net`."""

    @field_validator("deadline")
    @classmethod
    def _bearable(cls, deadline: Duration) -> Duration:
        if not 100_000 <= deadline.us <= 30_000_000:  # noqa: PLR2004 - µs, as the message says
            refuse([Problem("", "is not between 100ms and 30s.", "A person waits for it.")])
        return deadline

    @field_validator("hostnames")
    @classmethod
    def _hosts(cls, names: list[str]) -> list[str]:
        wrong = [index for index, name in enumerate(names) if name != name.lower() or not name or set(name) & set("/:@ ")]
        if wrong:
            refuse([Problem(str(index), "is not a host.", "Write it in small letters: app.example") for index in wrong])
        return names

    @field_validator("url")
    @classmethod
    def _https(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
            sound = not url or (
                parts.hostname and "@" not in url and parts.scheme in ({"http", "https"} if local else {"https"})
            )
        except ValueError:
            sound = False
        if not sound:
            refuse([Problem("", "is not a plain https URL.", "The secret is sent there.")])
        return url


class TurnstileSettings(ServiceSettings):
    """`with` of `use: turnstile`."""


class HCaptchaSettings(ServiceSettings):
    """`with` of `use: hcaptcha`."""


class RecaptchaSettings(ServiceSettings):
    """`with` of `use: recaptcha`: version 2."""


class _Service:
    """What they have in common.

    Args:
        settings: keys and hosts.
        means: unused; the service signs.
    """

    name: ClassVar[str]
    place: ClassVar[str]
    """Where answers are judged."""

    def __init__(self, settings: Any, means: Means, /) -> None:
        del means
        self.settings: ServiceSettings = settings

    def issue(self, asked: Asked, /) -> Mapping[str, Any]:
        """The site key; what the page needs besides is the service's own."""
        del asked
        return {"sitekey": self.settings.sitekey}

    async def verify(self, asked: Asked, answer: str, /) -> Outcome:
        """What the service says of a token."""
        if not answer or len(answer) > LONGEST:
            return "failed"
        fields = {"secret": self.settings.secret, "response": answer, **self._fields(asked, answer)}
        for attempt in range(TRIES if "idempotency_key" in fields else 1):
            said = await self._ask(fields, attempt)
            errors = frozenset(map(str, said.get("error-codes") or ())) if said is not None else _SERVICES
            if said is not None and not errors & _SERVICES:
                return self._judge(asked, said, errors)
        return "unavailable"

    def _fields(self, asked: Asked, answer: str) -> Mapping[str, str]:
        """What the service takes besides the secret and the token."""
        del asked, answer
        return {}

    def _bound(self, asked: Asked, said: Body) -> bool:
        """Whether what the service repeats is what this case's page had."""
        del asked, said
        return True

    def _judge(self, asked: Asked, said: Body, errors: frozenset[str]) -> Outcome:
        if errors & _OURS:
            logger.error("%s refuses our keys: %s. Nobody can pass this rung.", self.name, ", ".join(sorted(errors & _OURS)))
            return "unavailable"
        if said.get("success") is not True:
            return "failed"
        host = said.get("hostname")
        if host not in self.settings.hostnames:
            logger.warning("An answer to %s was given on %r, which is none of `hostnames`.", self.name, str(host)[:80])
            return "failed"
        return "solved" if self._bound(asked, said) else "failed"

    async def _ask(self, fields: Mapping[str, str], attempt: int) -> Body | None:
        """One call; None where nothing came of it."""
        try:
            said = await fetch(
                "POST",
                self.settings.url or self.place,
                deadline=self.settings.deadline.us / 1_000_000,
                longest=LONGEST,
                headers=_FORM,
                content=urlencode(fields).encode(),
            )
            found = json.loads(said.body)
        except (NoAnswerError, ValueError, RecursionError) as error:
            kind = error.kind if isinstance(error, NoAnswerError) else type(error).__name__
            logger.warning("%s did not judge an answer (try %d): %s", self.name, attempt + 1, kind)
            return None
        return found if isinstance(found, dict) else None


_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}


class TurnstileChallenger(_Service):
    """Cloudflare Turnstile."""

    Settings: ClassVar[type[BaseModel]] = TurnstileSettings
    name = "Turnstile"
    place = "https://challenges.cloudflare.com/turnstile/v0/siteverify"

    def issue(self, asked: Asked, /) -> Mapping[str, Any]:
        """Site key, action and what binds the answer to the case."""
        return {"sitekey": self.settings.sitekey, "action": asked.action[:32], "cdata": _binding(asked.case)}

    def _fields(self, asked: Asked, answer: str) -> Mapping[str, str]:
        return {"idempotency_key": str(uuid5(NAMESPACE_URL, f"{asked.case} {answer}"))}

    def _bound(self, asked: Asked, said: Body) -> bool:
        return said.get("action") == asked.action[:32] and said.get("cdata") == _binding(asked.case)


class HCaptchaChallenger(_Service):
    """hCaptcha."""

    Settings: ClassVar[type[BaseModel]] = HCaptchaSettings
    name = "hCaptcha"
    place = "https://api.hcaptcha.com/siteverify"

    def _fields(self, asked: Asked, answer: str) -> Mapping[str, str]:
        del asked, answer
        return {"sitekey": self.settings.sitekey}


class RecaptchaChallenger(_Service):
    """Google's reCAPTCHA, version 2."""

    Settings: ClassVar[type[BaseModel]] = RecaptchaSettings
    name = "reCAPTCHA"
    place = "https://www.google.com/recaptcha/api/siteverify"


def _binding(case: str) -> str:
    """What stands for a case in a service's answer: 32 hexadecimal digits."""
    return sha256(case.encode()).hexdigest()[:32]
