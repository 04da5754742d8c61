"""Claims: whose, for whom, from when until when."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.identity.claims import check_claims, flag_claim, past_claim, peek_claims, read_claims, text_claim
from guardrail_mw.identity.jws import BadToken

from .kit import NOW, claims, token

LEEWAY = 30_000_000
NOW_US = NOW * 1_000_000


def check(now: int = NOW_US, **more: Any) -> int:
    return check_claims(claims(**more), audience={"model-api", "other-name"}, now=now, leeway=LEEWAY)


def test_exp_comes_back_in_microseconds() -> None:
    assert check() == (NOW + 3600) * 1_000_000
    assert check(exp=NOW + 0.5) == NOW_US + 500_000


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"exp": NOW - 29}, True),
        ({"exp": NOW - 30}, False),
        ({"exp": None}, False),
        ({"nbf": NOW + 30}, True),
        ({"nbf": NOW + 31}, False),
        ({"iat": NOW + 31}, False),
        ({"iat": NOW - 10**6}, True),
        ({"exp": "9999999999"}, False),
        ({"exp": True}, False),
        ({"exp": float("inf")}, False),
        ({"exp": float("nan")}, False),
        ({"exp": 10**400}, False),
        ({"exp": -1}, False),
        ({"nbf": []}, False),
        ({"aud": "other-name"}, True),
        ({"aud": ["somebody", "model-api"]}, True),
        ({"aud": ["somebody"]}, False),
        ({"aud": "model"}, False),
        ({"aud": "model-api "}, False),
        ({"aud": []}, False),
        ({"aud": {}}, False),
        ({"aud": [["model-api"]]}, False),
        ({"aud": None}, False),
    ],
)
def test_time_and_audience(more: dict[str, Any], good: bool) -> None:
    if good:
        assert check(**more)
        return
    with pytest.raises(BadToken):
        check(**more)


def test_an_audience_that_is_not_asked_for() -> None:
    assert check_claims(claims(aud="anybody"), audience=None, now=NOW_US, leeway=0)
    with pytest.raises(BadToken):
        check_claims(claims(aud="anybody"), audience=(), now=NOW_US, leeway=0)


def test_peeking_is_as_lenient_as_anybody() -> None:
    head, payload, signature = token().split(b".")
    for dressed in (
        payload,
        payload + b"=",
        payload + b"===",
        payload[:5] + b"!" + payload[5:],
        payload[:5] + b"\xff" + payload[5:],
        payload.replace(b"-", b"+").replace(b"_", b"/"),
    ):
        assert peek_claims(b".".join([head, dressed, signature])) == claims()
    assert peek_claims(b".".join([head, payload, signature, b"more"])) == claims()


DEEP = b"a." + b"W1tb" * 1500 + b".c"


@pytest.mark.parametrize("raw", [b"", b"sk-abc", b"a.b", b"..", b"a.W10.c", b"a.!.c", b"a.\xff.c", DEEP])
def test_what_has_no_claims(raw: bytes) -> None:
    assert peek_claims(raw) is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"\xff", b"{", b"[" * 9000])
def test_a_payload_must_be_an_object(payload: bytes) -> None:
    with pytest.raises(BadToken):
        read_claims(payload)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("acme", "acme"),
        ("", ""),
        (2, "2"),
        (True, ""),
        (2.5, ""),
        (None, ""),
        (["a"], ""),
        ("é" * 127, "é" * 127),
        ("é" * 128, ""),
        (10**30, ""),
        ("\ud800", "\ud800"),
    ],
)
def test_text_claims(value: object, text: str) -> None:
    assert text_claim({"x": value}, "x") == text
    assert text_claim({"x": value}, "") == ""


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, True), ("true", True), (1, False), ("True", False), ("yes", False), ([True], False), ({}, False), (None, False)],
)
def test_what_says_yes(value: object, said: bool) -> None:
    assert flag_claim({"x": value}, "x") is said
    assert flag_claim({"x": value}, "") is False


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_700_000_000, 1_700_000_000_000_000),
        (1_700_000_000.5, 1_700_000_000_500_000),
        (1_700_000_000_123, 1_700_000_000_123_000),  # milliseconds
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000_000),
        ("2023-11-14", 1_699_920_000_000_000),
        (NOW, NOW_US),
        (NOW + 1, None),
        (631_152_000, 631_152_000_000_000),
        (631_151_999, None),  # 1989: rather a count of days, or nothing at all
        (0, None),
        (-5, None),
        (10**15, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (True, None),
        (None, None),
        ([], None),
        ({"$date": 5}, None),
        ("", None),
        ("1970-01-01T00:00:00Z", None),
        ("1700000000", None),
        ("yesterday", None),
        ("2023-11-14T22:13:20Z" + " " * 9000, None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
    ],
)
def test_when_something_was(value: object, us: int | None) -> None:
    assert past_claim({"x": value}, "x", NOW_US) == us
    assert past_claim({"x": value}, "", NOW_US) is None
