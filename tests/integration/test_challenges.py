"""The official clients before a server that asks them to solve something: up the ladder, and down again."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.client import async_http_client, http_client
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests
from .serving import Stage
from .test_sdks import KINDS, WHOLE, Caller, code

pytestmark = pytest.mark.anyio

FEW = {"name": "attempts", "count": "admitted", "per": "account", "over": "10m"}
"""Requests that the limits admitted: from the fourth on the account's risk is 100, above any rung."""


def document(**rung: Any) -> dict[str, Any]:
    challenge = {"at": 50, "do": "challenge", "with": {"use": "altcha", "cost": 5, "prefix": "0", "immunity": "30m"}, **rung}
    return policy(
        {"name": "requests", "rate": "1000/minute"},
        velocity=[FEW],
        risk={"scorers": [{"use": "velocity", "with": {"attempts": {"from": 3, "full": 4}}}]},
        friction={"ladder": [challenge], "hysteresis": 0, "decay": "1s"},
    )


class Solver(Caller):
    """One whose client solves."""

    def __init__(self, kind: str, url: str) -> None:
        super().__init__(kind, url)
        made = async_http_client() if self.is_async else http_client()
        self.client = self.client.with_options(http_client=made)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_solves_never_notices(kind: str, stage: Stage) -> None:
    guardrail = stage.guard(document())
    async with Solver(kind, stage.url) as caller:
        for _ in range(6):
            said = await caller.ask()
            assert said == (WHOLE.text, WHOLE.input, WHOLE.output)
            await stage.quiet()
        assert (await caller.stream()).text == WHOLE.text
        await stage.quiet()
        counts = guardrail.counts.read()
        assert (counts["challenges.given"], counts["challenges.solved"]) == (1, 1)
        assert stage.hits == 7 + 2  # one was refused, and there was one answer
        stage.clock.advance(599)
        assert (await caller.ask()).text == WHOLE.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_cannot_gets_an_error_that_it_understands(kind: str, stage: Stage) -> None:
    stage.guard(document())
    denied = (openai.PermissionDeniedError, anthropic.PermissionDeniedError)
    async with Caller(kind, stage.url, retries=2) as caller:
        for _ in range(3):
            await caller.ask()
            await stage.quiet()
        with pytest.raises(denied, match="A challenge must be solved first") as caught:
            await caller.ask()
    assert code(caught.value) == "challenge_required"
    assert stage.hits == 4  # no SDK tries again by itself


@pytest.mark.parametrize("kind", KINDS)
async def test_what_the_rung_says_otherwise_is_for_those_who_cannot(kind: str, stage: Stage) -> None:
    stage.guard(document(otherwise="allow"))
    async with Caller(kind, stage.url) as caller:
        for _ in range(6):
            assert (await caller.ask()).text == WHOLE.text
            await stage.quiet()
    async with Solver(kind, stage.url) as caller:
        assert (await caller.ask()).text == WHOLE.text
        await stage.quiet()
    assert stage.hits == 6 + 3


@pytest.mark.parametrize("fixture", ["redis", "valkey", "cluster", "fakeredis"])
async def test_on_every_store(fixture: str, stage: Stage, guardrail_prefix: str, request: pytest.FixtureRequest) -> None:
    clock = FakeClock()
    url = request.getfixturevalue(f"guardrail_{fixture}").url
    store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
    secrets = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
    guardrail = Guardrail(document(), store=store, clock=clock, environ=secrets)
    stage.app, stage.hits = GuardrailMiddleware(model_server(pace=0), guardrail), 0
    async with Solver("openai async", stage.url) as caller:
        for _ in range(5):
            assert (await caller.ask()).text == WHOLE.text
            await stage.quiet()
    counts = guardrail.counts.read()
    assert (counts["challenges.given"], counts["challenges.solved"]) == (1, 1)
