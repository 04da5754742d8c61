"""Digests: keyed, framed, of one length."""

from __future__ import annotations

import re
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.identity.digest import Digester

from .kit import ID_KEY

DIGESTER = Digester(ID_KEY)


def test_a_digest_by_hand() -> None:
    """base64url of BLAKE2b over each part behind its length, four bytes big-endian."""
    framed = b"\x00\x00\x00\x03jwt" + b"\x00\x00\x00\x01i" + b"\x00\x00\x00\x05alice"
    raw = blake2b(framed, digest_size=16, key=ID_KEY, person=b"account").digest()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    number = int.from_bytes(raw, "big") << 4  # 128 bits and 4 of padding are 22 digits of 6
    expected = "".join(alphabet[number >> 6 * place & 63] for place in reversed(range(22)))
    assert DIGESTER.account("jwt", "i", "alice") == f"a:{expected}"


words = st.text(st.characters(codec="utf-8"))
parts = st.tuples(words, words, st.binary())


@given(one=parts, other=parts)
def test_different_accounts_have_different_digests(one: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    assert re.fullmatch(r"a:[A-Za-z0-9_-]{22}", DIGESTER.account(*one))
    assert (DIGESTER.account(*one) == DIGESTER.account(*other)) == (one == other)


def test_parts_cannot_be_moved_over_their_borders() -> None:
    moved = (("a", "b", "c"), ("ab", "", "c"), ("a", "", "bc"), ("", "ab", "c"))
    assert len({DIGESTER.account(*shape) for shape in moved}) == 4


def test_kinds_do_not_meet() -> None:
    digests = (DIGESTER.account("", "", "x")[2:], DIGESTER.organisation("", "", "x")[2:], DIGESTER.evidence("", "x"))
    assert len(set(digests)) == 3


def test_another_key_gives_other_digests() -> None:
    assert Digester(b"another key of at least sixteen").network(b"x") != DIGESTER.network(b"x")


@pytest.mark.parametrize("length", [0, 15, 65])
def test_a_key_of_the_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"has {length} bytes; it needs 16 to 64"):
        Digester(bytes(length))


def test_a_key_of_evidence_by_hand() -> None:
    """The kind's code, then the first 57 bits of BLAKE2b over the code and the value behind its length."""
    raw = blake2b(b"\x01" + b"\x00\x00\x00\x04card", digest_size=8, key=ID_KEY, person=b"key").digest()
    bits = "".join(f"{byte:08b}" for byte in raw)[:57]
    assert DIGESTER.key(1, "card") == int("000001" + bits, 2)
    assert DIGESTER.key(1, b"card") == DIGESTER.key(1, "card")


@given(code=st.integers(0, 63), values=st.lists(st.binary(max_size=80), max_size=8))
def test_many_keys_are_each_ones_own(code: int, values: list[bytes]) -> None:
    found = DIGESTER.keys(code, values)
    assert found == [DIGESTER.key(code, value) for value in values]
    assert len(set(found)) == len(set(values))
    assert all(key >> 57 == code for key in found)


def test_keys_hang_on_their_kind_and_on_the_secret() -> None:
    mask = (1 << 57) - 1
    assert len({DIGESTER.key(code, "card") & mask for code in range(64)}) == 64
    assert Digester(b"another key of 32 bytes, no less").key(1, "card") != DIGESTER.key(1, "card")
