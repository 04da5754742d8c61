"""Whoever is held up finds the way on, or may object: wherever the app is mounted, whoever they are, whatever held them up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.engine.desk import Operator
from guardrail_mw.identity.device_cookie import COOKIE as DEVICE
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change

from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .kit import JSON, chat
from .test_clearing import CHALLENGE, EASY, HTML, SOLVES, challenge_of, cookies, hand_in, jar, robot, solve
from .test_clearing import guarded as challenged
from .verifying import (
    CHAT,
    KEY,
    NOW,
    ROBOT,
    SECOND,
    Own,
    ask,
    begin,
    event,
    guarded,
    link,
    look,
    path_of,
    report,
    said,
    text_of,
)

pytestmark = pytest.mark.anyio
STATUS = "/.guardrail/status"
PLAIN = (b"authorization", b"Bearer sk-0123456789-7g8h")


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


# Challenges


async def test_a_program_without_account_is_given_a_cookie_and_then_something_to_solve() -> None:
    site = challenged(otherwise="trim")
    first = await robot(site, SOLVES, key=None)
    assert first.status == 200
    kept = cookies(first)
    assert set(kept) == {DEVICE}
    challenge = challenge_of(await robot(site, SOLVES, jar(kept), key=None))
    answer = await hand_in(site, challenge, solve(challenge), jar(kept))
    assert answer.status == 200
    kept |= cookies(answer)
    assert (await robot(site, SOLVES, jar(kept), key=None)).status == 200


async def test_nobody_else_is_given_one() -> None:
    site = challenged(otherwise="trim")
    assert cookies(await robot(site, JSON, key=None)) == {}  # it says nothing of what it can solve
    assert cookies(await robot(site, (b"guardrail-solve", b"turnstile"))) == {}  # it has an account


async def test_who_is_refused_for_want_of_a_cookie_is_given_one() -> None:
    """Without account, and by two families, so that what stands in `otherwise` refuses."""
    rung = {"at": 60, "do": "challenge", "with": EASY, "otherwise": "deny"}
    site = guarded(ladder=[rung])
    bare = await site.post(CHAT, chat(), ROBOT, JSON, SOLVES)
    found = await site.post(CHAT, chat(), ROBOT, JSON, SOLVES)
    assert (bare.status, found.status) == (200, 403)
    assert set(cookies(bare)) == set(cookies(found)) == {DEVICE}
    again = await site.post(CHAT, chat(), ROBOT, JSON, SOLVES, jar(cookies(found)))
    assert challenge_of(again)["type"] == "altcha"


@pytest.mark.parametrize("kind", [b"text/plain", b"", b"application/json, text/plain", b"multipart/form-data"])
async def test_a_page_of_another_site_hands_in_no_answer(kind: bytes) -> None:
    """It can send a text that reads as JSON, but none that is called so. It uses up no tries of its visitor's network either."""
    site = challenged()
    challenge = challenge_of(await robot(site))
    fields = [(b"content-type", kind)] if kind else []
    for _ in range(70):
        found = await site.post(CHALLENGE, {"case": challenge["case"], "answer": solve(challenge)}, *fields, PLAIN)
        assert (found.status, found.json["code"]) == (415, "unreadable")
    assert (await hand_in(site, challenge, solve(challenge))).status == 200


async def test_who_solves_sees_it_where_nobody_is_verified() -> None:
    site = challenged()
    challenge = challenge_of(await robot(site))
    await hand_in(site, challenge, solve(challenge))
    told = (await site.get(STATUS)).json
    assert [each["until"] for each in told["cleared"]] == ["2026-01-01T00:30:00Z"]
    assert (told["verification"], told["appeal"]) == ({"verified": False}, None)


async def test_whoever_is_asked_to_solve_may_object() -> None:
    rung = {"at": 60, "do": "challenge", "with": EASY}
    site = guarded(ladder=[rung])
    told = said(await ask(site, SOLVES))
    assert told["code"] == "challenge_required"
    assert (await look(site, path_of(told["appeal_url"]))).status == 200
    page = await ask(site, HTML)
    assert '<a href="https://api.example/.guardrail/appeal/' in page.body.decode()
    assert "Appeal" in text_of(page)
    closed = guarded(ladder=[rung], verification={"appeals": {"open": False}})
    assert "appeal_url" not in said(await ask(closed, SOLVES))
    assert "/appeal/" not in (await ask(closed, HTML)).body.decode()


# Limits of suspects


@pytest.mark.parametrize(("verdict", "objects"), [("suspect", True), (["suspect", "confirmed"], True), ("watched", False)])
async def test_whoever_meets_the_limit_of_a_suspect_cluster_may_object(verdict: Any, *, objects: bool) -> None:
    limits = [{"name": "suspects", "per": ["cluster"], "when": {"verdict": verdict}, "rate": "1/day"}]
    rung = {"at": 99, "do": "deny"}
    site = guarded(ladder=[rung], limits=limits)
    assert (await site.post(CHAT, chat(), KEY, JSON)).status == 200
    account = site.guardrail.recorder.latest(1)[0]["candidate"]
    await site.store.remember(account, [Change("set", "cluster", "c1"), Change("set", "verdict", "suspect")])
    assert (await site.post(CHAT, chat(), KEY, JSON)).status == 200
    found = await site.post(CHAT, chat(), KEY, JSON)
    assert found.status == 429
    assert ("appeal_url" in said(found)) is objects


# Where the app is mounted below another


async def test_an_appeal_is_below_the_root() -> None:
    rung = {"at": 60, "do": "deny"}
    document = guarded(ladder=[rung]).guardrail.policy.written()
    document["endpoints"] = {}
    document["verification"]["providers"] = {}
    site = guarded(ladder=[rung])
    site.guardrail.apply(load(document))
    for _ in range(2):
        found = await site.post(f"/models{CHAT}", chat(), KEY, ROBOT, JSON, root_path="/models")
    url = said(found)["appeal_url"]
    assert url.startswith("/models/.guardrail/appeal/")
    seen = await site.get(url, root_path="/models")
    assert (seen.status, seen.json["state"]) == (200, "none")
    page = await site.post(f"/models{CHAT}", chat(), KEY, ROBOT, JSON, HTML, root_path="/models")
    assert 'action="/models/.guardrail/appeal/' in page.body.decode()


# What an approval is for


async def test_another_level_of_the_same_worth_is_not_the_one_that_was_asked_for(service: Own) -> None:
    site = guarded(service)
    document = site.guardrail.policy.written()
    levels = document["verification"]["providers"]["ids"]["with"]["levels"]
    levels["selfie"] = dict(levels["id"])
    document["verification"]["providers"]["ids"]["with"]["secrets"] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    site.guardrail.apply(load(document))
    path = await link(site)
    await begin(site, path)
    await report(site, event(service, "approved", level="selfie", document="P1"))
    assert (await look(site, path)).json["state"] == "pending"
    assert (await ask(site)).status == 403
    await report(site, event(service, "approved", "2026-01-01T00:02:00Z", level="id", document="P1"), "m-2")
    assert (await ask(site)).status == 200


async def test_what_a_client_says_of_its_assurance_is_not_believed(service: Own) -> None:
    """Fields and a body in which it calls itself verified, from nobody's proxy."""
    limits = [
        {"name": "kyc", "when": {"acr": "urn:example:kyc"}, "rate": "7/minute"},
        {"name": "ial", "when": {"ial": "2"}, "rate": "8/minute"},
        {"name": "shown", "when": {"verified": True}, "rate": "9/minute"},
    ]
    site = guarded(service, limits=limits)
    lies = [(name, value) for name in (b"acr", b"x-acr", b"x-auth-request-acr") for value in (b"urn:example:kyc",)]
    lies += [(b"ial", b"3"), (b"x-ial", b"3"), (b"verified", b"true"), (b"x-guardrail-verified", b"1")]
    claims = {"verified": True, "acr": "urn:example:kyc", "ial": "3", "cases": "1"}
    assert (await site.post(CHAT, {**chat(), **claims, "metadata": {"ial": "3"}}, KEY, JSON, *lies)).status == 200
    assert set(await site.left(KEY, *lies)) == {"requests"}
    answer = await ask(site, *lies)
    assert said(answer)["code"] == "verification_required"


async def test_that_an_approval_has_run_out_is_told_once_and_noted(service: Own) -> None:
    heard: list[Any] = []
    site = guarded(service)
    site.guardrail.notices.subscribe(lambda notice: heard.append((notice["what"], notice["at"])))
    path = await link(site)
    await begin(site, path)
    await report(site, event(service, "approved", document="P1"))
    heard.clear()
    ends = 365 * 86_400 + 60  # the provider approved it a minute after now
    site.clock.jump(ends - 1)
    await site.guardrail.look()
    assert heard == []
    site.clock.jump(1)
    for _ in range(2):
        await site.guardrail.look()
    assert heard == [("expired", (NOW + ends) * SECOND)]
    account = site.guardrail.recorder.latest(1)[0]["candidate"]
    operator = Operator(site.guardrail)
    (case,) = (await operator.export(account))["cases"]
    assert [line["what"] for line in (await operator.casework.case(case["id"]))["history"]][-1] == "expired"


# Erasure


@pytest.mark.parametrize("change", ["level", "section"])
async def test_what_was_begun_is_forgotten_whatever_the_policy_has_by_then(service: Own, change: str) -> None:
    site = guarded(service)
    path = await link(site)
    account = (await look(site, path)).json["account"]
    await begin(site, path)
    document = site.guardrail.policy.written()
    if change == "level":
        document["verification"]["providers"]["ids"]["with"]["secrets"] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        del document["verification"]["providers"]["ids"]["with"]["levels"]["id"]
        document["friction"]["ladder"][0]["with"]["level"] = "basic"
    else:
        del document["verification"]
        document["friction"]["ladder"] = []
    site.guardrail.apply(load(document))
    service.calls.clear()
    operator = Operator(site.guardrail)
    assert [each["level"] for each in (await operator.export(account))["cases"]] == ["id"]
    left = (await operator.erase(account, "they asked"))["left"]
    calls = [(call.method, call.path) for call in service.calls]
    if change == "level":
        assert (left, calls) == ([], [("POST", "/verifications/v1/cancel"), ("DELETE", "/verifications/v1")])
    else:
        assert [each["verification"] for each in left] == ["v1"]
    assert "cases" not in await operator.export(account)
    assert await operator.erase(account, "twice") == {"erased": False, "kept": [], "left": []}
