"""An operator, and nobody: what is decided with no service."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.providers import Report
from guardrail_mw.friction.verification.providers.manual import ManualProvider, ManualSettings
from guardrail_mw.friction.verification.providers.simulated import SimulatedProvider, SimulatedSettings

from .kit import BEGIN, CASE, NOW, SECOND, WORTH, YEAR, is_provider, means, refused, trouble

pytestmark = pytest.mark.anyio

LEVELS = {"levels": {"kyc": WORTH}}


def manual() -> ManualProvider:
    return ManualProvider(ManualSettings.model_validate(LEVELS), means())


def simulated() -> SimulatedProvider:
    return SimulatedProvider(SimulatedSettings.model_validate({**LEVELS, "i_know_it_proves_nothing": True}), means())


@pytest.mark.parametrize("make", [manual, simulated])
async def test_people_are_sent_to_a_page_of_ours(make: Any) -> None:
    one = make()
    assert is_provider(one)
    assert not one.webhook
    begun = await one.start(BEGIN)
    assert begun.url == f"https://app.example/.guardrail/verification/{CASE}"
    assert await one.start(BEGIN) == begun
    assert await one.resume(begun.id, BEGIN) == begun
    assert (await one.start(BEGIN._replace(idempotency_key="wish-2"))).id != begun.id
    assert begun.id.startswith(f"{one.prefix}_")
    assert await trouble(one.start(BEGIN._replace(level="other"))) == "refused"


@pytest.mark.parametrize("make", [manual, simulated])
async def test_nobody_else_knows(make: Any) -> None:
    one = make()
    assert refused(one, b"{}", {}) == "unsigned"
    assert await one.fetch("manual_1") is None
    await one.cancel("manual_1")
    await one.redact("manual_1")


@pytest.mark.parametrize("make", [manual, simulated])
def test_a_decision_is_a_report(make: Any) -> None:
    one = make()
    found = one.decide(BEGIN, "m_1", "approved", NOW, document="DE c01x00")
    assert found == Report(
        CASE, "m_1", found.event, "approved", NOW, NOW + YEAR, "ial2", "urn:example:kyc", "document=DEC01X00", level="kyc"
    )
    assert one.decide(BEGIN, "m_1", "approved", NOW).event == found.event
    taken = one.decide(BEGIN, "m_1", "withdrawn", NOW + SECOND)
    assert (taken.state, taken.until, taken.acr) == ("withdrawn", None, "")
    assert taken.event != found.event


@pytest.mark.parametrize("said", [{}, {"i_know_it_proves_nothing": False}])
def test_nobody_verifies_nobody_unknowingly(said: dict[str, bool]) -> None:
    with pytest.raises(ValidationError, match=r"is not true: anybody who can click passes\."):
        SimulatedSettings.model_validate({**LEVELS, **said})
    unchecked = SimulatedSettings.model_construct(
        levels={}, i_know_it_proves_nothing=said.get("i_know_it_proves_nothing", False)
    )
    with pytest.raises(ValueError, match="i_know_it_proves_nothing is not true"):
        SimulatedProvider(unchecked, means())
