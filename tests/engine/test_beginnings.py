"""How a guardrail begins, on which policy and store, what switches and reloads change of it, and its end."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from typing import Any

import pytest

from guardrail_mw import Guardrail, plugins
from guardrail_mw.errors import PluginError, PolicyError
from guardrail_mw.policy import load
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import Guarded, Upstream, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "9/minute"}
SECRETS = {"GUARDRAIL_ID_KEY": "k" * 44, "GUARDRAIL_KEYS": "s" * 44}


class Kind:
    """A kind of store; notes how it is opened."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.opened: list[Any] = []

    def from_url(self, url: str, **rest: Any) -> MemoryStore:
        """As any store's."""
        self.opened.append((url, rest))
        if self.trouble is not None:
            raise self.trouble
        return MemoryStore(clock=rest["clock"])


@pytest.mark.parametrize(
    ("url", "named", "kind"),
    [
        ("memory://", "", "memory"),
        ("redis://127.0.0.1:1/0", "", "redis"),
        ("rediss://127.0.0.1:1/0", " ", "redis"),
        ("unix:///run/redis.sock", "", "redis"),
        ("own://anything", "", "own"),
        ("memory://", "  own://here ", "own"),
    ],
)
def test_which_store_is_opened(url: str, named: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = Kind(), []

    def load_(*what: str) -> Kind:
        asked.append(what)
        return found

    monkeypatch.setattr("guardrail_mw.plugins.installed", lambda _kind: ["own"])
    monkeypatch.setattr("guardrail_mw.plugins.load", load_)
    clock = FakeClock()
    settings = {"url": url, "deadline": "70ms", "max_subjects": 1234}
    made = Guardrail({"version": 1, "store": settings}, environ={**SECRETS, "GUARDRAIL_STORE": named}, clock=clock)
    assert asked == [("stores", kind)]
    expected = {"deadline": 70_000, "max_subjects": 1234, "clock": clock, "observer": made.counts}
    assert found.opened == [(named.strip() or url, expected)]


@pytest.mark.parametrize(
    ("trouble", "named", "text"),
    [
        (ValueError("is bad."), "", "store.url: is bad."),
        (ValueError("is bad."), "own://x", "environment: GUARDRAIL_STORE: is bad."),
        (ImportError("none", name="redis"), "", ("The store for own:// needs a package that is not installed (redis). "
                                                "Install it with: pip install 'guardrail-mw[redis]'")),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_opened(trouble: Exception, named: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.plugins.installed", lambda _kind: ["own"])
    monkeypatch.setattr("guardrail_mw.plugins.load", lambda *_: Kind(trouble))
    with pytest.raises((PolicyError, PluginError)) as caught:
        Guardrail({"version": 1, "store": {"url": "own://y"}}, environ={"GUARDRAIL_STORE": named})
    assert text in str(caught.value)
    assert caught.value.__cause__ is trouble


def test_the_operators_port_is_given_the_guardrail(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    load_plugin = plugins.load

    def loading(kind: str, name: str) -> Any:
        return served.append if (kind, name) == ("services", "console") else load_plugin(kind, name)

    monkeypatch.setattr(plugins, "load", loading)
    console = {"token": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}
    made = Guardrail(policy(REQUESTS, console=console), environ={}, store=MemoryStore(clock=FakeClock()))
    assert served == [made]
    Guardrail(policy(REQUESTS), environ={}, store=MemoryStore(clock=FakeClock()))
    assert len(served) == 1


@pytest.mark.parametrize(
    ("section", "environ", "warned"),
    [
        ("telemetry", {}, True),
        ("console", {"GUARDRAIL_ID_KEY": " "}, True),
        ("telemetry", SECRETS, False),
        ("", {}, False),
    ],
)
def test_names_that_do_not_last_are_warned_of(
    section: str, environ: dict[str, str], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sections: dict[str, Any] = {"telemetry": {}, "console": {"token": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}}
    more = {section: sections[section]} if section else {}
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        Guardrail(policy(REQUESTS, **more), environ=environ, clock=FakeClock())
    said = (
        "GUARDRAIL_ID_KEY is not set: accounts get other names in the events after every restart. Set it to a secret of "
        "32 bytes or more that stays: python -c 'import secrets; print(secrets.token_urlsafe(48))'."
    )
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == ([said] if warned else [])


def test_what_a_policy_refers_to_is_the_environments() -> None:
    made = Guardrail({"version": 1, "mode": "${MINE}"}, environ={"MINE": "off"}, clock=FakeClock())
    assert (made.engine.mode, made.policy.mode) == ("off", "off")


@pytest.mark.parametrize(
    ("environ", "given", "source", "warned"),
    [
        ({}, None, "guardrail:watch", True),
        ({"GUARDRAIL_POLICY": "  "}, None, "guardrail:watch", True),
        ({"GUARDRAIL_POLICY": " guardrail:balanced "}, None, "guardrail:balanced", False),
        ({"GUARDRAIL_POLICY": "guardrail:balanced"}, "guardrail:watch", "guardrail:watch", False),
    ],
)
def test_which_policy_runs(
    environ: dict[str, str], given: str | None, source: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "guardrail_mw"):
        made = Guardrail(given, environ=environ, clock=FakeClock())
    assert made.policy == load(source)
    said = "No policy was named, so guardrail:watch runs, which refuses nothing. Name one in GUARDRAIL_POLICY."
    assert (said in caplog.messages) is warned
    policy_ = made.policy
    counted = f"limits: {len(policy_.limits)}, scorers: {len(policy_.risk.scorers)}, rungs: {len(policy_.friction.ladder)}"
    begins = f": policy {source} ({policy_.hash}), mode {policy_.mode}, {counted}, store in this process's memory."
    assert caplog.messages[-1].endswith(begins)


def test_a_policy_that_python_made_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "guardrail_mw"):
        Guardrail(policy(REQUESTS, mode="shadow"), environ={"GUARDRAIL_MODE": " off "}, clock=FakeClock())
    assert ": policy given by the app (" in caplog.text
    assert ", mode off, limits: 1, scorers: 0, rungs: 0, store in this process's memory." in caplog.text


# Switches and reloads


async def test_what_is_switched_holds_for_what_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A rule has no other mode than shadow; a word that is no mode is none."""
    guarded = Guarded(Upstream(), policy(REQUESTS, {"name": "other", "rate": "9/minute"}))
    given = guarded.guardrail
    found = []
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        for rule, mode in (("requests", "shadow"), ("other", "off"), ("", "sideways"), ("", "shadow"), ("requests", None)):
            await guarded.store.write_switch(rule, mode)
            await given.read_switches()
            await given.read_switches()
            found.append((sorted(given.engine.shadowed), given.engine.mode))
    assert found == [
        (["requests"], "enforce"),
        (["requests"], "enforce"),
        (["requests"], "enforce"),
        (["requests"], "shadow"),
        ([], "shadow"),
    ]
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING] == [
        "Switches: requests to shadow. Mode enforce.",
        "Switches: other to off, requests to shadow. Mode enforce.",
        "Switches: everything to sideways, other to off, requests to shadow. Mode enforce.",
        "Switches: everything to shadow, other to off, requests to shadow. Mode shadow.",
        "Switches: everything to shadow, other to off. Mode shadow.",
    ]
    assert given.counts.read() == {"switches.changed": 5}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, []),
        ({"store": {"deadline": "50ms"}}, ["The policy's store settings changed: they hold after a restart."]),
        ({"telemetry": {"events": [{"use": "log"}]}}, ["The policy's telemetry settings changed: they hold after a restart."]),
        ({"console": {"token": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"}},
         ["The policy's console settings changed: they hold after a restart."]),
    ],
)  # fmt: skip
def test_what_a_reload_does_not_change(more: Any, said: list[str], caplog: pytest.LogCaptureFixture) -> None:
    made = Guardrail(policy(REQUESTS), environ={}, clock=FakeClock())
    resolver, recorder = made.engine.resolver, made.recorder
    new = load(policy(REQUESTS, **more))
    caplog.clear()
    with caplog.at_level(logging.INFO, "guardrail_mw"):
        made.apply(new)
    assert caplog.messages == [*said, f"Policy {new.hash} runs (mode enforce)."]
    assert (made.policy, made.engine.resolver, made.recorder) == (new, resolver, recorder)


async def test_a_source_that_is_gone_is_let_go_of() -> None:
    made = Guardrail(policy(REQUESTS), environ={}, clock=FakeClock())
    before, ended = made.engine.resolver, asyncio.Event()

    async def aclose() -> None:
        ended.set()

    before.aclose = aclose  # type: ignore[method-assign]
    made.apply(load(policy(REQUESTS, trust="app")))
    assert made.engine.resolver is not before
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_life_from_start_to_close() -> None:
    """Sources and sinks are told; the store is drained and closed; it may begin anew."""
    told: list[str] = []

    class Sink:
        def emit(self, event: Any) -> None: ...

        async def start(self) -> None:
            told.append("sink started")

        async def aclose(self) -> None:
            told.append("sink closed")

    class Closing(MemoryStore):
        async def drain(self) -> None:
            told.append("drained")

        async def close(self) -> None:
            told.append("store closed")

    made = Guardrail(policy(REQUESTS, telemetry={"events": [Sink()]}), environ={}, store=Closing(clock=FakeClock()))

    async def started() -> None:
        told.append("source started")

    async def closed() -> None:
        told.append("source closed")

    made.engine.resolver.start = started  # type: ignore[method-assign]
    made.engine.resolver.aclose = closed  # type: ignore[method-assign]
    await made.start()
    kept = made.keeper()
    await made.drain()
    await made.close()
    assert told == ["source started", "sink started", "drained", "source closed", "store closed", "sink closed"]
    assert made.keeper() is not kept
    await made.close()
    await made.close()


def test_where_clusters_are_worked_out_apart_a_server_needs_no_numpy() -> None:
    """Nor scipy: in an interpreter of its own, which finds neither."""
    code = (
        "import sys; sys.modules['numpy'] = sys.modules['scipy'] = None\n"
        "from guardrail_mw import Guardrail\n"
        "Guardrail({'version': 1, 'clusters': {'rebuild': 'apart'}}, environ={})\n"
        "from guardrail_mw.clusterwork.listing import tell_list\n"
        "print(*tell_list({'now': 2_000_000, 'rebuilt': 1_000_000, 'all': 0, 'clusters': []}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "Last rebuild 1970-01-01 00:00:01 UTC (1 s ago): 0 clusters\n"), ran.stderr
