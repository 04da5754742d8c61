"""Clusters in operators' hands: what they order acts at once, and every rebuild after it does the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.clusters.state import BINDING, ORDERS, STATE, Cluster, Given, Order, State
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server
from guardrail_mw.worker.desk import Desk, OrderError, UnknownError
from guardrail_mw.worker.orders import write_orders

from ..cli.clustering import Played, account, play, played, show  # noqa: TID252 - one world for both

__all__ = ["played"]

DAY = 86_400_000_000
C, D = [account("c", number) for number in range(40)], [account("d", number) for number in range(20)]


def desk(found: Played) -> Desk:
    return Desk(found.store, found.policy.clusters, clock=found.clock)


def ids(state: State) -> tuple[str, str]:
    """The cluster of forty, whose verdict waits for approval, and the one of twenty, whose does not."""
    large, small = sorted(state.clusters, key=lambda each: -len(each.members))
    return large.id, small.id


def all_of(found: dict[str, tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    return set(found.values())


def test_the_worlds_clusters(played: Played) -> None:
    async def look(found: Played) -> None:
        state = await desk(found).state()
        large, small = ids(state)
        assert [(len(each.members), each.verdict, each.asked is None) for each in state.clusters] == [
            (40, "suspect", False),
            (20, "suspect", True),
        ]
        assert all_of(await found.standings(C)) == {(large, "watched", "suspect")}
        assert all_of(await found.standings(D)) == {(small, "suspect", "")}

    played.run(look)


def test_release(played: Played) -> None:
    """All members, and who was placed there since the last rebuild; and it stays so."""
    late = "a:late".ljust(24, "_")

    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        await show(found.store, {late: [keys.join(keys.AGENT, 77)]}, found.clock)
        await found.store.assign([(late, [_set("cluster", small), _set("verdict", "suspect")])])
        done = await own.order(small, "release", "", "an office", 0)
        assert (done.before.verdict, done.after.verdict) == ("suspect", "none")
        assert done.touched == (*D, late)
        assert all_of(await found.standings([*D, late])) == {(small, "none", "")}
        binding = json.loads(await found.store.recall(BINDING))
        assert binding[small]["verdict"] == "none"
        for _ in range(2):
            found.clock.advance(600)
            await found.rebuild()
            assert all_of(await found.standings(D)) == {(small, "none", "")}

    played.run(act)


def test_an_order_ends(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        await own.order(small, "release", "", "for an hour", found.clock.now() + 3_600_000_000)
        found.clock.advance(3_599)
        await found.rebuild()
        assert all_of(await found.standings(D)) == {(small, "none", "")}
        found.clock.advance(1)
        await found.rebuild()
        assert all_of(await found.standings(D)) == {(small, "suspect", "")}

    played.run(act)


def test_approve_and_reject(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        large, small = ids(await own.state())
        done = await own.order(large, "approve", "", "they are")
        assert (done.after.asked, done.after.approved) == (None, 40)
        assert all_of(await found.standings(C)) == {(large, "suspect", "")}
        found.clock.advance(60)
        await found.rebuild()
        assert all_of(await found.standings(C)) == {(large, "suspect", "")}
        await own.order(large, "reject", "", "they are not")
        assert all_of(await found.standings(C)) == {(large, "watched", "")}
        with pytest.raises(OrderError, match="is watched: there is nothing to approve"):
            await own.order(large, "approve", "", "after all")
        await own.order(large, "judge", "", "after all")
        assert all_of(await found.standings(C)) == {(large, "suspect", "")}
        assert all_of(await found.standings(D)) == {(small, "suspect", "")}

    played.run(act)


def test_a_budget_is_an_operators_until_it_ends(played: Played) -> None:
    """20 accounts that used 24,000 tokens each, on two days: 1.2 times 20 x 23,000, and meanwhile what was ordered."""

    async def act(found: Played) -> None:
        async def budgets(accounts: list[str]) -> set[str]:
            said = [(await found.store.export(each))["standing"]["fields"] for each in accounts]
            return {each.get("budget", "") for each in said}

        own = desk(found)
        _, small = ids(await own.state())
        worked_out = own.find(await own.state(), small).budget
        assert await budgets(D) == {str(worked_out)}
        done = await own.order(small, "budget", "5000", "as their contract has it", found.clock.now() + 3_600_000_000)
        assert (done.before.allowance, done.after.allowance, done.after.budget) == (worked_out, 5_000, worked_out)
        assert (done.after.verdict, done.touched) == (done.before.verdict, tuple(D))
        assert await budgets(D) == {"5000"}
        assert json.loads(await found.store.recall(BINDING))[small]["budget"] == "5000"
        found.clock.advance(3_599)
        await found.rebuild()
        assert await budgets(D) == {"5000"}
        found.clock.advance(1)
        await found.rebuild()
        assert await budgets(D) == {str(worked_out)}
        await own.order(small, "budget", "7000", "again")
        await own.order(small, "budget", "", "no more")
        assert await budgets(D) == {str(worked_out)}

    played.run(act)


@pytest.mark.parametrize("tokens", ["0", "-1", "1.5", "many", "1000000000001", "\u0661", "1" * 5_000])
def test_what_is_no_budget(played: Played, tokens: str) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        with pytest.raises(OrderError, match="is no whole number from 1 to 1,000,000,000,000"):
            await own.order(small, "budget", tokens, "x")
        assert (await own.given()).orders == {}

    played.run(act)


def test_who_is_not_material_has_no_budget(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        state = await own.state()
        _, small = ids(state)
        plain = tuple(replace(each, material=None, budget=0) for each in state.clusters)
        await found.store.keep(STATE, replace(state, clusters=plain).pack())
        with pytest.raises(OrderError, match="is not material"):
            await own.order(small, "budget", "5000", "x")

    played.run(act)


def test_a_label_waits_and_is_approved_before_the_next_rebuild(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await own.order(large, "release", "", "so that nothing waits")
        found.clock.advance(60)
        await found.rebuild()
        found.clock.advance(60)
        said = found.clock.now()
        done = await own.order(large, "verdict", "confirmed", "it is them")
        assert done.after.asked == said
        assert all_of(await found.standings(C)) == {(large, "watched", "confirmed")}
        found.clock.advance(60)
        await own.order(large, "approve", "", "sure")
        assert all_of(await found.standings(C)) == {(large, "confirmed", "")}

    played.run(act)


def test_whoever_was_bound_stays_bound(played: Played) -> None:
    """A label on a cluster that has grown: those who were bound are not let off while the others wait."""

    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await found.store.assign([(name, [_set("verdict", "suspect"), _unset("brake")]) for name in C[:5]])
        await own.order(large, "verdict", "confirmed", "it is them")
        assert all_of(await found.standings(C[:5])) == {(large, "confirmed", "")}
        assert all_of(await found.standings(C[5:])) == {(large, "watched", "confirmed")}

    played.run(act)


def test_what_is_no_cluster(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        state = await own.state()
        for name in ("", " ", "zzz", "0" * 12):
            with pytest.raises(OrderError, match="is no cluster of the last rebuild"):
                own.find(state, name)
        large, small = ids(state)
        assert own.find(state, f" {large[:5].upper()} ").id == large
        names = ("ab" + "0" * 10, "ab1" + "0" * 9)
        two = replace(
            state, clusters=tuple(replace(each, id=name) for each, name in zip(state.clusters, names, strict=True))
        )
        with pytest.raises(OrderError, match="is how several begin: ab0000000000, ab1000000000"):
            own.find(two, "ab")
        await found.store.keep(STATE, State().pack())
        with pytest.raises(OrderError, match="No rebuild has been kept yet"):
            await own.order(small, "release", "", "x")
        assert await found.store.recall(ORDERS) is None

    played.run(act)


def test_what_another_version_wrote(played: Played) -> None:
    async def act(found: Played) -> None:
        packed = State().pack()
        monkey = pytest.MonkeyPatch()
        monkey.setattr("guardrail_mw.clusters.state._FORMAT", 99)
        try:
            await found.store.keep(STATE, packed)
            with pytest.raises(StoreError, match="cannot be read"):
                await desk(found).state()
        finally:
            monkey.undo()

    played.run(act)


# Splits


def test_split(played: Played) -> None:
    """Ten of forty, who have their devices in fours: from the next rebuild on they are a cluster of their own."""

    async def act(found: Played) -> None:
        own = desk(found)
        large, small = ids(await own.state())
        made = await own.split(large, C[:12], "another customer")
        assert (made.side, made.rest, made.cluster) == (tuple(C[:12]), tuple(C[12:]), large)
        assert await own.splits() == (made,)
        await own.free(made.side)
        assert all_of(await found.standings(C[:12])) == {("", "", "")}
        with pytest.raises(OrderError, match=f"{D[0]} is not in {large}"):
            await own.split(large, [C[0], D[0]], "x")
        with pytest.raises(OrderError, match=f"{D[0]}, {D[1]} are not in"):
            await own.split(large, [D[0], D[1]], "x")
        with pytest.raises(OrderError, match="everybody would be split off"):
            await own.split(small, D, "x")
        with pytest.raises(OrderError, match="nobody would be split off"):
            await own.split(small, [], "x")
        assert await own.join(large, "no, one") == (made,)
        assert await own.splits() == ()
        with pytest.raises(OrderError, match="has no split that holds"):
            await own.join(large, "again")
        await own.split(large, C[:12], "another customer")
        with pytest.raises(OrderError, match="'' has no split that holds"):
            await own.join("", "all of them?")
        assert len(await own.splits()) == 1

    played.run(act)


def test_an_order_after_a_split_is_about_the_others(played: Played) -> None:
    """Those who were split off and freed are not bound again by an approval that comes before the next rebuild."""

    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await own.split(large, C[:12], "another customer")
        await own.free(C[:8])
        done = await own.order(large, "approve", "", "the others are")
        assert done.touched == tuple(C[12:])
        assert all_of(await found.standings(C[:8])) == {("", "", "")}
        assert all_of(await found.standings(C[8:12])) == {(large, "watched", "suspect")}, "as before: they were not freed"
        assert all_of(await found.standings(C[12:])) == {(large, "suspect", "")}
        found.clock.advance(600)
        await found.rebuild()
        await own.order(large, "release", "", "an office")
        assert all_of(await found.standings(C[12:])) == {(large, "none", "")}

    played.run(act)


def test_who_was_split_off_is_marked_until_that_ends(played: Played) -> None:
    async def marks(found: Played, *accounts: str) -> list[str | None]:
        return [(await found.store.export(each))["standing"]["fields"].get("apart") for each in accounts]

    async def act(found: Played) -> None:
        own = desk(found)
        large, small = ids(await own.state())
        end = found.clock.now() + DAY
        await own.split(large, C[:2], "for a day", end)
        assert await marks(found, *C[:3]) == [str(end), str(end), None]
        await own.split(large, C[1:3], "for longer", end + DAY)
        assert await marks(found, *C[:3]) == [str(end), str(end + DAY), str(end + DAY)]
        await own.split(small, D[:1], "for good")
        assert await marks(found, D[0]) == ["0"]
        await own.split(large, C[:1], "for good")
        assert await marks(found, C[0]) == ["0"]
        await own.join(large, "no")
        assert await marks(found, *C[:3], D[0]) == [None, None, None, "0"]

    played.run(act)


def test_splits_end(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await own.split(large, C[:12], "for a day", found.clock.now() + DAY)
        found.clock.advance(86_399)
        assert len(await own.splits()) == 1
        found.clock.advance(1)
        assert await own.splits() == ()

    played.run(act)


# With a rebuild at the same time, and with others


def test_what_was_ordered_during_a_rebuild_is_upheld(played: Played) -> None:
    """The rebuild read the orders before, and writes what it found after."""

    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        given, splits = await own.given(), await own.splits()
        await own.order(small, "release", "", "an office")
        await found.store.assign([(name, [_set("verdict", "suspect")]) for name in D])
        assert await own.uphold(given, splits)
        assert all_of(await found.standings(D)) == {(small, "none", "")}
        assert all_of(await found.standings(C)) == {(ids(await own.state())[0], "watched", "suspect")}
        assert not await own.uphold(await own.given(), splits)

    played.run(act)


def test_orders_at_once_are_all_kept(played: Played) -> None:
    async def act(found: Played) -> None:
        large, small = ids(await desk(found).state())
        await asyncio.gather(
            *[desk(found).order(which, "verdict", "watched", f"{number}") for number, which in enumerate([large, small] * 5)]
        )
        given = await desk(found).given()
        assert sorted(order.why for orders in given.orders.values() for order in orders) == [str(each) for each in range(10)]
        times = [order.at for orders in given.orders.values() for order in orders]
        assert len(set(times)) == 10, "the latest word is one"

    played.run(act)


def test_whoever_does_not_come_to_an_end(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.worker.desk._PAUSE", 0)

    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        assert await found.store.elect("orders", "somebody", 2_000_000)
        with pytest.raises(StoreError, match="Another operator's order is being written"):
            await own.order(small, "release", "", "x")
        found.clock.advance(2)
        await own.order(small, "release", "", "x")

    played.run(act)


def test_whoever_was_overtaken_is_told(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        keep = MemoryStore.keep

        async def overtaken(store: MemoryStore, name: str, blob: bytes) -> None:
            await keep(store, name, blob)
            await keep(store, name, write_orders(Given({"x" * 12: (Order("release", "", 0, "theirs", 1),)}), 0))

        monkeypatch.setattr(MemoryStore, "keep", overtaken)
        with pytest.raises(StoreError, match="Somebody else wrote at the same moment"):
            await own.order(small, "release", "", "x")

    played.run(act)


# On Redis


def test_the_same_on_redis(guardrail_start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        large, small = ids(await own.state())
        done = await own.order(small, "release", "", "an office")
        assert done.touched == tuple(D)
        await own.order(large, "approve", "", "they are")
        assert all_of(await found.standings(D)) == {(small, "none", "")}
        assert all_of(await found.standings(C)) == {(large, "suspect", "")}
        found.clock.advance(60)
        await found.rebuild()
        assert all_of(await found.standings(D)) == {(small, "none", "")}
        made = await own.split(large, C[:12], "another customer")
        assert await own.splits() == (made,)
        await asyncio.gather(*[desk(found).order(small, "verdict", "watched", f"{number}") for number in range(5)])
        assert len((await own.given()).orders[small]) == 6

    play(monkeypatch, guardrail_start("redis").url).run(act)


def _set(field: str, value: str) -> Change:
    return Change("set", field, value)


def _unset(field: str) -> Change:
    return Change("unset", field)


class Failing(MemoryStore):
    """A store that does not write standings, so often."""

    fails = 0

    async def assign(self, changes: Sequence[tuple[str, Sequence[Change]]]) -> None:
        if self.fails:
            self.fails -= 1
            raise StoreError("The store did not answer.", "as the test wants it")
        await super().assign(changes)


async def two(store: MemoryStore, clock: FakeClock) -> tuple[Desk, list[Cluster]]:
    """A desk over two clusters of six each whose ids begin alike."""
    found = [
        Cluster(name, tuple(f"a:{name}-{number}" for number in range(6)), "watched", 5, clock.now(), lineage=(name,))
        for name in ("a11111111111", "a22222222222")
    ]
    await store.keep(STATE, State(clock.now(), clock.now(), tuple(found)).pack())
    return Desk(store, ClustersSettings(), clock=clock), found


@pytest.mark.anyio
async def test_splits_are_taken_back_of_one_cluster_only() -> None:
    clock = FakeClock()
    own, (one, other) = await two(MemoryStore(clock=clock), clock)
    for each in (one, other):
        await own.split(each.id, each.members[:1], "two customers")
    with pytest.raises(UnknownError, match=r"'a' is how several begin: a11111111111, a22222222222\. Write more\."):
        await own.join("a", "a slip")
    assert len(await own.splits()) == 2
    [gone] = await own.join(" A1 ", "as it is written elsewhere")
    assert gone.cluster == one.id
    assert [each.cluster for each in await own.splits()] == [other.id]


@pytest.mark.anyio
async def test_what_is_ordered_is_kept_where_the_store_fails_and_may_be_said_again() -> None:
    clock = FakeClock()
    store = Failing(clock=clock)
    own, (one, _) = await two(store, clock)
    kept = "It is kept, and has not reached everybody: say it again, or the next rebuild sees to it."
    store.fails = 1
    with pytest.raises(StoreError) as failed:
        await own.order(one.id, "release", "", "an office")
    assert failed.value.public == kept
    assert (await own.order(one.id, "release", "", "an office")).touched == one.members
    store.fails = 1
    with pytest.raises(StoreError) as failed:
        await own.split(one.id, one.members[:2], "two customers")
    assert failed.value.public == kept
    await own.split(one.id, one.members[:2], "two customers")
    assert [each.side for each in await own.splits()] == [one.members[:2]]
