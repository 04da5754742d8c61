"""Servers of several processes: a 3-master cluster, and a Sentinel set."""

from __future__ import annotations

from functools import partial
from typing import Any

from guardrail_mw.testing.processes import HOST, Clients, Process, ServerMissing, started

__all__ = ["Cluster", "Sentinel"]

SERVICE = "guardrail"
"""What the Sentinels call their master."""
SILENCE = 2000
"""ms after which a Sentinel takes a server for dead. It first pings a new master after one second: with no more than that, a
failover may bring about the next."""
SLOTS = 16_384


class Cluster:
    """Three masters that share all slots, no replicas; a dead node's slots fail alone."""

    kind = "cluster"

    def __init__(self, binary: str, *options: str) -> None:
        settings = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "1000")
        self.nodes = [Process(binary, *settings, *options) for _ in range(3)]
        first = self.nodes[0]
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        self._clients = Clients(lambda: _cluster(self.nodes))
        started(self.nodes)
        try:
            edges = [SLOTS * part // 3 for part in range(4)]
            for node, start, end in zip(self.nodes, edges, edges[1:], strict=False):
                node.ask("CLUSTER", "ADDSLOTSRANGE", str(start), str(end - 1))
                first.ask("CLUSTER", "MEET", HOST, str(node.port))
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        for node in self.nodes:
            node.wait_until(partial(_agrees, node), "join the cluster")

    @property
    def pid(self) -> int:
        """Of the first node; each of `nodes` has its own."""
        return self.nodes[0].pid

    def client(self) -> Any:
        """A synchronous redis-py cluster client."""
        return self._clients.get()

    def flush(self) -> None:
        """FLUSHALL on every node."""
        for node in self.nodes:
            node.ask("FLUSHALL")

    def freeze(self) -> None:
        """Freeze every node; `nodes[i].freeze()` freezes one."""
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        """Let every node go on, and wait until they agree again."""
        for node in self.nodes:
            node.thaw()
        self._wait()

    def kill(self) -> None:
        """Kill every node; `nodes[i].kill()` kills one."""
        for node in self.nodes:
            node.kill()

    def restart(self) -> None:
        """Start every node anew and wait until they agree; each keeps its name and slots."""
        for node in self.nodes:
            node.restart()
        self._wait()

    def stop(self) -> None:
        """End for good."""
        self._clients.close()
        for node in self.nodes:
            node.stop()


def _agrees(node: Process) -> bool:
    info = node.ask("CLUSTER", "INFO")
    return all(line in info for line in ("cluster_state:ok", "cluster_known_nodes:3", f"cluster_slots_ok:{SLOTS}"))


def _cluster(nodes: list[Process]) -> Any:
    from redis.cluster import ClusterNode, RedisCluster

    return RedisCluster(startup_nodes=[ClusterNode(HOST, node.port) for node in nodes])  # type: ignore[no-untyped-call]


class Sentinel:
    """A master, its replica and three Sentinels, two of which suffice for a failover; it begins after two seconds."""

    kind = "sentinel"

    def __init__(self, binary: str, *options: str) -> None:
        self.data = [Process(binary, "--repl-diskless-sync-delay", "0", *options)]
        master = self.data[0].port
        self.data.append(Process(binary, "--repl-diskless-sync-delay", "0", "--replicaof", f"{HOST} {master}", *options))
        config = (
            f"sentinel monitor {SERVICE} {HOST} {master} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {SILENCE}\n"
            f"sentinel failover-timeout {SERVICE} 4000\n"
        )
        self.sentinels = [Process(binary, "--sentinel", config=config) for _ in range(3)]
        self.url = f"redis+sentinel://{','.join(f'{HOST}:{each.port}' for each in self.sentinels)}/{SERVICE}"
        self._clients = Clients(lambda: _master_for(self.sentinels))
        started([*self.data, *self.sentinels])
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def wait(self) -> None:
        """Until the replica is in step with its master, and every Sentinel knows both and the other two."""
        for each in self.sentinels:
            each.wait_until(partial(_complete, each), "find the others")
        self.sentinels[0].wait_until(lambda: _in_step(self.data), "bring master and replica together")

    @property
    def master(self) -> Process:
        """The present master, as the first living Sentinel sees it."""
        for each in self.sentinels:
            if seen := self._seen_by(each):
                return seen
        raise ServerMissing("No Sentinel answers. Call restart().")

    def _seen_by(self, sentinel: Process) -> Process | None:
        reply = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next((process for process in self.data if f"\r\n{process.port}\r\n" in reply), None)

    @property
    def pid(self) -> int:
        """Of the present master."""
        return self.master.pid

    def client(self) -> Any:
        """A synchronous redis-py client of whoever is master."""
        return self._clients.get()

    def flush(self) -> None:
        """FLUSHALL on the master."""
        self.master.ask("FLUSHALL")

    def freeze(self) -> None:
        """Freeze the master: two seconds later the Sentinels turn to the replica."""
        self._frozen = self.master
        self._frozen.freeze()

    def thaw(self) -> None:
        """Let what `freeze` froze go on; where a failover took place, it is made a replica."""
        self._frozen.thaw()

    def kill(self) -> None:
        """Kill the master: two seconds later the Sentinels turn to the replica."""
        self.master.kill()

    def restart(self) -> None:
        """Bring back those that are dead, and wait until the set is whole. After a failover the old master is a replica."""
        for process in self.sentinels:
            if not process.ask("PING"):
                process.restart()
        first = self.sentinels[0]
        first.wait_until(lambda: len({self._seen_by(each) for each in self.sentinels}) == 1, "agree with the others")
        master = self.master
        for process in self.data:
            if not process.ask("PING"):
                process.restart()
            if process is not master:  # the Sentinels would do it too, but give it eight seconds first
                process.ask("REPLICAOF", HOST, str(master.port))
        self.wait()

    def stop(self) -> None:
        """End for good."""
        self._clients.close()
        for process in (*self.sentinels, *self.data):
            process.stop()


def _complete(sentinel: Process) -> bool:
    words = sentinel.ask("SENTINEL", "MASTERS").split("\r\n")
    known = dict(zip(words[3::4], words[5::4], strict=False))
    return (known.get("flags"), known.get("num-slaves"), known.get("num-other-sentinels")) == ("master", "1", "2")


def _in_step(data: list[Process]) -> bool:
    told = [each.ask("INFO", "replication") for each in data]
    masters, followers = (sum(sign in each for each in told) for sign in ("role:master", "master_link_status:up"))
    return masters == followers == 1


def _master_for(sentinels: list[Process]) -> Any:
    from redis.sentinel import Sentinel as Finder

    return Finder([(HOST, each.port) for each in sentinels]).master_for(SERVICE)  # type: ignore[no-untyped-call]
