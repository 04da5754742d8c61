"""The policy's `identity:` section: what it takes, and where it says what is wrong."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.identity import IdentitySettings, SourceType
from guardrail_mw.identity.api_key import ApiKeySource
from guardrail_mw.identity.header import HeaderSource
from guardrail_mw.identity.jwt import JwtSource

from .kit import jwt_source, key_source, public_jwk, public_pem


def problems(**identity: Any) -> dict[str, str]:
    """Place to message."""
    with pytest.raises(ValidationError) as caught:
        IdentitySettings.model_validate(identity)
    return {".".join(map(str, error["loc"])): error["msg"] for error in caught.value.errors()}


def test_the_section_as_the_design_writes_it() -> None:
    section = {
        "trusted_proxies": [],
        "network": {"ipv4_prefix": 32, "ipv6_prefix": 64},
        "sources": [
            {
                "use": "jwt",
                "with": {
                    "issuer": "https://id.example/",
                    "audience": "model-api",
                    "jwks": "https://id.example/.well-known/jwks.json",
                    "algorithms": ["RS256", "ES256", "EdDSA"],
                    "claims": {"organisation": "org_id", "tier": "plan", "payment": "pay_fp"},
                },
            },
            {"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": "app"}},
        ],
        "anonymous": {"account": "network"},
        "assurance": ["urn:example:basic", "urn:example:kyc"],
    }
    settings = IdentitySettings.model_validate(section)
    written = settings.model_dump(by_alias=True)
    assert written["sources"][1]["with"]["trust"] == "app"
    assert settings.assurance == section["assurance"]


def test_proxies_are_printed_back_as_written() -> None:
    proxies = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "unix", {"hops": 2}]
    settings = IdentitySettings.model_validate({"trusted_proxies": proxies})
    assert settings.model_dump()["trusted_proxies"] == proxies
    assert IdentitySettings.model_validate({"trusted_proxies": settings.trusted_proxies}) == settings


@pytest.mark.parametrize(
    ("proxies", "place", "why"),
    [
        (["everybody"], "trusted_proxies.0", "expected a network"),
        (["10.0.0.0/8", "0.0.0.0/0"], "trusted_proxies.1", "would believe everybody"),
        (["::/0"], "trusted_proxies.0", "would believe everybody"),
        ([5], "trusted_proxies.0", "expected a network such as"),
        ([{"hops": 0}], "trusted_proxies.0.hops", "greater than or equal to 1"),
        ([{"hops": "2"}], "trusted_proxies.0.hops", "valid integer"),
        ([{"hop": 2}], "trusted_proxies.0.hops", "Field required"),
        ([{"hops": 1}, {"hops": 2}], "trusted_proxies", "may stand once"),
    ],
)
def test_proxies_that_are_none(proxies: list[Any], place: str, why: str) -> None:
    assert why in problems(trusted_proxies=proxies)[place]


def test_every_problem_has_its_place() -> None:
    found = problems(
        network={"ipv4_prefix": 33, "ipv6_prefix": "64", "header": "x-real-ip"},
        sources=[
            {"use": "jwt", "with": {"issuer": "", "algorithms": ["none"], "jwks": 5, "leeway": "10m", "hdr": 1}},
            {"use": "api_key"},
            {"use": "apikey", "with": {}},
            {"with": {}},
        ],
        anonymous={"account": "nobody"},
        assurance=["a", "b", "a"],
        proxies=[],
    )
    assert {
        "network.ipv4_prefix",
        "network.ipv6_prefix",
        "network.header",
        "sources.0.with.issuer",
        "sources.0.with.audience",
        "sources.0.with.algorithms.0",
        "sources.0.with.leeway",
        "sources.0.with.hdr",
        "sources.1.with.trust",
        "sources.2.use",
        "sources.3.use",
        "anonymous.account",
        "assurance",
        "proxies",
    } <= found.keys()
    assert "Did you mean 'api_key'?" in found["sources.2.use"]
    assert "at most" not in found["sources.0.with.leeway"]
    assert "is more than 5m" in found["sources.0.with.leeway"]


@pytest.mark.parametrize(
    ("more", "place", "why"),
    [
        ({"algorithms": ["ES256", "HS256"]}, "algorithms", "write two sources"),
        ({"algorithms": []}, "algorithms", "at least 1 item"),
        ({"keys": None}, "", "found none"),
        ({"jwks": "https://id.example/jwks"}, "", "found jwks and keys"),
        ({"keys": None, "jwks": "http://id.example/jwks"}, "jwks", "plain_http: true"),
        ({"keys": None, "jwks": "file:///etc/passwd"}, "jwks", "not a plain https URL"),
        ({"keys": None, "jwks": "https://user:pass@id.example/"}, "jwks", "not a plain https URL"),
        ({"keys": None, "jwks": "https://[::1"}, "jwks", "not a plain https URL"),
        ({"keys": None, "jwks": {"keys": []}}, "jwks", "no key that verifies"),
        ({"keys": None, "jwks": "https://id.example/", "algorithms": ["HS256"]}, "jwks", "HS algorithms need `secret`"),
        ({"keys": None, "secret": "s" * 32}, "secret", "a secret verifies only"),
        ({"keys": None, "secret": "short", "algorithms": ["HS512"]}, "secret", "has 5 bytes; HS512 needs at least 64"),
        ({"keys": ["hello"]}, "keys.0", "not a public key in PEM"),
        ({"keys": [public_pem("RS256")]}, "", "none of the keys can verify any of the algorithms"),
        ({"claims": {"account": ""}}, "claims.account", "at least 1 character"),
        ({"headers": ["Authorization"]}, "headers.0", "should match pattern"),
    ],
)
def test_tokens_that_could_not_be_verified(more: dict[str, Any], place: str, why: str) -> None:
    found = problems(sources=[jwt_source(**more)])
    assert why in found[f"sources.0.with.{place}".rstrip(".")]


@pytest.mark.parametrize(
    "more",
    [
        {"keys": None, "jwks": "http://127.0.0.1:8080/jwks"},
        {"keys": None, "jwks": "http://localhost/jwks"},
        {"keys": None, "jwks": "http://[::1]/jwks"},
        {"keys": None, "jwks": "http://keycloak.internal/jwks", "plain_http": True},
        {"keys": None, "jwks": {"keys": [public_jwk("ES256")]}},
        {"keys": [public_jwk("ES256")]},
        {"audience": ["a", "b"]},
    ],
)
def test_where_keys_may_come_from(more: dict[str, Any]) -> None:
    IdentitySettings.model_validate({"sources": [jwt_source(**more)]})


def test_a_null_audience_must_be_written() -> None:
    source = jwt_source()
    source["with"]["audience"] = None
    IdentitySettings.model_validate({"sources": [source]})
    assert "Field required" in problems(sources=[jwt_source(audience=None)])["sources.0.with.audience"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"trust": "keys"}, "belong together"),
        ({"trust": "app", "keys": ["0" * 64]}, "belong together"),
        ({"trust": "lookup"}, "belong together"),
        ({"trust": "gateway", "lookup": lambda _: None}, "belong together"),
        ({"trust": "app", "max_size": "9KiB"}, "above 8KiB"),
        ({"trust": "keys", "keys": ["a" * 64, "A" * 64]}, "one digest twice"),
        ({"trust": "keys", "keys": ["sk-secret"]}, "never the key itself"),
        ({"trust": "keys", "keys": [{"sha256": "0" * 64, "owner": "x"}]}, "Extra inputs"),
        ({"trust": "lookup", "lookup": "my.module:function"}, "No plugin"),
        ({"trust": "lookup", "lookup": "jwt"}, "expected the name of a plugin that takes a key"),
        ({"trust": "lookup", "lookup": 5}, "expected the name of a plugin that takes a key"),
        ({"trust": "yes"}, "'gateway', 'keys', 'lookup' or 'app'"),
    ],
)
def test_keys_that_nobody_would_prove(settings: dict[str, Any], why: str) -> None:
    found = problems(sources=[{"use": "api_key", "with": settings}])
    assert any(why in message for message in found.values())


def test_a_header_needs_a_proxy_to_be_believed() -> None:
    header = {"use": "header", "with": {"account": "x-user"}}
    assert "trusted_proxies names none" in problems(sources=[header])[""]
    IdentitySettings.model_validate({"sources": [header], "trusted_proxies": ["unix"]})


def test_a_plugin_that_is_no_source(installed: dict[str, EntryPoint]) -> None:
    installed["people"] = EntryPoint("people", "guardrail_mw.clock:SystemClock", "guardrail_mw.identities")
    assert "is not a source of identity" in problems(sources=[{"use": "people"}])["sources.0.use"]


def test_secrets_are_not_printed() -> None:
    settings = IdentitySettings.model_validate({"sources": [jwt_source(algorithms=["HS256"], keys=None, secret="hush" * 8)]})
    assert "hush" not in repr(settings)


def test_the_built_in_sources_are_source_types() -> None:
    kinds: list[SourceType[Any]] = [JwtSource, ApiKeySource, HeaderSource]
    for kind in kinds:
        assert kind.Settings.model_json_schema()["additionalProperties"] is False


def test_a_json_schema_can_be_made() -> None:
    schema = IdentitySettings.model_json_schema()
    assert schema["properties"].keys() == {"trusted_proxies", "network", "sources", "anonymous", "assurance", "device"}
    assert schema["$defs"]["SourceSettings"]["properties"].keys() == {"use", "with"}
    assert key_source("app")["use"] in schema["$defs"]["SourceSettings"]["properties"]["use"]["examples"]
