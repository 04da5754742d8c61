"""What several stages do with columns: the same by a table as by sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.clusters import columns
from guardrail_mw.clusters.columns import among, begins, ranked, within

NUMBERS = st.lists(st.integers(0, 49), max_size=30).map(lambda found: np.array(found, np.int64))


def test_runs() -> None:
    assert begins(np.array([2, 0, 3])).tolist() == [0, 2, 2, 5]
    assert within(np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]


@pytest.fixture(params=[0, 1 << 29], ids=["sorted", "table"])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of a table; of none all is sorted."""
    monkeypatch.setattr(columns, "_TABLE", request.param)
    monkeypatch.setattr(columns, "_SPARSE", 1_000_000)
    return int(request.param)


@pytest.mark.usefixtures("most")
def test_by_hand() -> None:
    number = np.array([7, 3, 7, 0], np.int64)
    assert among(number, np.array([3, 3, 9], np.int64), 10).tolist() == [False, True, False, False]
    found, place = ranked(number, 10)
    assert (found.tolist(), place.tolist(), str(place.dtype)) == ([0, 3, 7], [2, 1, 2, 0], "int64")


@given(NUMBERS, NUMBERS)
def test_a_table_finds_what_sorting_finds(
    number: np.ndarray[tuple[int], np.dtype[np.int64]], wanted: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    assert among(number, wanted, 50).tolist() == [each in set(wanted.tolist()) for each in number.tolist()]
    found, place = ranked(number, 50)
    assert found.tolist() == sorted(set(number.tolist()))
    assert found[place].tolist() == number.tolist()
