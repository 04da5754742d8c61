"""Accounts are told apart byte for byte: no spelling of a name is another's account, and no source's is another source's."""

from __future__ import annotations

import itertools
import json
import unicodedata
from typing import Any

import pytest

from guardrail_mw.identity.digest import Digester

from ..identity.kit import ISSUER, assemble, jwt_source, token  # noqa: TID252 - issuers with real keys
from .kit import CHAT, JSON, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

ONE = {"name": "one", "rate": "1/day"}
TWINS = [
    "josé",
    unicodedata.normalize("NFD", "josé"),
    "JOSÉ",
    "jose",
    "jоsе",  # noqa: RUF001 - Cyrillic
    "jose\u200b",
    "jose\x00",
    "jose\u0000x",
    "jose.",
    "ｊｏｓｅ",  # noqa: RUF001 - full width
    "jose\u202e",
    "\ufeffjose",
    "\ud800",
    "\udfff",
]


def document(**more: Any) -> dict[str, Any]:
    return {**policy(ONE), "identity": {"sources": [jwt_source(**more), {"use": "api_key", "with": {"trust": "gateway"}}]}}


async def status(guarded: Guarded, credential: bytes) -> int:
    return (await guarded.post(CHAT, {}, (b"authorization", b"Bearer " + credential), JSON)).status


async def test_twins_do_not_spend_each_others() -> None:
    guarded = Guarded(Upstream(), document())
    for name in TWINS:
        assert await status(guarded, token(sub=name)) == 200, ascii(name)
    for name in TWINS:
        assert await status(guarded, token(sub=name)) == 429, ascii(name)


async def test_one_account_is_one_however_its_token_is_written() -> None:
    """Another token, other claims, another order: the same `sub`."""
    guarded = Guarded(Upstream(), document())
    assert await status(guarded, token(sub="alice")) == 200
    for more in ({"jti": "1"}, {"scope": "all"}, {"iat": 1}, {"plan": "gold"}):
        assert await status(guarded, token(sub="alice", **more)) == 429


async def test_a_key_that_reads_like_a_subject_is_no_subject() -> None:
    guarded = Guarded(Upstream(), document())
    assert await status(guarded, token(sub="alice")) == 200
    assert await status(guarded, b"alice") == 200
    assert await status(guarded, b"jwt" + ISSUER.encode() + b"alice") == 200


@pytest.mark.parametrize("sub", [None, "", {"a": 1}, ["alice"], True, 1.5, 10**30, "a" * 256, "é" * 200])
async def test_what_names_nobody_is_refused(sub: Any) -> None:
    """A megabyte, an object, a list: 401 in the dialect, never a 500, never an account that all of them share."""
    guarded = Guarded(Upstream(), document())
    assert await status(guarded, token(sub=sub)) == 401


@pytest.mark.parametrize("claim", ["a" * 1_000_000, "gold\r\nx: y", "\x00", "\ud800", {"a": 1}, ["gold"], 7, None, True])
@pytest.mark.parametrize("name", ["plan", "org"])
async def test_whatever_a_claim_holds_it_harms_nobody(name: str, claim: Any) -> None:
    """What is no text, or too long, counts as absent; a token beyond 8 kB is refused."""
    limits = (
        {"name": "gold", "when": {"tier": "gold"}, "rate": "9/day"},
        {"name": "org", "per": ["organisation"], "rate": "5/day"},
    )
    claims = {"tier": "plan", "organisation": "org"}
    guarded = Guarded(Upstream(), {**document(claims=claims), "limits": policy(*limits)["limits"]})
    answer = await guarded.post(CHAT, {}, (b"authorization", b"Bearer " + token(**{name: claim})), JSON)
    assert answer.status == (431 if isinstance(claim, str) and len(claim) > 8192 else 200)
    assert b"\n" not in (answer.field("ratelimit") or "").encode()
    if answer.status == 200 and name == "plan":
        assert "gold" not in {each.name for each in guarded.app.scopes[0]["state"]["guardrail"].readings}


async def test_an_unsigned_twin_of_a_token_is_not_it() -> None:
    guarded = Guarded(Upstream(), document())
    claims = json.loads(json.dumps({"iss": ISSUER, "aud": "model-api", "sub": "alice", "exp": 1_999_999_999}))
    good = token(sub="alice")
    head, body, signature = good.split(b".")
    for bad in (
        assemble({"alg": "none"}, claims),
        assemble({"alg": "HS256"}, claims, b"x" * 32),
        head + b"." + body + b".",
        head + b"." + body + b"." + signature + b"=",
        head + b"=." + body + b"." + signature,
        head + b"." + body + b"." + signature[:-2],
    ):
        assert await status(guarded, bad) == 401, bad
    assert await status(guarded, good) == 200


def test_parts_of_a_name_cannot_be_moved_between_its_parts() -> None:
    digester = Digester(b"k" * 32)
    cuts = [(("abc"[:a], "abc"[a:b], "abc"[b:])) for a, b in itertools.combinations_with_replacement(range(4), 2)]
    assert len({digester.account(*cut) for cut in cuts}) == len(cuts)
    kinds = {
        digester.account("s", "i", "v"),
        digester.organisation("s", "i", "v"),
        digester.evidence("s", "v"),
        digester.network(b"v"),
    }
    assert len({each.rpartition(":")[2] for each in kinds}) == 4
