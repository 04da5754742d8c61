"""One solved challenge, handed in many times at once to two processes that share a Redis: it clears once.

Every answer is held back by its last byte until all of them have come that far, so that none is judged before another is there.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from guardrail_mw.testing.processes import HOST, free_port
from guardrail_mw.testing.servers import Server

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.test_clearing import solve  # noqa: TID252 - by the library's own solver
from .test_verification import process
from .verifying import OURS, ROBOT, SECRETS

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
QUESTION = {"model": "demo-small", "messages": [{"role": "user", "content": "How do you count?"}]}


def document() -> dict[str, Any]:
    """A robot's risk is 80, the rung at 50."""
    return policy(
        {"name": "requests", "rate": "1000/minute"},
        store={"deadline": "10s"},
        risk={"scorers": [{"use": "automation", "with": {"headless": 80, "solved": "100%"}}]},
        friction={"ladder": [{"at": 50, "do": "challenge", "with": {"use": "altcha", "cost": 5, "prefix": "0"}}]},
    )


class Race:
    """Two servers, and somebody who asks and answers over as many connections as it takes."""

    def __init__(self, client: httpx.AsyncClient, urls: list[str]) -> None:
        self._client = client
        self._urls = urls

    async def asks(self, key: str, server: int) -> httpx.Response:
        """One question of a robot's."""
        headers = {"user-agent": ROBOT, "authorization": f"Bearer {key}"}
        return await self._client.post(self._urls[server] + CHAT, json=QUESTION, headers=headers)

    async def solves(self, key: str, server: int) -> bytes:
        """The answer to a challenge of the caller's, which is not handed in yet."""
        refused = await self.asks(key, server)
        assert refused.status_code == 403, refused.text
        challenge = refused.json()["error"]["challenge"]
        return json.dumps({"case": challenge["case"], "answer": solve(challenge)}).encode()

    async def hands_in(self, answers: list[bytes]) -> list[str]:
        """All at once, in turn to either server: what each is told."""
        line = asyncio.Barrier(len(answers))

        async def held_back(answer: bytes) -> AsyncIterator[bytes]:
            yield answer[:-1]
            await line.wait()
            yield answer[-1:]

        async def hand_in(number: int, answer: bytes) -> str:
            url, headers = f"{self._urls[number % 2]}{OURS}/challenge", {"content-type": "application/json"}
            found = await self._client.post(url, content=held_back(answer), headers=headers)
            return "cleared" if found.status_code == 200 else str(found.json()["code"])

        return await asyncio.gather(*[hand_in(number, answer) for number, answer in enumerate(answers)])


@pytest.fixture
async def race(tmp_path: Path, guardrail_start: Callable[..., Server]) -> AsyncIterator[Race]:
    """To new ones: of wrong answers a network has 60 a minute at each."""
    ports = [free_port() for _ in range(2)]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document()))
    environ = {**SECRETS, "GUARDRAIL_STORE": guardrail_start("redis").url}
    async with (
        process(tmp_path, ports[0], **environ),
        process(tmp_path, ports[1], **environ),
        httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=None)) as client,
    ):
        yield Race(client, [f"http://{HOST}:{port}" for port in ports])


async def test_one_answer_64_times_clears_once(race: Race) -> None:
    """A case stands for five tries in a process, of which the one that clears is given back: another may come in its place."""
    answer = await race.solves("sk-one", 0)
    told = Counter(await race.hands_in([answer] * 64))
    assert told["cleared"] == 1
    assert told["challenge_spent"] in {9, 10}
    assert told["challenge_spent"] + told["challenge_over"] == 63
    assert [(await race.asks("sk-one", server)).status_code for server in range(2)] == [200, 200]


async def test_eight_answers_eight_times_each_clear_once_each(race: Race) -> None:
    """Four copies to a process are no more than the tries of a case: every one of the 64 goes as far as the store."""
    answers = [await race.solves(f"sk-number-{number}", number % 2) for number in range(8)]
    told = await race.hands_in([answer for answer in answers for _ in range(8)])
    assert [Counter(told[first : first + 8]) for first in range(0, 64, 8)] == [{"cleared": 1, "challenge_spent": 7}] * 8
