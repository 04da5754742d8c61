"""Traces from elsewhere: what is read, what is refused with its line, and how it fares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from guardrail_mw.cli import main
from guardrail_mw.policy import load
from guardrail_mw.simulate.traces import Row, Trace, TraceError
from guardrail_mw.simulate.tracing import trace_kinds

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
    assert [row["requests"] for row in bots] == [20] * 25
    people = [row for name, row in accounts.items() if name.startswith("person")]
    assert {(row["cluster"], row["verdict"], row["rung"], row["requests"]) for row in people} == {("", "none", "", 2)}
    figures = json.loads((out / "report.json").read_text())
    assert figures["labels"]["farm"] == {"accounts": 25, "held": 1.0, "precision": 1.0, "recall": 1.0}


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


def test_a_trace_has_no_checkpoints(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", {"time": 1, "account": "a"})
    ran = CliRunner().invoke(main, ["simulate", "--trace", str(path), "--checkpoint", str(tmp_path)])
    assert ran.exit_code == 2
    assert "has no checkpoints" in ran.output
    empty = CliRunner().invoke(main, ["simulate", "--trace", str(written(tmp_path / "e.jsonl", "{"))])
    assert empty.exit_code == 2
    assert "has no row that can be used" in empty.output
