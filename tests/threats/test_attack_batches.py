"""Many prompts in one request are as many attempts: else whoever sends them in batches looks calm."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

LIMITS = [
    {"name": "requests", "rate": "40/hour"},
    {"name": "tokens", "unit": "tokens", "rate": "1000000/hour"},
]
VELOCITY = [{"name": what, "count": what, "per": "account", "over": "1h"} for what in ("attempts", "admitted", "denied")] + [
    {"name": "models", "distinct": "model", "per": "account", "over": "1h"}
]
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 10, "full": 20}}}]}
BATCH = {"model": "small", "prompt": ["one", "two", "three"], "max_tokens": 5}


async def test_a_batch_counts_as_many_as_it_holds() -> None:
    site = Guarded(Upstream(), policy(*LIMITS, velocity=VELOCITY, risk=RISK))

    async def counted(path: str, body: Any) -> tuple[list[int], float]:
        await site.post(path, body)
        event = site.guardrail.recorder.latest(1)[0]
        return [event["velocity"][name][0] for name in ("attempts", "admitted", "denied", "models")], event["risk"]

    assert await counted(CHAT, chat()) == ([1, 1, 0, 1], 0.0)
    assert await counted("/v1/completions", BATCH) == ([4, 4, 0, 1], 0.0)
    requests = [{"custom_id": str(number), "params": {**chat(), "max_tokens": 5}} for number in range(11)]
    assert await counted("/v1/messages/batches", {"requests": requests}) == ([15, 15, 0, 1], 50.0)
    # 25 are left of 40, so these 26 are refused; they are attempts all the same.
    many = {**BATCH, "prompt": ["again"] * 26}
    assert await counted("/v1/completions", many) == ([41, 15, 26, 1], 0.0)
