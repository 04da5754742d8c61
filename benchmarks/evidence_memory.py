"""What evidence takes in Redis: bytes an account, and how fast it is noted, read, marked and judged.

    python -m benchmarks.evidence_memory --accounts 100000

Each account shows `--edges` values in one request (which notes them in the charge's round trip), all but `--shared` of which
nobody else holds; those are held by `--holders` accounts each. Bytes are what `used_memory` grew by, less what the same requests
take without evidence, divided by the accounts: names, edges, activity and values together. Then everything is read back, 20,000
standings are written, and every shared value is marked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from benchmarks.common import Redis, arguments, machine, save, table
from guardrail_mw.algorithms import edges
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Activity, Bill, Change, Entry, Gcra
from guardrail_mw.stores.redis import RedisStore

if TYPE_CHECKING:
    import argparse

TARGET = 700
"""Bytes an account that evidence may take, at 20 edges of which 16 are nobody else's."""
BUCKET = (Gcra("requests", 1, 1, 500_000, 120),)
TOGETHER = 64
STANDINGS = 20_000
HOUR = 3_600_000_000
_ids = iter(range(1 << 60))


def name() -> str:
    """An account, as digests name it."""
    return "a:" + urlsafe_b64encode(random.randbytes(16)).decode()[:22]


def key(code: int) -> int:
    """A value of a kind."""
    return code << 57 | random.getrandbits(57)


def shown(options: argparse.Namespace) -> list[tuple[int, ...]]:
    """What each account shows."""
    found: list[list[int]] = [
        [key(number % 16 + 1) for number in range(options.edges - options.shared)] for _ in range(options.accounts)
    ]
    everyone = list(range(options.accounts))
    for _ in range(options.shared):
        random.shuffle(everyone)
        for start in range(0, len(everyone), options.holders):
            common = key(random.randrange(1, 16))
            for each in everyone[start : start + options.holders]:
                found[each].append(common)
    return [tuple(each) for each in found]


async def charge(store: RedisStore, account: str, keys: tuple[int, ...]) -> None:
    """One request of an account that is proved; again where a busy machine kept it waiting for too long."""
    for _ in range(5):
        asked = Bill(f"{next(_ids):024x}", (Entry(account, BUCKET),), account, account, 0, proved=True, edges=keys)
        with contextlib.suppress(StoreError):
            if len((await store.charge(asked)).records) == len(keys):
                return
    message = "the store does not answer"
    raise SystemExit(message)


async def fill(store: RedisStore, everyone: list[tuple[str, tuple[int, ...]]]) -> float:
    """Let each account call once; seconds."""
    begun = time.perf_counter()
    for start in range(0, len(everyone), TOGETHER):
        await asyncio.gather(*[charge(store, *each) for each in everyone[start : start + TOGETHER]])
    await store.drain()
    return time.perf_counter() - begun


async def grown(options: argparse.Namespace, *, evidence: bool) -> tuple[float, dict[str, Any]]:
    """Bytes an account that calls once, and with evidence how long everything takes."""
    random.seed(7)
    with Redis() as redis:
        store = RedisStore(redis.url, deadline=10_000_000)
        await store.open()
        accounts = [name() for _ in range(options.accounts)]
        keys: list[tuple[int, ...]] = shown(options) if evidence else [()] * len(accounts)
        before = int(redis.info("memory")["used_memory"])
        figures = {"fill_s": await fill(store, list(zip(accounts, keys, strict=True)))}
        hour = edges.hour_of(time.time_ns() // 1000)
        if evidence:
            begun = time.perf_counter()
            await store.note([Activity(account, hour, 3, 4500) for account in accounts])
            figures["note_s"] = time.perf_counter() - begun
        taken = (int(redis.info("memory")["used_memory"]) - before) / options.accounts
        if evidence:
            figures |= await bulk(store, accounts, keys, hour)
        await store.close()
    return taken, figures


async def bulk(store: RedisStore, accounts: list[str], keys: list[tuple[int, ...]], hour: int) -> dict[str, float]:
    """Seconds that a worker's commands take."""
    found: dict[str, float] = {}
    begun = time.perf_counter()
    count = 0
    async for batch in store.read(hour // 24 - 90):
        count += len(batch)
    found["read_s"] = time.perf_counter() - begun
    if count != len(accounts):
        message = f"{count} of {len(accounts)} accounts were read"
        raise SystemExit(message)
    its = [Change("set", "cluster", "0123456789ab"), Change("set", "verdict", "suspect")]
    begun = time.perf_counter()
    await store.assign([(account, its) for account in accounts[:STANDINGS]])
    found["assign_s"] = time.perf_counter() - begun
    marked = {each[-1]: (("0123456789ab", 9000),) for each in keys if each}
    begun = time.perf_counter()
    await store.mark(marked, {})
    found["mark_s"] = time.perf_counter() - begun
    found["marked"] = len(marked)
    return found


def main() -> None:
    """Run, print, save."""
    parser = arguments(__doc__ or "", 1, 1)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=20)
    parser.add_argument("--shared", type=int, default=4, help="of the edges, those that others show too")
    parser.add_argument("--holders", type=int, default=20, help="accounts that show such a value")
    options = parser.parse_args()
    if options.quick:
        options.accounts = min(options.accounts, 10_000)
    print(machine(), file=sys.stderr)
    without, plain = asyncio.run(grown(options, evidence=False))
    taken, figures = asyncio.run(grown(options, evidence=True))
    rows = [
        [f"bytes an account, of which {TARGET} may be", f"{taken - without:.0f}"],
        ["bytes an account without evidence", f"{without:.0f}"],
        ["µs a request that shows nothing, 64 at once", f"{plain['fill_s'] / options.accounts * 1e6:.0f}"],
        [
            f"µs a request that shows {options.edges} new values, 64 at once",
            f"{figures['fill_s'] / options.accounts * 1e6:.0f}",
        ],
        ["µs an account whose activity is noted", f"{figures['note_s'] / options.accounts * 1e6:.1f}"],
        ["s for reading everything", f"{figures['read_s']:.2f}"],
        [f"s for {min(STANDINGS, options.accounts):,} standings", f"{figures['assign_s']:.2f}"],
        [f"s for marking {figures['marked']:,} values", f"{figures['mark_s']:.2f}"],
    ]
    print(table([f"{options.accounts:,} accounts, {options.edges} edges", ""], rows))
    save(options.json, {"without": without, "with": taken, **figures})


if __name__ == "__main__":
    main()
