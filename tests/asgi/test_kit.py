"""What the tests of the pipeline read of a policy is what the policy has."""

from __future__ import annotations

import pytest

from .kit import Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
LIMITS = (
    {"name": "requests", "rate": "5/minute"},
    {"name": "net", "per": ["network"], "rate": "7/minute"},
    {"name": "slots", "per": ["network"], "concurrency": 2},
    {"name": "all", "per": [], "unit": "tokens", "rate": "60000/minute"},
)
VELOCITY = [
    {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"},
    {"name": "admitted", "count": "admitted", "per": "network", "over": "1h"},
    {"name": "networks", "distinct": "network", "per": "account", "over": "1h"},
    {"name": "about", "distinct": "network", "per": "account", "over": "1h", "approximate": True},
]


async def test_what_is_left_is_read_beside_velocity_rules() -> None:
    """They are counted in the homes of limits, so their readings stand between those of limits."""
    guarded = Guarded(Upstream(), policy(*LIMITS, velocity=VELOCITY))
    assert await guarded.left() == {"requests": 5, "net": 7, "slots": 2, "all": 60_000}
    for _ in range(2):
        assert (await guarded.post(CHAT, chat(400, max_tokens=20))).status == 200
    await guarded.guardrail.drain()
    # An answer without usage has written nothing: its prompt is charged as it was estimated, 400 / 4 tokens.
    assert await guarded.left() == {"requests": 3, "net": 5, "slots": 2, "all": 60_000 - 2 * 100}


async def test_looking_counts_nothing() -> None:
    guarded = Guarded(Upstream(), policy(*LIMITS, velocity=VELOCITY, telemetry={}))
    for _ in range(3):
        await guarded.left()
    await guarded.post(CHAT, chat(400))
    [event] = guarded.guardrail.recorder.latest(1)
    assert {name: count for name, (count, _) in event["velocity"].items()} == dict.fromkeys(
        ["attempts", "admitted", "networks", "about"], 1
    )
