"""The guarded server as OpenAI's SDK sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from guardrail_mw.testing.clock import FakeClock

HERE = Path(__file__).parent


def load(name: str) -> Any:
    """The example's module, whatever else is called `app`."""
    spec = spec_from_file_location(f"{HERE.name}_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def http(clock: FakeClock) -> Iterator[TestClient]:
    with TestClient(load("app").make_app(clock=clock)) as client:
        yield client


def sdk(http: TestClient, key: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url="http://testserver/v1", http_client=http, max_retries=0)


def ask(client: openai.OpenAI, text: str = "one two three") -> Any:
    return client.chat.completions.create(model="backwards", messages=[{"role": "user", "content": text}])


def test_six_a_minute_then_a_wait_then_one_more(http: TestClient, clock: FakeClock) -> None:
    alice = sdk(http, "sk-example-alice")
    for _ in range(6):
        assert ask(alice).choices[0].message.content == "three two one"
    with pytest.raises(openai.RateLimitError) as refused:
        ask(alice)
    assert refused.value.code == "rate_limit_exceeded"
    assert 10 <= int(refused.value.response.headers["retry-after"]) <= 13  # 60 s / 6, jittered upwards by a quarter at most
    clock.advance(10)
    assert ask(alice).usage.total_tokens == 6


def test_who_pays_has_another_limit(http: TestClient) -> None:
    bob = sdk(http, "sk-example-bob")
    assert [ask(bob).choices[0].message.content for _ in range(9)] == ["three two one"] * 9


def test_a_stream_costs_what_it_used(http: TestClient) -> None:
    bob = sdk(http, "sk-example-bob")
    stream = bob.chat.completions.create(model="backwards", messages=[{"role": "user", "content": "a b c d"}], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == "d c b a"
    answer = bob.chat.completions.with_raw_response.create(model="backwards", messages=[{"role": "user", "content": "a"}])
    # 1000, less the stream's 4 + 4, less what this one reserves: a quarter of a character's token, and 64.
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(1000 - 8 - 1 - 64)


def test_the_app_charges_what_only_it_knows(http: TestClient) -> None:
    headers = {"authorization": "Bearer sk-example-alice"}
    assert http.post("/v1/search", headers=headers).json()["left_before"]["requests"] == 5
    refused = http.post("/v1/search", headers=headers)  # 1 + 4 of 6 are spent, this one takes the sixth and owes three
    assert refused.status_code == 200
    refused = http.post("/v1/search", headers=headers)
    assert refused.status_code == 429
    assert refused.json()["error"]["limit"] == "requests"


def test_an_invented_key_is_refused_and_health_is_not(http: TestClient) -> None:
    with pytest.raises(openai.AuthenticationError, match="API key is not valid"):
        ask(sdk(http, "sk-example-mallory"))
    assert http.get("/health").json() == {"status": "ok"}
