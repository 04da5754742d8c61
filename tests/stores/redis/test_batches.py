"""Lanes: shared pipelines, deadlines, replays, lost connections."""

from __future__ import annotations

import asyncio
from hashlib import sha1
from time import monotonic
from typing import Any

import pytest

from guardrail_mw.errors import StoreError, StoreTimeout
from guardrail_mw.stores.redis import codec, pool
from guardrail_mw.stores.redis.batches import BATCH, ERRANDS, Lane
from guardrail_mw.stores.redis.pool import PIPES, READ_ON
from guardrail_mw.testing.servers import Server

from .transport import LONG, Counts, Plain, Start, Told, batches, call, lane, ours, until

pytestmark = pytest.mark.anyio

SCRIPT = b"return ARGV[1]"
SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest()


async def echo(way: Lane, word: str) -> object:
    each = call("ECHO", word)
    way.submit(each)
    return await each.future


async def test_calls_of_one_tick_travel_together_and_each_gets_its_own_answer(guardrail_redis: Server) -> None:
    async with lane(guardrail_redis.url) as way:
        await way.opened(5)
        with batches() as sent:
            calls = [call("ECHO", str(number)) for number in range(BATCH)]
            for each in calls:
                way.submit(each)
            answers = await asyncio.gather(*[each.future for each in calls])
    assert answers == [str(number).encode() for number in range(BATCH)]
    assert sent == [calls]


async def test_at_most_four_connections_and_thirty_two_charges_in_a_batch(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    async with lane(server.url) as way:
        await way.opened(5)
        with batches() as sent:

            async def caller(number: int) -> None:
                for turn in range(20):
                    each = call("ECHO", f"{number}/{turn}")
                    way.submit(each)
                    assert await each.future == f"{number}/{turn}".encode()

            await asyncio.gather(*[caller(number) for number in range(300)])
            assert len(ours(server)) == PIPES
    assert sum(map(len, sent)) == 300 * 20
    assert max(map(len, sent)) == BATCH


async def test_one_commands_error_is_that_commands(guardrail_redis: Server, guardrail_prefix: str) -> None:
    async with lane(guardrail_redis.url) as way:
        calls = [
            call("SET", guardrail_prefix, "text"),
            call("LPUSH", guardrail_prefix, "wrong"),
            call("NOCOMMAND"),
            call("GET", guardrail_prefix),
        ]
        for each in calls:
            way.submit(each)
        answers = await asyncio.gather(*[each.future for each in calls], return_exceptions=True)
    assert answers[0] == b"OK"
    assert isinstance(answers[1], StoreError)
    assert "WRONGTYPE" in answers[1].detail
    assert isinstance(answers[2], StoreError)
    assert answers[3] == b"text"


async def test_who_is_cancelled_before_the_batch_leaves_is_not_sent(guardrail_redis: Server) -> None:
    async with lane(guardrail_redis.url) as way:
        await way.opened(5)
        with batches() as sent:
            gone, stays = call("ECHO", "gone"), call("ECHO", "stays")
            way.submit(gone)
            way.submit(stays)
            gone.future.cancel()
            assert await stays.future == b"stays"
    assert sent == [[stays]]
    assert gone.ends == ["dropped"]


async def test_a_late_waiter_is_told_and_its_answer_still_read(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts, deadline=0.02) as way:
        await way.opened(5)
        server.freeze()
        late = call("ECHO", "late", deadline=0.02)
        begun = monotonic()
        way.submit(late)
        with pytest.raises(StoreTimeout):
            await late.future
        assert monotonic() - begun < READ_ON
        assert late.ends == []
        server.thaw()
        await until(lambda: late.ends == [b"late"])
        again = call("ECHO", "again")
        way.submit(again, patient=True)
        assert await again.future == b"again"
    assert counts.of == {"store.timeout": 1}


async def test_with_every_connection_overdue_nobody_waits(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts, deadline=0.02) as way:
        await way.opened(5)
        server.freeze()
        begun = monotonic()
        refused = 0
        for _ in range(3 * PIPES):
            each = call("ECHO", "x", deadline=0.02)
            try:
                way.submit(each)
            except StoreTimeout:
                refused += 1
                continue
            with pytest.raises(StoreTimeout):
                await each.future
        # The first fills the connection there is, the second waits for one that cannot be made: then both are overdue.
        assert monotonic() - begun < READ_ON / 2
        assert refused == 3 * PIPES - 2
        assert counts.of["store.overdue"] == refused
        server.thaw()
        await until(lambda: len(way._idle) == 2)
        after = call("ECHO", "after")
        way.submit(after, patient=True)
        assert await after.future == b"after"


async def test_a_batch_is_read_on_for_a_second_then_its_connection_goes(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts, deadline=0.02) as way:
        await way.opened(5)
        server.freeze()
        calls = [call("ECHO", "x", deadline=0.02) for _ in range(3)]
        begun = monotonic()
        for each in calls:
            way.submit(each)
        await asyncio.gather(*[each.future for each in calls], return_exceptions=True)
        await until(lambda: all(each.ends for each in calls))
        assert READ_ON <= monotonic() - begun < READ_ON + 1
        assert [each.ends for each in calls] == [["lost"]] * 3
        assert counts.of["store.lost_charges"] == 3
        server.thaw()
        await until(lambda: not way._pool._dialling)
        again = call("ECHO", "again")
        way.submit(again, patient=True)
        assert await again.future == b"again"


async def test_a_batch_is_not_given_up_while_its_waiters_may_wait(
    guardrail_start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "READ_ON", 0.05)
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts, deadline=LONG) as way:
        await way.opened(5)
        server.freeze()
        slow = call("ECHO", "slow")
        way.submit(slow)
        begun = monotonic()
        await until(lambda: monotonic() >= begun + 0.2)
        way._tick()
        server.thaw()
        assert await slow.future == b"slow"
    assert not counts.of


async def test_scripts_that_the_server_forgot_are_loaded_and_the_calls_replayed(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts, scripts=[SCRIPT]) as way:
        await way.opened(5)
        server.client().script_flush()
        calls = [call("EVALSHA", SHA, "0", str(number)) for number in range(100)]
        for each in calls:
            way.submit(each)
        answers = await asyncio.gather(*[each.future for each in calls])
    assert answers == [str(number).encode() for number in range(100)]
    assert [each.ends for each in calls] == [[str(number).encode()] for number in range(100)]
    assert 1 <= counts.of["store.noscript"] <= 200


async def test_a_script_that_nobody_has_is_an_error(guardrail_redis: Server) -> None:
    async with lane(guardrail_redis.url, scripts=[SCRIPT]) as way:
        unknown = call("EVALSHA", "0" * 40, "0")
        way.submit(unknown)
        with pytest.raises(StoreError, match="NOSCRIPT"):
            await unknown.future


async def test_a_killed_connection_loses_what_was_under_way_and_nothing_else(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts) as way:
        await way.opened(5)
        client = server.client()
        client.execute_command("CLIENT", "PAUSE", "10000", "WRITE")
        held = [call("INCR", "k") for _ in range(3)]
        for each in held:
            way.submit(each)
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
        queued = [call("ECHO", "q") for _ in range(2)]
        for connection in ours(server):
            client.client_kill_filter(_id=connection)
        answers = await asyncio.gather(*[each.future for each in held], return_exceptions=True)
        assert all(isinstance(answer, StoreError) and not isinstance(answer, StoreTimeout) for answer in answers)
        assert [each.ends for each in held] == [["lost"]] * 3
        assert counts.of == {"store.lost_charges": 3, "store.lost_connections": 1}
        client.execute_command("CLIENT", "UNPAUSE")
        for each in queued:
            way.submit(each)
        assert await asyncio.gather(*[each.future for each in queued]) == [b"q", b"q"]
        assert client.get("k") is None


async def test_a_server_that_is_absent_is_an_error_at_once_and_back_within_a_second(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    counts = Counts()
    async with lane(server.url, counts) as way:
        await way.opened(5)
        server.kill()
        await until(lambda: not way._pool.all)
        for _ in range(3):
            begun = monotonic()
            with pytest.raises(StoreError, match="cannot be reached") as caught:
                await echo(way, "x")
            assert monotonic() - begun < 1
            assert caught.value.__cause__ is not None
        assert 1 <= counts.of["store.unreachable"] <= 3
        server.restart()
        begun = monotonic()
        while True:
            try:
                assert await echo(way, "back") == b"back"
                break
            except StoreError:
                await asyncio.sleep(0.001)
        assert monotonic() - begun < 1


async def test_errands_ride_with_the_next_charge_and_before_it(guardrail_redis: Server) -> None:
    async with lane(guardrail_redis.url) as way:
        await way.opened(5)
        with batches() as sent:
            errand, charge = call("ECHO", "errand"), call("ECHO", "charge")
            way.errand(errand)
            way.submit(charge)
            assert await errand.future == b"errand"
            assert await charge.future == b"charge"
    assert sent == [[errand, charge]]


async def test_errands_travel_alone_where_no_charge_comes(guardrail_redis: Server) -> None:
    async with lane(guardrail_redis.url) as way:
        errands = [call("ECHO", str(number)) for number in range(3 * BATCH)]
        for each in errands:
            way.errand(each)
        answers = await asyncio.wait_for(asyncio.gather(*[each.future for each in errands]), 5)
    assert answers == [str(number).encode() for number in range(3 * BATCH)]


async def test_errands_wait_for_a_store_that_is_away_until_they_are_too_old(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    async with lane(server.url) as way:
        await way.opened(5)
        server.kill()
        await until(lambda: not way._pool.all)
        old, young = call("ECHO", "old", deadline=0.3), call("ECHO", "young")
        way.errand(old)
        way.errand(young)
        with pytest.raises(StoreError, match="in time"):
            await asyncio.wait_for(old.future, 5)
        assert not young.future.done()
        server.restart()
        assert await asyncio.wait_for(young.future, 5) == b"young"


@pytest.mark.parametrize("word", [b"TRYAGAIN Multiple keys request during rehashing of slot", b"LOADING dataset in memory"])
async def test_a_command_told_to_try_again_is_replayed_once(word: bytes) -> None:
    async with Told(b"-" + word + b"\r\n", b"+fine\r\n", b"-" + word + b"\r\n", b"-" + word + b"\r\n") as server:
        counts = Counts()
        async with lane(server.url, counts) as way:
            first, second = call("A"), call("B")
            way.submit(first)
            assert await first.future == b"fine"
            way.submit(second)
            with pytest.raises(StoreError, match=word.split()[0].decode()):
                await second.future
    assert server.heard == [[b"A"], [b"A"], [b"B"], [b"B"]]
    assert counts.of == {f"store.{word.split()[0].decode().lower()}": 2}


async def test_nobody_replays_for_a_waiter_that_left() -> None:
    async with Told(b"-TRYAGAIN later\r\n", b"+next\r\n") as server, lane(server.url) as way:
        await way.opened(5)
        gone = call("A")
        way.submit(gone)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gone.future.cancel()
        await until(lambda: bool(server.heard))
        after = call("B")
        way.submit(after)
        assert await after.future == b"next"
    assert server.heard == [[b"A"], [b"B"]]


async def test_redirections_are_errors_where_there_is_no_cluster() -> None:
    async with Told(b"-MOVED 7 127.0.0.1:1\r\n") as server, lane(server.url) as way:
        moved = call("A")
        way.submit(moved)
        with pytest.raises(StoreError, match="MOVED"):
            await moved.future


async def test_a_server_that_breaks_the_protocol_loses_its_connection() -> None:
    async with Told(b"nonsense\r\n", b"+one\r\n+two\r\n", b"+fine\r\n") as server:
        counts = Counts()
        async with lane(server.url, counts) as way:
            broken = call("A")
            way.submit(broken)
            with pytest.raises(StoreError, match="lost"):
                await broken.future
            talkative = call("B")
            way.submit(talkative)
            assert await talkative.future == b"one"
            await until(lambda: not way._pool.all)
            fine = call("C")
            way.submit(fine)
            assert await fine.future == b"fine"
    assert server.connections == 3
    assert counts.of["store.lost_charges"] == 1


async def test_a_store_that_turned_read_only_is_left_for_a_new_connection(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    async with lane(server.url) as way:
        await way.opened(5)
        before = ours(server)
        server.client().execute_command("REPLICAOF", "127.0.0.1", "1")
        refused = call("SET", "k", "v")
        way.submit(refused)
        with pytest.raises(StoreError, match="READONLY"):
            await refused.future
        server.client().execute_command("REPLICAOF", "NO", "ONE")
        fine = call("SET", "k", "v")
        way.submit(fine)
        assert await fine.future == b"OK"
        assert not set(before) & set(ours(server))


async def test_closing_fails_what_waits_and_leaves_no_connection(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    async with lane(server.url) as way:
        await way.opened(5)
        server.client().execute_command("CLIENT", "PAUSE", "10000", "WRITE")
        calls = [call("INCR", "k") for _ in range(200)]
        for each in calls:
            way.submit(each)
        errand = call("INCR", "k")
        way.errand(errand)
        await until(lambda: server.client().info("clients")["blocked_clients"] >= 1)
    answers = await asyncio.gather(*[each.future for each in [*calls, errand]], return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreError}
    assert all(len(each.ends) <= 1 for each in calls)
    server.client().execute_command("CLIENT", "UNPAUSE")
    await until(lambda: ours(server) == [])
    late = call("ECHO", "x")
    with pytest.raises(StoreError, match="closed"):
        way.submit(late)
    refused = call("ECHO", "x")
    way.errand(refused)
    replayed = call("ECHO", "x")
    way.replay(replayed)
    for each in (refused, replayed):
        with pytest.raises(StoreError, match="closed"):
            await each.future


async def test_an_answer_that_cannot_be_read_is_that_commands_error(guardrail_redis: Server) -> None:
    class Unreadable(Plain):
        __slots__ = ()

        def receive(self, reply: Any) -> int:
            raise ValueError(f"what is {reply}?")

    async with lane(guardrail_redis.url) as way:
        unreadable = Unreadable(codec.command("ECHO", "this"), monotonic() + LONG)
        fine = call("ECHO", "fine")
        way.submit(unreadable)
        way.submit(fine)
        assert await fine.future == b"fine"
        with pytest.raises(StoreError, match="cannot be read") as caught:
            await unreadable.future
    assert isinstance(caught.value.__cause__, ValueError)


async def test_only_so_many_errands_wait_for_a_store_that_is_away() -> None:
    async with lane("redis://127.0.0.1:1") as way:
        errands = [call("ECHO", "x") for _ in range(ERRANDS + 1)]
        for each in errands:
            way.errand(each)
        with pytest.raises(StoreError, match="Too much"):
            await errands[-1].future
        assert not any(each.future.done() for each in errands[:-1])
    for each in errands[:-1]:
        assert isinstance(each.future.exception(), StoreError)
