"""Many credentials, models, routes or tenants' names buy one owner no more than one."""

from __future__ import annotations

from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, key, policy

pytestmark = pytest.mark.anyio

REQUESTS = {"name": "requests", "rate": "3/minute"}


async def test_unproved_keys_share_their_networks_limits() -> None:
    """No key is proved by a 4xx: each of them is the network's request."""
    guarded = Guarded(Upstream(status=404), policy(REQUESTS, trust="app"))
    assert [(await guarded.post(CHAT, {}, key(number))).status for number in range(5)] == [404, 404, 404, 429, 429]


@pytest.mark.parametrize("status", [200, 204])
@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("POST", "/elsewhere"), ("OPTIONS", CHAT), ("PUT", CHAT)])
async def test_a_2xx_that_proves_nothing_proves_no_key(status: int, method: str, path: str) -> None:
    guarded = Guarded(Upstream(status=status), policy(REQUESTS, trust="app"))
    for number in range(5):
        await guarded.get(path, key(number), method=method)
    assert guarded.app.calls == 3
    assert not guarded.store._standings


async def test_schemes_and_headers_nobody_reads_are_the_networks() -> None:
    guarded = Guarded(Upstream(), policy(REQUESTS))
    for number, value in enumerate([b"Basic eA==", b"Digest x", b"sk-one", b"", b"Bearer", b"Bearer "]):
        status = (await guarded.post(CHAT, {}, (b"authorization", value), (b"api-key", b"%d" % number))).status
        assert status == (200 if number < 3 else 429)


async def test_unlisted_models_share_a_bucket() -> None:
    tokens = {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "rate": "1000/minute"}
    models = {"small": {"names": ["small", "small-*"]}}
    guarded = Guarded(Upstream(), policy(tokens, models=models, reserve={"output": 600}))
    for name, status in (
        ("a", 200),
        ("b", 429),
        ("A", 429),
        ("small", 200),
        ("small-2", 429),
        ("SMALL", 429),
        ("x" * 1024, 429),
    ):
        blocked = guarded.store  # what the app reports comes late: reservations stand meanwhile
        blocked.settle = lambda _: None
        assert (await guarded.post(CHAT, {"model": name})).status == status, name
    fields = {step.field for bill in guarded.bills for entry in bill.entries for step in entry.steps}
    assert len(fields) == 2


async def test_dimensions_cannot_be_made_to_mean_each_other() -> None:
    """A route, a model and an account with names that glue together alike have fields of their own."""
    per = {"name": "both", "per": ["account", "model", "route"], "rate": "1/minute"}
    routes = [{"path": "/b/c", "metered": True, "name": "b-c"}, {"path": "/c", "metered": True, "name": "c"}]
    document = {**policy(per, models={"a": {}, "a.b": {}}), "routes": routes}
    guarded = Guarded(Upstream(), document)
    for path in ("/b/c", "/c"):
        for model in ("a", "a.b", "other"):
            assert (await guarded.post(path, {"model": model}, KEY, JSON)).status == 200, (path, model)
            assert (await guarded.post(path, {"model": model}, KEY, JSON)).status == 429


async def test_an_organisations_name_is_nothing_without_proof() -> None:
    shared = {"name": "shared", "per": ["organisation"], "rate": "2/minute"}
    identity: dict[str, Any] = {"sources": [{"use": "header", "with": {"account": "x-user", "organisation": "x-org"}}]}
    identity["trusted_proxies"] = ["10.0.0.0/8"]
    guarded = Guarded(Upstream(), {**policy(shared), "identity": identity})
    for number in range(4):
        named = ((b"x-user", b"%d" % number), (b"x-org", b"%d" % number))
        assert (await guarded.post(CHAT, {}, *named)).status == (200 if number < 2 else 429)
