"""Step-up by a token: which will do, and what is asked of whom."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification import Verifier, Wanted
from guardrail_mw.friction.verification.step_up import StepUpSettings, StepUpVerifier

from ..kit import NOW, person  # noqa: TID252 - the kit of friction's tests

ORDER = ("bronze", "silver", "gold")
SECOND = 1_000_000


def verifier(**settings: Any) -> StepUpVerifier:
    return StepUpVerifier(StepUpSettings.model_validate({"acr": "silver", **settings}), ORDER)


def is_verifier(one: object) -> bool:
    return isinstance(one, Verifier)


def test_it_is_a_verifier() -> None:
    assert is_verifier(verifier())


@pytest.mark.parametrize(
    ("acr", "passed"),
    [("", False), ("bronze", False), ("silver", True), ("gold", True), ("Silver", False), ("platinum", False)],
)
def test_what_is_asked_for_and_what_is_above_it(acr: str, passed: bool) -> None:
    assert verifier().passed(person(acr=acr)) is passed


def test_a_context_outside_the_order_is_only_itself() -> None:
    own = verifier(acr="urn:own")
    assert own.passed(person(acr="urn:own"))
    assert not own.passed(person(acr="gold"))


@pytest.mark.parametrize(
    ("ago", "passed"),
    [(0, True), (300, True), (360, True), (361, False), (-60, True), (-61, False), (10**9, False)],
)
def test_how_long_ago_somebody_signed_in(ago: int, passed: bool) -> None:
    """Five minutes, and one in which a token may be on its way or an issuer's clock ahead."""
    assert verifier(max_age="5m").passed(person(acr="gold", signed_in=NOW - ago * SECOND)) is passed


def test_a_token_that_does_not_say_when_is_not_fresh() -> None:
    assert not verifier(max_age="5m").passed(person(acr="gold"))
    assert verifier().passed(person(acr="gold"))


def test_what_is_asked_of_whom() -> None:
    one = verifier(max_age="5m", url="https://account.example/verify")
    assert one.wanted(person(source="jwt")) == Wanted(("silver",), 300, "https://account.example/verify")
    assert one.wanted(person(source="api_key")) == Wanted((), None, "https://account.example/verify")
    assert verifier().wanted(person(source="jwt")) == Wanted(("silver",), None, "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"acr": 'a"b'}, "match pattern"),
        ({"acr": "a b"}, "match pattern"),
        ({"acr": ""}, "at least 1 character"),
        ({"max_age": "10s"}, "is no whole number of seconds from 1m on."),
        ({"max_age": "90500ms"}, "is no whole number of seconds from 1m on."),
        ({"url": "javascript:alert(1)"}, "is not an http or https URL."),
        ({"url": "https://me@account.example"}, "is not an http or https URL."),
    ],
)
def test_what_a_policy_cannot_ask_for(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StepUpSettings.model_validate({"acr": "silver", **settings})
