"""The engine's small parts: ids, standings, counts, the keeper, the guardrail's life."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest

from guardrail_mw import Guardrail, PolicyError
from guardrail_mw.engine.counts import Counts
from guardrail_mw.engine.identifiers import _BLOCK, identifiers
from guardrail_mw.engine.keeper import Keeper
from guardrail_mw.engine.standings import Standings
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Standing

from ..asgi.kit import Guarded, Upstream, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"


# Ids


def test_ids_are_24_hexadecimal_digits_and_never_the_same() -> None:
    ids = [identifiers() for _ in range(3 * _BLOCK)]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 24 and int(each, 16) >= 0 for each in ids)


def test_ids_are_twelve_bytes_of_a_block_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """None has bytes in common with another; a new block is drawn once one is used up."""
    drawn: list[int] = []

    def urandom(size: int) -> bytes:
        drawn.append(size)
        return b"".join(number.to_bytes(12, "big") for number in range(len(drawn) * 1000, len(drawn) * 1000 + size // 12))

    monkeypatch.setattr(os, "urandom", urandom)
    identifiers.forget()
    ids = [int(identifiers(), 16) for _ in range(2 * _BLOCK)]
    identifiers.forget()
    assert sorted(ids) == [*range(1000, 1000 + _BLOCK), *range(2000, 2000 + _BLOCK)]
    assert drawn == [_BLOCK * 12] * 2


def test_a_forked_process_draws_its_own() -> None:
    identifiers()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, identifiers().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 24).decode()
    os.close(reading)
    os.close(writing)
    assert theirs not in [identifiers() for _ in range(_BLOCK)]


# Standings


def test_standings_give_up_whom_they_met_least_recently() -> None:
    standings = Standings(most=2)
    for name in ("a", "b"):
        standings.put(name, Standing(1, {"name": name}))
    assert standings.get("a").fields == {"name": "a"}
    standings.put("c", Standing(1))
    assert standings.get("b") == Standing()
    assert standings.get("a").version == standings.get("c").version == 1


def test_standings_below_the_most_keep_all_as_they_were_last_told() -> None:
    standings = Standings(most=3)
    for number, name in enumerate(("a", "b", "c", "a", "b"), 1):
        standings.put(name, Standing(0, {}, number))
    assert [(name, standings.get(name).seen) for name in "abc"] == [("a", 4), ("b", 5), ("c", 3)]
    standings.get("c")
    standings.put("d", Standing(7))
    assert [standings.get(name) == Standing() for name in "abcd"] == [True, False, False, False]
    standings.put("b", Standing())
    assert list(standings._kept) == ["c", "d"]
    assert Standings()._most == 100_000


def test_an_unknown_accounts_standing_is_not_kept() -> None:
    standings = Standings(most=2)
    standings.put("a", Standing(5))
    standings.put("a", Standing(0, {"since": "1"}))
    assert standings._kept == {}
    assert standings.get("") == Standing()


# Counts


def test_counts_pass_on() -> None:
    heard: list[tuple[str, int]] = []

    class Hears:
        def count(self, event: str, by: int = 1) -> None:
            heard.append((event, by))

    counts = Counts(Hears())
    counts.count("b")
    counts.count("a", 3)
    assert counts.read() == {"a": 3, "b": 1}
    assert list(counts.read()) == ["a", "b"]
    assert heard == [("b", 1), ("a", 3)]
    later = Counts()
    later.count("a")
    later.tell(Hears())
    later.tell(Hears())
    later.count("a", 2)
    assert (later.read(), heard[2:]) == ({"a": 3}, [("a", 2)] * 2)


# The keeper


async def test_a_look_that_fails_does_not_end_the_looking(caplog: pytest.LogCaptureFixture) -> None:
    looked = asyncio.Event()
    failures: list[Exception] = [StoreError("The store failed."), RuntimeError("a bug")]

    async def look() -> None:
        if failures:
            raise failures.pop(0)
        looked.set()

    keeper = Keeper(MemoryStore())
    keeper.often("switches", 0, look)
    with caplog.at_level(logging.ERROR, "guardrail_mw"):
        await asyncio.wait_for(looked.wait(), 5)
    await keeper.stop()
    assert "a bug" in caplog.text
    assert keeper._tasks == {}


async def test_stopping_ends_all_tasks() -> None:
    guarded = Guarded(Upstream(), policy({"name": "slots", "concurrency": 1}))
    keeper = guarded.guardrail.keeper()
    assert guarded.guardrail.keeper() is keeper
    keeper.start("more", asyncio.sleep(3600))
    await guarded.guardrail.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("guardrail")]
    assert guarded.guardrail.keeper() is not keeper
    assert (await guarded.post(CHAT)).status == 200
    await guarded.guardrail.close()


async def test_what_is_open_is_renewed_and_what_is_over_is_not() -> None:
    renewed: list[int] = []

    class Noting(MemoryStore):
        async def renew(self, receipts: Any) -> Any:
            renewed.append(len(receipts))
            return await super().renew(receipts)

    async def renew() -> None:
        await guarded.guardrail.renew()

    guarded = Guarded(Upstream(b"a", renew), policy({"name": "slots", "concurrency": 1}), store=Noting(clock=FakeClock()))
    assert (await guarded.post(CHAT)).status == 200
    await guarded.guardrail.renew()
    assert renewed == [1]
    await guarded.guardrail.close()


async def test_the_renewing_task_runs_in_no_requests_context() -> None:
    from contextvars import ContextVar

    mine: ContextVar[str] = ContextVar("mine", default="nobody's")
    seen: list[str] = []

    async def work() -> None:
        seen.append(mine.get())

    mine.set("a request's")
    keeper = Keeper(MemoryStore())
    keeper.start("look", work())
    await asyncio.sleep(0)
    assert seen == ["nobody's"]
    await keeper.stop()


# The guardrail


def test_what_the_environment_says_wrongly_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match=r"environment: GUARDRAIL_MODE: is not a mode\. Set shadow, enforce or off\."):
        Guardrail({"version": 1}, environ={"GUARDRAIL_MODE": "Enforce"})
    with pytest.raises(PolicyError, match=r"environment: GUARDRAIL_STORE: is memory:"):
        Guardrail({"version": 1}, environ={"GUARDRAIL_STORE": "memory://host"})
    with pytest.raises(PolicyError, match="unknown scheme"):
        Guardrail({"version": 1}, environ={"GUARDRAIL_STORE": "nosql://host"})


def test_a_shared_store_needs_keys() -> None:
    with pytest.raises(PolicyError, match="GUARDRAIL_ID_KEY"):
        Guardrail({"version": 1}, environ={"GUARDRAIL_STORE": "redis://127.0.0.1:1/0"})


async def test_switches_come_before_the_environment_and_that_before_the_file() -> None:
    modes: list[str] = [Guardrail({"version": 1, "mode": "off"}, environ={}).engine.mode]
    guardrail = Guardrail({"version": 1, "mode": "off"}, environ={"GUARDRAIL_MODE": "enforce"})
    modes.append(guardrail.engine.mode)
    assert isinstance(guardrail.store, MemoryStore)
    await guardrail.store.write_switch("", "shadow")
    await guardrail.read_switches()
    modes.append(guardrail.engine.mode)
    running = guardrail.engine
    await guardrail.read_switches()
    assert guardrail.engine is running, "nothing changed, nothing is compiled"
    await guardrail.store.write_switch("", None)
    await guardrail.read_switches()
    assert [*modes, guardrail.engine.mode] == ["off", "enforce", "shadow", "enforce"]


async def test_a_rule_that_is_switched_to_shadow_refuses_no_more() -> None:
    guarded = Guarded(Upstream(), policy({"name": "one", "rate": "1/minute"}, {"name": "two", "rate": "3/minute"}))
    assert isinstance(guarded.store, MemoryStore)
    assert [(await guarded.post(CHAT)).status for _ in range(2)] == [200, 429]
    await guarded.store.write_switch("one", "shadow")
    await guarded.guardrail.read_switches()
    assert [(await guarded.post(CHAT)).status for _ in range(3)] == [200, 200, 429]
    await guarded.store.write_switch("one", None)
    await guarded.guardrail.read_switches()
    assert (await guarded.post(CHAT)).json["error"]["limit"] == "one"


async def test_a_reload_swaps_the_engine_and_a_bad_one_leaves_it(caplog: pytest.LogCaptureFixture) -> None:
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "1/minute"}))
    guardrail, before = guarded.guardrail, guarded.guardrail.engine
    guardrail.apply(load(policy({"name": "r", "rate": "2/minute"}, trust="app", store={"deadline": "50ms"})))
    assert guardrail.engine is not before
    assert guardrail.policy is guardrail.engine.policy
    assert "after a restart" in caplog.text
    running = guardrail.engine
    with pytest.raises(PolicyError) as caught:
        load({"version": 2})
    guardrail.refused(caught.value)
    assert guardrail.engine is running
    assert guardrail.counts.read() == {"policy.applied": 1, "policy.refused": 1}
    await guardrail.close()


async def test_a_reload_of_identity_is_obeyed_by_the_next_request() -> None:
    guarded = Guarded(Upstream(), policy({"name": "r", "rate": "5/minute"}))
    await guarded.post(CHAT)
    guarded.guardrail.apply(load(policy({"name": "r", "rate": "5/minute"}, trust="app")))
    await guarded.post(CHAT)
    assert [bill.proved for bill in guarded.bills] == [True, False]


def test_apply_may_be_called_without_a_loop() -> None:
    guardrail = Guardrail(policy(), environ={})
    guardrail.apply(load(policy(trust="app")))
    assert guardrail.counts.read() == {"policy.applied": 1}


# What the log says of a start


def test_a_start_says_what_runs_and_where_without_whoever_logs_in_there(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"GUARDRAIL_STORE": "redis://ada:pa55word@127.0.0.1:1/3?protocol=3", "GUARDRAIL_ID_KEY": "k" * 44}
    document = policy({"name": "requests", "rate": "2/minute"}) | {
        "console": {"token": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}
    }
    with caplog.at_level(logging.INFO, "guardrail_mw"):
        guardrail = Guardrail(document, environ=environ | {"GUARDRAIL_KEYS": "s" * 44})
    (line,) = caplog.messages
    assert line.startswith("guardrail_mw ")
    assert f"({guardrail.policy.hash}), mode enforce, limits: 1, scorers: 0, rungs: 0, store redis://127.0.0.1:1/3" in line
    assert line.endswith("operator's port 127.0.0.1:9900.")


@pytest.mark.parametrize(
    ("section", "key", "warned"), [("telemetry", "", True), ("telemetry", "k" * 44, False), ("", "", False)]
)
def test_events_under_names_that_do_not_last_are_warned_of(
    section: str, key: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        Guardrail({"version": 1, **({section: {}} if section else {})}, environ={"GUARDRAIL_ID_KEY": key})
    assert ("accounts get other names in the events after every restart" in caplog.text) is warned


def test_a_bad_store_url_names_where_it_stands() -> None:
    with pytest.raises(PolicyError, match="environment: GUARDRAIL_STORE: "):
        Guardrail({"version": 1}, environ={"GUARDRAIL_STORE": "redis://localhost:abc"})
    with pytest.raises(PolicyError, match=r"store\.url: "):
        Guardrail({"version": 1, "store": {"url": "redis://localhost:abc"}}, environ={})
