"""Texts that leave the process and come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.friction.sealing import LONGEST, Sealer

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32


def test_what_was_sealed_is_opened_by_any_key_that_is_listed() -> None:
    sealed = Sealer([OLD]).seal(b"who")
    assert Sealer([NEW, OLD]).open(sealed) == b"who"
    assert Sealer([NEW]).open(sealed) is None


def test_no_two_are_alike_and_none_shows_what_is_in_it() -> None:
    sealer = Sealer([NEW])
    several = {sealer.seal(b"a:secret-account") for _ in range(50)}
    assert len(several) == 50
    assert not any("secret" in each for each in several)
    assert all(set(each) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") for each in several)


def test_a_changed_letter_anywhere_opens_nothing() -> None:
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"0123456789abc")  # 45 bytes are 60 letters, none of which has idle bits
    for place in range(len(sealed)):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        assert sealer.open(changed) is None


@given(st.text(max_size=100))
def test_nothing_else_opens_or_raises(text: str) -> None:
    assert Sealer([NEW, OTHER]).open(text) is None


def test_what_is_too_long_is_not_opened() -> None:
    sealer = Sealer([NEW])
    assert sealer.open(sealer.seal(bytes(6_000))) == bytes(6_000)
    assert sealer.open("A" * (LONGEST + 1)) is None
    assert sealer.open(sealer.seal(bytes(7_000))) is None
