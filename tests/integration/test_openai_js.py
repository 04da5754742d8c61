"""The official JavaScript client, from npm by its name, against a guarded server over HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.cli.demo.model import answer
from guardrail_mw.engine import Engine
from guardrail_mw.values import Deny

from ..asgi.kit import left, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..npm import install  # noqa: TID252 - of all tests
from .serving import Stage

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("openai_sdk.mjs")
WHOLE = answer("demo-small", "How do you count?")
SAID = {"text": WHOLE.text, "input": WHOLE.input, "output": WHOLE.output}
TOKENS = {"name": "tokens", "unit": "tokens", "budget": "100000/day"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside a `node_modules` with the client; in a folder of its own, outside the repository."""
    folder = tmp_path_factory.mktemp("npm")
    install(folder, "openai")
    return Path(shutil.copy(SCRIPT, folder))


async def run(script: Path, stage: Stage, scenario: str) -> dict[str, Any]:
    """What the client understood."""
    process = await asyncio.create_subprocess_exec(
        "node", str(script), f"{stage.url}/v1", scenario, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


def refusal(found: dict[str, Any], kind: str, status: int, code: str, message: str) -> None:
    """The client's own error for the status, with our message and our decision."""
    assert found[f"is{kind}"], found
    assert (found["status"], found["code"]) == (status, code)
    assert message in found["message"]
    assert len(found["decision"]) == 24
    assert found["decision"] == found["inBody"]


async def test_success_and_stream_are_counted(script: Path, stage: Stage) -> None:
    guardrail = stage.guard(policy(TOKENS))
    assert await run(script, stage, "success") == SAID
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - WHOLE.input - WHOLE.output}
    assert await run(script, stage, "stream") == SAID
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - 2 * (WHOLE.input + WHOLE.output)}


async def test_a_limit_is_its_rate_limit_error_with_our_message(script: Path, stage: Stage) -> None:
    stage.guard(policy({"name": "requests", "rate": "1/minute"}))
    found = await run(script, stage, "refused")
    refusal(
        found,
        "RateLimit",
        429,
        "rate_limit_exceeded",
        "Rate limit reached: requests 1/minute. Limit: requests. Try again in 60 s.",
    )
    assert stage.hits == 2


async def test_it_waits_as_told_and_succeeds(script: Path, stage: Stage) -> None:
    for limit in (
        {"name": "requests", "rate": "4/second", "burst": 1},
        {"name": "all", "per": [], "rate": "4/second", "burst": 1},
    ):
        stage.guard(policy(limit))
        at: list[float] = []

        def arriving(number: int, at: list[float] = at) -> None:
            at.append(time.monotonic())
            stage.clock.advance(0.25 if number == 3 else 0)

        stage.arriving = arriving
        assert await run(script, stage, "retried") == SAID
        assert stage.hits == 3
        assert at[2] - at[1] >= 0.25


async def test_a_spent_budget_is_not_retried(script: Path, stage: Stage) -> None:
    stage.guard(policy({"name": "month", "budget": "1/month"}))
    found = await run(script, stage, "patient")
    refusal(
        found,
        "RateLimit",
        429,
        "insufficient_quota",
        "Budget used up: requests 1/month. Limit: month. Try again at 2026-02-01T00:00:00Z.",
    )
    assert stage.hits == 2


async def test_a_key_nobody_knows(script: Path, stage: Stage) -> None:
    stage.guard(policy() | {"identity": {"sources": [{"use": "api_key", "with": {"trust": "keys", "keys": ["0" * 64]}}]}})
    refusal(await run(script, stage, "failing"), "Authentication", 401, "invalid_api_key", "The API key is not valid.")
    assert stage.hits == 1


async def test_a_deny(script: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.guard(policy(TOKENS))
    monkeypatch.setattr(Engine, "decide", lambda _, exchange: Deny(exchange.id, "denied", 403, "The request was refused."))
    refusal(await run(script, stage, "failing"), "Permission", 403, "denied", "The request was refused.")
    assert stage.hits == 1


async def test_shed_load(script: Path, stage: Stage) -> None:
    stage.guard(policy({"name": "all", "per": [], "rate": "1/minute"}))
    refusal(await run(script, stage, "refused"), "Server", 503, "overloaded", "The server is at capacity.")


async def test_bad_input(script: Path, stage: Stage) -> None:
    stage.guard(policy(TOKENS))
    refusal(await run(script, stage, "bad"), "BadRequest", 400, "invalid_parameter", "'n' must be a whole number")
    assert stage.hits == 1
