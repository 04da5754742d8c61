"""Attacks on challenges: what must not crash, nor be cheap for whoever means ill, nor shut out who does not."""

from __future__ import annotations

import json
from asyncio import gather
from typing import Any

import pytest

from guardrail_mw.engine.callers import browses
from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.explaining import WHY, explain
from guardrail_mw.engine.judgement import Judge
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import loads
from guardrail_mw.stores.base import Change
from guardrail_mw.testing.clock import FakeClock

from .kit import JSON, KEY, CountingStore, Guarded, Upstream, chat, policy, scope_of
from .test_clearing import (
    CHALLENGE,
    CHAT,
    EASY,
    FORM,
    HTML,
    LIMIT,
    ROBOT,
    Forgetful,
    challenge_of,
    cookies,
    filled_in,
    guarded,
    hand_in,
    hand_in_form,
    jar,
    robot,
    shown,
    solve,
)

pytestmark = pytest.mark.anyio


async def test_an_answer_is_judged_by_the_policy_under_which_it_began_to_come_in() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    body = json.dumps({"case": challenge["case"], "answer": solve(challenge)}).encode()
    bare = {name: part for name, part in site.guardrail.policy.written().items() if name != "friction"}

    async def receive() -> Any:
        site.guardrail.apply(loads(json.dumps(bare), environ={}))
        return {"type": "http.request", "body": body, "more_body": False}

    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), receive=receive)).status == 200


@pytest.mark.parametrize(("later", "first"), [(0, 200), (300, 403)])
async def test_answers_that_were_good_once_and_those_too_late_are_counted_among_the_wrong_ones(
    later: int, first: int
) -> None:
    """Judging one takes a derivation, and another challenge a round trip to the store."""
    site = guarded()
    challenge = challenge_of(await robot(site))
    work = solve(challenge)
    site.clock.advance(later)
    said = [(await hand_in(site, challenge, work)).status for _ in range(62)]
    assert said == [first] + [403] * (60 if first == 200 else 59) + [429] * (1 if first == 200 else 2)


async def test_wrong_answers_are_counted_by_the_clock_of_the_guardrail() -> None:
    """The middleware was given a guardrail: another clock than that one's would never forgive a test, or a simulation."""
    site = guarded()
    sent = scope_of(CHALLENGE, headers=[JSON])
    assert [(await site.ask(dict(sent), b"{}")).status for _ in range(61)] == [400] * 60 + [429]
    site.clock.advance(60)
    assert [(await site.ask(dict(sent), b"{}")).status for _ in range(61)] == [400] * 60 + [429]


async def test_a_case_that_was_answered_wrongly_five_times_is_over_its_renewals_included() -> None:
    site = guarded()
    first = latest = challenge_of(await robot(site))
    for _ in range(5):
        found = await hand_in(site, latest, "x")
        latest = challenge_of(found)
    for each in (first, latest):
        found = await hand_in(site, each, solve(each))
        assert (found.status, found.json["code"], "challenge" in found.json) == (403, "challenge_over", False)
    again = challenge_of(await robot(site))
    assert (await hand_in(site, again, solve(again))).status == 200
    counts = site.guardrail.counts.read()
    assert [counts[f"challenges.{name}"] for name in ("failed", "over", "solved")] == [5, 2, 1]


async def test_what_is_wrong_with_cookies_store_or_time_is_no_wrong_answer() -> None:
    site = guarded()
    refused = await robot(site, HTML, key=None)
    challenge, kept = challenge_of(refused), cookies(refused)
    work = solve(challenge)
    assert {(await hand_in(site, challenge, work)).json["code"] for _ in range(9)} == {"cookies_needed"}
    spend = site.store.spend

    async def failing(*_: object) -> bool:
        raise StoreError("It is down.")

    site.store.spend = failing
    assert {(await hand_in(site, challenge, work, jar(kept))).status for _ in range(9)} == {503}
    site.store.spend = spend
    assert (await hand_in(site, challenge, work, jar(kept))).status == 200


async def test_what_takes_no_work_keeps_no_right_answer_out() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    spent = challenge_of(await robot(site))
    for _ in range(5):
        await hand_in(site, spent, "x")
    said = [(await hand_in(site, spent, "x")).status for _ in range(700)]
    said += [(await site.ask(scope_of(CHALLENGE, headers=[JSON]), b"{}")).status for _ in range(700)]
    assert said == [403] * 55 + [429] * 1_345
    assert (await hand_in(site, challenge, solve(challenge))).status == 200


async def test_work_for_nothing_is_bounded_in_all() -> None:
    """600 a minute, five of a case; a tenth of a second later there is room for one more."""
    site = guarded()
    challenge, other = challenge_of(await robot(site)), challenge_of(await robot(site))
    for _ in range(120):
        case = challenge_of(await robot(site))
        for _ in range(5):
            await hand_in(site, case, "x")
    read: list[str] = []

    async def receive() -> Any:
        read.append("read")
        return {"type": "http.request", "body": b"{}", "more_body": False}

    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), receive=receive)).status == 429
    assert read == []
    assert (await hand_in(site, challenge, solve(challenge))).status == 429
    site.clock.advance(0.1)
    for each in (challenge, other):
        assert (await hand_in(site, each, solve(each))).status == 200


async def test_a_form_without_a_case_of_ours_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand bytes of `%` take milliseconds, and anybody can send them."""
    monkeypatch.setattr("guardrail_mw.asgi.clearing.unquote_plus", None)
    site = guarded()
    for case in (b"case=x&", b"case=%41&", b"case=" + b"A" * 9_000 + b"&", b""):
        found = await site.ask(scope_of(CHALLENGE, headers=[FORM]), case + b"answer=x&form=" + b"%25" * 60_000)
        assert (found.status, found.json["code"]) == (400, "unreadable_answer")


async def test_answers_that_are_held_back_until_they_can_come_at_once_are_counted() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))

    async def late() -> Any:
        for _ in range(60):
            await hand_in(site, challenge, "x")
        return {"type": "http.request", "body": b"{}", "more_body": False}

    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), receive=late)).status == 429


async def test_answers_that_come_at_once_are_no_more_than_those_that_come_one_by_one() -> None:
    """A dear one is judged in a thread, of which there are few: all that wait for one have been counted."""
    site = guarded(with_={"cost": 6_000, "prefix": "0", "hardest": 1})
    challenge = challenge_of(await robot(site))
    work = solve(challenge)
    answers = await gather(*[hand_in(site, challenge, work) for _ in range(80)])
    said = [each.status for each in answers]
    assert (said.count(200), said.count(403), said.count(429)) == (1, 59, 20)
    counts = site.guardrail.counts.read()
    assert (counts["challenges.spent"], counts["challenges.over"]) == (4, 75)


async def test_right_answers_that_come_at_once_leave_nothing_counted() -> None:
    site = guarded()
    for _ in range(3):
        challenges = [challenge_of(await robot(site)) for _ in range(30)]
        answers = await gather(*[hand_in(site, each, solve(each)) for each in challenges])
        assert {each.status for each in answers} == {200}
        site.clock.advance(1_800)


@pytest.mark.parametrize("form", [b"a=*&b=%7E", b"a=%c3%a9", b"a=x%20y", b"a", b"a=1&&b=2", b"%FF=1", b"a='()!"])
async def test_a_form_comes_back_however_it_was_encoded(form: bytes) -> None:
    """Browsers leave `*` as it is and encode `~`; what we make of their fields must be what the case is sealed over."""
    site = guarded()
    fields = shown(await filled_in(site, form))
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": fields["form"]})
    assert (found.status, 'action="/ask"' in found.body.decode()) == (200, True)


@pytest.mark.parametrize("form", [b"a=" + b"*" * 65_000, b"a=" + b"%" * 65_000, b"a=" + b"%FF" * 21_000])
async def test_a_form_that_grows_as_it_is_encoded_does_not_keep_the_answer_out(form: bytes) -> None:
    site = guarded()
    fields = shown(await filled_in(site, form))
    said = {"case": fields["case"], "answer": solve(fields), **({"form": fields["form"]} if "form" in fields else {})}
    assert (await hand_in_form(site, said)).status in {200, 303}


async def test_who_opened_two_pages_at_once_solves_either() -> None:
    """Each came with a device of its own, and a browser keeps one: without another case it would go round for ever."""
    site = guarded()
    one, two = [await robot(site, HTML, key=None) for _ in range(2)]
    kept = cookies(one) | cookies(two)
    first = challenge_of(one)
    found = await hand_in(site, first, solve(first), jar(kept))
    assert (found.json["code"], cookies(found)) == ("cookies_needed", {})
    again = challenge_of(found)
    assert (await hand_in(site, again, solve(again), jar(kept))).status == 200


async def test_who_moved_to_another_network_or_lost_his_cookie_solves_the_next() -> None:
    site = guarded()
    refused = await robot(site, HTML, key=None)
    kept, first = cookies(refused), challenge_of(refused)
    there = {"client": ("203.0.113.9", 1)}
    again = challenge_of(await hand_in(site, first, solve(first), jar(kept), **there))
    assert (await hand_in(site, again, solve(again), jar(kept))).json["code"] == "cookies_needed"
    moved = await hand_in(site, again, solve(again), jar(kept), **there)
    assert moved.status == 200
    assert (await robot(site, HTML, jar(kept | cookies(moved)), key=None, **there)).status == 200
    bare = await hand_in(site, first, solve(first))
    last = challenge_of(bare)
    assert (await hand_in(site, last, solve(last), jar(cookies(bare)))).status == 200


@pytest.mark.parametrize("key", [KEY, None])
async def test_what_somebody_has_passed_is_worked_out_once_a_request(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two signatures, where it stands in a cookie; scorers, ladder, budget and verifier ask for it."""
    site = guarded()
    refused = await robot(site, HTML, key=key)
    challenge, kept = challenge_of(refused), cookies(refused)
    kept |= cookies(await hand_in(site, challenge, solve(challenge), jar(kept)))
    site.clock.advance(1_800)
    seen: list[Any] = []
    found = Judge._current

    def looking(judge: Judge, standing: Any) -> Any:
        seen.append(standing)
        return found(judge, standing)

    monkeypatch.setattr(Judge, "_current", looking)
    for total in (1, 2):
        assert (await robot(site, HTML, jar(kept), key=key)).status == 403
        assert len(seen) == total


async def test_a_case_is_not_renewed_for_ever() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    times = 0
    while challenge is not None:
        site.clock.advance(300)
        challenge = (await hand_in(site, challenge, "x")).json.get("challenge")
        times += 1
    assert times == 13


async def test_a_browser_whose_challenge_cannot_be_given_again_goes_where_it_was_going() -> None:
    site = guarded()
    fields = shown(await site.ask(scope_of("/chat", "GET", [KEY, ROBOT, HTML]), b""))
    form = shown(await filled_in(site, b"x=1"))
    site.clock.advance(4_000)
    found = await hand_in_form(site, {"case": fields["case"], "answer": "x"})
    assert (found.status, found.field("location")) == (303, "/chat")
    found = await hand_in_form(site, {"case": form["case"], "answer": "x", "form": form["form"]})
    assert (found.status, 'name="x" value="1"' in found.body.decode()) == (200, True)
    assert (await robot(site)).status == 403


async def test_an_account_that_was_erased_stays_so_whatever_is_answered() -> None:
    site = guarded()
    challenge, fields = challenge_of(await robot(site)), shown(await filled_in(site, b"x=1"))
    account = site.store.bills[0].candidate
    operator = Operator(site.guardrail)
    assert (await operator.erase(account, "they asked"))["erased"]
    found = await hand_in(site, challenge, solve(challenge))
    assert (found.status, found.json["code"], "challenge" in found.json) == (403, "challenge_over", False)
    assert (await hand_in(site, challenge, solve(challenge))).json["code"] == "challenge_spent"
    onward = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": fields["form"]})
    assert (onward.status, 'name="x" value="1"' in onward.body.decode()) == (200, True)
    assert not (await operator.show(account))["known"]
    assert site.guardrail.counts.read()["challenges.over"] == 2
    again = challenge_of(await robot(site))
    assert (await hand_in(site, again, solve(again))).status == 200
    assert (await robot(site)).status == 200


async def test_what_holds_against_an_account_that_was_erased_is_not_eased_by_an_answer_from_before() -> None:
    site = await overridden(guarded())
    challenge = challenge_of(await robot(site))
    account = site.store.bills[0].candidate
    assert (await Operator(site.guardrail).erase(account, "they asked"))["kept"] == ["override"]
    assert (await hand_in(site, challenge, solve(challenge))).json["code"] == "challenge_over"
    assert (await site.store.export(account))["standing"]["fields"] == {"override": "challenge"}


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_what_is_recorded_is_that_something_was_asked_and_nothing_of_the_case(mode: str) -> None:
    site = guarded(mode=mode)
    event = site.guardrail.recorder.find((await robot(site)).decision)
    assert event is not None
    told = event if mode == "enforce" else event["would"]
    assert (told["decision"], told["code"]) == ("challenge", "challenge_required")
    assert "case" not in json.dumps(event)


async def overridden(site: Guarded) -> Guarded:
    """An operator has put the account onto the rung, whatever its risk."""
    await site.post(CHAT, chat(), KEY, JSON)
    change = Change("set", "override", "challenge")
    await site.store.remember(site.store.bills[0].candidate, (change,))
    return site


async def test_who_solves_what_an_operator_asks_for_passes_until_it_is_over() -> None:
    site = await overridden(guarded())
    challenge = challenge_of(await robot(site))
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    passed = await robot(site)
    assert passed.status == 200
    event = site.guardrail.recorder.find(passed.decision)
    assert event is not None
    assert event["why"] == ["override", "cleared"]
    site.clock.advance(1_800)
    assert (await robot(site)).status == 403


async def test_who_cannot_solve_what_an_operator_asks_for_meets_what_the_rung_says_otherwise() -> None:
    assert (await robot(await overridden(guarded(otherwise="allow")), JSON)).status == 200
    assert (await robot(await overridden(guarded(otherwise="deny")), JSON)).json["error"]["code"] == "denied"
    assert (await robot(await overridden(guarded()), JSON)).status == 403
    assert (await robot(await overridden(guarded(store=Forgetful(FakeClock()))))).status == 200


@pytest.mark.parametrize("name", ["case", "answer", "form"])
async def test_half_a_character_is_unreadable(name: str) -> None:
    """JSON can hold one, and it has no bytes: what names a call to a service is made of them."""
    service = {"use": "turnstile", "sitekey": "x", "secret": "y", "hostnames": ["app.example"]}
    ladder = [{"at": 50, "do": "challenge", "with": service}]
    risk = {"scorers": [{"use": "automation", "with": {"headless": 80}}]}
    site = Guarded(Upstream(), policy(LIMIT, risk=risk, friction={"ladder": ladder}))
    challenge = challenge_of(await robot(site))
    said = {"case": challenge["case"], "answer": "token", name: "\ud800"}
    found = await site.ask(scope_of(CHALLENGE, headers=[JSON]), json.dumps(said).encode())
    assert (found.status, found.json["code"]) == (400, "unreadable_answer")


@pytest.mark.parametrize(
    ("root", "url"),
    [
        ("/a b", "/a%20b"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("//evil.example", "/evil.example"),
        ("/a\r\nx: y", "/a%0D%0Ax:%20y"),
        ("/\u00e9", "/%C3%A9"),
    ],
)
async def test_a_root_that_a_client_has_chosen_leads_nowhere_else(root: str, url: str) -> None:
    """An app mounted at `/{tenant}` has what was asked for as its root."""
    site = guarded()
    found = await site.ask(scope_of(root + "/chat", "GET", [KEY, ROBOT, HTML], root_path=root), b"")
    assert shown(found)["url"] == url + CHALLENGE
    found = await site.ask(scope_of(root + CHAT, "POST", [KEY, ROBOT, JSON], root_path=root), b"{}")
    assert challenge_of(found)["url"] == url + CHALLENGE


async def test_a_head_request_for_the_endpoint_has_no_body() -> None:
    found = await guarded().ask(scope_of(CHALLENGE, "HEAD", []), b"")
    assert (found.status, found.body) == (405, b"")


@pytest.mark.parametrize("path", [CHALLENGE, "/.guardrail/live"])
async def test_a_preflight_is_the_apps_to_answer_and_free(path: str) -> None:
    """An app's CORS middleware that stands inside ours knows which origins it allows; a 405 of ours would end their `fetch`."""
    site = guarded()
    asked = [(b"origin", b"https://app.example"), (b"access-control-request-method", b"POST")]
    found = await site.ask(scope_of(path, "OPTIONS", asked), b"")
    assert (found.status, site.app.scopes[0]["path"], site.bills) == (200, path, [])
    assert (await site.ask(scope_of(path, "OPTIONS", asked[:1]), b"")).status == 405


@pytest.mark.parametrize(
    ("public", "origin"),
    [
        ("https://api.example:443/llm", b"https://api.example"),
        ("http://API.example:80", b"http://api.example"),
        ("https://api.example:8443", b"https://api.example:8443"),
        ("http://api.example:443", b"http://api.example:443"),
    ],
)
async def test_a_public_address_with_the_usual_port_is_the_origin_that_browsers_say(public: str, origin: bytes) -> None:
    site = guarded(endpoints={"public_url": public})
    assert shown(await filled_in(site, b"x=1", (b"origin", origin)))["form"] == "x=1"


async def test_that_nothing_was_asked_because_the_store_is_down_is_explained() -> None:
    site = guarded(store=Forgetful(FakeClock()))
    event = site.guardrail.recorder.find((await robot(site)).decision)
    assert event is not None
    assert f"store: {WHY['store']}" in "\n".join(explain(event))


@pytest.mark.parametrize("key", [KEY, None])
async def test_what_was_passed_under_other_settings_eases_nothing(key: Any) -> None:
    """80 points, half of them for who has passed: below the rung at 50."""
    site = guarded(solved="50%")
    refused = await robot(site, HTML, key=key)
    challenge, kept = challenge_of(refused), cookies(refused)
    answer = await hand_in(site, challenge, solve(challenge), jar(kept))
    kept |= cookies(answer)
    site.clock.advance(60)
    assert (await robot(site, HTML, jar(kept), key=key)).status == 200
    changed = json.loads(json.dumps(site.guardrail.policy.written()))
    changed["friction"]["ladder"][0]["with"]["cost"] = 6
    site.guardrail.apply(loads(json.dumps(changed), environ={}))
    assert (await robot(site, HTML, jar(kept), key=key)).status == 403


async def test_who_solves_one_thing_keeps_what_another_process_has_renewed() -> None:
    store = CountingStore(FakeClock())
    first = {"at": 50, "do": "challenge", "name": "first", "with": {**EASY, "immunity": "10s"}}
    second = {"at": 70, "do": "challenge", "name": "second", "with": EASY}
    risk = {"scorers": [{"use": "automation", "with": {"headless": 80, "solved": "100%"}}]}
    document = policy(LIMIT, risk=risk, friction={"ladder": [first, second], "hysteresis": 0, "decay": "1s"})
    environ = {"GUARDRAIL_KEYS": "k" * 64, "GUARDRAIL_ID_KEY": "i" * 64}
    one, other = [Guarded(Upstream(), document, store=store, environ=environ) for _ in range(2)]
    spare = challenge_of(await robot(one))
    for _ in range(2):
        challenge = challenge_of(await robot(one))
        assert (await hand_in(one, challenge, solve(challenge))).status == 200
    assert (await robot(one)).status == 200
    store.clock.advance(11)
    challenge = challenge_of(await robot(other))
    assert (await hand_in(other, challenge, solve(challenge))).status == 200
    assert (await hand_in(one, spare, solve(spare))).status == 200
    assert (await robot(other)).status == 200


@pytest.mark.parametrize(
    ("accept", "looks"),
    [
        (b"text/html", True),
        (b"application/json, TEXT/HTML;level=1;q=0.9", True),
        (b"text/html ; q=0.001,*/*", True),
        (b"*/*", False),
        (b"text/html;q=0", False),
        (b"application/json,text/html; q=0.00 , */*", False),
        (b"text/html;level=1;q=0", False),
        (b"text/htmlx", False),
        (b"x-text/html", False),
        (b"a" * 4_096 + b",text/html", False),
        (b"text/html;" + b";" * 5_000, True),
    ],
)
def test_who_looks_at_html(accept: bytes, looks: bool) -> None:
    assert browses([(b"accept", accept)]) is looks


async def test_an_answer_alone_is_shorter_than_a_form() -> None:
    site = guarded()
    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), b" " * 33_000)).status == 413
    assert (await site.ask(scope_of(CHALLENGE, headers=[FORM]), b"x=" + b"y" * 33_000)).status == 400
