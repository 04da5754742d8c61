"""The generic cell rate algorithm: a token bucket that is one timestamp.

Source: ITU-T I.371 Annex A (virtual scheduling). A rate is `amount` units per `period` µs, both divided by their gcd. The
theoretical arrival time (TAT) is when the bucket will be full again. It is kept as whole µs and a remainder in 1/amount µs,
which is carried through takes and refunds, so nothing is ever rounded but a wait that is reported, and that upwards.

A *span* is an amount of bucket expressed in time: `(whole µs, remainder)`, with `0 <= remainder < amount`. `cost` units span
`cost × period / amount` µs.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "LARGEST",
    "NEW",
    "Bucket",
    "Mark",
    "mark",
    "owe",
    "refund",
    "remaining",
    "renew",
    "reset",
    "span",
    "take",
    "wait",
]


class Bucket(NamedTuple):
    """The state of one bucket. A new subject's is `Bucket(0, 0, 0, 0)`: full, nothing refunded."""

    tat: int
    tat_rem: int
    refunded: int
    """All that was ever refunded to this bucket, as a span: the running sum that keeps chained refunds honest."""
    refunded_rem: int


class Mark(NamedTuple):
    """What a charge left behind, for its settlement.

    The TAT, the running sum of refunds, how much may still come back, and how far the running sum may grow before nothing may.

    The ceiling keeps reservations that are open at once honest. A renewal finds what might come back at its time if all of it
    were this request's; but others' refunds come out of the same time, and T, which moves on to the present TAT, forgets it.
    """

    tat: int
    tat_rem: int
    refunded: int
    refunded_rem: int
    unused: int
    unused_rem: int
    ceiling: int
    ceiling_rem: int


NEW = Bucket(0, 0, 0, 0)

LARGEST = 2**52
"""The most µs, and the most `cost × period`, that a bucket is asked to hold: sums with the time stay below 2^53."""


def span(cost: int, amount: int, period: int) -> tuple[int, int]:
    """How much of the bucket `cost` units are: `(whole µs, remainder in 1/amount µs)`."""
    return divmod(cost * period, amount)


def _plus(whole: int, rem: int, more: int, more_rem: int, amount: int) -> tuple[int, int]:
    rem += more_rem
    if rem >= amount:
        return whole + more + 1, rem - amount
    return whole + more, rem


def _minus(whole: int, rem: int, less: int, less_rem: int, amount: int) -> tuple[int, int]:
    rem -= less_rem
    if rem < 0:
        return whole - less - 1, rem + amount
    return whole - less, rem


def take(bucket: Bucket, now: int, cost: int, amount: int, period: int, burst: int) -> tuple[Bucket, bool]:
    """Take `cost` units if the bucket, `burst` units deep, holds them.

    Returns the bucket after the charge and True, or the bucket unchanged and False.
    """
    tat, rem = (bucket.tat, bucket.tat_rem) if bucket.tat >= now else (now, 0)
    tat, rem = _plus(tat, rem, *span(cost, amount, period), amount)
    depth, depth_rem = span(burst, amount, period)
    if (tat - now, rem) > (depth, depth_rem):
        return bucket, False
    return Bucket(tat, rem, bucket.refunded, bucket.refunded_rem), True


def owe(bucket: Bucket, now: int, cost: int, amount: int, period: int) -> Bucket:
    """Charge `cost` units whatever the bucket holds: what was underestimated is owed in full.

    Debts end at `LARGEST` µs (142 years): a cost that spans more is cut to it.
    """
    tat, rem = (bucket.tat, bucket.tat_rem) if bucket.tat >= now else (now, 0)
    tat, rem = _plus(tat, rem, *span(min(cost, LARGEST // period), amount, period), amount)
    if tat - now > LARGEST:
        tat, rem = now + LARGEST, 0
    return Bucket(tat, rem, bucket.refunded, bucket.refunded_rem)


def _bound(bucket: Bucket, now: int, mark: Mark, amount: int) -> tuple[int, int]:
    """The most that may still come back to the bucket because of `mark`, whatever of it is unused.

    max(0, T - now) less all that the bucket has refunded since, and no more than the ceiling leaves.
    """
    since = _minus(bucket.refunded, bucket.refunded_rem, mark.refunded, mark.refunded_rem, amount)
    if since < (0, 0):
        return 0, 0  # the bucket is not the one that was charged: it was emptied in between
    left = _minus(mark.tat, mark.tat_rem, *since, amount)
    if (bucket.tat, bucket.tat_rem) < left:
        return 0, 0  # likewise
    under = _minus(mark.ceiling, mark.ceiling_rem, bucket.refunded, bucket.refunded_rem, amount)
    return max((0, 0), min((left[0] - now, left[1]), under))


def refund(bucket: Bucket, now: int, mark: Mark, cost: int, amount: int, period: int) -> Bucket:
    """Give back `cost` unused units of the charge that left `mark`: at most what the passing of time has not given already."""
    back = min(span(cost, amount, period), (mark.unused, mark.unused_rem), _bound(bucket, now, mark, amount))
    tat, rem = _minus(bucket.tat, bucket.tat_rem, *back, amount)
    refunded, refunded_rem = _plus(bucket.refunded, bucket.refunded_rem, *back, amount)
    if refunded > LARGEST:  # begins anew: whoever is open now gets nothing back, which is safe and happens once in days
        refunded, refunded_rem = 0, 0
    return Bucket(tat, rem, refunded, refunded_rem)


def renew(bucket: Bucket, now: int, mark: Mark, amount: int) -> Mark:
    """The mark of a request that is still open.

    What is unused is cut to what may come back now; T is the present TAT; the ceiling is what may come back now, by whomever.
    """
    bound = _bound(bucket, now, mark, amount)
    ceiling = _plus(bucket.refunded, bucket.refunded_rem, *bound, amount)
    return Mark(*bucket, *min(bound, (mark.unused, mark.unused_rem)), *ceiling)


def remaining(bucket: Bucket, now: int, amount: int, period: int, burst: int) -> int:
    """Whole units left, 0 when it owes."""
    used = max(0, (bucket.tat - now) * amount + bucket.tat_rem)
    return max(0, (burst * period - used) // period)


def reset(bucket: Bucket, now: int) -> int:
    """µs, rounded up, until the bucket is full."""
    return max(0, bucket.tat - now + (bucket.tat_rem > 0))


def mark(noted: tuple[int, ...], cost: int, amount: int, period: int) -> Mark:
    """The mark of a charge of `cost` that left the bucket `noted`; one that was renewed is a mark already.

    A charge's own ceiling, T beyond the running sum, binds nothing that T does not bind.
    """
    if len(noted) != len(NEW):
        return Mark._make(noted)
    tat, tat_rem, refunded, refunded_rem = noted
    ceiling = _plus(tat, tat_rem, refunded, refunded_rem, amount)
    return Mark(tat, tat_rem, refunded, refunded_rem, *span(cost, amount, period), *ceiling)


def wait(bucket: Bucket, now: int, cost: int, amount: int, period: int, burst: int) -> int:
    """µs, rounded up, until `cost` units can be taken; 0 when they can be taken now."""
    behind = max(0, (bucket.tat - now) * amount + bucket.tat_rem)
    short = behind + (cost - burst) * period
    return max(0, -(-short // amount))
