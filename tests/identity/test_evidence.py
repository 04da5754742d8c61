"""What subjects show: keys by kind, the same for the same value whoever shows it, and nothing for what is nothing."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.algorithms.keys import code_of, recode
from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.identity import IdentitySettings, Keyring, Resolver
from guardrail_mw.identity.digest import Digester
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Subject

from .kit import ID_KEY, at_once, facts, jwt_source, key_source, token

NAMES = {kind.code: kind.name for kind in BUILT_IN}
CLAIMS = {"organisation": "org_id", "payment": "pay_fp", "email": "email", "created": "made"}
KEYS = {"use": "api_key", "with": {"trust": "gateway"}}
PROXY = "10.0.0.1"
DIGESTER = Digester(ID_KEY)
AGENT = ("user-agent", "OpenAI/Python 1.35.12")


def resolver(*sources: Any, clusters: dict[str, Any] | None = None, device: dict[str, Any] | None = None) -> Resolver:
    section: dict[str, Any] = {"sources": list(sources or [jwt_source(claims=CLAIMS)]), "trusted_proxies": ["10.0.0.0/8"]}
    if device is not None:
        section["device"] = device
    return Resolver(
        IdentitySettings.model_validate(section),
        id_key=ID_KEY,
        clock=FakeClock(),
        keys=Keyring([b"k" * 32]),
        evidence=ClustersSettings.model_validate(clusters or {}),
    )


def shown(subject: Subject) -> dict[str, int]:
    """Keys by the names of their kinds; no kind is there twice but networks."""
    return {NAMES[code_of(key)]: key for key in subject.evidence}


def asked(guarded: Resolver, *headers: tuple[str, str | bytes], peer: str = "203.0.113.9", **more: Any) -> Subject:
    bearer = ("authorization", b"Bearer " + token(**more))
    return at_once(guarded.identify(facts(bearer, *headers, peer=peer)))


def test_without_clusters_nothing_is_worked_out() -> None:
    plain = Resolver(IdentitySettings.model_validate({"sources": [KEYS]}), id_key=ID_KEY, clock=FakeClock())
    one = at_once(plain.identify(facts(("authorization", "Bearer sk-1"), AGENT)))
    assert one.evidence == ()
    assert at_once(plain.identify(facts(("authorization", "Bearer sk-1"), ("user-agent", "another")))) is one


def test_all_that_a_token_and_its_request_show() -> None:
    claims: dict[str, Any] = {
        "org_id": "acme",
        "pay_fp": "card-1",
        "email": "ann@example.com",
        "email_verified": True,
        "made": 1_700_000_000,
    }
    subject = asked(resolver(), AGENT, **claims)
    assert list(shown(subject)) == ["payment", "domain", "organisation", "network", "network_wide", "agent"]
    assert shown(subject) == {
        "payment": DIGESTER.key(1, "card-1"),
        "domain": DIGESTER.key(2, "example.com"),
        "organisation": DIGESTER.key(3, subject.organisation),
        "network": DIGESTER.key(8, b"\xcb\x00\x71\x09\x20"),  # 203.0.113.9/32
        "network_wide": DIGESTER.key(9, b"\xcb\x00\x71\x00\x18"),  # 203.0.113.0/24
        "agent": DIGESTER.key(12, AGENT[1]),
    }
    assert subject.created == 1_700_000_000_000_000


def test_it_is_worked_out_once_a_subject() -> None:
    guarded = resolver()
    one, again = asked(guarded, AGENT, org_id="acme"), asked(guarded, AGENT, org_id="acme")
    assert one.evidence == again.evidence
    assert asked(guarded, ("user-agent", "another"), org_id="acme").evidence != one.evidence
    bearer = ("authorization", b"Bearer " + token())
    first = at_once(guarded.identify(facts(bearer, AGENT)))
    assert at_once(guarded.identify(facts(bearer, AGENT, ("accept", "*/*")))) is first


def test_who_shows_nothing_of_it() -> None:
    """No claim, no agent: the address is all there is. A Unix socket has not even that."""
    assert list(shown(asked(resolver()))) == ["network", "network_wide"]
    assert asked(resolver(), peer="unix").evidence == ()
    assert asked(resolver(), ("user-agent", "")).evidence == asked(resolver()).evidence
    nobody = at_once(resolver().identify(facts(AGENT)))
    assert (nobody.account[:2], nobody.evidence, nobody.created) == ("n:", (), None)


def test_empty_and_false_claims_are_no_evidence() -> None:
    values: tuple[Any, ...] = ("", [], {}, None, False, 2.5, "x" * 256)
    for value in values:
        subject = asked(resolver(), org_id=value, pay_fp=value, email=value, made=value)
        assert list(shown(subject)) == ["network", "network_wide"]
        assert subject.created is None


def test_an_address_that_nobody_verified_is_another_kind() -> None:
    said = shown(asked(resolver(), email="ann@example.com"))
    assert "domain" not in said
    assert said["email_domain"] == DIGESTER.key(4, "example.com")


def test_free_mail_is_no_evidence_and_a_policy_knows_more_of_it() -> None:
    assert "domain" not in shown(asked(resolver(), email="ann@gmail.com", email_verified=True))
    guarded = resolver(clusters={"free_mail": ["example.net"]})
    assert "domain" not in shown(asked(guarded, email="ann@mail.example.net", email_verified=True))
    assert "domain" in shown(asked(resolver(), email="ann@mail.example.net", email_verified=True))


def test_what_two_accounts_share_has_one_key_and_an_account_another() -> None:
    guarded = resolver()
    one = asked(guarded, AGENT, sub="one", pay_fp="card", org_id="acme")
    two = asked(guarded, AGENT, sub="two", pay_fp="card", org_id="other", peer="203.0.113.77")
    assert one.account != two.account
    common = {name for name, key in shown(one).items() if shown(two).get(name) == key}
    assert common == {"payment", "network_wide", "agent"}


def test_organisations_of_two_issuers_are_two() -> None:
    other = jwt_source(issuer="https://other.example/", claims=CLAIMS)
    guarded = resolver(jwt_source(claims=CLAIMS), other)
    one, two = asked(guarded, org_id="1"), asked(guarded, iss="https://other.example/", org_id="1")
    assert shown(one)["organisation"] != shown(two)["organisation"]
    assert shown(one)["issuer"] != shown(two)["issuer"]


def test_one_issuer_alone_says_nothing() -> None:
    assert "issuer" not in shown(asked(resolver()))


def test_a_key_that_the_app_has_yet_to_prove_shows_its_evidence_too() -> None:
    """The engine notes it once it is proved."""
    subject = at_once(resolver(key_source("app")).identify(facts(("x-api-key", "sk-1"), AGENT)))
    assert (subject.account[:2], subject.candidate[:2]) == ("n:", "a:")
    assert list(shown(subject)) == ["network", "network_wide", "agent"]


@pytest.mark.parametrize(
    ("peer", "shared"),
    [
        ("192.168.1.5", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("::1", True),
        ("2001:db8::1", False),
        ("198.51.100.0", True),
        ("198.51.100.255", True),
        ("198.51.101.0", False),
        ("198.51.99.255", False),
        ("2001:db8:5::9", True),
        ("2001:db8:6::9", False),
    ],
)
def test_networks_that_many_share_are_never_bound(peer: str, shared: bool) -> None:
    """They are noted as what anybody can have, with the digest that shows which network is meant."""
    guarded = resolver(clusters={"shared_networks": ["198.51.100.0/24", "2001:db8:5::/48"]})
    own, wide = asked(guarded, peer=peer).evidence
    assert [NAMES[code_of(key)] for key in (own, wide)] == ["network_wide" if shared else "network", "network_wide"]
    assert own != wide


def test_a_shared_network_has_the_digest_it_had_before() -> None:
    listed = resolver(clusters={"shared_networks": ["203.0.113.0/24"]})
    before, after = asked(resolver()).evidence[0], asked(listed).evidence[0]
    assert after != before
    assert recode(after, keys.NETWORK) == before


def test_ipv6_is_a_64_and_a_48() -> None:
    guarded = resolver()
    one, near, far = (
        asked(guarded, peer=peer).evidence for peer in ("2001:db8:1:2::1", "2001:db8:1:2:f::9", "2001:db8:1:3::1")
    )
    assert one == near
    assert (one[0] == far[0], one[1] == far[1]) == (False, True)


def test_evidence_does_not_hang_on_the_prefixes_that_limits_go_by() -> None:
    section = {"sources": [KEYS], "network": {"ipv4_prefix": 16}}
    wide = Resolver(IdentitySettings.model_validate(section), id_key=ID_KEY, clock=FakeClock(), evidence=ClustersSettings())
    shown_wide = at_once(wide.identify(facts(("authorization", "Bearer sk-1")))).evidence
    assert shown_wide == at_once(resolver(KEYS).identify(facts(("authorization", "Bearer sk-1")))).evidence


def test_long_agents_are_cut_and_doubled_ones_count_once() -> None:
    """An end that changes with each request must not make new evidence of one program: 8 KB are 512 bytes."""
    guarded = resolver()
    long = "agent " * 86
    one, two = (asked(guarded, ("user-agent", long[:512] + end * 7680)) for end in "xy")
    assert one.evidence == two.evidence
    assert shown(one)["agent"] == DIGESTER.key(12, long[:512])
    twice = asked(guarded, AGENT, ("user-agent", "other"))
    assert shown(twice)["agent"] == DIGESTER.key(12, AGENT[1])


def test_unicode_twins_of_an_agent_are_others() -> None:
    one, two = (asked(resolver(), ("user-agent", agent)) for agent in ("agent", "аgent"))  # noqa: RUF001 - Cyrillic
    assert shown(one)["agent"] != shown(two)["agent"]


def test_a_tls_fingerprint_is_a_trusted_proxys_word() -> None:
    guarded = resolver(device={"cookie": False, "tls_header": "x-ja4"})
    via = (("x-forwarded-for", "203.0.113.9"), ("x-ja4", "t13d1516h2"), AGENT)
    told = shown(asked(guarded, *via, peer=PROXY))
    assert told["tls"] == DIGESTER.key(10, "t13d1516h2")
    assert "tls" not in shown(asked(guarded, *via))


def test_devices_signed_and_seen_are_of_two_kinds() -> None:
    guarded = resolver(device={"cookie": True})
    bearer = ("authorization", b"Bearer " + token())
    first = at_once(guarded.identify(facts(bearer, AGENT)))
    assert shown(first)["device_seen"] == DIGESTER.key(7, first.device)
    cookie = guarded.device_cookie(facts(bearer, AGENT))
    assert cookie is not None
    second = at_once(guarded.identify(facts(bearer, AGENT, ("cookie", cookie.partition(b";")[0]))))
    assert second.device_kind == "signed"
    assert shown(second)["device"] == DIGESTER.key(6, second.device)
    assert "device_seen" not in shown(second)


@pytest.mark.parametrize(
    ("code", "value", "like"),
    [
        (keys.PAYMENT, "card-1", "payment"),
        (keys.DOMAIN, "Mail.Example.COM", "domain"),
        (keys.DOMAIN, "bob@example.com", "domain"),
        (keys.NETWORK, "203.0.113.9", "network"),
        (keys.NETWORK_WIDE, "203.0.113.200", "network_wide"),
        (keys.AGENT, AGENT[1], "agent"),
    ],
)
def test_what_is_fed_in_has_the_key_that_a_request_shows(code: int, value: str, like: str) -> None:
    guarded = resolver()
    subject = asked(guarded, AGENT, pay_fp="card-1", email="ann@example.com", email_verified=True, org_id="acme")
    assert guarded.evidence is not None
    assert guarded.evidence.linked(code, value) == shown(subject)[like]
    assert guarded.evidence.linked(keys.ORGANISATION, subject.organisation) == shown(subject)["organisation"]
    assert guarded.evidence.linked(40, "b-77") == DIGESTER.key(40, "b-77")


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (keys.PAYMENT, ""),
        (keys.DOMAIN, "gmail.com"),
        (keys.DOMAIN, "localhost"),
        (keys.NETWORK, "example.com"),
        (keys.NETWORK, ""),
        (keys.ORGANISATION, "acme"),
        (keys.DEVICE, "a:something"),
    ],
)
def test_what_cannot_be_fed_in(code: int, value: str) -> None:
    guarded = resolver()
    assert guarded.evidence is not None
    with pytest.raises(ValueError, match="it is"):
        guarded.evidence.linked(code, value)
