"""`guardrail-mw replay`: recorded requests under another policy, in a table, as JSON and as a page."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from ..asgi.kit import JSON, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests

Run = Callable[..., Result]

KEY = "an identity key of these tests, long enough"
CHAT = "/v1/chat/completions"
REQUESTS = {"name": "requests", "rate": "60/hour", "burst": 4}
FRICTION = {"ladder": [{"at": 40, "do": "delay", "with": {"seconds": 0.5}}]}
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 1, "full": 6}}}]}


def document(**changes: Any) -> dict[str, Any]:
    return policy(**{"velocity": [ATTEMPTS], "risk": RISK, "friction": FRICTION} | changes)


def limited(rate: str = "60/hour", burst: int = 4, **changes: Any) -> dict[str, Any]:
    return policy({"name": "requests", "rate": rate, "burst": burst}, friction=FRICTION, **changes)


def record(written: dict[str, Any], people: Sequence[tuple[str, int]], pause: float = 1.0) -> list[dict[str, Any]]:
    """Each of these people asks so many times, one pause apart; the events of it all."""

    async def asked() -> list[dict[str, Any]]:
        guarded = Guarded(Upstream(), written, environ={"GUARDRAIL_ID_KEY": KEY})
        for name, times in people:
            for _ in range(times):
                await guarded.post(CHAT, chat(), (b"authorization", f"Bearer sk-{name}".encode()), JSON)
                guarded.clock.advance(pause)
        return guarded.guardrail.recorder.latest(10_000)[::-1]

    return asyncio.run(asked())


def lines(events: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


@pytest.fixture
def replay(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Replays events under a policy; `recorded` is the one they were recorded by."""
    monkeypatch.setenv("GUARDRAIL_ID_KEY", KEY)

    def replays(events: Any, new: dict[str, Any], *options: str, recorded: dict[str, Any] | None = None) -> Result:
        (tmp_path / "new.yaml").write_text(yaml.safe_dump(new))
        if isinstance(events, list):
            (tmp_path / "events.jsonl").write_text(lines(events))
            events = ["events.jsonl"]
        old = []
        if recorded is not None:
            (tmp_path / "old.yaml").write_text(yaml.safe_dump(recorded))
            old = ["--recorded", "old.yaml"]
        return run("replay", *events, "--policy", "new.yaml", *old, *options)

    return replays


def row(result: Result, name: str) -> list[str]:
    """A rule's figures."""
    [line] = [line.split()[1:] for line in result.stdout.splitlines() if re.match(rf"  {name}\b", line)]
    return line


def test_the_same_policy_changes_nothing(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 6), ("bob", 2)])
    result = replay(events, limited(), recorded=limited())
    assert result.exit_code == 0, result.output
    assert "For 8 of 8 requests (100.00%) the same would be done." in result.stdout
    #                                          then now  more fewer pm   shadow accounts new established
    assert row(result, "requests") == ["2", "2", "-", "-", "-", "-", "1", "-", "-"]
    assert "identity" not in result.stdout


def test_a_stricter_limit_touches_whom_a_hand_works_out(replay: Callable[..., Result]) -> None:
    """Two of ada's are refused then, four now, and two of bob's, to whom nothing was done; cyd stays below either.

    4 more in 11 are 363,636.4 in a million.
    """
    events = record(limited(), [("ada", 6), ("bob", 4), ("cyd", 1)])
    result = replay(events, limited(burst=2), "--json", "out.json", recorded=limited())
    assert row(result, "requests") == ["2", "6", "4", "-", "363,636.4", "-", "2", "1", "-"]
    told = result.stdout.replace("\n", " ")
    assert "Newly refused 4 (363,636.4 in a million), newly slowed or trimmed 0" in told
    assert (
        "Of 3 accounts 1 would be touched to which nothing was done, 0 of them known for 30 days; 0 would no longer be"
        in (result.stdout.replace("\n", " "))
    )
    figures = json.loads(Path("out.json").read_text())
    assert figures["totals"] == {
        "requests": 11,
        "same": 7,
        "touched_before": 2,
        "touched_after": 6,
        "newly_refused": 4,
        "newly_slowed": 0,
        "milder": 0,
        "accounts": 3,
        "networks": 0,
        "accounts_touched_before": 1,
        "accounts_touched_after": 2,
        "accounts_newly_touched": 1,
        "established_newly_touched": 0,
        "accounts_no_longer_touched": 0,
    }
    ada, bob = events[0]["account"], events[6]["account"]
    assert figures["most_touched"] == [
        {"account": bob, "requests": 2, "before": 0, "rules": {"requests": 2}},
        {"account": ada, "requests": 4, "before": 2, "rules": {"requests": 4}},
    ]
    assert figures["moved"] == [
        {"then": "allow", "now": "deny", "requests": 4},
        {"then": "deny", "now": "deny", "requests": 2},
    ]


def test_the_ten_that_are_touched_most_are_named(replay: Callable[..., Result]) -> None:
    """Person n asks n times, of which one is let through: the twelfth is refused eleven, the third two."""
    events = record(limited(burst=20), [(f"p{times}", times) for times in range(1, 13)], pause=0.001)
    result = replay(events, limited(burst=1), "--json", "out.json", "--html", "out.html", recorded=limited(burst=20))
    most = json.loads(Path("out.json").read_text())["most_touched"]
    assert [each["requests"] for each in most] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert most[0]["account"] == events[-1]["account"], result.output
    page = Path("out.html").read_text()
    assert [each["account"] in page for each in most] == [True] * 10


def test_networks_that_paid_are_no_accounts(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 1)])
    stranger = {**events[0], "id": "0" * 24, "account": events[0]["network"], "candidate": "", "authenticated": False}
    told = replay([*events, stranger], limited()).stdout.replace("\n", " ")
    assert "Of 1 account, and 1 network that paid for who had none, 0 would be touched" in told


def test_a_wider_limit_lets_pass_what_was_refused(replay: Callable[..., Result]) -> None:
    events = record(limited(burst=2), [("ada", 6)])
    result = replay(events, limited(burst=5), recorded=limited(burst=2))
    assert row(result, "requests") == ["4", "1", "-", "3", "-", "-", "1", "-", "-"]
    assert "dealt with more mildly 3." in result.stdout.replace("\n", " ")


def test_rungs_and_scorers_are_counted(replay: Callable[..., Result]) -> None:
    """The risk of attempt n is 20 (n - 1), and the rung begins between 36 and 44.

    For ada, whose key draws a threshold above 40, it delays three, the fourth to the sixth. From 5 to 6 only the sixth is
    risky; from 1 to 2 the second is, and all after it.
    """
    events = record(document(), [("ada", 6), ("bob", 2)])
    later = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 5, "full": 6}}}]}
    result = replay(events, document(risk=later), recorded=document())
    assert row(result, "delay") == ["3", "1", "-", "2", "-", "-", "1", "-", "-"]
    assert row(result, "velocity") == ["3", "1", "-", "2", "-", "-", "1", "-", "-"]
    sooner = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}}]}
    result = replay(events, document(risk=sooner), recorded=document())
    assert row(result, "delay") == ["3", "6", "3", "-", "375,000.0", "-", "2", "1", "-"]


def test_established_accounts_are_told_apart_where_events_know(replay: Callable[..., Result]) -> None:
    """Of three accounts newly refused bob and cyd had been known for 30 days."""
    events = record(limited(), [("ada", 3), ("bob", 3), ("cyd", 3)])
    known = [{**event, "established": number >= 3} for number, event in enumerate(events)]
    assert row(replay(known, limited(burst=2)), "requests")[-3:] == ["3", "3", "2"]


def test_a_budget_of_false_positives_is_kept(replay: Callable[..., Result]) -> None:
    """Of three established accounts that would come onto the rung only the first may; strangers would not count."""
    events = [{**event, "established": True} for event in record(document(), [("ada", 6), ("bob", 6), ("cyd", 6)])]
    assert row(replay(events, document()), "delay")[-3] == "3"
    budget = {**FRICTION, "false_positives": "1/day"}
    result = replay(events, document(friction=budget))
    assert (row(result, "delay")[1], row(result, "delay")[-3]) == ("3", "1")


def test_shadow_is_told_apart(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 6)])
    quiet = policy({"name": "requests", "rate": "60/hour", "burst": 1, "shadow": True}, friction=FRICTION)
    assert row(replay(events, quiet), "requests") == ["2", "-", "-", "2", "-", "5", "-", "-", "-"]


def test_time_to_warm_up_is_left_out(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 6)])
    result = replay(events, limited(), "--warm", "5s")
    assert row(result, "requests")[:2] == ["1", "1"]
    assert "5 requests came in the time of --warm" in result.stdout
    assert replay(events, limited(), "--warm", "soon").exit_code == 2


def test_files_may_be_packed_and_in_any_order(replay: Callable[..., Result], tmp_path: Path) -> None:
    events = record(limited(), [("ada", 6), ("bob", 2)])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(events[:3]).encode()))
    (tmp_path / "a.jsonl").write_text(lines(events[3:][::-1]))
    result = replay(("a.jsonl", "b.jsonl.gz"), limited(burst=2))
    assert row(result, "requests")[:3] == ["2", "4", "2"]
    whole = (tmp_path / "b.jsonl.gz").read_bytes()
    (tmp_path / "b.jsonl.gz").write_bytes(whole[:-20])
    result = replay(("a.jsonl", "b.jsonl.gz"), limited())
    assert (result.exit_code, result.stderr) == (2, "b.jsonl.gz cannot be read: it is not whole gzip data.\n")


def test_lines_that_are_no_events_are_named_and_left_out(replay: Callable[..., Result], tmp_path: Path) -> None:
    events = record(limited(), [("ada", 1)])
    bad = [
        "{",
        "[]",
        '{"v": 1}',
        json.dumps({**events[0], "at": -1}),
        json.dumps({**events[0], "v": 2}),
        "\xff",
        "",
        "nonsense",
    ]
    (tmp_path / "events.jsonl").write_bytes((lines(events) * 2).encode() + "\n".join(bad).encode("latin-1"))
    result = replay(("events.jsonl",), limited())
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    assert "7 lines are no events, and were left out: events.jsonl:3: it is not JSON; " in told
    assert "events.jsonl:4: a list is not an event; events.jsonl:5: id is missing; " in told
    assert "1 events were there twice, and count once." in told
    assert "For 1 of 1 requests" in told
    (tmp_path / "events.jsonl").write_text("{\n")
    result = replay(("events.jsonl",), limited())
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, "There is no event in these files.")


def test_another_identity_is_refused(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 1)])
    other = limited()
    other["identity"]["sources"][0]["with"]["headers"] = ["x-api-key"]
    other["identity"]["network"] = {"ipv4_prefix": 24}
    result = replay(events, other, recorded=limited())
    assert result.exit_code == 2
    assert "new.yaml cannot be replayed: it attributes requests in another way than old.yaml" in result.stderr
    assert "(identity.network.ipv4_prefix, identity.sources[0].with.headers)" in result.stderr
    unknown = replay(events, other)
    assert unknown.exit_code == 2
    assert f"in another way than what recorded these events ({events[0]['policy']})" in unknown.stderr
    assert "--recorded OLD.yaml says in what the two differ." in unknown.stderr


def test_a_policy_that_did_not_record_them_is_refused(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 1)])
    result = replay(events, limited(), recorded=limited(burst=3))
    assert result.exit_code == 2
    assert f"and they name {events[0]['policy']}" in result.stderr


def test_what_cannot_be_known_is_said(replay: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    events = record(limited(), [("ada", 1)])
    monkeypatch.delenv("GUARDRAIL_ID_KEY")
    new = policy(
        {"name": "team", "rate": "1/hour", "when": {"organisation": "acme"}},
        {"name": "ring", "per": ["cluster"], "rate": "9/hour"},
        {"name": "tokens", "unit": "tokens", "rate": "9000/hour", "strict": True},
        friction=FRICTION,
        risk={"scorers": [{"use": "automation"}]},
        routes=[{"path": "/v2/**"}],
    )
    told = " ".join(replay(events, new).stdout.split())
    for part in (
        "Events do not name organisations",
        "Events do not name clusters",
        "`strict` is taken for the usual reservation",
        "tokens cannot be judged by them",
        "nothing was found by automation",
        "GUARDRAIL_ID_KEY is not set",
        "their requests count as matching none: /v1/** (1)",
    ):
        assert part in told


def test_what_steers_terminals_is_not_printed(replay: Callable[..., Result]) -> None:
    [event] = record(limited(), [("ada", 1)])
    result = replay([{**event, "route": "\x1b[2J", "policy": "\x1b]0;x\x07\n"}], limited())
    assert result.exit_code == 0
    assert "\ufffd[2J" in result.stdout
    assert "\x1b" not in result.stdout


def test_records_of_refusals_only_are_recognised(replay: Callable[..., Result]) -> None:
    events = [event for event in record(limited(), [("ada", 7)]) if event["decision"] == "deny"]
    assert "These events hold only requests to which something was done" in replay(events, limited()).stdout


def test_a_policy_that_is_off_does_nothing(replay: Callable[..., Result]) -> None:
    events = record(limited(), [("ada", 6)])
    assert replay(events, limited(mode="off")).exit_code == 2
    assert row(replay(events, limited(mode="off"), "--mode", "shadow"), "requests")[:2] == ["2", "2"]


class _Page(HTMLParser):
    """Sees that elements are closed in their order, and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"meta", "line", "rect", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(replay: Callable[..., Result]) -> None:
    events = record(document(), [("ada", 6), ("bob", 2)])
    events[0]["route"] = "<script>alert(1)</script>"  # a file may hold anything
    sooner = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}}]}
    result = replay(events, document(risk=sooner), "--html", "report.html")
    assert "Written: report.html" in result.stdout
    text = Path("report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert [name for _, given in page.seen for name in given if name in {"src", "href", "onload"}] == []
    assert "<script" not in text
    assert "url(" not in text
    plots = [given for tag, given in page.seen if tag == "svg"]
    assert [given["role"] for given in plots] == ["img"] * 4
    assert [given["aria-label"] for given in plots][:2] == [
        "Refused requests. Then 0, now 0 in all.",
        "Requests slowed or trimmed. Then 3, now 6 in all.",
    ]
    assert "prefers-color-scheme: dark" in text
    assert "375,000.0" in text
    assert replay(events, document(), "--html", "no/such/folder.html").exit_code == 2
