"""`guardrail-mw accounts`: by the operator's port, by the shared store, and not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from click.testing import Result

from guardrail_mw import Guardrail
from guardrail_mw.testing.servers import Server

from ..asgi.kit import Guarded, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from .operating import POLICY, SECRETS, Port, port

Run = Callable[..., Result]
CHAT = "/v1/chat/completions"
NOBODY = "a:" + "A" * 22
OTHER = "The port is where the policy's `console.listen` says, not the app's own; --url names it."


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUARDRAIL_OPERATOR_URL", "GUARDRAIL_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Guarded, Port]]:
    with port(monkeypatch, yaml.safe_load(POLICY)) as found:
        yield found


def call(guarded: Guarded, times: int) -> str:
    """So many calls; the account that made them."""

    async def calls() -> str:
        for _ in range(times):
            await guarded.post(CHAT, chat())
        await guarded.guardrail.close()
        account: str = guarded.guardrail.recorder.latest(1)[0]["account"]
        return account

    return asyncio.run(calls())


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


# By the operator's port


def test_show(run: Run, served: tuple[Guarded, Port]) -> None:
    """Three calls, of which the burst of two lets two through; three attempts are a risk of 30, had the third been judged."""
    account = call(served[0], 3)
    found = lines(run("accounts", "show", account))
    assert found[0].startswith(f"Account {account}, 2026-01-01 00:00:00 UTC")
    assert found[1] == "Standing known since 2026-01-01 00:00:00 UTC (0 s), verdict none"
    assert found[2] == "Risk 0 of 100 remembered"
    assert found[3].startswith("delay begins at 2")
    assert "requests 0 requests left of 60/minute; room in 1 s; as new in 2 s" in found
    assert "network 598 requests left of 600/minute; as new in 200 ms" in found
    latest = found[found.index("Latest decisions, of the last 3 that this process knows") + 1 :]
    assert latest[0].endswith("deny (requests), 429, risk 0")
    assert latest[2].endswith("allow, 200, risk 10")


def test_json_is_for_programs(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 1)
    shown = json.loads(run("accounts", "show", account, "--json").stdout)
    assert shown["account"] == account
    assert [each["remaining"] for each in shown["limits"]] == [1, 599]
    assert json.loads(run("accounts", "limits", account, "--json").stdout)["limits"] == shown["limits"]
    assert json.loads(run("accounts", "export", account).stdout)["account"] == account


def test_limits_of_a_route(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 1)
    assert lines(run("accounts", "limits", account, "--route", "/other"))[0].startswith(
        "requests 1 request left of 60/minute"
    )
    assert served[1].asked[-1] == f"GET /v1/accounts/{account}/limits"


def test_what_is_done_is_said_and_kept(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 2)
    why = ("--reason", "ticket 7")
    assert lines(run("accounts", "refill", account, "--limit", "requests", *why)) == [
        f"requests of {account} is as new (1 counter)."
    ]
    assert lines(run("accounts", "refill", account, "--limit", "requests", *why)) == [
        f"requests of {account} is as new (nothing was counted)."
    ]
    assert lines(run("accounts", "label", account, "partner", "--until", "7d", *why)) == [
        f"{account} is labelled partner until 2026-01-08 00:00:00 UTC."
    ]
    assert lines(run("accounts", "label", account, "partner", "--remove", *why)) == [f"{account} is not labelled partner."]
    assert lines(run("accounts", "label", account, "partner", "--remove", *why)) == [
        f"{account} is not labelled partner, and was not."
    ]
    assert lines(run("accounts", "override", account, "deny", *why)) == [f"{account}: deny for good, whatever its risk."]
    assert lines(run("accounts", "override", account, "none", *why)) == [f"{account}: its risk decides again."]
    assert lines(run("accounts", "reset", account, *why)) == [f"1 counter of {account} made as new."]
    assert lines(run("accounts", "reset", account, "--limit", "requests", *why)) == [f"0 counters of {account} made as new."]
    done = [line for line in lines(run("accounts", "show", account)) if line.startswith("Done")]
    assert len(done) == 9
    assert done[0] == "Done 2026-01-01 00:00:00 UTC: refill requests: ticket 7"


def test_a_tier_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 1)
    why = ("--reason", "their launch")
    for flag in ("--for", "--until"):
        assert lines(run("accounts", "tier", account, "plus", flag, "7d", *why)) == [
            f"{account}: tier plus until 2026-01-08 00:00:00 UTC."
        ]
    assert "Tier plus until 2026-01-08 00:00:00 UTC: their launch" in lines(run("accounts", "show", account))
    assert lines(run("accounts", "tier", account, "none", *why)) == [f"{account}: its credential says its tier again."]
    result = run("accounts", "tier", account, "plus", *why)
    assert (result.exit_code, result.stderr) == (2, "--until is missing. A tier is given for a time, such as 7d.\n")
    result = run("accounts", "tier", account, "plsu", "--for", "7d", *why)
    assert result.stderr == "TIER 'plsu' is no tier that the policy's rules ask for. Its tiers are plus.\n"


def test_an_override_says_that_limits_hold(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 1)
    [said] = lines(run("accounts", "override", account, "allow", "--for", "1d", "--reason", "x"))
    limits = "its limits hold as before (`accounts tier` gives it others)"
    assert said == f"{account}: allow until 2026-01-02 00:00:00 UTC, whatever its risk; {limits}."


def test_erase(run: Run, served: tuple[Guarded, Port]) -> None:
    account = call(served[0], 1)
    assert lines(run("accounts", "override", account, "deny", "--reason", "campaign"))
    assert lines(run("accounts", "erase", account, "--reason", "they asked")) == [
        f"{account} is forgotten.",
        "Left, because it holds against the account: override, override.why.",
    ]
    assert lines(run("accounts", "override", account, "none", "--reason", "they may come back"))
    assert lines(run("accounts", "erase", account, "--reason", "now"))[0] == f"{account} is forgotten."
    assert lines(run("accounts", "erase", account, "--reason", "again")) == [f"Nothing was kept of {account}."]


@pytest.mark.parametrize("verb", ["reset", "refill", "tier", "label", "override", "erase"])
def test_nothing_is_done_without_a_reason(run: Run, served: tuple[Guarded, Port], verb: str) -> None:
    rest = {"refill": ["--limit", "requests"], "label": ["vip"], "override": ["deny"], "tier": ["staff"]}.get(verb, [])
    result = run("accounts", verb, NOBODY, *rest)
    assert result.exit_code == 2
    assert "Missing option '--reason'" in result.stderr
    assert served[1].asked == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["override", NOBODY, "dely"],
            "What is decided, 'dely' is neither allow, deny, none nor a rung. The policy's rungs are delay, deny.",
        ),
        (["label", NOBODY, "vip", "--until", "soon"], "--until 'soon' does not begin with"),
        (["refill", NOBODY, "--limit", "reqests"], "Did you mean `requests`?"),
        (["erase", "alice"], "ACCOUNT is not an account's digest."),
    ],
)
def test_what_the_port_refuses_is_2(run: Run, served: tuple[Guarded, Port], arguments: list[str], text: str) -> None:
    result = run("accounts", *arguments, "--reason", "x")
    assert result.exit_code == 2
    assert text in result.stderr
    assert served[1].asked


@pytest.mark.usefixtures("served")
def test_a_wrong_token_is_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_OPERATOR_TOKEN", "x" * 32)
    result = run("accounts", "show", NOBODY)
    assert result.exit_code == 2
    assert result.stderr == "The operator's port does not accept the token. Set GUARDRAIL_OPERATOR_TOKEN to the server's.\n"


def test_a_token_is_needed(run: Run) -> None:
    result = run("accounts", "show", NOBODY, "--url", "http://127.0.0.1:9900")
    assert result.exit_code == 2
    assert "GUARDRAIL_OPERATOR_TOKEN is not set" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:9900", "ftp://x", "http://", "http://[::1"])
def test_a_url_that_is_none(run: Run, url: str) -> None:
    result = run("accounts", "show", NOBODY, "--url", url)
    assert result.exit_code == 2
    assert "is not the URL of an operator's port" in result.stderr


def test_a_port_that_nobody_listens_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_OPERATOR_TOKEN", "t" * 32)
    result = run("accounts", "show", NOBODY, "--url", "http://127.0.0.1:1")
    assert result.exit_code == 2
    assert (
        "Nothing answers at http://127.0.0.1:1 (ConnectError). Is the server running, and has its policy a `console`"
        in result.stderr
    )


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (502, b"[1]", f"http://operator.test:9900 answered 502, and is no operator's port. {OTHER}"),
        (200, b"<html>", f"http://operator.test:9900 answered 200, and not as an operator's port does. {OTHER}"),
        (404, b'{"detail": "Not Found"}', f"http://operator.test:9900 answered 404, and is no operator's port. {OTHER}"),
        (302, b"{}", f"http://operator.test:9900 answered 302, and is no operator's port. {OTHER}"),
    ],
)
def test_something_else_that_listens(
    run: Run, served: tuple[Guarded, Port], monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    async def page(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    monkeypatch.setattr(served[1], "app", page)
    result = run("accounts", "show", NOBODY)
    assert (result.exit_code, result.stderr) == (2, f"{said}\n")


# By the shared store


@pytest.fixture
def shared(
    run: Run, guardrail_start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, policy: Callable[[str], str]
) -> Guarded:
    """Another process's guardrail on a Redis that the policy names, which is in the environment."""
    del run  # it has cleared the environment
    url = guardrail_start("redis").url
    text = f"{POLICY}store: {{url: '{url}', deadline: 10s}}\n"
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(text))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    guarded = Guarded(Upstream(), yaml.safe_load(POLICY))
    guarded.guardrail = Guardrail(yaml.safe_load(text), environ=SECRETS)
    guarded.middleware = type(guarded.middleware)(guarded.app, guarded.guardrail)
    return guarded


def test_the_shared_store_is_asked(run: Run, shared: Guarded) -> None:
    account = call(shared, 2)
    found = lines(run("accounts", "show", account))
    assert found[1].startswith("Standing known since ")
    assert any(line.startswith("requests ") and "left of 60/minute" in line for line in found)
    assert "network 600/minute per network: which that is, a request must tell" in found
    assert not any(line.startswith("Latest decisions") for line in found)
    assert lines(run("accounts", "override", account, "deny", "--reason", "campaign", "--until", "1h"))

    async def denied() -> int:
        try:
            return (await shared.post(CHAT, chat())).status
        finally:
            await shared.guardrail.close()

    assert lines(run("accounts", "refill", account, "--limit", "requests", "--reason", "so that no limit refuses"))
    assert asyncio.run(denied()) == 403
    assert lines(run("accounts", "show", account))[-1].startswith("Done ")


@pytest.mark.usefixtures("shared")
def test_what_cannot_be_is_2_by_the_store_too(run: Run) -> None:
    result = run("accounts", "override", NOBODY, "dely", "--reason", "x")
    assert (result.exit_code, result.stderr) == (
        2,
        "What is decided, 'dely' is neither allow, deny, none nor a rung. The policy's rungs are delay, deny.\n",
    )


def test_a_store_that_is_gone_is_2(run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GUARDRAIL_STORE", "redis://127.0.0.1:1")
    result = run("accounts", "show", NOBODY, "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert result.stderr.startswith("The store did not do it: ")


def test_memory_cannot_be_reached_from_here(run: Run, policy: Callable[[str], str]) -> None:
    result = run("accounts", "show", NOBODY, "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert "lives inside the server's process and cannot be reached from another" in result.stderr


def test_nothing_says_where(run: Run) -> None:
    result = run("accounts", "show", NOBODY)
    assert result.exit_code == 2
    assert result.stderr.startswith("Nothing says where the servers are. Name the operator's port (--url")


def test_a_bad_policy_is_1(run: Run, policy: Callable[[str], str]) -> None:
    assert run("accounts", "show", NOBODY, "--policy", policy("version: 2\n")).exit_code == 1


# Whose a credential is


def test_id_is_the_account_that_the_server_sees(
    run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = call(Guarded(Upstream(), yaml.safe_load(POLICY), environ=SECRETS), 1)
    monkeypatch.setenv("GUARDRAIL_ID_KEY", SECRETS["GUARDRAIL_ID_KEY"])
    result = run("accounts", "id", "--policy", policy(POLICY), text="sk-one\n")
    assert (result.exit_code, result.stdout) == (0, f"{account}\n")
    assert "sk-one" not in result.output


def test_id_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    """The server knows its key and its policy; the credential goes in the body, so no address has it."""
    account = call(served[0], 1)
    result = run("accounts", "id", text="sk-one\n")
    assert (result.exit_code, result.stdout) == (0, f"{account}\n")
    assert served[1].asked == ["POST /v1/accounts/id"]
    assert run("accounts", "id", "--source", "jwt", text="sk-one").stderr == "--source is none of the policy's: api_key.\n"


def test_id_without_the_servers_key_is_2(run: Run, policy: Callable[[str], str]) -> None:
    result = run("accounts", "id", "--policy", policy(POLICY), text="sk-one")
    assert result.exit_code == 2
    assert "the digest would be nobody's" in result.stderr


HEADER = """\
version: 1
identity:
  trusted_proxies: [10.0.0.0/8]
  sources: [{use: header, with: {account: x-user}}]
"""
KEYS = """\
version: 1
identity: {sources: [{use: api_key, with: {trust: keys, keys: [{sha256: SHA, account: alice}]}}]}
"""


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (POLICY, "", "Nothing came on standard input."),
        (POLICY, "two words", "The credential is malformed. (ambiguous_credential)"),
        (KEYS.replace("SHA", "0" * 64), "sk-unknown", "The API key is not valid. (invalid_api_key)"),
        ("version: 1\n", "sk-one", "The credential is recognised by no source of the policy."),
    ],
)
def test_id_of_what_is_nobodys(
    run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, text: str, given: str, said: str
) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", "i" * 32)
    result = run("accounts", "id", "--policy", policy(text), text=given)
    assert result.exit_code == 2
    assert said in result.stderr


def test_id_of_a_proxys_word(run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    document = {**yaml.safe_load(HEADER), "velocity": [{"name": "a", "count": "attempts", "per": "account", "over": "1h"}]}
    document["telemetry"] = {"events": [{"use": "log"}]}
    guarded = Guarded(Upstream(), document, environ=SECRETS)

    async def calls() -> str:
        await guarded.get("/x", (b"x-user", b"alice"), (b"x-forwarded-for", b"192.0.2.9"), client=("10.0.0.1", 1))
        account: str = guarded.guardrail.recorder.latest(1)[0]["account"]
        return account

    monkeypatch.setenv("GUARDRAIL_ID_KEY", SECRETS["GUARDRAIL_ID_KEY"])
    result = run("accounts", "id", "--policy", policy(HEADER), "--source", "header", text="alice\n")
    assert result.stdout == f"{asyncio.run(calls())}\n"


def test_id_by_a_source_that_is_not_there(run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", "i" * 32)
    result = run("accounts", "id", "--policy", policy(POLICY), "--source", "jwt", text="x")
    assert (result.exit_code, result.stderr) == (2, "--source is none of the policy's: api_key.\n")
    assert run("accounts", "id", text="x").exit_code == 2
