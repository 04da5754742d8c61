"""The official Python clients against a guarded server over HTTP: they get what they understand.

The server's clock stands still; only the clients' waits are real: told 250 ms, they sleep for 0.35 s at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple, Self

import anthropic
import openai
import pytest

from guardrail_mw.cli.demo.model import answer
from guardrail_mw.engine import Engine
from guardrail_mw.values import Deny

from ..asgi.kit import left, policy  # noqa: TID252 - the kit of the pipeline's tests
from .serving import Stage

pytestmark = pytest.mark.anyio

KEY = "sk-one"
PROMPT = "How do you count?"
WHOLE = answer("demo-small", PROMPT)
KINDS = ["openai", "openai async", "anthropic", "anthropic async"]
QUICK = {"name": "requests", "rate": "4/second", "burst": 1}
TOKENS = {"name": "tokens", "unit": "tokens", "budget": "100000/day"}


class Said(NamedTuple):
    """What a client understood."""

    text: str
    input: int
    output: int


class Caller:
    """One client: the official one, synchronous (in a thread) or asynchronous."""

    def __init__(self, kind: str, url: str, *, retries: int = 0) -> None:
        self.kind = kind
        self.module: Any = openai if kind.startswith("openai") else anthropic
        self.is_async = kind.endswith("async")
        name = ("Async" if self.is_async else "") + ("OpenAI" if self.module is openai else "Anthropic")
        base = f"{url}/v1" if self.module is openai else url
        self.client = getattr(self.module, name)(base_url=base, api_key=KEY, max_retries=retries, timeout=10)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.is_async:
            await self.client.close()
        else:
            self.client.close()

    async def _do(self, call: Any, **arguments: Any) -> Any:
        if self.is_async:
            return await call(**arguments)
        return await asyncio.to_thread(call, **arguments)

    def _asked(self, **more: Any) -> dict[str, Any]:
        asked = {"model": "demo-small", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}
        return {**asked, **more}

    async def ask(self, **more: Any) -> Said:
        """One question, answered whole."""
        if self.module is openai:
            found = await self._do(self.client.chat.completions.create, **self._asked(**more))
            return Said(found.choices[0].message.content, found.usage.prompt_tokens, found.usage.completion_tokens)
        found = await self._do(self.client.messages.create, **self._asked(**more))
        return Said(found.content[0].text, found.usage.input_tokens, found.usage.output_tokens)

    async def stream(self) -> Said:
        """One question, answered as a stream with its usage."""
        if self.module is openai:
            asked = self._asked(stream=True, stream_options={"include_usage": True})
            chunks = await self._listed(await self._do(self.client.chat.completions.create, **asked))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            return Said(text, chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens)
        events = await self._listed(await self._do(self.client.messages.create, **self._asked(stream=True)))
        text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
        (begun,) = [event.message.usage.input_tokens for event in events if event.type == "message_start"]
        (ended,) = [event.usage.output_tokens for event in events if event.type == "message_delta"]
        return Said(text, begun, ended)

    async def _listed(self, stream: Any) -> list[Any]:
        return [each async for each in stream] if self.is_async else await asyncio.to_thread(list, stream)


def code(error: Any) -> str:
    """Our code, where each client finds it."""
    if isinstance(error, openai.OpenAIError):
        return str(error.code)  # type: ignore[attr-defined]
    return str(error.body["error"]["details"]["error_code"])


def decision(error: Any) -> None:
    """The decision's id stands in the header and in the body."""
    found = error.response.headers["x-guardrail-decision"]
    assert len(found) == 24
    assert found in error.response.text


@pytest.mark.parametrize("kind", KINDS)
async def test_success_is_counted(kind: str, stage: Stage) -> None:
    guardrail = stage.guard(policy(TOKENS, {"name": "requests", "budget": "100/day"}))
    async with Caller(kind, stage.url) as caller:
        said = await caller.ask()
    assert said == (WHOLE.text, WHOLE.input, WHOLE.output)
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - WHOLE.input - WHOLE.output, "requests": 99}
    assert stage.hits == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_with_usage_is_counted(kind: str, stage: Stage) -> None:
    guardrail = stage.guard(policy(TOKENS, {"name": "slots", "concurrency": 1}))
    async with Caller(kind, stage.url) as caller:
        for number in (1, 2):
            said = await caller.stream()
            assert said == (WHOLE.text, WHOLE.input, WHOLE.output)
            await stage.quiet()
            assert (await left(guardrail))["tokens"] == 100_000 - number * (WHOLE.input + WHOLE.output)
    await stage.quiet()
    assert (await left(guardrail))["slots"] == 1


async def test_responses_and_embeddings(stage: Stage) -> None:
    guardrail = stage.guard(policy(TOKENS))
    client = openai.AsyncOpenAI(base_url=f"{stage.url}/v1", api_key=KEY, max_retries=0)
    found = await client.responses.create(model="demo-small", input=PROMPT)
    assert found.output_text == WHOLE.text
    assert found.usage is not None
    used = found.usage.total_tokens
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - used}
    async for event in await client.responses.create(model="demo-small", input=PROMPT, stream=True):
        last = event
    assert last.type == "response.completed"
    vectors = await client.embeddings.create(model="demo-small", input=["one", "two"])
    assert len(vectors.data) == 2
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - 2 * used - vectors.usage.total_tokens}
    await client.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_limit_is_their_rate_limit_error_with_our_message(kind: str, stage: Stage) -> None:
    stage.guard(policy({"name": "requests", "rate": "1/minute"}))
    async with Caller(kind, stage.url) as caller:
        await caller.ask()
        with pytest.raises(caller.module.RateLimitError) as caught:
            await caller.ask()
    error = caught.value
    assert error.status_code == 429
    assert "Rate limit reached: requests 1/minute. Limit: requests. Try again in 60 s." in str(error)
    assert code(error) in {"rate_limit_exceeded", "rate_limited"}
    decision(error)
    assert stage.hits == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [QUICK, {**QUICK, "name": "capacity", "per": []}])
async def test_a_client_that_may_retry_waits_as_told_and_succeeds(kind: str, limit: dict[str, Any], stage: Stage) -> None:
    """One admitted, one refused for 250 ms, one after a real wait of at least that, by when the server's clock has moved on."""
    stage.guard(policy(limit))
    at: list[float] = []

    def arriving(number: int) -> None:
        at.append(time.monotonic())
        stage.clock.advance(0.25 if number == 3 else 0)

    stage.arriving = arriving
    async with Caller(kind, stage.url, retries=2) as caller:
        assert (await caller.ask()).text == WHOLE.text
        assert (await caller.ask()).text == WHOLE.text
    assert stage.hits == 3
    assert at[2] - at[1] >= 0.25


@pytest.mark.parametrize("kind", KINDS)
async def test_a_spent_budget_is_not_retried(kind: str, stage: Stage) -> None:
    stage.guard(policy({"name": "month", "budget": "1/month"}))
    async with Caller(kind, stage.url, retries=2) as caller:
        await caller.ask()
        before = stage.hits
        with pytest.raises(
            caller.module.RateLimitError, match=r"Budget used up: requests 1/month\. Limit: month\. Try again at 2"
        ) as caught:
            await caller.ask()
    assert stage.hits == before + 1
    assert code(caught.value) in {"insufficient_quota", "rate_limited"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wait_of_more_than_a_minute_is_not_retried(kind: str, stage: Stage) -> None:
    stage.guard(policy({"name": "requests", "rate": "1/hour"}))
    async with Caller(kind, stage.url, retries=2) as caller:
        await caller.ask()
        with pytest.raises(caller.module.RateLimitError):
            await caller.ask()
    assert stage.hits == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_nobody_knows_is_their_authentication_error(kind: str, stage: Stage) -> None:
    listed = {"use": "api_key", "with": {"trust": "keys", "keys": ["0" * 64]}}
    stage.guard(policy() | {"identity": {"sources": [listed]}})
    async with Caller(kind, stage.url, retries=2) as caller:
        with pytest.raises(caller.module.AuthenticationError, match=r"The API key is not valid\.") as caught:
            await caller.ask()
    decision(caught.value)
    assert stage.hits == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_deny_is_their_permission_error(kind: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    guardrail = stage.guard(policy(TOKENS))
    deny = ("denied", 403, "The request was refused.", ("test",))
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "decide", lambda _, exchange: Deny(exchange.id, *deny))
        async with Caller(kind, stage.url, retries=2) as caller:
            with pytest.raises(caller.module.PermissionDeniedError, match=r"The request was refused\.") as caught:
                await caller.ask()
    decision(caught.value)
    assert code(caught.value) == "denied"
    assert stage.hits == 1
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000}


@pytest.mark.parametrize("kind", KINDS)
async def test_shed_load_is_their_server_error(kind: str, stage: Stage) -> None:
    stage.guard(policy({"name": "capacity", "per": [], "rate": "1/minute"}))
    async with Caller(kind, stage.url) as caller:
        await caller.ask()
        expected = openai.InternalServerError if caller.module is openai else anthropic.OverloadedError
        with pytest.raises(expected, match=r"The server is at capacity\.") as caught:
            await caller.ask()
    assert caught.value.status_code == (503 if caller.module is openai else 529)  # type: ignore[attr-defined]
    decision(caught.value)


@pytest.mark.parametrize("kind", KINDS)
async def test_bad_input_is_their_bad_request_and_not_retried(kind: str, stage: Stage) -> None:
    stage.guard(policy(TOKENS, inspect={"max_body": "1KB"}))
    async with Caller(kind, stage.url, retries=2) as caller:
        with pytest.raises(caller.module.BadRequestError, match="'n' must be a whole number") as caught:
            await caller.ask(extra_body={"n": 1.5})
        assert code(caught.value) == "invalid_parameter"
        with pytest.raises(caller.module.APIStatusError, match="too large") as large:
            await caller.ask(extra_body={"metadata": {"user_id": "x" * 2000}})
        assert large.value.status_code == 413
    assert stage.hits == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_shadow_answers_as_if_it_were_not_there(kind: str, stage: Stage) -> None:
    stage.guard(policy({"name": "requests", "rate": "1/hour"}, TOKENS, mode="shadow"))
    async with Caller(kind, stage.url) as caller:
        for _ in range(3):
            assert (await caller.ask()).text == WHOLE.text
            assert (await caller.stream()).text == WHOLE.text
