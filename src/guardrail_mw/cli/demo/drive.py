"""Traffic as the SDKs shape it, from several accounts, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.cli.demo.tally import Tally, usage_of
from guardrail_mw.values import Usage

if TYPE_CHECKING:
    import httpx2

    from guardrail_mw.limits.models import Models

__all__ = ["PEOPLE", "Driver", "Person"]

_RETRIES = 2
"""As many as both SDKs make unless told otherwise."""
_AT_ONCE = 8
_CROWD = 40


class Person(NamedTuple):
    """One who calls."""

    name: str
    what: str
    run: Callable[[Driver, Tally], Coroutine[None, None, None]]


class Driver:
    """Sends requests and counts what comes back.

    Args:
        client: of the server, over HTTP.
        models: the policy's, for prices.
    """

    def __init__(self, client: httpx2.AsyncClient, models: Models) -> None:
        self._client = client
        self.tallies = [Tally(each.name, each.what, models) for each in PEOPLE]
        self._addresses = count()

    async def run(self) -> None:
        """Everybody calls until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for person, tally in zip(PEOPLE, self.tallies, strict=True):
                group.create_task(person.run(self, tally))

    def address(self) -> str:
        """One that nobody has called from yet, in a network of its own."""
        number = next(self._addresses)
        return f"198.{18 + number // 62500 % 2}.{number // 250 % 250}.{number % 250 + 1}"

    async def ask(self, tally: Tally, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        """One request and its retries, by the SDKs' rules."""
        for attempt in range(_RETRIES + 1):
            wait = await self._once(tally, path, headers, body)
            if wait is None or attempt == _RETRIES:
                return
            await asyncio.sleep(wait)

    async def once(self, tally: Tally, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        """One request without retries."""
        await self._once(tally, path, headers, body)

    async def _once(self, tally: Tally, path: str, headers: dict[str, str], body: dict[str, Any]) -> float | None:
        """Seconds to wait before a retry; None where none is due."""
        async with self._client.stream("POST", path, headers=headers, json=body) as answer:
            if "x-forwarded-for" not in headers:  # what is left to somebody who never comes again says nothing
                tally.note(answer.headers)
            if answer.status_code >= 400:  # noqa: PLR2004
                tally.refuse(answer.status_code, await answer.aread())
                return _wait(answer.headers)
            if answer.headers["content-type"].startswith("text/event-stream"):
                usage = await _streamed(answer)
            else:
                usage = usage_of(json.loads(await answer.aread()))
            tally.admit(body["model"], usage)
            return None


async def _streamed(answer: httpx2.Response) -> Usage:
    """Read a stream to its end; its usage is what the last events say of each figure."""
    usage = Usage()
    async for line in answer.aiter_lines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line.removeprefix("data: "))
        told = usage_of(event.get("message") or event)
        usage = Usage(input=told.input or usage.input, output=told.output or usage.output)
    return usage


def _wait(headers: Any) -> float | None:
    if headers.get("x-should-retry") != "true":
        return None
    return float(headers.get("retry-after-ms", 500)) / 1000


_OPENAI: Final = {"user-agent": "OpenAI/Python", "x-stainless-lang": "python"}
_ANTHROPIC: Final = {"user-agent": "Anthropic/Python", "x-stainless-lang": "python", "anthropic-version": "2023-06-01"}


def _bearer(key: str) -> dict[str, str]:
    return {**_OPENAI, "authorization": f"Bearer {key}"}


def _chat(text: str, **rest: Any) -> dict[str, Any]:
    return {"model": "demo-small", "messages": [{"role": "user", "content": text}], **rest}


async def _person(driver: Driver, tally: Tally) -> None:
    for number in count():
        await driver.ask(tally, "/v1/chat/completions", _bearer("sk-demo-ada"), _chat(f"Good morning, {number}"))
        await asyncio.sleep(1.5)


async def _loop(driver: Driver, tally: Tally) -> None:
    for number in count():
        body = _chat(f"Label row {number}", max_tokens=4)
        await driver.ask(tally, "/v1/chat/completions", _bearer("sk-demo-bob"), body)


async def _spender(driver: Driver, tally: Tally) -> None:
    headers = {**_ANTHROPIC, "x-api-key": "sk-demo-cyd"}
    for number in count():
        body = {**_chat(f"Write chapter {number}"), "model": "demo-large", "max_tokens": 128, "stream": True}
        before = tally.refusals
        await asyncio.gather(*[driver.ask(tally, "/v1/messages", headers, body) for _ in range(2)])
        if tally.refusals > before:
            await asyncio.sleep(2)


async def _agent(driver: Driver, tally: Tally) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 24}
    for number in count():
        bodies = [_chat(f"Step {number}, tool {tool}", **options) for tool in range(_AT_ONCE)]
        await asyncio.gather(*[driver.once(tally, "/v1/chat/completions", _bearer("sk-demo-dev"), body) for body in bodies])
        await asyncio.sleep(2)


async def _crowd(driver: Driver, tally: Tally) -> None:
    for number in count():
        await asyncio.sleep(1)
        one = _chat(f"Explain step {number} of the proof", max_tokens=8)
        calls = [
            driver.once(tally, "/v1/chat/completions", {**_OPENAI, "x-forwarded-for": driver.address()}, one)
            for _ in range(_CROWD)
        ]
        await asyncio.gather(*calls)
        await asyncio.sleep(3)


async def _inventor(driver: Driver, tally: Tally) -> None:
    for number in count():
        await driver.ask(tally, "/v1/chat/completions", _bearer(f"sk-guess-{number}"), _chat("Is this one good?"))
        await asyncio.sleep(1)


PEOPLE: Final = (
    Person("ada", "a person", _person),
    Person("bob", "a loop without pauses", _loop),
    Person("cyd", "long answers, dear model", _spender),
    Person("dev", f"an agent, {_AT_ONCE} at a time", _agent),
    Person("strangers", f"{_CROWD} at a time, once each", _crowd),
    Person("inventor", "guesses keys", _inventor),
)
"""Who calls, in the order of the table."""
