"""The request that `try` reads."""

from __future__ import annotations

import json

import pytest

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.request import parse


def test_the_shortest() -> None:
    assert parse('{"path": "/v1/models?limit=2"}', "r") == ("GET", "/v1/models", "limit=2", [], b"", "203.0.113.1")


def test_a_body_makes_it_a_post_of_json() -> None:
    request = parse('{"path": "/x", "headers": {"X-Api-Key": "k"}, "body": {"a": 1}}', "r")
    assert request.method == "POST"
    assert request.body == b'{"a": 1}'
    assert request.headers == [(b"x-api-key", b"k"), (b"content-type", b"application/json"), (b"content-length", b"8")]


def test_a_text_is_sent_as_it_stands_and_headers_may_stand_twice() -> None:
    text = json.dumps({"path": "/x", "method": "PUT", "headers": [["A", "1"], ["a", "2"]], "body": "{", "client": "::1"})
    request = parse(text, "r")
    assert request == ("PUT", "/x", "", [(b"a", b"1"), (b"a", b"2"), (b"content-length", b"1")], b"{", "::1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"path":\n', "r:2: is not JSON: Expecting value."),
        ("[]", "r: is not an object."),
        ("{}", "r: path: is missing. Write the path alone, such as /v1/chat/completions."),
        ('{"path": "x"}', "r: path: does not begin with `/`."),
        ('{"path": "/x", "boddy": 1}', "r: boddy: is not a known key. Did you mean `body`?"),
        ('{"path": "/x", "zzz": 1}', "r: zzz: is not a known key. Known here: method, path, headers, body, client."),
        ('{"path": "/x", "method": "get"}', "r: method: is not an HTTP method in capitals."),
        ('{"path": "/x", "headers": "a"}', "r: headers: is neither a map nor a list of pairs."),
        ('{"path": "/x", "headers": {"a": 1}}', "r: headers.a: is not a text. Put it in quotes."),
        ('{"path": "/x", "headers": {"a": "b\\nc"}}', "r: headers.a: holds a character that no header may."),
        ('{"path": "/x", "client": "me"}', "r: client: is not an address."),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(Cannot) as caught:
        parse(text, "r")
    assert caught.value.message.startswith(said)


def test_every_problem_at_once() -> None:
    with pytest.raises(Cannot) as caught:
        parse('{"paht": "/x", "method": 1, "client": 2}', "r")
    assert [line.split(": ")[1] for line in caught.value.message.splitlines()] == ["paht", "path", "method", "client"]
