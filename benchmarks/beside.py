"""What a request waits while clusters are worked out anew in the same process.

    python -m benchmarks.beside --accounts 100000

A guarded app in this process on the store in memory, with evidence of so many accounts: 20 values each, of which 4 are shared
by 10 accounts. It is called by itself, one call after the other, first while nothing else goes on
and then while a rebuild runs (`Guardrail.work`: evidence is collected in the loop, a batch at a time, and worked on in a thread),
and each call's time is noted. The worst of them is how long the loop stood still.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks.common import arguments, machine, middle, rounds, save, table
from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.algorithms import edges, keys
from guardrail_mw.stores.base import Activity
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.upstream import Upstream

if TYPE_CHECKING:
    import argparse

QUIET: Final = 4_000
"""Calls while nothing else goes on."""
HOLDERS: Final = 10
SHARED: Final = 4
_POLICY: Final = {
    "version": 1,
    "extends": "guardrail:campaign",
    "identity": {"sources": [{"use": "api_key", "with": {"trust": "gateway"}}]},
    "routes": [{"path": "/v1/**", "dialect": "openai"}],
}
_BODY: Final = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}).encode()
_SECRETS: Final = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}


async def fill(store: MemoryStore, clock: FakeClock, accounts: int) -> None:
    """Evidence of so many, and a day's activity."""
    drawn, hour = random.Random(7), edges.hour_of(clock.now())
    for number in range(accounts):
        account = f"a:{number:022d}"
        own = [keys.join(number % 12 + 1, drawn.getrandbits(keys.BITS)) for _ in range(20 - SHARED)]
        group = number // HOLDERS if number % 50 else -1
        shared = [
            keys.join(code, group % (1 << keys.BITS)) for code in (keys.PAYMENT, keys.NETWORK, keys.SYSTEM, keys.DEVICE)
        ]
        await store.link(account, [*own, *shared])
        await store.note([Activity(account, hour - 1, 20, 10_000)])


async def call(app: GuardrailMiddleware, number: int) -> float:
    """One request; seconds."""
    head = [(b"authorization", b"Bearer sk-%d" % (number % 300)), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/v1/chat/completions", "raw_path": b"/v1/chat/completions", "query_string": b"", "root_path": "",
        "headers": head, "client": ("203.0.113.7", 1), "server": ("localhost", 80), "state": {},
    }  # fmt: skip
    body = iter([{"type": "http.request", "body": _BODY, "more_body": False}])

    async def receive() -> Any:
        return next(body)

    async def send(_: Any) -> None:
        return None

    begun = time.perf_counter()
    await app(scope, receive, send)
    return time.perf_counter() - begun


async def one(accounts: int) -> dict[str, list[float]]:
    """The times of calls, quiet and beside rebuilds, and how long these took."""
    clock = FakeClock()
    store = MemoryStore(clock=clock, max_subjects=4 * accounts)
    await fill(store, clock, accounts)
    guardrail = Guardrail(_POLICY, store=store, clock=clock, environ=_SECRETS)
    app = GuardrailMiddleware(Upstream(), guardrail)
    await guardrail.work()  # the first one writes everybody's standing; what follows is what goes on every ten minutes
    quiet: list[float] = []
    for number in range(QUIET):
        quiet.append(await call(app, number))
        clock.advance(0.01)
        await asyncio.sleep(0)
    clock.advance(600)
    begun = time.perf_counter()
    beside: list[float] = []
    task = asyncio.ensure_future(guardrail.work())
    last = begun
    gaps: list[float] = []
    while not task.done():
        beside.append(await call(app, len(beside)))
        await asyncio.sleep(0)
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    await task
    seconds = time.perf_counter() - begun
    await guardrail.close()
    return {"quiet": quiet, "beside": beside, "gaps": gaps, "seconds": [seconds]}


def main() -> None:
    """Run, print, save."""
    parser = arguments((__doc__ or "").split("\n", 1)[0], 3, 1)
    parser.add_argument("--accounts", type=int, default=100_000)
    options: argparse.Namespace = parser.parse_args()
    if options.quick:
        options.accounts = min(options.accounts, 2_000)
    print(machine(), "\n")
    every = [asyncio.run(one(options.accounts)) for _ in range(rounds(options))]

    def at(name: str, share: float) -> str:
        return f"{1e3 * middle([sorted(each[name])[int(share * (len(each[name]) - 1))] for each in every]):.2f}"

    rows = [[label, *[at(name, share) for share in (0.5, 0.99, 0.999, 1.0)]] for label, name in (
        ("a call, nothing else going on", "quiet"), ("a call beside a rebuild", "beside"), ("from one call to the next", "gaps"),
    )]  # fmt: skip
    print(table([f"{options.accounts:,} accounts, ms", "p50", "p99", "p99.9", "worst"], rows))
    print(f"\nA rebuild beside calls took {middle([each['seconds'][0] for each in every]):.1f} s.")
    save(options.json, {"accounts": options.accounts, "rounds": every})


if __name__ == "__main__":
    main()
