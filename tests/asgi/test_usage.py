"""What an answer says it used, in every shape, however it is cut."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.asgi.counts import written
from guardrail_mw.asgi.scan import CAPTURED
from guardrail_mw.asgi.sse import HELD
from guardrail_mw.asgi.usage import BLOCK, Meter
from guardrail_mw.values import Estimate, Usage

RESERVED = Estimate("m", 100, 1024)
JSON = [(b"content-type", b"application/json; charset=utf-8")]
STREAM = [(b"Content-Type", b"text/event-stream; charset=utf-8")]


def whole(document: Any, *, path: str = "/v1/chat/completions", headers: Any = None, status: int = 200) -> Usage:
    """The usage of a whole answer."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    meter = Meter(RESERVED, path)
    meter.message({"type": "http.response.start", "status": status, "headers": JSON if headers is None else headers})
    meter.message({"type": "http.response.body", "body": body})
    return meter.usage()


def stream(*chunks: bytes, ended: bool = True) -> Usage:
    """The usage of a stream that came in `chunks`."""
    meter = Meter(RESERVED, "/v1/chat/completions")
    meter.message({"type": "http.response.start", "status": 200, "headers": STREAM})
    for chunk in chunks:
        meter.message({"type": "http.response.body", "body": chunk, "more_body": True})
    if ended:
        meter.message({"type": "http.response.body"})
    return meter.usage()


def events(*payloads: Any) -> bytes:
    """Payloads as a stream, with a type of its own line where they have one."""
    out = b""
    for payload in payloads:
        if isinstance(payload, dict) and "type" in payload:
            out += b"event: " + payload["type"].encode() + b"\n"
        text = payload if isinstance(payload, str) else json.dumps(payload)
        out += b"data: " + text.encode() + b"\n\n"
    return out


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """A chat chunk."""
    delta = {} if content is None else {"content": content}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], **more}  # fmt: skip


OPENAI = {
    "prompt_tokens": 50,
    "completion_tokens": 7,
    "total_tokens": 57,
    "prompt_tokens_details": {"cached_tokens": 30},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
RESPONSES = {
    "input_tokens": 50,
    "input_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 5},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 57,
}
ANTHROPIC = {"input_tokens": 20, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 30, "output_tokens": 7}

MESSAGES = (
    {"type": "message_start", "message": {"id": "msg", "type": "message", "role": "assistant", "content": [],
                                          "usage": {**ANTHROPIC, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "!"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
     "usage": {"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 7}},
    {"type": "message_stop"},
)  # fmt: skip


class TestWhole:
    """Answers in one piece."""

    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            pytest.param(OPENAI, Usage(20, 30, 0, 7), id="chat: cached is part of the prompt, reasoning of the output"),
            pytest.param(RESPONSES, Usage(15, 30, 5, 7), id="responses: cached and written are part of the input"),
            pytest.param(ANTHROPIC, Usage(20, 30, 5, 7), id="messages: cached and written are beside the input"),
            pytest.param({"prompt_tokens": 8, "total_tokens": 8}, Usage(8), id="embeddings have no output"),
            pytest.param({"prompt_tokens": 9, "completion_tokens": 0}, Usage(9), id="an output of nothing is said"),
            pytest.param(
                {
                    "prompt_tokens": 55,
                    "completion_tokens": 7,
                    "cache_read_input_tokens": 30,
                    "cache_creation_input_tokens": 5,
                },
                Usage(20, 30, 5, 7),
                id="a gateway's mixture is inclusive",
            ),
            pytest.param(
                {"prompt_tokens": 50, "completion_tokens": 7, "prompt_cache_hit_tokens": 30, "prompt_cache_miss_tokens": 20},
                Usage(20, 30, 0, 7),
                id="deepseek",
            ),
            pytest.param(
                {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}},
                Usage(0, 10, 0, 1),
                id="no more is cached than was sent",
            ),
            pytest.param({"input_tokens": 14, "output_tokens": 45, "type": "tokens"}, Usage(14, 0, 0, 45), id="transcripts"),
            pytest.param({"type": "duration", "seconds": 9.5}, Usage(seconds=9.5), id="by duration"),
        ],
    )
    def test_shapes(self, usage: dict[str, Any], expected: Usage) -> None:
        assert whole({"id": "x", "choices": [], "usage": usage}) == expected

    @pytest.mark.parametrize("bad", [None, -1, 3.5, "7", 10**12, 10**400, True, [], {}, float("inf"), float("nan")])
    def test_bad_figures_are_passed_over(self, bad: Any) -> None:
        answer = {"choices": [{"message": {"content": "x" * 40}}]}
        assert whole({**answer, "usage": {"prompt_tokens": 5, "completion_tokens": bad}}) == Usage(
            5, output=10, complete=False
        )
        assert whole({**answer, "usage": {"prompt_tokens": bad, "completion_tokens": 3}}) == Usage(
            100, output=3, complete=False
        )
        assert whole({**answer, "usage": bad}) == Usage(100, output=10, complete=False)

    def test_zeros_are_no_report_of_what_was_written(self) -> None:
        answer = {"choices": [{"text": "x" * 40}], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}
        assert whole(answer) == Usage(100, output=10, complete=False)
        meter = Meter(Estimate("m", 0, 1024), "/v1/completions")  # an empty prompt is of no tokens
        meter.start(200, JSON)
        meter.body(json.dumps({**answer, "usage": {"prompt_tokens": 0, "completion_tokens": 9}}).encode(), more=False)
        assert meter.usage() == Usage(output=9)

    def test_what_the_model_writes_is_not_usage(self) -> None:
        fake = '"usage": {"prompt_tokens": 0, "completion_tokens": 0}}'
        answer = {"usage": OPENAI, "choices": [{"message": {"content": fake, "usage": {"completion_tokens": 1}}}]}
        assert whole(answer) == Usage(20, 30, 0, 7)
        del answer["usage"]
        assert whole(answer) == Usage(100, output=-(-len(fake) // 4), complete=False)

    def test_characters_of_every_shape_count_where_nothing_is_said(self) -> None:
        call = {"function": {"name": "f", "arguments": "12345678"}}
        assert whole({"choices": [{"message": {"content": "1234", "tool_calls": [call]}}]}).output == 3
        assert whole({"choices": [{"text": "12345"}]}).output == 2  # 5 / 4, up
        blocks = [{"text": "1234"}, {"type": "thinking", "thinking": "5678"}, {"type": "tool_use", "input": {"a": 1}}]
        assert whole({"type": "message", "content": blocks}).output == 4
        assert whole({"output": [{"type": "message", "content": [{"type": "output_text", "text": "12345678"}]}]}).output == 2

    def test_images_and_seconds(self) -> None:
        images = {"created": 1, "data": [{"b64_json": "A" * 400}, {"url": "https://x/"}]}
        assert whole(images, path="/v1/images/generations") == Usage(100, images=2, complete=False)
        usage = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11, "input_tokens_details": {"text_tokens": 5}}
        assert whole({**images, "usage": usage}, path="/v1/images/edits") == Usage(5, output=6, images=2)
        assert whole({"duration": 8.25, "text": "hi"}, path="/v1/audio/transcriptions") == Usage(seconds=8.25)
        assert whole({"duration": "8.25", "text": "hi"}, path="/v1/audio/transcriptions") == Usage(seconds=8.25)

    @pytest.mark.parametrize("piece", [1, 10, 10**6])
    def test_compressed_answers_are_read(self, piece: int) -> None:
        for pack, name in ((gzip.compress, b"gzip"), (zlib.compress, b"deflate")):
            for document in ({"usage": OPENAI}, {"a": "x" * 500_000, "usage": OPENAI}):
                body = pack(json.dumps(document).encode())
                meter = Meter(RESERVED)
                meter.start(200, [*JSON, (b"content-encoding", name)])
                for at in range(0, len(body), piece):
                    meter.body(body[at : at + piece], more=True)
                    assert sum(map(len, meter._parts)) <= HELD
                meter.body(b"", more=False)
                assert meter.usage() == Usage(20, 30, 0, 7)
        packed = gzip.compress(events(*MESSAGES))
        meter = Meter(RESERVED)
        meter.start(200, [*STREAM, (b"content-encoding", b"gzip")])
        meter.body(packed, more=False)
        assert meter.usage() == Usage(20, 30, 5, 7)

    def test_a_compressed_answer_is_never_held_unpacked(self) -> None:
        packed = gzip.compress(b'{"a":"' + b"x" * 30_000_000 + b'","usage":' + json.dumps(OPENAI).encode() + b"}")
        meter = Meter(RESERVED)
        meter.start(200, [*JSON, (b"content-encoding", b"gzip")])
        tracemalloc.start()
        try:
            meter.body(packed, more=False)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert meter.usage() == Usage(20, 30, 0, 7)
        assert peak < 1_000_000

    @pytest.mark.parametrize("encoding", [b"gzip", b"br", b"zstd"])
    def test_what_cannot_be_unpacked_costs_what_was_reserved(self, encoding: bytes) -> None:
        body = json.dumps({"usage": OPENAI}).encode()
        headers = [*JSON, (b"content-encoding", encoding)]
        assert whole(body, headers=headers) == Usage(100, output=1024, complete=False)
        assert whole(b"\0" * 8000, headers=headers) == Usage(100, output=2000, complete=False)

    @pytest.mark.parametrize("kind", [b"audio/mpeg", b"text/plain", b"application/octet-stream"])
    def test_what_is_not_json_costs_what_was_reserved(self, kind: bytes) -> None:
        assert whole(b'{"usage":{"prompt_tokens":1}}', headers=[(b"content-type", kind)]) == Usage(
            100, output=1024, complete=False
        )

    def test_without_a_content_type_the_first_bytes_tell(self) -> None:
        assert whole({"usage": OPENAI}, headers=[]) == Usage(20, 30, 0, 7)
        assert whole(b" \n" + json.dumps({"usage": OPENAI}).encode(), headers=[]) == Usage(20, 30, 0, 7)
        assert whole(events(chunk("a"), chunk(usage=OPENAI), "[DONE]"), headers=[]) == Usage(20, 30, 0, 7)
        assert whole(b"\x89PNG....", headers=[]) == Usage(100, output=1024, complete=False)
        assert whole(b"", headers=[]) == Usage(100, complete=False)

    def test_asked_early_it_does_not_guess_the_kind(self) -> None:
        meter = Meter(RESERVED)
        meter.start(200, [])
        for piece in (b"da", events(chunk("a"), chunk(usage=OPENAI), "[DONE]")[2:]):
            meter.body(piece, more=True)
            meter.usage()
        assert meter.usage() == Usage(20, 30, 0, 7)

    def test_an_error_used_nothing(self) -> None:
        assert whole({"error": {"message": "no"}}, status=400) == Usage(complete=False)
        assert whole(b"<html>", headers=[(b"content-type", b"text/html")], status=502) == Usage(complete=False)

    def test_no_answer_pays_its_prompt(self) -> None:
        assert Meter(RESERVED).usage() == Usage(100, complete=False)
        assert Meter().usage() == Usage(complete=False)

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[1, 2]", b'"text"', b"nonsense", b'{"usage": {"prompt_tokens": 1', b"\xff\xfe{"]
    )
    def test_broken_documents_do_not_raise(self, body: bytes) -> None:
        assert whole(body).complete is False

    def test_nesting_without_end_does_not_raise(self) -> None:
        deep = b'{"content":' + b'[{"content":' * 900 + b"1" + b"}]" * 900 + b"}"
        assert whole(deep).complete is False
        assert whole(b"[" * 100_000).complete is False
        nested: dict[str, Any] = {}
        for _ in range(5000):  # newer parsers go deeper than Python's own stack
            nested = {"content": [nested]}
        assert written(nested) == []


class TestLong:
    """Answers too long to hold."""

    def embeddings(self, vectors: int) -> bytes:
        data = [{"object": "embedding", "index": index, "embedding": [0.125] * 1536} for index in range(vectors)]
        return json.dumps(
            {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
        ).encode()

    @pytest.mark.parametrize("piece", [1021, 65_536, 10**9])
    def test_usage_is_found_without_holding(self, piece: int) -> None:
        body = self.embeddings(100)
        assert len(body) > 10 * HELD
        meter = Meter(RESERVED, "/v1/embeddings")
        meter.start(200, JSON)
        for at in range(0, len(body), piece):
            meter.body(body[at : at + piece], more=True)
            assert sum(map(len, meter._parts)) <= HELD
        meter.body(b"", more=False)
        assert meter.usage() == Usage(8)

    def test_long_images_are_counted(self) -> None:
        body = {
            "created": 1,
            "data": [{"b64_json": "A" * 100_000, "x": {"y": {}}}, {"b64_json": "A"}],
            "background": {"data": [{}]},
        }
        assert whole(body, path="/v1/images/generations") == Usage(100, images=2, complete=False)

    def test_long_text_without_usage(self) -> None:
        text = {"choices": [{"message": {"content": 'say \\ "hi" ' * 10_000}}]}
        got = whole(text).output
        assert 27_500 <= got <= 40_100  # 110,000 characters, 160,000 bytes as written

    def test_long_transcripts(self) -> None:
        body = {"task": "transcribe", "language": "english", "duration": 3600.5, "text": "a" * HELD, "words": []}
        assert whole(body, path="/v1/audio/transcriptions").seconds == 3600.5

    @pytest.mark.parametrize(
        "document",
        [
            {"a": "x" * HELD, "tools": [{"usage": {"prompt_tokens": 1, "completion_tokens": 1}}], "usage": OPENAI},
            {"metadata": {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}, "a": "\\" * HELD, "usage": OPENAI},
            {"usage": OPENAI, "a": '{"usage":{"prompt_tokens":1,"completion_tokens":1}}' * 2000},
            {"a": ["x" * HELD, "usage"], "usage": OPENAI, "b": {"usage": {"completion_tokens": 9}}},
        ],
    )
    def test_only_the_servers_own_usage_counts(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        assert len(body) > HELD
        assert whole(body) == Usage(20, 30, 0, 7)

    def test_a_usage_object_without_end_is_left_out(self) -> None:
        usage = {"x": "y" * CAPTURED, **OPENAI}
        assert whole({"a": "x" * HELD, "usage": usage}).complete is False


class TestStreams:
    """Answers in events."""

    @pytest.mark.parametrize(
        ("payloads", "expected"),
        [
            pytest.param([chunk("a", usage=None), chunk("b", "stop"), {"choices": [], "usage": OPENAI}, "[DONE]"],
                         Usage(20, 30, 0, 7), id="last chunk without choices"),
            pytest.param([chunk("a"), chunk("b", usage=OPENAI), "[DONE]"], Usage(20, 30, 0, 7), id="beside choices"),
            pytest.param([chunk("a"), chunk(None, "stop", usage=OPENAI)], Usage(20, 30, 0, 7), id="in the finish chunk"),
            pytest.param([chunk("a", usage={"prompt_tokens": 50, "completion_tokens": 1}), chunk("b", "stop", usage=OPENAI)],
                         Usage(20, 30, 0, 7), id="in every chunk, the last wins"),
            pytest.param([{"type": "response.created", "response": {"usage": None}},
                          {"type": "response.output_text.delta", "delta": "Hello"},
                          {"type": "response.completed", "response": {"output": [], "usage": RESPONSES}}],
                         Usage(15, 30, 5, 7), id="response.completed"),
            pytest.param([{"type": "response.failed", "response": {"usage": RESPONSES}}], Usage(15, 30, 5, 7), id="failed"),
            pytest.param(MESSAGES, Usage(20, 30, 5, 7), id="messages: the last that is not null"),
            pytest.param([{"object": "text_completion", "choices": [{"text": "a"}]},
                          {"object": "text_completion", "choices": [], "usage": OPENAI}, "[DONE]"],
                         Usage(20, 30, 0, 7), id="completions"),
            pytest.param([{"type": "image_generation.completed", "b64_json": "A",
                           "usage": {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}}],
                         Usage(5, output=6, images=1), id="an image"),
            pytest.param([{"type": "transcript.text.delta", "delta": "a"},
                          {"type": "transcript.text.done", "text": "a", "usage": {"type": "tokens", "input_tokens": 5,
                                                                               "output_tokens": 6, "total_tokens": 11}}],
                         Usage(5, output=6), id="a transcript"),
        ],
    )  # fmt: skip
    def test_where_usage_comes(self, payloads: list[Any], expected: Usage) -> None:
        assert stream(events(*payloads)) == expected

    def test_never_counts_events_or_characters(self) -> None:
        assert stream(events(*[chunk("a")] * 9, "[DONE]")) == Usage(100, output=9, complete=False)
        assert stream(events(*[chunk("a" * 10)] * 9, "[DONE]")) == Usage(100, output=23, complete=False)  # 90 / 4, up
        assert stream(events(chunk(""), chunk(None, "stop"), "[DONE]")) == Usage(100, complete=False)

    def test_zeros_are_no_report_of_what_was_seen(self) -> None:
        none = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        texts = [{"object": "text_completion", "choices": [{"text": text}], "usage": none} for text in ("Moc", "ks ", "are")]
        last = {"object": "text_completion", "choices": [{"finish_reason": "stop"}], "usage": none}
        assert stream(events(*texts, last, "[DONE]")) == Usage(100, output=3, complete=False)
        assert stream(events(*texts, {**last, "usage": OPENAI}, "[DONE]")) == Usage(20, 30, 0, 7)
        assert stream(events(last, "[DONE]")) == Usage()  # nothing was seen: it may well be true
        for zero, expected in (("prompt_tokens", Usage(100, output=9, complete=False)),
                               ("completion_tokens", Usage(9, output=3, complete=False))):  # fmt: skip
            said = {**last, "usage": {"prompt_tokens": 9, "completion_tokens": 9, zero: 0}}
            assert stream(events(*texts, said, "[DONE]")) == expected
        cached = {"prompt_tokens": 30, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 30}}
        assert stream(events(*texts, {**last, "usage": cached}, "[DONE]")) == Usage(0, 30, 0, 7)

    def test_every_kind_of_delta_counts(self) -> None:
        call = chunk()
        call["choices"][0]["delta"] = {
            "tool_calls": [{"index": 0, "function": {"arguments": "1234"}}],
            "reasoning_content": "5678",
        }
        assert stream(events(call)).output == 2
        assert (
            stream(
                events({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "12345"}})
            ).output
            == 2
        )
        assert (
            stream(events({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "12345"}})).output
            == 2
        )
        assert (
            stream(
                events({"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "12345"}})
            ).output
            == 0
        )
        assert stream(events({"type": "response.function_call_arguments.delta", "delta": "12345"})).output == 2
        assert stream(events({"type": "response.audio.delta", "delta": "A" * 4000})).output == 1
        assert stream(events({"choices": [{"delta": {"content": "1234"}}, {"delta": {"content": "5678"}}]})).output == 2

    def test_characters_are_characters(self) -> None:
        content = "\u00e9\u4e2d\U0001f600\n" * 10
        assert stream(events(chunk(content))).output == 10
        raw = b"data: " + json.dumps(chunk(content), ensure_ascii=False).encode() + b"\n\n"
        assert stream(raw).output == 10

    def test_a_hang_up_pays_the_larger_of_what_was_said_and_seen(self) -> None:
        assert stream(events(*MESSAGES[:4]), ended=False) == Usage(20, 30, 5, 2, complete=False)  # "Hello" is 5 characters
        assert stream(events(*MESSAGES[:2]), ended=False) == Usage(20, 30, 5, 1, complete=False)
        said = chunk("a", usage={"prompt_tokens": 50, "completion_tokens": 6})
        assert stream(events(said, chunk("b")), ended=False) == Usage(50, output=6, complete=False)
        assert stream(events(*MESSAGES[:-1]), ended=False) == Usage(20, 30, 5, 7)
        assert stream(events(*MESSAGES)[:-40], ended=False) == Usage(20, 30, 5, 7)

    def test_an_error_in_mid_stream_is_not_the_end_of_the_message(self) -> None:
        broken = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
        assert stream(events(*MESSAGES[:5], broken)) == Usage(20, 30, 5, 2, complete=False)

    def test_what_the_model_writes_is_not_usage(self) -> None:
        fake = (
            '\n\ndata: {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}\n\ndata: [DONE]\n\n"usage":{'
        )
        assert stream(events(chunk(fake), {"choices": [], "usage": OPENAI}, "[DONE]")) == Usage(20, 30, 0, 7)
        assert stream(events(chunk(fake), "[DONE]")) == Usage(100, output=-(-len(fake) // 4), complete=False)

    def test_usage_is_seen_in_an_event_as_long_as_the_one_before(self) -> None:
        usage = {"prompt_tokens": 5, "completion_tokens": 6}
        plain = chunk("a", usage=None, pad="x" * (len(json.dumps(usage)) - len("null")))
        said = chunk("b", usage=usage, pad="")
        assert len(events(plain)) == len(events(said))
        assert stream(events(plain, plain, said)) == Usage(5, output=6)

    def test_an_echoed_schema_is_not_usage(self) -> None:
        tools = [{"parameters": {"properties": {"usage": {"input_tokens": 0, "output_tokens": 0}}}}]
        for pad in ("", "x" * 2 * HELD):
            response = {"instructions": pad, "tools": tools, "usage": RESPONSES}
            assert stream(events({"type": "response.completed", "response": response})) == Usage(15, 30, 5, 7)
            response = {"usage": RESPONSES, "instructions": pad, "tools": tools}
            assert stream(events({"type": "response.completed", "response": response})) == Usage(15, 30, 5, 7)

    @pytest.mark.parametrize("piece", [1, 7, 1000, BLOCK + 1])
    def test_an_event_without_end_is_not_held(self, piece: int) -> None:
        long = events({"type": "response.completed", "response": {"output": "x" * 3 * HELD, "usage": RESPONSES}})
        body = events(chunk("a")) + long + events(chunk("b"))
        piece = max(piece, len(body) // 20_000)
        meter = Meter(RESERVED)
        meter.start(200, STREAM)
        for at in range(0, len(body), piece):
            meter.body(body[at : at + piece], more=True)
            assert meter._events is not None
            assert len(meter._events._rest) <= HELD
        assert meter.usage() == Usage(15, 30, 5, 7)
        assert meter._deltas == 2

    @pytest.mark.parametrize("ended", [True, False])
    def test_an_event_without_end_says_what_it_said(self, ended: bool) -> None:
        long = events({"type": "response.completed", "response": {"usage": RESPONSES, "output": "x" * 3 * HELD}})[:-2]
        got = stream(long[:HELD], long[HELD:], ended=ended)
        assert got == (Usage(15, 30, 5, 7) if ended else Usage(100, complete=False))

    def test_a_mark_cut_in_two(self) -> None:
        body = b"\xef\xbb\xbf" + events({"choices": [], "usage": OPENAI})
        meter = Meter(RESERVED)
        meter.start(200, STREAM)
        for at in range(len(body)):
            meter.body(body[at : at + 1], more=True)
            meter.usage()
        assert meter.usage() == Usage(20, 30, 0, 7)

    @pytest.mark.parametrize(
        "text",
        [
            b': comment\n\ndata: {"choices":[],\ndata: "usage":%s}\n\n',
            b'\xef\xbb\xbfid: 1\ndata:{"choices":[],"usage":%s}\n\n',
            b'retry: 5\r\ndata: {"choices":[],"usage":%s}\r\n\r\n',
            b'data: {"choices":[],"usage":%s}\r\r',
            b'data\ndata: {"choices":[],"usage":%s}\n',
            b'database: x\ndata: {"choices":[],"usage" : \t%s}',
        ],
    )
    def test_events_as_the_standard_has_them(self, text: bytes) -> None:
        assert stream(text % json.dumps(OPENAI).encode()) == Usage(20, 30, 0, 7)

    @pytest.mark.parametrize(
        "text", [b"data: [DONE]\n\n", b"data: {\n\n", b"data: []\n\n", b"data\n\n", b"\n\n\n\n", b"x", b"\0", b"data: 1\n\n"]
    )
    def test_nonsense_does_not_raise(self, text: bytes) -> None:
        assert stream(text) == Usage(100, complete=False)

    @given(
        st.sampled_from(["\n", "\r\n", "\r"]),
        st.lists(st.integers(0, 3000), max_size=12),
        st.sampled_from(["chat", "messages"]),
    )
    def test_however_it_is_cut(self, ending: str, cuts: list[int], shape: str) -> None:
        chat = [chunk("a"), chunk("\n\u00e9"), chunk("b", usage=None), {"choices": [], "usage": OPENAI}, "[DONE]"]
        body = b"\xef\xbb\xbf: hi\n\n" + events(*(chat if shape == "chat" else MESSAGES))
        body = body.replace(b"\n", ending.encode())
        places = sorted(min(cut, len(body)) for cut in cuts)
        pieces = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
        meter = Meter(RESERVED)
        meter.start(200, STREAM)
        for piece in pieces:
            meter.body(piece, more=True)
            meter.usage()  # asked at any time, it changes nothing
        meter.body(b"", more=False)
        assert meter.usage() == (Usage(20, 30, 0, 7) if shape == "chat" else Usage(20, 30, 5, 7))
        assert meter._deltas == (3 if shape == "chat" else 2)

    @given(st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 120), max_size=12))
    def test_data_of_several_lines_however_it_is_cut(self, ending: str, cuts: list[int]) -> None:
        body = b'data: {"choices": [],\ndata: "usage": {"prompt_tokens": 5,\ndata: "completion_tokens": 6}}\n\n'
        body = body.replace(b"\n", ending.encode())
        places = sorted(min(cut, len(body)) for cut in cuts)
        meter = Meter(RESERVED)
        meter.start(200, STREAM)
        for start, end in zip([0, *places], [*places, len(body)], strict=True):
            meter.body(body[start:end], more=True)
            meter.usage()
        assert meter.usage() == Usage(5, output=6)

    @given(st.lists(st.text(min_size=1, max_size=12), max_size=30), st.booleans(), st.integers(1, 400))
    def test_the_short_way_counts_as_the_long_one_does(self, contents: list[str], ascii_only: bool, piece: int) -> None:
        body = b"".join(
            b"data: " + json.dumps(chunk(content), ensure_ascii=ascii_only).encode() + b"\n\n" for content in contents
        )
        got = stream(*(body[at : at + piece] for at in range(0, len(body), piece)))
        assert got.output == max(len(contents), -(-sum(map(len, contents)) // 4))

    @given(st.lists(st.binary(max_size=200), max_size=8), st.sampled_from([JSON, STREAM, []]))
    def test_no_bytes_raise(self, pieces: list[bytes], headers: list[tuple[bytes, bytes]]) -> None:
        meter = Meter(RESERVED)
        meter.start(200, headers)
        for piece in pieces:
            meter.body(piece, more=True)
        assert isinstance(meter.usage(), Usage)


def test_a_message_goes_by_unchanged() -> None:
    meter = Meter(RESERVED)
    messages: list[dict[str, Any]] = [
        {"type": "http.response.start", "status": 200, "headers": STREAM},
        {"type": "http.response.body", "body": events(chunk("a")), "more_body": True},
        {"type": "http.response.trailers", "headers": []},
        {"type": "http.response.body"},
    ]
    before = [dict(message) for message in messages]
    for message in messages:
        meter.message(message)
    assert messages == before
    assert (meter.status, meter.ended) == (200, True)
