"""Keys of evidence: what they are made of, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.algorithms import keys


def test_by_hand() -> None:
    key = keys.join(13, 5)
    assert key == 13 * 2**57 + 5
    assert keys.text_of(key) == "1a00000000000005"
    assert keys.recode(key, 9) == 9 * 2**57 + 5


@given(code=st.integers(0, 63), digest=st.integers(0, 2**64 - 1))
def test_there_and_back(code: int, digest: int) -> None:
    key = keys.join(code, digest)
    assert 0 <= key < 2**63
    assert keys.code_of(key) == code
    assert key & (1 << 57) - 1 == digest & (1 << 57) - 1
    assert keys.read(keys.text_of(key)) == key


@pytest.mark.parametrize("text", ["", "0", "1A00000000000005", "8000000000000000", "1a00000000000005 ", "g" * 16, "٣" * 16])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="no key of evidence"):
        keys.read(text)
