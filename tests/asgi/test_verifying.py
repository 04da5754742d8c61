"""Verification end to end: refused, told where to go, verified by a provider that runs, let through; and taken back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.ground import history
from guardrail_mw.engine.naming import name
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change

from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .kit import policy
from .verifying import (
    CHAT,
    HTML,
    JSON,
    KEY,
    NOW,
    OTHER_KEY,
    PUBLIC,
    ROBOT,
    SAME,
    SECOND,
    SECRET,
    Guarded,
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
    text_of,
)

pytestmark = pytest.mark.anyio
FOREIGN = (b"sec-fetch-site", b"cross-site")


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


@pytest.fixture
def notices() -> list[Any]:
    return []


async def approved(site: Guarded, service: Own, key: Any = KEY, which: str = "v1", **more: str) -> None:
    """The way through it all."""
    assert (await begin(site, await link(site, key))).status == 303
    more = {"document": f"p-{which}", **more}
    assert (await report(site, event(service, "approved", which=which, **more), f"m-{which}")).json == {"heard": ["noted"]}


async def test_refused_verified_and_let_through(service: Own) -> None:
    site = guarded(service)
    answer = await refused(site)
    assert (answer.status, answer.field("x-should-retry")) == (403, "false")
    error = said(answer)
    assert (error["code"], error["expires_at"]) == ("verification_required", "2026-01-08T00:00:00Z")
    url = error["verification_url"]
    assert url.startswith(f"{PUBLIC}/.guardrail/verify/")
    path = path_of(url)

    page = await look(site, path, HTML)
    assert page.status == 200
    for words in ("Example AI", "…1a2b", "ids"):  # who asks, of whom, who checks
        assert words in text_of(page)
    told = (await look(site, path)).json
    account = told["account"]
    assert told == {
        "account": account, "state": "asked", "provider": "ids", "level": "id", "expires_at": "2026-01-08T00:00:00Z",
    }  # fmt: skip
    assert service.calls == []

    gone = await begin(site, path)
    assert (gone.status, gone.field("location")) == (303, "https://id.example/v1")
    (call,) = service.calls
    assert call.json["return_url"] == url
    assert call.json["level"] == "id"
    assert account not in call.body.decode()
    assert (await look(site, path)).json["state"] == "pending"  # the provider was asked

    heard = await report(site, event(service, "approved", document="P 1"))
    assert (heard.status, heard.json) == (200, {"heard": ["noted"]})
    assert (await ask(site)).status == 200
    told = (await look(site, path)).json
    assert (told["state"], told["approved_until"]) == ("approved", "2027-01-01T00:01:00Z")
    assert (await ask(site, key=OTHER_KEY)).status == 200  # its first
    assert (await ask(site, key=OTHER_KEY)).status == 403  # nobody else is cleared


async def test_an_approval_runs_out(service: Own) -> None:
    site = guarded(service)
    await approved(site, service)
    site.clock.jump(80 * 86_400)
    assert (await ask(site)).status == 200
    site.clock.jump(285 * 86_400 + 59)
    assert (await refused(site)).status == 403  # its standing was forgotten meanwhile, its case was not
    assert (await ask(site)).status == 200
    site.clock.jump(1)
    assert (await ask(site)).status == 403


async def test_what_is_shown_is_worth_what_the_policy_says(service: Own) -> None:
    limits = [
        {"name": "kyc", "when": {"acr": "urn:example:kyc"}, "rate": "7/minute"},
        {"name": "ial", "when": {"ial": "2"}, "rate": "8/minute"},
        {"name": "shown", "when": {"verified": True}, "rate": "9/minute"},
        {"name": "unshown", "when": {"verified": False}, "rate": "999/minute"},
    ]
    site = guarded(service, limits=limits)
    assert set(await site.left(KEY)) == {"requests", "unshown"}
    await approved(site, service)
    assert set(await site.left(KEY)) == {"requests", "kyc", "ial", "shown"}
    site.clock.jump(366 * 86_400)
    assert set(await site.left(KEY)) == {"requests", "unshown"}


async def test_an_approval_is_taken_back_and_what_comes_late_undoes_nothing(service: Own) -> None:
    site = guarded(service)
    await approved(site, service)
    taken = event(service, "withdrawn", "2026-01-01T00:02:00Z")
    assert (await report(site, taken, "m-2")).json == {"heard": ["noted"]}
    assert (await ask(site)).status == 403
    late = event(service, "approved", "2026-01-01T00:01:30Z", document="p-v1")
    assert (await report(site, late, "m-3")).json == {"heard": ["noted"]}
    assert (await ask(site)).status == 403
    after = event(service, "approved", "2026-01-01T00:03:00Z", document="p-v1")
    await report(site, after, "m-4")
    assert (await ask(site)).status == 200


async def test_an_event_is_heard_once(service: Own) -> None:
    site = guarded(service)
    await approved(site, service)
    other = event(service, "withdrawn", "2026-01-01T00:02:00Z")
    assert (await report(site, other, "m-v1")).json == {"heard": ["again"]}  # the id that the approval had
    assert (await ask(site)).status == 200
    site.clock.jump(90 * 86_400)
    assert (await report(site, other, "m-v1", stamp=NOW + 90 * 86_400)).json == {"heard": ["noted"]}
    assert (await refused(site)).status == 403


async def test_webhooks_that_are_not_believed(service: Own) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    raw = event(service, "approved", document="P 1")
    for bad in (
        await report(site, raw, secret="whsec_" + "bzb" * 8 + "bzb" * 2 + "bz"),
        await report(site, raw, provider="others"),
        await report(site, raw, stamp=NOW - 301),
        await site.post("/.guardrail/webhooks/ids", json.loads(raw)),
    ):
        assert (bad.status, bad.json["code"], bad.json["detail"]) == (400, "webhook_refused", "The webhook is not accepted.")
    assert (await ask(site)).status == 403
    assert (await site.get("/.guardrail/webhooks/ids")).status == 405
    for _ in range(56):
        await report(site, raw, provider="others")
    assert (await report(site, raw)).status == 429
    site.clock.advance(60)
    assert (await report(site, raw, stamp=NOW + 60)).status == 200


async def test_one_document_verifies_three_accounts_whoever_checks_it(service: Own) -> None:
    site = guarded(service)
    keys = [(b"authorization", b"Bearer sk-number-%d" % number) for number in range(5)]
    for number, key in enumerate(keys[:4], 1):
        assert (await begin(site, await link(site, key))).status == 303
        raw = event(service, "approved", which=f"v{number}", document="P-00 1", person=f"x{number}")
        assert (await report(site, raw, f"m-{number}")).json == {"heard": ["noted"]}
    assert [(await ask(site, key=key)).status for key in keys[:4]] == [200, 200, 200, 403]
    path = path_of(said(await ask(site, key=keys[3]))["verification_url"])
    assert (await look(site, path)).json["state"] == "duplicate"
    site.clock.jump(90 * 86_400 + 1)
    assert (await begin(site, await link(site, keys[4]))).status == 303
    stamp = NOW + 90 * 86_400 + 1
    raw = event(service, "approved", "2026-04-01T00:00:01Z", which="v5", document="P-00 1", person="x5")
    assert (await report(site, raw, "m-5", stamp=stamp)).json == {"heard": ["noted"]}
    assert (await ask(site, key=keys[4])).status == 200


async def test_a_document_counts_through_erasure(service: Own) -> None:
    site = guarded(service)
    for number in range(1, 4):
        key = (b"authorization", b"Bearer sk-number-%d" % number)
        await begin(site, await link(site, key))
        await report(site, event(service, "approved", which=f"v{number}", document="P1"), f"m-{number}")
        account = site.guardrail.recorder.latest(1)[0]["candidate"]
        assert await site.store.erase(account)
    key = (b"authorization", b"Bearer sk-number-9")
    await begin(site, await link(site, key))
    await report(site, event(service, "approved", which="v4", document="P1"), "m-4")
    assert (await ask(site, key=key)).status == 403


async def test_what_nobody_could_tell_again_is_worth_one_level_less(service: Own) -> None:
    limits = [
        {"name": "ial2", "when": {"ial": "2"}, "rate": "8/minute"},
        {"name": "ial1", "when": {"ial": "1"}, "rate": "8/minute"},
        {"name": "basic", "when": {"acr": ["urn:example:basic"]}, "rate": "8/minute"},
    ]
    site = guarded(service, limits=limits)
    await begin(site, await link(site))
    assert (await report(site, event(service, "approved"))).json == {"heard": ["noted"]}
    assert (await ask(site)).status == 200
    assert set(await site.left(KEY)) == {"requests", "ial1", "basic"}


async def test_a_lower_level_is_not_the_one_that_was_asked_for(service: Own) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    await report(site, event(service, "approved", level="basic", document="P1"))
    assert (await ask(site)).status == 403


async def test_a_change_of_the_level_asks_again_and_one_of_the_name_does_not(service: Own) -> None:
    site = guarded(service)
    await approved(site, service)
    document = site.guardrail.policy.written()
    document["verification"]["providers"]["ids"]["with"]["secrets"] = [SECRET]
    document["friction"]["ladder"][0] |= {"name": "papers", "at": 55}
    site.guardrail.apply(load(document))
    assert (await ask(site)).status == 200
    document["friction"]["ladder"][0]["with"]["level"] = "basic"
    site.guardrail.apply(load(document))
    assert (await ask(site)).status == 403


async def test_an_approval_counts_as_long_as_the_policy_names_its_provider_and_level(service: Own) -> None:
    """It is not deleted: it counts again once they are there again."""
    limits = [{"name": "shown", "when": {"verified": True}, "rate": "9/minute"}]
    site = guarded(service, limits=limits)
    await approved(site, service)
    account = site.guardrail.recorder.latest(1)[0]["candidate"]
    before = site.guardrail.policy.written()
    for change in ("level", "provider", "section"):
        document = site.guardrail.policy.written()
        rung = document["friction"]["ladder"][0]["with"]
        if change == "level":
            del document["verification"]["providers"]["ids"]["with"]["levels"]["id"]
            rung["level"] = "basic"
        elif change == "provider":
            document["verification"]["providers"] = {"theirs": document["verification"]["providers"].pop("ids")}
            rung["provider"] = "theirs"
        else:
            del document["verification"]
            document["friction"]["ladder"] = []
        assert "shown" in await site.left(KEY)
        site.guardrail.apply(load(document))
        assert "shown" not in await site.left(KEY), change
        told = await Operator(site.guardrail).show(account)
        assert (told["verified"], [each["counts"] for each in told["verifications"]]) == (False, [False])
        if change != "section":
            assert (await look(site, "/.guardrail/status", KEY)).json["verification"] == {"verified": False}
        site.guardrail.apply(load(before))
    assert "shown" in await site.left(KEY)
    assert (await look(site, "/.guardrail/status", KEY)).json["verification"]["ial"] == "2"


async def test_the_page_of_another_site_begins_nothing(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    for headers in ([FOREIGN], [(b"origin", b"https://evil.example")], [(b"sec-fetch-site", b"same-site")]):
        assert (await begin(site, path, *headers)).json["code"] == "foreign_origin"
    assert (await begin(site, path, SAME, consent="no")).json["code"] == "consent_missing"
    plain = await site.post(path, '{"consent": "yes"}', (b"content-type", b"text/plain"), FOREIGN)
    assert (plain.status, plain.json["code"]) == (415, "unreadable")
    assert service.calls == []


async def test_links_that_are_over_or_none(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    for bad in (path[:-1], path[:-4] + "AAAA", "/.guardrail/verify/x", path.replace("verify", "appeal")):
        assert (await look(site, bad)).json["code"] == "unknown_link"
    site.clock.jump(7 * 86_400)
    assert (await look(site, path)).json["code"] == "link_expired"
    assert (await begin(site, path, SAME)).json["code"] == "link_expired"
    assert "over" in text_of(await look(site, path, HTML)) or (await look(site, path, HTML)).status == 410
    assert service.calls == []


async def test_begun_once_and_gone_on_with(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    assert (await begin(site, path)).field("location") == "https://id.example/v1"
    assert (await begin(site, path)).field("location") == "https://id.example/v1/again"
    assert [call.method for call in service.calls] == ["POST", "POST"]


async def test_consent_once_more_after_no_answer_is_the_same_wish(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    service.broken += [(503, b"")] * 3  # it did what it was asked, and that was not heard
    assert (await begin(site, path)).status == 503
    service.broken.clear()
    assert (await begin(site, path)).field("location") == "https://id.example/v1"
    other = path_of(said(await ask(site))["verification_url"])
    assert (await begin(site, other)).field("location") == "https://id.example/v1/again"
    assert len(service.things) == 1


async def test_by_another_link_after_no_answer_it_begins_too(service: Own) -> None:
    site = guarded(service)
    service.broken += [(503, b"")] * 3
    assert (await begin(site, await link(site))).status == 503
    service.broken.clear()
    assert (await begin(site, path_of(said(await ask(site))["verification_url"]))).status == 303


async def test_what_is_being_looked_at_is_not_begun_again(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    await begin(site, path)
    service.broken += [(409, b"{}")]  # it wants nothing more of the person
    answer = await begin(site, path, SAME)
    assert (answer.status, answer.json["state"]) == (200, "started")
    service.broken += [(409, b"{}")]
    assert "being looked at" in text_of(await begin(site, path))
    assert len(service.things) == 1
    service.broken += [(409, b"{}"), (503, b""), (503, b""), (503, b"")]
    assert (await begin(site, path, SAME)).json["code"] == "unavailable"
    service.broken.clear()
    service.things["v1"]["state"] = "expired"
    service.broken += [(409, b"{}")]
    assert (await begin(site, path)).field("location") == "https://id.example/v2"


async def test_whoever_waits_may_look_as_often_as_they_like(service: Own, notices: list[Any]) -> None:
    """Nothing new is heard: nothing is written, and nobody is told."""
    site = guarded(service)
    site.guardrail.notices.subscribe(lambda notice: notices.append(notice["what"]))
    path = await link(site)
    await begin(site, path)
    for number in range(20):
        service.things["v1"]["seen"] = str(number)  # no answer is the same as another
        site.clock.advance(11)
        assert (await look(site, path)).json["state"] == "pending"
    assert len([call for call in service.calls if call.method == "GET"]) == 20
    assert notices == ["asked", "started", "pending"]


async def test_so_many_may_be_begun(service: Own) -> None:
    site = guarded(service, verification={"tries": 2})
    path = await link(site)
    for number in (1, 2):
        assert (await begin(site, path)).status == 303
        await report(site, event(service, "declined", f"2026-01-01T00:0{number}:00Z", f"v{number}"), f"m-{number}")
        assert (await look(site, path)).json["state"] == "declined"
    assert (await begin(site, path, SAME)).json["code"] == "tries_used_up"
    assert len(service.things) == 2
    site.clock.jump(30 * 86_400)
    assert (await begin(site, path_of(said(await ask(site))["verification_url"]))).status == 303


async def test_a_provider_that_sends_people_elsewhere_is_not_obeyed(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    for way in ("https://evil.example/", "javascript:alert(1)", "http://id.example/", "//evil.example", f"{PUBLIC}/x"):
        service.way = way
        answer = await begin(site, path, SAME)
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        assert answer.field("location") is None


async def test_a_report_of_a_case_that_is_not_ours_is_nobodys(service: Own) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    raw = event(service, "approved", document="P1", id="v77", case="AAAA")
    assert (await report(site, raw)).json == {"heard": ["unknown"]}
    assert (await ask(site)).status == 403


async def test_nobody_without_account_is_sent_to_be_verified() -> None:
    site = guarded()
    for _ in range(3):
        answer = await site.post(
            "/v1/chat/completions", {}, (b"user-agent", b"HeadlessChrome/140.0"), (b"content-type", b"application/json")
        )
    assert "verification_url" not in answer.body.decode()


@pytest.mark.parametrize(("use", "says"), [("manual", "A person at Example AI"), ("simulated", "no document is looked at")])
async def test_the_refusal_s_page_says_who_checks(use: str, says: str) -> None:
    assert says in " ".join(text_of(await refused(guarded(use=use), HTML)).split())


async def test_browsers_get_the_page_with_the_refusal(service: Own) -> None:
    site = guarded(service)
    answer = await refused(site, HTML)
    assert answer.status == 403
    assert answer.field("x-guardrail-decision") is not None
    assert "Example AI" in text_of(answer)
    policy_ = answer.field("content-security-policy") or ""
    assert "default-src 'none'" in policy_
    assert "frame-ancestors 'none'" in policy_


async def test_the_case_has_its_history(service: Own, notices: list[Any]) -> None:
    site = guarded(service)
    site.guardrail.notices.subscribe(lambda notice: notices.append((notice["what"], notice["at"])))
    path = await link(site)
    site.clock.jump(60)
    await begin(site, path)
    site.clock.jump(60)
    await report(site, event(service, "declined", "2026-01-01T00:02:00Z"), stamp=NOW + 120)
    at = NOW * SECOND
    expected = [("asked", at), ("started", at + 60 * SECOND), ("declined", at + 120 * SECOND)]
    assert notices == expected
    cases = site.guardrail.engine.cases
    assert cases is not None
    (name,) = await cases.files.listed("case", 10)
    fields = await cases.files.pull("case", name)
    assert fields is not None
    assert [(what, when) for when, what, _ in history(fields)] == [("asked", at), ("reached", at), *expected[1:]]


async def test_deadlines_and_reminders_are_told_once(service: Own, notices: list[Any]) -> None:
    site = guarded(service)
    other = Guarded(site.app, policy(), store=site.store)
    other.guardrail.apply(site.guardrail.policy)
    for each in (site, other):
        each.guardrail.notices.subscribe(lambda notice: notices.append(notice["what"]))
    await link(site)
    for days, told in ((6, []), (1, ["reminder"]), (0, []), (6, ["reminder"]), (1, ["overdue"]), (1, [])):
        site.clock.jump(days * 86_400)
        notices.clear()
        await site.guardrail.look()
        await other.guardrail.look()
        assert notices == told


async def test_who_clicks_is_verified_where_that_is_known_to_prove_nothing() -> None:
    site = guarded(use="simulated")
    path = await link(site)
    gone = await begin(site, path)
    assert (gone.status, gone.field("location")) == (303, PUBLIC + path)
    assert "outcome" in (await look(site, path, HTML)).body.decode()
    assert (await begin(site, path, FOREIGN, outcome="approved")).status == 403
    assert (await ask(site)).status == 403
    assert (await begin(site, path, SAME, outcome="approved")).field("location") == PUBLIC + path
    assert (await ask(site)).status == 200


async def test_nothing_is_chosen_where_somebody_checks(service: Own) -> None:
    site = guarded(service)
    path = await link(site)
    await begin(site, path)
    assert (await begin(site, path, SAME, outcome="approved")).json["code"] == "not_simulated"
    assert (await ask(site)).status == 403


async def test_an_operator_decides() -> None:
    site = guarded(use="manual")
    path = await link(site)
    assert (await begin(site, path)).field("location") == PUBLIC + path
    assert (await look(site, path, HTML)).status == 200
    cases, reports = site.guardrail.engine.cases, site.guardrail.engine.reports
    assert cases is not None
    assert reports is not None
    (name,) = await cases.files.listed("case", 10)
    await reports.decide(name, "approved", "seen in a call", document="DE C01X00")
    assert (await ask(site)).status == 200
    await reports.decide(name, "withdrawn", "it was somebody else")
    assert (await ask(site)).status == 403


async def test_a_store_that_fails_asks_for_the_webhook_again(service: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    site = guarded(service)
    await begin(site, await link(site))
    raw = event(service, "approved", document="P1")

    async def fails(*_: object) -> int:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(site.store, "remember", fails)
        assert (await report(site, raw)).status == 503
    assert (await report(site, raw)).json == {"heard": ["noted"]}
    assert (await ask(site)).status == 200


async def test_forms_of_an_appeal_and_a_verification_are_not_one_anothers(service: Own) -> None:
    site = guarded(service)
    answer = await refused(site)
    appeal = path_of(said(answer)["appeal_url"])
    assert (await look(site, appeal.replace("appeal", "verify"))).json["code"] == "unknown_link"
    assert (await site.post(appeal, {"text": "We are an office."}, (b"content-type", b"application/json"))).status == 201


async def test_a_limit_for_who_is_not_verified_says_the_way_out(service: Own) -> None:
    """Limits come before the ladder: who is refused by one would never hear of the rung."""
    site = guarded(
        service, limits=[{"name": "unshown", "when": {"verified": False}, "rate": "1/day"}, {"name": "all", "rate": "9/day"}]
    )
    assert (await ask(site)).status == 200
    answer = await ask(site)
    assert answer.status == 429
    error = said(answer)
    assert error["code"] == "rate_limit_exceeded"
    assert error["expires_at"] == "2026-01-08T00:00:00Z"
    assert (await begin(site, path_of(error["verification_url"]))).status == 303
    assert (await look(site, path_of(error["appeal_url"]))).json["state"] == "none"
    await report(site, event(service, "approved", document="P1"))
    for _ in range(8):
        assert (await ask(site)).status == 200
    answer = await ask(site)
    assert (answer.status, "verification_url" in said(answer)) == (429, False)


async def test_who_has_no_account_meets_what_stands_in_otherwise() -> None:
    """There is nobody to verify; who has an account is asked."""
    rung = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id"}, "otherwise": "deny"}
    site = guarded(ladder=[rung])
    for _ in range(2):
        answer = await site.post(CHAT, {}, ROBOT, JSON)
    assert (answer.status, said(answer)["code"]) == (403, "denied")
    assert said(await refused(site))["code"] == "verification_required"


async def test_a_key_that_nobody_has_proved_and_something_is_held_against_has_a_way_out(service: Own) -> None:
    """Its account was found in a cluster by what was told of it; refused before the app could say that the key is good."""
    limits = [{"name": "suspects", "per": ["cluster"], "when": {"verdict": "suspect", "verified": False}, "rate": "1/day"}]
    site = guarded(service, limits=limits, trust="app")
    held = [Change("set", "verdict", "suspect"), Change("set", "cluster", "c" * 12)]
    for key in ("sk-0123456789-1a2b", "sk-0123456789-3c4d"):
        await site.store.remember((await name(site.guardrail, key, None)).account, held)
    answers = [await site.post(CHAT, None, key, JSON) for key in (OTHER_KEY, KEY)]
    assert [answer.status for answer in answers] == [200, 429]
    assert (await begin(site, path_of(said(answers[1])["verification_url"]))).status == 303
    await report(site, event(service, "approved", document="P1"))
    assert (await site.post(CHAT, None, KEY, JSON)).status == 200
