"""`guardrail-mw mode`: here, by the operator's port, and in another process on the same store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from click.testing import Result

from guardrail_mw.engine.keeper import SWITCHES_EVERY
from guardrail_mw.testing.servers import Server

from ..asgi.kit import Guarded  # noqa: TID252 - the kit of the pipeline's tests
from .operating import POLICY, SECRETS, Port, port

Run = Callable[..., Result]
SERVER = """
import asyncio, logging, sys

from guardrail_mw import Guardrail, GuardrailMiddleware


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def ask(guarded):
    seen = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        seen.append(message.get("status"))

    await guarded(
        {"type": "http", "method": "GET", "path": "/v1/models", "root_path": "", "query_string": b"", "state": {},
         "headers": [(b"authorization", b"Bearer sk-one")], "client": ("198.51.100.7", 1), "server": ("x", 80), "scheme": "http",
         "http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send)
    return seen[0]


class Heard(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("Switches: "):
            switched.set()


async def main():
    global switched
    switched = asyncio.Event()
    logging.getLogger("guardrail_mw").addHandler(Heard())
    guardrail = Guardrail(sys.argv[1])
    guarded = GuardrailMiddleware(app, guardrail)
    await guardrail.start()
    print(*[await ask(guarded) for _ in range(3)], flush=True)
    for _ in range(2):
        await switched.wait()
        switched.clear()
        print(guardrail.engine.mode, await ask(guarded), flush=True)
    await guardrail.close()


asyncio.run(main())
"""
"""Asks three times, then once more after each switch that it hears of; it waits for nothing else."""


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUARDRAIL_OPERATOR_URL", "GUARDRAIL_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Guarded, Port]]:
    with port(monkeypatch, yaml.safe_load(POLICY)) as found:
        yield found


@pytest.mark.usefixtures("served")
def test_a_rule_by_the_port(run: Run) -> None:
    result = run("mode", "shadow", "--rule", "requests", "--reason", "a rush")
    assert result.exit_code == 0
    assert result.stdout == (
        "Not switched: enforce, as the policy says, unless a server's GUARDRAIL_MODE says otherwise.\n"
        "requests is switched to shadow.\n"
    )
    assert run("mode").stdout == result.stdout
    assert run("mode", "clear", "--rule", "requests").stdout.count("\n") == 1


def test_everything_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    result = run("mode", "off", "--reason", "an incident")
    assert result.stdout == "Everything is switched to off, whatever servers' environment and policy say (it is enforce).\n"
    found = json.loads(run("mode", "--json").stdout)
    assert (found["mode"], found["switches"]) == ("off", {"": "off"})
    assert run("mode", "clear").exit_code == 0
    assert served[0].guardrail.engine.mode == "enforce"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["shadow", "--rule", "reqests"], "Did you mean `requests`?"),
        (["off", "--rule", "requests"], "The mode of a rule can only be shadow."),
        (["enforce", "--reason", "two\nlines"], "--reason holds a line break"),
        (["off"], "--reason is missing. Off lets everything through"),
        (["shadw"], "'shadw' is not one of 'shadow', 'enforce', 'off', 'clear'"),
        (["--rule", "requests"], "Say what to do with the rule: shadow or clear."),
    ],
)
@pytest.mark.usefixtures("served")
def test_what_cannot_be_is_2(run: Run, arguments: list[str], text: str) -> None:
    result = run("mode", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr


def test_memory_cannot_be_reached_from_here(run: Run, policy: Callable[[str], str]) -> None:
    result = run("mode", "off", "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert "cannot be reached from another" in result.stderr


@pytest.fixture
def shared(guardrail_start: Callable[..., Server], policy: Callable[[str], str]) -> str:
    """A policy whose store is a Redis of this test's."""
    url = guardrail_start("redis").url
    return policy(f"{POLICY}store: {{url: '{url}', deadline: 10s}}\n")


def test_a_switch_holds_in_another_process(run: Run, shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process looks every half second, so within a second whatever the look takes. It is not told, and not restarted."""
    assert SWITCHES_EVERY <= 0.5
    environ = {**SECRETS, "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", SERVER, shared]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().split() == ["200", "200", "429"]
            monkeypatch.setenv("GUARDRAIL_ID_KEY", "")  # nobody should have to find the keys in order to switch
            assert run("mode", "shadow", "--rule", "requests", "--policy", shared).exit_code == 0
            assert server.stdout.readline().split() == ["enforce", "200"]
            assert run("mode", "off", "--reason", "an incident", "--policy", shared).exit_code == 0
            assert server.stdout.readline().split() == ["off", "200"]
            assert server.wait(30) == 0
        finally:
            server.kill()


def test_a_switch_of_a_rule_that_the_policy_lost_is_said(run: Run, shared: str, tmp_path: Any) -> None:
    assert run("mode", "shadow", "--rule", "network", "--policy", shared).exit_code == 0
    file = tmp_path / shared
    file.write_text("".join(line for line in file.read_text().splitlines(keepends=True) if "name: network" not in line))
    assert "network is switched to shadow (the policy has no such rule).\n" in run("mode", "--policy", shared).stdout
    assert "network" not in run("mode", "clear", "--rule", "network", "--policy", shared).stdout
