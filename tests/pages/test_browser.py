"""In a real Chromium: `pytest -m slow tests/pages/test_browser.py`. Pictures and figures: `python -m tests.pages.look FOLDER`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.asgi.pages import Words

from .browser import LOOKS, PLAIN, Site, Tab, checked, stand_in

pytestmark = pytest.mark.slow

LONG: dict[str, Any] = {"cost": 2000, "prefix": "00000000"}
"""Nobody finds that."""
HERE = "document.title === 'site'"
STATUS = "document.getElementById('status').textContent"
BUTTON = "document.getElementById('button').textContent"


@pytest.fixture
def site() -> Iterator[Site]:
    found = Site()
    yield found
    found.close()


@pytest.mark.parametrize("host", ["localhost", PLAIN], ids=["WebCrypto", "without"])
def test_it_solves_by_itself_and_goes_on(tab: Tab, site: Site, host: str) -> None:
    tab.go(site.url("/wanted", host))
    post = site.posts.get(timeout=60)
    tab.until(HERE)
    assert post.verified
    assert list(post.form) == ["case", "answer", "return"]
    assert post.form["case"] == "CASE"
    assert post.headers["origin"] == site.url("", host)
    assert post.headers["referer"] == site.url("/", host)
    assert tab.run("location.pathname") == "/wanted"
    assert {url for url in tab.requests if not url.startswith(site.url("/", host))} == set()
    assert tab.complaints == []


def test_the_two_ways_are_taken(tab: Tab, site: Site) -> None:
    """Or the one above would say nothing of the fallback."""
    site.settings = LONG
    for host, has in (("localhost", True), (PLAIN, False)):
        tab.go(site.url("/wanted", host))
        assert tab.run("Boolean(globalThis.crypto && crypto.subtle)") is has


@pytest.mark.parametrize("host", ["localhost", PLAIN], ids=["WebCrypto", "without"])
@pytest.mark.parametrize(("cost", "prefix"), [(1, "00"), (129, "0"), (300, "a"), (2, "0aB")])
def test_costs_and_prefixes(tab: Tab, site: Site, host: str, cost: int, prefix: str) -> None:
    site.settings = {"cost": cost, "prefix": prefix}
    tab.go(site.url("/wanted", host))
    assert site.posts.get(timeout=60).verified


@pytest.mark.parametrize("host", ["localhost", PLAIN], ids=["WebCrypto", "without"])
def test_the_page_stays_responsive(tab: Tab, site: Site, host: str) -> None:
    site.settings = LONG
    tab.go(site.url("/wanted", host))
    longest = tab.run(
        "new Promise(done => { const gaps = []; let last = performance.now(); const look = () => { const now = performance.now();"
        " gaps.push(now - last); last = now; gaps.length < 60 ? setTimeout(look, 0) : done(gaps.sort((a, b) => a - b)[54]) };"
        " look() })"
    )
    assert longest < 200  # milliseconds, of nine turns in ten: what takes longer is felt


def test_back_does_not_lead_to_a_challenge_that_is_spent(tab: Tab, site: Site) -> None:
    tab.go(site.url("/before"))
    tab.run("document.links[0].click()")
    site.posts.get(timeout=60)
    tab.until(f"{HERE} && location.pathname === '/wanted'")
    tab.run("history.back()")
    tab.until(f"{HERE} && location.pathname === '/before' || {HERE} && !document.getElementById('work')")
    assert site.posts.empty()


@pytest.mark.parametrize(("method", "does"), [("GET", "Stop"), ("POST", "Start")])
def test_shown_from_the_browsers_memory(tab: Tab, site: Site, method: str, does: str) -> None:
    """A GET is asked for anew, and a new challenge begins; a POST is not, so it waits."""
    site.settings = {**LONG, "method": method}
    tab.go(site.url("/wanted"))
    tab.events.clear()
    tab.run("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true})) && undefined")
    if method == "GET":
        tab.wait("Page.loadEventFired")
    assert tab.run(BUTTON) == does
    assert len(tab.requests) == (method == "GET")


def test_a_form_is_sent_again_by_a_click_and_not_before(tab: Tab, site: Site) -> None:
    tab.go(site.url("/before"))
    tab.run("document.forms[0].submit()")
    solved = site.posts.get(timeout=60)
    assert solved.verified
    tab.until("document.querySelector('form[action=\"/form\"] button') && !document.links.length")
    assert site.posts.empty()
    tab.run("document.querySelector('button').focus()")
    tab.key("Enter", 13, "\r")
    again = site.posts.get(timeout=60)
    assert again.path == "/form"
    assert again.fields == [("q", "a&b"), ("text", 'one\r\ntwo "ü" '), ("q", "")]
    assert again.headers["origin"] == site.url("")
    assert tab.complaints == []


def test_stopped_and_begun_again_by_keyboard(tab: Tab, site: Site) -> None:
    site.settings = {**LONG, "cost": 10}
    tab.go(site.url("/wanted"))
    tab.key("Tab", 9)
    assert tab.run("document.activeElement.id") == "button"
    assert tab.run(BUTTON) == "Stop"
    tab.key("Enter", 13, "\r")
    assert (tab.run(STATUS), tab.run(BUTTON)) == ("Stopped. Nothing was sent.", "Try again")
    assert tab.run("document.activeElement.id") == "button"
    assert tab.run("document.getElementById('progress').hidden") is True
    tab.key("Enter", 13, "\r")
    assert tab.run(BUTTON) == "Stop"
    assert site.posts.empty()


def test_shown_again_it_waits_for_a_click(tab: Tab, site: Site) -> None:
    site.accepts = False
    tab.go(site.url("/wanted"))
    site.posts.get(timeout=60)
    tab.until("document.getElementById('again')")
    assert tab.run("document.activeElement.id") == "button"
    assert tab.run(BUTTON) == "Start"
    assert site.posts.empty()
    site.accepts = True
    tab.key("Enter", 13, "\r")
    assert site.posts.get(timeout=60).verified
    tab.until(HERE)


def test_what_is_heard(tab: Tab, site: Site) -> None:
    site.settings = LONG
    tab.go(site.url("/wanted"))
    tab.until(f"{STATUS}.includes('about')")
    said = tab.run(STATUS)
    assert said.startswith("Calculating. On this device it usually takes about ")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    assert {("heading", "One moment, please"), ("progressbar", "Progress"), ("button", "Stop"), ("main", "")} <= found
    (status,) = [node for node in nodes if node.get("role", {}).get("value") == "status"]
    assert {each["name"]: each["value"]["value"] for each in status["properties"]}["live"] == "polite"


def test_an_algorithm_that_it_does_not_know(tab: Tab, site: Site) -> None:
    site.settings = {"algorithm": "SCRYPT"}
    tab.go(site.url("/wanted"))
    tab.until(f"{STATUS}.includes('could not')")
    assert tab.run(BUTTON) == "Try again"


def test_without_scripts_it_says_what_to_do(tab: Tab, site: Site) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.go(site.url("/wanted"))
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    said = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    assert [text for role, text in said if role == "StaticText" and "needs JavaScript" in text]
    assert not [role for role, _ in said if role in {"button", "progressbar"}]


def test_the_policy_holds(tab: Tab, site: Site) -> None:
    site.settings = LONG
    tab.go(site.url("/wanted"))
    assert tab.run("fetch('/other').then(() => 'reached', () => 'refused')") == "refused"
    refused = "new Promise(done => {{ const it = document.createElement('{0}'); it.onload = () => done('loaded');"
    refused += " it.onerror = () => done('refused'); it.src = '/x'; document.body.append(it) }})"
    assert tab.run(refused.format("img")) == "refused"
    assert (
        tab.run("(() => { try { document.body.innerHTML = '<b>'; return 'set' } catch { return 'refused' } })()")
        == "refused"
    )


def test_a_services_page_reaches_its_service_and_nobody_else(tab: Tab, site: Site) -> None:
    service = Site()
    try:
        site.settings = {"service": stand_in(service.url("", "127.0.0.1"))}
        tab.look(dark=True)
        tab.go(site.url("/wanted"))
        box = "document.querySelector('.stand-in').dataset"
        tab.until(f"{box}.loaded && {box}.fetched")
        assert tab.run(f"{box}.theme") == "dark"
        assert tab.run("guardrailLate() || document.getElementById('status').textContent").startswith(
            "The question has run out"
        )
        tab.run("guardrailAnswer('TOKEN')")
        post = site.posts.get(timeout=60)
        assert post.form == {"case": "CASE", "answer": "TOKEN", "return": "/wanted"}
        hosts = {url.split("/")[2] for url in tab.requests if url.startswith("http")}
        assert {f"localhost:{site.port}", f"127.0.0.1:{service.port}"} >= hosts - {"127.0.0.1:9"}
        assert [text for text in tab.complaints if "127.0.0.1:9" in text]
    finally:
        service.close()


def test_a_service_that_cannot_be_loaded(tab: Tab, site: Site) -> None:
    site.settings = {"service": stand_in("http://127.0.0.1:9")}
    tab.go(site.url("/wanted"))
    tab.until(f"{STATUS}.startsWith('The question could not be loaded')")
    assert tab.run(BUTTON) == "Try again"


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{'dark' if look['dark'] else 'light'}-{look['width']}")
@pytest.mark.parametrize(
    "settings", [{}, {"again": "failed"}, {"languages": "de"}, {"service": stand_in("http://127.0.0.1:9")}]
)
def test_axe_finds_nothing(tab: Tab, site: Site, axe_core: str, look: dict[str, Any], settings: dict[str, Any]) -> None:
    site.settings = {**LONG, **settings}
    tab.look(**look)
    tab.go(site.url("/wanted"))
    checked(tab, axe_core)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{'dark' if look['dark'] else 'light'}-{look['width']}")
def test_axe_finds_nothing_in_a_form_to_send_again(tab: Tab, site: Site, axe_core: str, look: dict[str, Any]) -> None:
    tab.look(**look)
    tab.go(site.url("/before"))
    tab.run("document.forms[0].submit()")
    tab.until("document.querySelector('form[action=\"/form\"] button') && !document.links.length")
    checked(tab, axe_core)


def test_right_to_left(tab: Tab, site: Site, axe_core: str, tmp_path: Path) -> None:
    (tmp_path / "he.toml").write_text('dir = "rtl"\ntitle = "רגע אחד בבקשה"\nstop = "עצור"\n')
    site.settings = {**LONG, "words": Words(tmp_path), "languages": "he-IL"}
    tab.look(width=390, height=844, phone=True)
    tab.go(site.url("/wanted"))
    assert tab.run("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
    assert tab.run(BUTTON) == "עצור"
    checked(tab, axe_core)
