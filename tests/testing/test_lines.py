"""What a third party writes is as short as we say: a store's whole test runs the contract in fifteen lines."""

from __future__ import annotations

import pytest

OPTIONS = ("-p", "no:guardrail_mw", "-p", "guardrail_mw.testing.plugin", "-p", "no:valkey", "-p", "no:cacheprovider")
STORE_TEST = """\
import pytest
from my_store import MyStore

from guardrail_mw.testing.contract import StoreContract


class TestMyStore(StoreContract):
    @pytest.fixture
    async def store(self, clock):
        store = MyStore(clock=clock)
        yield store
        await store.close()
"""
GOOD = "from guardrail_mw.stores.memory import MemoryStore as MyStore\n"
FORGETFUL = """\
from guardrail_mw.stores.memory import MemoryStore


class MyStore(MemoryStore):
    def settle(self, settlements):
        pass  # gives nothing back
"""


def test_a_store_test_is_fifteen_lines(pytester: pytest.Pytester) -> None:
    """The whole file. A part of the contract is run here; `tests/stores/test_contract.py` holds the store to all of it."""
    assert len(STORE_TEST.splitlines()) <= 15
    pytester.makepyfile(my_store=GOOD, test_my_store=STORE_TEST)
    pytester.syspathinsert()
    outcomes = pytester.runpytest_subprocess(*OPTIONS, "-k", "settl or bucket or distinct").parseoutcomes()
    assert outcomes.pop("passed") > 20
    assert set(outcomes) <= {"deselected"}


def test_it_finds_a_store_that_breaks_its_word(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(my_store=FORGETFUL, test_my_store=STORE_TEST)
    pytester.syspathinsert()
    outcomes = pytester.runpytest_subprocess(*OPTIONS, "-k", "settl").parseoutcomes()
    assert outcomes["failed"] > 5
