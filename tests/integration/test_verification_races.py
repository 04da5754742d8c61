"""What becomes of verifications where several processes hear of them at once: changed once, and as the latest says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from guardrail_mw.engine.ground import CASE, history
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.servers import Server

from ..asgi.kit import JSON, Guarded, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.verifying import link, look, scope  # noqa: TID252 - likewise
from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .verifying import OURS, ROBOT, SECRETS, SERVERS, Office, Own, Service, document, standard

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    async with serving(Own()) as found:
        assert isinstance(found, Own)
        yield found


@asynccontextmanager
async def eight(url: str, prefix: str, service: Service, **more: Any) -> AsyncIterator[list[Guarded]]:
    """Servers that share a store and a clock."""
    clock = FakeClock()
    sites = []
    for _ in range(8):
        store = RedisStore(url, deadline=60_000_000, prefix=prefix, clock=clock)
        site = Guarded(
            Upstream(),
            document("https://api.example", standard(service.url), **more),
            store=store,
            clock=clock,
            environ=SECRETS,
        )
        sites.append(site)
    yield sites
    for site in sites:
        await site.guardrail.close()


async def told(site: Guarded, webhook: tuple[bytes, dict[str, str]]) -> Any:
    raw, fields = webhook
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    answer = await site.ask(scope(f"{OURS}/webhooks/ids", "POST", JSON, *headers), raw)
    assert answer.status == 200, answer.body
    return answer.json["heard"]


@pytest.mark.parametrize("fixture", SERVERS)
async def test_one_event_200_times_at_once_is_noted_once(
    fixture: str, service: Own, guardrail_prefix: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"guardrail_{fixture}").url
    async with eight(url, guardrail_prefix, service) as sites:
        notices: list[Any] = []
        for site in sites:
            site.guardrail.notices.subscribe(lambda notice: notices.append(notice["what"]))
        path = await link(sites[0])
        await sites[1].ask(*begins(path))
        webhook = Office(service).webhook("approved")
        heard = await asyncio.gather(*[told(sites[number % 8], webhook) for number in range(200)])
        assert sorted(each for (each,) in heard) == ["again"] * 199 + ["noted"]
        assert notices == ["asked", "started", "approved"]
        store: Any = sites[0].store
        (name,) = await store.listed(CASE, 10)
        said = [what for _, what, _ in history(await store.pull(CASE, name))]
        assert sorted(said) == ["approved", "asked", "reached", "started"]
        assert [await robot(site) for site in sites] == [200] * 8


@pytest.mark.parametrize("fixture", SERVERS)
async def test_20_accounts_with_one_document_at_once(
    fixture: str, service: Own, guardrail_prefix: str, request: pytest.FixtureRequest
) -> None:
    """Three are verified by it, whoever's webhook comes to which process when."""
    url = request.getfixturevalue(f"guardrail_{fixture}").url
    keys = [b"Bearer sk-number-%d" % number for number in range(20)]
    async with eight(url, guardrail_prefix, service) as sites:
        paths = [await link(sites[number % 8], (b"authorization", key)) for number, key in enumerate(keys)]
        for path in paths:
            await sites[0].ask(*begins(path))
        office = Office(service)
        webhooks = [office.webhook("approved", which=number) for number in range(1, 21)]
        turns = [
            (number, webhook) for webhook in webhooks for number in range(8)
        ]  # each of them comes to each of the servers
        heard = await asyncio.gather(*[told(sites[number], webhook) for number, webhook in turns])
        assert sum(each == ["noted"] for each in heard) == 20
        states = [(await look(sites[number % 8], path)).json["state"] for number, path in enumerate(paths)]
        assert sorted(states) == ["approved"] * 3 + ["duplicate"] * 17
        passed = [await robot(sites[(number + 3) % 8], key) for number, key in enumerate(keys)]
        assert [each == 200 for each in passed] == [state == "approved" for state in states]


async def test_decisions_that_cross_end_as_the_latest_says(
    service: Own, guardrail_prefix: str, guardrail_redis: Server
) -> None:
    """An approval and its being taken back come at once, to several processes: for requests and for people it is taken back."""
    async with eight(guardrail_redis.url, guardrail_prefix, service) as sites:
        path = await link(sites[0])
        await sites[1].ask(*begins(path))
        office = Office(service)
        webhooks = [office.webhook(state) for state in ("approved", "withdrawn", "approved", "withdrawn")]
        await asyncio.gather(*[told(site, webhook) for webhook in reversed(webhooks) for site in sites])
        assert {(await look(site, path)).json["state"] for site in sites} == {"withdrawn"}
        assert [await robot(site) for site in sites] == [403] * 8


def begins(path: str) -> tuple[Any, bytes]:
    """Consent."""
    form = (b"content-type", b"application/x-www-form-urlencoded")
    return scope(path, "POST", form, (b"sec-fetch-site", b"same-origin")), b"consent=yes"


async def robot(site: Guarded, key: bytes = b"Bearer sk-0123456789-1a2b") -> int:
    answer = await site.post("/v1/chat/completions", chat(), (b"authorization", key), (b"user-agent", ROBOT.encode()), JSON)
    return answer.status
