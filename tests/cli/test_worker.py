"""`guardrail-mw worker`: it works until it is told to stop. And what operators order holds for servers at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import yaml
from click.testing import Result

from guardrail_mw import Guardrail
from guardrail_mw.clusters.state import State
from guardrail_mw.engine.linking import link
from guardrail_mw.testing.servers import Server

from ..asgi.kit import Guarded, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from .operating import SECRETS

Run = Callable[..., Result]
CHAT = "/v1/chat/completions"
POLICY = """\
version: 1
mode: enforce
identity: {sources: [{use: api_key, with: {headers: [authorization, x-api-key], trust: gateway}}]}
routes: [{path: /v1/**, dialect: openai}]
clusters: {floor: {accounts: 5, exchanges: 1}}
limits:
  - {name: requests, per: [account], rate: 6000/minute}
  - {name: suspects, per: [cluster], when: {verdict: suspect}, window: 2/day}
"""
KEYS = [f"sk-{number}" for number in range(20)]
COMMAND = [sys.executable, "-c", "from guardrail_mw.cli import main; main(prog_name='guardrail-mw')", "worker"]


@pytest.fixture
def shared(
    run: Run, guardrail_start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, policy: Callable[[str], str]
) -> str:
    """A policy on a Redis, which is in the environment with the secrets."""
    del run  # it has cleared the environment
    text = f"{POLICY}store: {{url: '{guardrail_start('redis').url}', deadline: 10s}}\n"
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(text))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return text


@pytest.fixture
def working(shared: str) -> Iterator[subprocess.Popen[str]]:
    """The command, running."""
    del shared
    process = subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    yield process
    process.kill()
    process.communicate()


async def feed(guardrail: Guardrail) -> None:
    """Twenty keys with one card and one badge, among 200 that share nothing."""
    for number, each in enumerate([*KEYS, *[f"sk-other-{number}" for number in range(200)]]):
        mine = each in KEYS
        await link(guardrail, each, "payment", "fp_1" if mine else f"fp_other_{number}")
        await link(guardrail, each, "tls", "ja4" if mine else f"ja4 {number}")


async def cluster(guardrail: Guardrail) -> str:
    """The id of the one that was found."""
    state = State.unpack(await guardrail.store.recall("clusters"))  # type: ignore[attr-defined]
    [found] = state.clusters
    assert len(found.members) == len(KEYS)
    return found.id


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_works_until_it_is_told_to_stop(shared: str, working: subprocess.Popen[str], name: signal.Signals) -> None:
    assert working.stderr is not None
    for line in working.stderr:
        if "Clusters rebuilt: " in line:
            break
    working.send_signal(name)
    assert working.wait() == 0
    assert working.stderr.read().splitlines()[-1] == "Stopped."
    del shared


def test_what_is_released_is_served_with_its_next_request(run: Run, shared: str) -> None:
    """Servers know standings by heart; that this one changed, the charge of the next request tells them."""
    guarded = Guarded(Upstream(), yaml.safe_load(shared))
    guarded.guardrail = Guardrail(yaml.safe_load(shared), environ=SECRETS)
    guarded.middleware = type(guarded.middleware)(guarded.app, guarded.guardrail)

    async def call(key: str) -> int:
        headers = ((b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json"))
        return (await guarded.post(CHAT, chat(), *headers)).status

    async def before() -> str:
        await feed(guarded.guardrail)
        assert [await call(each) for each in KEYS[:3]] == [200] * 3
        await guarded.guardrail.work()
        return await cluster(guarded.guardrail)

    async def calls() -> list[int]:
        return [await call(each) for each in KEYS[:3]]

    with asyncio.Runner() as runner:
        found = runner.run(before())
        assert run("clusters", "label", found, "suspect", "--reason", "a campaign").exit_code == 0
        assert runner.run(calls()) == [200, 200, 429]
        assert runner.run(calls()) == [429] * 3
        result = run("clusters", "release", found, "--reason", "an office")
        assert "20 accounts touched:" in result.stdout
        assert runner.run(calls()) == [200] * 3
        runner.run(guarded.guardrail.work())
        assert runner.run(calls()) == [200] * 3
        runner.run(guarded.guardrail.close())


def test_memory_cannot_be_worked_on_from_here(run: Run, policy: Callable[[str], str]) -> None:
    result = run("worker", "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert result.stderr.startswith("The policy's store is memory://, which lives inside the server's process")


def test_a_bad_policy_is_1(run: Run, policy: Callable[[str], str]) -> None:
    assert run("worker", "--policy", policy("version: 2\n")).exit_code == 1
