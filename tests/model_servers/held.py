# ruff: noqa: T201 - it reports
"""What a server of two processes does behind one guard, with a model that waits at a gate. For the scripts of the parts.

`Served` is such a server: the example, but for its model (`gate.words`) and its policy (`policy`), with its counters in a Redis.
`Trial` calls it with the official SDKs, and notes what is not as it should be:

- the operator's port is open before the first request, so the guard has heard the server's lifespan;
- the first words of a stream are with the client before the last one is made;
- what is settled is what was reported: streamed, broken off, cancelled;
- a slot held in one process is missing in the other, and a rate counts what both have let through;
- clients at different addresses are of different networks;
- health probes cost nothing;
- a stream that is under way when the server is told to stop is settled, and is in the Redis when the server has gone.

All figures are worked out by hand: a word is a token, and a prompt is estimated at a token for four characters.
"""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import yaml

from guardrail_mw import Guardrail

from .gate import PATIENCE, Gate

__all__ = ["Served", "Trial", "policy", "secrets"]

ALICE, BOB = "sk-example-alice", "sk-example-bob"
TOKEN = "an-example-of-0123456789-characters"  # noqa: S105 - made up, on the loopback address, for a minute
REQUESTS = 20
"""A day: none comes back while this runs."""
TOKENS = 1_000_000
"""A year."""
MODEL = "mine"
SETTLED = 0.05
"""Seconds between two looks at the events: nobody tells when a file has grown."""


def secrets(store: str) -> dict[str, str]:
    """What a process needs to share a store."""
    return {"GUARDRAIL_STORE": store, "GUARDRAIL_ID_KEY": "i" * 40, "GUARDRAIL_KEYS": "k" * 40}


def policy(example: Path, folder: Path, operators: int) -> Path:
    """The example's policy with limits that a few calls reach, as a file in `folder`; each process has its own file of events.

    Args:
        example: the folder of the example.
        folder: where this and the events go.
        operators: the operator's port.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = yaml.safe_load((example / "policy.yaml").read_text())
    ours: list[dict[str, Any]] = [
        {"name": "requests", "per": ["account"], "rate": f"{REQUESTS}/day"},
        {"name": "tokens", "per": ["account"], "unit": "tokens", "budget": f"{TOKENS}/year"},
        {"name": "in-flight", "per": ["account"], "concurrency": 1},
    ]
    others = [each for each in document["limits"] if each["name"] not in {"requests", "tokens", "in-flight", "spend"}]
    document |= {
        "limits": [*ours, *others],
        "store": {**document.get("store", {}), "deadline": "5s", "on_error": "deny"},
        "telemetry": {"events": [{"use": "jsonl", "with": {"path": str(folder / "events-{pid}.jsonl")}}]},
        "console": {"listen": f"127.0.0.1:{operators}", "token": TOKEN},
    }
    file = folder / "held.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that is up, and that nobody has asked anything but whether it is."""

    url: str
    """Where the application is, its prefix included."""
    store: str
    policy: Path
    operators: int
    probes: tuple[str, ...]
    """URLs that must cost nothing."""
    runs_on: bool
    """Whether a call goes on whose client has gone, as long as it is no stream."""
    alone: Callable[[int], Awaitable[Callable[[], None]]]
    """Sees to it that requests do not reach the process of that id, until what it returns is called."""
    stop: Callable[[], Awaitable[None]]
    """Stop the server, and wait until it is gone."""
    messages: bool = False
    """Whether it answers Anthropic's SDK."""


class Trial:
    """The calls, and what is wrong with what came of them."""

    def __init__(self, served: Served, gate: Gate) -> None:
        self.served = served
        self.gate = gate
        self.failed: list[str] = []
        self.openai = self._client(ALICE)
        self._made = 0
        """Requests of Alice's that were let through."""
        self._used = 0
        """Tokens that they have to be charged for."""

    def _client(self, key: str, retries: int = 0) -> openai.AsyncOpenAI:
        """One with connections of its own."""
        return openai.AsyncOpenAI(api_key=key, base_url=self.served.url + "/v1", max_retries=retries, timeout=PATIENCE)

    def is_(self, what: str, found: object, expected: object) -> None:
        """Note what was found."""
        ok = found == expected
        print(f"{'ok      ' if ok else 'MISMATCH'} {what}: {found}" + ("" if ok else f", not {expected}"), flush=True)
        if not ok:
            self.failed.append(what)

    async def all(self) -> bool:
        """Every call, then the stop. Whether everything was as it should be."""
        await self.opened()
        await self.handshake()
        await self.unsaid()
        await self.broken()
        await self.shared()
        await self.refused()
        await self.probed()
        await self.stopped()
        return not self.failed

    # What is asked for, and what became of it

    def ask(self, prompt: str, *, client: openai.AsyncOpenAI | None = None, **more: Any) -> Any:
        """A chat completion, for Alice unless another client asks."""
        messages = [{"role": "user", "content": prompt}]
        create: Any = (client or self.openai).chat.completions.create
        return create(model=MODEL, messages=messages, max_tokens=20, **more)

    def events(self) -> list[dict[str, Any]]:
        """All of all processes so far; `pid` is the process."""
        found = []
        for file in self.served.policy.parent.glob("events-*.jsonl"):
            pid = int(file.stem.partition("-")[2])
            found += [{**json.loads(line), "pid": pid} for line in file.read_text().splitlines()]
        return found

    async def event(self, decision: str) -> dict[str, Any]:
        """The event of a decision: it is made when the request is over, and written a moment later.

        Raises:
            LookupError: it does not come.
        """
        return await self._event(lambda each: each["id"] == decision, decision)

    async def _event(self, fits: Callable[[Mapping[str, Any]], bool], what: str) -> dict[str, Any]:
        for _ in range(int(PATIENCE / SETTLED)):
            for each in self.events():
                if fits(each):
                    return each
            await asyncio.sleep(SETTLED)
        raise LookupError(f"no event: {what}")

    def settled(self, what: str, event: Mapping[str, Any], read: int, made: int, *, said: bool) -> None:
        """Compare what an event was settled as, and add it to what Alice has used."""
        used = event["used"] or {}
        self.is_(what, (used.get("input"), used.get("output"), used.get("complete")), (read, made, said))
        self._made += 1
        self._used += read + made

    # The calls

    async def opened(self) -> None:
        """Before any request."""
        status = await asyncio.to_thread(_status, f"http://127.0.0.1:{self.served.operators}/live")
        self.is_("the operator's port is open before the first request", status, 200)
        self.is_("nothing was asked yet", len(self.events()), 0)

    async def handshake(self) -> None:
        """Each word is with the client before the next one is made."""
        stream = await self.ask("held until it is seen", stream=True, stream_options={"include_usage": True})
        held = await self.gate.arrival()
        chunks = aiter(stream)
        seen = []
        for _ in range(5):
            held.release()
            seen.append((await anext(chunks)).choices[0].delta.content)
        self.is_("words of a stream, one by one", seen, ["HELD", " UNTIL", " IT", " IS", " SEEN"])
        usage = [chunk async for chunk in chunks][-1].usage
        self.is_("usage that it said", (usage.prompt_tokens, usage.completion_tokens), (5, 5))
        self.settled("usage that was settled", await self.event(_decision(stream)), 5, 5, said=True)

    async def unsaid(self) -> None:
        """A stream that says no usage: its deltas, and the prompt's estimate."""
        stream = await self.ask("a b c d e f", stream=True)
        self.is_("usage that was not asked for", [chunk.usage async for chunk in stream], [None] * 7)
        self.settled("six deltas, and a prompt of 11 characters", await self.event(_decision(stream)), 3, 6, said=False)

    async def broken(self) -> None:
        """A stream that its client leaves after one word of four."""
        stream = await self.ask("held but left early", stream=True)
        held = await self.gate.arrival()
        held.release()
        await anext(aiter(stream))
        await stream.close()
        await held.ended()
        self.settled("a stream left after a word", await self.event(_decision(stream)), 5, 1, said=False)

    async def shared(self) -> None:
        """Alice's only slot is held in one process: there is none in the other. Then she cancels what holds it."""
        known = {each["id"] for each in self.events()}
        call = asyncio.create_task(self.ask("held in one process"))
        held = await self.gate.arrival()
        back = await self.served.alone(held.pid)
        try:
            await self.ask("one", client=self._client(ALICE))  # a connection that is there might lead to the same process
            self.is_("a second call at once", "answered", "refused")
        except openai.RateLimitError as error:
            found = await self.event(error.response.headers["x-guardrail-decision"])
            self.is_("a second call at once is refused by", found["refusal"]["limit"], "in-flight")
            self.is_("the SDK's error names", (error.code, _limit(error)), ("rate_limit_exceeded", "in-flight"))
            self.is_("and another process refused it", found["pid"] != held.pid, True)
        finally:
            back()
        call.cancel()
        await asyncio.wait([call])
        if self.served.runs_on:
            held.release(4)
        await held.ended()
        event = await self._event(lambda each: each["pid"] == held.pid and each["id"] not in known, "of a cancelled call")
        self.settled("a cancelled call", event, *((4, 4) if self.served.runs_on else (5, 0)), said=self.served.runs_on)

    async def refused(self) -> None:
        """Bob may have so many requests of both processes together."""
        client = self._client(BOB, retries=2)
        count = 0
        try:
            for _ in range(2 * REQUESTS):
                await self.ask("one", client=client)
                count += 1
        except openai.RateLimitError as error:
            self.is_("the SDK's error", (error.code, _limit(error)), ("rate_limit_exceeded", "requests"))
            self.is_("whether it is worth a retry", error.response.headers["x-should-retry"], "false")
        self.is_("requests of both processes together", count, REQUESTS)
        try:
            await self._client("sk-invented").models.list()
        except openai.AuthenticationError as error:
            self.is_("an invented key", error.status_code, 401)
        else:
            self.is_("an invented key", "accepted", 401)
        near, far = [
            await asyncio.to_thread(_from, each, self.served.url + "/v1/none") for each in ("127.0.0.1", "127.0.0.2")
        ]
        networks = [(await self.event(each))["network"] for each in (near, far)]
        self.is_("clients at two addresses are of one network", networks[0] == networks[1], False)
        if self.served.messages:
            other = anthropic.AsyncAnthropic(api_key=BOB, base_url=self.served.url, max_retries=2, timeout=PATIENCE)
            try:
                await other.messages.create(model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "one"}])
                self.is_("Anthropic's SDK", "answered", "refused")
            except anthropic.RateLimitError as error:
                self.is_("Anthropic's SDK", error.response.headers["x-should-retry"], "false")

    async def probed(self) -> None:
        """Probes are neither charged nor recorded."""
        before = len(self.events())
        for url in self.served.probes:
            self.is_(url, await asyncio.to_thread(_status, url), 200)
        self.is_("events of probes", len(self.events()) - before, 0)

    async def stopped(self) -> None:
        """A stream is under way when the server is told to stop: it is answered to its end, and nothing of it is lost."""
        stream = await self.ask("held while it stops", stream=True, stream_options={"include_usage": True})
        held = await self.gate.arrival()
        stopping = asyncio.ensure_future(self.served.stop())
        await asyncio.sleep(0)
        held.release(4)
        last = [chunk async for chunk in stream][-1]
        self.is_("a stream under way at the stop", last.usage and last.usage.total_tokens, 8)
        await stopping
        event = await self.event(_decision(stream))
        self.settled("it was settled", event, 4, 4, said=True)
        left = await self._left(event["account"])
        expected = {"requests": REQUESTS - self._made, "tokens": TOKENS - self._used, "in-flight": 1}
        self.is_("what Alice has left, when the server is gone", {name: left[name] for name in expected}, expected)

    async def _left(self, account: str) -> dict[str, Any]:
        """What the store has, for the next request of an account."""
        guardrail = Guardrail(_quiet(self.served.policy), environ=secrets(self.served.store))
        try:
            peeked = await guardrail.peek(account, "/v1/chat/completions")
        finally:
            await guardrail.close()
        return {each.name: each.remaining for each in peeked.limits}


def _quiet(file: Path) -> dict[str, Any]:
    """The policy, for looking only: no operator's port, no events."""
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    return {name: value for name, value in document.items() if name not in {"console", "telemetry"}}


def _decision(stream: Any) -> str:
    return str(stream.response.headers["x-guardrail-decision"])


def _limit(error: openai.APIStatusError) -> object:
    return error.body.get("limit") if isinstance(error.body, dict) else None


def _from(address: str, url: str) -> str:
    """Ask for something from an address of this machine's; the decision."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE, source_address=(address, 0))
    try:
        connection.request("GET", parts.path)
        return str(connection.getresponse().headers["x-guardrail-decision"])
    finally:
        connection.close()


def _status(url: str) -> int:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 - the loopback address
        return int(answer.status)
