"""Who is connected with whom: what a guardrail and its engine hand to their parts, and what those tell back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.engine import guardrail
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Bill, Receipt
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Facts

from ..asgi.kit import JSON, KEY, CountingStore, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..telemetry.kit import Counts  # noqa: TID252 - an observer that counts

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "9/minute"}
SECRETS = {"GUARDRAIL_ID_KEY": "k" * 44, "GUARDRAIL_KEYS": "s" * 44}
DAY = 86_400


class Shared:
    """A shared store of somebody's making: all that a memory store can do, and it can be away."""

    def __init__(self, clock: FakeClock) -> None:
        self.inner = MemoryStore(clock=clock)
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreError("The store is away.")
        return getattr(self.inner, name)

    async def read_switches(self) -> dict[str, str]:
        """See `Switches`."""
        return await self.inner.read_switches()

    async def write_switch(self, rule: str, mode: str | None) -> None:
        """See `Switches`."""
        await self.inner.write_switch(rule, mode)


class Down:
    """A shared store that is down."""

    def __getattr__(self, verb: str) -> Any:
        async def fail(*_: Any) -> Any:
            raise StoreError("The store failed.")

        return fail


def shared(document: Any = None, **more: Any) -> Guardrail:
    """A guardrail on a shared store."""
    clock = FakeClock()
    return Guardrail(
        document or policy(REQUESTS), store=more.pop("store", Shared(clock)), clock=clock, environ=SECRETS, **more
    )


# Counts


async def test_the_apps_observer_hears_what_the_guardrail_counts() -> None:
    heard = Counts()
    given = Guardrail(policy(REQUESTS), environ={}, clock=FakeClock(), observer=heard)
    given.apply(load(policy()))
    assert heard == given.counts.read() == {"policy.applied": 1}


async def test_all_parts_count_in_one_place() -> None:
    """The credential, the store, the engine, the fallback: each in its own words."""
    guarded = Guarded(Upstream(), policy(REQUESTS, store={"on_error": "deny"}))
    await guarded.post(CHAT, chat(), KEY, (b"x-api-key", b"sk-other"), JSON)
    guarded.store.failure = StoreError("The store failed.")
    await guarded.post(CHAT, chat())
    assert guarded.guardrail.counts.read() == {
        "engine.refused": 2,
        "engine.undecided": 1,
        "identity.ambiguous_credential": 1,
    }
    away = Guarded(Upstream(), policy(REQUESTS), store=Down(), clock=FakeClock(), environ=SECRETS)
    await away.post(CHAT, chat())
    assert away.guardrail.counts.read() == {"on_error.local": 1}


async def test_a_sink_tells_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def sinks(_self: Any, *parts: Any) -> list[Any]:
        given.append(parts)
        return []

    monkeypatch.setattr("guardrail_mw.telemetry.settings.TelemetrySettings.sinks", sinks)
    clock = FakeClock()
    made = Guardrail(policy(telemetry={}), environ={}, clock=clock)
    assert given == [(clock, made.counts)]


async def test_a_budget_that_is_spent_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two established accounts come onto a rung that may newly touch one a day; a third costs no second alarm."""
    document = policy(
        {"name": "requests", "rate": "1000/minute"},
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 3}}}]},
        friction={"ladder": [{"at": 50, "do": "trim", "name": "cut", "false_positives": "1/day"}]},
    )
    guarded = Guarded(Upstream(), document)
    keys = [(b"authorization", b"Bearer sk-%d" % number) for number in range(3)]
    for key in keys:
        await guarded.post(CHAT, chat(), key, JSON)
    guarded.clock.advance(31 * DAY)
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        for key in keys:
            for _ in range(3):
                await guarded.post(CHAT, chat(), key, JSON)
    latest = guarded.guardrail.recorder.latest(9)[::-1]
    assert [event["rung"] for event in latest] == [None, "cut", "cut", None, None, None, None, None, None]
    assert guarded.guardrail.counts.read() == {"friction.budget_spent": 1}
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert said == ["Rung cut has touched 1 established accounts, as many as it may."]


# What is wanted, and nothing else


def test_metrics_and_traces_are_made_where_they_are_wanted() -> None:
    bare = Guardrail(policy(telemetry={}), environ={}, clock=FakeClock())
    assert (bare.metrics, bare.tracing, bare.recorder.sinks) == (None, None, ())
    pytest.importorskip("prometheus_client")
    measured = Guardrail(policy(telemetry={"metrics": True}), environ={}, clock=FakeClock())
    assert measured.metrics is not None
    assert (measured.recorder.sinks, measured.tracing) == ((measured.metrics,), None)


async def test_what_goes_on_beside_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a shared store switches are read; a policy that is a file is watched; in one process's memory nothing goes on."""
    watched: list[dict[str, Any]] = []

    class Watching:
        def __init__(self, *parts: Any, **named: Any) -> None:
            watched.append({"parts": parts, **named})

        async def run(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(guardrail, "Watcher", Watching)
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\n", encoding="utf-8")
    embedded, remote, from_file = Guardrail(policy(), environ={}), shared(), shared(file)
    begun = {}
    for name, each in (("embedded", embedded), ("remote", remote), ("from file", from_file)):
        found = each.keeper()
        begun[name] = sorted(task.get_name() for task in found._tasks.values())
        assert each.keeper() is found
    assert begun == {
        "embedded": [],
        "remote": ["guardrail switches"],
        "from file": ["guardrail policy watch", "guardrail switches"],
    }
    assert watched == [
        {
            "parts": (file, from_file.apply, from_file.refused),
            "running": from_file.policy,
            "environ": SECRETS,
        }
    ]
    for each in (embedded, remote, from_file):
        await each.close()


async def test_how_often_it_is_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switches twice a second, open receipts every ten: a lease lives 30."""
    slept: list[float] = []
    turn = asyncio.Event()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        turn.set()
        await asyncio.Event().wait()

    monkeypatch.setattr("guardrail_mw.engine.keeper.asyncio.sleep", sleep)
    remote = shared()
    remote.keeper()
    await asyncio.wait_for(turn.wait(), 5)
    assert slept == [0.5]
    turn.clear()
    exchange: Any = type("E", (), {"id": "1", "receipt": None, "settled": False})()
    remote.keeper().hold(exchange)
    await asyncio.wait_for(turn.wait(), 5)
    assert slept == [0.5, 10.0]
    await remote.close()


async def test_tasks_that_are_stopped_end_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    complained: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: complained.append(told))
    remote = shared()
    kept = remote.keeper()
    kept.start("more", asyncio.sleep(3600))

    async def fails() -> None:
        raise RuntimeError("a bug")

    with caplog.at_level(logging.ERROR, "guardrail_mw"):
        kept.start("broken", fails())
        for _ in range(3):
            await asyncio.sleep(0)
        assert sorted(kept._tasks) == ["more", "switches"]
        await remote.close()
    assert (kept._tasks, complained) == ({}, [])
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert said == ["The task broken ended: it will be started again when there is need."]


async def test_only_what_is_under_way_is_renewed() -> None:
    """Not what was settled meanwhile, nor what was never charged."""

    class Noting(CountingStore):
        async def renew(self, receipts: Any) -> Any:
            renewed.append([each.bill.id for each in receipts])
            exchanges[1].settled = True
            return [f"new {each.bill.id}" for each in receipts]

    renewed: list[list[str]] = []
    guarded = Guarded(Upstream(), policy(REQUESTS), store=Noting(FakeClock()))
    engine, kept = guarded.guardrail.engine, guarded.guardrail.keeper()
    exchanges = [engine.begin(engine.router.find(CHAT, "POST"), Facts("POST", CHAT, [])) for _ in range(3)]
    await kept.renew()
    for number, each in enumerate(exchanges):
        if number < 2:
            each.receipt = Receipt(Bill(f"{number}", ()), "admitted", 1, None, ())
        kept._open[each.id] = each
    await kept.renew()
    assert renewed == [["0", "1"]]
    held: list[Any] = [each.receipt for each in exchanges]
    assert (held[0], held[1].bill.id, held[2]) == ("new 0", "1", None)
    for each in exchanges:
        kept.release(each)
        kept.release(each)
    await kept.renew()
    assert len(renewed) == 1
