"""What is read of providers: signatures, times, URLs, numbers."""

from __future__ import annotations

import hmac

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.verification.countries import _TWO
from guardrail_mw.friction.verification.providers import Report, WebhookError
from guardrail_mw.friction.verification.providers.base import ProviderSettings, Worth
from guardrail_mw.friction.verification.providers.places import is_service, way
from guardrail_mw.friction.verification.providers.reading import case, moment, number, payload, report
from guardrail_mw.friction.verification.providers.signing import MOST, mac, matches, pairs

from .kit import NOW, SECOND, YEAR, means

RAW = b'{"id":"evt_1"}'
SECRETS = (b"whsec_first_secret", b"whsec_second_secret")
FIRST = "9b3ad676d95b59cc71eca8e365e9f40f5c72bb774619c95a3b918a74273e2aae"
"""printf '1767225600.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_first_secret -hex"""
PERSONA = "ef86a56e8b70b433109caec74bfc22a0a98589b2c7536bec59704475aac0f4e6"
"""printf '1767225600.{"data":{}}' | openssl dgst -sha256 -hmac wbhsec_first_secret -hex"""


def why(header: str, raw: bytes = RAW, now: int = NOW, secrets: tuple[bytes, ...] = SECRETS) -> str:
    try:
        pairs(secrets, header, raw, now)
    except WebhookError as error:
        return error.code
    return ""


def test_dated_signatures_by_openssl() -> None:
    assert not why(f"t=1767225600,v1={FIRST}")
    assert not why(f"t=1767225600,v1={FIRST.upper()}")
    assert not why(f"t=1767225600,v1={PERSONA}", b'{"data":{}}', secrets=(b"wbhsec_first_secret",))


@pytest.mark.parametrize(
    "header",
    [
        f"t=1767225600,v1={'0' * 64},v1={FIRST}",
        f"t=1767225600,v0={'0' * 64},v1={FIRST}",
        f"t=1767225600,v1={'0' * 64} t=1767225600,v1={FIRST}",
        f"t=1767225600,v1={FIRST} t=1767225599,v1={'0' * 64}",
    ],
)
def test_one_of_several_is_enough(header: str) -> None:
    assert not why(header)
    assert not why(header, secrets=(b"another", SECRETS[0]))
    assert why(header, secrets=SECRETS[1:]) == "signature"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "unsigned"),
        ("nonsense", "unsigned"),
        (f"v1={FIRST}", "signature"),
        ("t=1767225600", "unsigned"),
        (f"t=1767225600,v0={FIRST}", "unsigned"),
        (f"t=1767225600,v1={FIRST[:-1]}", "unsigned"),
        (f"t=1767225600,v1={FIRST[:-1]}é", "unsigned"),
        (f"t=1767225600,v1={FIRST[:-1]}x", "unsigned"),
        (f"t=1767225601,v1={FIRST}", "signature"),
        (f"t=1767225600,t=1767225600,v1={FIRST}", "signature"),
        (f"t=-1767225600,v1={FIRST}", "signature"),
        (f"t=1767225600,v1={'0' * 64}", "signature"),
        (",".join(["t=1767225600", *[f"v1={'0' * 64}"] * MOST, f"v1={FIRST}"]), "signature"),
        ("x" * 5_000, "unsigned"),
    ],
)
def test_what_does_not_sign(header: str, code: str) -> None:
    assert why(header) == code


@pytest.mark.parametrize(("off", "code"), [(300, ""), (301, "stale"), (-300, ""), (-301, "stale")])
def test_five_minutes_either_way(off: int, code: str) -> None:
    assert why(f"t=1767225600,v1={FIRST}", now=NOW + off * SECOND) == code


def test_a_changed_body_is_not_signed() -> None:
    assert why(f"t=1767225600,v1={FIRST}", RAW + b" ") == "signature"


def test_all_are_compared_however_early_one_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    compare = hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        seen.append(one)
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    assert matches([b"a", b"b"], [b"a", b"c"])
    assert len(seen) == 4


def test_hmac_by_rfc_4231() -> None:
    """Its test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert mac(b"Jefe", b"what do ya want ", b"for nothing?").hex() == expected


@pytest.mark.parametrize("raw", [b"", b"[]", b"nope", b"\xff", b"[" * 100_000])
def test_what_is_no_payload(raw: bytes) -> None:
    with pytest.raises(WebhookError, match="unreadable"):
        payload(raw)


@pytest.mark.parametrize(
    ("value", "us"),
    [
        (1_767_225_600, NOW),
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T00:00:00.123456+00:00", NOW + 123_456),
        ("2026-01-01 00:00:00+0000", NOW),
        ("2025-12-31 23:59:59.500", NOW - SECOND // 2),
        ("2026-01-01T01:00:00+01:00", NOW),
        ("2026-02-01T00:00:00Z", NOW + 300 * SECOND),
        (10**18, None),
        (-1, None),
        (True, None),
        (1.5, None),
        ("", None),
        ("yesterday", None),
        ("1999-01-01T00:00:00Z", None),
        (None, None),
    ],
)
def test_times(value: object, us: int | None) -> None:
    assert moment(value, NOW) == us


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://verify.example/",
        "https://verify.example.evil.test/",
        "https://evilverify.example/",
        "https://verify.example@evil.test/",
        "https://evil.test\\@verify.example/",
        "https://verify.example:8443/",
        "https://verify.example:x/",
        "//verify.example/",
        "https:///x",
        "https://verify.example/\n",
        'https://verify.example/"onload="',
        "https://verify.example/é",
        "https://[::1",
        "https://verify.example/" + "x" * 5_000,
        "",
    ],
)
def test_where_nobody_is_sent(url: str) -> None:
    assert not way(url, ["verify.example"])


def test_where_people_are_sent() -> None:
    for url in ("https://verify.example/x?y=z#w", "https://VERIFY.example/", "https://eu.verify.example:443/"):
        assert way(url, ["verify.example"]) == url


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        ("https://api.example", True),
        ("https://api.example:8443/v1", True),
        ("http://127.0.0.1:80/v1", True),
        ("http://api.example", False),
        ("https://me:pw@api.example", False),
        ("https://api.example?x=1", False),
        ("file:///etc/passwd", False),
        ("https://[::1", False),
        ("https://api.example:99999", False),
        ("https://", False),
    ],
)
def test_where_secrets_are_sent(url: str, sound: bool) -> None:
    assert is_service(url) is sound


def test_a_case_is_ours_or_none() -> None:
    assert case("a.B-9_~") == "a.B-9_~"
    assert [case(each) for each in ("", "a" * 401, "a b", "[redacted]", "é")] == [""] * 5


def test_numbers_become_tokens_whatever_is_between_the_digits() -> None:
    assert (
        number(means(), "document", "de", "c 01-x00") == number(means(), "document", "DE ", "C01X00") == "document=DEC01X00"
    )
    assert [number(means(), "document", "DE", each) for each in ("", " - ", "1" * 256)] == [""] * 3


def test_a_number_is_the_same_whoever_writes_it_down() -> None:
    written = number(means(), "document", "", "DE C01X00")  # as an operator notes it, country and number
    assert written == number(means(), "document", "DE", "C01X00")
    assert written == number(
        means(), "document", "\uff24\uff25", "\uff23\uff10\uff11\uff38\uff10\uff10"
    )  # letters of full width
    assert written == number(means(), "document", "D\ud800E", "C01\udfffX00")  # half a character is none


@pytest.mark.parametrize(
    ("three", "two"),
    [("DEU", "DE"), ("D", "DE"), ("gbr", "GB"), ("CHE", "CH"), ("AUT", "AT"), ("XKX", "XK"), ("RKS", "XK"), ("ZZZ", "ZZZ")],
)
def test_a_country_is_the_same_in_two_letters_and_in_three(three: str, two: str) -> None:
    assert number(means(), "document", three, "C01X00") == number(means(), "document", two, "C01X00")
    assert number(means(), "document", "", f"{three} C01 X00") == number(means(), "document", two, "C01X00")


def test_countries_are_all_there_once() -> None:
    assert len(_TWO) == 249 + 3  # of ISO 3166-1 there are 249
    assert len(set(_TWO.values())) == 249 + 1  # Germany has two, and Kosovo is none of them
    assert all(len(each) == 3 and each.isalpha() for each in _TWO if each != "D")


def test_a_number_that_has_no_country_is_kept_whole() -> None:
    assert number(means(), "document", "", "C01X 00") == number(means(), "document", "", "C01X00") == "document=C01X00"
    assert number(means(), "document", "", "DEU") == "document=DEU"


def test_only_approvals_of_known_checks_are_worth_something() -> None:
    worth = Worth.model_validate({"ial": "ial2"})
    bare = Report("c", "1", "e", "approved", NOW)
    assert report(bare, worth) == bare._replace(until=NOW + YEAR, ial="ial2")
    assert report(bare, worth, NOW - SECOND).until == NOW - SECOND + YEAR
    assert report(bare, worth, NOW + SECOND).until == NOW + YEAR
    assert report(bare, None) == bare._replace(state="pending")
    assert report(bare._replace(state="declined"), worth) == bare._replace(state="declined")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"secrets": []}, "at least 1 item"),
        ({"secrets": ["short"]}, "is not 8 to 1024 ASCII characters."),
        ({"secrets": ["long enough"] * 9}, "at most 8 items"),
        ({"deadline": "2m"}, "is not between 100ms and 1m."),
        ({"url": "http://api.example"}, "is not a plain https URL."),
    ],
)
def test_what_no_settings_can_say(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ProviderSettings.model_validate({"secrets": ["long enough"], **changed})


def test_an_approval_lasts_a_day_at_least() -> None:
    with pytest.raises(ValidationError, match=r"is less than 1d\."):
        Worth.model_validate({"lasts": "1h"})


def test_an_address_of_ones_own_has_no_slash_at_its_end() -> None:
    assert (
        ProviderSettings.model_validate({"secrets": ["long enough"], "url": "https://api.example/v1/"}).url
        == "https://api.example/v1"
    )
    assert ProviderSettings.model_validate({"secrets": ["long enough"], "deadline": "100ms"}).url == ""
