"""Where a caller sees what it has passed, and what the endpoints say where they cannot help."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guardrail_mw.errors import StoreError

from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .verifying import (
    CHAT,
    HTML,
    JSON,
    KEY,
    OTHER_KEY,
    ROBOT,
    SAME,
    Own,
    ask,
    begin,
    event,
    guarded,
    link,
    look,
    path_of,
    refused,
    report,
    said,
    scope,
)

pytestmark = pytest.mark.anyio
STATUS = "/.guardrail/status"


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


async def test_a_caller_sees_what_it_has_passed(service: Own) -> None:
    site = guarded(service)
    answer = await refused(site)
    assert (await look(site, STATUS, KEY)).json["verification"] == {"verified": False}
    await begin(site, path_of(said(answer)["verification_url"]))
    await report(site, event(service, "approved", document="P1"))
    appeal = path_of(said(answer)["appeal_url"])
    await site.post(appeal, {"text": "We are an office."}, JSON)
    told = (await look(site, STATUS, KEY)).json
    account = told["account"]
    assert account.startswith("a:")
    assert told == {
        "account": account,
        "cleared": [],
        "verification": {"verified": True, "ial": "2", "acr": "urn:example:kyc", "until": "2027-01-01T00:01:00Z"},
        "appeal": {"state": "open", "reason": ""},
    }
    assert (await look(site, STATUS, OTHER_KEY)).json["verification"] == {"verified": False}
    assert (await look(site, STATUS)).json == {
        "account": None, "cleared": [], "verification": {"verified": False}, "appeal": None,
    }  # fmt: skip


async def test_what_it_does_not_answer() -> None:
    site = guarded()
    assert (await site.post(STATUS, {}, KEY, JSON)).status == 405
    twice = await site.get(STATUS, KEY, (b"x-api-key", b"sk-other-0123456789"))
    assert (twice.status, twice.json["code"]) == (400, "ambiguous_credential")
    for _ in range(59):
        await look(site, STATUS, KEY)
    assert (await look(site, STATUS, KEY)).status == 429
    site.clock.advance(60)
    assert (await look(site, STATUS, KEY)).status == 200


async def test_a_store_that_is_down(monkeypatch: pytest.MonkeyPatch, service: Own) -> None:
    site = guarded(service)
    answer = await refused(site)
    verify, appeal = (path_of(said(answer)[name]) for name in ("verification_url", "appeal_url"))

    async def fails(*_: object, **__: object) -> None:
        raise StoreError("down")

    for name in ("peek", "pull", "file"):
        monkeypatch.setattr(site.store, name, fails)
    assert (await look(site, STATUS, KEY)).status == 503
    assert (await look(site, verify)).json["code"] == "unavailable"
    assert (await look(site, appeal)).json["code"] == "unavailable"
    page = await look(site, verify, HTML)
    assert (page.status, page.field("content-type")) == (503, "text/html; charset=utf-8")
    assert (await ask(site)).status == 403  # asked all the same


async def test_pages_take_what_they_say(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    assert (await site.ask(scope(path, "PUT", SAME), b"")).json["code"] == "method_not_allowed"
    assert (await site.ask(scope(path, "POST", JSON), b"x" * 70_000)).json["code"] == "body_too_large"
    assert (await site.ask(scope(path, "POST", JSON), b"[]")).json["code"] == "unreadable"
    assert (await site.ask(scope("/.guardrail/webhooks/ids", "POST", JSON), b"x" * 262_145)).status == 413
    for _ in range(120):
        answer = await look(site, path)
    assert (answer.status, answer.field("retry-after")) == (429, "60")


async def test_a_browser_that_is_denied_gets_the_page_of_an_appeal() -> None:
    site = guarded(ladder=[{"at": 60, "do": "deny"}])
    answer = await refused(site, HTML)
    assert (answer.status, answer.field("content-type")) == (403, "text/html; charset=utf-8")
    assert "<textarea" in answer.body.decode()
    plain = await site.post(CHAT, {}, KEY, ROBOT, JSON)
    assert set(said(plain)) >= {"code", "appeal_url"}
    assert "verification_url" not in said(plain)
