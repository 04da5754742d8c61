"""The device's cookie: what it holds, who may make one, and how it comes back."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.identity.device_cookie import COOKIE, LIFE, RENEW, Signer, find
from guardrail_mw.identity.keys import Keyring

from .kit import NOW

OLD, NEW = b"o" * 32, b"n" * 32
SIGNER = Signer(Keyring([OLD]))
NAME = b"__Host-guardrail-device"


def value(header: bytes) -> bytes:
    """What a client sends back of a `set-cookie` header."""
    name, _, rest = header.partition(b"=")
    assert name == NAME == COOKIE
    return rest.partition(b";")[0]


def test_a_cookie_by_hand() -> None:
    """HKDF with the purpose as info, HMAC-SHA256 over version, id and time; cut to 16 bytes, base64url without padding."""
    device = bytes(range(16))
    shown = base64.urlsafe_b64encode(device).rstrip(b"=")
    extracted = hmac.digest(b"guardrail_mw", OLD, hashlib.sha256)
    key = hmac.digest(extracted, b"device-cookie\x01", hashlib.sha256)
    signed = b"v1." + shown + b".1767225600"
    signature = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)[:16]).rstrip(b"=")
    flags = b"; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax"
    header = SIGNER.issue(NOW, device)
    assert header == NAME + b"=" + signed + b"." + signature + flags
    assert SIGNER.read(value(header), NOW) == (device, NOW)


def test_each_is_new_unless_told() -> None:
    issued = {value(SIGNER.issue(NOW)) for _ in range(100)}
    assert len(issued) == 100
    assert {SIGNER.read(each, NOW) is not None for each in issued} == {True}
    assert len(max(issued, key=len)) <= 80


def test_a_newer_key_signs_and_older_ones_still_verify() -> None:
    both, new = Signer(Keyring([NEW, OLD])), Signer(Keyring([NEW]))
    device = bytes(16)
    before, after = value(SIGNER.issue(NOW, device)), value(both.issue(NOW, device))
    assert before != after == value(new.issue(NOW, device))
    assert both.read(before, NOW) == both.read(after, NOW) == (device, NOW)
    assert new.read(before, NOW) is None  # no longer listed: unknown, and no error


def test_it_ends_after_its_life() -> None:
    issued = value(SIGNER.issue(NOW))
    assert RENEW < LIFE == 34_560_000
    assert SIGNER.read(issued, NOW + LIFE - 1) is not None
    assert SIGNER.read(issued, NOW + LIFE) is None


def test_no_byte_of_it_can_be_changed() -> None:
    issued = value(SIGNER.issue(NOW))
    for place in range(len(issued)):
        for other in (b"A", b"0", b"."):
            changed = issued[:place] + other + issued[place + 1 :]
            assert changed == issued or SIGNER.read(changed, NOW) is None
    for changed in (issued + b"A", issued[:-1], b"v2" + issued[2:], issued.replace(b".1767", b".01767"), issued + b"\n"):
        assert SIGNER.read(changed, NOW) is None


def test_a_signature_for_another_purpose_is_none() -> None:
    key = Keyring([OLD]).derive("clearance")[0]
    signed = value(SIGNER.issue(NOW)).rpartition(b".")[0]
    other = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)[:16])[:22]
    assert SIGNER.read(signed + b"." + other, NOW) is None


@given(st.binary(max_size=100) | st.from_regex(rb"v1\.[\w-]{22}\.\d{1,12}\.[\w-]{22}", fullmatch=True))
def test_whatever_comes_back_is_no_error(text: bytes) -> None:
    assert SIGNER.read(text, NOW) is None


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ([], b""),
        ([b"a=b"], b""),
        ([NAME + b"=x"], b"x"),
        ([b"a=b; " + NAME + b"=x; c=d"], b"x"),
        ([b"a=b;" + NAME + b"=x"], b"x"),
        ([b"a=b", NAME + b"=x"], b"x"),  # as HTTP/2 may split it
        ([NAME + b"=x; " + NAME + b"=y"], b"x"),
        ([b"x" + NAME + b"=x"], b""),
        ([b"a=" + NAME + b"=x"], b""),
        ([(b"a=" + NAME + b"=;") * 3 + NAME + b"=x"], b"x"),
        ([(b"a=" + NAME + b"=;") * 4 + NAME + b"=x"], b""),  # nobody's browser does that
        ([NAME + b"-2=x"], b""),
        ([NAME.lower() + b"=x"], b""),
        ([NAME + b"=" + b"x" * 81], b""),
        ([NAME], b""),
    ],
)
def test_where_it_stands_among_others(cookies: list[bytes], found: bytes) -> None:
    headers = [(b"host", b"api.example"), *[(b"cookie", cookie) for cookie in cookies]]
    assert find(headers) == found
    assert find([(b"x-cookie", NAME + b"=x")]) == b""
