"""The design's policy, line by line, up to its limits: each does what it says, through the whole pipeline."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from guardrail_mw import Guardrail, plugins
from guardrail_mw.errors import PolicyError, StoreError
from guardrail_mw.policy import loads
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore

from ..asgi.kit import JSON, KEY, Upstream, chat, scope_of  # noqa: TID252 - the kit of the pipeline's tests
from ..identity.kit import claims  # noqa: TID252 - an issuer with real keys
from .design import CHAT, LADDER, MESSAGES, POLICY, Site, edited, publish

pytestmark = pytest.mark.anyio

HOUR = 3600


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The issuer answers; where it was asked."""
    return publish(monkeypatch)


@pytest.fixture
def site() -> Site:
    return Site()


def refused(text: str) -> list[str]:
    """What is wrong with a policy, by place."""
    with pytest.raises(PolicyError) as caught:
        loads(text, environ={})
    return [f"{each.path} {each.message}" for each in caught.value.problems]


# As a whole


def test_it_loads_as_it_stands() -> None:
    policy = loads(POLICY, environ={})
    assert policy.mode == "shadow"
    assert [rung.label for rung in policy.friction.ladder] == ["delay", "deny"]


def test_version() -> None:
    [problem] = refused(edited(("version: 1", "version: 2")))
    assert problem.startswith("version ")


def test_it_loads_with_challenges_and_verification() -> None:
    policy = loads(edited(("    - {at: 95, do: deny}\n", LADDER + "    - {at: 95, do: deny}\n")), environ={})
    assert [rung.label for rung in policy.friction.ladder] == ["delay", "challenge", "verify", "deny"]


async def test_mode_shadow_decides_and_records_and_never_acts() -> None:
    site = Site(mode="shadow")
    statuses = [(await site.as_("alice")).status for _ in range(121)]
    assert statuses == [200] * 121
    assert (site.last["decision"], site.last["would"]["code"], site.last["would"]["limit"]) == (
        "allow",
        "rate_limited",
        "requests",
    )
    assert (await site.as_("alice")).field("ratelimit") is None


# store


def test_store_url() -> None:
    assert isinstance(Guardrail(loads(POLICY, environ={}), environ={}).store, MemoryStore)
    assert loads(POLICY, environ={"GUARDRAIL_STORE": "redis://cache.example"}).store.url == "redis://cache.example"


def test_store_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store is opened with, in µs; that stores keep to it is shown where they are tested."""
    opened: dict[str, Any] = {}

    class Kind:
        @staticmethod
        def from_url(url: str, **settings: Any) -> MemoryStore:
            opened.update(settings, url=url)
            return MemoryStore()

    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: Kind if kind == "stores" else load(kind, name))
    Guardrail(loads(POLICY, environ={}), environ={})
    assert (opened["url"], opened["deadline"]) == ("memory://", 25_000)


class Gone:
    """A shared store that answers nothing."""

    async def charge(self, *_: Any) -> Any:
        raise StoreError("gone")

    renew = remember = spend = peek = charge

    def settle(self, settlements: Any) -> None:
        """Lost."""

    async def drain(self) -> None:
        """Nothing to wait for."""

    close = drain


async def test_store_on_error_local_is_a_quarter_for_each_of_four_processes() -> None:
    """120 a minute by four: 30, and the rest is refused, not let through."""
    site = Site(store=Gone())
    try:
        statuses = [(await site.as_("alice", path="/v1/models")).status for _ in range(31)]
        assert statuses == [200] * 30 + [429]
    finally:
        await site.guardrail.close()


# identity


async def test_nobody_is_believed_who_says_where_he_comes_from(site: Site) -> None:
    answers = [await site.stranger("192.0.2.1", (b"x-forwarded-for", b"203.0.113.%d" % number)) for number in range(21)]
    assert [each.status for each in answers] == [200] * 20 + [429]


@pytest.mark.parametrize(
    ("one", "two", "together"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
async def test_networks_are_single_addresses_and_64s(site: Site, one: str, two: str, *, together: bool) -> None:
    await site.stranger(one)
    first = site.last["network"]
    await site.stranger(two)
    assert (site.last["network"] == first) is together
    assert site.limits["strangers"][1] == (18 if together else 19)


async def test_a_token_of_the_issuers_is_an_account(site: Site, asked: list[str]) -> None:
    for kind in ("RS256", "ES256", "EdDSA"):
        await site.post(CHAT, chat(), site.who("alice", kind), JSON)
        assert (site.last["source"], site.last["authenticated"]) == ("jwt", True)
    assert site.limits["requests"][1] == 117  # one account, whatever it is signed with
    assert asked == ["https://id.example/.well-known/jwks.json"]


@pytest.mark.parametrize("wrong", [{"aud": "another-api"}, {"exp": 1}])
async def test_a_token_of_the_issuers_that_is_bad_is_nobody_elses(site: Site, wrong: dict[str, Any]) -> None:
    """It is refused, never taken for an API key."""
    answer = await site.as_("alice", **wrong)
    assert (answer.status, site.last["source"]) == (401, "")


async def test_an_algorithm_that_is_not_listed_is_refused(site: Site) -> None:
    import jwt

    forged = jwt.encode(claims(), "s" * 32, "HS256", headers={"kid": "ES256"}).encode()
    assert (await site.post(CHAT, chat(), (b"authorization", b"Bearer " + forged), JSON)).status == 401


async def test_claims_name_organisation_tier_and_payment(site: Site) -> None:
    for name in ("alice", "bob"):
        await site.as_(name, org_id="acme", plan="gold", pay_fp="4111")
    one, two = [scope["state"]["guardrail"].subject for scope in site.app.scopes]
    assert (one.organisation_name, one.tier, two.organisation_name) == ("acme", "gold", "acme")
    assert one.organisation == two.organisation
    assert one.payment == two.payment
    assert one.account != two.account
    assert "4111" not in one.payment
    assert one.payment


@pytest.mark.parametrize("header", [(b"authorization", b"Bearer sk-one"), (b"x-api-key", b"sk-one")])
async def test_keys_are_proved_by_the_app(site: Site, header: tuple[bytes, bytes]) -> None:
    """Until it has answered well the network pays; then the account does."""
    site.app.status = 401
    await site.post(CHAT, chat(), header, JSON)
    assert (site.last["source"], site.last["authenticated"], site.last["account"][:2]) == ("api_key", False, "n:")
    site.app.status = 200
    await site.post(CHAT, chat(), header, JSON)
    assert "strangers" in site.limits
    await site.post(CHAT, chat(), header, JSON)
    assert site.last["authenticated"]
    assert "strangers" not in site.limits


async def test_who_has_no_account_is_its_network(site: Site) -> None:
    await site.stranger("192.0.2.1")
    assert site.last["account"] == site.last["network"]
    assert (site.last["candidate"], site.last["source"]) == ("", "anonymous")


@pytest.mark.parametrize(("acr", "held"), [("urn:example:basic", True), ("urn:example:kyc", True), ("urn:other", False)])
async def test_assurance_orders_what_acr_reaches(acr: str, *, held: bool) -> None:
    known = "limits:\n  - {name: known, per: [account], when: {acr: urn:example:basic}, rate: 1/minute}\n"
    site = Site(("limits:\n", known))
    await site.as_("alice", acr=acr)
    assert ("known" in site.limits) is held


# routes


@pytest.mark.parametrize("path", ["/health", "/ping"])
async def test_health_is_exempt(site: Site, path: str) -> None:
    for _ in range(200):
        answer = await site.get(path)
        assert (answer.status, answer.field("x-guardrail-decision")) == (200, None)
    assert site.bills == []
    assert (await site.post(path)).decision  # only looking is free


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (MESSAGES, "anthropic"),
        ("/v1/messages/batches", "anthropic"),
        ("/v1/models", "openai"),
        (CHAT, "openai"),
        ("/invocations", "openai"),
        ("/elsewhere", "problem"),
    ],
)
async def test_each_route_speaks_its_dialect(site: Site, path: str, shape: str) -> None:
    answer = await site.post(path, {}, KEY, (b"x-api-key", b"sk-other"), JSON)
    assert answer.status == 400
    kind = {"anthropic": ("error", "type"), "openai": ("error", "code"), "problem": ("code", "status")}[shape]
    body = answer.json
    assert all(name in json.dumps(body) for name in kind)
    assert (body.get("type") == "error") is (shape == "anthropic")
    assert site.last["dialect"] == shape


async def test_models_are_listed_under_requests_alone(site: Site) -> None:
    await site.get("/v1/models", site.who("alice"))
    assert list(site.limits) == ["requests"]
    await site.as_("alice")
    assert list(site.limits) == ["requests", "tokens", "in-flight", "spend", "burst-spend", "capacity"]


# reserve, inspect, headers, models


async def test_what_is_reserved_before_the_answer(site: Site) -> None:
    """400 characters are 100 tokens; 1024 for the answer, less where the request asks for less; 1500 for a picture."""
    await site.as_("alice")
    assert site.limits["tokens"][0] == 100 + 1024
    await site.as_("alice", body=chat(400, max_tokens=10))
    assert site.limits["tokens"][0] == 100 + 10
    await site.as_("alice", body=chat(400, max_tokens=100_000))
    assert site.limits["tokens"][0] == 100 + 1024
    picture = {"type": "image_url", "image_url": {"url": "https://img.example/1.png"}}
    await site.as_("alice", body={"model": "small", "messages": [{"role": "user", "content": [picture]}]})
    assert site.limits["tokens"][0] == 1500 + 1024


async def test_bodies_are_read_up_to_32_mib(site: Site) -> None:
    most = 32 * 1024 * 1024
    announced = (site.who("alice"), JSON, (b"content-length", b"%d" % (most + 1)))
    assert (await site.ask(scope_of(CHAT, headers=announced), b"{}")).status == 413
    pieces = [b" " * 1024 * 1024] * 31
    headers = (site.who("alice"), JSON)
    assert (await site.ask(scope_of(CHAT, headers=headers), *pieces, b" " * (1024 * 1024 - 2) + b"{}")).status == 200
    assert (await site.ask(scope_of(CHAT, headers=headers), *pieces, b" " * (1024 * 1024 - 1) + b"{}")).status == 413


async def test_headers_of_the_ietf_and_of_the_dialect(site: Site) -> None:
    answer = await site.as_("alice")
    assert '"requests";q=120;w=60' in (answer.field("ratelimit-policy") or "")
    assert '"requests";r=119' in (answer.field("ratelimit") or "")
    assert answer.field("x-ratelimit-limit-requests") == "120"
    assert answer.field("x-ratelimit-remaining-requests") == "119"
    answer = await site.as_("alice", path=MESSAGES)
    assert answer.field("anthropic-ratelimit-requests-limit") == "120"
    assert answer.field("x-ratelimit-limit-requests") is None


def spent(**usage: Any) -> Upstream:
    return Upstream(json.dumps({"choices": [], "usage": usage}).encode())


async def test_models_that_match_have_their_price() -> None:
    """Reserved: 100 × 3 + 1024 × 15 = 15,660 µ$. Used: 600 × 3 + 400 × 0.3 + 200 × 15 = 4,920 µ$."""
    app = spent(prompt_tokens=1000, completion_tokens=200, prompt_tokens_details={"cached_tokens": 400})
    site = Site(app=app)
    await site.as_("alice", body=chat(400) | {"model": "large-3"})
    assert (site.last["model"], site.limits["spend"]) == ("large", (15_660, 500_000_000 - 15_660, True))
    await site.as_("alice", body=chat(400) | {"model": "large-3"})
    assert site.limits["spend"][1] == 500_000_000 - 4_920 - 15_660
    await site.as_("alice", body=chat(400) | {"model": "medium"})
    assert (site.last["model"], site.limits["spend"][0]) == ("other", 15_660)  # without a price: as the dearest


# limits


async def test_requests(site: Site) -> None:
    """120 at once, then two a second."""
    statuses = [(await site.as_("alice", path="/v1/models")).status for _ in range(122)]
    assert statuses == [200] * 120 + [429] * 2
    assert site.last["refusal"]["limit"] == "requests"
    assert (await site.as_("bob", path="/v1/models")).status == 200
    site.clock.advance(0.5)
    assert [(await site.as_("alice", path="/v1/models")).status for _ in range(2)] == [200, 429]


async def test_tokens_of_each_model_apart() -> None:
    """Four hundred thousand are gone with the first answer; another model has its own."""
    site = Site(app=spent(prompt_tokens=400_000, completion_tokens=0))
    large = chat(400) | {"model": "large-3"}
    assert (await site.as_("alice", body=large)).status == 200
    answer = await site.as_("alice", body=large)
    assert (answer.status, site.last["refusal"]["limit"]) == (429, "tokens")
    assert (await site.as_("alice")).status == 200


async def test_in_flight() -> None:
    """The seventeenth at once is refused; one that ends makes room."""
    held: list[asyncio.Event] = []
    changed = asyncio.Condition()

    async def hold() -> None:
        held.append(mine := asyncio.Event())
        async with changed:
            changed.notify_all()
        await mine.wait()

    async def until(count: int) -> None:
        async with changed:
            await changed.wait_for(lambda: len(held) == count)

    site = Site(app=Upstream(b"{", hold, b"}"))
    tasks = [asyncio.create_task(site.as_("alice")) for _ in range(16)]
    await until(16)
    one_more = asyncio.create_task(site.as_("alice"))
    await asyncio.wait([one_more, asyncio.create_task(until(17))], return_when=asyncio.FIRST_COMPLETED)
    assert one_more.done()
    assert one_more.result().status == 429
    assert site.last["refusal"]["limit"] == "in-flight"
    held[0].set()
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks.append(asyncio.create_task(site.as_("alice")))
    await until(17)
    for each in held:
        each.set()
    assert [(await task).status for task in tasks] == [200] * 17


async def test_strangers(site: Site) -> None:
    """Whoever is not proved, keys too, shares twenty a minute with his network; who is, does not."""
    site.app.status = 401
    keys = [(b"authorization", b"Bearer sk-%d" % number) for number in range(10)]
    statuses = [(await site.post(CHAT, chat(), key, JSON)).status for key in keys]
    statuses += [(await site.stranger("198.51.100.7")).status for _ in range(11)]
    assert statuses == [401] * 20 + [429]
    assert site.last["refusal"]["limit"] == "strangers"
    site.app.status = 200
    assert (await site.as_("alice")).status == 200
    assert "strangers" not in site.limits


async def test_spend_and_burst_spend_are_recorded_and_refuse_nobody() -> None:
    """40 million tokens of output are $600."""
    site = Site(("400000/minute", "4000000000/minute"), app=spent(prompt_tokens=0, completion_tokens=40_000_000))
    large = chat(400) | {"model": "large-3"}
    await site.as_("alice", body=large)
    assert site.limits["burst-spend"] == (15_660, 12_500_000 - 15_660, True)
    assert (await site.as_("alice", body=large)).status == 200
    assert [site.limits[name][2] for name in ("spend", "burst-spend")] == [False, False]
    assert all(each["shadow"] for each in site.last["limits"] if "spend" in each["name"])
    site.clock.advance(HOUR + 180)
    await site.as_("alice", body=large)
    assert [site.limits[name][2] for name in ("spend", "burst-spend")] == [False, True]
    site.clock.advance(24 * HOUR)
    await site.as_("alice", body=large)
    assert [site.limits[name][2] for name in ("spend", "burst-spend")] == [False, True]
    site.clock.advance(31 * 24 * HOUR)
    await site.as_("alice", body=large)
    assert [site.limits[name][2] for name in ("spend", "burst-spend")] == [True, True]


async def told(site: Site, name: str, **fields: str) -> None:
    """Have a worker or an operator remember something of an account."""
    await site.as_(name)
    changes = [Change("set", field, value) for field, value in fields.items()]
    await site.guardrail.store.remember(site.last["account"], changes)


VERIFIED = {"cases": "1", "case.403d1bd8e895.17": f'["approved",{10**17},"","","ids","c1"]'}
"""Of the standing of who was verified, in the first µs of time and until the year 5138."""
VERIFIES = """\
endpoints: {public_url: https://api.example}
verification: {name: us, providers: {ids: {use: manual, with: {levels: {id: {}}}}}}
"""


async def test_campaign() -> None:
    """A hundred a day for all accounts of a suspect cluster together; verified ones and others go on."""
    site = Site(("version: 1\n", f"version: 1\n{VERIFIES}"))
    for name in ("mule-1", "mule-2"):
        await told(site, name, cluster="k1", verdict="suspect")
    await told(site, "victim", cluster="k1", verdict="suspect", **VERIFIED)
    await told(site, "watched", cluster="k1", verdict="watched")
    await told(site, "boss", cluster="k2", verdict="confirmed")
    statuses = [(await site.as_(name)).status for _ in range(50) for name in ("mule-1", "mule-2")]
    assert statuses == [200] * 100
    assert (await site.as_("mule-1")).status == 429
    assert site.last["refusal"]["limit"] == "campaign"
    for name in ("victim", "watched", "alice"):
        assert (await site.as_(name)).status == 200
        assert "campaign" not in site.limits
    await site.as_("boss")  # graver than suspect, and a cluster of its own
    assert site.limits["campaign"][:2] == (1, 99)


async def test_capacity_keeps_its_last_third_for_the_proved(site: Site) -> None:
    """Of 2000 in a second strangers get 1400. Nobody's fault, so it is a 503, or what anthropic's SDK takes for one."""
    strangers = [(await site.stranger(f"192.0.2.{number % 70}", body={})).status for number in range(1400)]
    assert set(strangers) == {200}
    assert (await site.stranger("203.0.113.1")).status == 503
    assert (await site.stranger("203.0.113.1", path=MESSAGES)).status == 529
    accounts = [(await site.as_(f"user-{number % 10}", body={})).status for number in range(601)]
    assert accounts == [200] * 600 + [503]
    site.clock.advance(1)
    assert (await site.stranger("203.0.113.1")).status == 200


async def test_enterprise_replaces_requests(site: Site) -> None:
    """Wherever `requests` holds, and for the whole organisation together."""
    await site.as_("alice", org_id="acme", plan="enterprise")
    assert site.limits["enterprise"] == (1, 5999, True)
    assert "requests" not in site.limits
    await site.as_("bob", org_id="acme", plan="enterprise", path="/v1/models")
    assert list(site.limits.items()) == [("enterprise", (1, 5998, True))]
    await site.as_("carol", org_id="acme", plan="team")
    assert "enterprise" not in site.limits
    statuses = {(await site.as_("alice", org_id="acme", plan="enterprise", body={})).status for _ in range(130)}
    assert statuses == {200}
