"""`guardrail-mw link`: everything that is wrong is said before anything is written."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from guardrail_mw.algorithms import edges, keys
from guardrail_mw.errors import StoreError
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.keys import Secrets
from guardrail_mw.stores.memory import MemoryStore

from .clustering import POLICY, Played, account, played

__all__ = ["played"]

Run = Callable[..., Result]
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32}
DIGESTER = Digester(Secrets.read(SECRETS, shared=False).id_key)
ONE, TWO = account("x", 1), account("x", 2)


@pytest.fixture
def link(run: Run, played: Played, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `guardrail-mw link` on the world's store."""
    monkeypatch.setattr("guardrail_mw.cli.feeding.SystemClock", lambda: played.clock)
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(POLICY))
    monkeypatch.setenv("GUARDRAIL_ID_KEY", SECRETS["GUARDRAIL_ID_KEY"])

    def runs(*arguments: str) -> Result:
        return run("link", *arguments)

    return runs


def shown(played: Played, whose: str) -> list[int]:
    """The keys that an account holds."""

    async def look(found: Played) -> list[int]:
        return [
            edge.key
            async for batch in found.store.read(0)
            for each in batch
            if each.account == whose
            for edge in edges.unpack(each.edges)
        ]

    return played.run(look)


def write(folder: Path, *rows: Any, name: str = "facts.jsonl") -> str:
    (folder / name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return name


def test_link(link: Run, played: Played, tmp_path: Path) -> None:
    name = write(
        tmp_path,
        {"account": ONE, "kind": "payment", "value": "fp_1", "created": "2025-06-01"},
        "",
        {"account": ONE, "kind": "badge", "value": 77},
        {"account": ONE, "kind": "payment", "value": "fp_1"},
        {"account": TWO, "created": 1_748_736_000},
        {"account": "sk-1", "kind": "domain", "value": "ann@corp.example"},
    )
    result = link(name)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 values of 3 accounts noted. They count from the next rebuild on.\n"
    assert keys.code_of(shown(played, ONE)[0]) == keys.PAYMENT
    assert shown(played, ONE)[0] == DIGESTER.key(keys.PAYMENT, "fp_1")
    assert len(shown(played, ONE)) == 2
    assert shown(played, TWO) == []
    assert shown(played, DIGESTER.account("api_key", "", "sk-1")) == [DIGESTER.key(keys.DOMAIN, "corp.example")]

    async def created(found: Played) -> list[str]:
        return [(await found.store.export(each))["standing"]["fields"]["created"] for each in (ONE, TWO)]

    assert played.run(created) == ["1748736000000000"] * 2


def test_gzip_and_parquet(link: Run, played: Played, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{"account": each, "kind": "payment", "value": "fp_1"} for each in (ONE, TWO)]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps(rows[0]).encode()))
    parquet.write_table(pa.Table.from_pylist([{**rows[1], "created": None}]), tmp_path / "b.parquet")
    for name in ("a.jsonl.gz", "b.parquet"):
        assert link(name).stdout.startswith("1 value of 1 account noted.")
    assert shown(played, ONE) == shown(played, TWO) == [DIGESTER.key(keys.PAYMENT, "fp_1")]


BAD: Sequence[tuple[Any, str]] = [
    ({"account": ONE, "kind": "paymnet", "value": "x"}, "kind 'paymnet' is no kind of evidence. Did you mean `payment`?"),
    ({"account": ONE, "kind": "payment"}, "value is missing."),
    ({"account": ONE}, "kind is missing, and so is `created`: nothing is told of the account."),
    ({"kind": "payment", "value": "x"}, "account is missing."),
    ({"account": "a:short", "kind": "payment", "value": "x"}, "account is not an account's digest."),
    (
        {"account": ONE, "knid": "payment"},
        "'knid' is not known here. There are account, subject, issuer, kind, value, created",
    ),
    ({"account": ONE, "created": "yesterday"}, "created 'yesterday' is no day and no time"),
    ({"account": ONE, "created": "2031-01-01"}, "it speaks of a time that lies ahead"),
    ({"account": ONE, "first_seen": 1}, "first_seen is history: `guardrail-mw clusters import --history` takes it"),
    ({"account": ONE, "subject": "x"}, "it has both an account and a subject"),
    ({"subject": "x", "kind": "payment", "value": "x"}, "subject is of no use: none of the policy's sources"),
    ("{", "it is not JSON"),
    ("[1]", "it is no object: {…}"),
    ('{"created": NaN}', "it holds NaN, which is not JSON"),
    ("[" * 100_000, "it is nested too deeply"),
]


def test_every_bad_line_is_named_and_nothing_is_written(link: Run, played: Played, tmp_path: Path) -> None:
    good = {"account": ONE, "kind": "payment", "value": "fp_1"}
    name = write(tmp_path, good, *[row for row, _ in BAD])
    result = link(name)
    assert result.exit_code == 2
    said = result.stderr.splitlines()
    for number, (line, (_, error)) in enumerate(zip(said, BAD, strict=False), 2):
        assert line.startswith(f"facts.jsonl:{number}: {error}")
    assert said[-1] == f"{len(BAD)} lines cannot be used, so nothing was written. Mend them, or pass them over: --skip-bad."
    assert len(said) == len(BAD) + 1
    assert shown(played, ONE) == []
    result = link(name, "--skip-bad")
    assert (result.exit_code, result.stdout.split(" noted")[0]) == (0, "1 value of 1 account")
    assert len(result.stderr.splitlines()) == len(BAD)
    assert shown(played, ONE) == [DIGESTER.key(keys.PAYMENT, "fp_1")]


def test_what_is_no_text(link: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"account": "\xff"}\n' + b" " * (1 << 20) + b"x\n" + b'{"account": 1}\n')
    said = link("a.jsonl").stderr.splitlines()
    assert said[0] == "a.jsonl:1: it is not UTF-8"
    assert said[1] == "a.jsonl:2: the line is longer than 1 MiB"
    assert said[2].startswith("a.jsonl:3: ")


def test_files_that_cannot_be_read(link: Run, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert link("a.jsonl.gz").stderr == "a.jsonl.gz cannot be read: it is not whole gzip data.\n"
    assert link("a.parquet").stderr == "a.parquet cannot be read: it is no whole Parquet file.\n"
    assert link("empty.jsonl").stderr == "There is nothing to write in empty.jsonl.\n"
    assert "does not exist" in link("none.jsonl").stderr


def test_a_store_that_fails_half_way_says_how_far_it_came(
    link: Run, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty-two accounts are written at a time."""
    rows = [{"account": account("x", number), "kind": "payment", "value": "x"} for number in range(70)]
    name, done, real = write(tmp_path, *rows), [0], MemoryStore.link

    async def failing(store: MemoryStore, *arguments: Any) -> None:
        done[0] += 1
        if done[0] > 40:
            raise StoreError("The store failed.")
        await real(store, *arguments)

    monkeypatch.setattr(MemoryStore, "link", failing)
    result = link(name)
    assert result.exit_code == 2
    assert result.stderr == (
        "The store failed after 40 of 70 accounts: The store failed. "
        "Give the command again once the store is well: what is written twice counts once.\n"
    )
    monkeypatch.setattr(MemoryStore, "link", real)
    assert link(name).exit_code == 0
    assert shown(played, account("x", 69))


def test_a_bug_is_raised(link: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MemoryStore, "link", broken)
    with pytest.raises(ZeroDivisionError):
        link(write(tmp_path, {"account": ONE, "kind": "payment", "value": "x"}))


def test_the_servers_key_is_needed(run: Run, tmp_path: Path, policy: Callable[[str], str]) -> None:
    result = run("link", write(tmp_path, {"account": ONE}), "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "GUARDRAIL_ID_KEY is not set: without the servers' key its names for accounts and values"
    )


def test_memory_cannot_be_reached_from_here(
    run: Run, policy: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", SECRETS["GUARDRAIL_ID_KEY"])
    result = run("link", write(tmp_path, {}), "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert "lives inside the server's process and cannot be reached from another" in result.stderr
