"""Traces from elsewhere: what is read, what is refused with its line, and how it fares."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from guardrail_mw.algorithms import activity, edges, keys
from guardrail_mw.cli import main
from guardrail_mw.policy import load
from guardrail_mw.simulate.timeline import step_of
from guardrail_mw.simulate.told import policy_for, trace_kinds
from guardrail_mw.simulate.trace_page import _last_looks, _length, trace_page
from guardrail_mw.simulate.trace_report import tell_trace
from guardrail_mw.simulate.traces import Row, Trace, TraceError
from guardrail_mw.simulate.tracing import Traced
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE, SECOND

from .checked import Checked

KINDS = frozenset({"payment", "agent", "network", "prompt"})


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_rows_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.jsonl",
        {"time": "2026-01-05T00:00:02Z", "account": "b", "model": "m", "input": 3, "output": 4},
        {
            "time": 1767571201.5,
            "account": "a",
            "tokens": 7,
            "evidence": {"payment": "p", "agent": ["x", "y"]},
            "label": "one",
        },
        "",
        {"time": "2026-01-05T01:00:02+01:00", "account": "c", "created": "2026-01-01T00:00:00Z"},
    )
    trace = Trace(path, KINDS)
    assert trace.bad == []
    assert len(trace) == 3
    assert list(trace) == [
        Row(1_767_571_201_500_000, "a", "", 7, 0, {"payment": ("p",), "agent": ("x", "y")}, None, "one"),
        Row(1_767_571_202_000_000, "b", "m", 3, 4, {}, None, ""),
        Row(1_767_571_202_000_000, "c", "", 0, 0, {}, 1_767_225_600_000_000, ""),
    ]
    assert (trace.start, trace.end) == (1_767_571_201_500_000, 1_767_571_202_000_000)
    assert trace.models == {"m": 1_767_571_202_000_000}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "is not JSON"),
        ([1], "is not an object"),
        ({"account": "a"}, "time: must be a time"),
        ({"time": "yesterday", "account": "a"}, "time: is no time"),
        ({"time": "2026-01-05T00:00:00", "account": "a"}, "time: has no zone"),
        ({"time": 1767571200000, "account": "a"}, "a number means seconds"),
        ({"time": True, "account": "a"}, "time: must be a time"),
        ({"time": 1, "account": ""}, "account: must be text"),
        ({"time": 1, "account": 7}, "account: must be text"),
        ({"time": 1, "account": "a", "tokens": -1}, "tokens: must be a whole number"),
        ({"time": 1, "account": "a", "input": 1.5}, "input: must be a whole number"),
        ({"time": 1, "account": "a", "tokens": 1, "output": 1}, "tokens: stands for input and output together"),
        ({"time": 1, "account": "a", "model": 1}, "model: must be text"),
        ({"time": 1, "account": "a", "who": "x"}, "who: is not a column"),
        ({"time": 1, "account": "a", "evidence": "x"}, "evidence: must be a mapping"),
        (
            {"time": 1, "account": "a", "evidence": {"card": "x"}},
            "'card' is no kind; there are agent, network, payment, prompt",
        ),
        ({"time": 1, "account": "a", "evidence": {"payment": 5}}, "evidence.payment: must be text"),
        ({"time": 1, "account": "\ud800"}, "account: holds half of a surrogate pair"),
        ({"time": 1, "account": "a", "label": "\udfff"}, "label: holds half of a surrogate pair"),
        ({"time": 1, "account": "a", "evidence": {"network": ["x", "\ud800"]}}, "evidence.network: holds half of"),
        ({"time": 1, "account": "a", "model": "m" * 257}, "model: has 257 characters; at most 256"),
    ],
)
def test_a_bad_row_is_told_with_its_line(row: Any, why: str, tmp_path: Path) -> None:
    trace = Trace(written(tmp_path / "t.jsonl", {"time": 1, "account": "a"}, row), KINDS)
    assert len(trace) == 1
    [bad] = trace.bad
    assert bad.line == 2
    assert why in bad.why


def test_what_is_made_from_requests_is_not_told() -> None:
    """Pieces of text from the prompt, a move to a new model from the model, hours from the times."""
    kinds = trace_kinds(load("guardrail:campaign"))
    assert {"payment", "system", "prompt"} <= kinds
    assert kinds & {"shingle", "release", "coactive"} == set()


def test_parquet_is_the_same(tmp_path: Path) -> None:
    rows = [
        {"time": 5.0, "account": "b", "tokens": 1, "evidence": {"payment": "p", "agent": None}},
        {"time": 4.0, "account": "a", "tokens": 2, "evidence": {"payment": None, "agent": "x"}},
        {"time": -1.0, "account": "c", "tokens": 3, "evidence": None},
    ]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    trace = Trace(path, KINDS)
    assert [(row.account, row.input, dict(row.evidence)) for row in trace] == [
        ("a", 2, {"agent": ("x",)}),
        ("b", 1, {"payment": ("p",)}),
    ]
    assert [(bad.line, bad.why) for bad in trace.bad] == [(3, "time: is not between 1970 and 2100; a number means seconds")]


def test_what_cannot_be_read_at_all(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        Trace(tmp_path / "nothing.jsonl", KINDS)
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(TraceError, match=r"bad\.parquet"):
        Trace(path, KINDS)


def farm() -> list[dict[str, Any]]:
    """Forty days: 800 strangers, and on the last two 25 new accounts with one card, one address and one prompt."""
    rows = [
        {
            "time": 1767571200 + (call % 40) * 86400 + call * 20,
            "account": f"person {call // 2}",
            "model": "m",
            "tokens": 100,
            "evidence": {
                "payment": f"card {call // 2}",
                "network": f"198.51.{call // 512}.{call // 2 % 256}",
                "agent": f"agent {call // 2 % 7}",
            },
        }
        for call in range(1600)
    ]
    for call in range(500):
        who = call % 25
        rows.append(
            {
                "time": 1767571200 + 38 * 86400 + call * 200,
                "account": f"bot {who}",
                "tokens": 1500,
                "created": 1767571200 + 37 * 86400,
                "label": "farm",
                "evidence": {
                    "payment": "stolen",
                    "device": f"d{who // 5}",
                    "network": "203.0.113.9",
                    "system": "You write worked solutions of problems, step by step.",
                },
            }
        )
    return rows


def test_a_farm_in_a_trace_is_found(tmp_path: Path) -> None:
    path, out = written(tmp_path / "t.jsonl", *farm(), "{"), tmp_path / "out"
    ran = CliRunner().invoke(
        main, ["simulate", "--trace", str(path), "--out", str(out), "--accounts", str(tmp_path / "a.jsonl")]
    )
    assert isinstance(ran.exception, SystemExit), ran.exception
    assert ran.exit_code == 1, ran.output  # of a row that is bad
    assert "t.jsonl:2101: is not JSON" in ran.output
    accounts = {row["account"]: row for row in map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())}
    assert len(accounts) == 825
    bots = [row for name, row in accounts.items() if name.startswith("bot")]
    assert len({row["cluster"] for row in bots}) == 1
    assert bots[0]["cluster"]
    assert all(row["verdict"] != "none" for row in bots)
    assert all(row["reasons"][0].startswith("acts with 24 others, which share ") for row in bots)
    assert all("payment" in row["reasons"][0] for row in bots)
    cluster = bots[0]["cluster"]
    frees = f"freed at once by: clusters release {cluster}, or clusters split {cluster} a:"
    assert all(row["reasons"][-1].startswith(frees) for row in bots)
    assert [row["requests"] for row in bots] == [20] * 25
    people = [row for name, row in accounts.items() if name.startswith("person")]
    assert {(row["cluster"], row["verdict"], row["rung"], row["requests"]) for row in people} == {("", "none", "", 2)}
    figures = json.loads((out / "report.json").read_text())
    assert figures["pairs"] == {"own": 300, "cross": 0, "mixed": 0, "ordinary": 0}  # 25 times 24, in both orders one
    assert figures["labels"]["farm"] == {"accounts": 25, "held": 1.0, "precision": 1.0, "recall": 1.0}
    told = (out / "report.txt").read_text()
    assert told in ran.output
    assert "guardrail:campaign" in told.splitlines()[0]
    assert f"  {bots[0]['cluster']}  suspect         25 accounts, by " in told
    assert sorted(each.name for each in out.iterdir()) == ["report.html", "report.json", "report.txt"]
    page = Checked()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    assert page.plots == 3  # requests, requests by label, accounts in suspect clusters
    assert bots[0]["cluster"] in page.text
    assert "farm25100%1.00001.0000" in page.text
    timeline = figures["timeline"]
    assert timeline["seconds"] == 86_400
    assert timeline["codes"] == {"served": [40] * 38 + [472, 108]}
    assert timeline["labels"] == {"farm": [0] * 38 + [432, 68]}  # 200 s apart: the first 432 in a day
    assert figures["looks"][-1][1:] == [1, 25]


def test_accounts_as_parquet(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", *farm()[:80])
    ran = CliRunner().invoke(main, ["simulate", "--trace", str(path), "--accounts", str(tmp_path / "a.parquet")])
    assert ran.exit_code == 0, ran.output
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(rows) == 40
    assert rows[0] == {
        "account": "person 0", "cluster": "", "verdict": "none", "rung": "", "reasons": [],
        "requests": 2, "refused": 0, "label": "",
    }  # fmt: skip


def test_a_trace_without_a_row(tmp_path: Path) -> None:
    empty = CliRunner().invoke(main, ["simulate", "--trace", str(written(tmp_path / "e.jsonl", "{"))])
    assert empty.exit_code == 2
    assert "has no row that can be used" in empty.output


# What the guard is told

OWN = "version: 1\nextends: guardrail:campaign\nclusters: {kinds: {badge: {family: reputation, bound: true, code: 40}}}\n"
BADGE = 40
KNOWN = {keys.PAYMENT, keys.DOMAIN, keys.EMAIL_DOMAIN, keys.ORGANISATION, keys.ISSUER, keys.DEVICE, BADGE}
SEEN = {keys.NETWORK_WIDE, keys.TLS, keys.SYSTEM, keys.AGENT, keys.SHINGLE}
OPENED = 1767571200 - 90 * 86400


def everything() -> list[dict[str, Any]]:
    """Two accounts that show all kinds there are, and move to a model that comes on the third day."""
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    rows = []
    for call in range(12):
        evidence = {
            "payment": "card", "domain": "company.example", "email_domain": "company.example", "organisation": "Company",
            "issuer": "https://login.example", "device": "laptop", "network_wide": "198.51.100.0/24", "tls": "ja4",
            "system": "You write proofs.", "agent": "curl/8", "prompt": f"{text * 3}number {call * 7919}", "badge": "b",
        }  # fmt: skip
        rows.append(
            {
                "time": 1767571200 + call // 4 * 86400 + call * 60,
                "account": "ab"[call % 2],
                "model": "new" if call >= 8 else "old",
                "created": OPENED,
                "evidence": evidence,
            }
        )
    return rows


def kinds_of(tmp_path: Path, **options: Any) -> tuple[set[int], set[str | None]]:
    """Codes of the kinds of evidence that the guard has noted, and when it takes accounts to have been opened."""
    policy = tmp_path / "own.yaml"
    policy.write_text(OWN)
    trace = Trace(written(tmp_path / "t.jsonl", *everything()), trace_kinds(load(policy)))
    assert trace.bad == []
    traced = Traced(trace, policy_for(str(policy), trace, **options), **options)
    traced.go()
    store: Any = traced.guardrail.store
    codes: set[int] = set()
    for packed in store._linked._accounts.values():
        codes |= {keys.code_of(edge.key) for edge in edges.unpack(packed[activity.LENGTH :])}
    opened = {asyncio.run(store.export(home))["standing"]["fields"].get("created") for home in traced.accounts}
    return codes, opened


@pytest.mark.parametrize(
    ("without", "gone"),
    [
        ((), set()),
        (("payment",), {keys.PAYMENT}),
        (("device",), {keys.DEVICE}),
        (("reputation",), {keys.DOMAIN, keys.EMAIL_DOMAIN, keys.ORGANISATION, keys.ISSUER, BADGE}),
        (("network",), {keys.NETWORK_WIDE}),
        (("content",), {keys.SHINGLE}),
        (("client",), {keys.TLS, keys.SYSTEM, keys.AGENT}),
        (("release",), {keys.RELEASE}),
        (("timing",), set()),  # it is made from what accounts did, when clusters are worked out
        (("payment", "content"), {keys.PAYMENT, keys.SHINGLE}),
    ],
)
def test_a_family_is_left_out_of_a_trace(tmp_path: Path, without: tuple[str, ...], gone: set[int]) -> None:
    codes, opened = kinds_of(tmp_path, without=frozenset(without))
    assert codes == (KNOWN | SEEN | {keys.RELEASE}) - gone
    assert opened == {str(OPENED * SECOND)}


def test_without_a_feed_a_trace_shows_traffic_only(tmp_path: Path) -> None:
    """No payment, no device's cookie, no age of an account, no release."""
    assert kinds_of(tmp_path, feed="none") == (SEEN, {None})
    assert kinds_of(tmp_path, feed="none", without=frozenset({"client"}))[0] == {keys.NETWORK_WIDE, keys.SHINGLE}


def test_hours_in_common_can_be_left_out_of_a_trace(tmp_path: Path) -> None:
    trace = Trace(written(tmp_path / "t.jsonl", {"time": 1, "account": "a"}), KINDS)
    for without, hours in (((), True), (("timing",), False), (("payment",), True)):
        clusters = policy_for("guardrail:campaign", trace, without=frozenset(without)).clusters
        assert clusters is not None
        assert clusters.hours is hours


def test_the_command_leaves_out_what_it_is_asked_to(tmp_path: Path) -> None:
    path, out = written(tmp_path / "t.jsonl", *everything()[:2]), tmp_path / "out"
    (tmp_path / "own.yaml").write_text(OWN)
    arguments = [
        "simulate",
        "--trace",
        str(path),
        "--policy",
        str(tmp_path / "own.yaml"),
        "--json",
        str(tmp_path / "f.json"),
    ]
    ran = CliRunner().invoke(main, [*arguments, "--html", str(out / "page.html"), "--feed", "none", "--without", "client"])
    assert ran.exit_code == 0, ran.output
    assert ran.output.splitlines()[0].endswith("feed none, without evidence of client")
    figures = json.loads((tmp_path / "f.json").read_text())
    assert (figures["feed"], figures["without"], figures["linked"], figures["short"]) == ("none", ["client"], True, True)
    page = Checked()
    page.feed((out / "page.html").read_text())
    assert page.open == []
    assert page.plots == 2  # nobody has a label
    assert "feed none, without evidence of client" in page.text
    assert "no verdict passes `watched`" in page.text


def test_steps_of_a_timeline() -> None:
    lengths = (0, 119 * SECOND, 120 * SECOND, 119 * MINUTE, 3 * HOUR, 5 * DAY, 6 * DAY, 40 * DAY, 200 * DAY, 4_000 * DAY)
    assert [step_of(7, 7 + length) // SECOND for length in lengths] == [
        1, 1, 60, 60, 600, 6 * 3600, 6 * 3600, 86_400, 7 * 86_400, 364 * 86_400,
    ]  # fmt: skip


def test_what_a_page_says_of_many_clusters_and_of_refusals() -> None:
    """The largest twenty of 23; three requests of ten are worse off, and of six labels four are drawn; two rebuilds a step."""
    clusters = [{"cluster": f"{n:012x}", "verdict": "watched", "accounts": 40 - n, "families": []} for n in range(23)]
    label = {"accounts": 1, "held": 0.5, "precision": None, "recall": 1.0}
    figures: dict[str, Any] = {
        "trace": "t.jsonl", "policy": "p.yaml", "policy_hash": "0123", "feed": "links", "without": [], "linked": True,
        "short": False, "start": 0, "end": 30 * MINUTE - 1, "requests": 10, "bad": 2, "accounts": 6, "clusters": clusters,
        "codes": {"served": 7, "delayed": 1, "limited": 2},
        "timeline": {
            "start": 0, "seconds": 600, "codes": {"served": [3, 4, 0], "delayed": [0, 0, 1], "limited": [0, 0, 2]},
            "labels": {f"<{n}>": [n, 0, 0] for n in range(6)},
        },
        "looks": [[5 * MINUTE, 1, 3], [9 * MINUTE, 1, 7], [25 * MINUTE, 2, 9]],
        "labels": {f"<{n}>": label for n in range(6)},
        "pairs": {"own": 1},
    }  # fmt: skip
    page = Checked()
    page.feed(trace_page(figures))
    assert (page.open, page.plots) == ([], 3)
    assert "trimmed, delayed or refused" in page.text
    assert "23 at the end, of which the 20 largest stand here." in page.text
    assert "limited220%" in page.text
    assert "<0>150%-1.0000" in page.text
    assert _last_looks(figures["looks"], 0, 600, 3) == [7, 7, 9]
    told = list(tell_trace(figures))
    assert told[1] == "10 requests of 6 accounts: 7 served, 1 delayed, 2 limited; 2 rows left out"
    assert told[2:4] == ["23 clusters", "  000000000000  watched         40 accounts, by -"]
    assert told[23] == "  and 3 smaller ones"
    forged = {**figures, "labels": {"x\n\x1b[2J0 clusters": label}}
    assert [line for line in tell_trace(forged) if "0 clusters" in line][-1].startswith("  x\\n\\x1b[2J0 clusters: ")
    for seconds, said in ((1, "1 second"), (600, "10 minutes"), (21_600, "6 hours"), (7 * 86_400, "7 days")):
        assert _length(seconds) == said
