"""Nobody can make another look bad, nor many of his own look few: not with keys, tokens, addresses or devices he makes up."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.algorithms.sketch import REGISTERS, Sketch, place
from guardrail_mw.engine.desk import Operator
from guardrail_mw.identity.digest import Digester
from guardrail_mw.limits.velocity import value
from guardrail_mw.stores.base import Change, Distinct
from guardrail_mw.values import Facts, Subject

from ..identity.kit import jwt_source, token  # noqa: TID252 - issuers with real keys
from .kit import CHAT, JSON, KEY, SECRETS, Guarded, Keyring, Upstream, chat, key, policy

pytestmark = pytest.mark.anyio

ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "1h"}
ACCOUNTS = {"name": "accounts", "distinct": "account", "per": "network", "over": "1h"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}, {"use": "automation"}]}
LADDER = {"ladder": [{"at": 25, "do": "delay"}]}
HEADLESS = (
    b"user-agent",
    b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0",
)
LIMIT = {"name": "requests", "rate": "100000/minute"}


def judged(app: Any, trust: str = "app", **rest: Any) -> Guarded:
    document = policy(LIMIT, trust=trust, risk=RISK, friction=LADDER, velocity=[ATTEMPTS, ACCOUNTS])
    return Guarded(app, document | rest, environ=SECRETS)


def last(site: Guarded) -> dict[str, Any]:
    [event] = site.guardrail.recorder.latest(1)
    return event


def candidate(site: Guarded, *headers: tuple[bytes, bytes]) -> str:
    """Whose account these headers say that it is."""
    subject = site.guardrail.engine.identify(Facts("POST", CHAT, list(headers), peer="203.0.113.66"))
    assert isinstance(subject, Subject)
    return subject.candidate


async def test_an_unproved_key_writes_nothing_against_its_account() -> None:
    """Who learns a key before its owner first uses it, or guesses it, sends the worst he can with it from elsewhere."""
    unknowing, knowing = Upstream(status=401), Keyring()
    site = judged(unknowing)  # the app does not know the key yet
    owner = candidate(site, KEY)
    for _ in range(30):
        await site.post(CHAT, chat(), KEY, HEADLESS, JSON, client=("203.0.113.66", 1))
    assert unknowing.calls == 30
    assert (last(site)["account"][:2], last(site)["candidate"], last(site)["decision"]) == ("n:", owner, "delay")
    exported = await site.store.export(owner)
    assert (exported["standing"]["fields"], exported["counters"], exported["distinct"]) == ({}, {}, {})
    site.middleware._http.app = knowing
    for _ in range(2):  # its owner, from home: the first request proves the key
        await site.post(CHAT, chat(), KEY, JSON)
    event = last(site)
    assert (event["account"], event["velocity"]["attempts"], event["decision"]) == (owner, [1, False], "allow")


async def test_attempts_with_invented_keys_are_the_networks() -> None:
    """Each attempt with another key: they add up where they come from, and are one account there."""
    site = judged(Keyring())
    for number in range(10):
        await site.post(CHAT, chat(), key(number), JSON, client=("203.0.113.66", 1))
    event = last(site)
    assert event["account"] == event["network"]
    assert event["velocity"] == {"attempts": [10, False], "accounts": [1, False]}
    assert (event["risk"], event["decision"]) == (100, "delay")


async def test_forged_tokens_in_somebodys_name_count_nothing_for_him() -> None:
    sources = [jwt_source()]
    site = judged(Upstream(), identity={"sources": sources})
    alice = (b"authorization", b"Bearer " + token(sub="alice"))
    await site.post(CHAT, chat(), alice, JSON)
    for _ in range(30):
        forged = (b"authorization", b"Bearer " + token(number=1, sub="alice"))
        assert (await site.post(CHAT, chat(), forged, HEADLESS, JSON, client=("203.0.113.66", 1))).status == 401
    await site.post(CHAT, chat(), alice, JSON)
    assert (last(site)["velocity"]["attempts"], last(site)["risk"], last(site)["decision"]) == ([2, False], 20, "allow")


async def test_strangers_of_a_network_leave_its_accounts_alone() -> None:
    """A neighbour behind the same address slows himself."""
    site = judged(Keyring(), trust="gateway")
    for _ in range(30):
        await site.post(CHAT, chat(), JSON, HEADLESS)
    assert last(site)["decision"] == "delay"
    await site.post(CHAT, chat(), KEY, JSON)
    assert (last(site)["risk"], last(site)["decision"]) == (10, "allow")


# HyperLogLog


def network(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


SEEN = {"name": "networks", "distinct": "network", "per": "account", "over": "1h", "approximate": True}


async def counted(secret: str, addresses: list[str]) -> int:
    """How many networks a process with this key believes to have seen."""
    site = Guarded(
        Upstream(),
        policy(LIMIT, velocity=[SEEN], risk={"scorers": [{"use": "automation"}]}, friction=LADDER),
        environ={**SECRETS, "GUARDRAIL_ID_KEY": secret},
    )
    for address in addresses:
        await site.post(CHAT, None, KEY, JSON, client=(address, 1))
    count: int = last(site)["velocity"]["networks"][0]
    return count


def crafted(secret: str, count: int) -> list[str]:
    """Addresses that share a 64th of the registers, for who has the key: together they look like some sixty."""
    site = Guarded(Upstream(), policy(LIMIT), environ={**SECRETS, "GUARDRAIL_ID_KEY": secret})
    resolver = site.guardrail.engine.resolver
    found: list[str] = []
    number = 0
    while len(found) < count:
        number += 1
        subject = resolver.identify(Facts("POST", CHAT, [], peer=network(number)))
        assert isinstance(subject, Subject)
        if place(value(subject.network))[0] < REGISTERS // 64:
            found.append(network(number))
    return found


async def test_addresses_cannot_be_chosen_to_look_like_few() -> None:
    """240 addresses that were chosen under one key look like 60 under it, and like what they are under any other."""
    addresses = crafted("a" * 32, 240)
    assert await counted("a" * 32, addresses) < 100  # the attack works, for whoever has the key
    assert 216 <= await counted("b" * 32, addresses) <= 264


def test_nothing_that_is_counted_is_the_same_under_two_keys() -> None:
    """All that a client can vary goes through a keyed digest before it is counted."""
    one, two = Digester(b"a" * 32), Digester(b"b" * 32)
    for kind in ("device-seen", "device-signed", "payment"):
        assert one.evidence(kind, b"x") != two.evidence(kind, b"x")
    assert one.account("api_key", "", "sk-one") != two.account("api_key", "", "sk-one")
    sketches = Sketch(), Sketch()
    for number in range(100):
        for digester, sketch in zip((one, two), sketches, strict=True):
            sketch.see(1, value(digester.evidence("device-seen", b"%d" % number)))
    assert sketches[0]._both != sketches[1]._both


# Devices


def agent(number: int) -> tuple[bytes, bytes]:
    return (b"user-agent", b"bot/%d" % number)


async def test_an_account_has_64_devices_at_most() -> None:
    """Whoever shows another device with each request gets no counters of his own for it, and no room in the store."""
    devices = {"name": "devices", "distinct": "device", "per": "account", "over": "24h"}
    limits = [LIMIT, {"name": "device", "per": ["device"], "rate": "50/minute"}]
    sources = [{"use": "api_key", "with": {"trust": "gateway"}}]
    document = policy(*limits, velocity=[devices], risk={"scorers": [{"use": "automation"}]}, friction=LADDER)
    document["identity"] = {"sources": sources, "device": {"cookie": False}}
    site = Guarded(Upstream(), document, environ=SECRETS)
    statuses = [(await site.post(CHAT, chat(), KEY, agent(number), JSON)).status for number in range(300)]
    homes = {entry.home for bill in site.bills for entry in bill.entries}
    assert len([home for home in homes if home.startswith("d:")]) == 64
    seen = {
        step.value for bill in site.bills for entry in bill.entries for step in entry.steps if isinstance(step, Distinct)
    }
    assert len(seen) <= 65
    assert last(site)["device"] == ""
    assert statuses.count(429) == 300 - 64 - 50  # those beyond share what the account has
    await site.post(CHAT, chat(), (b"authorization", b"Bearer sk-two"), agent(1000), JSON)
    assert last(site)["device"].startswith("d:")


# Erasure


async def test_to_be_erased_is_no_amnesty() -> None:
    """What was decided against an account stays when it has itself forgotten; what is counted of it goes."""
    site = judged(Keyring(), trust="gateway")
    await site.post(CHAT, chat(), KEY, JSON)
    account = last(site)["account"]
    verdict = [Change("set", "verdict", "confirmed"), Change("set", "cluster", "k1"), Change("set", "override", "deny 0")]
    await site.store.remember(account, verdict)
    assert (await site.post(CHAT, chat(), KEY, JSON)).status == 403
    found = await Operator(site.guardrail).erase(account, "asked for by its owner")
    assert found["erased"]
    assert (await site.post(CHAT, chat(), KEY, JSON)).status == 403
    assert (last(site)["verdict"], last(site)["why"], last(site)["velocity"]["attempts"]) == (
        "confirmed",
        ["override"],
        [1, False],
    )
