"""Secrets: HKDF, rotation, and when there must be some."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from guardrail_mw.errors import PolicyError
from guardrail_mw.identity import Keyring, Secrets
from guardrail_mw.identity.keys import derive

OLD, NEW, ID = "o" * 32, "n" * 32, "i" * 32


def test_derived_as_rfc_5869_says() -> None:
    """Extract with the salt, expand once: 32 bytes are one block of SHA-256."""
    pseudorandom = hmac.digest(b"guardrail_mw", b"secret", hashlib.sha256)
    assert derive(b"secret", "clearance") == hmac.digest(pseudorandom, b"clearance\x01", hashlib.sha256)


def test_each_purpose_and_each_key_is_its_own() -> None:
    ring = Keyring([NEW.encode(), OLD.encode()])
    keys = ring.derive("clearance") + ring.derive("webhook")
    assert len(set(keys)) == 4
    assert ring.derive("clearance") == [derive(NEW.encode(), "clearance"), derive(OLD.encode(), "clearance")]


def test_rotating_the_keys_leaves_digests_alone() -> None:
    before = Secrets.read({"GUARDRAIL_ID_KEY": ID, "GUARDRAIL_KEYS": OLD}, shared=True)
    after = Secrets.read({"GUARDRAIL_ID_KEY": ID, "GUARDRAIL_KEYS": f"{NEW}, {OLD}"}, shared=True)
    assert before.id_key == after.id_key
    assert after.keys.derive("x")[1] == before.keys.derive("x")[0]
    assert after.made_up == ()


def test_in_memory_they_are_made_up_each_time() -> None:
    one, other = Secrets.read({}, shared=False), Secrets.read({}, shared=False)
    assert one.made_up == ("GUARDRAIL_ID_KEY", "GUARDRAIL_KEYS")
    assert one.id_key != other.id_key
    assert one.keys.derive("x") != other.keys.derive("x")


def test_a_shared_store_without_them_does_not_start() -> None:
    with pytest.raises(PolicyError) as caught:
        Secrets.read({"GUARDRAIL_KEYS": "  "}, shared=True)
    assert [(problem.path, problem.source) for problem in caught.value.problems] == [
        ("GUARDRAIL_ID_KEY", "environment"),
        ("GUARDRAIL_KEYS", "environment"),
    ]
    assert "secrets.token_hex" in caught.value.problems[0].hint


def test_short_ones_are_refused_even_in_memory() -> None:
    with pytest.raises(PolicyError) as caught:
        Secrets.read({"GUARDRAIL_ID_KEY": "short", "GUARDRAIL_KEYS": f"{NEW},"}, shared=False)
    assert [problem.message for problem in caught.value.problems] == [
        "is shorter than 32 characters.",
        "has a key shorter than 32 characters.",
    ]


def test_nothing_is_printed() -> None:
    secrets = Secrets.read({"GUARDRAIL_ID_KEY": ID, "GUARDRAIL_KEYS": NEW}, shared=True)
    assert NEW not in repr(secrets)
    assert repr(secrets.id_key) not in repr(secrets)


def test_a_keyring_holds_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Keyring([])
