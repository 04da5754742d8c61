"""Step-up end to end: a token that is not enough, what its client is told, and the one that is."""

from __future__ import annotations

from typing import Any

import pytest

from ..identity.kit import NOW, jwt_source, token  # noqa: TID252 - an issuer with real keys
from .kit import JSON, Answer, Guarded, Upstream, chat, policy

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
ROBOT = (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36")
STEP_UP = {"use": "step_up", "acr": "urn:example:kyc", "max_age": "5m", "url": "https://account.example/verify"}


def guarded(**more: Any) -> Guarded:
    """A robot's second request on is suspicious by two families: what it says of itself, and how much it asks."""
    document = policy(
        {"name": "requests", "rate": "1000/minute"},
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={
            "scorers": [
                {"use": "automation", "with": {"headless": 80}},
                {"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}},
            ]
        },
        friction={"ladder": [{"at": 75, "do": "verify", "with": STEP_UP}], "hysteresis": 0, "decay": "1s"},
        **more,
    )
    identity = document["identity"]
    identity["sources"] = [jwt_source(), *identity["sources"]]
    identity["assurance"] = ["urn:example:basic", "urn:example:kyc"]
    return Guarded(Upstream(), document)


def bearer(**claims: Any) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + token(**claims)


async def ask(site: Guarded, credential: tuple[bytes, bytes], path: str = CHAT) -> Answer:
    return await site.post(path, chat(), credential, ROBOT, JSON)


async def refused(site: Guarded, credential: tuple[bytes, bytes], path: str = CHAT) -> Answer:
    """The second request's answer; the first passes, for two families are asked for."""
    assert (await ask(site, credential, path)).status == 200
    return await ask(site, credential, path)


async def test_a_token_is_asked_for_more_as_rfc_9470_has_it_and_a_better_one_passes() -> None:
    site = guarded()
    answer = await refused(site, bearer())
    assert answer.status == 401
    assert answer.field("www-authenticate") == (
        'Bearer error="insufficient_user_authentication", '
        'error_description="Sign in again, as strongly and as lately as is asked for", '
        'acr_values="urn:example:kyc", max_age="300"'
    )
    assert answer.field("x-should-retry") == "false"
    error = answer.json["error"]
    assert (error["code"], error["type"]) == ("verification_required", "authentication_error")
    assert (error["acr_values"], error["max_age"]) == ("urn:example:kyc", 300)
    assert error["verification_url"] == "https://account.example/verify"
    assert (await ask(site, bearer(acr="urn:example:kyc", auth_time=NOW))).status == 200
    assert (await ask(site, bearer())).status == 401  # the token proves it, nothing is remembered


@pytest.mark.parametrize(
    "claims",
    [
        {"acr": "urn:example:basic", "auth_time": NOW},
        {"acr": "urn:example:kyc"},
        {"acr": "urn:example:kyc", "auth_time": NOW - 361},
        {"acr": "urn:example:kyc", "auth_time": NOW + 3_600},
        {"acr": "urn:example:kyc", "auth_time": "now"},
        {"acr": "urn:example:kyc", "auth_time": True},
        {"acr": ["urn:example:kyc"], "auth_time": NOW},
    ],
)
async def test_what_is_not_enough(claims: dict[str, Any]) -> None:
    assert (await refused(guarded(), bearer(**claims))).status == 401


async def test_a_token_that_was_fresh_is_not_for_ever() -> None:
    site = guarded()
    better = bearer(acr="urn:example:kyc", auth_time=NOW, exp=NOW + 86_400)
    assert (await refused(site, better)).status == 200
    site.clock.advance(361)
    again = [(await ask(site, better)).status for _ in range(2)]
    assert again[-1] == 401


async def test_a_key_has_no_issuer_and_is_told_where_to_begin() -> None:
    site = guarded()
    answer = await refused(site, (b"authorization", b"Bearer sk-one"))
    assert (answer.status, answer.field("www-authenticate")) == (403, None)
    error = answer.json["error"]
    assert (error["code"], error["verification_url"]) == ("verification_required", "https://account.example/verify")
    assert "acr_values" not in error


async def test_in_the_other_dialects() -> None:
    site = guarded()
    told = (await refused(site, bearer(), "/v1/messages")).json["error"]["details"]
    assert (told["error_code"], told["acr_values"]) == ("verification_required", "urn:example:kyc")
    site = guarded()
    told = (await refused(site, bearer(), "/other")).json
    assert (told["status"], told["code"], told["acr_values"]) == (401, "verification_required", "urn:example:kyc")


async def test_a_challenge_below_is_satisfied_by_what_proves_more() -> None:
    """A verification satisfies every rung below; here by the token alone."""
    site = guarded()
    document = site.guardrail.policy.written()
    document["friction"]["ladder"].insert(
        0, {"at": 50, "do": "challenge", "with": {"use": "altcha", "cost": 5, "prefix": "0"}}
    )
    both = Guarded(Upstream(), document)
    assert (await ask(both, bearer())).status == 403  # one family: the challenge
    assert (await ask(both, bearer())).status == 401  # two: step-up
    assert (await ask(both, bearer(acr="urn:example:kyc", auth_time=NOW))).status == 200
