"""Streams cut into events."""

from __future__ import annotations

import pytest

from guardrail_mw.asgi.sse import HELD, Events, payload

LONG = b'data: {"usage":{"x":1},"a":"' + b"y" * 2 * HELD + b'"}'


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("cut", range(-8, 9))
def test_a_long_event_ends_wherever_it_is_cut(ending: bytes, cut: int) -> None:
    body = LONG + ending * 2 + b"data: next" + ending * 2
    events = Events()
    place = len(LONG) + cut
    found = [
        event
        for start, end in ((0, HELD + 100), (HELD + 100, place), (place, len(body)))
        for event in events.feed(body[start:end])
    ]
    assert [payload(event) for event in found if event] == [b"next"]
    assert [scanner.usage for scanner in events.scanned] == [[b'{"x":1}']]


def test_long_events_one_after_the_other() -> None:
    events = Events()
    body = (LONG + b"\n\n") * 3 + b"data: next\n\n"
    found = [event for at in range(0, len(body), 10_007) for event in events.feed(body[at : at + 10_007])]
    assert [payload(event) for event in found if event] == [b"next"]
    assert len(events.scanned) == 3


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: a", b"a"),
        (b"data:a", b"a"),
        (b"data:  a", b" a"),
        (b"data", b""),
        (b"data:", b""),
        (b"data: a\ndata: b", b"a\nb"),
        (b"event: x\ndata: a\nid: 1", b"a"),
        (b": data: a", b""),
        (b"database: a", b""),
        (b" data: a", b""),
        (b"event: data", b""),
    ],
)
def test_payloads(event: bytes, data: bytes) -> None:
    assert payload(event) == data
