"""What these tests share: a clock that stands, digests to look at, and one wish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from guardrail_mw.friction.verification.providers import Begin, Means, Provider, ProviderError, Report, WebhookError
from guardrail_mw.testing.clock import FakeClock

NOW = 1_767_225_600_000_000
SECOND = 1_000_000
YEAR = 365 * 86_400 * SECOND
CASE = "c1.Zm9v-bar_~"
BEGIN = Begin(CASE, "kyc", "https://app.example/.guardrail/back", "wish-1")
WORTH = {"ial": "ial2", "acr": "urn:example:kyc"}


def means() -> Means:
    return Means(FakeClock(NOW), lambda kind, value: f"{kind}={value}", "https://app.example/.guardrail/verification/")


def is_provider(one: object) -> bool:
    return isinstance(one, Provider)


def refused(one: Provider, raw: bytes, headers: Mapping[str, str]) -> str:
    """Why a webhook is not believed; it says nothing of itself."""
    with pytest.raises(WebhookError) as caught:
        one.parse_webhook(raw, headers)
    assert str(caught.value) == f"The webhook is not accepted. {caught.value.code}"
    return caught.value.code


async def trouble(call: object) -> str:
    """Why a call came to nothing."""
    with pytest.raises(ProviderError) as caught:
        await call  # type: ignore[misc]  # of any of the contract's
    return caught.value.code


def only(reports: Sequence[Report]) -> Report:
    (one,) = reports
    return one
