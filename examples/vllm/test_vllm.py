"""What `vllm serve --middleware guardrail_mw.GuardrailMiddleware` comes to, without vLLM."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from guardrail_mw.clock import SystemClock

POLICY = Path(__file__).with_name("policy.yaml")
ASKED: Any = [{"role": "user", "content": "Hello"}]


def add_as_the_flag_does(app: FastAPI, middleware: str) -> None:
    """By dotted path, and with the app alone."""
    module_path, object_name = middleware.rsplit(".", 1)
    imported: Any = getattr(importlib.import_module(module_path), object_name)
    app.add_middleware(imported)
    assert inspect.isclass(imported), "what is no class the flag adds another way"


async def models(request: Request) -> Any:
    """GET /v1/models."""
    own_key(request)
    return {"object": "list", "data": []}


async def invocations(request: Request) -> Any:
    """POST /invocations: outside /v1 vLLM checks no key."""
    body = await request.json()
    return {"object": "list", "data": [], "model": body["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1}}


async def chat(request: Request) -> Any:
    """POST /v1/chat/completions, as vLLM answers it: a stream's usage only where it is asked for."""
    own_key(request)
    body = await request.json()
    usage = {"prompt_tokens": 10, "total_tokens": 12, "completion_tokens": 2, "prompt_tokens_details": None}
    head = {"id": "chatcmpl-1", "created": 1_767_225_600, "model": body["model"]}
    if body.get("stream"):
        wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        return StreamingResponse(chunks(head, usage if wanted else None), media_type="text/event-stream")
    message: dict[str, Any] = {"role": "assistant", "content": "Hi there", "reasoning_content": None, "tool_calls": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


async def chunks(head: dict[str, Any], usage: dict[str, Any] | None) -> AsyncIterator[str]:
    """A streamed answer of two tokens."""
    head = {**head, "object": "chat.completion.chunk"}
    for delta in ({"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": " there"}, {}):
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        yield f"data: {json.dumps({**head, 'choices': [choice]})}\n\n"
    if usage is not None:
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def own_key(request: Request) -> None:
    """Stands in for vLLM's `--api-key`."""
    if request.headers.get("authorization") != "Bearer sk-secret":
        raise HTTPException(401, "Unauthorized")


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still: with the app alone there is no place for a clock."""
    for reading in ("now", "monotonic"):
        monkeypatch.setattr(SystemClock, reading, lambda _: 1_767_225_600_000_000)


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    monkeypatch.setenv("GUARDRAIL_POLICY", str(POLICY))
    monkeypatch.setenv("GUARDRAIL_MODE", getattr(request, "param", "enforce"))
    monkeypatch.delenv("GUARDRAIL_STORE", raising=False)
    app = FastAPI()
    app.add_api_route("/v1/models", models)
    app.add_api_route("/v1/chat/completions", chat, methods=["POST"])
    app.add_api_route("/invocations", invocations, methods=["POST"])
    add_as_the_flag_does(app, "guardrail_mw.GuardrailMiddleware")
    with TestClient(app) as client:
        yield client


def sdk(http: TestClient, key: str = "sk-secret") -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url="http://testserver/v1", http_client=http, max_retries=0)


def test_the_flag_alone_guards(http: TestClient) -> None:
    chat = sdk(http).chat.completions.with_raw_response.create(model="m", messages=ASKED)
    assert chat.parse().choices[0].message.content == "Hi there"
    assert len(chat.headers["x-guardrail-decision"]) == 24
    assert '"tokens"' in chat.headers["ratelimit"]


def test_invented_keys_use_up_their_networks_allowance(http: TestClient) -> None:
    for number in range(20):
        with pytest.raises(openai.AuthenticationError):
            sdk(http, f"sk-invented-{number}").models.list()
    with pytest.raises(openai.RateLimitError):
        sdk(http, "sk-invented-20").models.list()


def test_what_is_answered_without_a_check_proves_no_key(http: TestClient) -> None:
    headers = {"authorization": "Bearer sk-invented"}
    codes = [http.post("/invocations", headers=headers, json={"model": "m"}).status_code for _ in range(21)]
    assert codes == [200] * 20 + [429]  # still a stranger: 20 a minute


@pytest.mark.parametrize(("options", "used"), [({"include_usage": True}, 12), (None, 2 + 2)], ids=["usage", "no usage"])
def test_a_stream_is_counted_whether_it_says_its_usage_or_not(http: TestClient, options: Any, used: int) -> None:
    client = sdk(http)
    client.chat.completions.create(model="m", messages=ASKED)  # from now on the key is proved
    raw = client.chat.completions.with_raw_response
    before = int(raw.create(model="m", messages=ASKED).headers["x-ratelimit-remaining-tokens"])
    rest = {} if options is None else {"stream_options": options}
    stream = client.chat.completions.create(model="m", messages=ASKED, stream=True, **rest)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hi there"
    after = int(raw.create(model="m", messages=ASKED).headers["x-ratelimit-remaining-tokens"])
    # The whole answer before used 12. A stream that does not say pays "Hello" / 4, rounded up, and its two deltas.
    assert before - after == 12 + used


@pytest.mark.parametrize("http", ["shadow"], indirect=True)
def test_in_shadow_nothing_is_refused(http: TestClient) -> None:
    answers = [http.get("/v1/models", headers={"authorization": f"Bearer sk-{number}"}) for number in range(25)]
    assert {each.status_code for each in answers} == {401}  # the app's own, the twenty-first too
    assert "ratelimit" not in answers[-1].headers
