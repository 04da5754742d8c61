"""What the engine learns of accounts beside their requests: what they show, what they do, whom they belong to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.algorithms.activity import unpack
from guardrail_mw.algorithms.edges import hour_of
from guardrail_mw.algorithms.edges import unpack as edges_of
from guardrail_mw.clusters.binding import FREE, changes
from guardrail_mw.clusters.state import BINDING, EDITION
from guardrail_mw.engine.gathering import Releases
from guardrail_mw.engine.making import gathering
from guardrail_mw.errors import PluginError, StoreError
from guardrail_mw.stores.base import Change, Held
from guardrail_mw.worker.desk import published

from ..asgi.kit import KEY, OTHER_KEY, CountingStore, Guarded, Upstream, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
AGENT = (b"user-agent", b"mine/1")
USAGE = {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}


def asked(text: str = "Hello", system: str = "Be brief.", model: str = "large") -> dict[str, Any]:
    """A chat."""
    said = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {"model": model, "messages": said}


def guarded(*limits: Any, **rest: Any) -> Guarded:
    """A guardrail with clusters."""
    app = Upstream(json.dumps(USAGE).encode())
    return Guarded(app, policy(*limits, **{"clusters": {}, **rest}))


async def held(api: Guarded) -> list[Held]:
    """What the store keeps of everybody."""
    await api.guardrail.drain()
    assert api.guardrail._gathering is not None
    await api.guardrail.report()
    return [each async for batch in api.store.read(0) for each in batch]


async def standing(api: Guarded, account: str) -> dict[str, str]:
    """What it says of the account's cluster."""
    fields = (await api.store.export(account))["standing"]["fields"]
    return {name: fields[name] for name in FREE if name in fields}


async def test_what_a_proved_account_shows_and_does_is_kept() -> None:
    api = guarded({"name": "r", "rate": "1/minute", "burst": 2})
    for _ in range(3):
        await api.post(CHAT, asked(), KEY, AGENT)
    (found,) = await held(api)
    codes = sorted(edge.key >> keys.BITS for edge in edges_of(found.edges))
    assert codes == [keys.DEVICE_SEEN, keys.NETWORK, keys.NETWORK_WIDE, keys.SYSTEM, keys.AGENT]
    done = unpack(found.activity)
    assert (done.requests, done.tokens, done.first) == (
        3,
        8,
        hour_of(api.clock.now()),
    )  # 14 characters are 4 tokens; the third was refused


async def test_nobody_is_noted_who_is_not_proved() -> None:
    api = guarded(trust="app")
    await api.post(CHAT, asked(), KEY)
    assert await held(api) == []
    await api.post(CHAT, asked(), KEY)
    assert len(await held(api)) == 1


async def test_without_content_a_body_is_not_read_for_it() -> None:
    api = guarded(clusters={"content": False})
    await api.post(CHAT, asked(), KEY, AGENT)
    (found,) = await held(api)
    assert keys.SYSTEM not in {edge.key >> keys.BITS for edge in edges_of(found.edges)}
    assert api.guardrail.engine.router.find(CHAT, "POST").measured is False
    assert guarded().guardrail.engine.router.find(CHAT, "POST").measured is True


async def test_what_was_noted_today_is_not_sent_again_and_what_failed_is() -> None:
    api = guarded()
    api.store.failure = StoreError("away")
    await api.post(CHAT, asked(), KEY, AGENT)
    api.store.failure = None
    await api.post(CHAT, asked(), KEY, AGENT)
    await api.post(CHAT, asked(), KEY, AGENT)
    assert [len(bill.edges) for bill in api.store.bills] == [5, 5, 0]


async def marked(api: Guarded, cluster: str) -> Held:
    """The first who came, whose network and system prompt speak for a cluster, at 9 nats each."""
    await api.post(CHAT, asked(), KEY, AGENT)
    (found,) = await held(api)
    shown = {edge.key >> keys.BITS: edge.key for edge in edges_of(found.edges)}
    await api.store.mark({shown[keys.NETWORK]: ((cluster, 9_000),), shown[keys.SYSTEM]: ((cluster, 9_000),)}, {})
    return found


async def test_a_new_account_is_placed_by_the_records_that_came_with_its_charge() -> None:
    """A card's worth: 9 nats of a network that few share, and 9 of a prompt; 18 are more than 12, and one is bound."""
    api = guarded()
    cluster = "0123456789ab"
    await marked(api, cluster)
    binding = {cluster: {"cluster": cluster, "verdict": "suspect", "families": "client,network"}}
    await published(api.store, binding)
    await api.guardrail.see()
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    await api.guardrail.drain()
    account = api.store.bills[-1].candidate
    fields = (await api.store.export(account))["standing"]["fields"]
    assert {name: fields[name] for name in ("cluster", "verdict", "families")} == binding[cluster]
    assert int(fields["joined"]) == api.clock.now()
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    assert _traits(api).verdict == "suspect"
    assert api.guardrail.counts.read()["clusters.placed"] == 1


async def test_whoever_is_placed_while_a_cluster_is_released_is_released_too() -> None:
    """By a process that has not heard of it yet; once it has, and however late the settlement that placed them came."""
    api = guarded()
    cluster = "0123456789ab"
    await marked(api, cluster)
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "suspect", "families": "client,network"}})
    await api.guardrail.see()
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "none", "budget": "7000"}})
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    await api.guardrail.drain()
    account = api.store.bills[-1].candidate
    assert await standing(api, account) == {"cluster": cluster, "verdict": "suspect", "families": "client,network"}
    await api.guardrail.see()
    assert await standing(api, account) == {"cluster": cluster, "verdict": "none", "budget": "7000"}
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "confirmed"}})  # and once more
    await api.guardrail.see()
    assert await standing(api, account) == {"cluster": cluster, "verdict": "confirmed"}
    api.clock.advance(5)  # from now on the next rebuild sees to it
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "none"}})
    await api.guardrail.see()
    assert (await standing(api, account))["verdict"] == "confirmed"


async def placed(api: Guarded) -> tuple[str, str]:
    """Somebody who was just placed in a suspect cluster: the account, and the cluster."""
    cluster = "0123456789ab"
    await marked(api, cluster)
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "suspect", "families": "client,network"}})
    await api.guardrail.see()
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    await api.guardrail.drain()
    return api.store.bills[-1].candidate, cluster


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"cluster": "beef00000000", "verdict": "suspect"}, {"cluster": "beef00000000", "verdict": "suspect"}),
        ({"cluster": "0123456789ab", "verdict": "watched"}, {"cluster": "0123456789ab", "verdict": "watched"}),
        ({"cluster": ""}, {}),
        ({"cluster": "", "apart": "0"}, {}),
    ],
    ids=["moved by a rebuild", "judged by a rebuild", "freed", "split off"],
)
async def test_what_others_wrote_of_a_newcomer_meanwhile_stays(fields: dict[str, str], left: dict[str, str]) -> None:
    api = guarded()
    account, cluster = await placed(api)
    await api.store.assign([(account, changes({**FREE, **fields}))])
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "confirmed"}})
    for _ in range(3):
        await api.guardrail.see()
    assert await standing(api, account) == left


async def test_an_erased_newcomer_does_not_come_back() -> None:
    api = guarded()
    account, cluster = await placed(api)
    await api.store.erase(account)
    await published(api.store, {cluster: {"cluster": cluster, "verdict": "confirmed"}})
    await api.guardrail.see()
    assert await standing(api, account) == {}


async def test_a_cluster_that_is_no_more_takes_nobody_back() -> None:
    api = guarded()
    account, _ = await placed(api)
    await published(api.store, {})
    await api.guardrail.see()
    assert (await standing(api, account))["verdict"] == "suspect"  # the rebuild that ended it frees it


async def test_what_an_older_process_writes_is_seen_with_the_next_report() -> None:
    """It knows of no edition."""
    api = guarded()
    await published(api.store, {"0123456789ab": {"verdict": "suspect"}})
    await api.guardrail.see()
    await api.store.keep(BINDING, b'{"0123456789ab": {"verdict": "none"}}')
    await api.guardrail.see()
    assert api.guardrail._gathering is not None
    assert api.guardrail._gathering._verdicts["0123456789ab"]["verdict"] == "suspect"
    await api.guardrail.report()
    assert api.guardrail._gathering._verdicts["0123456789ab"]["verdict"] == "none"


async def test_verdicts_are_read_where_they_changed() -> None:
    api = guarded()
    read: list[str] = []
    recall = api.store.recall

    async def counted(name: str) -> bytes | None:
        read.append(name)
        found: bytes | None = await recall(name)
        return found

    api.store.recall = counted
    await published(api.store, {"0123456789ab": {"verdict": "suspect"}})
    for _ in range(3):
        await api.guardrail.see()
    assert read == [BINDING, EDITION, EDITION]


async def test_who_was_split_off_is_left_to_the_rebuild_until_that_ends() -> None:
    """Another process has not noted today what they show, so that it comes with records; these speak for the cluster as ever."""
    api = guarded()
    cluster = "0123456789ab"
    found = await marked(api, cluster)
    end = api.clock.now() + 86_400_000_000
    await api.store.remember(found.account, [Change("set", "apart", str(end))])
    clusters = []
    for seconds in (43_200, 43_199, 1):
        api.clock.advance(seconds)
        its = api.guardrail
        its._gathering = gathering(its.policy, its.store, its._resolver, clock=its.clock, observer=its.counts)
        its.engine = its._compile(its.policy)
        for _ in range(2):
            await api.post(CHAT, asked(), KEY, AGENT)
            await api.guardrail.drain()
        clusters.append((await api.store.export(found.account))["standing"]["fields"].get("cluster"))
    assert clusters == [None, None, cluster]


async def test_an_established_account_is_left_to_the_rebuild() -> None:
    api = guarded()
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    (found,) = await held(api)
    api.clock.advance(30 * 86_400)
    shown = {edge.key >> keys.BITS: edge.key for edge in edges_of(found.edges)}
    await api.store.mark(dict.fromkeys(shown.values(), (("0123456789ab", 9_000),)), {})
    await api.post(CHAT, asked(), OTHER_KEY, AGENT)
    await api.guardrail.drain()
    assert "cluster" not in (await api.store.export(found.account))["standing"]["fields"]


async def test_a_brake_trims_until_an_operator_has_looked() -> None:
    api = guarded()
    await api.post(CHAT, {**asked(), "logprobs": True}, KEY)
    account = api.store.bills[-1].candidate
    await api.store.remember(account, [Change("set", "brake", "suspect"), Change("set", "verdict", "watched")])
    answer = await api.post(CHAT, {**asked(), "logprobs": True}, KEY)
    assert answer.field("x-guardrail-trimmed") == "logprobs"
    assert "logprobs" not in json.loads(api.app.bodies[-1])
    await api.store.remember(account, [Change("unset", "brake")])
    answer = await api.post(CHAT, {**asked(), "logprobs": True}, KEY)
    assert answer.field("x-guardrail-trimmed") is None


async def test_a_brake_touches_nobody_in_shadow() -> None:
    api = Guarded(Upstream(json.dumps(USAGE).encode()), policy(mode="shadow", clusters={}))
    await api.post(CHAT, asked(), KEY)
    await api.store.remember(api.store.bills[-1].candidate, [Change("set", "brake", "suspect")])
    answer = await api.post(CHAT, {**asked(), "logprobs": True}, KEY)
    assert answer.field("x-guardrail-trimmed") is None
    assert json.loads(api.app.bodies[-1])["logprobs"] is True


def test_a_model_is_new_for_a_week_after_its_release() -> None:
    day = 86_400_000_000
    releases = Releases({"a": 10 * day, "b": 12 * day})
    assert releases.at(10 * day - 1, "a") == (0, 0)
    assert releases.at(10 * day, "a") == (1, 1)
    assert releases.at(10 * day, "b") == (0, 1)
    assert releases.at(17 * day, "a") == (0, 1)
    assert releases.at(19 * day, "b") == (0, 0)
    assert Releases({}).at(0, "a") == (0, 0)


async def test_traffic_of_a_new_model_is_told_apart() -> None:
    models = {"large": {"released": "2026-01-01"}, "small": {}}
    api = guarded(models=models)  # the clock stands at that very midnight
    for model in ("large", "large", "small"):
        await api.post(CHAT, asked(model=model), KEY)
    (found,) = await held(api)
    done = unpack(found.activity)
    assert (done.fresh, done.windowed) == (2, 3)


async def test_who_moves_to_a_model_in_its_first_two_days_shows_that() -> None:
    api = guarded(models={"large": {"released": "2026-01-01"}, "small": {}})
    await api.post(CHAT, asked(model="small"), KEY)
    assert keys.RELEASE not in {edge >> keys.BITS for edge in api.store.bills[-1].edges}
    await api.post(CHAT, asked(model="large"), KEY)
    (moved,) = api.store.bills[-1].edges
    assert moved == api.guardrail.engine.resolver.digester.key(keys.RELEASE, f"large {api.clock.now()}")
    await api.post(CHAT, asked(model="large"), KEY)
    assert api.store.bills[-1].edges == ()
    api.clock.advance(2 * 86_400 - 1)
    await api.post(CHAT, asked(model="large"), OTHER_KEY)
    assert moved in api.store.bills[-1].edges
    api.clock.advance(1)
    await api.post(CHAT, asked(model="large"), (b"authorization", b"Bearer sk-three"))
    assert moved not in api.store.bills[-1].edges


async def test_a_policy_without_clusters_gathers_nothing() -> None:
    api = Guarded(Upstream(), policy())
    await api.post(CHAT, asked(), KEY, AGENT)
    assert api.store.bills[-1].edges == ()
    with pytest.raises(PluginError, match="The policy has no clusters"):
        await api.guardrail.work()


async def test_work_reports_and_rebuilds_at_once() -> None:
    api = guarded()
    await api.post(CHAT, asked(), KEY, AGENT)
    state = await api.guardrail.work()
    assert (state.rebuilt, state.clusters) == (api.clock.now(), ())
    (found,) = [each async for batch in api.store.read(0) for each in batch]
    assert unpack(found.activity).requests == 1


def _traits(api: Guarded) -> Any:
    """What rules saw of the last exchange."""
    exchange = api.app.scopes[-1]["state"]["guardrail"]
    return exchange.traits


async def test_what_cannot_be_reported_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    api = guarded()
    await api.post(CHAT, asked(), KEY)
    assert isinstance(api.store, CountingStore)

    async def note(_: Any) -> None:
        raise StoreError("away")

    monkeypatch.setattr(api.store, "note", note)
    with pytest.raises(StoreError):
        await api.guardrail.work()
    assert api.guardrail.counts.read()["clusters.activity_lost"] == 1
