"""The example server as both SDKs see it, unguarded and guarded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from starlette.testclient import TestClient

from guardrail_mw import GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.cli.demo.hints import KEYS
from guardrail_mw.cli.demo.model import answer
from guardrail_mw.cli.demo.run import policy, wanted
from guardrail_mw.engine import Guardrail
from guardrail_mw.testing.clock import FakeClock

ASKED: Any = [{"role": "user", "content": "Hello"}]
SMALL, LARGE = answer("demo-small", "Hello"), answer("demo-large", "Hello")


@pytest.fixture
def http() -> Iterator[TestClient]:
    with TestClient(model_server(pace=0, welcome="Welcome")) as client:
        yield client


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def guarded(clock: FakeClock) -> Iterator[TestClient]:
    app = GuardrailMiddleware(model_server(pace=0), Guardrail(policy(), clock=clock, environ={}))
    with TestClient(app, client=("127.0.0.1", 40000)) as client:
        yield client


def oai(http: TestClient, key: str = "any") -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url="http://testserver/v1", http_client=http, max_retries=0)


def ant(http: TestClient, key: str = "any") -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url="http://testserver", http_client=http, max_retries=0)


def test_chat_whole_and_streamed(http: TestClient) -> None:
    chat = oai(http).chat.completions.create(model="demo-small", messages=ASKED)
    assert chat.choices[0].message.content == SMALL.text
    assert chat.choices[0].finish_reason == "stop"
    assert chat.usage is not None
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (2, SMALL.output)
    assert chat.usage.total_tokens == 2 + SMALL.output
    chunks = list(
        oai(http).chat.completions.create(
            model="demo-small", messages=ASKED, stream=True, max_tokens=5, stream_options={"include_usage": True}
        )
    )
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices) == "".join(SMALL.pieces[:5])
    assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 7


def test_a_chat_stream_says_no_usage_unless_asked(http: TestClient) -> None:
    chunks = list(oai(http).chat.completions.create(model="demo-small", messages=ASKED, stream=True))
    assert all(each.usage is None and each.choices for each in chunks)


def test_responses_whole_and_streamed(http: TestClient) -> None:
    response = oai(http).responses.create(model="demo-small", input="Hello")
    assert response.output_text == SMALL.text
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (2, SMALL.output)
    with oai(http).responses.stream(model="demo-small", input="Hello") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert deltas == list(SMALL.pieces)
    assert (final.status, final.output_text) == ("completed", SMALL.text)
    *_, last = oai(http).responses.create(model="demo-small", input="Hello", max_output_tokens=4, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.output_text == "".join(SMALL.pieces[:4])


def test_messages_whole_and_streamed(http: TestClient) -> None:
    message = ant(http).messages.create(model="demo-large", max_tokens=500, messages=ASKED)
    assert message.content[0].text == LARGE.text  # type: ignore[union-attr]
    assert (message.usage.input_tokens, message.usage.output_tokens, message.stop_reason) == (2, LARGE.output, "end_turn")
    with ant(http).messages.stream(model="demo-large", max_tokens=6, messages=ASKED) as stream:
        assert list(stream.text_stream) == list(LARGE.pieces[:6])
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens, final.stop_reason) == (2, 6, "max_tokens")


def test_embeddings_and_the_list_of_models(http: TestClient) -> None:
    found = oai(http).embeddings.create(model="demo-small", input=["Hello", "you"], encoding_format="float")
    assert [each.index for each in found.data] == [0, 1]
    assert found.usage.total_tokens == 2 + 1
    assert [each.id for each in oai(http).models.list()] == ["demo-small", "demo-large"]
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/").text == "Welcome"


def test_errors_are_the_sdks_own(http: TestClient) -> None:
    with pytest.raises(openai.NotFoundError, match="There are demo-small and demo-large"):
        oai(http).chat.completions.create(model="gpt", messages=ASKED)
    with pytest.raises(anthropic.NotFoundError, match="There are demo-small and demo-large"):
        ant(http).messages.create(model="claude", max_tokens=1, messages=ASKED)
    for body in (b"[1]", b"{", b"\xff"):
        assert http.post("/v1/chat/completions", content=body).status_code == 400


def test_the_policy_lists_exactly_the_keys_that_are_shown() -> None:
    (source,) = policy().identity.sources
    listed = {item.account: item.sha256 for item in source.with_.keys}
    assert listed == {name: hashlib.sha256(key.encode()).hexdigest() for key, name in KEYS.items()}


@pytest.mark.anyio
async def test_eve_clicks_her_way_through() -> None:
    """As the demo's own words say: an address, a page that asks for consent, one on which nobody looks at a document."""
    guardrail = Guardrail(policy(), clock=FakeClock(), environ={})
    await wanted(guardrail)
    app = GuardrailMiddleware(model_server(pace=0), guardrail)
    headers = {"authorization": "Bearer sk-demo-eve"}
    with TestClient(app, base_url="http://127.0.0.1:8080", client=("127.0.0.1", 40000)) as http:
        refused = http.get("/v1/models", headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "verification_required")
        page, own = refused.json()["error"]["verification_url"], {"sec-fetch-site": "same-origin", "accept": "text/html"}
        assert "nobody at all" in http.get(page, headers=own).text
        assert "outcome" in http.post(page, headers=own, data={"consent": "yes"}).text
        assert http.post(page, headers=own, data={"outcome": "approved"}).status_code == 200
        assert http.get("/v1/models", headers=headers).status_code == 200
        told = http.get("/.guardrail/status", headers=headers).json()["verification"]
        assert (told["verified"], told["ial"]) == (True, "1")


def test_too_fast_is_told_how_long_to_wait(guarded: TestClient, clock: FakeClock) -> None:
    bob = oai(guarded, "sk-demo-bob")
    for _ in range(6):
        bob.embeddings.create(model="demo-small", input="Hello")
    with pytest.raises(openai.RateLimitError, match="Limit: requests") as refused:
        bob.embeddings.create(model="demo-small", input="Hello")
    assert refused.value.response.headers["x-should-retry"] == "true"
    clock.advance(2)  # 30 a minute
    bob.embeddings.create(model="demo-small", input="Hello")


def test_the_days_budget_is_spent_by_what_was_used(guarded: TestClient) -> None:
    """Each costs 2 × $3 + output × $15 a million; one more is refused once less than its reservation is left."""
    cyd = ant(guarded, "sk-demo-cyd")
    each, reserved = 2 * 3 + LARGE.output * 15, 2 * 3 + 128 * 15
    served = iter(range(1000))
    with pytest.raises(anthropic.RateLimitError, match="Limit: spend") as refused:
        [cyd.messages.create(model="demo-large", max_tokens=500, messages=ASKED) for _ in served]
    assert next(served) - 1 == (20_000 - reserved) // each + 1
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_crowd_is_shed_while_accounts_are_served(guarded: TestClient) -> None:
    """Strangers may use 8 of the 20 in the bucket: 60% are kept."""
    codes = [guarded.get("/v1/models", headers={"x-forwarded-for": f"198.18.{n}.1"}).status_code for n in range(12)]
    assert codes == [200] * 8 + [503] * 4
    assert guarded.get("/v1/models", headers={"authorization": "Bearer sk-demo-ada"}).status_code == 200


def test_an_invented_key_is_401(guarded: TestClient) -> None:
    with pytest.raises(openai.AuthenticationError):
        oai(guarded, "sk-invented").models.list()
