"""Real servers for tests: a standalone Redis, a Valkey, fakeredis over TCP, a 3-master cluster, a Sentinel set.

    server = start_redis()
    server.client().set("key", "value")
    server.freeze(); server.thaw(); server.kill(); server.restart(); server.stop()

Each `start_…` raises `ServerMissing`, which names the cure, where the machine lacks what it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

from guardrail_mw.testing.groups import Cluster, Sentinel
from guardrail_mw.testing.processes import (
    HOST,
    Clients,
    Process,
    ServerMissing,
    external_url,
    free_port,
    redis_binary,
    started,
    valkey_binary,
)

if TYPE_CHECKING:
    from fakeredis import TcpFakeServer

__all__ = [
    "KINDS",
    "Cluster",
    "External",
    "Fakeredis",
    "Sentinel",
    "Server",
    "ServerMissing",
    "Standalone",
    "start",
    "start_cluster",
    "start_fakeredis",
    "start_redis",
    "start_sentinel",
    "start_valkey",
]


class Server(Protocol):
    """What every kind of server can do."""

    kind: str

    @property
    def url(self) -> str:
        """As a policy's `store.url` names it."""
        ...

    @property
    def pid(self) -> int:
        """Of the process: a cluster's first node, a Sentinel set's present master."""
        ...

    def client(self) -> Any:
        """A synchronous redis-py client, one for the server's life; `stop` closes it."""
        ...

    def flush(self) -> None:
        """Empty every database. Scripts stay."""
        ...

    def freeze(self) -> None:
        """Stop answering, with all connections open. A cluster as a whole; a Sentinel set's master."""
        ...

    def thaw(self) -> None:
        """Go on."""
        ...

    def kill(self) -> None:
        """Die at once and forget everything. A cluster as a whole; a Sentinel set's master."""
        ...

    def restart(self) -> None:
        """Come back empty, at the same address."""
        ...

    def stop(self) -> None:
        """End for good. Twice is no error."""
        ...


def _plain(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url)


class Standalone:
    """One process."""

    def __init__(self, kind: str, binary: str, *options: str) -> None:
        self.kind = kind
        self.process = Process(binary, *options)
        self.url = f"redis://{HOST}:{self.process.port}/0"
        self._clients = Clients(lambda: _plain(self.url))
        started([self.process])
        self.freeze, self.thaw = self.process.freeze, self.process.thaw
        self.kill, self.restart = self.process.kill, self.process.restart

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    def client(self) -> Any:
        """A synchronous redis-py client."""
        return self._clients.get()

    def flush(self) -> None:
        """FLUSHALL."""
        self.client().flushall()

    def stop(self) -> None:
        """End for good."""
        self._clients.close()
        self.process.stop()


class External:
    """A server that somebody else runs, named by URL: it can be neither frozen nor killed."""

    kind = "redis"

    def __init__(self, url: str) -> None:
        self.url = url
        self._clients = Clients(lambda: _plain(url))
        try:
            self.client().ping()
        except Exception as error:
            raise ServerMissing(f"GUARDRAIL_TEST_REDIS={url} does not answer: {error}") from error

    @property
    def pid(self) -> int:
        """Not ours to know."""
        raise self._refusal()

    def client(self) -> Any:
        """A synchronous redis-py client."""
        return self._clients.get()

    def flush(self) -> None:
        """FLUSHDB: the URL's database only."""
        self.client().flushdb()

    def freeze(self) -> None:
        """Refused."""
        raise self._refusal()

    def _refusal(self) -> ServerMissing:
        return ServerMissing(f"{self.url} is somebody else's. Set GUARDRAIL_TEST_REDIS to a redis-server's path instead.")

    thaw = kill = restart = freeze

    def stop(self) -> None:
        """Let go of it."""
        self._clients.close()


def _info(self: Any, *sections: bytes) -> bytes:
    """What a store reads of a server before it has a token spent: which process it is, and in which term as a master."""
    run = vars(self._server).setdefault("guardrail_run", [token_hex(20), token_hex(20)])
    told = {
        b"server": f"# Server\r\nrun_id:{run[0]}",
        b"replication": f"# Replication\r\nrole:master\r\nmaster_replid:{run[1]}",
    }
    return "\r\n\r\n".join(text + "\r\n" for name, text in told.items() if not sections or name in sections).encode()


def _teach_info() -> None:
    """Give it INFO: fakeredis has none, and no public way to give it a command."""
    from fakeredis import _commands
    from fakeredis.commands_mixins.server_mixin import ServerCommandsMixin

    if "info" not in _commands.SUPPORTED_COMMANDS:
        ServerCommandsMixin._info = _info  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        _commands.command(name="info", fixed=(), repeat=(bytes,))(_info)


class Fakeredis:
    """fakeredis behind a real socket, in threads of this process; speaks as a Redis 7.0. It cannot be frozen."""

    kind = "fakeredis"

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._clients = Clients(lambda: _plain(self.url))
        self._server: TcpFakeServer | None = None
        self.restart()

    @property
    def pid(self) -> int:
        """It has none of its own."""
        raise ServerMissing("fakeredis is no process. Use start_redis() to freeze or trace one.")

    def client(self) -> Any:
        """A synchronous redis-py client."""
        return self._clients.get()

    def flush(self) -> None:
        """FLUSHALL."""
        self.client().flushall()

    def freeze(self) -> None:
        """Refused."""
        raise ServerMissing("fakeredis cannot be frozen. Use start_redis().")

    thaw = freeze

    def kill(self) -> None:
        """Close the listening socket and every connection, and forget everything."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def restart(self) -> None:
        """Listen again on the same port, empty."""
        try:
            from fakeredis import TcpFakeServer
        except ImportError as error:
            raise ServerMissing("No fakeredis. Install it with: pip install 'fakeredis[lua]'") from error
        self.kill()
        _teach_info()
        self._server = server = TcpFakeServer((HOST, self.port), server_type="redis", server_version=(7, 0))
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="fakeredis", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End for good."""
        self._clients.close()
        self.kill()


def start_redis(*options: str) -> Server:
    """A standalone Redis (see `redis_binary`), or the one whose URL `GUARDRAIL_TEST_REDIS` gives."""
    url = external_url()
    return External(url) if url else Standalone("redis", redis_binary(), *options)


def start_valkey(*options: str) -> Server:
    """A standalone Valkey."""
    return Standalone("valkey", valkey_binary(), *options)


def start_fakeredis() -> Server:
    """A fakeredis, over TCP."""
    return Fakeredis()


def start_cluster(*options: str) -> Cluster:
    """A cluster of three masters."""
    return Cluster(redis_binary(), *options)


def start_sentinel(*options: str) -> Sentinel:
    """A master, a replica and three Sentinels."""
    return Sentinel(redis_binary(), *options)


KINDS: dict[str, Callable[..., Server]] = {
    "redis": start_redis,
    "valkey": start_valkey,
    "fakeredis": start_fakeredis,
    "cluster": start_cluster,
    "sentinel": start_sentinel,
}


def start(kind: str, *options: str) -> Server:
    """Start a server of one of `KINDS`; `options` are its command line's, `("--maxmemory", "1mb")`."""
    return KINDS[kind](*options)
