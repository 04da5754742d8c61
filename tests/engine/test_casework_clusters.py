"""Appeals of clusters: granted, all of a cluster's accounts are released, whoever wrote; refused, its verdict stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from guardrail_mw import Guardrail
from guardrail_mw.clusters.state import State
from guardrail_mw.engine.appeals import Plea
from guardrail_mw.engine.desk import MisuseError, Operator
from guardrail_mw.engine.ground import CASE
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change
from guardrail_mw.testing.servers import Server

from ..cli.clustering import POLICY, Played, account, play, played  # noqa: TID252 - one world for all

__all__ = ["played"]

DAY = 86_400_000_000
D = [account("d", number) for number in range(20)]
APPEALING = load(yaml.safe_load(POLICY) | {"verification": {"name": "Example AI"}})


async def appealed(found: Played, guardrail: Guardrail) -> tuple[str, str]:
    """Two of the cluster of twenty appeal: its id, and that of their appeal."""
    state = State.unpack(await found.store.recall("clusters"))
    small = min(state.clusters, key=lambda each: len(each.members)).id
    appeals = guardrail.engine.appeals
    assert appeals is not None
    now = guardrail.now()
    for number, who in enumerate((D[3], D[7])):
        plea = Plea(who, small, f"{number:024x}", now, now + DAY, "…1a2b")
        assert await appeals.appeal(plea, f"We are a class. {number}") == "open"
    return small, appeals.name(f"c:{small}")


def labels(shown: dict[str, Any]) -> list[str]:
    return [each["label"] for each in shown["labels"]]


def granted(found: Played) -> None:
    found.policy = APPEALING

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        operator = Operator(guardrail)
        cluster, name = await appealed(found, guardrail)
        item = await operator.casework.appeal(name)
        assert (item["subject"], item["cluster"], item["times"]) == (f"c:{cluster}", cluster, 2)
        assert {each["account"]: each["text"] for each in item["texts"]} == {
            D[3]: "We are a class. 0", D[7]: "We are a class. 1",
        }  # fmt: skip
        assert set((await found.standings(D)).values()) == {(cluster, "suspect", "")}
        done = await operator.casework.decide_appeal(name, granted=True, reason="a class", until="7d")
        assert (done["state"], done["until"], sorted(done["touched"])) == ("granted", guardrail.now() + 7 * DAY, D)
        assert set((await found.standings(D)).values()) == {(cluster, "none", "")}
        for who, wrote in ((D[3], True), (D[7], True), (D[0], False)):
            shown = await operator.show(who)
            assert (labels(shown), shown["override"]) == (["appeal-granted"] if wrote else [], None)
        await found.rebuild()
        assert {verdict for _, verdict, _ in (await found.standings(D)).values()} == {"none"}
        found.clock.advance(7 * 86_400)
        await found.rebuild()
        assert {verdict for _, verdict, _ in (await found.standings(D)).values()} != {"none"}  # the model judges again

    found.run(decide)


def test_granted_releases_the_cluster(played: Played) -> None:
    granted(played)


def test_granted_releases_the_cluster_on_a_shared_store(
    monkeypatch: pytest.MonkeyPatch, guardrail_start: Callable[..., Server]
) -> None:
    granted(play(monkeypatch, guardrail_start("redis").url))


def test_refused_keeps_the_verdict(played: Played) -> None:
    played.policy = APPEALING

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        operator = Operator(guardrail)
        cluster, name = await appealed(found, guardrail)
        done = await operator.casework.decide_appeal(name, granted=False, reason="a campaign")
        assert (done["state"], sorted(done["touched"])) == ("refused", [D[3], D[7]])
        assert set((await found.standings(D)).values()) == {(cluster, "suspect", "")}
        assert labels(await operator.show(D[3])) == ["appeal-refused"]

    played.run(decide)


def test_a_cluster_that_is_no_more_is_granted_once_its_accounts_are_free(played: Played) -> None:
    """Its accounts are in another, which is for an operator to release; then nothing is left to be done but to say so."""
    played.policy = APPEALING

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        operator = Operator(guardrail)
        cluster, name = await appealed(found, guardrail)
        state = State.unpack(await found.store.recall("clusters"))
        others = tuple(each for each in state.clusters if each.id != cluster)
        await found.store.keep("clusters", replace(state, clusters=others).pack())
        with pytest.raises(
            MisuseError, match=rf"which is no more; its accounts are in {cluster} now\. First: guardrail-mw clus"
        ):
            await operator.casework.decide_appeal(name, granted=True, reason="a class")
        assert (await operator.casework.appeal(name))["state"] == "open"
        for who in D:
            await found.store.remember(who, [Change("set", "verdict", "none")])
        done = await operator.casework.decide_appeal(name, granted=True, reason="a class")
        assert (done["state"], sorted(done["touched"])) == ("granted", [D[3], D[7]])

    played.run(decide)


def test_an_organisations_case_is_decided_for_its_cluster(played: Played) -> None:
    provider = {"desk": {"use": "manual", "with": {"levels": {"firm": {"ial": "2"}}}}}
    found = yaml.safe_load(POLICY) | {"verification": {"name": "Example AI", "providers": provider}}
    played.policy = load(found | {"endpoints": {"public_url": "https://api.example"}})

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        operator, now = Operator(guardrail), guardrail.now()
        state = State.unpack(await found.store.recall("clusters"))
        small = min(state.clusters, key=lambda each: len(each.members)).id
        for name, cluster in (("aa", small), ("bb", "0" * 12)):
            fields = {"account": D[3], "subject": f"c:{cluster}", "provider": "desk", "level": "firm", "asked": str(now)}
            await found.store.file(CASE, name, [Change("set", *each) for each in fields.items()], now + DAY)
        case = await operator.casework.decide_case("aa", "approved", "their register says so")
        assert (case["subject"], case["state"], case["why"]) == (f"c:{small}", "approved", "")
        gone = await operator.casework.decide_case("bb", "approved", "their register says so")
        assert gone["history"][-1]["said"] == (
            "what the operator said: it approved: it holds for nobody, for the cluster is no more"
        )
        assert "cases" not in await operator.export(D[3])  # they are the organisations'

    played.run(decide)


def test_where_clusters_cannot_be_released_that_is_said_and_nothing_is_done(played: Played) -> None:
    played.policy = APPEALING

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        _, name = await appealed(found, guardrail)
        document = yaml.safe_load(POLICY) | {"verification": {"name": "Example AI"}}
        del document["clusters"]
        found.policy = load(document)
        operator = Operator(found.guardrail())
        with pytest.raises(
            MisuseError, match=r"which cannot be released here\. The policy has no clusters: give it a section"
        ):
            await operator.casework.decide_appeal(name, granted=True, reason="a class")
        assert (await operator.casework.appeal(name))["state"] == "open"
        assert labels(await operator.show(D[3])) == []

    played.run(decide)


def test_of_a_clusters_appeal_an_account_has_what_it_wrote(played: Played) -> None:
    played.policy = APPEALING

    async def decide(found: Played) -> None:
        guardrail = found.guardrail()
        operator = Operator(guardrail)
        _, name = await appealed(found, guardrail)
        [told] = (await operator.export(D[3]))["appeals"]
        assert list(told) == ["id", f"t.{guardrail.now()}.{D[3]}"]
        assert "appeals" not in await operator.export(D[0])
        assert (await operator.erase(D[3], "they asked"))["erased"] is True
        assert [each["account"] for each in (await operator.casework.appeal(name))["texts"]] == [D[7]]

    played.run(decide)
