"""Trimming: what is left of a body asks for nothing that was to go, and is otherwise the body that came.

Input: the path and the rung's settings on the first line, `/v1/x rewrite=n,stream,64 refuse=batch quiet`, then the body.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from guardrail_mw.asgi.body import BodyBudget, BodyReader
from guardrail_mw.asgi.inspect import parse
from guardrail_mw.asgi.trimming import rewritten, trim
from guardrail_mw.errors import TokenError
from guardrail_mw.friction.trim import Trimmed, Trimmer, TrimSettings

from .base import Target, cut, driven, head, said, within
from .bodies import BROKEN, TwiceError, documents, guessed

LOGPROBS: Final = ("logprobs", "prompt_logprobs", "return_logprob")
ASKED: Final = ("top_logprobs", "top_logprobs_num", "n_probs")
CAPS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict", "min_tokens")
ENDS: Final = CAPS[:-1]
TOUCHED: Final = frozenset({
    *LOGPROBS, *ASKED, *CAPS, "logprob_start_len", "token_ids_logprob", "post_sampling_probs", "n", "best_of", "stream",
    "stream_options", "include", "include_reasoning", "reasoning", "reasoning_effort", "thinking", "context_management",
})  # fmt: skip
"""All that may be another afterwards."""
UNPACKED: Final = ("extra_body", "parameters", "sampling_params")


def settings(line: str) -> tuple[str, TrimSettings] | None:
    """The path and the rung of an input; None where there is no such rung."""
    path, *words = line.split(" ")
    given: dict[str, Any] = {}
    for word in words:
        place, _, names = word.partition("=")
        if place == "quiet":
            given["include_reasoning"] = False
        elif place in {"rewrite", "refuse"}:
            items = names.split(",")
            given[place] = [{"max_tokens": int(each[:9])} if each.isdecimal() and each.isascii() else each for each in items]
    try:
        return path, TrimSettings.model_validate(given)
    except ValidationError:
        return None


def check(data: bytes) -> None:
    """One body, on one rung."""
    line, body = head(data)
    found = settings(line)
    if found is None or not body:
        return
    path, rung = found
    with within(2):
        outcome = edge(body, Trimmer(rung), path)
        document, code = None, ""
        try:
            document = parse(body)
        except TokenError as error:
            code = said(error)
        if document is not None:
            held(document, rung, path, outcome)
        else:
            assert outcome == code or (outcome == (Trimmed(None), b"") and not guessed(body)), "an object goes by unread"


def edge(body: bytes, trimmer: Trimmer, path: str) -> tuple[Trimmed, bytes] | str:
    """What the edge makes of it, the body coming in pieces."""
    sent = cut(body, [len(body) // 3 + 1])
    waiting = [{"type": "http.request", "body": each, "more_body": index + 1 < len(sent)} for index, each in enumerate(sent)]

    async def receive() -> Any:
        return waiting.pop(0)

    budget = BodyBudget(1 << 20)
    reader = BodyReader(receive, 1 << 20, budget)
    try:
        found, text = driven(trim(reader, trimmer, [], path))
    except TokenError as error:
        reader.close()
        assert budget.used == 0
        return said(error)
    if found.body is not None:
        reader.replace(text)
        message = driven(reader.receive())
        assert (message["body"], message["more_body"], reader.size) == (text, False, len(text))
        fields = [(b"content-length", b"9"), (b"x-a", b"1"), (b"transfer-encoding", b"chunked"), (b"content-digest", b"x")]
        assert rewritten({"headers": fields}, len(text))["headers"] == [
            (b"x-a", b"1"),
            (b"content-length", b"%d" % len(text)),
        ]
    reader.close()
    assert budget.used == 0
    return found, text


def held(document: dict[str, Any], rung: TrimSettings, path: str, outcome: tuple[Trimmed, bytes] | str) -> None:
    """What must hold of the outcome, whatever the body."""
    if isinstance(outcome, str):
        assert outcome == "invalid_json", f"refused ({outcome}) what can be read"
        assert "Infinity" in json.dumps(document), "refused what can be written"
        return
    found, text = outcome
    before = copy.deepcopy(document)
    assert Trimmer(rung).trim(document, path) == found
    assert document == before, "the body that came was changed"
    rewriting = {name: cap for name, (refused, cap) in rung.actions().items() if not refused}
    refusing = {name: cap for name, (refused, cap) in rung.actions().items() if refused}
    asked = {name for name, cap in refusing.items() if asks(document, name, cap, path)}
    assert set(found.refused) == asked, "refuses another thing than is asked for"
    if found.refused:
        assert (found.body, found.names, text) == (None, (), b"")
        return
    after = document
    if found.body is not None:
        after = json.loads(text, object_pairs_hook=_pairs)
        assert after == found.body, "what is sent is not what was made"
        assert found.names
        assert set(found.names) <= set(rewriting)
        assert bare(after) == bare(document), "something else was changed"
        again = Trimmer(rung).trim(parse(text), path)
        assert again == Trimmed(None), f"{again.names} once more"
    else:
        assert (found.names, text) == ((), b"")
    for name, cap in rewriting.items():
        assert not asks(after, name, cap, path), f"what goes on still asks for {name}"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise TwiceError
    return dict(pairs)


def wholes(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The request, and those of a batch."""
    requests = document.get("requests")
    batch = [each.get("params") for each in requests if isinstance(each, dict)] if isinstance(requests, list) else []
    return [document, *(each for each in batch if isinstance(each, dict))]


def asks(document: dict[str, Any], name: str, cap: int, path: str) -> bool:
    """Whether an app would find `name` asked for, in any object that a server reads parameters from."""
    requests = wholes(document)
    unpacked = [each[inner] for each in requests for inner in UNPACKED if isinstance(each.get(inner), dict)]
    if any(wants(part, name, cap, path) for part in (*requests, *unpacked)):
        return True
    long = path.rstrip("/").endswith(
        ("/chat/completions", "/responses")
    )  # where an answer is as long as it likes, unless told
    return name == "max_tokens" and long and any(all(each.get(one) is None for one in ENDS) for each in requests)


def wants(part: dict[str, Any], name: str, cap: int, path: str) -> bool:
    """Whether an app would find `name` asked for here."""
    get = part.get
    include = get("include")
    included = include if isinstance(include, list) else []
    match name:
        case "logprobs":
            told = any(get(each) is not None and get(each) is not False for each in LOGPROBS) or any(
                get(each) for each in ASKED
            )
            return told or "message.output_text.logprobs" in included
        case "reasoning":
            thinking, loud = get("thinking"), get("include_reasoning")
            on = thinking is not None and thinking is not False
            on = on and not (isinstance(thinking, dict) and thinking.get("type") == "disabled")
            efforts = [each for each in (get("reasoning"), get("reasoning_effort")) if isinstance(each, dict)]
            summed = any(each.get(key) is not None for each in efforts for key in ("summary", "generate_summary"))
            return on or summed or (loud is not None and loud is not False) or "reasoning.encrypted_content" in included
        case "n":
            return any(more(get(each), 1) for each in ("n", "best_of"))
        case "stream":
            return get("stream") is not None and get("stream") is not False
        case "max_tokens":
            return any(more(get(each), cap) for each in CAPS)
        case _:
            prompts = [each for each in (get("prompt"), get("input")) if isinstance(each, list) and len(each) > 1]
            return path.rstrip("/").endswith("/batches") or any(isinstance(each[0], str | list) for each in prompts)


def more(value: object, most: int) -> bool:
    """Whether a figure may mean more than `most` to some app."""
    if value is None:
        return False
    return isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most


def bare(document: dict[str, Any]) -> Any:
    """A body without all that trimming may touch."""
    left = _bare(document)
    requests = document.get("requests")
    if isinstance(requests, list):
        left["requests"] = [
            {**each, "params": _bare(each["params"])}
            if isinstance(each, dict) and isinstance(each.get("params"), dict)
            else each
            for each in requests
        ]
    return left


def _bare(part: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in part.items() if name not in TOUCHED}
    for name in UNPACKED:
        if isinstance(part.get(name), dict):
            kept[name] = {key: value for key, value in part[name].items() if key not in TOUCHED}
    managed = part.get("context_management")
    if isinstance(managed, dict):
        kept["context_management"] = {key: value for key, value in managed.items() if key != "edits"}
    return kept


RUNGS: Final = (
    "", " rewrite=logprobs,n,reasoning,stream,64", " rewrite=1", " rewrite=2000,reasoning quiet",
    " refuse=logprobs,n,stream,batch,64", " refuse=batch,reasoning rewrite=n,stream,1024", " rewrite=64 refuse=stream",
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Every shape of request on every rung."""
    for path, document in documents():
        for rung in RUNGS:
            yield f"{path}{rung}\n{json.dumps(document, ensure_ascii=False)}".encode()
    for broken in BROKEN:
        yield b"/v1/chat/completions" + RUNGS[1].encode() + b"\n" + broken
    for value in ('"5"', "1.0", "true", "-1", "null", "{}", "[]", "0", '""'):
        names = (
            "n",
            "max_tokens",
            "logprobs",
            "top_logprobs",
            "stream",
            "thinking",
            "include_reasoning",
            "include",
            "prompt",
        )
        for name in names:
            yield f'/v1/chat/completions{RUNGS[1]}\n{{"{name}":{value},"extra_body":{{"{name}":{value}}}}}'.encode()


WORDS: Final = (
    b'"logprobs":', b'"top_logprobs":', b'"prompt_logprobs":', b'"return_logprob":', b'"n":', b'"best_of":', b'"stream":',
    b'"include":[', b'"message.output_text.logprobs"', b'"reasoning.encrypted_content"', b'"include_reasoning":',
    b'"reasoning":{"summary":', b'"reasoning_effort":', b'"thinking":{"type":"enabled"', b'"budget_tokens":',
    b'"max_tokens":', b'"max_new_tokens":', b'"n_predict":', b'"min_tokens":', b'"extra_body":{', b'"parameters":{',
    b'"sampling_params":{', b'"requests":[{"params":{', b'"prompt":["a",', b'"input":[[',
    b'"context_management":{"edits":[', b"null", b"false", b"true", b" quiet", b" rewrite=", b" refuse=", b"/batches",
)  # fmt: skip

TARGET: Final = Target("trim", check, seeds, WORDS, 4096)
