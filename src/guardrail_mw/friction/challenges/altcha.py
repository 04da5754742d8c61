"""`use: altcha`: proof of work, by the altcha library (its protocol's version 2).

The solver looks for a counter whose derived key begins with a prefix: PBKDF2-HMAC-SHA256 (RFC 8018) of `cost` rounds each try,
16 tries for each hexadecimal digit of the prefix in the mean. Making a challenge costs an HMAC, judging an answer one derivation,
both nothing beside solving. The library signs the parameters, so that nobody makes his own easier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar, Final

import altcha
from pydantic import BaseModel, Field, field_validator, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.friction.challenges.base import Asked, ChallengerSettings, Means, Outcome
from guardrail_mw.settings import refuse

__all__ = ["ALGORITHM", "AltchaChallenger", "AltchaSettings"]

ALGORITHM: Final = "PBKDF2/SHA-256"
LONGEST: Final = 16_384
"""Characters of an answer; what is longer is none."""
MOST: Final = 200_000_000
"""Rounds that a challenge may take in the mean: about a minute of one core."""
_OFFLOAD: Final = 5_000
"""Rounds from which judging an answer leaves the event loop: about a millisecond."""


class AltchaSettings(ChallengerSettings):
    """`with` of `use: altcha`."""

    cost: int = Field(default=2_000, ge=1, le=1_000_000)
    """Rounds of a try, at the rung's threshold. With the usual prefix 2000 take a laptop about 0.2 s."""
    prefix: str = Field(default="00", pattern=r"^[0-9a-f]{1,4}$")
    """Hexadecimal digits that the derived key must begin with; each takes 16 times as many tries."""
    hardest: float = Field(default=8.0, ge=1, le=1_000)
    """How many times as many rounds a risk of 100 has to do."""

    @field_validator("prefix", mode="before")
    @classmethod
    def _digits(cls, prefix: object) -> object:
        if isinstance(prefix, int) and not isinstance(prefix, bool):  # 00 is a number to YAML
            refuse([Problem("", "is a number.", 'Put it in quotes: "00".')])
        return prefix

    @model_validator(mode="after")
    def _bearable(self) -> AltchaSettings:
        most = self.cost * self.hardest * 16 ** len(self.prefix)
        if most > MOST:
            what = f"takes {most:,.0f} rounds at a risk of 100, with `prefix` and `hardest`; at most {MOST:,} are bearable."
            refuse([Problem("cost", what, "Lower one of the three: a phone does a million in a second.")])
        return self


class AltchaChallenger:
    """Proof of work.

    Args:
        settings: how much of it.
        means: keys that sign the parameters.
    """

    Settings: ClassVar[type[BaseModel]] = AltchaSettings

    __slots__ = ("_keys", "settings")

    def __init__(self, settings: AltchaSettings, means: Means, /) -> None:
        self.settings = settings
        self._keys = tuple(means.keys)

    def cost(self, suspicion: float) -> int:
        """Rounds of a try: `cost` at the threshold, `hardest` times as many at a risk of 100, evenly in between."""
        settings = self.settings
        return round(settings.cost * (1 + (settings.hardest - 1) * min(1.0, max(0.0, suspicion))))

    def issue(self, asked: Asked, /) -> Mapping[str, Any]:
        """The library's challenge: `parameters` and `signature`."""
        found: Mapping[str, Any] = altcha.create_challenge(
            ALGORITHM,
            self.cost(asked.suspicion),
            key_prefix=self.settings.prefix,
            data={"case": asked.case},
            hmac_secret=self._keys[0],
        ).to_dict()
        return found

    def verify(self, asked: Asked, answer: str, /) -> Outcome | Awaitable[Outcome]:
        """Whether it is the work of this case."""
        if len(answer) > LONGEST:
            return "failed"
        try:
            payload = altcha.Payload.from_base64(answer)
            data = payload.challenge.parameters.data
            rounds = payload.challenge.parameters.cost
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "failed"
        if not isinstance(data, dict) or data.get("case") != asked.case or type(rounds) is not int:
            return "failed"
        if rounds < _OFFLOAD:
            return self._judge(payload)
        return asyncio.to_thread(self._judge, payload)

    def _judge(self, payload: altcha.Payload) -> Outcome:
        """The library sees to the signature first, so that nobody has it do more rounds than we asked for."""
        for key in self._keys:
            found = altcha.verify_solution(payload, key)
            if not found.invalid_signature:
                return "solved" if found.verified else "failed"
        return "failed"
