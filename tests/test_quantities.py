"""Quantities: what they mean, how they print, what they refuse."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from ipaddress import ip_network

import limits
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from guardrail_mw.quantities import Budget, Duration, Network, Quantity, QuantityError, Rate, Share, Size

MINUTE = 60_000_000
KINDS: list[type[Quantity]] = [Rate, Budget, Duration, Size, Share, Network]


@pytest.mark.parametrize(
    ("text", "amount", "period"),
    [
        ("60/minute", "60", MINUTE),
        ("5 per 2 hours", "5", 120 * MINUTE),
        ("12.50/hour", "12.50", 60 * MINUTE),
        ("1/second", "1", 1_000_000),
        ("10 PER Day", "10", 1440 * MINUTE),
        ("3/month", "3", 30 * 1440 * MINUTE),
        ("3/year", "3", 360 * 1440 * MINUTE),
        ("100 / 15 minutes", "100", 15 * MINUTE),
    ],
)
def test_a_rate_is_an_amount_in_a_period(text: str, amount: str, period: int) -> None:
    rate = Rate.parse(text)
    assert (rate.amount, rate.period, str(rate)) == (Decimal(amount), period, text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "250ms", 250_000),
        (Duration, "30s", 30_000_000),
        (Duration, "5m", 300_000_000),
        (Duration, "1.5h", 5_400_000_000),
        (Duration, "7d", 604_800_000_000),
        (Size, "32MiB", 33_554_432),
        (Size, "64KB", 64_000),
        (Size, "1.5KiB", 1_536),
        (Size, "512 B", 512),
    ],
)
def test_lengths_and_sizes_in_integers(kind: type[Duration | Size], text: str, value: int) -> None:
    found = kind.parse(text)
    assert (found.us if isinstance(found, Duration) else found.bytes) == value
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "whole", "part"), [("30%", 10, 3), ("30%", 9, 2), ("2.5%", 1000, 25), ("100%", 7, 7), ("0.1%", 999, 0)]
)
def test_a_share_is_rounded_down(text: str, whole: int, part: int) -> None:
    assert Share.parse(text).of(whole) == part


@pytest.mark.parametrize("text", ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "::1"])
def test_a_network_is_one_or_many_addresses(text: str) -> None:
    assert Network.parse(text).network == ip_network(text)


def test_a_budget_keeps_its_calendar() -> None:
    budget = Budget.parse(" 500.25/month ")
    assert (budget.amount, budget.calendar, budget.text) == (Decimal("500.25"), "month", "500.25/month")


def test_equal_when_they_mean_the_same() -> None:
    assert Rate.parse("60/minute") == Rate.parse("60 per 60 seconds")
    assert hash(Rate.parse("60/minute")) == hash(Rate.parse("60 per 60 seconds"))
    assert Size.parse("1KB") != Size.parse("1KiB")


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        (Rate, "0/minute", "is not above 0"),
        (Rate, "0.000/minute", "is not above 0"),
        (Rate, "-1/minute", "is not above 0"),
        (Rate, "+1/minute", "has a sign"),
        (Rate, "nan/minute", "is not a finite number"),
        (Rate, "Infinity/minute", "is not a finite number"),
        (Rate, "-.inf/minute", "is not a finite number"),
        (Rate, "60", "has no period"),
        (Rate, "60/fortnight", "is not in seconds, minutes, hours, days, months or years"),
        (Rate, "60/week", "is not in seconds, minutes, hours, days, months or years"),
        (Rate, "60/0 minutes", "has a period of 0"),
        (Rate, "1/second; 60/minute", "is more than one rate: write a limit for each"),
        (Rate, "1e3/minute", "is not a rate"),
        (Rate, "1_000/minute", "is not a rate"),
        (Rate, "٦٠/minute", "does not begin with a plain decimal number"),
        (Rate, "1.1234567/minute", "has more than six decimals"),
        (Rate, "9999999999999999/minute", "is too large to mean anything"),
        (Rate, "1/11 years", "has a period of more than ten years"),
        (Rate, "", "is empty"),
        (Rate, "1" * 65 + "/minute", "is longer than 64 characters"),
        (Budget, "500", "has no calendar period"),
        (Budget, "500/2 months", "is of several periods, and a budget is of one"),
        (Budget, "500/second", "is of no calendar period"),
        (Duration, "30", "has no unit"),
        (Duration, "30 sec", "has an unknown unit"),
        (Duration, "12:30", "has an unknown unit"),
        (Duration, "0.0001ms", "is finer than a microsecond"),
        (Duration, "9999d", "is more than ten years"),
        (Size, "32", "has no unit"),
        (Size, "32mb", "has an unknown unit"),
        (Size, "1.5B", "is not a whole number of bytes"),
        (Size, "9999TB", "is too large to mean anything"),
        (Share, "0.3", "has no % sign"),
        (Share, "0%", "is not above 0"),
        (Share, "100.1%", "is more than the whole"),
        (Network, "10.0.0.1/8", "has bits set beyond its prefix: clear them, or leave the prefix out"),
        (Network, "300.0.0.1", "is not a network"),
        (Network, "::ffff:10.0.0.0/104", "is an IPv4-mapped network: write the IPv4 one, mapped addresses match it"),
        (Network, "fe80::1%eth0", "names a zone, which has a meaning only on one machine"),
    ],
)
def test_what_is_refused_and_why(kind: type[Quantity], text: str, wrong: str) -> None:
    with pytest.raises(QuantityError) as caught:
        kind.parse(text)
    assert caught.value.wrong == wrong
    assert str(caught.value).endswith(f" {wrong}; expected {kind.expected}.")


class _Settings(BaseModel):
    rate: Rate


@pytest.mark.parametrize(
    ("value", "what"), [(60, "a bare number"), (0.5, "a bare number"), (True, "a boolean"), (["60/minute"], "a list")]
)
def test_a_field_takes_text_alone(value: object, what: str) -> None:
    with pytest.raises(ValidationError, match=f"is {what}, not a text with its unit"):
        _Settings.model_validate({"rate": value})


def test_a_field_prints_what_was_written() -> None:
    settings = _Settings.model_validate({"rate": "5  per 2 hours"})
    assert json.loads(settings.model_dump_json()) == {"rate": "5  per 2 hours"}
    assert _Settings.model_validate({"rate": settings.rate}) == settings


@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_sound_and_fit_the_pattern(kind: type[Quantity]) -> None:
    for example in kind.examples:
        assert str(kind.parse(example)) == example
        assert re.search(kind.pattern, example)


@given(st.sampled_from(KINDS), st.text(max_size=80) | st.from_regex(r"[0-9.]{1,6} ?[/%a-zA-Z:0-9 ]{0,12}", fullmatch=True))
def test_any_text_is_read_or_refused(kind: type[Quantity], text: str) -> None:
    """And what is read fits the pattern that editors know."""
    try:
        found = kind.parse(text)
    except QuantityError:
        return
    assert kind.parse(str(found)) == found
    assert re.search(kind.pattern, text.strip())


@given(st.integers(1, 10**9), st.integers(1, 59), st.sampled_from(["second", "minute", "hour"]))
def test_a_rate_agrees_with_the_limits_library(amount: int, multiples: int, unit: str) -> None:
    text = f"{amount} per {multiples} {unit}s"
    item = limits.parse(text)
    rate = Rate.parse(text)
    assert (int(rate.amount), rate.period) == (item.amount, item.get_expiry() * 1_000_000)
