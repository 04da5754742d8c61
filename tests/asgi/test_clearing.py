"""Challenges end to end: refused, solved, let through; and everything that must not clear anybody."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import altcha
import pytest

from guardrail_mw.errors import PolicyError, StoreError
from guardrail_mw.friction.clearance import COOKIE
from guardrail_mw.identity.device_cookie import COOKIE as DEVICE
from guardrail_mw.policy import loads
from guardrail_mw.testing.clock import FakeClock

from .kit import JSON, KEY, OTHER_KEY, Answer, CountingStore, Guarded, Upstream, chat, policy, scope_of

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
CHALLENGE = "/.guardrail/challenge"
ROBOT = (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36")
SOLVES = (b"guardrail-solve", b"altcha")
HTML = (b"accept", b"text/html,application/xhtml+xml")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
LIMIT = {"name": "requests", "rate": "1000/minute"}
EASY = {"use": "altcha", "cost": 5, "prefix": "0"}


def guarded(*, store: Any = None, otherwise: str | None = None, solved: str = "100%", **more: Any) -> Guarded:
    """A robot's risk is 80, the rung at 50; solving leaves `solved` of it."""
    rung = {"at": 50, "do": "challenge", "with": {**EASY, **more.pop("with_", {})}}
    if otherwise is not None:
        rung["otherwise"] = otherwise
    document = policy(
        LIMIT,
        risk={"scorers": [{"use": "automation", "with": {"headless": 80, "solved": solved}}]},
        friction={"ladder": [rung], "hysteresis": 0, "decay": "1s"},
        **more,
    )
    return Guarded(Upstream(), document, store=store)


def challenge_of(answer: Answer) -> Any:
    assert answer.status == 403, answer.body
    if answer.field("content-type") == "text/html; charset=utf-8":
        return shown(answer)
    found = answer.json
    return found["error"]["challenge"] if "error" in found else found["challenge"]


def shown(answer: Answer) -> Any:
    """What a page has of a challenge: fields of its form, and what its script reads."""
    page = answer.body.decode()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    action = re.search(r'<form[^>]* action="([^"]*)"', page)
    assert data is not None
    assert action is not None
    fields = {
        name: unescape(value) for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    }
    return {**json.loads(data[1])["challenge"], **fields, "url": unescape(action[1]), "type": "altcha"}


def solve(challenge: Any) -> str:
    """As a client does, by the library's own solver."""
    made = altcha.Challenge.from_dict({"parameters": challenge["parameters"], "signature": challenge["signature"]})
    solution = altcha.solve_challenge(made)
    assert solution is not None
    return altcha.Payload(made, solution).to_base64()


async def robot(site: Guarded, *headers: tuple[bytes, bytes], key: Any = KEY, **scope: Any) -> Answer:
    """A request that looks like a program's; it can solve unless headers say otherwise."""
    said = headers or (SOLVES,)
    return await site.post(CHAT, chat(), *([key] if key else []), ROBOT, JSON, *said, **scope)


async def hand_in(site: Guarded, challenge: Any, answer: str, *headers: tuple[bytes, bytes], **scope: Any) -> Answer:
    return await site.post(CHALLENGE, {"case": challenge["case"], "answer": answer}, JSON, *headers, **scope)


async def test_refused_solved_and_let_through() -> None:
    site = guarded()
    refused = await robot(site)
    challenge = challenge_of(refused)
    assert refused.json["error"]["code"] == "challenge_required"
    assert refused.field("x-should-retry") == "false"
    assert (challenge["type"], challenge["url"]) == ("altcha", CHALLENGE)
    assert challenge["expires_at"] == refused.json["error"]["expires_at"] == "2026-01-01T00:05:00Z"
    answer = await hand_in(site, challenge, solve(challenge))
    assert (answer.status, answer.json) == (200, {"cleared": True, "expires_at": "2026-01-01T00:30:00Z"})
    assert site.app.calls == 0
    assert (await robot(site)).status == 200
    site.clock.advance(1_799)
    assert (await robot(site)).status == 200
    site.clock.advance(1)
    assert (await robot(site)).status == 403


async def test_a_rung_below_goes_on_acting() -> None:
    """Solving satisfies the rung that asked, for as long as it holds; what is below acts on whoever's risk has come to it."""
    rungs = [{"at": 30, "do": "trim"}, {"at": 50, "do": "challenge", "with": EASY}]
    risk = {"scorers": [{"use": "automation", "with": {"headless": 80, "solved": "100%"}}]}
    site = Guarded(Upstream(), policy(LIMIT, risk=risk, friction={"ladder": rungs}))
    challenge = challenge_of(await robot(site))
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    found = await site.post(CHAT, chat(logprobs=True), KEY, ROBOT, JSON, SOLVES)
    assert (found.status, found.field("x-guardrail-trimmed")) == (200, "logprobs")
    event = site.guardrail.recorder.find(found.decision)
    assert event is not None
    assert (event["rung"], event["why"]) == ("trim", ["cleared"])


async def test_it_clears_nobody_else_and_no_sibling() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    assert (await robot(site, key=OTHER_KEY)).status == 403
    assert (await robot(site, key=None)).status == 403


async def test_an_answer_is_good_once() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    work = solve(challenge)
    assert (await hand_in(site, challenge, work)).status == 200
    again = await hand_in(site, challenge, work)
    assert (again.status, again.json["code"]) == (403, "challenge_spent")
    fresh = challenge_of(again)
    assert fresh["case"] != challenge["case"]
    assert (await hand_in(site, fresh, solve(fresh))).status == 200


async def test_wrong_work_clears_nothing_and_gives_another() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    other = challenge_of(await robot(site, key=OTHER_KEY))
    for answer in ("", "x", solve(other)):
        found = await hand_in(site, challenge, answer)
        assert (found.status, found.json["code"]) == (403, "challenge_failed")
        assert challenge_of(found)["type"] == "altcha"
    assert (await robot(site)).status == 403


async def test_a_case_is_over_after_its_time_and_with_the_settings_it_was_made_under() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    work = solve(challenge)
    site.clock.advance(300)
    late = await hand_in(site, challenge, work)
    assert (late.status, late.json["code"]) == (403, "challenge_expired")
    challenge = challenge_of(await robot(site))
    changed = json.loads(json.dumps(site.guardrail.policy.written()))
    changed["friction"]["ladder"][0]["with"]["cost"] = 6
    site.guardrail.apply(loads(json.dumps(changed), environ={}))
    over = await hand_in(site, challenge, solve(challenge))
    assert (over.status, over.json["code"], "challenge" in over.json) == (403, "challenge_expired", False)


async def test_a_clearance_ends_with_the_settings_it_was_passed_under() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    assert (await robot(site)).status == 200
    changed = json.loads(json.dumps(site.guardrail.policy.written()))
    changed["friction"]["ladder"][0]["with"]["cost"] = 6
    site.guardrail.apply(loads(json.dumps(changed), environ={}))
    assert (await robot(site)).status == 403


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"no", b'{"case": 1, "answer": 2}', b'{"case": "x", "answer": "y"}', b"\xff", b"[" * 9_000]
)
async def test_what_cannot_be_read_is_said(body: bytes) -> None:
    site = guarded()
    found = await site.ask(scope_of(CHALLENGE, headers=[JSON]), body)
    assert (found.status, found.json["code"]) == (400, "unreadable_answer")
    assert (await site.ask(scope_of(CHALLENGE, headers=[FORM]), body)).status == 400


async def test_a_body_that_is_too_long_and_a_method_that_is_none() -> None:
    site = guarded()
    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), b" " * 200_000, b" " * 200_000)).status == 413
    found = await site.get(CHALLENGE)
    assert (found.status, found.field("allow"), found.json["code"]) == (405, "POST", "method_not_allowed")


async def test_wrong_answers_of_a_network_are_counted_and_right_ones_are_not() -> None:
    """Right ones of theirs go on to clear; wrong ones are told no reason, and given no other challenge."""
    site = guarded()
    for _ in range(12):
        challenge = challenge_of(await robot(site))
        assert [(await hand_in(site, challenge, "x")).status for _ in range(5)] == [403] * 5
    challenge = challenge_of(await robot(site, key=OTHER_KEY))
    found = await hand_in(site, challenge, "x")
    assert (found.status, found.json["code"], found.field("retry-after")) == (429, "too_many_answers", "60")
    assert "challenge" not in found.json
    elsewhere = await hand_in(site, challenge, "x", client=("203.0.113.5", 1))
    assert (elsewhere.status, "challenge" in elsewhere.json) == (403, True)
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    assert (await robot(site, key=OTHER_KEY)).status == 200
    site.clock.advance(1)  # one a second comes back
    assert [(await hand_in(site, challenge_of(await robot(site)), "x")).status for _ in range(2)] == [403, 429]


async def test_who_cannot_solve_it_meets_what_the_rung_says_otherwise() -> None:
    assert (await robot(guarded(otherwise="allow"), JSON)).status == 200
    assert (await robot(guarded(otherwise="allow"), (b"guardrail-solve", b"turnstile"))).status == 200
    assert (await robot(guarded(otherwise="allow"), (b"guardrail-solve", b"turnstile, altcha"))).status == 403
    assert (await robot(guarded(otherwise="allow"), HTML)).status == 403
    bare = await robot(guarded(), JSON)
    assert challenge_of(bare)["type"] == "altcha"  # the object is told where nothing else is said


class Forgetful(CountingStore):
    """Which has no epoch to tell."""

    async def epoch(self, token: str) -> str:
        raise StoreError("It is down.")


async def test_while_the_store_is_down_what_the_rung_says_otherwise_holds_or_the_rung_below() -> None:
    assert (await robot(guarded(store=Forgetful(FakeClock()), otherwise="allow"))).status == 200
    assert (await robot(guarded(store=Forgetful(FakeClock())))).status == 200


async def test_an_answer_that_the_store_cannot_take_is_neither_lost_nor_passed() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))

    async def failing(*_: object) -> bool:
        raise StoreError("It is down.")

    site.store.spend, spend = failing, site.store.spend
    found = await hand_in(site, challenge, solve(challenge))
    assert (found.status, found.json["code"]) == (503, "unavailable")
    assert (await robot(site)).status == 403
    site.store.spend = spend
    assert (await hand_in(site, challenge, solve(challenge))).status == 200


async def test_in_shadow_nobody_is_asked() -> None:
    site = guarded()
    site.guardrail.apply(loads(json.dumps({**site.guardrail.policy.written(), "mode": "shadow"}), environ={}))
    assert (await robot(site)).status == 200
    assert "challenges.given" not in site.guardrail.counts.read()


async def test_solving_lowers_what_looks_like_a_program() -> None:
    """80 points, half of them afterwards: below the rung at 50 even once its own clearance is over... until that ends."""
    site = guarded(solved="50%", with_={"immunity": "10m"})
    challenge = challenge_of(await robot(site))
    assert (await hand_in(site, challenge, solve(challenge))).status == 200
    assert (await robot(site)).status == 200
    event = site.guardrail.recorder.find((await robot(site)).decision)
    assert event is not None
    assert event["risk"] == pytest.approx(40, abs=0.5)


# Without an account


def cookies(answer: Answer) -> dict[bytes, bytes]:
    found = [value for name, value in answer.headers if name == b"set-cookie"]
    return {each.partition(b"=")[0]: each.partition(b"=")[2].partition(b";")[0] for each in found}


def jar(kept: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    return b"cookie", b"; ".join(name + b"=" + value for name, value in kept.items())


async def test_who_has_no_account_keeps_a_cookie_for_one_device_on_one_network() -> None:
    site = guarded()
    refused = await robot(site, HTML, key=None)
    kept = cookies(refused)
    assert set(kept) == {DEVICE}
    challenge = challenge_of(refused)
    answer = await hand_in(site, challenge, solve(challenge), jar(kept))
    assert answer.status == 200
    kept |= cookies(answer)
    assert set(kept) == {DEVICE, COOKIE}
    assert (await robot(site, HTML, jar(kept), key=None)).status == 200
    assert (await robot(site, HTML, jar(kept), key=None, client=("203.0.113.9", 1))).status == 403
    assert (await robot(site, HTML, jar({COOKIE: kept[COOKIE]}), key=None)).status == 403
    assert (await robot(site, HTML, key=None)).status == 403  # a neighbour at the same address
    other = cookies(await robot(site, HTML, key=None))
    assert (await robot(site, HTML, jar({**other, COOKIE: kept[COOKIE]}), key=None)).status == 403
    site.clock.advance(1_800)
    assert (await robot(site, HTML, jar(kept), key=None)).status == 403


async def test_a_challenge_without_account_is_answered_by_who_was_asked() -> None:
    site = guarded()
    refused = await robot(site, HTML, key=None)
    challenge, kept = challenge_of(refused), cookies(refused)
    for headers, client in (
        ((), "198.51.100.7"),
        ((jar(cookies(await robot(site, HTML, key=None))),), "198.51.100.7"),
        ((jar(kept),), "203.0.113.9"),
    ):
        found = await hand_in(site, challenge, solve(challenge), *headers, client=(client, 1))
        assert (found.status, found.json["code"]) == (403, "cookies_needed")
    assert (await hand_in(site, challenge, solve(challenge), jar(kept))).status == 200


async def test_a_client_without_account_that_keeps_no_cookies_meets_what_the_rung_says_otherwise() -> None:
    site = guarded(otherwise="allow")
    assert (await robot(site, SOLVES, key=None)).status == 200
    kept = cookies(await robot(guarded(), HTML, key=None))
    assert (await robot(site, SOLVES, jar(kept), key=None)).status == 403


# Where it is, and where people go back to


async def test_the_address_is_below_the_root_or_the_public_one_never_hosts() -> None:
    host = (b"host", b"evil.example")
    below = await guarded().post("/models" + CHAT, chat(), KEY, ROBOT, JSON, SOLVES, host, root_path="/models")
    assert challenge_of(below)["url"] == "/models" + CHALLENGE
    site = guarded(endpoints={"public_url": "https://api.example/llm", "prefix": "/-/guard"})
    challenge = challenge_of(await robot(site, SOLVES, host))
    assert challenge["url"] == "https://api.example/llm/-/guard/challenge"
    assert (await site.post(CHALLENGE, {}, JSON)).status == 200  # a path of the app's
    found = await site.post("/-/guard/challenge", {"case": challenge["case"], "answer": solve(challenge)}, JSON)
    assert found.status == 200


@pytest.mark.parametrize(
    ("path", "query", "public", "back"),
    [
        ("/chat", b"a=1&b=2", None, "/chat?a=1&b=2"),
        ("//evil.example/x", b"", None, "/"),
        ("/\\evil.example", b"", None, "/"),
        ("/chat", b"u=\\x", None, "/"),
        ("/chat", b"next=https://evil.example", None, "/chat?next=https://evil.example"),
        ("/chat", b"", "https://api.example/llm", "/llm/chat"),
        ("/llm/chat", b"", "https://api.example/llm", "/llm/chat"),
        ("/" + "x" * 3_000, b"", None, "/"),
        ("/a\r\nset-cookie: x=1", b"", None, "/"),
    ],
)
async def test_a_form_goes_back_to_where_its_browser_was_going(
    path: str, query: bytes, public: str | None, back: str
) -> None:
    site = guarded(endpoints={"public_url": public} if public is not None else {})
    refused = await site.ask(scope_of(path, "GET", [KEY, ROBOT, HTML], query_string=query), b"")
    challenge = challenge_of(refused)
    body = urlencode({"case": challenge["case"], "answer": solve(challenge), "return": "https://evil.example"}).encode()
    found = await site.ask(scope_of(CHALLENGE, headers=[FORM]), body)
    assert (found.status, found.field("location")) == (303, back)


async def test_a_case_shows_nobody_who_is_asked() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    bill = site.store.bills[0]
    assert bill.candidate.startswith("a:")
    homes = [bill.candidate, *[each.home for each in bill.entries]]
    assert not any(home.partition(":")[2] in json.dumps(challenge) for home in homes)


# In a browser

ORIGIN = (b"origin", b"https://api.example")
HOST = (b"host", b"api.example")
CROSS = (b"sec-fetch-site", b"cross-site")
GERMAN = (b"accept-language", b"de")


async def filled_in(site: Guarded, body: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """A form that a browser posts to the app."""
    return await site.ask(scope_of("/ask", "POST", [KEY, ROBOT, HTML, FORM, *(headers or (HOST, ORIGIN))]), body)


async def hand_in_form(site: Guarded, fields: dict[str, str], *headers: tuple[bytes, bytes]) -> Answer:
    return await site.ask(
        scope_of(CHALLENGE, headers=[FORM, HTML, *(headers or (HOST, ORIGIN))]), urlencode(fields).encode()
    )


async def test_a_browser_gets_a_page_that_it_solves_and_goes_on() -> None:
    site = guarded()
    refused = await site.ask(
        scope_of("/chat", "GET", [KEY, ROBOT, HTML, (b"accept-language", b"de")], query_string=b"a=1"), b""
    )
    assert (refused.status, refused.field("content-language"), refused.field("cache-control")) == (403, "de", "no-store")
    assert "default-src 'none'" in (refused.field("content-security-policy") or "")
    assert refused.decision in refused.body.decode()
    fields = shown(refused)
    assert (fields["return"], fields["url"]) == ("/chat?a=1", CHALLENGE)
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "return": fields["return"]})
    assert (found.status, found.field("location")) == (303, "/chat?a=1")
    assert (await site.ask(scope_of("/chat", "GET", [KEY, ROBOT, HTML]), b"")).status == 200


async def test_a_head_request_has_no_body() -> None:
    found = await guarded().ask(scope_of("/chat", "HEAD", [KEY, ROBOT, HTML]), b"")
    assert (found.status, found.body) == (403, b"")


async def test_a_form_comes_back_with_a_button_and_nothing_is_sent_again_by_itself() -> None:
    site = guarded()
    refused = await filled_in(site, b"text=caf%C3%A9&n=1&n=2&empty=")
    fields = shown(refused)
    assert fields["form"] == "text=caf%C3%A9&n=1&n=2&empty="
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": fields["form"]})
    assert found.status == 200
    page = found.body.decode()
    assert re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page) == [
        ("text", "café"), ("n", "1"), ("n", "2"), ("empty", "")
    ]  # fmt: skip
    assert 'action="/ask"' in page
    assert site.app.calls == 0


async def test_another_form_does_not_come_back_in_its_place() -> None:
    site = guarded()
    fields = shown(await filled_in(site, b"to=me&sum=1"))
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": "to=thief&sum=999"})
    assert (found.status, found.field("location")) == (303, "/ask")
    fields = shown(await site.ask(scope_of("/ask", "GET", [OTHER_KEY, ROBOT, HTML]), b""))
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": "to=thief&sum=999"})
    assert (found.status, found.field("location")) == (303, "/ask")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"x=" + b"y" * 65_536, (HOST, ORIGIN)),
        (b"x=1", (HOST, (b"origin", b"https://evil.example"))),
        (b"x=1", (HOST, (b"origin", b"null"))),
        (b"x=1", (HOST, ORIGIN, CROSS)),
        (b"&".join([b"x=1"] * 1_001), (HOST, ORIGIN)),
    ],
)
async def test_a_form_that_is_too_long_or_another_sites_is_not_kept(body: bytes, headers: Any) -> None:
    fields = shown(await filled_in(guarded(), body, *headers))
    assert "form" not in fields


async def test_a_wrong_answer_shows_the_page_again_with_the_form() -> None:
    site = guarded()
    fields = shown(await filled_in(site, b"x=1"))
    again = await hand_in_form(site, {"case": fields["case"], "answer": "x", "form": fields["form"]})
    assert again.status == 403
    later = shown(again)
    assert (later["form"], later["case"] != fields["case"]) == ("x=1", True)
    found = await hand_in_form(site, {"case": later["case"], "answer": solve(later), "form": later["form"]})
    assert (found.status, 'name="x" value="1"' in found.body.decode()) == (200, True)


@pytest.mark.parametrize(
    "headers", [(HOST, (b"origin", b"https://evil.example")), (HOST, CROSS), (HOST, (b"origin", b"null"))]
)
async def test_a_form_of_another_site_is_refused(headers: Any) -> None:
    """Else it could have a victim's browser show a form of the attacker's as this site's own."""
    site = guarded()
    fields = shown(await site.ask(scope_of("/chat", "GET", [KEY, ROBOT, HTML]), b""))
    said = {"case": fields["case"], "answer": solve(fields)}
    found = await hand_in_form(site, said, *headers)
    assert (found.status, found.json["code"]) == (403, "foreign_origin")
    assert (await hand_in_form(site, said)).status == 303


async def test_behind_a_proxy_the_public_address_is_the_origin() -> None:
    site = guarded(endpoints={"public_url": "https://api.example:8443/llm"})
    inside = (b"host", b"10.0.0.3:8000")
    fields = shown(await filled_in(site, b"x=1", inside, (b"origin", b"https://api.example:8443")))
    assert (fields["form"], fields["return"]) == ("x=1", "/llm/ask")
    assert "form" not in shown(await filled_in(site, b"x=1", inside, (b"origin", b"https://10.0.0.3:8000")))


async def test_a_browser_reads_the_operators_words(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('title = "Bitte kurz warten"\n')
    site = guarded(endpoints={"words": str(tmp_path)})
    refused = await site.ask(
        scope_of("/ask", "POST", [KEY, ROBOT, HTML, FORM, HOST, ORIGIN, (b"accept-language", b"de")]), b"x=1"
    )
    assert "<h1>Bitte kurz warten</h1>" in refused.body.decode()
    fields = shown(refused)
    again = await hand_in_form(
        site, {"case": fields["case"], "answer": "x", "form": "x=1"}, HOST, ORIGIN, (b"accept-language", b"de")
    )
    assert "<h1>Bitte kurz warten</h1>" in again.body.decode()


def test_a_bad_folder_of_words_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('titel = "Moment"\n')
    with pytest.raises(PolicyError, match="Did you mean `title`"):
        guarded(endpoints={"words": str(tmp_path)})
    with pytest.raises(PolicyError, match="is no folder"):
        guarded(endpoints={"words": str(tmp_path / "none")})


async def test_a_folder_that_became_bad_leaves_the_packages_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = guarded()
    (tmp_path / "de.toml").write_text('titel = "Moment"\n')
    changed = {**site.guardrail.policy.written(), "endpoints": {"words": str(tmp_path)}}
    site.guardrail.apply(loads(json.dumps(changed), environ={}))
    refused = await site.ask(scope_of("/chat", "GET", [KEY, ROBOT, HTML]), b"")
    assert refused.status == 403
    assert shown(refused)["type"] == "altcha"
    assert "The words of pages are the package's own." in caplog.text
