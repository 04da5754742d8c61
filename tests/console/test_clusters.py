"""Clusters by the operator's port: of a server whose store nobody else can reach."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import httpx2
import pytest

from guardrail_mw.algorithms import edges, keys
from guardrail_mw.cli.clusters.asking import FarClusters
from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.port import Port
from guardrail_mw.clusterwork.listing import tell_list
from guardrail_mw.clusterwork.work import Clusterwork
from guardrail_mw.engine.linking import graph_of
from guardrail_mw.stores.base import Activity

from ..asgi.kit import chat  # noqa: TID252 - the kit of the pipeline's tests
from .kit import CHAT, WHY, Operated, client, problem

pytestmark = pytest.mark.anyio

LIMITS = [{"name": "suspects", "per": ["cluster"], "when": {"verdict": "suspect"}, "window": "2/day"}]
MEMBERS = [f"a:member-{number:02d}".ljust(24, "_") for number in range(40)]


@pytest.fixture
async def operated() -> Operated:
    """Forty who share a card, a system prompt and devices in fours, among six hundred; one of them has the kit's key."""
    found = Operated(limits=LIMITS, clusters={})
    own, store = await found.account(), graph_of(found.guardrail)
    MEMBERS[0] = own
    values = ((keys.PAYMENT, 1), (keys.SYSTEM, 1))
    for number in range(600):
        await store.link(f"a:other-{number:03d}".ljust(24, "_"), [keys.join(code, 1_000 + number) for code, _ in values])
    for number, each in enumerate(MEMBERS):
        device = keys.join(keys.DEVICE, 100 + number // 4)
        await store.link(each, [*[keys.join(code, digest) for code, digest in values], device])
    hour = edges.hour_of(found.clock.now())
    await store.note([Activity(each, hour - ago, 1, 1_000) for each in MEMBERS for ago in range(24)])
    await found.guardrail.work()
    return found


@pytest.fixture
async def far(operated: Operated) -> AsyncIterator[FarClusters]:
    async with client(operated) as made:
        yield FarClusters(Port(made))


@pytest.fixture
async def cluster(far: FarClusters) -> str:
    """Its id."""
    [found] = (await far.clusters())["clusters"]
    assert sorted(found["members"]) == sorted(MEMBERS)
    return str(found["cluster"])


async def test_it_sees_over_the_port_what_is_seen_in_the_process(operated: Operated, far: FarClusters, cluster: str) -> None:
    near = Clusterwork.of(operated.guardrail)
    assert await far.clusters() == await near.clusters()
    assert await far.cluster(cluster[:6]) == await near.cluster(cluster)
    assert await far.picture(cluster) == await near.picture(cluster)
    assert await far.explain(MEMBERS[0], MEMBERS[1]) == await near.explain(MEMBERS[0], MEMBERS[1])


async def test_an_order_acts_on_the_next_request(operated: Operated, far: FarClusters, cluster: str) -> None:
    """A suspect cluster has two requests a day; of three the third is refused, and served again after the release."""
    made = await far.order(cluster, "label", "suspect", WHY, "7d")
    assert (made["verdict"], sorted(made["touched"])) == ("suspect", sorted(MEMBERS))
    assert made["until"] == operated.clock.now() + 7 * 86_400 * 10**6
    answers = [await operated.post(CHAT, chat()) for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[2].json["error"]["limit"] == "suspects"
    made = await far.order(cluster, "release", "", WHY)
    assert (made["verdict"], made["until"]) == ("none", None)
    assert (await operated.post(CHAT, chat())).status == 200


async def test_members_are_split_off_and_joined_again(operated: Operated, far: FarClusters, cluster: str) -> None:
    await far.order(cluster, "label", "suspect", WHY)
    split = await far.split(cluster, MEMBERS[1:3], WHY, "1d", free=True)
    assert (split["cluster"], split["accounts"]) == (cluster, sorted(MEMBERS[1:3]))
    state = await operated.guardrail.work()
    assert [sorted(each.members) for each in state.clusters] == [sorted(set(MEMBERS) - set(MEMBERS[1:3]))]
    assert (await far.cluster(cluster))["splits"][0]["accounts"] == sorted(MEMBERS[1:3])
    assert (await far.join(cluster, WHY))["accounts"] == sorted(MEMBERS[1:3])
    state = await operated.guardrail.work()
    assert [sorted(each.members) for each in state.clusters] == [sorted(MEMBERS)]


async def test_a_split_may_name_thousands(far: FarClusters, cluster: str) -> None:
    """A body of 16 KiB has room for some six hundred accounts; of strangers the first three are told."""
    strangers = [f"a:stranger-{number:05d}".ljust(24, "_") for number in range(5_000)]
    with pytest.raises(Cannot, match=r"^ACCOUNT a:stranger-00000________, .* are not in "):
        await far.split(cluster, strangers, WHY)


@pytest.mark.parametrize(
    ("order", "value", "reason", "until", "said"),
    [
        ("label", "guilty", WHY, None, "VERDICT 'guilty' is none. There are none, watched, suspect, confirmed, auto."),
        ("label", "", WHY, None, "VERDICT '' is none. There are none, watched, suspect, confirmed, auto."),
        ("budget", "", WHY, None, "TOKENS is missing: so many tokens a UTC day, or `auto`."),
        ("release", "", "", None, "--reason is empty."),
        ("release", "", WHY, "soon", "--until "),
        ("approve", "", WHY, None, "ID {cluster} is watched: there is nothing to approve."),
    ],
)
async def test_it_is_told_why_something_cannot_be(
    far: FarClusters, cluster: str, order: str, value: str, reason: str, until: str | None, said: str
) -> None:
    before = await far.clusters()
    with pytest.raises(Cannot) as refused:
        await far.order(cluster, order, value, reason, until)
    assert str(refused.value).startswith(said.format(cluster=cluster))
    assert await far.clusters() == before


async def test_no_cluster_is_called_that(operated: Operated, far: FarClusters) -> None:
    assert problem(await operated.at("GET", "/v1/clusters/ffffffffffff")) == (404, "unknown_cluster")
    with pytest.raises(Cannot, match=r"^ID 'ffffffffffff' is no cluster of the last rebuild\."):
        await far.cluster("ffffffffffff")


@pytest.mark.parametrize(
    ("path", "body", "argument"),
    [
        ("split", {"accounts": MEMBERS[1], "reason": WHY}, "accounts"),
        ("split", {"accounts": [1], "reason": WHY}, "accounts"),
        ("split", {"accounts": [], "reason": WHY, "free": "yes"}, "free"),
        ("label", {"verdict": ["suspect"], "reason": WHY}, "verdict"),
        ("label", {"verdict": "suspect", "reason": 7}, "reason"),
        ("label", {"value": "suspect", "reason": WHY}, "value"),
        ("release", {"reason": WHY, "until": 7}, "until"),
        ("join", {}, "reason"),
    ],
)
async def test_what_is_sent_is_looked_at(operated: Operated, cluster: str, path: str, body: Any, argument: str) -> None:
    answer = await operated.at("POST", f"/v1/clusters/{cluster}/{path}", body)
    assert problem(answer) == (422, "misuse")
    assert answer.json["argument"] == argument


async def test_who_has_no_clusters_is_told() -> None:
    assert problem(await Operated().at("GET", "/v1/clusters")) == (404, "clusters_off")


async def test_a_list_comes_in_pages_and_the_command_line_reads_them_all(
    operated: Operated, far: FarClusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another cluster of twenty; one a page."""
    store = graph_of(operated.guardrail)
    others = [f"a:another-{number:02d}".ljust(24, "_") for number in range(20)]
    values = [keys.join(keys.PAYMENT, 2), keys.join(keys.SYSTEM, 2), keys.join(keys.DEVICE, 2)]
    for each in others:
        await store.link(each, values)
    await operated.guardrail.work()
    first, second = [await operated.see(f"/v1/clusters?n=1&skip={skip}") for skip in (0, 1)]
    assert [len(each["clusters"][0]["members"]) for each in (first, second)] == [40, 20]
    assert [(each["all"], each["more"]) for each in (first, second)] == [(2, True), (2, False)]
    monkeypatch.setattr(import_module("guardrail_mw.cli.clusters.asking"), "_PAGE", 1)
    whole = await far.clusters()
    assert whole["clusters"] == first["clusters"] + second["clusters"]
    assert "2 clusters" in next(tell_list(whole))


async def test_pages_of_clusters_that_were_worked_out_anew_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = iter([(1, ["a"], True), (2, ["x"], False), (2, ["b"], True), (2, ["c"], False)])

    async def ask(_method: str, _path: str, **_rest: Any) -> dict[str, Any]:
        rebuilt, clusters, more = next(pages)
        return {"rebuilt": rebuilt, "clusters": clusters, "more": more}

    port = Port(httpx2.AsyncClient())
    monkeypatch.setattr(port, "ask", ask)
    assert (await FarClusters(port).clusters())["clusters"] == ["b", "c"]


@pytest.mark.parametrize("called", ["", ".", "..", "explanation", "abc/picture", "abc%2f", "ID\ud800", "é"])
async def test_what_no_cluster_is_called_is_not_asked_for(far: FarClusters, called: str) -> None:
    for asking in (far.cluster(called), far.picture(called), far.order(called, "release", "", WHY), far.join(called, WHY)):
        with pytest.raises(Cannot, match=r"^ID '.*' is no cluster of the last rebuild\. `guardrail-mw clusters list`"):
            await asking
