"""What only the memory store's drawers do, and what a server's listing does with a great many."""

from __future__ import annotations

import asyncio

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.filing import EACH, Drawers
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

SECOND = 1_000_000
NOW = FakeClock().now()
LATER = NOW + 10 * SECOND


def text(field: str, size: int) -> list[Change]:
    return [Change("set", field, "x" * size)]


def test_what_has_no_room_is_refused_and_nothing_is_forgotten_early() -> None:
    """Two characters of a name, one of a field, and 97 of a text: 600 a record."""
    drawers = Drawers(room=3 * (EACH + 100))
    for name in ("c1", "c2", "c3"):
        drawers.file("cases", name, text("f", 97), LATER, NOW)
    for drawer, name in (("cases", "c4"), ("appeals", "a1")):
        with pytest.raises(StoreError, match="as many records") as caught:
            drawers.file(drawer, name, [], LATER, NOW)
        assert caught.value.detail == "1800 of 1800 characters are taken."
    with pytest.raises(StoreError):
        drawers.file("cases", "c1", text("f", 98), LATER, NOW)
    assert [len((drawers.pull("cases", name, NOW) or {})["f"]) for name in ("c1", "c2", "c3")] == [97, 97, 97]
    assert drawers.listed("cases", 9, "", NOW) == ["c3", "c2", "c1"]
    assert drawers.listed("appeals", 9, "", NOW) == []


def test_what_does_not_grow_is_always_taken() -> None:
    drawers = Drawers(room=EACH + 100)
    drawers.file("cases", "c1", text("f", 97), LATER, NOW)
    assert drawers.file("cases", "c1", [Change("set", "f", "y" * 97)], LATER + 1, NOW) == {"f": "y" * 97}
    assert drawers.file("cases", "c1", [Change("unset", "f")], LATER, NOW) == {}
    drawers.file("cases", "c1", text("other", 93), LATER, NOW)
    with pytest.raises(StoreError):
        drawers.file("cases", "c1", text("other", 94), LATER, NOW)


def test_what_has_ended_or_was_shredded_makes_room() -> None:
    """Whichever way it goes; those of other drawers, too, once a second."""
    drawers = Drawers(room=2 * (EACH + 2))
    drawers.file("cases", "c1", [], LATER, NOW)
    drawers.file("cases", "c2", [], NOW + SECOND, NOW)
    with pytest.raises(StoreError):
        drawers.file("appeals", "a1", [], LATER, NOW)
    drawers.file("appeals", "a1", [], LATER, NOW + SECOND)
    assert drawers.shred("cases", "c1", NOW + SECOND)
    drawers.file("heard", "e1", [], NOW + 2 * SECOND, NOW + SECOND)
    assert drawers.pull("heard", "e1", NOW + 2 * SECOND) is None
    drawers.file("heard", "e2", [], NOW + 3 * SECOND, NOW + 2 * SECOND)
    assert drawers.listed("heard", 9, "", NOW + 3 * SECOND) == []
    drawers.file("heard", "e3", [], LATER, NOW + 3 * SECOND)
    assert drawers.listed("appeals", 9, "", LATER - 1) == ["a1"]
    assert drawers.listed("heard", 9, "", LATER - 1) == ["e3"]


def test_what_was_refused_changes_nothing() -> None:
    drawers = Drawers()
    drawers.file("cases", "c1", [Change("set", "state", "asked")], LATER, NOW)
    with pytest.raises(ValueError, match="invalid literal"):
        drawers.file("cases", "c1", [Change("set", "level", "id"), Change("add", "state", "1")], LATER + 1, NOW)
    assert drawers.pull("cases", "c1", NOW) == {"state": "asked"}
    assert drawers.pull("cases", "c1", LATER) is None


@pytest.mark.anyio
async def test_more_have_ended_than_a_server_forgets_at_once(guardrail_redis: Server, guardrail_prefix: str) -> None:
    """A thousand in a command, so that nobody waits long; listing asks until all are gone."""
    clock = FakeClock()
    store = RedisStore(guardrail_redis.url, deadline=10 * SECOND, prefix=guardrail_prefix, clock=clock)
    await store.file("cases", "first", [], clock.now() + 2 * SECOND)
    await asyncio.gather(*(store.file("cases", f"c{number}", [], clock.now() + SECOND) for number in range(2500)))
    await store.file("cases", "last", [], clock.now() + 2 * SECOND)
    index, ends = (f"{guardrail_prefix}{{f:cases}}{beside}" for beside in ("", ":u"))
    client = guardrail_redis.client()
    assert (client.zcard(index), client.zcard(ends)) == (2502, 2502)
    clock.advance(1)
    await store.file("cases", "first", [], clock.now() + SECOND)
    assert (client.zcard(index), client.zcard(ends)) == (1502, 1502)
    assert await store.listed("cases", 9) == ["last", "first"]
    assert (client.zcard(index), client.zcard(ends)) == (2, 2)
    await store.close()


@pytest.mark.anyio
async def test_a_field_that_is_no_number_is_added_to_nowhere(guardrail_redis: Server, guardrail_prefix: str) -> None:
    """The script fails before it has written anything."""
    store = RedisStore(guardrail_redis.url, deadline=10 * SECOND, prefix=guardrail_prefix, clock=FakeClock())
    await store.file("cases", "c1", [Change("set", "state", "asked")], LATER)
    with pytest.raises(StoreError):
        await store.file("cases", "c1", [Change("set", "level", "id"), Change("add", "state", "1")], LATER)
    assert await store.pull("cases", "c1") == {"state": "asked"}
    await store.close()


@pytest.mark.anyio
async def test_a_drawer_lies_in_one_slot(guardrail_cluster: Server, guardrail_prefix: str) -> None:
    """So that what is filed is listed, whatever fails; drawers lie apart."""
    store = RedisStore(guardrail_cluster.url, deadline=10 * SECOND, prefix=guardrail_prefix, clock=FakeClock())
    for drawer in ("cases", "appeals"):
        for name in ("c1", "{x}"):
            await store.file(drawer, name, [], LATER)
    client = guardrail_cluster.client()
    keys = client.keys(f"{guardrail_prefix}*", target_nodes="all")
    slots = {drawer: {client.keyslot(key) for key in keys if drawer in key} for drawer in (b"cases", b"appeals")}
    assert len(keys) == 8
    assert [len(each) for each in slots.values()] == [1, 1]
    await store.close()
