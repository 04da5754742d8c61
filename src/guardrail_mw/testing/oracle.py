# ruff: noqa: PLR2004, S101, S311 - a test kit: chances, asserts, and seeded randomness
"""A brute-force oracle for token buckets: what was charged when, summed over every interval, in exact rationals.

It knows nothing of TATs: it keeps, for each request, when it was charged, how much was reserved, and how much turned out to
be used, and adds up. `random_run` drives `algorithms.gcra` as an engine would: reservations, renewals every 10 s while a
request is open, settlements in any order, repeated, or never.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction

from guardrail_mw.algorithms import gcra

__all__ = ["Request", "Rule", "Run", "random_run"]

RENEWAL = 10_000_000
RATES = [
    (1, 1_000_000, 60),
    (3, 1_000_000, 10),
    (7, 20_000_000, 25),
    (2, 9_000_001, 4),
    (13, 50_000_003, 1),
    (997, 1_000_000, 60_000),
    (10_007, 10_000_019, 40_000),
]
"""Units per µs, and the burst."""


@dataclass
class Request:
    """One admitted request."""

    at: int
    """µs."""
    reserved: int
    used: int
    ends: int | None
    """When it is settled; None for one that never is."""
    settled: int | None = None
    repeats: int = 0
    """How often its settlement is repeated."""

    def counted(self) -> int:
        """What the promise speaks of: min(reserved, used); all that was reserved while nobody has said what was used."""
        return self.reserved if self.settled is None else min(self.reserved, self.used)


class Rule:
    """How much comes back: `algorithms.gcra`, as it is."""

    def refund(self, bucket: gcra.Bucket, now: int, mark: gcra.Mark, cost: int, amount: int, period: int) -> gcra.Bucket:
        """See `gcra.refund`."""
        return gcra.refund(bucket, now, mark, cost, amount, period)

    def renew(self, bucket: gcra.Bucket, now: int, mark: gcra.Mark, amount: int) -> gcra.Mark:
        """See `gcra.renew`."""
        return gcra.renew(bucket, now, mark, amount)


@dataclass
class Run:
    """A bucket and everything that was admitted to it."""

    amount: int
    period: int
    burst: int
    rule: Rule = field(default_factory=Rule)
    bucket: gcra.Bucket = gcra.NEW
    requests: list[Request] = field(default_factory=list)
    open: dict[int, gcra.Mark] = field(default_factory=dict)

    def charge(self, now: int, request: Request) -> bool:
        """Reserve, and keep the mark if the bucket admits."""
        args = (self.amount, self.period)
        self.bucket, admitted = gcra.take(self.bucket, now, request.reserved, *args, self.burst)
        if admitted:
            self.open[len(self.requests)] = gcra.mark(self.bucket, request.reserved, *args)
            self.requests.append(request)
        return admitted

    def settle(self, now: int, number: int) -> None:
        """Correct a reservation to what was used; a repeat finds no mark."""
        mark = self.open.pop(number, None)
        if mark is None:
            return
        request = self.requests[number]
        request.settled = now
        unused = request.reserved - request.used
        if unused > 0:
            self.bucket = self.rule.refund(self.bucket, now, mark, unused, self.amount, self.period)
        elif unused < 0:
            self.bucket = gcra.owe(self.bucket, now, -unused, self.amount, self.period)

    def renew(self, now: int, number: int) -> None:
        """Renew an open reservation."""
        if number in self.open:
            self.open[number] = self.rule.renew(self.bucket, now, self.open[number], self.amount)

    def tat(self) -> Fraction:
        """The bucket's TAT, in µs."""
        return self.bucket.tat + Fraction(self.bucket.tat_rem, self.amount)

    def least_tat(self, now: int) -> Fraction:
        """The least that the TAT may be: with less, something was given away.

        As if every request had brought what it counts for at its time, and what it was underestimated by when it settled.
        """
        events = [(request.at, request.counted()) for request in self.requests]
        events += [
            (request.settled, request.used - request.reserved)
            for request in self.requests
            if request.settled is not None and request.used > request.reserved
        ]
        tat = Fraction(0)
        for at, units in sorted(events, key=lambda event: event[0]):
            if at <= now:
                tat = max(tat, Fraction(at)) + Fraction(units * self.period, self.amount)
        return tat

    def worst(self) -> Fraction:
        """Units counted beyond burst + rate * t in the worst interval that begins and ends with a charge; at most 0."""
        rate = Fraction(self.amount, self.period)
        excess = Fraction(-self.burst)
        for first, begin in enumerate(self.requests):
            total = 0
            for end in self.requests[first:]:
                total += end.counted()
                excess = max(excess, total - self.burst - rate * (end.at - begin.at))
        return excess


def random_run(seed: int, rule: Rule, *, check_tat: bool = False) -> Run:
    """One random history, the same for the same `seed`.

    With `check_tat`, the bucket is compared with `least_tat` after every event; raises AssertionError where it holds less.
    """
    source = random.Random(seed)
    amount, period, burst = source.choice(RATES)
    run = Run(amount, period, burst, rule)
    agenda: list[tuple[int, int, str, int]] = []
    now = 0
    for _ in range(source.randint(3, 16)):
        now += source.choice([0, 1, source.randint(0, 200_000), source.randint(0, 4_000_000), source.randint(0, 12_000_000)])
        agenda.append((now, len(agenda), "charge", 0))
    while agenda:
        agenda.sort()
        now, _, verb, number = agenda.pop(0)
        if verb == "charge":
            if run.charge(now, _request(source, run, now)):
                agenda += _later(source, run, now)
        elif verb == "fill":
            left = gcra.remaining(run.bucket, now, amount, period, run.burst)
            run.charge(now, Request(now, left, left, None))
        elif verb == "settle":
            run.settle(now, number)
        else:
            run.renew(now, number)
        if check_tat:
            least = run.least_tat(now)
            assert run.tat() >= least or least <= now, (seed, now, run.tat(), least)
    return run


def _request(source: random.Random, run: Run, now: int) -> Request:
    reserved = source.randint(1, max(1, run.burst // source.choice([1, 2, 3, 5])))
    used = source.choice([0, 0, source.randint(0, reserved), reserved, source.randint(reserved, 2 * reserved)])
    held = source.choice([0, source.randint(0, 1_000_000), source.randint(0, 10_000_000), source.randint(0, 60_000_000)])
    ends = None if source.random() < 0.1 else now + held
    return Request(now, reserved, used, ends, repeats=source.choice([0, 0, 1, 2]))


def _later(source: random.Random, run: Run, now: int) -> list[tuple[int, int, str, int]]:
    """What follows a charge: its renewals, its settlement and the repetitions of that."""
    number = len(run.requests) - 1
    request = run.requests[number]
    dies = now + source.randint(0, 60_000_000) if request.ends is None else request.ends
    later = [(at, source.getrandbits(30), "renew", number) for at in range(now + RENEWAL, dies, RENEWAL)]
    if request.ends is not None:
        if source.random() < 0.3:
            later.append((request.ends + 1, 0, "fill", number))
        later.append((request.ends, source.getrandbits(30), "settle", number))
        later += [
            (request.ends + source.randint(0, 30_000_000), source.getrandbits(30), "settle", number)
            for _ in range(request.repeats)
        ]
    return later
