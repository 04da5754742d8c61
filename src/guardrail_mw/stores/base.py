"""The store's contract: what a request is charged, what came of it, and what is remembered.

`charge` is one round trip, all or nothing, on the store's own clock. `guardrail_mw.testing` holds any implementation to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from guardrail_mw.algorithms.window import Calendar
from guardrail_mw.values import Standing

__all__ = [
    "Activity",
    "Bill",
    "Budget",
    "Change",
    "Count",
    "Desk",
    "Distinct",
    "Entry",
    "Files",
    "Gcra",
    "Graph",
    "Held",
    "Kept",
    "Lease",
    "Notes",
    "Reading",
    "Receipt",
    "Record",
    "Settlement",
    "Share",
    "Sketch",
    "Step",
    "Store",
    "Switches",
    "Tally",
    "Window",
    "opens",
]


class Gcra(NamedTuple):
    """Take from a token bucket. Units and µs; `amount` and `period` are divided by their gcd."""

    field: str
    """Of the home's hash, at most 64 bytes; holds a hash of the limit's settings, so that a changed limit starts anew."""
    cost: int
    amount: int
    period: int
    burst: int
    kept: int = 0
    """Units that this caller may not touch: the bucket is `burst - kept` deep for it (`keep: 30%`)."""
    shadow: bool = False
    """Recorded; when it would refuse it stays uncharged and lets the others charge."""
    reserved: bool = False
    """The cost is an estimate that will be corrected: leaves a receipt."""


class Window(NamedTuple):
    """Count in a sliding window of `window` µs, at most `amount` in any."""

    field: str
    cost: int
    amount: int
    window: int
    shadow: bool = False
    reserved: bool = False


class Budget(NamedTuple):
    """Count in a calendar period (UTC), at most `amount` in it."""

    field: str
    cost: int
    amount: int
    calendar: Calendar
    shadow: bool = False
    reserved: bool = False


class Lease(NamedTuple):
    """Hold one of `limit` slots until settled. Leaves a receipt."""

    field: str
    limit: int
    shadow: bool = False


class Share(NamedTuple):
    """Hold at most `cap` units in open reservations under `field`; a cost above it is refused. Leaves a receipt."""

    field: str
    cost: int
    cap: int
    shadow: bool = False


class Distinct(NamedTuple):
    """See a value (16 hex digits); counted whatever becomes of the bill, never refuses."""

    field: str
    value: str
    window: int


class Sketch(NamedTuple):
    """See a value as `Distinct` does, and tell about how many there are: within some 5%, however many.

    A HyperLogLog of the running pane and the one before, each as long as `window`: it looks back between one window and two.
    """

    field: str
    value: str
    window: int


class Count(NamedTuple):
    """Count the bill in a sliding window of `window` µs by what becomes of it. Never refuses, is never given back.

    `Reading.remaining` is the count, this bill included where it counts. A bill that is `late` or `stale` is no attempt. In a
    store that charges each home by itself (a cluster) the reading goes by what became of the bill in that home; the count is
    put right as soon as it is known what became of all of it.
    """

    field: str
    what: Literal["attempts", "admitted", "denied"]
    window: int
    cost: int = 1


Step: TypeAlias = Gcra | Window | Budget | Lease | Share | Distinct | Sketch | Count

_HELD: Final = (Lease, Share)


class Kept:
    """A store's own notes, for as long as what they are about is used."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: object = None


class Entry:
    """The steps of one home."""

    __slots__ = ("home", "notes", "opens", "parent", "steps")

    def __init__(self, home: str, steps: tuple[Step, ...], parent: str = "e") -> None:
        self.home = home
        """`a:…` account, `n:…` network, `d:…` device, `c:…` cluster, `o:…` organisation, `e` everyone."""
        self.steps = steps
        self.opens = any([type(step) in _HELD or getattr(step, "reserved", False) for step in steps])
        """Whether one of its steps must be settled, so that the bill leaves a receipt."""
        self.parent = parent
        """The home that newcomers share where a bounded store cannot tell them apart."""
        self.notes: Kept | None = None
        """A store's own notes on the steps, shared by all entries that `at` made; None where the steps hold an estimate."""

    def at(self, home: str, parent: str) -> Entry:
        """The same steps in another home, with all that is known of them."""
        entry = Entry.__new__(Entry)
        entry.home = home
        entry.parent = parent
        entry.steps = self.steps
        entry.opens = self.opens
        if self.notes is None:
            self.notes = Kept()
        entry.notes = self.notes
        return entry

    def __repr__(self) -> str:
        """Home and steps."""
        return f"Entry({self.home!r}, {self.steps!r}, {self.parent!r})"


class Notes(Protocol):
    """Where a store keeps what it computed of the bills of one payer and candidate: the next have the same entries."""

    kept: object
    """The store's own; None at first."""


class Bill(NamedTuple):
    """What one request asks to charge."""

    id: str
    """Unique: the receipt's id. 24 hex digits."""
    entries: tuple[Entry, ...]
    payer: str = "e"
    """The home beside which the receipt lies: the account's, or its network's."""
    candidate: str = ""
    """The account whose standing is checked; empty for the anonymous."""
    version: int = 0
    """Of the standing that was planned with."""
    proved: bool = False
    """Whether the credential was proved: then the standing begins (`since`) and is kept alive."""
    not_after: int | None = None
    """Store time in µs after which nothing may be charged; None lets the store take its own deadline."""
    notes: Notes | None = None
    """None where no other bill will have these entries (they hold an estimate): then nothing is worth keeping."""
    seen: int = 0
    """`Standing.seen` of the standing that the caller has: where another is stored, the receipt brings it along."""
    edges: tuple[int, ...] = ()
    """What the candidate has just shown: keys of values, 63 bits each (see `algorithms.edges`). A store that is a `Graph` notes
    them, whatever becomes of the bill, unless it is stale or late, and only where it is `proved`."""


class Reading(NamedTuple):
    """How one step stands after the bill. `mark` is the store's note for the settlement."""

    ok: bool
    """False where this step refused (or, in shadow, would have)."""
    remaining: int
    reset: int
    """µs until it is as new, if nothing else is charged."""
    wait: int
    """µs until the same cost would be admitted; 0 where it was."""
    mark: tuple[int, ...] | None = None


def opens(bill: Bill) -> bool:
    """Whether the bill leaves a receipt: it reserves, leases or holds a share."""
    return any([entry.opens for entry in bill.entries])


class Record(NamedTuple):
    """What is known of a value that accounts show."""

    holders: int
    """Accounts that show it, this one too."""
    first: str
    """Short name of the first of them (8 characters, see `algorithms.edges.short`); empty where it was erased since."""
    established: int = 0
    """Of the holders, those that were established at the last rebuild; 0 for a value held once."""
    clusters: tuple[tuple[str, int], ...] = ()
    """At most three clusters whose members have it: id, and what having it weighs, in millinats; the heaviest first."""


class Receipt(NamedTuple):
    """What the store answered. `readings` run parallel to all steps of `bill.entries`, in order."""

    bill: Bill
    code: Literal["admitted", "denied", "stale", "late"]
    now: int
    """The store's µs."""
    standing: Standing | None
    """With `stale`, all of it; with `admitted` and `denied`, where it is not as the bill had `seen` it; else None."""
    readings: tuple[Reading, ...]
    open: bool = False
    """Whether it lies in the store and must be renewed and settled."""
    local: bool = False
    """Charged by the fallback: settles there."""
    records: tuple[Record, ...] = ()
    """Parallel to `bill.edges`; empty where there were none, or where they were not noted: then show them again."""


class Change(NamedTuple):
    """A mergeable change of one field of a standing."""

    op: Literal["set", "unset", "add", "max", "first"]
    """`first` writes only where nothing is; `add` and `max` take whole numbers."""
    field: str
    value: str = ""


class Settlement(NamedTuple):
    """How a charge ended."""

    receipt: Receipt
    outcome: Literal["settled", "cancelled"]
    """`cancelled` gives everything back but what `Distinct`, `Sketch` and `Count` saw, and ignores `used`."""
    used: tuple[int | None, ...] = ()
    """Units really used, parallel to the readings; None, or nothing, leaves a step as it was charged."""
    changes: tuple[Change, ...] = ()
    """What the exchange taught, for the candidate's standing."""


@runtime_checkable
class Store(Protocol):
    """One place where counters, leases and standings live. Methods may be called from several event loops."""

    async def charge(self, bill: Bill) -> Receipt:
        """Charge all of a bill or none of it, in one round trip.

        `denied` charges nothing. `stale` (the candidate's version is another) charges nothing and brings the standing.
        `late` (after `not_after`) charges nothing. Where only `seen` is another, the bill is decided as it stands and the
        receipt brings the standing along.

        Raises:
            StoreTimeout: no answer by the store's deadline; whatever comes of it later is given back by the store.
            StoreError: the store failed; nothing stays charged but what a lost connection leaves, counted.
        """
        ...

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Accept settlements; never waits, never raises. A receipt settles once, whatever is repeated."""
        ...

    async def renew(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Keep open receipts and their leases alive; every 10 s. Returns the receipts with new marks, in the same order.

        A lost lease is put back, over the limit if need be. A receipt whose renewal failed comes back as it was.
        """
        ...

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """Change an account's standing; returns its version, new if a field that plans depend on changed."""
        ...

    async def epoch(self, token: str) -> str:
        """The epoch of the place where `token` would be kept when spent: a short text without blanks, to be kept with the token.

        It changes whenever that place may have forgotten what was spent there: it is another server or another process, was
        emptied, was restored from a snapshot, was in somebody else's command meanwhile. Tokens of one place share it, and it may
        be remembered: at worst their tokens are refused.

        Args:
            token: opaque, at most 64 characters.

        Raises:
            StoreError: it cannot be known; then nothing could be spent either.
        """
        ...

    async def spend(self, token: str, ttl: int, epoch: str) -> bool:
        """True the first time `token` is spent within `ttl` µs, and only where its epoch still is `epoch`; else False.

        At most one caller is ever told True for a token and an epoch, in all processes, whatever becomes of the store meanwhile.
        Whoever gets no answer knows nothing: the token may be spent.

        Args:
            token: as `epoch` was asked about.
            ttl: by the store's clock; what bears the token should end well before.
            epoch: what `epoch` answered when the token was made.

        Raises:
            StoreError: it cannot be known.
        """
        ...

    async def peek(self, bill: Bill) -> Receipt:
        """Whether `charge` would admit the bill, how its steps stand now, uncharged, and the standing whatever its version.

        Charges nothing, changes nothing.
        """
        ...

    async def drain(self) -> None:
        """Wait until what was settled has been carried out, or has failed and was counted."""
        ...

    async def close(self) -> None:
        """Drain, then let go of everything. A closed store may be used again from a new event loop."""
        ...


@runtime_checkable
class Switches(Protocol):
    """The mode of everything, or of one rule, for every process on one store."""

    async def read_switches(self) -> dict[str, str]:
        """Rule name (empty for everything) to mode."""
        ...

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """Set the mode of a rule (empty for everything); None takes the switch away."""
        ...


@runtime_checkable
class Desk(Protocol):
    """What an operator does to one subject."""

    async def reset(self, home: str, fields: Sequence[str] | None = None) -> int:
        """Make counters as new: those of `fields`, or all of a home's, slots and distinct values too.

        Returns how many fields there were. Open requests go on: they keep or take back their slots, and may still give back
        what they reserved and owe what they did not.
        """
        ...

    async def export(self, account: str) -> dict[str, Any]:
        """All that is kept of an account, to be written as JSON; counters are as this store keeps them.

        `standing` (`version`, `seen`, `fields`), `counters`, `leases`, `distinct`, `receipts`.
        """
        ...

    async def erase(self, account: str) -> bool:
        """Forget an account: its counters, receipts and standing. False where there was nothing."""
        ...


@runtime_checkable
class Tally(Protocol):
    """A budget of how many, shared by every process: a rung's, of accounts that it may newly touch."""

    async def take(self, budget: str, member: str, most: int, until: int) -> bool:
        """Whether `member` is in the budget, or there was room (fewer than `most` in it) and it is now, `until` store time in µs.

        Raises:
            StoreError: it cannot be known.
        """
        ...


@runtime_checkable
class Files(Protocol):
    """Records that outlive what they are about: cases of verification, appeals, events that were heard.

    A record is a name in a drawer, and texts by field. Records are few, and never on a request's way to the app. Names and fields
    are printable ASCII without blanks, 1 to 200 characters; a drawer is a word of ours, of small letters. Nothing lies under any
    other: it is not pulled, shredded or found. Whoever files bounds the texts.
    """

    async def file(self, drawer: str, name: str, changes: Sequence[Change], until: int) -> dict[str, str]:
        """Merge changes into a record, which is made where there is none; returns all of its fields as they are then.

        Args:
            drawer: what kind of record.
            name: which.
            changes: as those of standings; none at all makes or prolongs the record. No field is special, `since` neither.
            until: store time in µs from which it is forgotten. Of several that were said the latest holds. Where that has passed,
                nothing is kept.

        Raises:
            ValueError: the drawer, the name or a field is none, or `add` or `max` has no whole number; nothing was done.
            StoreError: it cannot be known whether it was done.
        """
        ...

    async def pull(self, drawer: str, name: str) -> dict[str, str] | None:
        """The fields of a record; None where there is none.

        Raises:
            StoreError: it cannot be known.
        """
        ...

    async def listed(self, drawer: str, most: int, after: str = "") -> list[str]:
        """Names of records in a drawer, those that were made last first; at most `most`, behind `after` if that is among them.

        Where `after` is not, or no more, they begin with the first. What is filed again stays where it is. A record that is made
        meanwhile may be missed.

        Raises:
            StoreError: it cannot be known.
        """
        ...

    async def shred(self, drawer: str, name: str) -> bool:
        """Forget a record. False where there was none.

        Raises:
            StoreError: it cannot be known whether it was done.
        """
        ...


class Activity(NamedTuple):
    """What an account did in an hour, as one process saw it."""

    account: str
    hour: int
    """Since 2025-01-01 UTC (`algorithms.edges.hour_of`)."""
    requests: int
    tokens: int
    fresh: int = 0
    """Of the requests, those for a model in the 7 days after it was first seen."""
    windowed: int = 0
    """Of the requests, those for any model in 7 days after some model was first seen: what `fresh` is a share of."""


class Held(NamedTuple):
    """What is kept of an account, for a rebuild."""

    account: str
    since: int
    """The store's µs of its first request; 0 where it never made one (its evidence came from outside)."""
    edges: bytes
    """Packed: see `algorithms.edges`."""
    activity: bytes
    """Packed: see `algorithms.activity`; always of that length."""
    cluster: str
    """Id of its cluster, 12 hex digits, or empty."""
    verdict: str
    created: int = 0
    """µs since the epoch when it was opened, as a claim or whoever fed it in says; 0 where nobody did."""
    budget: str = ""
    counters: str = ""
    """Both as its standing has them: see `clusters.binding.standing`."""


@runtime_checkable
class Graph(Protocol):
    """Who shows what: accounts, values, and the edges between them.

    `Bill.edges` are noted with the charge. The rest is background work: each raises StoreError where the store fails, and may
    then have been carried out in part.
    """

    async def note(self, activities: Sequence[Activity]) -> None:
        """Add up what accounts did. Only proved accounts' should be told; what is lost is only statistics."""
        ...

    def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        """Every account that showed or did something on `since_day` (since 2025-01-01 UTC) or later, once, in no order.

        Edges last seen before that day may be among those of an account. What changes meanwhile is told as before or after.
        """
        ...

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        """`remember` for many accounts at once; 20,000 take less than a second."""
        ...

    async def mark(self, records: Mapping[int, tuple[tuple[str, int], ...]], established: Mapping[int, int]) -> None:
        """What a rebuild says of values: their clusters (at most three, the heaviest first), their established holders.

        Values that are not named lose theirs. A value held once keeps clusters, but no count of the established; one that
        nobody holds keeps nothing.
        """
        ...

    async def link(self, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None) -> None:
        """Evidence from outside.

        Args:
            account: its home.
            keys: of values.
            created: µs since the epoch when the account was opened; the first that is told stays.
            at: µs at which it showed them; now unless given. For those that it holds already it becomes the last time, whatever
                that was: `clusters.history` sees to it.
        """
        ...

    async def unlink(self, account: str, keys: Sequence[int]) -> None:
        """Take evidence away, wherever it came from."""
        ...

    async def elect(self, name: str, who: str, ttl: int) -> bool:
        """Whether `who` has the post `name` for `ttl` µs from now: nobody else has it, or it was `who` already."""
        ...

    async def keep(self, name: str, blob: bytes) -> None:
        """Keep a worker's own notes, in place of those of before."""
        ...

    async def recall(self, name: str) -> bytes | None:
        """What was kept; None where nothing was."""
        ...

    async def sweep(self, before_day: int) -> int:
        """Forget edges last seen before that day, the values that nobody is left to hold, accounts of which nothing is left.

        Returns how many edges went.
        """
        ...
