"""The contract of `guardrail_mw.stores.base`, as a suite that any store can be held to. Needs pytest and anyio.

A store's whole test:

    from guardrail_mw.testing.contract import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        async def store(self, clock):
            store = MyStore(clock=clock)
            yield store
            await store.close()

Time is `clock`, which passes only when a test says so: the store must be driven by it. `guardrail_mw.testing.machine` tries
what nobody thought of.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from guardrail_mw.stores.base import Store
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.contract_charging import Charging
from guardrail_mw.testing.contract_counting import Counting
from guardrail_mw.testing.contract_desk import Budgeting, Operating
from guardrail_mw.testing.contract_filing import Filing
from guardrail_mw.testing.contract_linking import Linking
from guardrail_mw.testing.contract_noticing import Noticing
from guardrail_mw.testing.contract_remembering import Forgetting, Keeping, Remembering
from guardrail_mw.testing.contract_settling import Settling

__all__ = ["StoreContract", "SubjectsContract"]


class StoreContract(Charging, Counting, Settling, Remembering, Noticing, Keeping, Operating, Budgeting, Filing, Linking):
    """Subclass it and give it a fixture `store`: empty, and driven by the fixture `clock`."""

    pytestmark = pytest.mark.anyio

    exact: ClassVar[bool] = True
    """False for a store that charges each home by itself (a cluster): under contention it may admit fewer, never more."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The tests run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def clock(self) -> FakeClock:
        """Stands at 2026-01-01T00:00:00Z until a test moves it."""
        return FakeClock()

    @pytest.fixture
    def store(self) -> Store:
        """The store to be held to the contract."""
        raise NotImplementedError("give the subclass a fixture `store` that yields an empty store driven by `clock`")


class SubjectsContract(Forgetting):
    """Beside `StoreContract`, for a store that can tell how many subjects it keeps: give it a method `subjects`."""
