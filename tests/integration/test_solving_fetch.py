"""The fetch for TypeScript under the official JavaScript clients, against a guarded server whose challenge is a real one."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..asgi.kit import left, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..client.typescript import compiled  # noqa: TID252 - the example, built
from .serving import Stage
from .test_sdks import WHOLE

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SCRIPT = Path(__file__).with_name("solving_fetch.mjs")
CHALLENGE = ["/.guardrail/challenge", 200]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(SCRIPT, tmp_path_factory.mktemp("npm"))


def document() -> dict[str, Any]:
    """Every request is on a rung that asks for proof of work, 16 tries in the mean; it is good for half an hour."""
    rung = {"at": 50, "do": "challenge", "with": {"use": "altcha", "cost": 5, "prefix": "0", "immunity": "30m"}}
    return policy(
        {"name": "requests", "budget": "100/day"},
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 1}}}]},
        friction={"ladder": [rung], "hysteresis": 0, "decay": "1s"},
    )


async def ask(script: Path, stage: Stage, sdk: str, questions: int) -> list[list[Any]]:
    """A process that asks: where its requests went, and what came of each. All questions were answered."""
    process = await asyncio.create_subprocess_exec(
        "node", str(script), stage.url, sdk, str(questions), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    assert (found["texts"], found["warnings"]) == ([WHOLE.text] * questions, [])
    seen: list[list[Any]] = found["seen"]
    return seen


@pytest.mark.parametrize(("sdk", "path"), [("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages")])
async def test_challenged_solved_and_sent_again_once_and_not_asked_while_it_holds(
    sdk: str, path: str, script: Path, stage: Stage
) -> None:
    guardrail = stage.guard(document())
    solved = [[path, 403], CHALLENGE, [path, 200]]
    assert await ask(script, stage, sdk, 2) == [*solved, [path, 200]]
    await stage.quiet()
    assert await left(guardrail) == {"requests": 98}  # who is challenged has it back, and answers are free
    stage.clock.advance(1_799)
    assert await ask(script, stage, sdk, 1) == [[path, 200]]
    await stage.quiet()
    stage.clock.advance(1)
    assert await ask(script, stage, sdk, 1) == solved
    counts = guardrail.counts.read()
    assert (counts["challenges.given"], counts["challenges.solved"]) == (2, 2)
