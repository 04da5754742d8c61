"""What collecting evidence adds to a request: at the middle, and at the 99th percentile.

    python -m benchmarks.evidence --rounds 20

Each kind of request goes through what it takes to know who sent it and what is in it (`Resolver.identify`, `inspect`) twice, side
by side: with the collector absent, and with it (`Collector.read`, `edges` and `noted`, as the engine asks them). The prompts are
4 KB of words from the documentation in any order; *template* has the same 2 KB in each of an account's messages, which is
what becomes evidence. Garbage is collected before a round, and not during it: what is measured is our own work.
"""

from __future__ import annotations

import gc
import json
import random
from pathlib import Path
from time import perf_counter_ns, thread_time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks.common import arguments, machine, middle, rounds, save, table
from guardrail_mw.asgi.inspect import inspect
from guardrail_mw.clock import SystemClock
from guardrail_mw.clusters.collecting import Collector
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.identity import IdentitySettings, Keyring, Resolver
from guardrail_mw.values import Facts, Subject

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

CALLS: Final = 3000
"""A round's, of each kind: 30 of them are beyond the 99th percentile."""
ACCOUNTS: Final = 300
SIZE: Final = 4_096
"""Characters of a prompt."""

_KEY: Final = b"a key that only this script uses"
_SECTION: Final = {"sources": [{"use": "api_key", "with": {"trust": "gateway"}}], "device": {"cookie": False}}
_AGENT: Final = (b"user-agent", b"OpenAI/Python 2.8.1")
_SDK: Final = ((b"x-stainless-lang", b"python"), (b"x-stainless-os", b"Linux"), (b"content-type", b"application/json"))
_SCRIPTS: Final = {
    "English": {},
    "accents": str.maketrans("aeou", "äéöü"),
    "Cyrillic": str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувшжыз"),
}
"""English, written so: accents more often than German or French have them."""
_IDEOGRAPHS: Final = [chr(number) for number in range(0x4E00, 0x5600)]


class Kind(NamedTuple):
    """One kind of request: what is sent, by whom."""

    requests: Callable[[random.Random], list[tuple[Facts, bytes]]]
    content: bool


def running() -> list[str]:
    """The words of the explanations in `docs/` as they follow each other, without what is not ASCII."""
    pages = sorted((Path(__file__).parent.parent / "docs" / "explanation").glob("*.md"))
    text = "\n".join(page.read_text() for page in pages).encode("ascii", "ignore").decode()
    return " ".join(line for line in text.splitlines() if line[:1].isalpha()).split()


_WORDS: Final = running()


def prompt(drawn: random.Random, script: str, size: int = SIZE) -> str:
    """So many characters: words as often as prose has them, in an order that was never there; a line break now and then."""
    if script == "Chinese":
        return "".join(drawn.choices(_IDEOGRAPHS, k=size))
    words = drawn.choices(_WORDS, k=size // 4)
    for place in range(0, len(words), 80):
        words[place] += "\n\n"
    return " ".join(words)[:size].translate(_SCRIPTS[script])


def request(account: int, text: str | None = None) -> tuple[Facts, bytes]:
    """A chat completion of one account."""
    key = b"Bearer sk-%d" % account
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a helpful assistant. Answer in one paragraph."}]
    messages.append({"role": "user", "content": text if text is not None else "hello"})
    body = json.dumps({"model": "large", "messages": messages}, ensure_ascii=False).encode()
    headers = [(b"host", b"api.example"), (b"authorization", key), _AGENT, *_SDK]
    return Facts("POST", "/v1/chat/completions", headers, peer=f"203.0.113.{account % 250}"), body


def known(drawn: random.Random) -> list[tuple[Facts, bytes]]:
    """A few accounts, each again and again."""
    return [request(drawn.randrange(ACCOUNTS)) for _ in range(CALLS)]


def strangers(drawn: random.Random) -> list[tuple[Facts, bytes]]:
    """Each an account that was never seen."""
    return [request(drawn.getrandbits(60)) for _ in range(CALLS)]


def writing(script: str, template: int = 0, size: int = SIZE) -> Callable[[random.Random], list[tuple[Facts, bytes]]]:
    """A few accounts that write, and begin with so many characters that are always the same."""
    fixed = prompt(random.Random("template"), "English", template) + " " if template else ""

    def requests(drawn: random.Random) -> list[tuple[Facts, bytes]]:
        every = []
        for _ in range(CALLS):
            text = fixed + prompt(drawn, script, size)
            every.append(request(drawn.randrange(ACCOUNTS), text[:size]))
        return every

    return requests


KINDS: Final = {
    "no content, known accounts": Kind(known, content=False),
    "no content, each account new": Kind(strangers, content=False),
    "1 KB": Kind(writing("English", size=1_024), content=True),
    "4 KB": Kind(writing("English"), content=True),
    "4 KB, half a template": Kind(writing("English", SIZE // 2), content=True),
    "32 KB": Kind(writing("English", size=32_768), content=True),
    "4 K characters, accents": Kind(writing("accents"), content=True),
    "4 K characters, Cyrillic": Kind(writing("Cyrillic"), content=True),
    "4 K characters, Chinese": Kind(writing("Chinese"), content=True),
}
BESIDE: Final = ("cpu_p50", "cpu_p99", "wall_p50", "wall_p99")


class Side(NamedTuple):
    """The collector, or none."""

    resolver: Resolver
    collector: Collector | None

    @classmethod
    def make(cls, *, collects: bool, content: bool) -> Side:
        """As a policy with clusters, or without, makes it."""
        clusters = ClustersSettings(content=content) if collects else None
        settings = IdentitySettings.model_validate(_SECTION)
        resolver = Resolver(settings, id_key=_KEY, clock=SystemClock(), keys=Keyring([_KEY]), evidence=clusters)
        collector = Collector(content=content, keys=resolver.digester, clock=SystemClock()) if clusters is not None else None
        return cls(resolver, collector)

    def run(self, requests: Sequence[tuple[Facts, bytes]], *, content: bool) -> tuple[list[float], list[float]]:
        """µs of each call by itself, sorted: of the thread, and by the clock."""
        resolver, collector = self
        identify = resolver.identify
        read = collector.read if collector is not None else None
        cpu_taken, wall_taken = [], []
        gc.collect()
        gc.disable()
        for facts, body in requests:
            cpu, wall = thread_time_ns(), perf_counter_ns()
            subject = identify(facts)
            found = inspect(facts.headers, body, content=read).content if content else None
            if collector is not None and isinstance(subject, Subject):
                edges = collector.edges(subject, found)
                if edges:
                    collector.noted(subject, edges)
            wall, cpu = perf_counter_ns() - wall, thread_time_ns() - cpu
            cpu_taken.append(cpu / 1000)
            wall_taken.append(wall / 1000)
        gc.enable()
        return sorted(cpu_taken), sorted(wall_taken)


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """All rounds: the median over them of each one's middle and of its 99th percentile. The first round warms up."""
    found = {}
    for name, kind in KINDS.items():
        sides = {side: Side.make(collects=side == "with", content=kind.content) for side in ("absent", "with")}
        seen: dict[str, list[float]] = {}
        for number in range(rounds(options) + 1):
            requests = kind.requests(random.Random(f"{name} {number}"))
            for side in random.sample(list(sides), 2):
                cpu, wall = sides[side].run(requests, content=kind.content)
                if number:
                    for what, taken in (("cpu", cpu), ("wall", wall)):
                        seen.setdefault(f"{side}_{what}_p50_us", []).append(taken[CALLS // 2])
                        seen.setdefault(f"{side}_{what}_p99_us", []).append(taken[CALLS * 99 // 100])
        found[name] = {column: middle(values) for column, values in seen.items()}
    return found


def report(found: Mapping[str, Mapping[str, float]]) -> str:
    """The table: what there was without, and how much more there is."""
    rows = []
    for name, row in found.items():
        cells = [name]
        for column in BESIDE:
            absent, beside = row[f"absent_{column}_us"], row[f"with_{column}_us"]
            cells.append(f"{absent:.1f} + {beside - absent:.1f}")
        rows.append(cells)
    return table(["", "CPU p50, µs", "p99", "wall p50, µs", "p99"], rows)


def main() -> None:
    """Run, print, save."""
    options = arguments(__doc__ or "", 20, 3).parse_args()
    print(f"{machine()}\n- {rounds(options)} rounds of {CALLS} calls of each kind\n")
    found = measure(options)
    print(report(found))
    save(options.json, found)


if __name__ == "__main__":
    main()
