"""URLs, and what redis-py makes of them: credentials, TLS, databases, unix sockets, eviction policies."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trustme

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.stores.redis.nodes import Address, parse
from guardrail_mw.testing.servers import Server

from .transport import LONG, Start, call, lane, until

pytestmark = pytest.mark.anyio


def test_a_plain_url_is_redis_pys() -> None:
    target = parse("rediss://me:s%40crt@[::1]:7000/3?client_name=guard")
    assert (target.kind, target.seeds, target.service) == ("standalone", (), "")
    wanted = {
        "host": "::1",
        "port": 7000,
        "db": 3,
        "username": "me",
        "password": "s@crt",
        "client_name": "guard",
        "protocol": 2,
    }
    assert wanted.items() <= target.options.items()
    assert target.connection.__name__ == "SSLConnection"


def test_sentinels_service_and_database() -> None:
    target = parse("redis+sentinel://me:pw@one:1,[::2]:2,three/main/4?sentinel_password=other")
    assert target.kind == "sentinel"
    assert target.seeds == (Address("one", 1), Address("::2", 2), Address("three", 26379))
    assert target.service == "main"
    assert {"db": 4, "username": "me", "password": "pw"}.items() <= target.options.items()
    assert target.sentinel["password"] == "other"  # noqa: S105
    assert "username" not in target.sentinel


def test_a_clusters_seeds() -> None:
    target = parse("rediss+cluster://:pw@one:1,two/?ssl_cert_reqs=none")
    assert (target.kind, target.seeds) == ("cluster", (Address("one", 1), Address("two", 6379)))
    assert target.options["password"] == "pw"  # noqa: S105
    assert target.connection.__name__ == "SSLConnection"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://host", "scheme 'http'"),
        ("unix+cluster:///x", "scheme 'unix\\+cluster'"),
        ("redis+ring://host", "redis\\+cluster"),
        ("redis+sentinel://host:1", "service"),
        ("redis+sentinel://host:1/", "service"),
        ("redis+cluster://host:1/2", "database 0"),
        ("redis+cluster://one,,two", "no host:port"),
        ("redis+cluster://one:port", "no host:port"),
        ("redis://host?shape=round", "shape"),
        ("redis://host?db=x", "db"),
    ],
)
def test_a_bad_url_says_what_was_expected(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(url)


async def test_credentials_and_database(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    server.client().acl_setuser("guard", enabled=True, passwords=["+s3cret@"], keys=["*"], commands=["+@all"])
    host = server.url.removeprefix("redis://").removesuffix("/0")
    async with lane(f"redis://guard:s3cret%40@{host}/5") as way:
        answers = []
        for each in (call("ACL", "WHOAMI"), call("CLIENT", "INFO")):
            way.submit(each)
            answers.append(await each.future)
    assert answers[0] == b"guard"
    assert b" db=5 " in answers[1]


async def test_a_wrong_password_is_an_error_that_does_not_repeat_it(guardrail_redis: Server) -> None:
    store = RedisStore(guardrail_redis.url.replace("//", "//guard:wr0ng@"))
    with pytest.raises(StoreError, match="invalid username-password") as caught:
        await store.open()
    assert "wr0ng" not in str(caught.value)
    await store.close()


async def test_who_may_not_load_scripts_is_told_what_to_allow(guardrail_start: Start) -> None:
    server = guardrail_start("redis")
    server.client().acl_setuser("guard", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-script"])
    store = RedisStore(server.url.replace("//", "//guard:x@"))
    with pytest.raises(StoreError, match="SCRIPT LOAD"):
        await store.open()
    await store.close()


async def test_a_unix_socket(guardrail_start: Start, tmp_path: Path) -> None:
    guardrail_start("redis", "--unixsocket", str(tmp_path / "s"))
    async with lane(f"unix://{tmp_path}/s?db=2") as way:
        each = call("CLIENT", "INFO")
        way.submit(each)
        assert b" db=2 " in await each.future


async def test_tls(guardrail_start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GUARDRAIL_TEST_REDIS", raising=False)  # it may name a Valkey that was built without TLS
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert"))
    files = ("--tls-ca-cert-file", "ca"), ("--tls-key-file", "key"), ("--tls-cert-file", "cert")
    from guardrail_mw.testing.processes import free_port

    port = free_port()
    options = [part for option, file in files for part in (option, str(tmp_path / file))]
    guardrail_start("redis", *options, "--tls-auth-clients", "no", "--tls-port", str(port))
    async with lane(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path / 'ca'}") as way:
        calls = [call("ECHO", "x" * 50_000) for _ in range(40)]
        for each in calls:
            way.submit(each)
        assert [await each.future for each in calls] == [b"x" * 50_000] * 40
    stranger = RedisStore(f"rediss://127.0.0.1:{port}")
    with pytest.raises(StoreError, match=r"(?i)certificate"):
        await stranger.open()
    await stranger.close()


async def test_an_evicting_server_is_warned_about_once(guardrail_start: Start, caplog: pytest.LogCaptureFixture) -> None:
    server = guardrail_start("redis", "--maxmemory-policy", "allkeys-lru")
    store = RedisStore(server.url, deadline=int(LONG * 1e6))
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        await store.open()
        await until(lambda: "allkeys-lru" in caplog.text)
        server.client().client_kill_filter(_type="normal")
        await until(lambda: not store._book().ways.sole._pool.all)
        await store.remember("a:1", [])
        await store.close()
    assert caplog.text.count("noeviction") == 2  # one message that names it twice


async def test_who_may_not_read_the_configuration_is_not_warned(
    guardrail_start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    server = guardrail_start("redis", "--maxmemory-policy", "allkeys-lru")
    server.client().acl_setuser("guard", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config"])
    store = RedisStore(server.url.replace("//", "//guard:x@"))
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        await store.open()
        await until(lambda: store._book().ways._tasks == set())
        await store.close()
    assert caplog.text == ""


def test_who_waits_longer_may_take_longer_to_connect() -> None:
    target = parse("redis://127.0.0.1")
    short, long = target.waiting(0.025).options, target.waiting(10).options
    assert (short["socket_timeout"], short["socket_connect_timeout"]) == (1.0, 1.0)
    assert (long["socket_timeout"], long["socket_connect_timeout"]) == (10, 10)
    said = parse("redis://127.0.0.1?socket_timeout=2").waiting(10).options
    assert (said["socket_timeout"], said["socket_connect_timeout"]) == (2.0, 10)
