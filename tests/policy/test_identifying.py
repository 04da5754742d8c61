"""Whom a policy believes, in words."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.identity.base import Presented
from guardrail_mw.policy import load
from guardrail_mw.policy.identifying import describe, gives, trusts_app
from guardrail_mw.values import Credential

JWT = {"issuer": "https://id.example/", "audience": ["a", "b"], "algorithms": ["HS256"], "secret": "x" * 32}


def said(identity: dict[str, Any]) -> list[str]:
    return list(describe(load({"version": 1, "identity": identity})))


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        (
            {"sources": [{"use": "api_key", "with": {"trust": "gateway", "headers": ["x-api-key"], "prefix": "sk-"}}]},
            "  api_key: a key that begins with sk- in x-api-key: taken as it comes, for something in front has checked it.",
        ),
        (
            {"sources": [{"use": "api_key", "with": {"trust": "keys", "keys": ["ab" * 32]}}]},
            "  api_key: a key in authorization or x-api-key: proved by the digests in the policy; any other is a 401.",
        ),
        (
            {"sources": [{"use": "jwt", "with": {**JWT, "claims": {"account": "oid"}}}]},
            "  jwt: tokens of https://id.example/ for a or b, proved by their signature (HS256); the account is `oid`.",
        ),
        (
            {"sources": [{"use": "jwt", "with": {**JWT, "audience": None}}]},
            (
                "  jwt: tokens of https://id.example/, whoever they are for, proved by their signature (HS256); the account is "
                "`sub`."
            ),
        ),
        (
            {"trusted_proxies": ["10.0.0.0/8"], "sources": [{"use": "header", "with": {"account": "x-user-id"}}]},
            "  header: the account is what trusted proxies write to x-user-id; from anybody else it is not read.",
        ),
        (
            {"trusted_proxies": ["10.0.0.0/8", "unix"], "sources": [{"use": "api_key", "with": {"trust": "app"}}]},
            "  A client's address is what 10.0.0.0/8 and peers on a Unix socket wrote to x-forwarded-for; else its connection's.",
        ),
        (
            {"trusted_proxies": [{"hops": 2}], "sources": [{"use": "api_key", "with": {"trust": "app"}}]},
            "  A client's address is what the nearest 2 proxies wrote to x-forwarded-for; else its connection's.",
        ),
        (
            {"device": {}, "sources": [{"use": "api_key", "with": {"trust": "app"}}]},
            (
                "  Devices are told apart by a signed cookie, which answers set for 400 days; those without it by what they "
                "show."
            ),
        ),
        (
            {"device": {"cookie": False}, "sources": [{"use": "api_key", "with": {"trust": "app"}}]},
            "  Devices are told apart by what they show.",
        ),
    ],
)
def test_identity_in_words(identity: dict[str, Any], words: str) -> None:
    assert words in said(identity)


def test_no_source() -> None:
    assert said({}) == ["No source of identity is configured: every caller counts as its network."]


class Guests:
    """A source that Python made."""

    name = "guests"
    credentials: tuple[bytes, ...] = ()
    attributes: tuple[bytes, ...] = ()

    def identify(self, presented: Presented) -> Credential | None:
        return None

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"use": "api_key", "with": {"trust": "app"}}, set()),
        ({"use": "api_key", "with": {"trust": "gateway"}}, set()),
        ({"use": "api_key", "with": {"trust": "keys", "keys": [{"sha256": "ab" * 32, "tier": "pro"}]}}, {"tier"}),
        (
            {"use": "api_key", "with": {"trust": "lookup", "lookup": lambda _: None}},
            {"tier", "organisation", "acr", "ial"},
        ),
        ({"use": "jwt", "with": JWT}, {"acr", "ial"}),
        ({"use": "jwt", "with": {**JWT, "claims": {"organisation": "org", "acr": None}}}, {"organisation", "ial"}),
        ({"use": "header", "with": {"account": "x-user", "tier": "x-tier"}}, {"tier"}),
        (Guests(), {"tier", "organisation", "acr", "ial"}),
    ],
)
def test_what_a_source_may_tell(source: Any, told: set[str]) -> None:
    """`acr` and `ial` are read from tokens unless the policy says otherwise."""
    policy = load({"version": 1, "identity": {"trusted_proxies": ["10.0.0.0/8"], "sources": [source]}})
    assert {name for name in ("tier", "organisation", "acr", "ial") if gives(policy, name)} == told
    assert trusts_app(policy) == (getattr(policy.identity.sources[0].with_, "trust", "") == "app")


def test_without_sources_nothing_is_told() -> None:
    assert not gives(load({"version": 1}), "tier")
