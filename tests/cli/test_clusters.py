"""`guardrail-mw clusters`: what is said, what is done, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from guardrail_mw.algorithms import edges, keys
from guardrail_mw.clusters.state import Cluster, State
from guardrail_mw.clusterwork.telling import budgeted
from guardrail_mw.stores.base import Activity
from guardrail_mw.stores.memory import MemoryStore

from .clustering import DAY, POLICY, Played, account, key, play, played

__all__ = ["played"]

Run = Callable[..., Result]
ID_KEY = "i" * 32


@pytest.fixture
def clusters(run: Run, played: Played, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `guardrail-mw clusters` on the world's store."""
    del played  # it has seen to what the commands find
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(POLICY))

    def runs(*arguments: str) -> Result:
        return run("clusters", *arguments)

    return runs


@pytest.fixture
def ids(played: Played) -> tuple[str, str]:
    """The cluster of forty, whose verdict waits, and the one of twenty, whose acts."""

    async def look(found: Played) -> tuple[str, str]:
        state = State.unpack(await found.store.recall("clusters"))
        large, small = sorted(state.clusters, key=lambda each: -len(each.members))
        return large.id, small.id

    return played.run(look)


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def verdicts(played: Played, *accounts: str) -> list[tuple[str, str]]:
    """Verdict and brake of each."""

    async def look(found: Played) -> list[tuple[str, str]]:
        return [each[1:] for each in (await found.standings(accounts)).values()]

    return played.run(look)


# Seeing


def test_list(clusters: Run, ids: tuple[str, str]) -> None:
    large, small = ids
    assert lines(clusters("list")) == [
        "Last rebuild 2026-02-10 01:00:00 UTC (0 s ago): 2 clusters",
        "cluster verdict accounts tied score exchanges begun",
        f"{large} suspect 40 40 1.7 960 2026-02-10 waits for approval",
        f"{small} suspect 20 20 1.0 480 2026-02-10",
    ]
    found = json.loads(clusters("list", "--json").stdout)
    assert [each["cluster"] for each in found["clusters"]] == [large, small]


def test_there_is_nothing_yet(clusters: Run, played: Played) -> None:
    async def forget(found: Played) -> None:
        await found.store.keep("clusters", State().pack())

    played.run(forget)
    assert lines(clusters("list"))[0].startswith("No rebuild has been kept yet.")
    result = clusters("show", "abc")
    assert (result.exit_code, result.stderr) == (
        2,
        "ID 'abc' is no cluster of the last rebuild. No rebuild has been kept yet.\n",
    )


def test_show(clusters: Run, ids: tuple[str, str]) -> None:
    """Ln 40 is 3.69, .69 above the centre; with the 1 to begin with 1.69 nats, which are written to one decimal."""
    large, _ = ids
    found = lines(clusters("show", large[:4]))
    assert (
        found[0] == f"Cluster {large}: 40 accounts that act as one, suspect, which waits for approval and only trims so far"
    )
    assert found[1] == "Members " + ", ".join(account("c", number) for number in range(10))
    assert found[2] == "and 30 more; --json has all of them"
    assert "Exchanges 960" in found
    assert "Score 1.7 nats; suspect from 0.0, confirmed from 900.0, or after 24 h of suspicion" in found
    at = found.index("+1.0 to begin with")
    assert found[at + 1] == "+0.7 size 3.69: what size means"
    assert all(line.startswith("+0.0 ") for line in found[at + 2 : at + 12])
    waits = "it newly binds 40 accounts, over 30. Its members are trimmed meanwhile"
    assert f"Waits for approval since 2026-02-10 01:00:00 UTC: {waits}" in found
    assert "It acts in full in 30 min (2026-02-10 01:30:00 UTC), unless it is rejected before" in found
    assert f"Frees it guardrail-mw clusters release {large} --reason … restores all of them within a second" in found


def test_a_part_says_whose_counters_it_shares(clusters: Run, played: Played, ids: tuple[str, str]) -> None:
    large, _ = ids
    assert lines(clusters("split", large, *[account("c", number) for number in range(15, 40)], "--reason", "x"))

    async def look(found: Played) -> str:
        return next(each.id for each in (await found.rebuild()).clusters if len(each.members) == 15)

    part = played.run(look)
    said = f"Counters those of {large}, which it was split from, until 2026-02-11 00:00:00 UTC"
    assert said in lines(clusters("show", part))
    told = json.loads(clusters("show", part, "--json").stdout)
    assert told["counters"] == {"of": large, "until": 1_770_768_000_000_000}
    assert json.loads(clusters("show", large, "--json").stdout)["counters"] is None


def test_show_says_what_it_rests_on(clusters: Run, ids: tuple[str, str]) -> None:
    """All hold a card and a prompt; a device is four's, of whom each shares it with three others."""
    rests = "Rests on client, device, payment: half of its members or more share something of each of these"
    assert rests in lines(clusters("show", ids[0]))
    assert json.loads(clusters("show", ids[0], "--json").stdout)["families"] == ["client", "device", "payment"]


def test_show_for_programs(clusters: Run, ids: tuple[str, str]) -> None:
    found = json.loads(clusters("show", ids[1], "--json").stdout)
    assert (found["cluster"], found["verdict"], found["acts"], found["score"]) == (ids[1], "suspect", True, 0.995)
    assert found["members"] == [account("d", number) for number in range(20)]
    assert found["figures"]["size"] == {"figure": 2.9957, "nats": -0.004, "why": "what size means"}


def test_what_was_ordered_is_shown(clusters: Run, ids: tuple[str, str]) -> None:
    small = ids[1]
    assert lines(clusters("label", small, "confirmed", "--for", "7d", "--reason", "ticket 7"))
    found = lines(clusters("show", small))
    assert found[0].endswith("confirmed")
    assert "Ordered verdict confirmed until 2026-02-17 01:00:00 UTC, 2026-02-10 01:00:00 UTC: ticket 7" in found
    assert "the verdict that was ordered ends 2026-02-17 01:00:00 UTC; then the model judges" in found
    assert lines(clusters("list"))[2].endswith("2026-02-10 ordered until 2026-02-17 01:00:00 UTC")
    assert lines(clusters("release", small, "--reason", "ticket 8"))
    assert lines(clusters("list"))[3].endswith("2026-02-10 ordered for good")
    assert "Frees it There is nothing to be freed of" in lines(clusters("show", small))


def test_what_is_no_cluster(clusters: Run) -> None:
    for verb in (["show"], ["release", "--reason", "x"], ["label", "--reason", "x"], ["approve", "--reason", "x"]):
        rest = ["watched"] if verb[0] == "label" else []
        result = clusters(verb[0], "zzz", *rest, *verb[1:])
        assert result.exit_code == 2
        assert result.stderr.startswith("ID 'zzz' is no cluster of the last rebuild.")


def test_explain(clusters: Run, ids: tuple[str, str]) -> None:
    large, _ = ids
    found = lines(clusters("explain", account("c", 0), account("o", 1)))
    one, other = account("c", 0), account("o", 1)
    assert found[0] == f"{one} and {other} share 0 values"
    card, system = f"payment {key(keys.PAYMENT, 5):016x}", f"system {key(keys.SYSTEM, 5):016x}"
    assert f"holds {card} with {system}, as 39 others of it do: 61.2 nats above chance" in found
    assert f"It would not be a member without {card}" in found
    assert found[-1] == f"{other} is in no cluster"
    two = lines(clusters("explain", account("c", 0), account("c", 1)))
    assert f"{card}: payment, bound, 40 holders; since 2026-02-10 00:00 and 2026-02-10 00:00" in two
    assert f"{one} is in {large}, which is suspect, which waits for approval and only trims so far" in two


def test_explain_tells_at_which_hours_they_work(clusters: Run, played: Played) -> None:
    """24 requests in the day before the rebuild, and 400 on each of the next two, at 9 and at 22 UTC: in all 274 a day."""
    one, other = account("c", 0), account("c", 1)

    async def work(found: Played) -> None:
        today = edges.day_of(found.clock.now())
        hours = [day * 24 + hour for day in (today + 1, today + 2) for hour in (9, 22)]
        await found.store.note([Activity(who, hour, 200, 9) for who in (one, other) for hour in hours])

    played.run(work)
    found = lines(clusters("explain", one, other))
    hours = f"coactive {keys.join(keys.COACTIVE, 0b10001000 << 3 | 5):016x}"
    said = f"{hours} (works 09-12 and 21-24 UTC, 243 to 728 requests on an active day)"
    assert f"{said}: timing, assertable, 2 holders; since 2026-02-09 01:00 and 2026-02-09 01:00" in found


def test_explain_somebody_unknown(clusters: Run) -> None:
    nobody = account("z", 0)
    result = clusters("explain", account("c", 0), nobody)
    assert (result.exit_code, result.stderr) == (
        2,
        f"ACCOUNT {nobody} is not known: it has shown nothing for 90d, or never did.\n",
    )
    result = clusters("explain", account("c", 0), "alice")
    assert result.exit_code == 2
    assert result.stderr.startswith("ACCOUNT is not an account's digest.")


# Doing


def test_release(clusters: Run, played: Played, ids: tuple[str, str]) -> None:
    small = ids[1]
    found = lines(clusters("release", small, "--for", "7d", "--reason", "an office"))
    assert found[0] == f"{small}: released until 2026-02-17 01:00:00 UTC. Its verdict is none."
    assert found[1] == "20 accounts touched:"
    assert found[2:] == [account("d", number) for number in range(20)]
    assert verdicts(played, account("d", 0), account("d", 19)) == [("none", "")] * 2


def test_release_of_many(clusters: Run, ids: tuple[str, str]) -> None:
    assert lines(clusters("release", ids[0], "--reason", "x"))[-1] == "and 20 more; --json has all of them"
    found = json.loads(clusters("release", ids[0], "--reason", "x", "--json").stdout)
    assert found["touched"] == [account("c", number) for number in range(40)]
    assert (found["cluster"], found["verdict"], found["until"]) == (ids[0], "none", None)


def test_label(clusters: Run, played: Played, ids: tuple[str, str]) -> None:
    large, small = ids
    assert (
        lines(clusters("label", small, "watched", "--reason", "x"))[0]
        == f"{small}: labelled watched for good. Its verdict is watched."
    )
    assert verdicts(played, account("d", 0)) == [("watched", "")]
    assert lines(clusters("label", small, "auto", "--reason", "x"))[0].startswith(
        f"{small}: the model judges again for good."
    )
    assert verdicts(played, account("d", 0)) == [("suspect", "")]
    assert lines(clusters("release", large, "--reason", "x"))
    found = lines(clusters("label", large, "confirmed", "--reason", "x"))
    cure = f"To act now: guardrail-mw clusters approve {large}"
    assert found[-1] == f"It newly binds over 30 accounts, so they are trimmed for 30m first. {cure}"
    assert verdicts(played, account("c", 0)) == [("watched", "confirmed")]


def test_whose_budget_it_is() -> None:
    plain = Cluster("a" * 12, (), "none", 0, 0, budget=552_000, material=1)
    known = replace(plain, organisation="acme", declared=90_000, material=None)
    assert budgeted(plain) == "552,000 tokens a UTC day"
    assert budgeted(known) == "90,000 tokens a UTC day, which the policy gives acme"
    given = "70,000 tokens a UTC day, which an operator gave (90,000 is what the policy gives acme)"
    assert budgeted(replace(known, granted=70_000)) == given


def test_budget(clusters: Run, ids: tuple[str, str]) -> None:
    """20 accounts had 1,000 tokens an hour, 23 hours of it on the day before and one on this: 1.2 times 460,000."""
    small = ids[1]
    shadow = "It refuses nobody yet: it is in shadow, as the limit cluster-budget"
    since = "Budget material since 2026-02-10 01:00:00 UTC: its members share"
    assert f"{since} 552,000 tokens a UTC day. {shadow}" in lines(clusters("show", small))
    found = lines(clusters("budget", small, "70000", "--for", "7d", "--reason", "a reseller"))
    given = "70,000 tokens a UTC day, which an operator gave (552,000 was worked out)"
    assert found[0] == f"{small}: given 70,000 tokens a UTC day until 2026-02-17 01:00:00 UTC. Its members share {given}."
    assert found[1] == "20 accounts touched:"
    shown = lines(clusters("show", small))
    assert f"{since} {given}. {shadow}" in shown
    assert "Ordered budget 70000 until 2026-02-17 01:00:00 UTC, 2026-02-10 01:00:00 UTC: a reseller" in shown
    told = json.loads(clusters("show", small, "--json").stdout)
    assert (told["budget"], told["material_since"]) == (70_000, 1_770_685_200_000_000)
    done = json.loads(clusters("budget", small, "auto", "--reason", "x", "--json").stdout)
    assert (done["verdict"], done["budget"], len(done["touched"])) == ("suspect", 552_000, 20)
    assert "Ordered budget as it was worked out for good, 2026-02-10 01:00:00 UTC: x" in lines(clusters("show", small))
    result = clusters("budget", small, "much", "--reason", "x")
    assert (result.exit_code, result.stderr) == (2, "TOKENS 'much' is no whole number from 1 to 1,000,000,000,000.\n")


def test_approve_and_reject(clusters: Run, played: Played, ids: tuple[str, str]) -> None:
    large, small = ids
    assert lines(clusters("approve", large, "--reason", "x"))[0] == f"{large}: approved for good. Its verdict is suspect."
    assert verdicts(played, account("c", 0)) == [("suspect", "")]
    assert lines(clusters("reject", large, "--reason", "x"))[0] == f"{large}: rejected for good. Its verdict is watched."
    assert verdicts(played, account("c", 0)) == [("watched", "")]
    assert lines(clusters("release", small, "--reason", "x"))
    result = clusters("reject", small, "--reason", "x")
    assert (result.exit_code, result.stderr) == (2, f"ID {small} is none: there is nothing to reject.\n")


def test_split(clusters: Run, played: Played, ids: tuple[str, str]) -> None:
    large, _ = ids
    few = [account("c", number) for number in range(4)]
    said = "as of the next rebuild (every 10m)."
    [line] = lines(clusters("split", large, *few, "--for", "7d", "--reason", "another customer"))
    assert line.startswith(
        f"4 accounts split off from {large} until 2026-02-17 01:00:00 UTC, {said} Until then they are treated"
    )
    assert verdicts(played, few[0]) == [("watched", "suspect")]
    [line] = lines(clusters("split", large, *few, "--free", "--reason", "another customer"))
    assert line == f"4 accounts split off from {large} for good, {said} Until then they are in no cluster."
    assert verdicts(played, few[0]) == [("", "")]
    shown = lines(clusters("show", large))
    once = f"2026-02-10 01:00:00 UTC: another customer ({', '.join(few[:3])} and others)"
    assert [line for line in shown if line.startswith("Split")] == [f"Split 4 accounts off for good, {once}"]  # said last
    undo = f"guardrail-mw clusters split {large} --undo --reason … takes back what was split off from {large}"
    assert shown.count(undo) == 1
    kept = json.loads(clusters("show", large, "--json").stdout)["splits"]
    assert [(each["accounts"], each["until"]) for each in kept] == [(few, None)]
    assert lines(clusters("split", large, "--undo", "--reason", "x")) == [f"1 split of {large} taken back, {said[:-1]}."]
    assert not any(line.startswith("Split") for line in lines(clusters("show", large)))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "Name the accounts that are to be split off.\n"),
        (["--undo", "a:x"], "--undo takes no ACCOUNT: it takes back everything that was split off from ID.\n"),
        (["--undo", "--free"], "--undo takes neither --free nor --until: with the next rebuild all are together again.\n"),
        (
            ["--undo", "--for", "1d"],
            "--undo takes neither --free nor --until: with the next rebuild all are together again.\n",
        ),
        (["alice"], "ACCOUNT is not an account's digest."),
        (["--undo"], "has no split that holds.\n"),
        ([account("d", 1)], f"ACCOUNT {account('d', 1)} is not in "),
    ],
)
def test_what_cannot_be_split(clusters: Run, ids: tuple[str, str], arguments: Sequence[str], error: str) -> None:
    result = clusters("split", ids[0], *arguments, "--reason", "x")
    assert result.exit_code == 2
    assert error in result.stderr


@pytest.mark.parametrize("verb", ["release", "label", "budget", "approve", "reject", "split"])
def test_nothing_is_done_without_a_reason(clusters: Run, played: Played, ids: tuple[str, str], verb: str) -> None:
    rest = {"label": ["none"], "budget": ["5"], "split": [account("c", 0)]}.get(verb, [])
    result = clusters(verb, ids[0], *rest)
    assert result.exit_code == 2
    assert "Missing option '--reason'" in result.stderr
    assert "--reason is empty" in clusters(verb, ids[0], *rest, "--reason", " ").stderr
    assert "--until 'soon' does not begin with" in clusters(verb, ids[0], *rest, "--reason", "x", "--for", "soon").stderr
    assert verdicts(played, account("c", 0)) == [("watched", "suspect")]


# In and out


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_export(clusters: Run, ids: tuple[str, str], name: str, tmp_path: Path) -> None:
    assert lines(clusters("export", name)) == [f"Written: {name}, 60 accounts of 2 clusters"]
    rows: list[dict[str, Any]]
    if name.endswith("parquet"):
        from pyarrow import parquet

        rows = parquet.read_table(tmp_path / name).to_pylist()
    else:
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
    large, small = ids
    expected = [
        *[{"account": account("c", n), "cluster": large, "verdict": "suspect", "score": 1.688} for n in range(40)],
        *[{"account": account("d", n), "cluster": small, "verdict": "suspect", "score": 0.995} for n in range(20)],
    ]
    assert sorted(rows, key=lambda row: row["account"]) == expected


def test_the_evidence_itself(clusters: Run, ids: tuple[str, str], tmp_path: Path) -> None:
    """Of 400 ordinary accounts and 60 of the two campaigns, as a rebuild would read it."""
    from pyarrow import parquet

    said = ["Written: all/edges.parquet, all/accounts.parquet and all/splits.parquet"]
    assert lines(clusters("export", "--edges", "all")) == said
    assert parquet.read_table(tmp_path / "all" / "splits.parquet").num_rows == 0
    assert lines(clusters("split", ids[0], account("c", 3), "--reason", "another customer"))
    assert lines(clusters("export", "--edges", "all")) == said
    sides = parquet.read_table(tmp_path / "all" / "splits.parquet").to_pylist()
    assert [row["side"] for row in sides] == [1] + [2] * 39
    assert {(row["split"], row["account"]) for row in sides} == {(0, account("c", number)) for number in range(40)}
    accounts = parquet.read_table(tmp_path / "all" / "accounts.parquet").column("account").to_pylist()
    assert len(accounts) == 460
    assert {account("c", 0), account("d", 19)} <= set(accounts)
    rows = parquet.read_table(tmp_path / "all" / "edges.parquet").to_pylist()
    assert sorted(row["key"] >> 57 for row in rows if row["account"] == account("c", 0)) == [1, 6, 11]
    (tmp_path / "file").write_text("")
    result = clusters("export", "--edges", "file")
    assert (result.exit_code, result.stderr) == (2, "file cannot be written: file exists.\n")


def test_what_cannot_be_written(clusters: Run, ids: tuple[str, str]) -> None:
    result = clusters("export", "none/out.jsonl")
    assert (result.exit_code, result.stderr) == (2, "none/out.jsonl cannot be written: no such file or directory.\n")
    result = clusters("show", ids[0], "--html", "none/out.html")
    assert result.stderr == "none/out.html cannot be written: no such file or directory.\n"


def write(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


async def edges_of(played: Played, whose: str) -> list[tuple[int, int, int]]:
    """Code of each kind, with the days since it was first and last shown."""
    today = edges.day_of(played.clock.now())
    async for batch in played.store.read(0):
        for each in batch:
            if each.account == whose:
                return [
                    (keys.code_of(edge.key), today - edge.first // 24, edges.age(edge.last, today))
                    for edge in edges.unpack(each.edges)
                ]
    return []


@pytest.fixture
def dated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store whose `link` takes a time."""
    link = MemoryStore.link

    async def at_a_time(
        store: MemoryStore, account: str, keys: Sequence[int], created: int | None = None, *, at: int | None = None
    ) -> None:
        if at is None:
            await link(store, account, keys, created)
        else:
            store._linked.show(account, keys, at)

    monkeypatch.setattr(MemoryStore, "link", at_a_time)


@pytest.mark.usefixtures("dated")
def test_import_history(clusters: Run, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", ID_KEY)
    for module in ("feeding", "clusters.history"):
        monkeypatch.setattr(import_module(f"guardrail_mw.cli.{module}"), "SystemClock", lambda: played.clock)
    who = account("h", 1)
    row = {"account": who, "kind": "payment", "value": "fp_1"}
    name = write(
        tmp_path / "past.jsonl",
        row | {"first_seen": "2025-12-20", "last_seen": "2026-02-01", "created": "2025-01-01"},
        row | {"kind": "badge", "first_seen": "2026-02-01"},
        row | {"kind": "system"},
        row | {"kind": "tls", "first_seen": "2025-01-01", "last_seen": "2025-02-01"},
    )
    assert lines(clusters("import", name, "--history")) == [
        "4 values of 1 account noted. They count from the next rebuild on."
    ]

    async def look(found: Played) -> None:
        assert await edges_of(found, who) == [(1, 52, 9), (32 + badge(), 9, 9), (11, 0, 0)], "what is too old is left out"
        fields = (await found.store.export(who))["standing"]["fields"]
        assert fields["created"] == str(1_735_689_600_000_000)

    played.run(look)


def badge() -> int:
    """The badge's code, less 32: made from its name."""
    from hashlib import sha256

    return sha256(b"badge").digest()[0] % 32


def test_import_without_history(clusters: Run, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", ID_KEY)
    row = {"account": account("h", 1), "kind": "payment", "value": "fp_1"}
    assert lines(clusters("import", write(tmp_path / "now.jsonl", row)))
    assert played.run(lambda found: edges_of(found, account("h", 1))) == [(1, 0, 0)]
    result = clusters("import", write(tmp_path / "past.jsonl", row | {"first_seen": "2026-01-01"}))
    assert result.exit_code == 2
    assert "past.jsonl:1: first_seen is history: `guardrail-mw clusters import --history` takes it" in result.stderr


def test_import_needs_the_servers_key(clusters: Run, tmp_path: Path) -> None:
    result = clusters("import", write(tmp_path / "now.jsonl", {}))
    assert result.exit_code == 2
    assert result.stderr.startswith("GUARDRAIL_ID_KEY is not set")


# Not at all


def test_a_policy_without_clusters(run: Run, policy: Callable[[str], str]) -> None:
    name = policy("version: 1\n")
    for arguments in (["clusters", "list"], ["worker"], ["clusters", "show", "x"]):
        result = run(*arguments, "--policy", name)
        assert result.exit_code == 2
        assert result.stderr.startswith("policy.yaml has no section `clusters:`")


def test_no_policy(run: Run) -> None:
    result = run("clusters", "list")
    assert result.exit_code == 2
    assert result.stderr.startswith("No policy is named.")


def test_memory_cannot_be_reached_from_here(run: Run, policy: Callable[[str], str]) -> None:
    result = run("clusters", "list", "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert "lives inside the server's process and cannot be reached from another" in result.stderr


def test_a_store_that_is_gone(run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_STORE", "redis://127.0.0.1:1")
    result = run("clusters", "list", "--policy", policy(POLICY))
    assert result.exit_code == 2
    assert result.stderr.startswith("The store did not do it: ")


def test_what_clusters_need(run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.cli.sharing.find_spec", lambda _: None)
    result = run("clusters", "list", "--policy", policy(POLICY))
    cure = "Install them with: pip install 'guardrail-mw[clusters]'\n"
    assert (result.exit_code, result.stderr) == (2, f"Clusters need numpy and scipy, not installed here. {cure}")


def test_the_same_on_redis(
    run: Run,
    guardrail_start: Callable[..., Any],
    policy: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = guardrail_start("redis").url
    found = play(monkeypatch, url)
    monkeypatch.setenv("GUARDRAIL_POLICY", policy(POLICY))
    assert [line.split()[1:3] for line in lines(run("clusters", "list"))[2:]] == [["suspect", "40"], ["suspect", "20"]]
    small = lines(run("clusters", "list"))[3].split()[0]
    assert lines(run("clusters", "release", small, "--reason", "an office"))[1] == "20 accounts touched:"
    assert verdicts(found, account("d", 0)) == [("none", "")]
    assert lines(run("clusters", "explain", account("d", 0), account("d", 1)))[0].endswith("share 3 values")
    found.clock.advance(DAY)
    found.run(lambda each: each.rebuild())
    assert verdicts(found, account("d", 0)) == [("none", "")]
