"""The clients that the SDKs are given: made as their own are, proxies of the environment included."""

from __future__ import annotations

import sys
from typing import Any

import httpx2
import pytest

from guardrail_mw.client import AsyncSolvingTransport, SolvingTransport, async_http_client, http_client
from guardrail_mw.errors import GuardrailError


def sent_by(client: httpx2.Client | httpx2.AsyncClient, url: str) -> Any:
    """What the transport for a URL wraps."""
    transport: Any = client._transport_for_url(httpx2.URL(url))
    assert isinstance(transport, SolvingTransport | AsyncSolvingTransport)
    return transport._wrapped


def goes_through(client: httpx2.Client | httpx2.AsyncClient, url: str) -> str:
    """The proxy of a URL, if there is one."""
    proxy = getattr(sent_by(client, url)._pool, "_proxy_url", None)
    return f"{proxy.host.decode()}:{proxy.port}" if proxy is not None else ""


@pytest.mark.parametrize("make", [http_client, async_http_client])
def test_proxies_of_the_environment(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://one.example:3128")
    monkeypatch.setenv("all_proxy", "two.example:3129")
    monkeypatch.setenv("no_proxy", "in.example, localhost,10.0.0.7, ::1, http://out.example,")
    client = make()
    for url, proxy in {
        "https://models.example/": "one.example:3128",
        "http://models.example/": "two.example:3129",
        "https://a.in.example/": "",
        "https://in.example/": "",
        "https://localhost/": "",
        "https://10.0.0.7/": "",
        "https://[::1]/": "",
        "http://out.example/": "",
        "https://out.example/": "one.example:3128",
    }.items():
        assert goes_through(client, url) == proxy, url
    assert goes_through(make(trust_env=False), "https://models.example/") == ""
    assert goes_through(make(proxy="http://three.example:1"), "https://in.example/") == "three.example:1"
    monkeypatch.setenv("no_proxy", "*")
    assert goes_through(make(), "https://models.example/") == ""


def test_transports_of_one_s_own_are_wrapped() -> None:
    mine, there = (httpx2.MockTransport(lambda _: httpx2.Response(200)) for _ in range(2))
    client = http_client(transport=mine, mounts={"all://there.example": there, "all://not.example": None})
    assert sent_by(client, "https://models.example/") is mine
    assert sent_by(client, "https://there.example/") is there
    assert sent_by(client, "https://not.example/") is mine


def test_what_the_client_is_made_with() -> None:
    assert http_client().follow_redirects
    client = http_client(follow_redirects=False, timeout=3, headers={"x-team": "a"}, limits=httpx2.Limits(max_connections=5))
    assert (client.follow_redirects, client.timeout.read, client.headers["x-team"]) == (False, 3, "a")
    assert sent_by(client, "https://a.example/")._pool._max_connections == 5
    assert sent_by(http_client(), "https://a.example/")._pool._max_connections == 1000


@pytest.mark.parametrize("make", [http_client, async_http_client])
def test_without_httpx2(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(GuardrailError, match=r"pip install httpx2\. Older SDKs send by httpx"):
        make()
