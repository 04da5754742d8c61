"""The stages in SQL, against the same in numpy: the same clusters, and the same that values say for them."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from guardrail_mw.algorithms import activity, edges
from guardrail_mw.clusters import forming
from guardrail_mw.clusters.forming import Formed, form
from guardrail_mw.clusters.graph import Graph, Holdings
from guardrail_mw.clusters.kinds import Kind, Kinds
from guardrail_mw.clusters.reading import Reader, table
from guardrail_mw.clusters.splitting import Split, renaming, write_splits
from guardrail_mw.clusters.splitting import apart as parted
from guardrail_mw.clusters.sql import DuckDB, Engine, Found, Spark, export_edges, form_from_parquet
from guardrail_mw.clusters.sql.engine import needs
from guardrail_mw.clusters.sql.export import Exported
from guardrail_mw.clusters.sql.in_memory import read_exported
from guardrail_mw.clusters.sql.stages import run
from guardrail_mw.clusters.state import SPLITS
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Activity, Held
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from . import small, worlds
from .kit import CONTENT, DAY, KINDS, MONTH, Crowd, key, named
from .worlds import Campaign

NEW = 45 * DAY
HOUR = 3_600_000_000

Saying: TypeAlias = "tuple[int, int, int, int, int, bool]"
"""Of a value and a cluster: key, number of the cluster, members, millinats, since when, and whether it is the cluster's own."""
Answer: TypeAlias = "tuple[list[list[str]], set[Saying]]"
"""The clusters in their order, and what values say."""


def need(*modules: str, program: str = "") -> None:
    """What is missing skips a test; where CI runs it fails it."""
    missing = [each for each in modules if find_spec(each) is None]
    if program and shutil.which(program) is None:
        missing.append(program)
    if missing:
        reason = f"needs {' and '.join(missing)}, not installed here"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def duck() -> Iterator[DuckDB]:
    need("duckdb", "splink", "pyarrow")
    with DuckDB.open(memory="1GB", threads=2) as engine:
        yield engine


def written(held: Holdings, folder: Path, splits: Sequence[Split] = ()) -> tuple[str, str, str]:
    """As it is exported: edges, accounts, splits."""
    import pyarrow as pa
    from pyarrow import parquet

    names = pa.array(held.accounts, pa.string())
    shown = {"account": names.take(pa.array(held.owner)), "key": held.key, "first": held.first}
    parquet.write_table(pa.table(shown), folder / "edges.parquet")
    parquet.write_table(pa.table({"account": names, "since": held.since}), folder / "accounts.parquet")
    sides = [
        (number, renaming(each.id), account, side)
        for number, each in enumerate(splits)
        for side, whose in ((1, each.side), (2, each.rest))
        for account in whose
    ]
    types = {"split": pa.int64(), "renaming": pa.int64(), "account": pa.string(), "side": pa.int64()}
    columns = {name: pa.array([row[at] for row in sides], kind) for at, (name, kind) in enumerate(types.items())}
    parquet.write_table(pa.table(columns), folder / "splits.parquet")
    return tuple(str(folder / f"{name}.parquet") for name in ("edges", "accounts", "splits"))  # type: ignore[return-value]


def found(engine: Engine) -> Answer:
    """What an engine has found."""
    clusters: dict[int, list[str]] = {}
    for account, cluster in engine.rows("select account, cluster from cluster order by account"):
        clusters.setdefault(cluster, []).append(account)
    number = {cluster: at for at, cluster in enumerate(sorted(clusters))}
    rows = engine.rows("select key, cluster, members, weight, second, nominated from worth")
    return [clusters[each] for each in sorted(clusters)], {(row[0], number[row[1]], *row[2:]) for row in rows}


def expected(graph: Graph, formed: Formed) -> Answer:
    """What numpy has."""
    columns = [each.tolist() for each in (*formed.weights[:5], formed.nominated)]
    said = {(int(graph.keys[value]), *rest) for value, *rest in zip(*columns, strict=True)}
    return named(graph, formed.cluster), said


def both(
    engine: Engine, held: Holdings, folder: Path, now: int, kinds: Kinds = KINDS, splits: Sequence[Split] = ()
) -> tuple[Answer, Answer]:
    """The answer of an engine, and numpy's."""
    files = written(held, folder, splits)
    counted = form_from_parquet(engine, *files, kinds=kinds, now=now, age=MONTH, new=NEW)
    graph = Graph.of(parted(held, splits), table(kinds))
    answer = found(engine)
    members = sum(len(each) for each in answer[0])
    assert counted == Found(len(held.accounts), members, len(answer[0]))
    return answer, expected(graph, form(graph, CONTENT, now=now, age=MONTH, new=now - NEW))


@given(small.crowds())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_duckdb_finds_in_small_worlds_what_numpy_does(duck: DuckDB, tmp_path: Path, crowd: Crowd) -> None:
    answer, same = both(duck, crowd.held(), tmp_path, small.NOW)
    event(f"{len(same[0])} clusters")
    assert answer == same


def busy(seed: int) -> Crowd:
    """Groups that show each other's values, some of them alike, and people who take up what they have; times near thresholds."""
    chance = random.Random(seed)
    crowd = Crowd(1_500)
    times = (1_319, 1_320, 1_321, 1_999, 2_000, 2_001, 2_300)
    opened = (-9_000, 599, 600, 601, 1_279, 1_280, 1_281, 1_679, 1_680, 1_681)
    groups = []
    for number in range(chance.randint(3, 6)):
        shared = [
            key(kind, chance.randint(1, 3))
            for kind in ("system", "agent", "shingle", "release", "coactive")
            if chance.random() < 0.7
        ]
        own = [
            key(kind, 10 + number)
            for kind in ("device", "domain", "email_domain", "system", "shingle")
            if chance.random() < 0.5
        ]
        groups.append([key("payment", 10 + number), *own, *shared])
    for number, values in enumerate(groups):
        usual = chance.choice(times)
        other = chance.choice(groups)
        share = chance.choice((0.0, 0.0, 0.0, 0.1, 0.3))
        for member in range(chance.choice((4, 5, 6, 10, 11, 20, 21, 30))):
            mine = [each for each in values if chance.random() < 0.8]
            mine += [each for each in other[1:] if chance.random() < share]
            shown = {each: usual if chance.random() < 0.7 else chance.choice(times) for each in mine}
            crowd.add(f"a:{number}{member:02}", usual if chance.random() < 0.7 else chance.choice(opened), shown)
    for number in range(chance.choice((3, 10, 40))):
        one, other = chance.sample(groups, 2)
        few = chance.choice((0.0, 0.0, 0.2))
        mine = [each for each in one if chance.random() < 0.6] + [each for each in other if chance.random() < few]
        crowd.add(f"a:j{number:02}", chance.choice(opened), {each: chance.choice(times) for each in mine})
    return crowd


@pytest.mark.parametrize("seed", range(60))
def test_duckdb_finds_among_busy_groups_what_numpy_does(duck: DuckDB, tmp_path: Path, seed: int) -> None:
    answer, same = both(duck, busy(seed).held(), tmp_path, small.NOW)
    assert answer == same


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_duckdb_finds_in_a_world_what_numpy_does(duck: DuckDB, tmp_path: Path, seed: int) -> None:
    """5,000 accounts, 800 of them of two campaigns; edges and accounts in no order."""
    made = worlds.make(seed, 5_000, Campaign("aligned", 400, crossed=False), Campaign("crossed", 400, crossed=True))
    order = np.random.default_rng(seed).permutation(made.crowd.edges)
    answer, same = both(duck, made.crowd.held(order.tolist()), tmp_path, worlds.NOW)
    assert answer == same
    assert sorted(made.cohorts["aligned"]) in answer[0]
    assert sorted(made.cohorts["crossed"]) in answer[0]


# Operators' splits


def cut(crowd: Crowd, seed: int) -> list[Split]:
    """Up to three splits of those who show something: by name, by group, or at random; some accounts in several, some gone."""
    chance = random.Random(seed)
    names = [each for each in sorted(crowd.since) if crowd.shown[each]]
    made = []
    for number in range(chance.randint(1, 3)):
        members = [each for each in names if chance.random() < chance.choice((0.5, 0.9))] or ["a:gone"]
        few = max(1, round(chance.choice((0.05, 0.3, 0.5, 0.8)) * len(members)))
        side = chance.sample(members, few) if chance.random() < 0.4 else members[:few]
        rest = [each for each in members if each not in side] or ["a:gone too"]
        made.append(Split(f"{seed:06x}{number:06x}", "c" * 12, tuple(side), tuple(rest), 0, "not one", number))
    return made


@given(small.crowds(), st.integers(0, 1 << 20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_duckdb_splits_small_worlds_as_numpy_does(duck: DuckDB, tmp_path: Path, crowd: Crowd, seed: int) -> None:
    splits = cut(crowd, seed)
    answer, same = both(duck, crowd.held(), tmp_path, small.NOW, splits=splits)
    changed = parted(crowd.held(), splits).key.tolist() != crowd.held().key.tolist()
    event(f"{len(same[0])} clusters, {'changed' if changed else 'the same'}")
    assert answer == same


@pytest.mark.parametrize("seed", range(30))
def test_duckdb_splits_busy_groups_as_numpy_does(duck: DuckDB, tmp_path: Path, seed: int) -> None:
    crowd = busy(seed)
    answer, same = both(duck, crowd.held(), tmp_path, small.NOW, splits=cut(crowd, seed))
    assert answer == same
    assert edged(duck.rows("select account, key, first from edges")) == edged(shown(parted(crowd.held(), cut(crowd, seed))))


@pytest.mark.parametrize("seed", range(10))
def test_an_export_that_is_read_whole_is_what_a_rebuild_reads(tmp_path: Path, seed: int) -> None:
    need("pyarrow")
    crowd, splits = busy(seed), cut(busy(seed), seed)
    for holding in ([], splits):
        held = crowd.held(np.random.default_rng(seed).permutation(crowd.edges).tolist())
        read = read_exported(Exported(*map(Path, written(held, tmp_path, holding))))
        expected = parted(crowd.held(), holding)
        assert list(read.accounts) == list(expected.accounts)
        assert read.since.tolist() == expected.since.tolist()
        assert edged(shown(read)) == edged(shown(expected))


def shown(held: Holdings) -> Iterator[tuple[str, int, int]]:
    """Account, key and hour of each edge."""
    names = [held.accounts[owner] for owner in held.owner]
    yield from zip(names, held.key.tolist(), held.first.tolist(), strict=True)


def edged(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in rows)


def test_a_campaign_and_a_class_on_its_card_are_two_once_they_are_split(duck: DuckDB, tmp_path: Path) -> None:
    """Forty who share a card and a prompt; twelve are split off, and are a cluster by themselves. Then it is taken back."""
    crowd = Crowd(2_000)
    names = crowd.group("camp", 40, 2_000, [key("payment", 1), key("system", 1), key("shingle", 1)])
    crowd.add("a:both", 2_050, [key("payment", 1), key("system", 1), key("shingle", 1)])
    split = Split("0123456789ab", "c" * 12, tuple(names[:12]), tuple(names[12:]), 0, "a class", 1)
    answer, same = both(duck, crowd.held(), tmp_path, 2_100, splits=[split])
    assert answer == same
    assert answer[0] == [["a:both", *names[12:]], names[:12]]
    assert both(duck, crowd.held(), tmp_path, 2_100)[0][0] == [["a:both", *names]]


@pytest.mark.slow
def test_spark_finds_in_a_world_what_numpy_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5,000 accounts; in two threads of this machine, on loopback."""
    need("pyspark", "splink", "duckdb", "pyarrow", program="java")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    made = worlds.make(4, 5_000, Campaign("aligned", 400, crossed=False), Campaign("crossed", 400, crossed=True))
    chained(made.crowd)
    session = spark(tmp_path)
    try:
        answer, same = both(Spark(session, str(tmp_path / "work")), made.crowd.held(), tmp_path, worlds.NOW)
        names = sorted(made.cohorts["aligned"])
        splits = [
            Split("0123456789ab", "c" * 12, tuple(names[:150]), tuple(names[150:]), 0, "not one", 1),
            Split("ba9876543210", "c" * 12, tuple(names[150:200]), tuple(names[200:]), 0, "nor these", 2),
        ]
        again = both(Spark(session, str(tmp_path / "again")), made.crowd.held(), tmp_path, worlds.NOW, splits=splits)
    finally:
        session.stop()
    assert answer == same
    assert again[0] == again[1]
    assert not any({names[0], names[150]} <= set(each) or {names[150], names[200]} <= set(each) for each in again[0][0])
    assert sorted(made.cohorts["crossed"]) in answer[0]
    assert any("a:third0000" in each for each in answer[0])


def spark(folder: Path) -> Any:
    from pyspark.sql import SparkSession

    wanted: dict[str, Any] = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.local.dir": str(folder / "spark"),
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    return SparkSession.builder.master("local[2]").config(map=wanted).getOrCreate()


# What small worlds may miss


@pytest.mark.parametrize("crowd", [Crowd(), Crowd(1), Crowd(500)])
def test_nothing_shared_is_no_cluster(duck: DuckDB, tmp_path: Path, crowd: Crowd) -> None:
    assert both(duck, crowd.held(), tmp_path, small.NOW) == (([], set()), ([], set()))


def campaign(strangers: int = 2_000) -> Crowd:
    """Thirty accounts of one card and one prompt."""
    crowd = Crowd(strangers)
    crowd.group("camp", 30, 2_000, [key("payment", 1), key("system", 1), key("shingle", 1)])
    return crowd


def chained(crowd: Crowd) -> None:
    """An island; two of it have a device that two others have, of whom both have a domain that two more have: a link a round.

    Each of these is held by four, so none makes an island; the prompt and the text, which all have, are 11 nats.
    """
    common = [key("system", 1 << 50), key("shingle", 1 << 50)]
    crowd.group("camp", 30, 2_000, [key("payment", 1 << 50), *common])
    for each in range(2):
        crowd.shown[f"a:camp{each:04}"][key("device", 1 << 51)] = 2_001
    crowd.group("second", 2, 2_050, [key("device", 1 << 51), key("domain", 1 << 52), *common])
    crowd.group("third", 2, 2_060, [key("domain", 1 << 52), *common])


def test_growth_goes_from_hand_to_hand(duck: DuckDB, tmp_path: Path) -> None:
    crowd = Crowd(2_000)
    chained(crowd)
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert answer[0] == [sorted(each for each in crowd.since if not each.startswith("a:~"))]


def test_growth_ends_after_as_many_rounds(duck: DuckDB, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one of them the last of the chain are not in yet, and what values say is of the clusters as they are then."""
    monkeypatch.setattr(forming, "ROUNDS", 1)
    crowd = Crowd(2_000)
    chained(crowd)
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [len(each) for each in answer[0]] == [32]


def test_two_islands_of_one_program_and_one_template_are_one(duck: DuckDB, tmp_path: Path) -> None:
    """Two cards, each tied to addresses of its own; one prompt and one text, new, are what both have made their own."""
    crowd = Crowd(2_000)
    for card in (1, 2):
        crowd.group(f"g{card}", 25, 2_000, [key("payment", card), key("agent", card), key("system", 9), key("shingle", 9)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [len(each) for each in answer[0]] == [50]


@pytest.mark.parametrize(("since", "member"), [(1_280, False), (1_281, True)])
def test_the_month_counts_up_to_when_the_second_came(duck: DuckDB, tmp_path: Path, since: int, member: bool) -> None:
    crowd = campaign()
    crowd.add("a:first", since, [key("payment", 1), key("system", 1), key("shingle", 1)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert any("a:first" in each for each in answer[0]) is member


@pytest.mark.parametrize(
    ("many", "noted", "bound"), [(15, False, True), (15, True, False), (19, False, True), (20, False, False)]
)
def test_a_network_that_many_share_is_not_bound(duck: DuckDB, tmp_path: Path, many: int, noted: bool, bound: bool) -> None:
    """An address and a prompt; or somebody who holds nothing else has noted the address as a wider network."""
    crowd = Crowd(2_000)
    crowd.group("home", many, 2_000, [key("network", 5), key("system", 5)])
    if noted:
        crowd.add("a:noter", 2_000, [key("network_wide", 5)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [len(each) for each in answer[0]] == ([many] if bound else [])


@pytest.mark.parametrize(("since", "own"), [(2_100 - 720, False), (2_100 - 719, True)])
def test_a_nominee_is_twenty_times_as_common(duck: DuckDB, tmp_path: Path, since: int, own: bool) -> None:
    """Half of the members hold it, and 49 of 1,999 established strangers: (1 / 2) / (50 / 2,000). One more is too many."""
    crowd = Crowd(1_950)
    crowd.group("camp", 40, 2_000, [key("payment", 1), key("system", 1)])
    for number in range(20):
        crowd.shown[f"a:camp{number:04}"][key("shingle", 7)] = 2_000
    crowd.group("elder", 49, 0, [key("shingle", 7)])
    crowd.add("a:late", since, [key("shingle", 7)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [said[-1] for said in answer[1] if said[0] == key("shingle", 7)] == [own]


@pytest.mark.parametrize("texts", [True, False])
def test_who_had_their_card_before_and_takes_up_what_is_theirs_joins(duck: DuckDB, tmp_path: Path, texts: bool) -> None:
    """Established when the second of them had the card, so that is a tie and no score; with prompt and text, two families."""
    crowd = campaign()
    later = [key("system", 1), key("shingle", 1)] if texts else [key("system", 1)]
    crowd.add("a:elder", -9_000, {key("payment", 1): 0, **dict.fromkeys(later, 2_090)})
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert ("a:elder" in answer[0][0]) is texts


def apart(crowd: Crowd, name: str, many: int, number: int) -> None:
    """An island by a card, and a prompt that came later; who is established and had the card in between can only grow into it."""
    shown = {key("payment", number): 2_000, key("system", number): 2_050}
    for member in range(many):
        crowd.add(f"a:{name}{member:02}", 1_990, shown)


def taking(*numbers: int) -> dict[int, int]:
    """What somebody shows who takes up cards, and then prompts."""
    return {key(kind, each): at for kind, at in (("payment", 2_010), ("system", 2_060)) for each in numbers}


@pytest.mark.parametrize(("whose", "home"), [((1, 2, 3), "c"), ((2, 1), "a")])
def test_who_qualifies_for_two_goes_to_the_larger_and_then_to_the_first(
    duck: DuckDB, tmp_path: Path, whose: tuple[int, ...], home: str
) -> None:
    """Three islands of 10, 10 and 12; each value says 9 nats, the most that counts."""
    crowd = Crowd(13_000)
    for number, (name, many) in enumerate({"a": 10, "b": 10, "c": 12}.items(), 1):
        apart(crowd, name, many, number)
    crowd.add("a:zz", -9_000, taking(*whose))
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [each[0][2] for each in answer[0] if "a:zz" in each] == [home]


@pytest.mark.parametrize(("many", "clusters"), [(2, 2), (3, 1)])
def test_three_members_draw_their_cluster_along(duck: DuckDB, tmp_path: Path, many: int, clusters: int) -> None:
    """Of five; two are 40% of them, and too few."""
    crowd = Crowd(3_000)
    apart(crowd, "large", 20, 1)
    for member in range(5):
        shown = {key("payment", 2): 1_000, key("device", 2): 1_000, **(taking(1) if member < many else {})}
        crowd.add(f"a:small{member}", -9_000, shown)
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert len(answer[0]) == clusters


def test_a_family_says_nine_nats_at_most(duck: DuckDB, tmp_path: Path) -> None:
    """A prompt and an agent of theirs would be 14, a device that two of them and ten others have is 2.4: 11.4 are too few."""
    crowd = Crowd(2_000)
    crowd.group("camp", 30, 2_000, [key("payment", 1), key("system", 1), key("agent", 1)])
    for member in range(2):
        crowd.shown[f"a:camp{member:04}"][key("device", 1)] = 2_000
    crowd.group("other", 10, 2_000, [key("device", 1)])
    crowd.add("a:zz", 2_050, [key("system", 1), key("agent", 1), key("device", 1)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100)
    assert answer == same
    assert [len(each) for each in answer[0]] == [30]


def test_kinds_of_a_policy_count_and_unknown_ones_do_not(duck: DuckDB, tmp_path: Path) -> None:
    """Code 40 is a badge, bound; nobody has named code 41."""
    kinds = Kinds([Kind(40, "badge", "reputation", bound=True)])
    badge, unknown = 40 << 57 | 7, 41 << 57 | 7
    crowd = Crowd(2_000)
    crowd.group("badge", 9, 2_000, [badge, key("system", 1)])
    crowd.group("other", 9, 2_000, [unknown, key("system", 2)])
    answer, same = both(duck, crowd.held(), tmp_path, 2_100, kinds)
    assert answer == same
    assert [len(each) for each in answer[0]] == [9]


def test_names_are_in_order_whatever_they_begin_with(duck: DuckDB, tmp_path: Path) -> None:
    """Accounts are numbered in parts, by how their names begin: short ones, long ones, and such as no digest makes."""
    crowd = Crowd(300)
    for name in ("", "a", "a:", "a:z", "a:zz-", "a:zz_", "a:ü", "A:", "a:~00001", "\U0001f600", "\uffff"):
        crowd.add(name, 0)
    form_from_parquet(duck, *written(crowd.held(), tmp_path), kinds=KINDS, now=2_100)
    assert [each for (each,) in duck.rows("select account from account order by id")] == sorted(crowd.since)
    assert duck.rows("select min(id), max(id), count(distinct id) from account") == [(0, 309, 310)]


def test_a_stage_that_lacks_a_figure_does_not_run(duck: DuckDB) -> None:
    with pytest.raises(KeyError, match="holders"):
        run(duck, "counting", {})


def test_what_was_found_can_be_written(duck: DuckDB, tmp_path: Path) -> None:
    from pyarrow import parquet

    crowd = campaign()
    form_from_parquet(duck, *written(crowd.held(), tmp_path), kinds=KINDS, now=2_100)
    path = tmp_path / "it's.parquet"
    for _ in range(2):
        duck.write("select * from cluster order by account", str(path))
    rows = parquet.read_table(path).to_pylist()
    assert [row["account"] for row in rows] == [f"a:camp{number:04}" for number in range(30)]
    assert len({row["cluster"] for row in rows}) == 1


def test_what_is_not_installed_is_named_with_its_cure() -> None:
    needs("json", cure="nothing")
    with pytest.raises(ImportError, match=r"no_such_engine is not installed. Install it with: pip install engines"):
        needs("json", "no_such_engine", cure="pip install engines")


# The export

NOW = edges.EPOCH + 500 * 24 * HOUR


async def store() -> MemoryStore:
    """Thirty accounts of one card and one prompt, the even ones told to be older, and one that showed something long ago."""
    clock = FakeClock(NOW)
    kept = MemoryStore(clock=clock)
    shown = [key("payment", 1), key("system", 1), key("shingle", 1)]
    for number in range(30):
        opened = NOW - number * 24 * HOUR if number % 2 == 0 else None
        await kept.link(f"a:{number:02}", [*shown, key("device", number + 1)], opened)
    await kept.link("a:old", [key("payment", 1)], at=NOW - 100 * 24 * HOUR)
    return kept


def columns(path: Path) -> dict[str, list[Any]]:
    from pyarrow import parquet

    found: Mapping[str, list[Any]] = parquet.read_table(path).to_pydict()
    return dict(found)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.anyio
@pytest.mark.parametrize("group", [7, 1_000])
async def test_the_export_is_what_a_rebuild_reads(tmp_path: Path, group: int) -> None:
    need("pyarrow")
    from pyarrow import parquet

    kept = await store()
    files = await export_edges(kept, tmp_path / "new" / "folder", now=NOW, group=group)
    reader = Reader(NOW, 90)
    async for batch in kept.read(0):
        reader.add(batch)
    held = reader.read().held
    told = columns(files.accounts)
    older = [name for name in held.accounts if name not in told["account"]]
    assert older in ([], ["a:old"])
    rows = zip(held.accounts, held.since.tolist(), strict=True)
    assert sorted(zip(told["account"], told["since"], strict=True)) == [row for row in rows if row[0] not in older]
    shown = columns(files.edges)
    edged = zip([held.accounts[owner] for owner in held.owner], held.key.tolist(), held.first.tolist(), strict=True)
    assert sorted(zip(shown["account"], shown["key"], shown["first"], strict=True)) == sorted(edged)
    assert len(shown["key"]) == 30 * 4
    assert parquet.ParquetFile(files.accounts).num_row_groups == -(-len(told["account"]) // group)
    assert names(files.edges.parent) == ["accounts.parquet", "edges.parquet", "splits.parquet"]
    assert columns(files.splits)["split"] == []


@pytest.mark.anyio
async def test_the_export_has_the_splits_that_hold_and_they_hold(duck: DuckDB, tmp_path: Path) -> None:
    """Ten of the thirty are split off for good, ten others were until yesterday."""
    kept = await store()
    for number in range(1_000):
        await kept.link(f"a:~{number:04}", [key("payment", 100 + number)])
    every = [f"a:{number:02}" for number in range(30)]
    holds = Split("0123456789ab", "c" * 12, tuple(every[:10]), tuple(every[10:]), 0, "a class", NOW - 2)
    over = Split("ba9876543210", "c" * 12, tuple(every[10:20]), tuple(every[20:]), NOW, "was one", NOW - 3)
    await kept.keep(SPLITS, write_splits([holds, over], NOW - 1))
    files = await export_edges(kept, tmp_path, now=NOW)
    told = columns(files.splits)
    assert [told["split"], told["renaming"]] == [[0] * 30, [renaming("0123456789ab")] * 30]
    assert list(zip(told["account"], told["side"], strict=True)) == [(name, 1 if name < "a:10" else 2) for name in every]
    form_from_parquet(duck, *map(str, files), kinds=KINDS, now=edges.hour_of(NOW))
    assert found(duck)[0] == [every[:10], every[10:]]


@pytest.mark.anyio
async def test_clusters_of_an_export(duck: DuckDB, tmp_path: Path) -> None:
    """Among 1,000 others who share nothing, which is what makes the thirty no chance."""
    kept = await store()
    for number in range(1_000):
        await kept.link(f"a:~{number:04}", [key("payment", 100 + number)])
    files = await export_edges(kept, tmp_path, now=NOW)
    form_from_parquet(duck, *map(str, files), kinds=KINDS, now=edges.hour_of(NOW))
    assert found(duck)[0] == [[f"a:{number:02}" for number in range(30)]]


@pytest.mark.anyio
async def test_hours_in_common_are_in_an_export(duck: DuckDB, tmp_path: Path) -> None:
    """Twenty accounts on one card who work together, among 400 with a card each: the card alone ties nobody."""
    kept = MemoryStore(clock=FakeClock(NOW))
    for number in range(420):
        await kept.link(f"a:{number:03}", [key("payment", max(number, 19))])
        if number < 20:
            hour = edges.hour_of(NOW) // 24 * 24 - 9 * 24
            await kept.note([Activity(f"a:{number:03}", hour + day * 24, 20, 0) for day in range(10)])
    for hours, expected in ((False, []), (True, [[f"a:{number:03}" for number in range(20)]])):
        files = await export_edges(kept, tmp_path, now=NOW, hours=hours, group=7)
        form_from_parquet(duck, *map(str, files), kinds=KINDS, now=edges.hour_of(NOW))
        held = (await Reader.collected(kept, NOW, 90, hours=hours)).read().held
        graph = Graph.of(held, table(KINDS))
        now = edges.hour_of(NOW)
        assert named(graph, form(graph, CONTENT, now=now, age=MONTH, new=now - NEW).cluster) == expected
        assert found(duck)[0] == expected


class Failing(MemoryStore):
    """Fails after its first batch."""

    async def read(self, since_day: int) -> AsyncIterator[Sequence[Held]]:
        yield [Held("a:x", 0, edges.note(b"", [key("payment", 3)], NOW).edges, activity.EMPTY, "", "")]
        raise StoreError("The store failed.")


@pytest.mark.anyio
async def test_a_store_that_fails_changes_no_file(tmp_path: Path) -> None:
    need("pyarrow")
    files = await export_edges(await store(), tmp_path, now=NOW)
    before = [path.read_bytes() for path in files]
    with pytest.raises(StoreError):
        await export_edges(Failing(clock=FakeClock(NOW)), tmp_path, now=NOW, group=1)
    assert [path.read_bytes() for path in files] == before
    assert names(tmp_path) == ["accounts.parquet", "edges.parquet", "splits.parquet"]
