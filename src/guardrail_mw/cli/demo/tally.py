"""What the driven accounts have seen: counted from their answers alone, as any client could."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from guardrail_mw.limits.models import Models
from guardrail_mw.values import Usage

__all__ = ["Tally", "dollars", "refused_by", "usage_of"]

_FIELD = re.compile(r'"([^"]+)";([^,]*)')


class Tally:
    """One account's figures.

    Args:
        name: whose.
        what: what it does, in a few words.
        models: the policy's, for prices.
    """

    def __init__(self, name: str, what: str, models: Models) -> None:
        self.name = name
        self.what = what
        self.admitted = 0
        self.refused: Counter[str] = Counter()
        """By the limit that refused, or the error's code."""
        self.tokens = 0
        self.micro = 0
        """Micro-dollars."""
        self.left = ""
        """Of the limit that is nearest to refusing, as the last answer's fields say."""
        self.unexpected: Counter[str] = Counter()
        """Answers that nobody should get."""
        self._models = models

    def admit(self, model: str, usage: Usage) -> None:
        """An answer came."""
        self.admitted += 1
        self.tokens += usage.tokens
        self.micro += self._models.cost(self._models.key(model), usage)

    def refuse(self, status: int, body: bytes) -> None:
        """A refusal came."""
        why = refused_by(body)
        if why:
            self.refused[why] += 1
        else:
            self.unexpected[f"status {status}"] += 1

    def note(self, headers: Mapping[str, str]) -> None:
        """Read what is left."""
        quotas = {name: _parameters(rest) for name, rest in _FIELD.findall(headers.get("ratelimit-policy", ""))}
        tightest: tuple[float, str] | None = None
        for name, rest in _FIELD.findall(headers.get("ratelimit", "")):
            quota, left = quotas.get(name, {}), int(_parameters(rest).get("r", "0"))
            if left and quota.get("qu") == "concurrent-requests":
                continue  # the request's own slot, mostly
            share = left / max(1, int(quota.get("q", "1")))
            if tightest is None or share < tightest[0]:
                tightest = share, _amount(name, left, quota)
        if tightest is not None:
            self.left = tightest[1]

    @property
    def refusals(self) -> int:
        """All of them."""
        return self.refused.total()

    def why(self) -> str:
        """The reasons, most frequent first."""
        return ", ".join(f"{count} {name}" for name, count in self.refused.most_common())


def _parameters(text: str) -> dict[str, str]:
    return {key: value.strip('"') for key, _, value in (part.partition("=") for part in text.split(";"))}


def _amount(name: str, left: int, quota: Mapping[str, str]) -> str:
    most = int(quota.get("q", "0"))
    if quota.get("qu") == "micro-usd":
        return f"{dollars(left)} of {dollars(most)} ({name})"
    return f"{left} of {most} ({name})"


def dollars(micro: int) -> str:
    """Micro-dollars in words: `$0.0153`, `$0`."""
    return f"${Decimal(micro).scaleb(-6).quantize(Decimal('0.0001')).normalize():f}"


def refused_by(body: bytes) -> str:
    """The limit that refused, or the error's code; empty where the body says neither."""
    try:
        document = json.loads(body)
        error: dict[str, Any] = document.get("error") or document
        details: dict[str, Any] = error.get("details") or error
        why = str(details.get("limit") or details.get("error_code") or details.get("code") or "")
    except (ValueError, AttributeError):
        return ""
    return "unknown key" if why == "invalid_api_key" else why


def usage_of(document: Mapping[str, Any]) -> Usage:
    """The usage in an answer or event of either vendor's; zeros where it says none."""
    found = document.get("usage") or (document.get("response") or {}).get("usage") or {}
    given = found.get("prompt_tokens", found.get("input_tokens", 0))
    made = found.get("completion_tokens", found.get("output_tokens", 0))
    return Usage(input=given, output=made)
