"""The guarded server as both SDKs see it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from starlette.testclient import TestClient

from guardrail_mw.testing.clock import FakeClock

HERE = Path(__file__).parent
LONG = " ".join(["word"] * 100)
ASKED: Any = [{"role": "user", "content": "one two three"}]


def load(name: str) -> Any:
    """The example's module, whatever else is called `app`."""
    spec = spec_from_file_location(f"{HERE.name}_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.delenv("EXAMPLE_KEYS", raising=False)
    with TestClient(load("app").make_app(clock=FakeClock())) as client:
        yield client


def openai_sdk(http: TestClient, key: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url="http://testserver/v1", http_client=http, max_retries=0)


def anthropic_sdk(http: TestClient, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url="http://testserver", http_client=http, max_retries=0)


def test_both_sdks_are_served(http: TestClient) -> None:
    chat = openai_sdk(http, "sk-example-alice").chat.completions.create(model="shout-1", messages=ASKED)
    assert chat.choices[0].message.content == "ONE TWO THREE"
    client = anthropic_sdk(http, "sk-example-alice")
    message = client.messages.create(model="shout-1", max_tokens=50, messages=ASKED)
    assert message.content[0].text == "ONE TWO THREE"  # type: ignore[union-attr]
    with client.messages.stream(model="shout-1", max_tokens=50, messages=ASKED) as stream:
        assert "".join(stream.text_stream) == "ONE TWO THREE"
        assert stream.get_final_message().usage.output_tokens == 3


def test_a_spent_budget_is_no_reason_to_retry(http: TestClient) -> None:
    bob = anthropic_sdk(http, "sk-example-bob")

    def ask() -> None:
        bob.messages.create(model="shout-1", max_tokens=100, messages=[{"role": "user", "content": LONG}])

    ask()  # proves the key; until then its network pays
    ask()  # 100 words in at $0.001 and 100 out at $0.002: $0.30 of $0.50
    with pytest.raises(anthropic.RateLimitError, match="Budget used up") as refused:
        ask()
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.value.response.headers


def test_keys_that_nobody_proved_share_their_networks_allowance(http: TestClient) -> None:
    for number in range(3):
        with pytest.raises(openai.AuthenticationError):
            openai_sdk(http, f"sk-invented-{number}").chat.completions.create(model="shout-1", messages=ASKED)
    with pytest.raises(openai.RateLimitError) as refused:
        openai_sdk(http, "sk-invented-3").chat.completions.create(model="shout-1", messages=ASKED)
    assert refused.value.body["limit"] == "strangers"  # type: ignore[index]


def test_a_proved_key_is_no_stranger(http: TestClient) -> None:
    alice = openai_sdk(http, "sk-example-alice")
    answers = [alice.chat.completions.create(model="shout-1", messages=ASKED) for _ in range(6)]
    assert [each.choices[0].message.content for each in answers] == ["ONE TWO THREE"] * 6
