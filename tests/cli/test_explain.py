"""`guardrail-mw explain`: from logs, from the operator's port, from what the policy's own sink wrote."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from ..asgi.kit import Guarded, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from .operating import POLICY, SECRETS, Port, port

Run = Callable[..., Result]
CHAT = "/v1/chat/completions"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUARDRAIL_OPERATOR_URL", "GUARDRAIL_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Guarded, Port]]:
    with port(monkeypatch, yaml.safe_load(POLICY)) as found:
        yield found


def record(guarded: Guarded, times: int = 3) -> list[dict[str, Any]]:
    """The events of so many calls, the oldest first."""

    async def calls() -> None:
        for _ in range(times):
            await guarded.post(CHAT, chat())
        await guarded.guardrail.close()

    asyncio.run(calls())
    return guarded.guardrail.recorder.latest(100)[::-1]


def recorded(times: int = 3) -> list[dict[str, Any]]:
    return record(Guarded(Upstream(), yaml.safe_load(POLICY), environ=SECRETS), times)


def log(path: Path, events: list[Any]) -> str:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return str(path)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_decision_from_a_log(run: Run, tmp_path: Path) -> None:
    """The burst is 2, so the third is refused; a request a second comes back."""
    events = recorded()
    refused = events[2]
    found = lines(run("explain", refused["id"], "--events", log(tmp_path / "events.jsonl", events)))
    assert found[0] == f"Decision {refused['id']}, 2026-01-01 00:00:00 UTC, mode enforce, policy {refused['policy']}"
    assert "Answer refused with 429 (rate_limited); the app never saw it" in found
    assert "requests REFUSED: costs 1 request, 0 requests left, 1 request short; room in 1 s" in found
    assert "attempts 3" in found
    assert "The limit requests: the same request is admitted in 1 s, if nothing else comes." in found
    assert found[-1].startswith("(The policy that decided is not at hand")


def test_with_the_policy_that_decided(run: Run, tmp_path: Path, policy: Callable[[str], str]) -> None:
    events = recorded()
    name = log(tmp_path / "events.jsonl", events)
    found = lines(run("explain", events[2]["id"], "--events", name, "--policy", policy(POLICY)))
    assert "requests REFUSED: costs 1 request of 60/minute, 0 requests left, 1 request short; room in 1 s" in found
    assert not found[-1].startswith("(The policy")
    other = policy(POLICY.replace("60/minute", "61/minute"))
    assert lines(run("explain", events[2]["id"], "--events", name, "--policy", other))[-1].startswith("(The policy")


def test_several_logs_also_compressed(run: Run, tmp_path: Path) -> None:
    events = recorded()
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    log(first, events[:1])
    with gzip.open(second, "wt") as file:
        file.writelines(f"{json.dumps(event)}\n" for event in events[1:])
    for event in events:
        assert event["id"] in run("explain", event["id"], "--events", str(first), str(second)).stdout
    account = events[0]["account"]
    found = lines(run("explain", account, "--events", str(second), "--events", str(first)))
    assert found[0] == f"Account {account}: 3 decisions, 2026-01-01 00:00:00 UTC to 2026-01-01 00:00:00 UTC"
    assert found[1] == "2 allow, 1 deny"
    assert f"Decision {events[2]['id']}," in " ".join(found)  # the one that was more than an allow


def test_json_is_for_programs(run: Run, tmp_path: Path) -> None:
    events = recorded()
    name = log(tmp_path / "events.jsonl", events)
    assert json.loads(run("explain", events[1]["id"], "--json", "--events", name).stdout) == events[1]
    assert len(json.loads(run("explain", events[1]["account"], "--json", "--events", name).stdout)) == 3


def test_what_is_no_event_is_left_out_and_said(run: Run, tmp_path: Path) -> None:
    events = recorded()
    identity = events[0]["id"]
    bad = [{"id": identity}, identity, {**events[0], "v": 2}, {**events[0], "at": "now"}]
    name = log(tmp_path / "events.jsonl", [*events, *bad])
    with Path(name).open("a") as file:
        file.write(f'{{"id": "{identity}"')
    result = run("explain", identity, "--events", name)
    assert result.stderr == f"5 lines that name {identity} are no events of this version, and are left out.\n"
    assert lines(result)[0].startswith(f"Decision {identity}")


def test_of_very_many_the_last_are_looked_at(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("guardrail_mw.cli.explain"), "_KEPT", 2)
    events = recorded(5)
    account = events[0]["account"]
    result = run("explain", account, "--json", "--events", log(tmp_path / "e.jsonl", events))
    assert result.stderr == f"5 lines name {account}; the last 2 are looked at.\n"
    assert {event["id"] for event in json.loads(result.stdout)} == {events[3]["id"], events[4]["id"]}


def test_a_log_cannot_move_the_cursor(run: Run, tmp_path: Path) -> None:
    event = {**recorded(1)[0], "route": "\x1b[2J\nAnswer   passed on"}
    result = run("explain", event["id"], "--events", log(tmp_path / "e.jsonl", [event]))
    assert "\x1b" not in result.stdout
    assert "\\x1b[2J\\nAnswer   passed on" in result.stdout


def test_what_nobody_knows_is_1(run: Run, tmp_path: Path, served: tuple[Guarded, Port]) -> None:
    assert served
    for where in (["--events", log(tmp_path / "e.jsonl", recorded(1))], []):
        result = run("explain", "0" * 24, *where)
        assert result.exit_code == 1
        assert result.stderr.startswith("Nothing is known of 000000000000000000000000 there.")


def test_a_log_that_cannot_be_read_is_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:-4])
    for name, why in (("nowhere", "no such file or directory"), ("cut.gz", "it is not whole"), (".", "is a directory")):
        result = run("explain", "0" * 24, "--events", name)
        assert (result.exit_code, result.stderr) == (2, f"{name} cannot be read: {why}.\n")


def test_neither_a_decision_nor_an_account_is_2(run: Run) -> None:
    result = run("explain", "alice\x1b[2J")
    assert result.exit_code == 2
    assert result.stderr == "'alice\\x1b[2J' is neither a decision (24 hex digits) nor an account (a:… or n:…).\n"


def test_there_is_nothing_to_read(run: Run, policy: Callable[[str], str]) -> None:
    for rest in ([], ["--policy", policy(POLICY)]):
        result = run("explain", "0" * 24, *rest)
        assert result.exit_code == 2
        assert result.stderr.startswith("There is nothing to read decisions from. Name a log (--events FILE)")


@pytest.mark.parametrize("path", ["events.jsonl", "events-{pid}.jsonl"])
def test_the_log_of_the_policys_own_sink(run: Run, tmp_path: Path, policy: Callable[[str], str], path: str) -> None:
    text = f"{POLICY}telemetry: {{events: [{{use: jsonl, with: {{path: '{tmp_path / path}'}}}}]}}\n"
    events = record(Guarded(Upstream(), yaml.safe_load(text), environ=SECRETS))
    assert lines(run("explain", events[2]["id"], "--policy", policy(text)))[0].startswith(f"Decision {events[2]['id']}")


# By the operator's port


def test_a_decision_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    """What is not in an event, it asks: where the rungs begin for this account."""
    events = record(served[0], 2)
    found = lines(run("explain", events[1]["id"]))
    assert any(line.startswith("Rung none; ") and "below delay, which begins at 2" in line for line in found)
    decision = f"GET /v1/decisions/{events[1]['id']}"
    assert served[1].asked == [decision, f"{decision}/explanation"]


def test_a_server_has_the_policy_that_decided(run: Run, served: tuple[Guarded, Port]) -> None:
    """Nobody has to name it: amounts, weights and decay are there as with --policy."""
    events = record(served[0])
    amounts = "requests REFUSED: costs 1 request of 60/minute, 0 requests left, 1 request short; room in 1 s"
    for what in (events[2]["id"], events[2]["account"]):
        found = lines(run("explain", what))
        assert amounts in found
        assert not any("not at hand" in line for line in found)


def test_an_account_by_the_port(run: Run, served: tuple[Guarded, Port], policy: Callable[[str], str]) -> None:
    events = record(served[0])
    account = events[0]["account"]
    found = lines(run("explain", account, "--policy", policy(POLICY)))
    assert found[0].startswith(f"Account {account}")
    assert any(line.startswith("requests 0 requests left of 60/minute; room in 1 s") for line in found)
    assert f"Decision {events[2]['id']}, 2026-01-01 00:00:00 UTC, mode enforce, policy {events[2]['policy']}" in found
    assert json.loads(run("explain", account, "--json").stdout)["account"] == account
