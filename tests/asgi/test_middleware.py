"""What the middleware is made from, and what it lets alone."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from guardrail_mw import Guardrail, GuardrailMiddleware, Policy, PolicyError
from guardrail_mw.policy import load
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from .kit import KEY, Guarded, Upstream, policy, scope_of

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "2/minute"}


class Seen:
    """An app that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append((scope, receive, send))


async def never() -> dict[str, Any]:
    raise AssertionError("nobody may ask")


async def nothing(message: Any) -> None:
    raise AssertionError(f"nobody may answer: {message}")


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_off_touches_nothing(kind: str) -> None:
    seen = Seen()
    guarded = Guarded(seen, policy(REQUESTS, mode="off"))
    headers = [KEY, (b"x-guardrail-decision", b"theirs")]
    scope = scope_of("/v1/chat/completions", headers=headers) | {"type": kind}
    before = dict(scope)
    await guarded.middleware(scope, never, nothing)
    (got,) = seen.calls
    assert got[0] is scope
    assert got[1] is never
    assert got[2] is nothing
    assert scope == before
    assert scope["headers"] is headers or scope["headers"] == headers
    assert guarded.bills == []


async def test_unknown_scopes_pass_as_they_are() -> None:
    seen = Seen()
    guarded = Guarded(seen, policy(REQUESTS))
    scope: dict[str, Any] = {"type": "mcp.session", "headers": [(b"x-guardrail-decision", b"theirs")]}
    await guarded.middleware(scope, never, nothing)
    assert seen.calls == [(scope, never, nothing)]


async def test_lifespan_passes_message_by_message() -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["made"] = "by the app"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    guarded = Guarded(app, policy(REQUESTS))
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        told.append(message["type"])

    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    await guarded.middleware(scope, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert scope["state"] == {"made": "by the app"}


async def test_an_app_without_lifespan_says_so_itself() -> None:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("no lifespan here")

    with pytest.raises(RuntimeError, match="no lifespan here"):
        await Guarded(app, policy()).middleware({"type": "lifespan"}, never, nothing)


def test_policy_may_be_a_mapping_a_path_a_policy_or_a_guardrail(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nmode: enforce\nlimits: [{name: r, per: [account], rate: 1/minute}]\n")
    ready = load(str(file))
    for source in (str(file), file, ready, {"version": 1, "mode": "enforce"}, "guardrail:balanced"):
        assert GuardrailMiddleware(Upstream(), source).guardrail.engine.mode == "enforce"
    assert isinstance(ready, Policy)
    shared = Guardrail(ready, environ={})
    first, second = GuardrailMiddleware(Upstream(), shared), GuardrailMiddleware(Upstream(), policy=shared)
    assert first.guardrail is second.guardrail is shared


def test_a_guardrail_brings_its_own_store_and_clock() -> None:
    shared = Guardrail({"version": 1}, environ={})
    with pytest.raises(TypeError, match="own store and clock"):
        GuardrailMiddleware(Upstream(), shared, store=MemoryStore())
    with pytest.raises(TypeError, match="own store and clock"):
        GuardrailMiddleware(Upstream(), shared, clock=FakeClock())


def test_a_bad_named_policy_stops_the_start_with_all_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bad.yaml"
    limits = "  - {name: r, per: [account], rate: 0/minute}\n  - {name: s, per: [acount], rate: 1/day}\n"
    file.write_text(f"version: 1\nmode: enforced\nlimits:\n{limits}")
    monkeypatch.setenv("GUARDRAIL_POLICY", str(file))
    with pytest.raises(PolicyError) as caught:
        GuardrailMiddleware(Upstream())
    lines = {problem.line for problem in caught.value.problems}
    assert lines == {2, 4, 5}
    monkeypatch.setenv("GUARDRAIL_POLICY", str(tmp_path / "absent.yaml"))
    with pytest.raises(PolicyError, match=r"absent\.yaml"):
        GuardrailMiddleware(Upstream())


def test_without_a_policy_it_watches_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("GUARDRAIL_POLICY", "GUARDRAIL_STORE", "GUARDRAIL_MODE"):
        monkeypatch.delenv(name, raising=False)
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        guardrail = GuardrailMiddleware(Upstream()).guardrail
    assert guardrail.engine.mode == "shadow"
    assert [limit.name for limit in guardrail.policy.limits][:2] == ["requests", "tokens"]
    assert "guardrail:watch" in caplog.text


def test_the_environment_names_policy_store_and_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nmode: shadow\n")
    monkeypatch.setenv("GUARDRAIL_POLICY", str(file))
    monkeypatch.setenv("GUARDRAIL_STORE", "memory://")
    monkeypatch.setenv("GUARDRAIL_MODE", "enforce")
    guardrail = GuardrailMiddleware(Upstream()).guardrail
    assert guardrail.engine.mode == "enforce"
    assert isinstance(guardrail.store, MemoryStore)
    monkeypatch.setenv("GUARDRAIL_MODE", "on")
    with pytest.raises(PolicyError, match="GUARDRAIL_MODE"):
        GuardrailMiddleware(Upstream())


@pytest.mark.parametrize(("workers", "warned"), [("1", False), ("4", True), ("", False), ("many", False)])
def test_memory_under_several_workers_warns(workers: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        Guardrail({"version": 1}, environ={"WEB_CONCURRENCY": workers})
    assert ("one of several workers" in caplog.text) is warned


async def test_two_middlewares_share_one_guardrail() -> None:
    first = Guarded(Upstream(), policy(REQUESTS))
    second = Guarded(Upstream(), policy())
    second.middleware = GuardrailMiddleware(second.app, first.guardrail)
    assert (await first.post("/v1/completions")).status == 200
    assert (await second.post("/v1/completions")).status == 200
    assert (await first.post("/v1/completions")).status == 429
    assert (await second.post("/v1/completions")).status == 429


def test_each_loop_has_its_own_keeper() -> None:
    """Also where loops take turns in threads: what is open in one is renewed there, not elsewhere."""
    guardrail = Guardrail(policy({"name": "slots", "concurrency": 9}), environ={})
    turns = [threading.Event() for _ in range(3)]
    seen: list[list[object]] = [[], []]

    async def look(mine: int) -> None:
        for turn in range(mine, 3, 2):
            await asyncio.to_thread(turns[turn].wait, 10)
            seen[mine].append(guardrail.keeper())
            if turn < 2:
                turns[turn + 1].set()

    threads = [threading.Thread(target=lambda mine=mine: asyncio.run(look(mine))) for mine in range(2)]
    for thread in threads:
        thread.start()
    turns[0].set()
    for thread in threads:
        thread.join()
    (first, again), (other,) = seen
    assert first is again
    assert other is not first


async def test_what_runs_beside_starts_with_the_first_request_whatever_becomes_of_it(tmp_path: Path) -> None:
    """Servers without lifespan: a process that refuses everything must still notice that its policy was mended."""
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps(policy(REQUESTS)))
    guardrail = Guardrail(str(file), environ={})
    middleware = GuardrailMiddleware(Upstream(), guardrail)
    bad = [(b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    before = {task.get_name() for task in asyncio.all_tasks()}
    await middleware(scope_of("/v1/chat/completions", headers=bad), never, send)
    names = {task.get_name() for task in asyncio.all_tasks()} - before
    await guardrail.close()
    assert sent[0]["status"] == 400
    assert names == {"guardrail policy watch"}


async def test_a_bad_policy_fails_the_startup_of_who_makes_the_middleware_then() -> None:
    """Starlette does, at the lifespan's start. What is raised there uvicorn takes for an app without lifespan, and serves."""
    bad = Starlette()
    bad.add_middleware(GuardrailMiddleware, policy={"version": 1, "mod": "shadow"})
    sent: list[Any] = []

    async def startup() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await bad({"type": "lifespan", "state": {}}, startup, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "mod: is not a known key. Did you mean `mode`?" in sent[0]["message"]
    with pytest.raises(PolicyError, match="Did you mean `mode`"):
        await bad({"type": "http", "path": "/", "method": "GET", "headers": []}, startup, send)


async def test_mounted_twice_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    policy = {"version": 1, "identity": {"sources": []}}
    inner = GuardrailMiddleware(Upstream(), Guardrail(policy, environ={}))
    twice = Guarded(inner, policy)
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        for _ in range(3):
            assert (await twice.get("/v1/models")).status == 200
    assert caplog.text.count("Two GuardrailMiddleware stand before one app") == 1
