"""Evidence from outside: what it is called, what is refused, and that it meets what requests show."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.algorithms import edges, keys
from guardrail_mw.clusters.kinds import Declared
from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.engine.linking import Linker, declared, graph_of, link, moment_of, unlink
from guardrail_mw.errors import StoreError
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.keys import Secrets
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.stores.resilient import Resilient
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Facts

pytestmark = pytest.mark.anyio

SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32}
DIGESTER = Digester(Secrets.read(SECRETS, shared=False).id_key)
ACCOUNT = "a:" + "A" * 22
JWT = {"use": "jwt", "with": {"issuer": "https://id.example", "audience": "us", "secret": "s" * 40, "algorithms": ["HS256"]}}
PROXY = {"use": "header", "with": {"account": "x-account", "issuer": "proxy"}}
API_KEY = {"use": "api_key", "with": {"trust": "gateway", "headers": ["authorization", "x-api-key"]}}
CLUSTERS = {"kinds": {"badge": {"family": "reputation", "bound": True, "code": 40}}, "free_mail": ["club.example"]}


def guardrail(*sources: Mapping[str, Any], clusters: Any = CLUSTERS) -> Guardrail:
    document: dict[str, Any] = {
        "version": 1,
        "identity": {"sources": list(sources or (API_KEY,)), "trusted_proxies": ["10.0.0.0/8"]},
        "limits": [{"name": "requests", "per": ["account"], "rate": "60/minute"}],
    }
    if clusters is not None:
        document["clusters"] = clusters
    clock = FakeClock()
    return Guardrail(document, store=MemoryStore(clock=clock), clock=clock, environ=SECRETS)


async def shown(found: Guardrail) -> dict[str, list[int]]:
    """The keys of each account."""
    return {
        each.account: [edge.key for edge in edges.unpack(each.edges)]
        async for batch in graph_of(found).read(0)
        for each in batch
    }


# What is noted


async def test_a_value_is_noted_under_the_key_that_requests_have() -> None:
    found = guardrail()
    await link(found, ACCOUNT, "payment", "fp_1")
    await link(found, ACCOUNT, "badge", "77")
    assert await shown(found) == {ACCOUNT: [DIGESTER.key(keys.PAYMENT, "fp_1"), DIGESTER.key(40, "77")]}
    await unlink(found, ACCOUNT, "payment", "fp_1")
    assert await shown(found) == {ACCOUNT: [DIGESTER.key(40, "77")]}


async def test_an_address_meets_what_a_request_from_it_shows() -> None:
    found = guardrail()
    await link(found, ACCOUNT, "network", "198.51.100.7")
    facts = Facts("POST", "/", [(b"authorization", b"Bearer sk-1")], peer="198.51.100.7")
    subject: Any = found.engine.identify(facts)
    assert set((await shown(found))[ACCOUNT]) <= set(subject.evidence)


async def test_a_domain_is_cut_to_what_somebody_registered() -> None:
    found = guardrail()
    await link(found, ACCOUNT, "domain", "Ann@mail.Corp.example")
    assert await shown(found) == {ACCOUNT: [DIGESTER.key(keys.DOMAIN, "corp.example")]}


async def test_an_organisation_by_its_home_or_by_the_one_sources_name() -> None:
    found = guardrail(PROXY)
    home = DIGESTER.organisation("header", "proxy", "acme")
    await link(found, ACCOUNT, "organisation", "acme")
    await link(found, ACCOUNT, "organisation", home)
    assert await shown(found) == {ACCOUNT: [DIGESTER.key(keys.ORGANISATION, home)]}
    with pytest.raises(MisuseError, match="must be the organisation's home"):
        await link(guardrail(PROXY, API_KEY), ACCOUNT, "organisation", "acme")


async def test_when_an_account_was_opened() -> None:
    found = guardrail()
    await link(found, ACCOUNT, created="2025-06-01")
    await link(found, ACCOUNT, "payment", "fp_1", created="2020-01-01")
    fields = (await found.store.export(ACCOUNT))["standing"]["fields"]  # type: ignore[attr-defined]
    assert fields["created"] == str(1_748_736_000_000_000), "the first that is told stays"


# Whose it is


async def test_a_credential_is_taken_for_its_account() -> None:
    found = guardrail(API_KEY)
    await link(found, "sk-1", "payment", "fp_1")
    assert list(await shown(found)) == [DIGESTER.account("api_key", "", "sk-1")]
    proxied = guardrail(PROXY)
    await link(proxied, "alice", "payment", "fp_1")
    assert list(await shown(proxied)) == [DIGESTER.account("header", "proxy", "alice")]


async def test_a_name_that_an_issuer_has_for_an_account() -> None:
    linker = Linker(guardrail(JWT, PROXY, API_KEY))
    assert linker.named("alice", "https://id.example") == DIGESTER.account("jwt", "https://id.example", "alice")
    assert linker.named(17, "proxy") == DIGESTER.account("header", "proxy", "17")
    known = r"It has https://id.example \(jwt\), proxy \(header\)\."
    with pytest.raises(MisuseError, match=f"issuer: is missing. {known}"):
        linker.named("alice")
    with pytest.raises(MisuseError, match=f"issuer: is none that the policy has. {known}"):
        linker.named("alice", "https://other.example")
    assert Linker(guardrail(JWT)).named("alice") == DIGESTER.account("jwt", "https://id.example", "alice")
    with pytest.raises(MisuseError, match="none of the policy's sources knows accounts by name"):
        Linker(guardrail(API_KEY)).named("alice")


# What is refused, and changes nothing


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((ACCOUNT, "paymnet", "x"), "kind: 'paymnet' is no kind of evidence. Did you mean `payment`?"),
        ((ACCOUNT, "zzz", "x"), "kind: 'zzz' is no kind of evidence. There are payment, domain, "),
        ((ACCOUNT, "", "x"), "kind: is missing."),
        ((ACCOUNT, "payment", ""), "value: is missing."),
        ((ACCOUNT, "payment", "x" * 4097), "value: has 4097 characters"),
        ((ACCOUNT, "payment", ["x"]), "value: is not text."),
        ((ACCOUNT, "network", "nowhere"), "value: cannot be a network: it is no address."),
        ((ACCOUNT, "domain", "gmail.com"), "value: cannot be a domain: it is no domain, or one where anybody can"),
        ((ACCOUNT, "domain", "x@club.example"), "value: cannot be a domain"),
        ((ACCOUNT, "device", "abc"), "value: cannot be a device: it is no home"),
        ((ACCOUNT,), "kind: is missing, and so is `created`"),
        (("n:" + "A" * 22, "payment", "x"), "account: is a network's"),
        (("a:short", "payment", "x"), "account: is not an account's digest"),
        (("", "payment", "x"), "account: is missing."),
        ((None, "payment", "x"), "account: is missing."),
        ((b"sk-1", "payment", "x"), "account: is not text."),
    ],
)
async def test_refused(arguments: tuple[Any, ...], error: str) -> None:
    found = guardrail()
    with pytest.raises(MisuseError) as caught:
        await link(found, *arguments)
    assert str(caught.value).startswith(error)
    assert await shown(found) == {}


async def test_a_credential_that_nobody_knows_is_in_no_error() -> None:
    with pytest.raises(
        MisuseError, match="account: is no `a:…`, and as a credential it is recognised by no source"
    ) as caught:
        await link(guardrail(JWT), "sk-secret-1", "payment", "x")
    assert "sk-secret-1" not in str(caught.value)


async def test_a_policy_without_clusters() -> None:
    found = guardrail(clusters=None)
    for ask in (link(found, ACCOUNT, "payment", "x"), unlink(found, ACCOUNT, "payment", "x")):
        with pytest.raises(MisuseError, match="policy: has no section `clusters:`"):
            await ask
    with pytest.raises(MisuseError, match="policy: has no section `clusters:`"):
        graph_of(found)


async def test_a_store_that_keeps_no_evidence() -> None:
    class Poor:
        """No graph."""

    found = guardrail()
    resilient = Resilient(Poor(), on_error="allow", processes=1, clock=FakeClock())  # type: ignore[arg-type]
    for store in (Poor(), resilient):
        found.store = store  # type: ignore[assignment]
        with pytest.raises(StoreError, match=r"This store keeps no evidence. Poor has no link\(\)"):
            graph_of(found)


async def test_the_store_behind_the_resilient_one_keeps_it() -> None:
    found = guardrail()
    found.store = Resilient(found.store, on_error="allow", processes=1, clock=FakeClock())
    await link(found, ACCOUNT, "payment", "fp_1")
    assert list(await shown(found)) == [ACCOUNT]


# Times

AT = 1_764_000_000_000_000
"""2025-11-24T16:00:00Z in µs."""


@pytest.mark.parametrize(
    "when",
    [
        1_764_000_000,
        1_764_000_000.0,
        1_764_000_000_000,
        AT,
        "2025-11-24T16:00:00Z",
        "2025-11-24T17:00:00+01:00",
        datetime(2025, 11, 24, 16, tzinfo=UTC),
        datetime(2025, 11, 24, 17, tzinfo=timezone(timedelta(hours=1))),
        datetime(2025, 11, 24, 16),  # noqa: DTZ001 - as somebody may write it
    ],
)
def test_times(when: Any) -> None:
    assert moment_of("created", when) == AT


@pytest.mark.parametrize("when", [True, -1, 0, 10**17, float("nan"), float("inf"), "yesterday", "2025-13-01", [1]])
def test_what_is_no_time(when: Any) -> None:
    with pytest.raises(MisuseError, match=r"^created: "):
        moment_of("created", when)


def test_no_time() -> None:
    assert moment_of("created", None) is None
    assert moment_of("created", "") is None


# Organisations that the policy knows


async def test_an_organisation_of_the_policy_is_known_by_what_its_members_show() -> None:
    """Each source, or the one of that issuer, has a name for it; a request's evidence is the key, and so is what is linked."""
    known = [{"name": "acme", "tokens": 5}, {"name": "bee", "issuer": "proxy", "tokens": 7}]
    found = guardrail(PROXY, API_KEY, clusters={**CLUSTERS, "organisations": known})
    evidence = found.engine.resolver.evidence
    assert evidence is not None
    key = {
        source: [evidence.linked(keys.ORGANISATION, DIGESTER.organisation(*source, name)) for name in ("acme", "bee")]
        for source in (("header", "proxy"), ("api_key", ""))
    }
    acme, bee = Declared("acme", 5), Declared("bee", 7)
    assert declared(found.policy, found.engine.resolver) == {
        key["header", "proxy"][0]: acme,
        key["api_key", ""][0]: acme,
        key["header", "proxy"][1]: bee,
    }
    plain = guardrail(clusters=None)
    assert declared(plain.policy, plain.engine.resolver) == {}


async def test_its_members_share_what_the_policy_gives_it() -> None:
    """30 accounts on one card at one address, all of one organisation: not material, and it has its budget all the same."""
    section = {"organisations": [{"name": "acme", "tokens": 5_000}]}
    found = guardrail(PROXY, clusters=section)
    accounts = [f"a:{number:022}" for number in range(230)]
    home = DIGESTER.organisation("header", "proxy", "acme")
    for number, account in enumerate(accounts):
        staff = number < 30
        await link(found, account, "payment", "fp" if staff else f"fp{number}")
        await link(found, account, "network", "203.0.113.9" if number < 15 else f"198.51.100.{number}")
        if staff:
            await link(found, account, "organisation", home)
    state = await found.work()
    (cluster,) = state.clusters
    assert (len(cluster.members), cluster.organisation, cluster.allowance, cluster.material) == (30, "acme", 5_000, None)
    store = found.store
    assert isinstance(store, MemoryStore)
    assert (await store.export(accounts[3]))["standing"]["fields"]["budget"] == "5000"
