# ruff: noqa: S101 - a test kit: assert is how it speaks
"""A state machine that drives a store and a model side by side, and compares every answer.

    class MyMachine(StoreMachine):
        def make_store(self, clock):
            return MyStore(clock=clock)

    test_my_store = MyMachine.TestCase

Bills of every kind of step over several homes, settlements in any order and repeated, renewals in time and late, standings,
tokens, and a clock that passes, stands, and is set back. Needs Hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule

from guardrail_mw.stores.base import (
    Bill,
    Budget,
    Change,
    Count,
    Desk,
    Distinct,
    Entry,
    Gcra,
    Lease,
    Reading,
    Receipt,
    Settlement,
    Share,
    Sketch,
    Step,
    Store,
    Tally,
    Window,
)
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.model import Model
from guardrail_mw.values import Standing

__all__ = ["StoreMachine"]

SECOND = 1_000_000
DAY = 86_400 * SECOND
YEAR = 365 * DAY
_MORE = ("slots", "devices", "prompts", "unknown")
"""Fields of steps that have but one."""
ACCOUNTS = ("a:0001", "a:0002")
HOMES = (*ACCOUNTS, "n:0001", "o:0001", "e")
T = TypeVar("T")

# A field's settings never change: the field's name holds a hash of them.
BUCKETS: Mapping[str, tuple[int, int, int]] = {
    "second": (1, SECOND, 100),
    "seventh": (7, SECOND, 10),
    "prime": (1_000_003, 86_399_999_947, 15_000),
}
WINDOWS: Mapping[str, tuple[int, int]] = {"minute": (20, 60 * SECOND), "odd": (1000, 3600 * SECOND + 1)}
BUDGETS: Mapping[str, tuple[int, Any]] = {"b-minute": (30, "minute"), "b-week": (50, "week"), "b-month": (500, "month")}
COUNTS: Mapping[str, tuple[Literal["attempts", "admitted", "denied"], int]] = {
    "c-attempts": ("attempts", 60 * SECOND),
    "c-admitted": ("admitted", 600 * SECOND + 7),
    "c-denied": ("denied", 3600 * SECOND),
}
HEAT = 1_767_225_600_000_000


@st.composite
def _gcra(draw: st.DrawFn) -> Gcra:
    name = draw(st.sampled_from(sorted(BUCKETS)))
    amount, period, burst = BUCKETS[name]
    cost = draw(st.sampled_from([0, 1, 1, 3, burst // 3, burst // 2, burst - 1, burst, burst + 1]))
    kept = draw(st.sampled_from([0, 0, burst * 3 // 10]))
    return Gcra(name, cost, amount, period, burst, kept, draw(st.booleans()), draw(st.booleans()))


@st.composite
def _window(draw: st.DrawFn) -> Window:
    name = draw(st.sampled_from(sorted(WINDOWS)))
    amount, window = WINDOWS[name]
    cost = draw(st.sampled_from([0, 1, 7, amount // 2, amount, amount + 1]))
    return Window(name, cost, amount, window, draw(st.booleans()), draw(st.booleans()))


@st.composite
def _budget(draw: st.DrawFn) -> Budget:
    name = draw(st.sampled_from(sorted(BUDGETS)))
    amount, calendar = BUDGETS[name]
    cost = draw(st.sampled_from([0, 1, 7, amount // 2, amount, amount + 1]))
    return Budget(name, cost, amount, calendar, draw(st.booleans()), draw(st.booleans()))


_LEASE = st.builds(Lease, st.just("slots"), st.just(2), st.booleans())
_SHARE = st.builds(Share, st.just("share"), st.integers(1, 40), st.just(40), st.booleans())
_TOKENS = st.sampled_from(["one", "two"])
_VALUE = st.integers(0, 80).map("{:016x}".format)
_DISTINCT = st.builds(Distinct, st.just("devices"), _VALUE, st.just(600 * SECOND))
_SKETCH = st.builds(Sketch, st.just("prompts"), _VALUE, st.just(600 * SECOND))
_COUNT = st.builds(
    lambda name, cost: Count(name, *COUNTS[name], cost), st.sampled_from(sorted(COUNTS)), st.sampled_from([0, 1, 1, 1, 9])
)


def _different(steps: list[Step]) -> tuple[Step, ...]:
    """A bill has one step a field."""
    return tuple({step.field: step for step in steps}.values())


@st.composite
def _bills(draw: st.DrawFn) -> tuple[Entry, ...]:
    """The entries of a bill; the first is the payer's."""
    homes = draw(st.lists(st.sampled_from(HOMES), min_size=1, max_size=3, unique=True))
    entries = []
    for number, home in enumerate(homes):
        kinds: list[st.SearchStrategy[Any]] = [
            _gcra(),
            _gcra(),
            _window(),
            _budget(),
            _LEASE,
            _DISTINCT,
            _SKETCH,
            _COUNT,
            _COUNT,
            *([_SHARE] if number == 0 else []),
        ]
        entries.append(Entry(home, _different(draw(st.lists(st.one_of(kinds), min_size=1, max_size=4)))))
    return tuple(entries)


_CHANGES = st.lists(
    st.one_of(
        st.builds(
            Change, st.just("set"), st.sampled_from(["note", "since", "tier", "verdict"]), st.sampled_from(["x", "y"])
        ),
        st.builds(Change, st.just("unset"), st.sampled_from(["note", "since", "tier"])),
        st.builds(Change, st.just("first"), st.sampled_from(["note", "since", "tier"]), st.sampled_from(["x", "z"])),
        st.builds(Change, st.just("add"), st.just("score"), st.sampled_from(["1", "-3", "40"])),
        st.builds(Change, st.just("max"), st.just("top"), st.sampled_from(["2", "10", "-1"])),
        st.builds(Change, st.just("max"), st.just("heat"), st.integers(HEAT, HEAT + 10**11).map(str)),
        st.builds(Change, st.just("add"), st.just("met"), st.sampled_from(["0", "1"])),
        st.builds(Change, st.just("unset"), st.sampled_from(["met", "heat"])),
    ),
    max_size=3,
    unique_by=lambda change: change.field,
)


class StoreMachine(RuleBasedStateMachine):
    """Subclass it, make a store, and let Hypothesis run `TestCase`."""

    exact: ClassVar[bool] = True
    """False for a store that charges each home by itself and gives back where another refused (a cluster)."""

    receipts: Bundle[Receipt] = Bundle("receipts")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.runner = asyncio.Runner()
        self.store = self.make_store(self.clock)
        self.model = Model(self.clock, split=not self.exact)
        self.latest: dict[str, Receipt] = {}
        self.ended: set[str] = set()
        self.epochs: dict[str, str] = {}
        self.bills = 0

    def make_store(self, clock: FakeClock) -> Store:
        """An empty store driven by `clock`."""
        raise NotImplementedError("make_store() must return an empty store that is driven by the clock it is given")

    def teardown(self) -> None:
        """Close the store and its event loop."""
        try:
            self.run(self.store.close)
        finally:
            self.runner.close()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Call the store in this machine's event loop, and wait for it."""

        async def called() -> T:
            return await work()

        return self.runner.run(called())

    # Comparing

    def same(self, ours: Receipt, theirs: Receipt, *, flags_only: bool = False) -> None:
        """The model's receipt and the store's say the same."""
        assert (theirs.code, theirs.now) == (ours.code, ours.now), _steps(ours.bill)
        assert _known(theirs) == _known(ours)
        assert len(theirs.readings) == len(ours.readings), theirs.readings
        for step, our, their in zip(_steps(ours.bill), ours.readings, theirs.readings, strict=False):
            if flags_only:
                assert their.ok == our.ok, (step, our, their)
            else:
                assert _shown(step, their) == _shown(step, our), (step, our, their)
                assert _near(step, our, their), (step, our, their)

    def charged(self, bill: Bill) -> Receipt:
        """Charge both and compare."""
        note(f"bill {bill.id.lstrip('0')}: {[(entry.home, *entry.steps) for entry in bill.entries]}")
        ours, theirs = self.model.charge(bill), self.run(lambda: self.store.charge(bill))
        split = not self.exact and len(bill.entries) > 1 and ours.code != "admitted"
        if split:
            self.run(self.store.drain)
        self.same(ours, theirs, flags_only=split)
        assert theirs.open == ours.open, _steps(bill)
        return theirs

    def bill(self, entries: tuple[Entry, ...], **more: Any) -> Bill:
        """A bill of its own id."""
        self.bills += 1
        return Bill(f"{self.bills:024x}", entries, entries[0].home, **more)

    def probe(self, *homes: str) -> None:
        """Compare all that can be seen of some homes."""
        for home in homes:
            self.peeked(self.bill((Entry(home, _ALL),)))

    def peeked(self, bill: Bill) -> None:
        """Peek at both and compare."""
        self.same(self.model.peek(bill), self.run(lambda: self.store.peek(bill)))

    # Rules

    @rule(
        target=receipts,
        entries=_bills(),
        account=st.sampled_from(["", *ACCOUNTS]),
        proved=st.booleans(),
        stale=st.sampled_from([False] * 9 + [True]),
        missed=st.sampled_from([0] * 5 + [1, -1, -HEAT]),
    )
    def charge(self, entries: tuple[Entry, ...], account: str, proved: bool, stale: bool, missed: int) -> Any:  # noqa: FBT001
        """Charge a bill, one in ten with a version that is not the standing's, more often of who has not seen all of it."""
        standing = self.model.standing(account) if account else Standing()
        version, seen = standing.version + stale, standing.seen + missed
        receipt = self.charged(self.bill(entries, candidate=account, version=version, proved=proved, seen=seen))
        if receipt.code != "admitted":
            return multiple()
        self.latest[receipt.bill.id] = receipt
        return receipt

    @rule(entries=_bills(), margin=st.sampled_from([-1, 0, SECOND]))
    def charge_by(self, entries: tuple[Entry, ...], margin: int) -> None:
        """Charge a bill that must not be charged after a time, and cancel it if it was."""
        receipt = self.charged(self.bill(entries, not_after=self.clock.now() + margin))
        if receipt.code == "admitted":
            self.ended.add(receipt.bill.id)
            self.settled(Settlement(receipt, "cancelled"))

    def settled(self, settlement: Settlement) -> None:
        """Settle both, and compare what can be seen."""
        self.model.settle(settlement)
        self.run(lambda: self.carried_out(settlement))
        self.probe(*[entry.home for entry in settlement.receipt.bill.entries])

    async def carried_out(self, settlement: Settlement) -> None:
        """Settle, and wait for it."""
        self.store.settle([settlement])
        await self.store.drain()

    @rule(receipt=receipts, cancelled=st.booleans(), share=st.sampled_from([None, 0, 1, 2, 3, 7]), changes=_CHANGES)
    def settle(self, receipt: Receipt, cancelled: bool, share: int | None, changes: list[Change]) -> None:  # noqa: FBT001
        """Settle a receipt, perhaps again: `share` thirds of what was reserved were used."""
        if receipt.bill.id in self.ended and not receipt.open:
            return
        self.ended.add(receipt.bill.id)
        used = tuple(_used(step, share) for step in _steps(receipt.bill))
        outcome: Any = "cancelled" if cancelled or not receipt.open else "settled"
        self.settled(Settlement(self.latest[receipt.bill.id], outcome, used, tuple(changes)))

    @rule(receipt=receipts)
    def renew(self, receipt: Receipt) -> None:
        """Renew a receipt that was not settled, in time or late."""
        if receipt.open and receipt.bill.id not in self.ended:
            self.model.renew(receipt)
            [renewed] = self.run(lambda: self.store.renew([self.latest[receipt.bill.id]]))
            self.latest[receipt.bill.id] = renewed
            self.probe(*[entry.home for entry in receipt.bill.entries])

    @rule(entries=_bills(), account=st.sampled_from(["", *ACCOUNTS]))
    def peek(self, entries: tuple[Entry, ...], account: str) -> None:
        """Peek, and see that nothing changed."""
        bill = self.bill(entries, candidate=account, version=7)
        self.peeked(bill)
        self.peeked(bill)

    @rule(home=st.sampled_from(HOMES), first=st.integers(0, 20))
    def crowd(self, home: str, first: int) -> None:
        """Sixty values seen one after the other."""
        for number in range(first, first + 60):
            self.charged(self.bill((Entry(home, (Distinct("devices", f"{number:016x}", 600 * SECOND),)),)))

    @rule(account=st.sampled_from(ACCOUNTS), changes=_CHANGES)
    def remember(self, account: str, changes: list[Change]) -> None:
        """Change a standing."""
        assert self.run(lambda: self.store.remember(account, changes)) == self.model.remember(account, changes)

    @rule(home=st.sampled_from(HOMES), fields=st.lists(st.sampled_from([*BUCKETS, *WINDOWS, *BUDGETS, *COUNTS, *_MORE])))
    def reset(self, home: str, fields: list[str]) -> None:
        """Make counters as new, where the store can."""
        store = self.store
        if isinstance(store, Desk):
            self.model.reset(home, fields)
            self.run(lambda: store.reset(home, fields))
            self.probe(home)

    @rule(account=st.sampled_from(ACCOUNTS))
    def erase(self, account: str) -> None:
        """Forget an account, where the store can."""
        store = self.store
        if isinstance(store, Desk):
            self.model.erase(account)
            self.run(lambda: store.erase(account))
            self.probe(account)

    @rule(
        budget=st.sampled_from(["deny", "delay"]),
        member=st.sampled_from(["a:1", "a:2", "a:3"]),
        most=st.integers(0, 2),
        ahead=st.sampled_from([0, SECOND, 60 * SECOND, DAY]),
    )
    def take(self, budget: str, member: str, most: int, ahead: int) -> None:
        """Take from a budget of members, where the store has them."""
        store = self.store
        if isinstance(store, Tally):
            until = self.clock.now() + ahead
            ours = self.model.take(budget, member, most, until)
            assert self.run(lambda: store.take(budget, member, most, until)) == ours

    @rule(token=_TOKENS, ttl=st.sampled_from([SECOND, 60 * SECOND]), other=st.sampled_from(["", "", "0", "another"]))
    def spend(self, token: str, ttl: int, other: str) -> None:
        """Spend a token, in its epoch or in another."""
        theirs, ours = self.run(lambda: self.store.epoch(token)), self.model.epoch(token)
        assert theirs == self.epochs.setdefault(token, theirs), "an epoch changed, and nothing was forgotten"
        spent = self.run(lambda: self.store.spend(token, ttl, theirs + other))
        assert spent == self.model.spend(token, ttl, ours + other)

    @rule(
        seconds=st.sampled_from(
            [0.000001, 0.142857, 0.142858, 1, 3, 9.999999, 10, 29.999999, 30, 61, 3601, 86400, 8_640_000]
        )
    )
    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([0.000001, 1, 45, 7200]))
    def jump_back(self, seconds: float) -> None:
        """Set the clock back. Every home is charged before and after, so that what passes unseen is the same for all."""
        touch = (Gcra("touch", 1, 1, YEAR, 100),)
        for jump in (seconds, 0):
            for home in HOMES:
                self.charged(self.bill((Entry(home, touch),)))
            self.clock.jump(-jump)


_ALL: tuple[Step, ...] = (
    *[Gcra(name, 0, *settings) for name, settings in BUCKETS.items()],
    *[Window(name, 0, *settings) for name, settings in WINDOWS.items()],
    *[Budget(name, 0, *settings) for name, settings in BUDGETS.items()],
    Lease("slots", 2),
    Share("share", 0, 40),
    Distinct("devices", f"{0:016x}", 600 * SECOND),
    Sketch("prompts", f"{0:016x}", 600 * SECOND),
    *[Count(name, *settings) for name, settings in COUNTS.items()],
)


def _steps(bill: Bill) -> list[Step]:
    return [step for entry in bill.entries for step in entry.steps]


def _known(receipt: Receipt) -> tuple[int, dict[str, str], int] | None:
    standing = receipt.standing
    return (standing.version, dict(standing.fields), standing.seen) if standing is not None else None


def _shown(step: Step, reading: Reading) -> tuple[object, ...]:
    """What the contract fixes of a reading: a count of distinct values has no time, and a sketch is near."""
    if isinstance(step, Sketch):
        return (reading.ok,)
    return reading[:2] if isinstance(step, Distinct) else reading[:4]


def _near(step: Step, our: Reading, their: Reading) -> bool:
    return not isinstance(step, Sketch) or abs(our.remaining - their.remaining) <= max(2, our.remaining // 20)


def _used(step: Step, thirds: int | None) -> int | None:
    if thirds is None or not isinstance(step, (Gcra, Window, Budget)) or not step.reserved:
        return None
    return step.cost * thirds // 3
