"""What operators order and split, in the worker's own rebuilds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guardrail_mw.clusters.state import State
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.servers import Server
from guardrail_mw.worker.desk import Desk

from ..cli.clustering import Played, account, play, played  # noqa: TID252 - one world for both

__all__ = ["played"]

C, D = [account("c", number) for number in range(40)], [account("d", number) for number in range(20)]


def desk(found: Played) -> Desk:
    return Desk(found.store, found.policy.clusters, clock=found.clock)


def ids(state: State) -> list[str]:
    return [each.id for each in sorted(state.clusters, key=lambda each: -len(each.members))]


async def parted(found: Played) -> None:
    """Twenty of forty, five devices of ten: from the next rebuild on they are judged apart, whatever was said of all."""
    own = desk(found)
    large, _ = ids(await own.state())
    await own.order(large, "release", "", "nothing is wrong with them")
    await own.split(large, C[:20], "another customer")
    found.clock.advance(600)
    state = await found.rebuild()
    of = {member: each for each in state.clusters for member in each.members}
    assert set(of[C[20]].members) == set(C[20:])
    assert set(of[C[0]].members) == set(C[:20])
    side, rest = of[C[0]], of[C[20]]
    assert large in {side.id, rest.id}, "of two as large either may be what it was"
    assert large in side.lineage
    assert large in rest.lineage
    assert rest.verdict == "none"
    assert side.verdict == "suspect", "what was ordered of all before does not hold for who was split off"
    assert set((await found.standings(C[:20])).values()) == {(side.id, "suspect", "")}
    assert set((await found.standings(C[20:])).values()) == {(rest.id, "none", "")}
    await own.join(large, "it was not")
    found.clock.advance(600)
    state = await found.rebuild()
    assert sorted(len(each.members) for each in state.clusters) == [20, 40]


def test_a_split(played: Played) -> None:
    played.run(parted)


def test_a_split_on_redis(guardrail_start: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, guardrail_start("redis").url).run(parted)


def test_a_release_during_a_rebuild(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the rebuild has read the orders, and before it writes what it found."""

    async def act(found: Played) -> None:
        own = desk(found)
        _, small = ids(await own.state())
        assign = MemoryStore.assign
        done: list[str] = []

        async def interrupted(store: MemoryStore, changes: object) -> None:
            if not done:
                done.append("released")
                await own.order(small, "release", "", "an office")
                await assign(store, [(name, [Change("set", "verdict", "suspect")]) for name in D])
            await assign(store, changes)  # type: ignore[arg-type]

        monkeypatch.setattr(MemoryStore, "assign", interrupted)
        found.clock.advance(600)
        await found.rebuild()
        assert set((await found.standings(D)).values()) == {(small, "none", "")}

    played.run(act)


def test_a_label_that_was_approved_before_the_rebuild_saw_it(played: Played) -> None:
    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await own.order(large, "release", "", "so that nothing waits")
        found.clock.advance(60)
        await found.rebuild()
        found.clock.advance(60)
        await own.order(large, "verdict", "confirmed", "it is them")
        found.clock.advance(60)
        await own.order(large, "approve", "", "sure")
        for _ in range(2):
            found.clock.advance(60)
            await found.rebuild()
            assert set((await found.standings(C)).values()) == {(large, "confirmed", "")}

    played.run(act)


def test_a_label_that_nobody_approves_waits_from_when_it_was_given(played: Played) -> None:
    """Thirty minutes, of which ten had passed when a rebuild first saw it."""

    async def act(found: Played) -> None:
        own = desk(found)
        large, _ = ids(await own.state())
        await own.order(large, "release", "", "so that nothing waits")
        found.clock.advance(600)
        await found.rebuild()
        found.clock.advance(1)
        await own.order(large, "verdict", "confirmed", "it is them")
        for passed, acts in ((600, False), (1199, False), (1, True)):
            found.clock.advance(passed)
            await found.rebuild()
            wanted = (large, "confirmed", "") if acts else (large, "watched", "confirmed")
            assert set((await found.standings(C)).values()) == {wanted}

    played.run(act)
