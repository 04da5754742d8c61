"""Cases and budgets by the thousand: what a look at deadlines, and one more that is counted, may cost then."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.verifying import CountingStore, guarded  # noqa: TID252

pytestmark = pytest.mark.anyio
DAY = 86_400 * 1_000_000


class Pulled(CountingStore):
    """Counts what is pulled."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.pulled = 0

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        self.pulled += 1
        return await super().pull(drawer, name)


async def test_a_look_at_deadlines_reads_what_is_due_and_nothing_else() -> None:
    store, told = Pulled(), []
    site = guarded(store=store)
    site.guardrail.notices.subscribe(lambda notice: told.append((notice["what"], notice["case"])))
    now = site.clock.now()
    for number in range(700):
        state = {"state": "declined"} if number % 2 else {}
        fields = {"account": f"a:{number}", "deadline": str(now + 14 * DAY), **state}
        changes = [Change("set", *each) for each in fields.items()]
        await store.file("case", f"c{number}", changes, now + 400 * DAY)
    looks = []
    for _ in range(3):
        store.pulled = 0
        await site.guardrail.look()
        looks.append(store.pulled)
        site.clock.jump(60)
    assert looks == [700, 0, 0]
    await store.file("case", "c1", [Change("set", "state", ""), Change("set", "deadline", str(now + 20 * DAY))], 0)
    days: Any = []
    for day in range(1, 22):
        site.clock.jump(86_400)
        told.clear()
        await site.guardrail.look()
        days += [(day, what, len([1 for each, _ in told if each == what])) for what in sorted({each for each, _ in told})]
    # asked anew meanwhile: c1
    assert days == [
        (7, "reminder", 350), (13, "reminder", 351), (14, "overdue", 350), (19, "reminder", 1), (20, "overdue", 1),
    ]  # fmt: skip


async def test_one_more_is_counted_as_fast_beside_many() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    until = clock.now() + 30 * DAY
    for number in range(5_000):
        assert await store.take(f"starts:{number}", "1", 5, until)
    looked = 0

    class Looking(dict[str, int]):
        def values(self) -> Any:
            nonlocal looked
            looked += 1
            return super().values()

    store._members._budgets = {name: Looking(kept) for name, kept in store._members._budgets.items()}
    for number in range(1_000):
        assert await store.take(f"more:{number}", "1", 5, until)
    assert looked <= 6_000
    clock.jump(31 * 86_400)
    for number in range(20_000):
        await store.take(f"again:{number}", "1", 5, clock.now() + DAY)
    assert not any(name.startswith("starts:") for name in store._members._budgets)
