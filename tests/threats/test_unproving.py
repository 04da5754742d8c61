"""A 401 on demand must not move what an account spends to its network."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

LIMITS: list[dict[str, Any]] = [
    {"name": "tokens", "unit": "tokens", "rate": "20000/day"},
    {"name": "requests", "rate": "100/day"},
    {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "60/minute"},
]
ANSWER = b'{"choices": [], "usage": {"prompt_tokens": 600, "completion_tokens": 400, "total_tokens": 1000}}'


class Fickle(Upstream):
    """An app that answers 200 and 401 in turn to one and the same key: a model that the key may not use, say."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.status = 401 if self.status == 200 else 200
        await super().__call__(scope, receive, send)


async def test_an_account_that_was_proved_once_pays_for_itself() -> None:
    guarded = Guarded(Fickle(ANSWER, status=401), policy(*LIMITS, trust="app"))
    for number in range(20):
        answer = await guarded.post(CHAT, chat(), KEY, JSON, client=(f"192.0.2.{number}", 1))
        assert answer.status == (200 if number % 2 == 0 else 401)
    left = await guarded.left(KEY)
    # Of ten answers of 1000 tokens the first is its network's, where nobody had proved the key yet; a 401 costs no tokens.
    assert left["tokens"] == 20_000 - 9 * 1000
    assert left["requests"] == 100 - 19


async def test_it_is_a_stranger_all_the_same() -> None:
    guarded = Guarded(Fickle(ANSWER, status=401), policy(*LIMITS, trust="app"))
    for _ in range(2):
        await guarded.post(CHAT, chat())
    assert "strangers" in await guarded.left(KEY)
