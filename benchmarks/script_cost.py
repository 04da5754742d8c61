"""What one decision costs the Redis server, and how many bytes it takes, beside an ordinary GCRA script.

    python -m benchmarks.script_cost --rounds 20

Thousands of calls of each shape go to one Redis over one connection, a hundred in a pipeline, over 1000 accounts in turn;
the shapes take turns in a new order each round. *In the script* is what `INFO commandstats` says of EVALSHA; *whole server*
is the process's CPU by `INFO cpu`: reading, parsing and answering as well. Both are medians over the rounds, and the ratios
are medians of the rounds' ratios to the bare script, which keeps one TAT under one key (GET, SET, TIME).
"""

from __future__ import annotations

import random
import socket
import sys
import time
from itertools import count, cycle
from typing import TYPE_CHECKING, Any, NamedTuple

import hiredis

from benchmarks.common import Redis, arguments, machine, middle, rounds, save, table
from benchmarks.reference import GCRA, command
from guardrail_mw.stores.base import Bill, Budget, Entry, Gcra, Lease, Receipt, Settlement, Step, Window
from guardrail_mw.stores.redis import codec
from guardrail_mw.values import Standing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

CALLS = 2000
PIPELINE = 100
ACCOUNTS = 1000
PREFIX = "gr:"
BARE = "bare GCRA script"
_NAMES = ("requests", "hourly", "daily", "model", "strangers", "office", "capacity", "enterprise")


class Cost(NamedTuple):
    """µs and bytes a call."""

    script: float
    server: float
    sent: float
    received: float


class Connection:
    """A blocking connection that counts bytes."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.socket = socket.create_connection(("127.0.0.1", redis.port), timeout=60)
        self.received = 0

    def call(self, commands: Sequence[bytes]) -> list[Any]:
        """The replies to `commands`, sent as pipelines of a hundred."""
        reader = hiredis.Reader()
        replies: list[Any] = []
        for start in range(0, len(commands), PIPELINE):
            batch = commands[start : start + PIPELINE]
            self.socket.sendall(b"".join(batch))
            wanted = start + len(batch)
            while len(replies) < wanted:
                data = self.socket.recv(1 << 20)
                self.received += len(data)
                reader.feed(data)
                while (reply := reader.gets()) is not False:
                    if isinstance(reply, hiredis.ReplyError):
                        raise SystemExit(str(reply))
                    replies.append(reply)
        return replies

    def timed(self, commands: Sequence[bytes]) -> tuple[Cost, list[Any]]:
        """The same, and what it cost a call."""
        script, server, received = self._script(), self._server(), self.received
        replies = self.call(commands)
        script, server, received = self._script() - script, self._server() - server, self.received - received
        calls = len(commands)
        return Cost(script / calls, server / calls, sum(map(len, commands)) / calls, received / calls), replies

    def _script(self) -> float:
        line = self.redis.info("commandstats").get("cmdstat_evalsha", "")
        return float(dict(each.split("=") for each in line.split(",")).get("usec", 0)) if line else 0.0

    def _server(self) -> float:
        info = self.redis.info("cpu")
        return (float(info["used_cpu_user"]) + float(info["used_cpu_sys"])) * 1e6


class Shape(NamedTuple):
    """One kind of decision: its entries for an account."""

    name: str
    entries: Callable[[int], tuple[Entry, ...]]
    settles: bool = False


def home(letter: str, number: int) -> str:
    """A home with a digest of the usual length."""
    return f"{letter}:{number:022d}"


def rate(index: int, *, cost: int = 1, reserved: bool = False) -> Gcra:
    """A limit that never refuses, with a field as the plan makes it: a name and a hash."""
    return Gcra(f"{_NAMES[index]}.{index:08x}", cost, 1, 60, 1_000_000 * cost, reserved=reserved)


def one_home(limits: int) -> Shape:
    """All limits are the account's."""

    def entries(number: int) -> tuple[Entry, ...]:
        return (Entry(home("a", number), tuple(rate(index) for index in range(limits))),)

    return Shape(f"{limits} limit{'s' * (limits > 1)}, one subject", entries)


def _spread(number: int) -> tuple[Entry, ...]:
    return (
        Entry(home("a", number), tuple(rate(index) for index in range(4))),
        Entry(home("n", number), (rate(4), rate(5))),
        Entry(home("o", number % 50), (rate(6),)),
        Entry("e", (rate(7),)),
    )


def _kinds(number: int) -> tuple[Entry, ...]:
    steps: tuple[Step, ...] = (
        rate(0),
        rate(1),
        rate(2, cost=60, reserved=True),
        rate(3, cost=60, reserved=True),
        Window("minutely.00000004", 1, 10**9, 60_000_000),
        Budget("monthly.00000005", 60, 10**12, "month", reserved=True),
        Lease("in-flight.00000006", 10_000),
    )
    return (Entry(home("a", number), steps), Entry("e", (rate(7),)))


SHAPES = (
    *(one_home(limits) for limits in range(1, 9)),
    Shape("8 limits of account, network, organisation, everyone", _spread),
    Shape("8 limits of all kinds, reserving and lending", _kinds, settles=True),
)


class Caller:
    """Makes a shape's commands for account after account, with the version of the standing that each has."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.accounts = cycle([(home("a", number), shape.entries(number)) for number in range(ACCOUNTS)])
        self.standings: dict[str, Standing] = {}
        self.ids = (f"{random.getrandbits(32):08x}{number:016x}" for number in count())

    def bills(self, calls: int) -> Iterator[Bill]:
        """Bills, each with an id of its own."""
        for _ in range(calls):
            account, entries = next(self.accounts)
            known = self.standings.get(account, Standing())
            yield Bill(next(self.ids), entries, account, account, known.version, proved=True, seen=known.seen)

    def prime(self, connection: Connection) -> None:
        """Let every account have its standing, known here, and its hash."""
        for _ in range(3):
            for receipt in self.charge(connection, ACCOUNTS)[1]:
                if receipt.standing is not None:
                    self.standings[receipt.bill.candidate] = receipt.standing

    def charge(self, connection: Connection, calls: int) -> tuple[Cost, list[Receipt]]:
        """Charge."""
        not_after = time.time_ns() // 1000 + 600_000_000
        bills = list(self.bills(calls))
        cost, replies = connection.timed(
            [codec.charge_command(bill, codec.whole(bill), PREFIX, not_after) for bill in bills]
        )
        return cost, [codec.parse_charge(reply, bill, codec.whole(bill)) for reply, bill in zip(replies, bills, strict=True)]


def admitted(receipts: list[Receipt], name: str) -> None:
    """Exit unless all were.

    Raises:
        SystemExit: one was not, so the figure would be of something else.
    """
    codes = {receipt.code for receipt in receipts}
    if codes != {"admitted"}:
        message = f"{name}: expected to be admitted, but {sorted(codes)}"
        raise SystemExit(message)


def settle(connection: Connection, receipts: list[Receipt], name: str) -> Cost:
    """Settle with other figures than were reserved."""
    commands = []
    for receipt in receipts:
        steps = [step for entry in receipt.bill.entries for step in entry.steps]
        used = tuple(27 if getattr(step, "reserved", False) else None for step in steps)
        one = codec.settle_command(Settlement(receipt, "settled", used), codec.whole(receipt.bill), PREFIX)
        if one is not None:
            commands.append(one)
    cost, replies = connection.timed(commands)
    if len(commands) != len(receipts) or not all(codec.parse_settle(reply) for reply in replies):
        message = f"{name}: a receipt was not settled"
        raise SystemExit(message)
    return cost


def bare(sha: bytes, keys: Iterator[int]) -> list[bytes]:
    """Calls of the ordinary script: one limit of 1,000,000 a minute."""
    return [command(b"EVALSHA", sha, b"1", b"gcra:{a:%022d}" % next(keys), b"60", b"60000000") for _ in range(CALLS)]


def run(options: argparse.Namespace, redis: Redis) -> dict[str, list[Cost]]:
    """All rounds."""
    connection = Connection(redis)
    connection.call([command(b"SCRIPT", b"LOAD", script.source) for script in codec.SCRIPTS])
    sha = connection.call([command(b"SCRIPT", b"LOAD", GCRA)])[0]
    keys = cycle(range(ACCOUNTS))
    connection.call(bare(sha, keys))
    callers = [Caller(shape) for shape in SHAPES]
    for caller in callers:
        caller.prime(connection)
    figures: dict[str, list[Cost]] = {}
    order: list[Caller | None] = [None, *callers]
    for number in range(rounds(options)):
        random.shuffle(order)
        for each in order:
            if each is None:
                cost, replies = connection.timed(bare(sha, keys))
                if not all(reply[0] == 1 for reply in replies):
                    message = "the bare script refused"
                    raise SystemExit(message)
                figures.setdefault(BARE, []).append(cost)
                continue
            name = each.shape.name
            cost, receipts = each.charge(connection, CALLS)
            admitted(receipts, name)
            figures.setdefault(name, []).append(cost)
            if each.shape.settles:
                figures.setdefault(f"{name}: its settlement", []).append(settle(connection, receipts, name))
        print(f"round {number + 1} of {rounds(options)}", file=sys.stderr)
    names = [BARE, *(name for shape in SHAPES for name in (shape.name, f"{shape.name}: its settlement"))]
    return {name: figures[name] for name in names if name in figures}


def ratio(figures: dict[str, list[Cost]], name: str, field: int) -> float:
    """The median of the rounds' ratios to the bare script."""
    return middle([mine[field] / theirs[field] for mine, theirs in zip(figures[name], figures[BARE], strict=True)])


def main() -> None:
    """Run, print, save."""
    options = arguments(__doc__ or "", 20, 2).parse_args()
    where = machine()
    with Redis() as redis:
        figures = run(options, redis)
    print(f"{where}\n- {rounds(options)} rounds of {CALLS} calls, pipelines of {PIPELINE}, {ACCOUNTS} accounts\n")
    print(
        table(
            ["", "in the script, µs", "bare scripts", "whole server, µs", "bare calls", "bytes sent", "received", "both"],
            [
                [
                    name,
                    f"{middle([each.script for each in found]):.1f}",
                    f"{ratio(figures, name, 0):.1f}",
                    f"{middle([each.server for each in found]):.1f}",
                    f"{ratio(figures, name, 1):.1f}",
                    *(f"{size:.0f}" for size in (found[-1].sent, found[-1].received, found[-1].sent + found[-1].received)),
                ]
                for name, found in figures.items()
            ],
        )
    )
    save(
        options.json,
        {
            "machine": where,
            "rounds": rounds(options),
            "shapes": {
                name: {
                    "script_us": middle([each.script for each in found]),
                    "script_ratio": ratio(figures, name, 0),
                    "server_us": middle([each.server for each in found]),
                    "server_ratio": ratio(figures, name, 1),
                    "sent": found[-1].sent,
                    "received": found[-1].received,
                }
                for name, found in figures.items()
            },
        },
    )


if __name__ == "__main__":
    main()
