"""What a request will likely use, and what is refused because it could mean two things."""

from __future__ import annotations

import json
import tracemalloc
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.asgi.body import OVERHEAD, BodyBudget, BodyReader, Unread
from guardrail_mw.asgi.inspect import (
    CONTAINERS,
    DEPTH,
    INSPECTED,
    MOST,
    Reserve,
    estimate,
    inspect,
    refuse_encoded,
    should_offload,
)
from guardrail_mw.errors import TokenError
from guardrail_mw.values import Estimate

pytestmark = pytest.mark.anyio

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}  # 5 characters: 2 tokens
PNG = "data:image/png;base64," + "A" * 4000


def likely(model: str, tokens: int, output: int, *, stream: bool = False, items: int = 1) -> Estimate:
    """What a request is likely to use where that is all it may."""
    return Estimate(model, tokens, output, stream, items, output)


def read(document: Any, path: str = "/v1/chat/completions", *, strict: bool = False) -> Estimate:
    """The estimate of a document, with 1024 tokens assumed for outputs and 1500 for media."""
    return estimate(json.dumps(document).encode(), Reserve(1024, 1500), path=path, strict=strict)


def refused(body: bytes) -> TokenError:
    """The refusal of a body."""
    with pytest.raises(TokenError) as caught:
        estimate(body)
    return caught.value


class TestPrompt:
    @pytest.mark.parametrize(
        ("more", "tokens"),
        [
            ({}, 2),
            ({"messages": [{"role": "user", "content": "a" * 400}]}, 100),
            ({"messages": [{"role": "system", "content": "1234"}, {"role": "user", "content": "5678"}]}, 2),
            ({"messages": [{"role": "user", "content": [{"type": "text", "text": "12345678"}]}]}, 2),
            ({"system": "12345678"}, 4),  # 13 characters
            ({"system": [{"type": "text", "text": "12345678", "cache_control": {"type": "ephemeral"}}]}, 4),
            ({"messages": [], "instructions": "1234", "input": [{"role": "user", "content": "5678"}]}, 2),
            ({"messages": [], "prompt": "12345"}, 2),
            ({"messages": [], "prompt": [1, 2, 3, 4, 5]}, 5),
            ({"messages": [{"tool_calls": [{"id": "c" * 40, "function": {"name": "f", "arguments": "123"}}]}]}, 1),
            ({"messages": [{"content": [{"type": "tool_result", "content": [{"type": "text", "text": "1234"}]}]}]}, 1),
            ({"messages": [], "tools": [{"name": "1234", "parameters": {"x": "12"}}]}, 6),  # names too: 4+4+10+1+2 = 21
            ({"messages": [], "metadata": {"user": "x" * 4000}, "user": "y" * 4000, "stop": "z" * 400}, 0),
            ({"messages": [{"role": "user", "content": "\u4e2d" * 8}]}, 2),  # characters, not bytes
            ({"messages": [{"role": "user", "content": None}]}, 0),
        ],
    )
    def test_characters(self, more: dict[str, Any], tokens: int) -> None:
        assert read({**CHAT, **more}).input == tokens

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": PNG}},
            {"image_url": PNG},
            {"type": "input_image", "image_url": PNG},
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
            {"type": "file", "file": {"file_data": PNG}},
            {"type": "input_file", "file_id": "f"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "source": {"type": "url", "url": "https://x/"}},
            {"type": "video_url", "video_url": {"url": "https://x/"}},
        ],
    )
    def test_media_cost_a_flat_figure(self, part: dict[str, Any]) -> None:
        content = [{"type": "text", "text": "12345678"}, part, part]
        assert read({"messages": [{"role": "user", "content": content}]}).input == 2 + 2 * 1500

    def test_a_document_of_text_is_text(self) -> None:
        source = {"type": "text", "media_type": "text/plain", "data": "x" * 40}
        part = {"type": "document", "source": source, "title": "1234"}
        assert read({"messages": [{"role": "user", "content": [part]}]}).input == 11

    def test_the_model_and_the_stream(self) -> None:
        assert read(CHAT) == likely("m", 2, 1024)
        assert read({**CHAT, "model": None, "stream": True}) == likely("", 2, 1024, stream=True)
        assert read({}) == likely("", 0, 1024)
        assert estimate(b"") == Estimate()
        assert read({**CHAT, "max_tokens": 5000}) == Estimate("m", 2, 1024, most=5000)


class TestOutput:
    @pytest.mark.parametrize(
        ("more", "likely", "strict"),
        [
            ({}, 1024, 1024),
            ({"max_tokens": 10}, 10, 10),
            ({"max_tokens": 0}, 0, 0),
            ({"max_tokens": None}, 1024, 1024),
            ({"max_tokens": 100_000}, 1024, 100_000),
            ({"max_tokens": 10, "max_completion_tokens": 20}, 20, 20),
            ({"max_output_tokens": 7}, 7, 7),
            ({"max_tokens": 10, "n": 3}, 30, 30),
            ({"max_tokens": 10, "n": 2, "best_of": 5}, 50, 50),
            ({"max_tokens": 100_000, "n": 128}, 1024 * 128, 12_800_000),
            ({"n": 0}, 1024, 1024),
            ({"max_tokens": 10**17, "n": 10**17}, 1024 * MOST, MOST),
        ],
    )
    def test_caps(self, more: dict[str, Any], likely: int, strict: int) -> None:
        assert read({**CHAT, **more}).output == min(likely, MOST)
        assert read({**CHAT, **more}, strict=True).output == strict

    @pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/embeddings/", "/v1/messages/count_tokens", "/rerank"])
    def test_endpoints_that_generate_nothing(self, path: str) -> None:
        assert read({"model": "m", "input": "12345678"}, path) == likely("m", 2, 0)

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of"])
    @pytest.mark.parametrize("bad", ["-1", "5.0", "1e3", "1e999", '"5"', "true", "[]", "{}", "-0.5"])
    def test_caps_that_are_no_whole_numbers_are_refused(self, name: str, bad: str) -> None:
        error = refused(b'{"%s": %s}' % (name.encode(), bad.encode()))
        assert (error.status, error.code) == (400, "invalid_parameter")
        assert error.public == f"The parameter '{name}' must be a whole number of at least 0."

    @pytest.mark.parametrize("bad", [1, True, [], {}])
    def test_a_model_is_text(self, bad: Any) -> None:
        assert refused(json.dumps({"model": bad}).encode()).code == "invalid_parameter"


class TestBatches:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({"prompt": ["1234", "5678", "9"], "max_tokens": 10}, likely("", 3, 30, items=3)),  # 9 characters
            ({"prompt": ["1234"], "max_tokens": 10}, likely("", 1, 10)),
            ({"prompt": [[1, 2], [3]], "max_tokens": 10, "n": 2}, likely("", 3, 40, items=2)),
            ({"prompt": [1, 2, 3], "max_tokens": 10}, likely("", 3, 10)),
            ({"prompt": [], "max_tokens": 10}, likely("", 0, 10)),
            ({"input": [{"role": "user", "content": "1234"}, {"role": "user", "content": "5678"}]}, likely("", 2, 1024)),
        ],
    )
    def test_prompts_are_items(self, document: dict[str, Any], expected: Estimate) -> None:
        assert read(document, "/v1/completions") == expected

    def test_inputs_of_embeddings_are_items(self) -> None:
        assert read({"model": "m", "input": ["1234"] * 100}, "/v1/embeddings") == likely("m", 100, 0, items=100)

    def test_requests_of_a_message_batch_are_items(self) -> None:
        one = {"custom_id": "a", "params": {**CHAT, "max_tokens": 10}}
        path = "/v1/messages/batches"
        assert read({"requests": [one, one, one]}, path) == likely("m", 6, 30, items=3)
        other = {"params": {**CHAT, "model": "other", "max_tokens": 5}}
        assert read({"requests": [one, other]}, path) == likely("", 4, 15, items=2)
        with pytest.raises(TokenError, match="max_tokens"):
            read({"requests": [one, {"params": {"max_tokens": -1}}]}, path)

    def test_requests_elsewhere_hide_nothing(self) -> None:
        assert read({**CHAT, "requests": [{"params": {}}]}) == read(CHAT)


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b'{"model": "a", "model": "b"}', "duplicate_key"),
            (b'{"model": "a", "mod\\u0065l": "a"}', "duplicate_key"),
            (b'{"messages": [{"content": "a", "content": "b"}]}', "duplicate_key"),
            (b'{"max_tokens": 1, "x": 1, "max_tokens": 9}', "duplicate_key"),
            (b'{"model": "\xff"}', "not_utf8"),
            (b'{"model": "\xed\xa0\x80"}', "not_utf8"),
            (b'{"model": "\xc0\xaf"}', "not_utf8"),
            (b'\xef\xbb\xbf{"model": "a"}', "byte_order_mark"),
            ('{"model": "a"}'.encode("utf-16"), "byte_order_mark"),
            ('{"model": "a"}'.encode("utf-16-le"), "invalid_json"),
            ('{"model": "a"}'.encode("utf-32-be"), "invalid_json"),
            (b"{", "invalid_json"),
            (b"  ", "invalid_json"),
            (b'{"model": "a"} {}', "invalid_json"),
            (b"{'model': 1}", "invalid_json"),
            (b'{"a": NaN}', "invalid_json"),
            (b'{"a": [Infinity]}', "invalid_json"),
            (b'{"a": -Infinity}', "invalid_json"),
            (b'{"max_tokens": ' + b"9" * 5000 + b"}", "invalid_json"),
            (b'{"a": "\n"}', "invalid_json"),
            (b"[]", "not_an_object"),
            (b'"text"', "not_an_object"),
            (b"null", "not_an_object"),
            (b"1", "not_an_object"),
            (b'{"a": "\\ud800"}', "lone_surrogate"),
            (b'{"a": "\\udc00\\ud800"}', "lone_surrogate"),
            (b'{"\\uDFFF": 1}', "lone_surrogate"),
            (b'{"a": ' + b"[" * DEPTH + b"]" * DEPTH + b"}", "too_deep"),
            (b'{"a": ' + b'{"a":' * DEPTH + b"1" + b"}" * DEPTH + b"}", "too_deep"),
            (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep"),
            (b"[" * 200_000, "too_deep"),
        ],
    )
    def test_bodies(self, body: bytes, code: str) -> None:
        error = refused(body)
        assert (error.status, error.code) == (400, code)
        assert error.public.isascii()

    def test_a_body_that_would_blow_up_is_not_parsed(self) -> None:
        assert refused(b'{"a":[' + b"{}," * CONTAINERS + b"1]}").code == "too_complex"
        estimate(b'{"a":[' + b"{}," * (CONTAINERS // 100) + b"1]}")

    def test_what_is_unusual_but_means_one_thing_passes(self) -> None:
        estimate(b'{"a": ' + b"[" * (DEPTH - 1) + b"]" * (DEPTH - 1) + b"}")
        estimate(b'{"a": [' + b"[]," * 500 + b"[]]}")
        estimate(b'{"other": 1, "other": 2}')
        assert estimate(b'{"prompt": "\\ud83d\\ude00\\\\ud800"}').input == 2  # an emoji and six characters
        assert estimate(b' \t\r\n{"prompt": "\\u0000\xf0\x9f\x98\x80"}\n').input == 1

    @pytest.mark.parametrize("key", sorted(INSPECTED))
    def test_every_inspected_key_is_guarded(self, key: str) -> None:
        assert refused(b'{"x": {"%s": null, "%s": null}}' % (key.encode(), key.encode())).code == "duplicate_key"

    @given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0d8netrlsf01-.', max_size=80).map(str.encode))
    def test_any_bytes_are_estimated_or_refused(self, body: bytes) -> None:
        got: Estimate | TokenError
        try:
            got = inspect([], body)
        except TokenError as error:
            got = error
        assert (got.status == 400) if isinstance(got, TokenError) else (got.input >= 0)

    @given(st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(INSPECTED)), inner, max_size=6),
    ))  # fmt: skip
    def test_any_document_is_estimated_or_refused(self, document: Any) -> None:
        try:
            got = read(document)
        except TokenError as error:
            refusal = error.code
        else:
            refusal = ""
            assert 0 <= got.input <= MOST
            assert 0 <= got.output <= MOST
            assert got.items >= 1
        assert refusal in {"", "invalid_parameter", "not_an_object"}


class TestContentTypes:
    MULTIPART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'

    @pytest.mark.parametrize("value", [b"gzip", b"deflate", b"br", b"GZIP", b"identity, gzip", b"x"])
    def test_encoded_bodies_are_refused(self, value: bytes) -> None:
        for look in (refuse_encoded, lambda headers: inspect(headers, b"{}")):
            with pytest.raises(TokenError) as caught:
                look([(b"content-encoding", value)])
            assert (caught.value.status, caught.value.code) == (415, "encoded_body")

    @pytest.mark.parametrize("value", [b"", b"identity", b" Identity "])
    def test_bodies_as_they_are_pass(self, value: bytes) -> None:
        refuse_encoded([(b"content-encoding", value)])

    def test_two_content_types_are_refused(self) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-type", b"multipart/form-data")]
        with pytest.raises(TokenError) as caught:
            inspect(headers, b"{}")
        assert caught.value.code == "content_type_twice"

    def test_multipart_passes_as_one_media_part(self) -> None:
        headers = [(b"content-type", b"multipart/form-data; boundary=b")]
        assert inspect(headers, self.MULTIPART, Reserve(10, 20)) == likely("", 20, 10)
        assert inspect(headers, b"", Reserve(10, 20)) == likely("", 0, 10)

    @pytest.mark.parametrize("declared", [b"multipart/form-data", b"text/plain", b"application/octet-stream", b""])
    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
    )
    def test_what_an_app_could_read_as_an_object_is_inspected(self, declared: bytes, encoding: str) -> None:
        body = (" \n" + json.dumps({"model": "m", "max_tokens": -1})).encode(encoding)
        assert json.loads(body)["max_tokens"] == -1  # as Starlette's Request.json() does
        with pytest.raises(TokenError):
            inspect([(b"content-type", declared)], body)

    @pytest.mark.parametrize("declared", [None, b"application/json", b"Application/JSON; charset=utf-8", b"a/x+json"])
    def test_declared_json_must_be_an_object(self, declared: bytes | None) -> None:
        headers = [] if declared is None else [(b"content-type", declared)]
        assert inspect(headers, b'{"model": "m"}').model == "m"
        with pytest.raises(TokenError):
            inspect(headers, self.MULTIPART)


def test_large_bodies_are_for_a_thread() -> None:
    assert not should_offload(1000)
    assert should_offload(1_000_000)


class Server:
    """A client's messages, then its going away."""

    def __init__(self, *messages: Any) -> None:
        self.messages = [*messages, {"type": "http.disconnect"}]

    async def __call__(self) -> Any:
        return self.messages.pop(0)


def pieces(*parts: bytes) -> list[dict[str, Any]]:
    """A body in pieces."""
    return [{"type": "http.request", "body": part, "more_body": place < len(parts) - 1} for place, part in enumerate(parts)]


class TestBodyReader:
    async def test_what_was_read_is_given_back_untouched(self) -> None:
        messages = pieces(b"he", b"", b"llo")
        budget = BodyBudget(10_000)
        reader = BodyReader(Server(*messages), 100, budget)
        assert await reader.read() == b"hello"
        assert budget.used == 5 + 3 * OVERHEAD
        assert [await reader.receive() for _ in range(3)] == messages
        assert budget.used == 0
        assert await reader.receive() == {"type": "http.disconnect"}
        reader.close()
        assert budget.used == 0

    async def test_one_piece_is_not_copied_and_keys_may_be_left_out(self) -> None:
        body = b"x" * 1000
        reader = BodyReader(Server({"type": "http.request", "body": body}), 1000, BodyBudget(10_000))
        assert await reader.read() is body
        empty = {"type": "http.request"}
        reader = BodyReader(Server(empty), 1000, BodyBudget(10_000))
        assert await reader.read() == b""
        assert await reader.receive() is empty

    @pytest.mark.parametrize("value", [b"101", b"9" * 30])
    async def test_too_long_by_announcement(self, value: bytes) -> None:
        server = Server(*pieces(b"x"))
        reader = BodyReader(server, 100, BodyBudget(10_000), [(b"content-length", value)])
        with pytest.raises(TokenError) as caught:
            await reader.read()
        assert (caught.value.status, caught.value.code) == (413, "body_too_large")
        assert len(server.messages) == 2  # nothing was read
        assert await reader.receive() == pieces(b"x")[0]

    @pytest.mark.parametrize("announced", [b"1", b"100", b"-5", b"x", b"", b"+1", b"\xb2"])
    async def test_too_long_by_count_whatever_was_announced(self, announced: bytes) -> None:
        messages = pieces(b"x" * 60, b"x" * 41, b"y")
        budget = BodyBudget(10_000)
        reader = BodyReader(Server(*messages), 100, budget, [(b"content-length", announced)])
        with pytest.raises(TokenError) as caught:
            await reader.read()
        assert caught.value.status == 413
        assert [await reader.receive() for _ in range(3)] == messages  # in shadow it goes on, uninspected
        reader.close()
        assert budget.used == 0

    async def test_a_short_body_that_was_announced_as_long_as_allowed(self) -> None:
        reader = BodyReader(Server(*pieces(b"x")), 100, BodyBudget(10_000), [(b"content-length", b"100")])
        assert await reader.read() == b"x"

    async def test_over_budget(self) -> None:
        budget = BodyBudget(1000)
        first = BodyReader(Server(*pieces(b"x" * 500)), 600, budget)
        await first.read()
        messages = pieces(b"y" * 50, b"z" * 100)
        second = BodyReader(Server(*messages), 600, budget)
        assert await second.read() is Unread.OVER_BUDGET
        assert budget.used == 500 + OVERHEAD
        assert [await second.receive() for _ in range(2)] == messages
        second.close()
        first.close()
        assert budget.used == 0
        third = BodyReader(Server(*pieces(b"x" * 500)), 600, budget)
        assert await third.read() == b"x" * 500

    async def test_a_client_that_goes_away(self) -> None:
        budget = BodyBudget(10_000)
        reader = BodyReader(Server({"type": "http.request", "body": b"x", "more_body": True}), 100, budget)
        assert await reader.read() is Unread.DISCONNECTED
        assert budget.used == 1 + OVERHEAD
        assert (await reader.receive())["body"] == b"x"
        assert await reader.receive() == {"type": "http.disconnect"}
        reader.close()
        reader.close()
        assert budget.used == 0

    async def test_a_server_that_fails(self) -> None:
        budget = BodyBudget(10_000)
        server = Server({"type": "http.request", "body": b"x", "more_body": True})
        server.messages.pop()
        reader = BodyReader(server, 100, budget)
        with pytest.raises(IndexError):
            await reader.read()
        reader.close()
        assert budget.used == 0

    async def test_a_byte_at_a_time_does_not_hold_more_than_is_counted(self) -> None:
        sent = count(1 << 20)

        async def drip() -> Any:
            return {"type": "http.request", "body": next(sent).to_bytes(3, "big"), "more_body": True}

        budget = BodyBudget(10**9)
        reader = BodyReader(drip, 1_000_000, budget)
        tracemalloc.start()
        try:
            with pytest.raises(TokenError):
                await reader.read()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < budget.used + 200_000
        assert budget.used < 2 * 1_000_000 + 1_100_000
        reader.close()
        assert budget.used == 0
