"""Races for single-use tokens: `python -m tests.races [SERVER …] [--tokens 100000] [--processes 8] [--threads 16]`.

On each server (redis, valkey, cluster; all unless given) the processes try to spend every token, all of them at the same time;
on `memory` it is threads of one process, each with an event loop of its own. All go through the same blocks of tokens, beginning
each together and in an order of their own, so that nobody runs ahead. Every token must have been spent by exactly one.
The table shows how many tries there were, how many a second, and how many tokens the worst and the best racer spent.

Exit code: 0 every token was spent exactly once, 1 one was not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Thread
from time import monotonic, sleep
from typing import Final, NamedTuple

from guardrail_mw.stores.base import Store
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.servers import start

KINDS: Final = ("redis", "valkey", "cluster", "memory")
TTL: Final = 3_600_000_000
BLOCK: Final = 1_000
AT_ONCE: Final = 128
"""Tokens that one process tries at the same time: as many as its connections carry."""
PATIENT: Final = 60_000_000
"""µs that an answer may take."""
TURN: Final = 1e-6
"""Seconds until another thread may run; with Python's own, one thread spends hundreds of tokens before."""
BOUND: Final = 1_200
"""Seconds that one race may take."""


class Raced(NamedTuple):
    """How a race went."""

    kind: str
    racers: int
    tokens: int
    spent: Counter[int]
    """How often each token was spent, by its number; an absent one was not."""
    won: tuple[int, ...]
    """Tokens that each racer spent."""
    seconds: float

    @property
    def once(self) -> bool:
        """Whether every token was spent exactly once."""
        return len(self.spent) == self.tokens and set(self.spent.values()) <= {1}

    def __str__(self) -> str:
        times = Counter(self.spent.values())
        twice = sum(number for often, number in times.items() if often > 1)
        tries = self.racers * self.tokens
        return (
            f"{self.kind:8}{self.racers:3} racers {tries:>9,} tries {self.seconds:7.1f} s {tries / self.seconds:>9,.0f}/s   "
            f"once {times[1]:,}, twice {twice}, never {self.tokens - len(self.spent)}; won {min(self.won):,} to {max(self.won):,}"
        )


def course(tokens: int, racer: int) -> Iterator[list[int]]:
    """The numbers of all tokens: the same blocks for everybody, an order within them for each."""
    chance = random.Random(racer)
    for first in range(0, tokens, BLOCK):
        block = list(range(first, min(first + BLOCK, tokens)))
        chance.shuffle(block)
        yield block


async def race(store: Store, epochs: Sequence[str], blocks: Iterable[Sequence[int]]) -> list[int]:
    """Try to spend every token of a block, `AT_ONCE` at a time, then of the next: which this racer spent."""
    won: list[int] = []

    async def runner(numbers: Iterator[int]) -> None:
        for number in numbers:
            if await store.spend(str(number), TTL, epochs[number]):
                won.append(number)  # noqa: PERF401 - told one by one

    for block in blocks:
        numbers = iter(block)
        await asyncio.gather(*(runner(numbers) for _ in range(AT_ONCE)))
    return won


async def told(store: Store, tokens: int) -> list[str]:
    """The epochs of all tokens."""
    found = [""] * tokens
    numbers = iter(range(tokens))

    async def asker() -> None:
        for number in numbers:
            found[number] = await store.epoch(str(number))

    await asyncio.gather(*(asker() for _ in range(AT_ONCE)))
    return found


def result(kind: str, tokens: int, won: Sequence[Sequence[int]], seconds: float) -> Raced:
    """Put the racers' answers together."""
    spent = Counter(number for each in won for number in each)
    return Raced(kind, len(won), tokens, spent, tuple(map(len, won)), seconds)


async def process(url: str, racer: int, folder: Path) -> None:
    """One racer, in a process of its own: at each block it says that it is ready, and waits to be told; then says what it won."""
    epochs = json.loads((folder / "epochs").read_text())
    store = RedisStore(url, deadline=PATIENT)
    await store.open()

    def blocks() -> Iterator[list[int]]:
        for block in course(len(epochs), racer):
            print("ready", flush=True)  # noqa: T201 - this is how it talks
            sys.stdin.readline()
            yield block

    won = await race(store, epochs, blocks())
    await store.close()
    (folder / str(racer)).write_text(json.dumps(won))


async def started(racers: Sequence[asyncio.subprocess.Process]) -> None:
    """When all are ready, let them go."""
    ready = await asyncio.gather(*(each.stdout.readline() for each in racers if each.stdout is not None))
    if set(ready) != {b"ready\n"}:
        raise RuntimeError(f"A racer did not come to the start: {ready}. What it says of that stands above.")
    for each in racers:
        if each.stdin is not None:
            each.stdin.write(b"go\n")


async def among_processes(kind: str, url: str, tokens: int, processes: int) -> Raced:
    """Race over an empty server."""
    store = RedisStore(url, deadline=PATIENT)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "epochs").write_text(json.dumps(await told(store, tokens)))
        await store.close()
        racers: list[asyncio.subprocess.Process] = []
        try:
            async with asyncio.timeout(BOUND):
                for racer in range(processes):
                    command = (sys.executable, __file__, "--racer", str(racer), "--url", url, "--folder", name)
                    pipe = asyncio.subprocess.PIPE
                    racers.append(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
                await started(racers)
                began = monotonic()
                for _ in range(BLOCK, tokens, BLOCK):
                    await started(racers)
                await asyncio.gather(*(each.communicate() for each in racers))
                seconds = monotonic() - began
        finally:
            for each in racers:
                if each.returncode is None:
                    each.kill()
                    await each.wait()
        won = [json.loads((folder / str(racer)).read_text()) for racer in range(processes)]
    return result(kind, tokens, won, seconds)


class Looked(dict[str, int]):
    """What was spent; whoever has looked lets the other threads run before it may write."""

    def get(self, token: str, default: int) -> int:  # type: ignore[override]
        """Look, and step back."""
        found = super().get(token, default)
        sleep(0)
        return found


def among_threads(tokens: int, threads: int, store: MemoryStore) -> Raced:
    """Race over an empty store in this process's memory. All begin each block together, and take turns within a token."""
    store._tokens._spent = Looked()
    epochs = asyncio.run(told(store, tokens))
    won: list[list[int]] = [[] for _ in range(threads)]
    line = Barrier(threads, timeout=BOUND)

    def blocks(racer: int) -> Iterator[list[int]]:
        for block in course(tokens, racer):
            line.wait()
            yield block

    def run(racer: int) -> None:
        try:
            won[racer] = asyncio.run(race(store, epochs, blocks(racer)))
        except BaseException:
            line.abort()
            raise

    racing = [Thread(target=run, args=(racer,), name=f"racer {racer}") for racer in range(threads)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    began = monotonic()
    try:
        for each in racing:
            each.start()
        for each in racing:
            each.join()
    finally:
        sys.setswitchinterval(usual)
    return result("memory", tokens, won, monotonic() - began)


def held(kind: str, tokens: int, processes: int, threads: int) -> Raced:
    """One race, over a server of its own."""
    if kind == "memory":
        return among_threads(tokens, threads, MemoryStore())
    server = start(kind)
    try:
        return asyncio.run(among_processes(kind, server.url, tokens, processes))
    finally:
        server.stop()


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=str(__doc__).partition(":")[0])
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(KINDS)}; all unless given")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--racer", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    found = parser.parse_args(given)
    if unknown := {*found.servers} - {*KINDS}:
        parser.error(f"no such server: {', '.join(sorted(unknown))}. There are {', '.join(KINDS)}.")
    return found


def main(given: Sequence[str]) -> int:
    """Race on each server in turn."""
    asked = arguments(given)
    if asked.racer is not None:
        asyncio.run(process(asked.url, asked.racer, asked.folder))
        return 0
    fair = True
    for kind in asked.servers or KINDS:
        raced = held(kind, asked.tokens, asked.processes, asked.threads)
        print(raced, flush=True)  # noqa: T201 - its table
        fair = fair and raced.once
    return 0 if fair else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
