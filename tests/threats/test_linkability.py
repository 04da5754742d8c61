"""What the store keeps names nobody: digests under a key, of a length, another under another key, another for another kind."""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from ..identity.kit import ISSUER, jwt_source, token  # noqa: TID252 - issuers with real keys
from .kit import CHAT, JSON, SECRETS, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

SUBJECT, ORGANISATION, PAYMENT, TIER, KEY, ADDRESS = (
    "alice-sub",
    "org-of-alice",
    "pay-alice",
    "tier-of-alice",
    "sk-alice",
    "192.0.2.77",
)
PROMPT = "the prompt of alice"
LIMITS = (
    {"name": "requests", "rate": "1000/minute"},
    {"name": "mine", "per": ["account", "model", "route", "network"], "unit": "tokens", "rate": "100000/minute"},
    {"name": "org", "per": ["organisation"], "budget": "1000/day"},
    {"name": "net", "per": ["network"], "window": "1000/minute"},
    {"name": "slots", "concurrency": 5},
    {"name": "all", "per": [], "unit": "tokens", "rate": "100000/minute"},
)


async def kept(server: Server, prefix: str, secrets: dict[str, str]) -> dict[bytes, bytes]:
    """Everything that is in Redis after requests by token and key, while one more is open."""
    clock = FakeClock()
    store = RedisStore(server.url, deadline=5_000_000, prefix=prefix, clock=clock)
    claims = {"organisation": "org", "payment": "pay", "tier": "plan"}
    sources: list[Any] = [jwt_source(claims=claims), {"use": "api_key", "with": {"trust": "app"}}]
    document = {**policy(*LIMITS), "identity": {"sources": sources}, "models": {"small": {}}}
    found: dict[bytes, bytes] = {}

    async def look(_: Any) -> None:
        client = server.client()
        for name in client.scan_iter(match=prefix + "*"):
            found[name.removeprefix(prefix.encode())] = client.dump(name)

    app = Upstream()
    app.before = look
    guarded = Guarded(app, document, store=store, clock=clock, environ=secrets)
    named = token(sub=SUBJECT, org=ORGANISATION, pay=PAYMENT, plan=TIER)
    try:
        for credential in (named, KEY.encode(), KEY.encode()):
            answer = await guarded.post(
                CHAT, {**chat(4), "prompt": PROMPT}, (b"authorization", b"Bearer " + credential), JSON, client=(ADDRESS, 1)
            )
            assert answer.status == 200
            await guarded.guardrail.drain()
        await look(None)
    finally:
        await guarded.guardrail.close()
    return found


def readings(text: str) -> list[bytes]:
    """A text as it stands, and what anybody could make of it without a key."""
    raw = text.encode()
    plain = [
        hashlib.sha256(raw).digest(),
        hashlib.md5(raw, usedforsecurity=False).digest(),
        hashlib.sha1(raw, usedforsecurity=False).digest(),
    ]
    plain += [hashlib.blake2b(raw, digest_size=size).digest() for size in (4, 6, 8, 16, 32, 64)]
    shapes = [raw]
    for digest in plain:
        shapes += [digest, digest.hex().encode(), b64encode(digest).rstrip(b"="), urlsafe_b64encode(digest).rstrip(b"=")]
    return shapes


async def test_nothing_in_redis_names_anybody(guardrail_redis: Server, guardrail_prefix: str) -> None:
    found = await kept(guardrail_redis, guardrail_prefix, SECRETS)
    assert len(found) >= 8
    everything = b"\n".join([*found, *found.values()])
    for text in (SUBJECT, ORGANISATION, PAYMENT, TIER, KEY, f"Bearer {KEY}", ADDRESS, PROMPT, ISSUER):
        for shape in readings(text):
            assert shape not in everything, (text, shape)


async def test_another_key_gives_other_names_of_the_same_length(guardrail_redis: Server, guardrail_prefix: str) -> None:
    one = await kept(guardrail_redis, guardrail_prefix + "1:", SECRETS)
    two = await kept(guardrail_redis, guardrail_prefix + "2:", {**SECRETS, "GUARDRAIL_ID_KEY": "j" * 32})
    signed = await kept(guardrail_redis, guardrail_prefix + "3:", {**SECRETS, "GUARDRAIL_KEYS": "n" * 32 + "," + "k" * 32})
    assert {name for name in one if b"{e}" not in name}.isdisjoint(two)
    assert sorted(map(len, one)) == sorted(map(len, two))
    assert set(one) == set(signed)  # what signs is rotated; what names is not
