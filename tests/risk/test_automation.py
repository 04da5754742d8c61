"""What headers say of a program: who is left alone, who is not, and what it costs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardrail_mw.risk import automation
from guardrail_mw.risk.agent_names import BROWSERS as NAMED_BROWSERS
from guardrail_mw.risk.agent_names import CRAWLERS, HEADLESS, TOOLS, TOOLS_WITHIN
from guardrail_mw.risk.agents import LONGEST, prepare, read_agent
from guardrail_mw.risk.automation import AutomationScorer, AutomationSettings
from guardrail_mw.risk.base import Finding, RiskContext, Scope, Scorer
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Facts, Standing

from .agents import BROWSERS, PROGRAMS, Sent

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
LANGUAGE = ("accept-language", "de")
BRANDS = ("sec-ch-ua", '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"')
KNOWN = {*TOOLS.values(), *TOOLS_WITHIN.values(), *HEADLESS.values(), *CRAWLERS.values(), *NAMED_BROWSERS.values()}


def scorer(**settings: Any) -> AutomationScorer:
    nobody = cast("Any", SimpleNamespace(count=lambda *_: None))
    return AutomationScorer(AutomationSettings.model_validate(settings), Scope("automation", {}, FakeClock(), nobody))


SCORER = scorer()


def context(headers: Any, kind: Literal["http", "websocket"] = "http") -> RiskContext:
    facts = Facts("POST", "/v1/chat/completions", [(b"host", b"api.example"), *headers], kind=kind)
    nobody = cast("Any", None)
    return RiskContext(facts, nobody, Standing(), {}, 0)


def sent(agent: str, *more: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in (("user-agent", agent), *more)]


def finding(headers: Any, by: AutomationScorer = SCORER, kind: Literal["http", "websocket"] = "http") -> Finding | None:
    found = tuple(by.score(context(headers, kind)))
    assert len(found) <= 1
    return found[0] if found else None


def reason(headers: Any, **settings: Any) -> str:
    found = finding(headers, scorer(**settings) if settings else SCORER)
    return found.reason if found is not None else ""


def test_the_parser_is_the_fast_one() -> None:
    """ua-parser takes what is installed; its pure backend is fifty times slower."""
    assert type(prepare()).__module__ == "ua_parser.regex"


def test_it_is_a_scorer() -> None:
    assert isinstance(SCORER, Scorer)
    assert SCORER.name == "automation"


# Who is left alone


@pytest.mark.parametrize("who", [*PROGRAMS, *BROWSERS], ids=lambda who: who.agent[:60])
def test_popular_programs_and_browsers_are_left_alone(who: Sent) -> None:
    assert finding(who.headers) is None
    assert reason(who.headers, https=False, missing=1) == ""


def test_there_are_more_than_forty_of_them() -> None:
    assert len({who.agent for who in (*PROGRAMS, *BROWSERS)}) >= 40


@pytest.mark.parametrize("who", PROGRAMS, ids=lambda who: who.agent[:60])
def test_programs_are_told_and_named(who: Sent) -> None:
    agent = read_agent(who.agent.encode())
    assert (agent.kind, agent.name in KNOWN) == ("tool", True)
    found = finding(who.headers, scorer(declared=5))
    assert found == Finding("client", 5, "declared-program", {"agent": agent.name})


@pytest.mark.parametrize("who", BROWSERS, ids=lambda who: who.agent[:60])
def test_browsers_are_told(who: Sent) -> None:
    agent = read_agent(who.agent.encode())
    assert (agent.kind, agent.hollow, bool(agent.system)) == ("browser", False, True)


@pytest.mark.parametrize(
    "agent", ["acme-bot/2.0 (team@acme.example)", "Acme Client 1.0", "DiscordBot (https://x.example, 14.0)"]
)
def test_ones_own_program_may_call_itself_what_it_likes(agent: str) -> None:
    assert finding(sent(agent)) is None
    assert finding(sent(agent), scorer(declared=5)) == Finding("client", 5, "declared-program", {})


def test_a_whole_word_names_a_program() -> None:
    assert read_agent(b"nodeping").name == ""
    assert read_agent(b"node").name == read_agent(b"node/22").name == "Node.js"
    assert read_agent(b"openai-custom/1").name == "OpenAI SDK"


def test_no_agent_is_nothing_unless_the_policy_says_so() -> None:
    assert finding([]) is None
    assert finding(sent("  ")) is None
    assert finding([], scorer(unnamed=10)) == Finding("client", 10, "no-user-agent", {})


# Who is not


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (CHROME.replace("Chrome/", "HeadlessChrome/"), "Headless Chrome"),
        (
            "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
            "PhantomJS",
        ),
        ("Playwright/1.49.0 (x64; ubuntu 22.04) node/20.0", "Playwright"),
        ("Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/20.0.3", "jsdom"),
    ],
)
def test_headless_browsers_that_say_so(agent: str, name: str) -> None:
    assert finding(sent(agent, LANGUAGE)) == Finding("automation", 80, "headless-browser", {"agent": name})


def test_a_headless_browser_whose_hints_say_so() -> None:
    brands = BRANDS[1].replace("Google Chrome", "HeadlessChrome")
    found = finding(sent(CHROME, LANGUAGE, ("sec-ch-ua", brands)))
    assert found == Finding("automation", 80, "headless-browser", {"agent": "Chrome", "system": "Windows"})


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("Mozilla/5.0 (compatible; Nobody-Knows/1.0)", ""),
        (f"{CHROME} (someone@example.com)", ""),
        ("my-crawler/1.0", ""),
        ("Unheard-Of-Bot/2.1 (+https://example.com/bot)", ""),
        ("sqlmap/1.7.8#stable (https://sqlmap.org)", "sqlmap"),
    ],
)
def test_crawlers(agent: str, name: str) -> None:
    assert finding(sent(agent, LANGUAGE)) == Finding("automation", 60, "crawler", {"agent": name} if name else {})


CONTRADICTIONS: dict[str, list[tuple[str, ...]]] = {
    "browser-over-sdk": [
        (CHROME, "accept-language: en", "x-stainless-lang: python", "x-stainless-runtime: CPython"),
        (FIREFOX, "accept-language: en", "x-stainless-lang: js", "x-stainless-runtime: node"),
        (CHROME, "accept-language: en", "x-stainless-lang: go"),
    ],
    "hollow-browser": [("Mozilla/5.0",), ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "accept-language: en")],
    "any-language": [(CHROME, "accept-language: *", "sec-fetch-mode: cors")],
    "foreign-hints": [(FIREFOX, "accept-language: en", f"sec-ch-ua: {BRANDS[1]}")],
    "other-version": [(CHROME.replace("142", "120"), "accept-language: en", f"sec-ch-ua: {BRANDS[1]}")],
    "other-system": [
        (CHROME, "accept-language: en", f"sec-ch-ua: {BRANDS[1]}", 'sec-ch-ua-platform: "Linux"'),
        (CHROME, "accept-language: en", f"sec-ch-ua: {BRANDS[1]}", 'sec-ch-ua-platform: "macOS"'),
    ],
    "navigation-without-html": [(CHROME, "accept-language: en", "sec-fetch-mode: navigate", "accept: */*")],
}


@pytest.mark.parametrize(("why", "case"), [(why, case) for why, cases in CONTRADICTIONS.items() for case in cases])
def test_browsers_that_are_none(why: str, case: tuple[str, ...]) -> None:
    headers = Sent(case[0], "", case[1:]).headers
    found = finding(headers)
    assert found is not None
    assert (found.family, found.score, found.reason) == ("automation", 40, why)
    assert reason(headers, inconsistent=0) == ""


def test_a_desktop_app_that_hides_its_frame_is_no_mask() -> None:
    """An SDK in a window of Electron's finds Node, and the window sends what only browsers send."""
    node = [("x-stainless-lang", "js"), ("x-stainless-runtime", "node")]
    fetch = [("sec-fetch-site", "cross-site"), BRANDS]
    assert reason(sent(CHROME, LANGUAGE, *node, *fetch)) == ""
    assert reason(sent(CHROME, LANGUAGE, *node)) == "browser-over-sdk"


def test_every_contradiction_is_tried() -> None:
    assert CONTRADICTIONS.keys() == automation._CONTRADICTIONS.keys()


def test_a_browser_without_a_language() -> None:
    found = finding(sent(CHROME, BRANDS))
    assert found == Finding("automation", 20, "browser-without-language", {"agent": "Chrome", "system": "Windows"})


def test_hints_are_missed_only_where_they_would_have_come() -> None:
    chrome = sent(CHROME, LANGUAGE)
    assert reason(chrome) == ""
    assert reason(chrome, https=True) == "browser-without-hints"
    assert reason(sent(CHROME, LANGUAGE, ("x-forwarded-proto", "https"))) == "browser-without-hints"
    assert reason(sent(CHROME, LANGUAGE, ("sec-fetch-site", "same-origin"))) == "browser-without-hints"
    assert reason(sent(CHROME, LANGUAGE, BRANDS), https=True) == ""
    assert reason(sent(CHROME.replace("142", "99"), LANGUAGE), https=True) == ""
    assert reason(sent(FIREFOX, LANGUAGE), https=True) == ""
    assert finding(chrome, scorer(https=True), "websocket") is None


def test_the_same_headers_on_a_socket_are_judged_apart() -> None:
    one = scorer(https=True)
    chrome = sent(CHROME, LANGUAGE)
    assert finding(chrome, one, "websocket") is None
    assert finding(chrome, one) is not None
    assert finding(chrome, one, "websocket") is None


def test_the_first_of_doubled_headers_counts() -> None:
    doubled = [*sent("curl/8.7.1"), *sent(CHROME.replace("Chrome/", "HeadlessChrome/"))]
    assert finding(doubled) is None
    assert finding(doubled[::-1]) is not None


# What the world's crawlers are taken for


def instances(shared: Path) -> list[str]:
    return [
        agent
        for item in json.loads((shared / "data" / "crawler-user-agents.json").read_text())
        for agent in item["instances"]
    ]


def test_what_share_of_real_crawlers_is_recognised(guardrail_shared: Path) -> None:
    """The figures of docs/explanation/what-evidence-is-worth.md: of 2,116 agents 98% are not taken for a plain browser.

    1,256 (59%) make a finding: crawlers (1,243), headless browsers (9) and hollow ones (4). 817 call themselves something of
    their own, as anybody's client may. 43 look like browsers; 39 of those are found where they send no language. Better is
    welcome, and is to be written there.
    """
    agents = instances(guardrail_shared)
    assert len(agents) == 2116
    read = [read_agent(agent.encode()[:LONGEST]) for agent in agents]
    plain = [agent for agent in read if agent.kind == "browser" and not agent.hollow]
    assert len(plain) <= 43
    found = Counter(reason(sent(agent, LANGUAGE)) for agent in agents)
    assert found["crawler"] >= 1243
    assert found["headless-browser"] >= 9
    assert found["hollow-browser"] >= 4
    assert found.keys() <= {"", "crawler", "headless-browser", "hollow-browser"}
    assert found[""] <= 2116 - 1256
    silent = Counter(reason(sent(agent)) for agent in agents)
    assert silent[""] <= 2116 - 1256 - 39


# What it may cost, and hold


@pytest.mark.parametrize(
    "filling", ["bot spider crawler ", "x/1.0 (compatible; ", "Android 1.0; ", "+http://a", "((((", "; wv) "]
)
def test_beyond_512_bytes_nothing_is_looked_at(filling: str) -> None:
    """Counted instead of timed: the parser never gets more, and it takes 6.6 ms for 8 KB of the first filling."""
    long = ("Mozilla/5.0 " + filling * 2000)[:8192]
    assert finding(sent(long, LANGUAGE)) == finding(sent(long[:LONGEST], LANGUAGE))
    marked = CHROME + " " * (LONGEST - len(CHROME)) + "HeadlessChrome"
    assert finding(sent(marked, LANGUAGE)) is None


def test_the_memory_is_bounded_and_holds_nothing_heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "REMEMBERED", 10)
    one = scorer()
    for number in range(95):
        finding(sent(f"{CHROME} Own/{number}", LANGUAGE), one)
    assert (len(one._new), len(one._old)) == (5, 10)
    finding(sent("x" * LONGEST, *[("accept", "y" * LONGEST)] * 3), one)
    assert (len(one._new), len(one._old)) == (5, 10)


def test_what_is_asked_for_again_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automation, "REMEMBERED", 10)
    one = scorer()
    judged: list[bytes] = []
    judge = one._judge

    def noting(kind: str, read: tuple[tuple[bytes, bytes], ...]) -> tuple[Finding, ...]:
        judged.append(dict(read)[b"user-agent"])
        return judge(kind, read)

    monkeypatch.setattr(one, "_judge", noting)
    for number in range(60):
        finding(sent("kept/1"), one)
        finding(sent(f"other/{number}"), one)
    assert judged.count(b"kept/1") == 1
    assert len(judged) == 61


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(automation._READ)),
            st.binary(max_size=600)
            | st.sampled_from([CHROME.encode(), FIREFOX.encode(), b"*", b"navigate", BRANDS[1].encode()]),
        ),
        max_size=8,
    )
)
def test_whatever_arrives_is_judged_and_never_quoted(headers: list[tuple[bytes, bytes]]) -> None:
    found = finding(headers)
    if found is not None:
        assert found.figures.keys() <= {"agent", "system"}
        assert {str(value) for value in found.figures.values()} <= KNOWN | set(automation._PLATFORMS) | {"iOS"}


def test_settings_are_strict() -> None:
    for bad in ({"headless": 101}, {"crawler": -1}, {"missing": 1.5}, {"unheard": 1}, {"https": "yes"}):
        with pytest.raises(ValidationError):
            AutomationSettings.model_validate(bad)
