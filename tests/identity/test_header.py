"""Identity from headers: whose word is taken."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import Resolver
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.header import HeaderSettings

from .kit import ID_KEY, at_once, facts, key_source, resolver

PROXY = "10.0.0.1"


def guarded(*more: Any, **settings: Any) -> Resolver:
    names = {"account": "x-user", "organisation": "x-org", "tier": "x-tier", **settings}
    return resolver({"use": "header", "with": names}, *more, trusted_proxies=["10.0.0.0/8"])


def test_a_trusted_proxy_names_the_account() -> None:
    told = [("x-user", " alice "), ("x-org", "acme"), ("x-tier", "pro"), ("x-forwarded-for", "203.0.113.9")]
    request = facts(*told, peer=PROXY)
    subject = at_once(guarded(issuer="gate").identify(request))
    digester = Digester(ID_KEY)
    assert subject.account == digester.account("header", "gate", b"alice")
    assert (subject.organisation, subject.organisation_name) == (digester.organisation("header", "gate", "acme"), "acme")
    assert (subject.tier, subject.authenticated) == ("pro", True)
    assert subject.network == at_once(guarded().identify(facts())).network


def test_anybody_else_is_not_heard() -> None:
    request = facts(("x-user", "alice"), ("x-user", "bob"), ("x-tier", "x" * 1000))
    subject = at_once(guarded().identify(request))
    assert (subject.account, subject.authenticated, subject.tier) == (subject.network, False, "")


@pytest.mark.parametrize("headers", [[], [("x-user", "")], [("x-user", " \t")], [("x-tier", "pro")]])
def test_without_an_account_there_is_nobody(headers: list[tuple[str, str]]) -> None:
    subject = at_once(guarded().identify(facts(*headers, peer=PROXY)))
    assert (subject.source, subject.tier) == ("anonymous", "")


def test_twice_is_nobody_and_too_long_is_refused() -> None:
    with pytest.raises(TokenError) as caught:
        guarded().identify(facts(("x-user", "alice"), ("x-user", "alice"), peer=PROXY))
    assert (caught.value.status, caught.value.code) == (400, "ambiguous_credential")
    assert at_once(guarded().identify(facts(("x-user", "a" * 512), peer=PROXY))).authenticated
    with pytest.raises(TokenError) as caught:
        guarded().identify(facts(("x-user", "a" * 513), peer=PROXY))
    assert (caught.value.status, caught.value.code) == (431, "credential_too_large")


def test_the_first_source_owns_it_whatever_else_is_sent() -> None:
    both = guarded(key_source("gateway"))
    named = at_once(both.identify(facts(("x-user", "alice"), ("authorization", "Bearer sk-1"), peer=PROXY)))
    assert named.source == "header"
    keyed = at_once(both.identify(facts(("authorization", "Bearer sk-1"), peer=PROXY)))
    assert keyed.source == "api_key"


def test_bytes_are_accounts() -> None:
    twins = ["é".encode(), "é".encode("latin-1"), "e\u0301".encode(), b"\xff"]
    assert len({at_once(guarded().identify(facts(("x-user", name), peer=PROXY))).account for name in twins}) == 4


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "Field required"),
        ({"account": "X-User"}, "should match pattern"),
        ({"account": "x-guardrail-user"}, "never arrives"),
        ({"account": "authorization"}, "needs a proof"),
        ({"account": "x-user", "tier": "x-user"}, "cannot tell two things"),
        ({"account": "x-user", "role": "x-role"}, "Extra inputs"),
    ],
)
def test_settings(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        HeaderSettings.model_validate(settings)
