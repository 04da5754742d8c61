"""`guardrail-mw cases` and `appeals`: by the operator's port, by the shared store, and not at all."""

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

from ..asgi.kit import Guarded, Upstream  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.verifying import JSON, KEY, OTHER_KEY, ask, guarded, look, path_of, said  # noqa: TID252 - likewise
from .operating import SECRETS, Port, port

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GUARDRAIL_OPERATOR_URL", "GUARDRAIL_OPERATOR_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def document(**verification: Any) -> dict[str, Any]:
    """The policy that asks robots for an identity, which an operator checks."""
    return guarded(use="manual", verification=verification).guardrail.policy.written()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Guarded, Port]]:
    with port(monkeypatch, document(duplicates=1)) as found:
        yield found


def barred(site: Guarded, key: Any = KEY, text: str = "") -> tuple[str, str, str]:
    """A robot is refused, and appeals where it has a text: account, and the ids of its case and its appeal."""

    async def asking() -> tuple[str, str, str]:
        await ask(site, key=key)
        error = said(await ask(site, key=key))
        account = (await look(site, path_of(error["verification_url"]))).json["account"]
        if text:
            assert (await site.post(path_of(error["appeal_url"]), {"text": text}, JSON)).status == 201
        cases, appeals = site.guardrail.engine.cases, site.guardrail.engine.appeals
        assert cases is not None
        assert appeals is not None
        await site.guardrail.close()
        return account, cases.name(account, "ids", "id"), appeals.name(account)

    return asyncio.run(asking())


def status(site: Guarded, key: Any = KEY) -> int:
    async def asking() -> int:
        try:
            return (await ask(site, key=key)).status
        finally:
            await site.guardrail.close()

    return asyncio.run(asking())


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_nothing_there(run: Run, served: tuple[Guarded, Port]) -> None:
    del served
    assert lines(run("cases", "list"))[0].startswith("There are no such cases.")
    assert lines(run("appeals", "list"))[0].startswith("There are no such appeals.")


def test_cases_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    site, asked = served
    first, case, _ = barred(site)
    second, other, _ = barred(site, OTHER_KEY)
    site.clock.jump(86_400)
    assert sorted(lines(run("cases", "list"))) == sorted(
        [
            "case of provider, level state asked",
            f"{case} {first} ids id asked 2026-01-01 00:00 due in 13 d",
            f"{other} {second} ids id asked 2026-01-01 00:00 due in 13 d",
        ]
    )
    found = lines(run("cases", "show", case[:8]))
    decision = json.loads(run("cases", "show", case, "--json").stdout)["decision"]
    assert found == [
        f"Case {case}, asked",
        f"Account {first}, stopped by the rung verify (decision {decision})",
        "Asked for id by ids, 2026-01-01 00:00:00 UTC",
        "Deadline 2026-01-15 00:00:00 UTC",
        "2026-01-01 00:00:00 UTC the account came to the rung verify",
        f"2026-01-01 00:00:00 UTC it was asked to verify itself, by decision {decision}",
        f"Decides guardrail-mw cases decide {case[:8]} approved|declined|withdrawn --reason …",
    ]
    why = ("--reason", "seen in a call")
    result = run("cases", "decide", case, "approved", *why, "--document", "--person", text="DE C01X00\n1234\n")
    assert lines(result) == [f"Case {case} of {first} is approved until 2027-01-02 00:00:00 UTC."]
    assert status(site) == 200
    result = run("cases", "decide", other, "approved", *why, "--document", text="de-c01x00")
    assert lines(result) == [
        f"Case {other} of {second} is duplicate.",
        "This document, or this person, has verified too many accounts in 90 days (`verification.duplicates`).",
    ]
    assert "Worth ial 2, acr urn:example:kyc" in lines(run("cases", "show", case))
    listed = json.loads(run("cases", "list", "--state", "approved", "--json").stdout)
    assert [each["id"] for each in listed["cases"]] == [case]
    assert lines(run("cases", "list", "-n", "1"))[-1] == "There are more: -n and --state say which are listed."
    assert any(line.startswith(f"Case {case}: ids approved until") for line in lines(run("accounts", "show", first)))
    site.clock.jump(14 * 86_400)
    assert "decided" in json.loads(run("cases", "decide", case, "withdrawn", "--reason", "x", "--json").stdout)
    assert {each.partition("?")[0].split("/")[2] for each in asked.asked} == {"cases", "accounts"}


def test_a_case_that_is_overdue(run: Run, served: tuple[Guarded, Port]) -> None:
    _, case, _ = barred(served[0])
    served[0].clock.jump(14 * 86_400)
    assert lines(run("cases", "list"))[1].endswith("asked 2026-01-01 00:00 overdue since 2026-01-15 00:00")
    assert "Deadline 2026-01-15 00:00:00 UTC, which has passed" in lines(run("cases", "show", case))


def test_appeals_by_the_port(run: Run, served: tuple[Guarded, Port]) -> None:
    site, _ = served
    account, _, appeal = barred(site, text="We are an office \u202eof forty; " + "a nightly export runs at two. " * 5)
    assert lines(run("appeals", "list")) == [
        "appeal of state times opened reason",
        f"{appeal} {account} open 1 2026-01-01 00:00",
    ]
    found = run("appeals", "show", appeal[:6])
    assert "\u202e" not in found.stdout
    told = lines(found)
    assert told[:2] == [f"Appeal {appeal} of {account}, open", "Opened 2026-01-01 00:00:00 UTC; 1 time in all, by 1 account"]
    assert told[2].startswith(f"2026-01-01 00:00:00 UTC {account}, of decision ")
    assert told[3].startswith("We are an office \\u202eof forty; a nightly export")
    assert told[-1] == f"Decides guardrail-mw appeals decide {appeal[:6]} granted|refused --reason …"
    result = run("appeals", "decide", appeal, "granted", "--reason", "known to us", "--for", "2d")
    assert lines(result) == [
        f"Appeal {appeal} of {account} is granted: it is let through, whatever its risk, until 2026-01-03 00:00:00 UTC.",
        "1 account touched:",
        account,
    ]
    assert status(site) == 200
    result = run("appeals", "decide", appeal, "refused", "--reason", "not any more")
    assert lines(result)[0] == (
        f"Appeal {appeal} of {account} is refused: what held holds, and it is labelled until 2026-01-31 00:00:00 UTC."
    )
    assert status(site) == 403
    assert [line for line in lines(run("appeals", "show", appeal)) if line.startswith("Decided")] == [
        "Decided 2026-01-01 00:00:00 UTC: granted: known to us",
        "Decided 2026-01-01 00:00:00 UTC: refused: not any more",
    ]
    assert json.loads(run("appeals", "list", "--json").stdout)["appeals"][0]["reason"] == "not any more"
    assert json.loads(run("appeals", "decide", appeal, "refused", "--reason", "x", "--json").stdout)["touched"] == [account]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["cases", "show", "mine"],
            "ID is not the id of one: those are of 0-9 and a-f. `guardrail-mw cases list` has them all.",
        ),
        (["cases", "show", "0" * 24], f"ID '{'0' * 24}' is not there. `guardrail-mw cases list` has them all."),
        (["cases", "show", "../accounts"], "ID is not the id of one: those are of 0-9 and a-f."),
        (["cases", "show", ".."], "ID is not the id of one"),
        (["appeals", "show", "0"], "ID '0' is not there. `guardrail-mw appeals list` has them all."),
        (["cases", "decide", "0", "approved", "--reason", " "], "--reason is empty"),
        (
            ["cases", "decide", "0", "declined", "--reason", "x", "--document"],
            "--document is noted with what is approved only.",
        ),
        (["appeals", "decide", "0", "granted", "--reason", "x", "--until", "soon"], "--until "),
        (
            ["cases", "decide", "0", "approved", "--reason", "x", "--person"],
            "No number came on standard input for --person.",
        ),
    ],
)
@pytest.mark.parametrize("way", ["port", "store"])
def test_what_cannot_be_is_2_and_says_why(
    run: Run, request: pytest.FixtureRequest, way: str, arguments: list[str], text: str
) -> None:
    request.getfixturevalue("served" if way == "port" else "shared")
    result = run(*arguments, text="" if "--person" in arguments else "DE 1\n")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(text)


@pytest.mark.parametrize("command", [("cases", "approved"), ("appeals", "granted")])
def test_what_changes_something_needs_a_reason(run: Run, command: tuple[str, str]) -> None:
    result = run(command[0], "decide", "0", command[1])
    assert result.exit_code == 2
    assert "Missing option '--reason'" in result.stderr


@pytest.fixture
def shared(
    run: Run, guardrail_start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, policy: Callable[[str], str]
) -> Guarded:
    """Another process's guardrail on a Redis that the policy names, which is in the environment."""
    del run  # it has cleared the environment
    found = document() | {"store": {"url": guardrail_start("redis").url, "deadline": "10s"}}
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(yaml.safe_dump(found)))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    site = Guarded(Upstream(), document())
    site.guardrail = Guardrail(found, environ=SECRETS)
    site.middleware = type(site.middleware)(site.app, site.guardrail)
    return site


def test_the_shared_store_is_asked(run: Run, shared: Guarded) -> None:
    account, case, appeal = barred(shared, text="We are an office.")
    assert lines(run("cases", "list"))[1].startswith(f"{case} {account} ids id asked ")
    assert lines(run("cases", "decide", case[:10], "approved", "--reason", "seen"))[0].startswith(
        f"Case {case} of {account}"
    )
    assert status(shared) == 200
    assert run("cases", "decide", case, "withdrawn", "--reason", "another person").exit_code == 0
    assert status(shared) == 403
    assert lines(run("appeals", "show", appeal))[3] == "We are an office."
    assert run("appeals", "decide", appeal, "granted", "--reason", "known to us").exit_code == 0
    assert status(shared) == 200
    exported = json.loads(run("accounts", "export", account).stdout)
    assert ([each["id"] for each in exported["cases"]], [each["id"] for each in exported["appeals"]]) == ([case], [appeal])
    assert lines(run("accounts", "erase", account, "--reason", "they asked")) == [f"{account} is forgotten."]
    assert json.loads(run("cases", "list", "--json").stdout)["cases"] == []


def test_what_a_provider_did_not_forget_is_said(run: Run, served: tuple[Guarded, Port]) -> None:
    site, _ = served
    account, case, _ = barred(site)

    async def begun() -> None:
        cases = site.guardrail.engine.cases
        assert cases is not None
        fields = await cases.files.pull("case", case)
        assert fields is not None
        from guardrail_mw.stores.base import Change

        await cases.files.file(
            "case", case, [Change("set", "ref", "v1"), Change("set", "provider", "gone")], site.clock.now()
        )
        await site.guardrail.close()

    asyncio.run(begun())
    assert lines(run("accounts", "erase", account, "--reason", "they asked")) == [
        f"{account} is forgotten.",
        "gone may still have its verification v1 (the policy does not have this provider any more). Have it erased there.",
    ]
