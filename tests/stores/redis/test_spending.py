"""A token is spent at most once, whatever becomes of the server meanwhile; and each part of an epoch is needed for that.

Each disaster is tried on 1,000 tokens, with the scripts as they are and with parts of them cut out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha1
from typing import Any

import pytest

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.redis import RedisStore, codec, scripts, ways
from guardrail_mw.testing.processes import HOST
from guardrail_mw.testing.proxy import Proxy
from guardrail_mw.testing.servers import Server

from .transport import Start, ours, until

pytestmark = pytest.mark.anyio
PATIENT = 10_000_000
HOUR = 3_600_000_000
TOKENS = [f"token-{number}" for number in range(1000)]
AT_ONCE = ("--repl-diskless-sync-delay", "0")

WHOLE: tuple[bytes, ...] = ()
COMPARISON = b" or mine ~= ARGV[2]"
PROCESS = b"process .. '.' .. "
TERM = b"term .. '.' .. "
RANDOM = b" .. '.' .. random"
MASTER = b"if not find(replication, '\\nrole:master', 1, true) then return nil, 'READONLY This server is no master.' end"


def cut(monkeypatch: pytest.MonkeyPatch, parts: Sequence[bytes]) -> None:
    """Let this process's stores use scripts without `parts`."""
    sources = {script.name: script.source for script in scripts.SCRIPTS}
    for part in parts:
        names = [name for name, source in sources.items() if part in source]
        assert names, part
        for name in names:
            sources[name] = sources[name].replace(part, b"")
    monkeypatch.setattr(ways, "_SOURCES", tuple(sources.values()))
    monkeypatch.setattr(ways, "_LOADS", tuple(codec.command("SCRIPT", "LOAD", source) for source in sources.values()))
    for name, source in sources.items():
        monkeypatch.setitem(scripts.SHA, name, sha1(source, usedforsecurity=False).hexdigest().encode())


def tried(kinds: Sequence[str], cuts: Sequence[tuple[Sequence[bytes], int]], names: Sequence[str]) -> pytest.MarkDecorator:
    """Whole scripts on every kind of server, and cut ones on the first: what is cut, and how many tokens are then spent twice."""
    cases = [pytest.param(kind, WHOLE, 0, id=f"whole-{kind}") for kind in kinds]
    cases += [pytest.param(kinds[0], *case, id=name) for case, name in zip(cuts, names, strict=True)]
    return pytest.mark.parametrize(("kind", "without", "expected"), cases)


@pytest.fixture
async def connect() -> Any:
    """Make stores, which are closed when the test ends."""
    made: list[RedisStore] = []

    def make(server: Any) -> RedisStore:
        made.append(RedisStore(server if isinstance(server, str) else server.url, deadline=PATIENT))
        return made[-1]

    yield make
    for store in made:
        await store.close()


async def told(store: RedisStore, tokens: Sequence[str] = TOKENS) -> dict[str, str]:
    """Each token's epoch."""
    return dict(zip(tokens, await asyncio.gather(*map(store.epoch, tokens)), strict=True))


async def spent(store: RedisStore, epochs: dict[str, str]) -> Counter[str]:
    """Try to spend every token: those that were."""
    answers = await asyncio.gather(*(store.spend(token, HOUR, epoch) for token, epoch in epochs.items()))
    return Counter(token for token, answer in zip(epochs, answers, strict=True) if answer)


def twice(*rounds: Counter[str]) -> int:
    """How many tokens were spent more often than once."""
    return sum(times > 1 for times in sum(rounds, Counter[str]()).values())


def in_step(master: Any, replica: Any) -> bool:
    """Whether all that the master ever wrote has arrived."""
    there, here = master.client().info("replication"), replica.client().info("replication")
    return (here.get("master_link_status"), here["master_repl_offset"]) == ("up", there["master_repl_offset"])


def detach(server: Any) -> None:
    """Make a replica a master."""
    server.client().replicaof("NO", "ONE")


@tried(
    ["redis", "valkey"],
    [([PROCESS], 0), ([TERM], 0), ([PROCESS, TERM], 1000), ([COMPARISON], 1000)],
    ["no process", "no term", "neither", "no comparison"],
)
async def test_a_partitioned_replica_is_promoted(
    guardrail_start: Start,
    connect: Callable[..., RedisStore],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    without: Sequence[bytes],
    expected: int,
) -> None:
    """It never heard of what was spent; the old master, which somebody still reaches, goes on as if nothing had happened."""
    cut(monkeypatch, without)
    master: Any = guardrail_start(kind, *AT_ONCE)
    replica: Any = guardrail_start(kind, *AT_ONCE)
    old, new = connect(master), connect(replica)
    async with Proxy(master.process.port) as proxy:
        replica.client().replicaof(HOST, proxy.port)
        await until(partial(in_step, master, replica), 20)
        epochs = await told(old)
        await until(partial(in_step, master, replica))
        proxy.stall()
        before = await spent(old, dict(list(epochs.items())[:500]))
        assert (master.client().dbsize(), replica.client().dbsize()) == (codec.SHARDS + 500, codec.SHARDS)
        detach(replica)
        after = await spent(new, epochs)
        partitioned = await spent(old, epochs)
        assert (before + partitioned) == Counter(TOKENS)
        assert twice(before, after, partitioned) == expected
        anew = await told(new)
        assert not {*anew.values()} & {*epochs.values()} or without
        assert sum((await spent(new, anew)).values()) == 1000 - len(after)


@tried(
    ["redis", "valkey"],
    [([PROCESS], 0), ([TERM], 1000), ([RANDOM], 0), ([COMPARISON], 1000)],
    ["no process", "no term", "no random key", "no comparison"],
)
async def test_a_master_is_demoted_and_promoted_again_under_one_connection(
    guardrail_start: Start,
    connect: Callable[..., RedisStore],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    without: Sequence[bytes],
    expected: int,
) -> None:
    """In between it takes another's data, which lacks what was spent. Its process is the same, and so is the connection."""
    cut(monkeypatch, without)
    master: Any = guardrail_start(kind, *AT_ONCE)
    other: Any = guardrail_start(kind, *AT_ONCE)
    store = connect(master)
    other.client().replicaof(HOST, master.process.port)
    await until(partial(in_step, master, other), 20)
    epochs = await told(store)  # not before: a first replica begins a new term
    await until(partial(in_step, master, other))
    detach(other)
    before = await spent(store, epochs)
    connections = sorted(ours(master))
    master.client().replicaof(HOST, other.process.port)
    await until(partial(in_step, other, master), 20)
    assert master.client().dbsize() == codec.SHARDS, "what was spent is forgotten"
    detach(master)
    after = await spent(store, epochs)
    assert sorted(ours(master)) == connections
    assert len(before) == 1000
    assert twice(before, after) == expected


@tried(
    ["redis", "valkey"],
    [([PROCESS], 0), ([TERM], 0), ([PROCESS, TERM], 1000), ([COMPARISON], 1000)],
    ["no process", "no term", "neither", "no comparison"],
)
async def test_a_server_comes_back_with_an_old_snapshot(
    guardrail_start: Start,
    connect: Callable[..., RedisStore],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    without: Sequence[bytes],
    expected: int,
) -> None:
    cut(monkeypatch, without)
    server: Any = guardrail_start(kind)
    store = connect(server)
    epochs = await told(store)
    server.client().save()
    before = await spent(store, epochs)
    assert server.client().dbsize() == codec.SHARDS + 1000
    await store.close()
    server.restart()
    assert server.client().dbsize() == codec.SHARDS
    after = await spent(store, epochs)
    assert len(before) == 1000
    assert twice(before, after) == expected


@tried(
    ["redis", "valkey", "fakeredis", "cluster"],
    [([PROCESS, TERM], 0), ([RANDOM], 1000), ([COMPARISON], 1000)],
    ["only the random key", "no random key", "no comparison"],
)
async def test_a_flush(
    guardrail_start: Start,
    connect: Callable[..., RedisStore],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    without: Sequence[bytes],
    expected: int,
) -> None:
    cut(monkeypatch, without)
    server = guardrail_start(kind)
    store = connect(server)
    epochs = await told(store)
    before = await spent(store, epochs)
    server.flush()
    meanwhile = await spent(store, epochs)
    assert not meanwhile, "where there is no random key, nothing is spent"
    await told(store)
    after = await spent(store, epochs)
    assert len(before) == 1000
    assert twice(before, after) == expected


async def test_no_replica_has_an_epoch(guardrail_start: Start, connect: Callable[..., RedisStore]) -> None:
    master: Any = guardrail_start("redis", *AT_ONCE)
    replica: Any = guardrail_start("redis", *AT_ONCE)
    store = connect(replica)
    epoch = await store.epoch("token")
    replica.client().replicaof(HOST, master.process.port)
    for call in (store.epoch("token"), store.spend("token", HOUR, epoch)):
        with pytest.raises(StoreError, match="READONLY"):
            await call


@pytest.mark.parametrize("asks", [True, False])
async def test_a_replica_that_may_be_written_spends_nothing(
    guardrail_start: Start, connect: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch, *, asks: bool
) -> None:
    """What it writes is gone when it takes its master's data anew; its process and that master's term are the same after."""
    cut(monkeypatch, WHOLE if asks else [MASTER])
    master: Any = guardrail_start("redis", *AT_ONCE)
    replica: Any = guardrail_start("redis", *AT_ONCE, "--replica-read-only", "no")
    store = connect(replica)
    await told(connect(master))
    replica.client().replicaof(HOST, master.process.port)
    await until(partial(in_step, master, replica), 20)
    if asks:
        for call in (store.epoch("token"), store.spend("token", HOUR, "any")):
            with pytest.raises(StoreError, match="READONLY This server is no master"):
                await call
        return
    epochs = await told(store)
    before = await spent(store, epochs)
    replica.client().delete(*[key for key in replica.client().scan_iter() if b"token" in key])  # as taking it anew does
    assert twice(before, await spent(store, epochs)) == 1000


@pytest.mark.parametrize("kind", ["redis", "valkey"])
async def test_a_server_that_scripts_may_not_ask_says_so(
    kind: str, connect: Callable[..., RedisStore], guardrail_start: Start
) -> None:
    server: Any = guardrail_start(kind)
    server.client().acl_setuser("guard", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
    store = connect(f"redis://guard:x@{HOST}:{server.process.port}/0")
    for call in (store.epoch("token"), store.spend("token", HOUR, "any")):
        with pytest.raises(StoreError, match=r"NOEPOCH .* Allow it \(ACL SETUSER \.\.\. \+info\)\. \w"):
            await call
    server.client().acl_setuser("guard", commands=["+info"])
    assert await store.spend("token", HOUR, await store.epoch("token"))


async def test_a_server_that_does_not_say_which_it_is(
    guardrail_start: Start, connect: Callable[..., RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fakeredis.commands_mixins.server_mixin import ServerCommandsMixin

    store = connect(guardrail_start("fakeredis"))
    epoch = await store.epoch("token")
    for info in (b"# Replication\r\nrole:master\r\nmaster_replid:0123\r\n", b"role:master\r\nrun_id:\r\n"):
        monkeypatch.setattr(ServerCommandsMixin, "_info", lambda *_, info=info: b"#\r\n" + info)
        for call in (store.epoch("token"), store.spend("token", HOUR, epoch)):
            with pytest.raises(StoreError, match="NOEPOCH INFO tells no run_id or no master_replid"):
                await call
    monkeypatch.undo()
    assert await store.spend("token", HOUR, epoch)


async def test_an_epoch_is_64_characters_of_its_shard(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    epochs = await told(store)
    assert {len(epoch) for epoch in epochs.values()} == {64}
    assert len({*epochs.values()}) == codec.SHARDS == 64
    servers = {epoch.split(".")[0] for epoch in epochs.values()}
    assert len(servers) == (3 if guardrail_server.kind == "cluster" else 1)
    client: Any = guardrail_server.client()
    [random] = [key for key in client.scan_iter(f"{guardrail_prefix}*") if key.endswith(b"{x:07}")]
    assert client.ttl(random) == -1
    assert {epoch.split(".", 2)[2] for token, epoch in epochs.items() if codec.shard_of(token) == "x:07"} == {
        client.get(random).decode()
    }
    await store.close()


async def test_spent_tokens_vanish_when_their_time_is_over(guardrail_server: Server, guardrail_prefix: str) -> None:
    store = RedisStore(guardrail_server.url, deadline=PATIENT, prefix=guardrail_prefix)
    assert await store.spend("token", HOUR, await store.epoch("token"))
    client: Any = guardrail_server.client()
    left = client.pttl(f"{guardrail_prefix}{{{codec.shard_of('token')}}}:token")
    assert 3_590_000 < left <= 3_600_001
    await store.close()


def _owner(server: Any, slot: int) -> int:
    """Which of the nodes has a slot."""
    return next(
        at
        for at, node in enumerate(server.nodes)
        if node.ask("CLUSTER", "COUNTKEYSINSLOT", str(slot)) != ":0\r\n"  # no other node has a key of it
    )


def _move(server: Any, slot: int) -> None:
    """A slot and its keys go to the next node."""
    nodes, source = server.nodes, _owner(server, slot)
    target = (source + 1) % 3
    ids = [node.ask("CLUSTER", "MYID").split("\r\n")[1] for node in nodes]
    nodes[target].ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[source])
    nodes[source].ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[target])
    for key in nodes[source].ask("CLUSTER", "GETKEYSINSLOT", str(slot), "1000").split("\r\n")[2::2]:
        assert nodes[source].ask("MIGRATE", HOST, str(nodes[target].port), key, "0", "1000").startswith("+OK")
    for at in (target, source, (source + 2) % 3):
        nodes[at].ask("CLUSTER", "SETSLOT", str(slot), "NODE", ids[target])


async def test_a_slot_moves_to_another_node(guardrail_start: Start, connect: Callable[..., RedisStore]) -> None:
    """What was spent stays spent there; what was not, takes the new place's epoch."""
    server = guardrail_start("cluster")
    store = connect(server)
    tokens = [token for token in TOKENS if codec.shard_of(token) == "x:07"]
    epochs = await told(store, tokens)
    first = dict(list(epochs.items())[::2])
    assert len(await spent(store, first)) == len(first) >= 5
    _move(server, codec.key_slot("x:07"))
    assert not await spent(store, epochs)
    anew = await told(store, tokens)
    assert {epoch.split(".", 2)[2] for epoch in [*anew.values(), *epochs.values()]} == {epochs[tokens[0]].split(".", 2)[2]}
    assert {*await spent(store, anew)} == {*tokens} - {*first}


async def test_a_node_of_a_cluster_comes_back_empty(guardrail_start: Start, connect: Callable[..., RedisStore]) -> None:
    """Its tokens' epochs are over, and the other nodes' go on."""
    server: Any = guardrail_start("cluster")
    store = connect(server)
    epochs = await told(store)
    half = dict(list(epochs.items())[:500])
    assert len(await spent(store, half)) == 500
    await store.close()
    gone = server.nodes[0].ask("INFO", "server").partition("run_id:")[2][:20]
    server.nodes[0].restart()
    server._wait()
    lost = {token for token, epoch in epochs.items() if epoch.startswith(gone)}
    assert 100 < len(lost) < 600
    assert {*await spent(store, epochs)} == {*TOKENS} - {*half} - lost
    assert {*await spent(store, await told(store))} == lost
