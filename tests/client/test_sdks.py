"""The official clients, as their documentation has them used, against a server that asks for proof of work."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from guardrail_mw.client import async_http_client, http_client

from .server import MESSAGE, Guarded

pytestmark = pytest.mark.anyio

HELLO: Any = [{"role": "user", "content": "Hello?"}]
ASKED: Any = {"model": "m", "messages": HELLO}


def sync_openai(server: Guarded, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-one", http_client=http_client(**options))


def async_openai(server: Guarded, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="sk-one", http_client=async_http_client(**options))


def met_once(server: Guarded) -> None:
    """One challenge was solved, without a credential, and the very same request sent again."""
    assert len(server.answered) == 1
    assert not {"authorization", "x-api-key", "cookie"} & set(server.answered[0].headers)
    assert server.answered[0].headers["user-agent"] == server.asked[0].headers["user-agent"]
    first, second = server.asked[:2]
    assert server.bodies[0] == server.bodies[1]
    assert dict(first.headers) == dict(second.headers)
    assert first.headers["guardrail-solve"] == "altcha"


def test_openai(server: Guarded) -> None:
    with sync_openai(server) as client:
        assert client.chat.completions.create(**ASKED).choices[0].message.content == "Hello."
        met_once(server)
        client.chat.completions.create(**ASKED)
    assert (len(server.asked), len(server.answered)) == (3, 1)


async def test_openai_async(server: Guarded) -> None:
    async with async_openai(server) as client:
        assert (await client.chat.completions.create(**ASKED)).choices[0].message.content == "Hello."
    met_once(server)


def test_anthropic(server: Guarded) -> None:
    with anthropic.Anthropic(base_url=server.url, api_key="sk-one", http_client=http_client()) as client:
        message = client.messages.create(**ASKED, max_tokens=9)
    assert [part.text for part in message.content if part.type == "text"] == ["Hello."]
    met_once(server)


async def test_anthropic_async(server: Guarded) -> None:
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sk-one", http_client=async_http_client()) as client:
        message = await client.messages.create(**ASKED, max_tokens=9)
    assert [part.text for part in message.content if part.type == "text"] == ["Hello."]
    met_once(server)


def test_a_stream_comes_word_by_word(server: Guarded) -> None:
    """The server says its last word only when the first was heard."""
    with sync_openai(server) as client:
        heard = []
        for chunk in client.chat.completions.create(**ASKED, stream=True):
            heard.append(chunk.choices[0].delta.content)
            server.go.set()
    assert heard == ["Hel", "lo."]
    met_once(server)


async def test_a_stream_comes_word_by_word_async(server: Guarded) -> None:
    async with async_openai(server) as client:
        heard = []
        async for chunk in await client.chat.completions.create(**ASKED, stream=True):
            heard.append(chunk.choices[0].delta.content)
            server.go.set()
    assert heard == ["Hel", "lo."]
    met_once(server)


def test_an_upload_is_sent_again(server: Guarded) -> None:
    with sync_openai(server) as client:
        said = client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF" * 5000))
    met_once(server)
    assert int(said.text) == len(server.bodies[0]) > 20_000


async def test_an_upload_is_sent_again_async(server: Guarded) -> None:
    async with async_openai(server) as client:
        await client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF" * 5000))
    met_once(server)


def refused(error: openai.PermissionDeniedError | anthropic.PermissionDeniedError, **expected: Any) -> None:
    """It is the server's 403 to the letter."""
    assert MESSAGE in str(error)
    assert error.status_code == 403
    assert error.response.headers["x-should-retry"] == "false"
    challenge = json.loads(error.response.content)["error"]["challenge"]
    assert {name: challenge[name] for name in expected} == expected


def test_a_refused_answer_is_the_server_s_403(server: Guarded) -> None:
    server.satisfied = False
    with sync_openai(server) as client, pytest.raises(openai.PermissionDeniedError) as raised:
        client.chat.completions.create(**ASKED)
    refused(raised.value, type="altcha")
    assert raised.value.code == "challenge_required"
    assert (len(server.asked), len(server.answered)) == (1, 1)


async def test_a_refused_answer_is_the_server_s_403_async(server: Guarded) -> None:
    server.satisfied = False
    server.compress = True
    async with async_openai(server) as client:
        with pytest.raises(openai.PermissionDeniedError) as raised:
            await client.chat.completions.create(**ASKED, stream=True)
    refused(raised.value, type="altcha")
    assert raised.value.code == "challenge_required"
    assert (len(server.asked), len(server.answered)) == (1, 1)


async def test_anthropic_s_403(server: Guarded) -> None:
    server.change = lambda challenge: challenge.update(type="turnstile")
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="sk-one", http_client=async_http_client()) as client:
        with pytest.raises(anthropic.PermissionDeniedError, match=MESSAGE) as raised:
            await client.messages.create(**ASKED, max_tokens=9)
    assert raised.value.response.json()["error"]["details"]["challenge"]["type"] == "turnstile"
    assert (len(server.asked), len(server.answered)) == (1, 0)


def test_the_sdks_own_timeouts_hold() -> None:
    """None of ours is in their way: ten minutes for an answer, five seconds to connect."""
    for timeout in (
        openai.OpenAI(api_key="sk-one", http_client=http_client()).timeout,
        anthropic.Anthropic(api_key="sk-one", http_client=http_client()).timeout,
    ):
        assert (timeout.read, timeout.connect) == (600, 5)  # type: ignore[union-attr]
    client = openai.OpenAI(api_key="sk-one", http_client=http_client(timeout=7))
    assert client.timeout.read == 7  # type: ignore[union-attr]
