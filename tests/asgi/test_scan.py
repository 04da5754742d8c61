"""The scanner of documents that are too long to hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.asgi.scan import CAPTURED, Scanner


def scanned(text: bytes, *cuts: int) -> Scanner:
    """A document, fed in pieces."""
    scanner = Scanner()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        scanner.feed(text[start:end])
    return scanner


@given(st.data())
def test_the_scanner_agrees_with_the_parser_wherever_it_is_cut(data: st.DataObject) -> None:
    leaf = st.one_of(st.none(), st.integers(), st.text(max_size=8), st.sampled_from(['"usage":{', "\\", '\\"', "usage"]))
    keys = st.one_of(st.text(max_size=5), st.sampled_from(["usage", "response", "message", "data"]))
    tree = st.recursive(leaf, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)))
    document = data.draw(st.dictionaries(keys, tree, max_size=5))
    text = json.dumps(document, ensure_ascii=data.draw(st.booleans()), indent=data.draw(st.sampled_from([None, 1]))).encode()
    expected = [
        found["usage"]
        for key, found in [
            ("", document),
            *((key, value) for key, value in document.items() if key in ("response", "message")),
        ]
        if isinstance(found, dict) and isinstance(found.get("usage"), dict)
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    scanner = Scanner()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        scanner.feed(text[start:end])
    found = [json.loads(usage) for usage in scanner.usage]
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


@pytest.mark.parametrize("cut", range(40))
def test_a_short_document_cut_anywhere(cut: int) -> None:
    text = b'{"a\\"\\\\":"\\\\\\"","usage":{"x":[{"y":"}"}]}}'
    assert json.loads(text) == {'a"\\': '\\"', "usage": {"x": [{"y": "}"}]}}
    assert scanned(text, min(cut, len(text))).usage == [b'{"x":[{"y":"}"}]}']


def test_figures_by_hand() -> None:
    scanner = scanned(b'{"data":[{"b64_json":"abcd"},{"url":"efg","z":{"q":{}}}],"other":[{}],"n":{"data":[{}]}}')
    assert scanner.items == 2
    assert scanner.strings == len("datab64_jsonabcdurlefgzqotherndata")


def test_a_usage_object_is_held_up_to_its_bound() -> None:
    fits = b'{"x":"' + b"y" * (CAPTURED - 8) + b'"}'
    assert len(fits) == CAPTURED
    assert scanned(b'{"usage":' + fits + b"}", 100).usage == [fits]
    longer = fits[:6] + b"z" + fits[6:]
    assert scanned(b'{"usage":' + longer + b"}", 100).usage == []
    assert scanned(b'{"usage":' + longer + b"}").usage == []


@given(st.binary(max_size=300), st.integers(0, 300))
def test_no_bytes_raise(text: bytes, cut: int) -> None:
    scanned(text, min(cut, len(text)))
