"""Where a URL leads: the servers behind it, and how redis-py reaches them.

    redis://[user:password@]host[:port][/db][?option=value…]        rediss:// with TLS
    unix://[user:password@]/path/to/socket[?db=0]
    redis+sentinel://[user:password@]host:port,host:port/service[/db]
    redis+cluster://[user:password@]host:port,host:port             rediss+sentinel://, rediss+cluster:// with TLS

Options are redis-py's (`ssl_ca_certs`, `client_name`, …), and `sentinel_username`, `sentinel_password` for the Sentinels
themselves. redis-py connects, encrypts and authenticates; then the connection is taken over (`pipes.py`). Its retries are
off, its protocol is RESP2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.redis.pipes import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Address", "Target", "check_policy", "dial", "parse", "slots"]

CONNECT = 1.0
"""Seconds, at least, that a step of connecting may take; or a request's deadline."""
ASK = 0.3
"""Seconds that one Sentinel may take; then the next is asked."""
_PORTS = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}

_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """Of one server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Target(NamedTuple):
    """What a URL names."""

    kind: Literal["standalone", "sentinel", "cluster"]
    seeds: tuple[Address, ...]
    """Sentinels, or some of a cluster's nodes; empty for a standalone server."""
    service: str
    connection: type[AbstractConnection]
    options: dict[str, Any]
    """redis-py's, for a connection to a server; host and port are the first seed's."""
    sentinel: dict[str, Any]
    """Likewise for one to a Sentinel."""

    def waiting(self, seconds: float) -> Target:
        """The same for requests that wait so long: then a step of connecting may take that, unless the URL says otherwise."""
        longer = max(CONNECT, seconds)
        options = {**self.options, "socket_connect_timeout": longer}
        if options["socket_timeout"] == CONNECT:
            options["socket_timeout"] = longer
        return self._replace(options=options)


def parse(url: str) -> Target:
    """Read a URL.

    Raises:
        ValueError: it cannot be used; says what was expected. Never repeats a password.
    """
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if kind not in {"", "sentinel", "cluster"} or base not in {"redis", "rediss", "unix"} or (kind and base == "unix"):
        raise ValueError(
            f"store URL with the scheme {scheme!r}: expected redis, rediss, unix, redis+sentinel or redis+cluster, "
            "as in redis://localhost:6379/0"
        )
    if not kind:
        return _target("standalone", (), "", url)
    netloc, slash, tail = rest.partition("/")
    if not slash:
        netloc, mark, tail = rest.partition("?")
        tail = mark + tail
    user, at, hosts = netloc.rpartition("@")
    seeds = tuple(_address(host, _PORTS[kind]) for host in hosts.split(","))
    service = ""
    if kind == "sentinel":
        path, mark, query = tail.partition("?")
        service, _, path = path.partition("/")
        if not service:
            raise ValueError(
                "store URL: redis+sentinel needs a service's name, as in redis+sentinel://host:26379/mymaster/0"
            )
        tail = path + mark + query
    host = f"[{seeds[0].host}]" if ":" in seeds[0].host else seeds[0].host
    target = _target(kind, seeds, service, f"{base}://{user}{at}{host}:{seeds[0].port}/{tail}")  # type: ignore[arg-type]
    if kind == "cluster" and target.options.get("db"):
        raise ValueError("store URL: a cluster has database 0 only; take the number away")
    return target


def _address(text: str, port: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, found = parts.hostname, parts.port
    except ValueError:
        host = found = None
    if not host:
        raise ValueError(f"store URL: {text!r} is no host:port")
    return Address(host, found or port)


def _target(
    kind: Literal["standalone", "sentinel", "cluster"], seeds: tuple[Address, ...], service: str, plain: str
) -> Target:
    options: dict[str, Any] = dict(parse_url(plain))
    cls = options.pop("connection_class", Connection)
    sentinel = {
        name.removeprefix("sentinel_"): options.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in options
    }
    sentinel |= {name: value for name, value in options.items() if name.startswith("ssl_")}
    ours = {"protocol": 2, "retry": Retry(NoBackoff(), 0), "socket_connect_timeout": CONNECT, "driver_info": None}
    options = {"socket_timeout": CONNECT, **options, **ours}
    sentinel = {"socket_timeout": ASK, **sentinel, **ours, "socket_connect_timeout": ASK}
    try:
        cls(**options)
    except (TypeError, RedisError) as error:
        raise ValueError(f"store URL: redis-py refuses an option: {error}") from error
    return Target(kind, seeds, service, cls, options, sentinel)


@asynccontextmanager
async def _connected(cls: type[AbstractConnection], options: dict[str, Any]) -> AsyncIterator[AbstractConnection]:
    """A connection by redis-py; whoever takes it over leaves it without a writer."""
    connection = cls(**options)
    try:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise StoreError("The store cannot be reached.", str(error)) from error
        yield connection
    finally:
        if connection.is_connected:
            await connection.disconnect(nowait=True)


async def _ask(connection: AbstractConnection, *commands: Sequence[Any]) -> list[Any]:
    """Replies in order; an error reply stands in its place."""
    try:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies: list[Any] = []
        for _ in commands:
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
    except (RedisError, OSError) as error:
        raise StoreError("The store cannot be reached.", str(error)) from error
    return replies


async def dial(target: Target, scripts: Sequence[bytes], address: Address | None = None) -> Link:
    """Connect to a server of `target` (a cluster's at `address`), make it know `scripts`, read its clock.

    Raises:
        StoreError: it cannot be reached, refuses us, or is no master.
    """
    options = target.options
    if target.kind == "sentinel":
        address = await _master(target)
    if address is not None:
        options = {**options, "host": address.host, "port": address.port}
    async with _connected(target.connection, options) as connection:
        sent = monotonic()
        (time,) = await _ask(connection, ("TIME",))
        received = monotonic()
        loaded = await _ask(connection, *(("SCRIPT", "LOAD", source) for source in scripts))
        for reply in (time, *loaded):
            if isinstance(reply, Exception):
                raise StoreError("The store refuses what it must allow: TIME, SCRIPT LOAD, EVALSHA.", str(reply)) from reply
        if target.kind == "sentinel":
            (role,) = await _ask(connection, ("ROLE",))
            if isinstance(role, list) and role[0] != b"master":
                raise StoreError("The Sentinels' master is none yet.", str(address))
        # redis-py offers no public way to hand a connection over; these two names have been the same since it has asyncio.
        writer, connection._writer, connection._reader = connection._writer, None, None  # noqa: SLF001
    if writer is None or writer.transport.is_closing():
        raise StoreError("The store cannot be reached.", "closed by the server")
    return Link(writer, int(time[0]) * 1_000_000 + int(time[1]), sent, received)


async def check_policy(target: Target, address: Address | None) -> None:
    """Warn where keys could be evicted. Asks over a connection of its own; who may not ask is not warned."""
    options = target.options
    try:
        if target.kind == "sentinel":
            address = await _master(target)
        if address is not None:
            options = {**options, "host": address.host, "port": address.port}
        async with _connected(target.connection, options) as connection:
            (reply,) = await _ask(connection, ("CONFIG", "GET", "maxmemory-policy"))
    except StoreError:
        return
    if isinstance(reply, list) and reply and reply[-1] != b"noeviction":
        _log.warning(
            "the store's maxmemory-policy is %s: it may evict counters and so lift limits. "
            "Set it to noeviction (CONFIG SET maxmemory-policy noeviction).",
            reply[-1].decode(),
        )


async def _master(target: Target) -> Address:
    """Ask the Sentinels, one after the other, who is master."""
    refusals: list[str] = []
    for seed in target.seeds:
        cls = SSLConnection if issubclass(target.connection, SSLConnection) else Connection
        options = {**target.sentinel, "host": seed.host, "port": seed.port}
        try:
            async with _connected(cls, options) as connection:
                (reply,) = await _ask(connection, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.service))
        except StoreError as error:
            refusals.append(f"{seed}: {error.detail}")
            continue
        if isinstance(reply, list):
            host, port = reply
            return Address(host.decode(), int(port))
        refusals.append(f"{seed}: knows no {target.service}" if reply is None else f"{seed}: {reply}")
    raise StoreError("No Sentinel names a master.", "; ".join(refusals))


async def slots(target: Target, address: Address) -> list[tuple[int, int, Address]]:
    """What one node of a cluster says who serves: first and last slot, and the master's address.

    Raises:
        StoreError: it cannot be reached, or is no cluster's.
    """
    async with _connected(target.connection, {**target.options, "host": address.host, "port": address.port}) as connection:
        (reply,) = await _ask(connection, ("CLUSTER", "SLOTS"))
    if not isinstance(reply, list):
        raise StoreError("The store is no Redis Cluster.", f"{address}: {reply}")
    return [(first, last, _owner(master, address)) for first, last, master, *_ in reply]


def _owner(node: Sequence[Any], asked: Address) -> Address:
    """A node that does not know its own name is where it was asked."""
    host = node[0].decode() if node[0] else ""
    return Address(asked.host if host in {"", "?"} else host, int(node[1]))
