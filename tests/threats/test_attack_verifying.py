"""Verifications in the hands of who means harm: links that others have, sessions left open, clicks at once, and replays."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.ground import history
from guardrail_mw.friction.verification.providers import Begin

from ..asgi.verifying import (  # noqa: TID252
    KEY,
    NOW,
    SAME,
    SECOND,
    WORTH,
    Guarded,
    Own,
    Service,
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
)
from ..friction.verification.providers.standin import Veriff, serving  # noqa: TID252

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


async def record(site: Guarded) -> dict[str, str]:
    """Of the only case."""
    cases = site.guardrail.engine.cases
    assert cases is not None
    (name,) = await cases.files.listed("case", 10)
    found = await cases.files.pull("case", name)
    assert found is not None
    return found


async def two(site: Guarded, service: Own) -> str:
    """A case that failed once and was approved at the second session."""
    path = await link(site)
    await begin(site, path)
    await report(site, event(service, "declined", "2026-01-01T00:01:00Z", "v1"), "m-1")
    await begin(site, path)
    await report(site, event(service, "approved", "2026-01-01T00:02:00Z", "v2", document="P1"), "m-2")
    assert (await ask(site)).status == 200
    return path


@pytest.mark.parametrize("state", ["declined", "expired", "withdrawn", "pending"])
async def test_a_session_that_was_left_open_ends_no_approval_of_another(service: Own, state: str) -> None:
    site = guarded(service)
    await two(site, service)
    # whoever had the link holds the first session still, and fails there again
    assert (await report(site, event(service, state, "2026-01-01T00:03:00Z", "v1"), "m-3")).status == 200
    assert (await ask(site)).status == 200
    assert (await record(site))["state"] == "approved"
    assert (await report(site, event(service, "withdrawn", "2026-01-01T00:04:00Z", "v2"), "m-4")).status == 200
    assert (await ask(site)).status == 403


async def test_an_approval_of_another_session_is_nothing_to_end_the_first_by(service: Own) -> None:
    site = guarded(service)
    await two(site, service)
    await report(site, event(service, "approved", "2026-01-01T00:03:00Z", "v1", document="P2"), "m-3")
    await report(site, event(service, "withdrawn", "2026-01-01T00:04:00Z", "v1"), "m-4")
    assert (await ask(site)).status == 200


async def test_what_an_operator_has_approved_no_session_that_runs_out_ends(service: Own) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    reports = site.guardrail.engine.reports
    assert reports is not None
    cases = site.guardrail.engine.cases
    assert cases is not None
    (name,) = await cases.files.listed("case", 10)
    await reports.decide(name, "approved", "seen in a call")
    site.clock.advance(60)
    await report(site, event(service, "expired", "2026-01-01T00:01:00Z"), stamp=NOW + 60)
    assert (await ask(site)).status == 200
    await reports.decide(name, "withdrawn", "it was somebody else")
    assert (await ask(site)).status == 403


async def test_an_approval_from_before_it_was_taken_back_is_nothing_once_the_standing_was_forgotten(service: Own) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    raw = event(service, "approved", document="P1")
    await report(site, raw, "m-1")
    await report(site, event(service, "withdrawn", "2026-01-01T00:02:00Z"), "m-2")
    site.clock.jump(91 * 86_400)  # nobody knows the account's standing, nor the event, any more
    assert (await report(site, raw, "m-1", stamp=NOW + 91 * 86_400)).json == {"heard": ["noted"]}
    assert (await refused(site)).status == 403


class Dated(Own):
    """Says, as most do, only how it is now."""

    def act(self, request: Any) -> tuple[int, Any]:
        status, found = super().act(request)
        if request.method == "GET":
            found = {**found, "timestamp": f"2025-12-31T12:{len(self.calls) // 60:02}:{len(self.calls) % 60:02}Z"}
        return status, found


async def test_looking_on_writes_nothing() -> None:
    service = Dated()
    async with serving(service):
        site = guarded(service)
        path = await link(site)
        await begin(site, path)
        for _ in range(40):
            assert (await look(site, path)).json["state"] in {"started", "pending"}
            site.clock.advance(10)
        assert len(service.calls) == 41
        assert len(history(await record(site))) == 4  # reached, asked, started, pending


async def test_a_history_has_an_end(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    await begin(site, path)
    for number in range(300):
        at = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
        site.clock.advance(1)
        raw = event(service, "declined" if number % 2 else "pending", at)
        assert (await report(site, raw, f"m-{number}", stamp=NOW + number)).status == 200
    assert len(history(await record(site))) <= 202


async def test_clicks_at_once_begin_one(service: Own) -> None:
    site = guarded(service, verification={"tries": 2})
    path = await link(site)
    answers = await asyncio.gather(*[begin(site, path, SAME) for _ in range(20)])
    assert len(service.things) == 1
    codes = {answer.status for answer in answers}
    assert codes <= {303, 409}
    assert 303 in codes
    assert (await begin(site, path)).status == 303


async def test_clicks_at_once_begin_one_where_nothing_else_tells_them_apart() -> None:
    service: Service = Veriff()
    async with serving(service):
        own = {"url": service.url, "key": "key-1", "secrets": ["veriff-secret-1"], "worth": {"ial": "2"}}
        site = guarded(verification={"tries": 2, "providers": {"ids": {"use": "veriff", "with": own}}})
        path = await link(site)
        await asyncio.gather(*[begin(site, path, SAME) for _ in range(20)])
        assert len(service.things) == 1


async def test_what_began_and_was_not_noted_may_begin_again(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    service.broken = [(503, b""), (503, b"")]  # it did what it was asked, and its answers are lost
    assert (await begin(site, path, SAME)).status == 503
    answer = await begin(site, path, SAME)
    assert (answer.status, answer.field("location")) == (303, "https://id.example/v1")
    assert len(service.things) == 1


async def test_who_was_asked_anew_may_begin_where_answers_were_lost(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    service.broken = [(503, b""), (503, b"")]
    assert (await begin(site, path, SAME)).status == 503
    other = path_of(said(await ask(site))["verification_url"])
    assert (await begin(site, other, SAME)).status == 303


async def test_one_case_has_one_reference(service: Own) -> None:
    site = guarded(service)
    path = await link(site, KEY)
    await begin(site, path)
    cases = site.guardrail.engine.cases
    assert cases is not None
    sealed = path.rsplit("/", 1)[1]
    visit: Any = cases.read(sealed)
    told: Any = await cases.case(visit)
    assert cases.begun(visit, sealed, told["reference"]).case == service.things["v1"]["case"]


async def test_a_document_that_an_operator_notes_is_the_one_that_a_provider_reads() -> None:
    service = Veriff()
    async with serving(service):
        own = {"url": service.url, "key": "key-1", "secrets": ["veriff-secret-1"], "worth": WORTH}
        by_hand = {"use": "manual", "with": {"levels": {"id": WORTH}}}
        site = guarded(
            verification={"duplicates": 1, "providers": {"ids": by_hand, "theirs": {"use": "veriff", "with": own}}}
        )
        assert site.guardrail.engine.cases is not None
        read = site.guardrail.engine.cases.providers["theirs"]
        seen = {"id": "s-1", "code": 9001, "status": "approved", "document": {"country": "DE", "number": "C01-X00"}}
        raw = json.dumps({"status": "success", "verification": {**seen, "decisionTime": "2026-01-01T00:00:00Z"}}).encode()
        fields = {"x-auth-client": "key-1", "x-hmac-signature": hmac.new(b"veriff-secret-1", raw, "sha256").hexdigest()}
        (told,) = read.parse_webhook(raw, fields)
        noted: Any = site.guardrail.engine.cases.providers["ids"]
        made = noted.decide(Begin("", "id", "", ""), "manual_1", "approved", NOW * SECOND, document="DE C01X00")
        assert told.document == made.document != ""


async def test_going_back_and_back_asks_a_provider_now_and_then(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    statuses = [(await begin(site, path, SAME)).status for _ in range(20)]
    assert statuses == [303] * 13 + [409] * 7  # it began, and twelve ways back a minute
    assert len(service.calls) == 13
    site.clock.advance(5)
    assert (await begin(site, path)).field("location") == "https://id.example/v1/again"


async def test_erasure_gives_nobody_its_tries_again(service: Own) -> None:
    site = guarded(service, verification={"tries": 2})
    operator = Operator(site.guardrail)
    for number in (1, 2, 3):
        path = await link(site)
        answer = await begin(site, path, SAME)
        assert answer.status == (303 if number < 3 else 429)
        site.clock.advance(200)
        await operator.erase((await record(site))["account"], "they asked for it")
    assert [each.path for each in service.calls if each.method == "POST"].count("/verifications") == 2
