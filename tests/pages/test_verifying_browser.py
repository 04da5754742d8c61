"""In a real Chromium: `pytest -m slow tests/pages/test_verifying_browser.py`. Pictures: `python -m tests.pages.look FOLDER`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.asgi.pages import Words

from .browser import LOOKS, Site, Tab, checked
from .states import APPEAL, PAGES, VERIFY, VerifyingSite, long

pytestmark = pytest.mark.slow

ELSEWHERE = "document.title === 'site'"
FOCUS = "document.activeElement.name || document.activeElement.textContent.trim()"


@pytest.fixture
def site() -> Iterator[VerifyingSite]:
    found = VerifyingSite()
    yield found
    found.close()


EVERY_LOOK = [pytest.param(look, "en", id=f"{'dark' if look['dark'] else 'light'}-{look['width']}") for look in LOOKS]
EVERY_LANGUAGE = [pytest.param(LOOKS[1], tag, id=tag) for tag in ("de", "es", "fr")]


@pytest.mark.parametrize(("look", "tag"), [*EVERY_LOOK, *EVERY_LANGUAGE])
def test_axe_finds_nothing(tab: Tab, site: VerifyingSite, axe_core: str, look: dict[str, Any], tag: str) -> None:
    site.settings = {"languages": tag}
    tab.look(**look)
    for name in PAGES:
        tab.go(site.url(f"/{name}"))
        checked(tab, axe_core)
    assert {url for url in tab.requests if not url.startswith(site.url("/"))} == set()
    assert tab.complaints == []


@pytest.mark.parametrize("name", ["consent", "state-declined", "appeal-new", "decide"])
def test_what_cannot_be_broken_is_not_cut_off(tab: Tab, site: VerifyingSite, axe_core: str, name: str) -> None:
    site.settings = long("x" * 300)
    tab.look(width=320, height=640, phone=True)
    tab.go(site.url(f"/{name}"))
    checked(tab, axe_core)


def test_consent_by_keyboard(tab: Tab, site: VerifyingSite) -> None:
    provider = Site()
    try:
        site.onward = provider.url("/session", "127.0.0.1")
        site.settings = {"onward": [provider.url("", "127.0.0.1")]}
        tab.go(site.url("/consent"))
        tab.key("Tab", 9)
        assert tab.run(FOCUS) == "consent"
        tab.key("Tab", 9)
        assert tab.run(FOCUS) == "Go on to Stripe Identity"
        tab.key("Enter", 13, "\r")  # without consent
        assert tab.run(FOCUS) == "consent"
        assert site.posts.empty()
        tab.key(" ", 32, " ")
        assert tab.run("document.forms[0].consent.checked") is True
        tab.key("Tab", 9)
        tab.key("Enter", 13, "\r")
        post = site.posts.get(timeout=60)
        assert (post.path, post.fields) == (VERIFY, [("consent", "yes")])
        assert (post.headers["origin"], post.headers["referer"]) == (site.url(""), site.url("/"))
        tab.until(ELSEWHERE)
        assert tab.run("location.href") == site.onward
        assert tab.complaints == []
    finally:
        provider.close()


def complained_of(tab: Tab, what: str) -> None:
    """Waits until the browser has said so."""
    while not any(what in text for text in tab.complaints):
        tab.events.clear()
        tab.wait("Log.entryAdded")


def test_a_post_leads_nowhere_that_the_page_does_not_name(tab: Tab, site: VerifyingSite) -> None:
    provider = Site()
    try:
        site.onward = provider.url("/session", "127.0.0.1")
        tab.go(site.url("/consent"))
        tab.run("document.forms[0].consent.click()")
        tab.run("document.querySelector('button').click()")
        site.posts.get(timeout=60)
        complained_of(tab, "form-action")
        assert tab.run("location.pathname") == "/consent"
    finally:
        provider.close()


def test_an_outcome_by_keyboard(tab: Tab, site: VerifyingSite) -> None:
    for presses, outcome in ((1, "approved"), (2, "declined")):
        tab.go(site.url("/decide"))
        for _ in range(presses):
            tab.key("Tab", 9)
        tab.key("Enter", 13, "\r")
        assert site.posts.get(timeout=60).fields == [("outcome", outcome)]
        tab.until(ELSEWHERE)


def test_an_appeal_by_keyboard(tab: Tab, site: VerifyingSite) -> None:
    site.settings = {"text": "", "most": 20}
    tab.go(site.url("/appeal-new"))
    tab.key("Tab", 9)
    assert tab.run(FOCUS) == "text"
    tab.key("Tab", 9)
    tab.key("Enter", 13, "\r")  # with nothing written
    assert tab.run(FOCUS) == "text"
    assert site.posts.empty()
    tab.call("Input.insertText", text="<b>one & ")
    tab.key("Enter", 13, "\r")
    tab.call("Input.insertText", text="ü and more than goes in")
    tab.key("Tab", 9)
    tab.key("Enter", 13, "\r")
    post = site.posts.get(timeout=60)
    assert (post.path, post.fields) == (APPEAL, [("text", "<b>one & \r\nü and more")])
    assert post.headers["origin"] == site.url("")


def test_the_ways_on_by_keyboard(tab: Tab, site: VerifyingSite) -> None:
    tab.go(site.url("/state-declined"))
    tab.key("Tab", 9)
    assert tab.run(FOCUS) == "Try again"
    tab.key("Tab", 9)
    assert tab.run(FOCUS) == "Appeal"
    tab.key("Enter", 13, "\r")
    tab.until(f"{ELSEWHERE} && location.pathname === '{APPEAL}'")


def test_looking_again_is_the_same_address(tab: Tab, site: VerifyingSite) -> None:
    tab.go(site.url("/waiting?from=there"))
    tab.events.clear()
    tab.key("Tab", 9)
    assert tab.run(FOCUS) == "Look again"
    tab.key("Enter", 13, "\r")
    tab.wait("Page.loadEventFired")
    assert tab.requests == [site.url("/waiting?from=there")]


def test_what_is_heard(tab: Tab, site: VerifyingSite) -> None:
    tab.go(site.url("/consent"))
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    assert {
        ("main", ""),
        ("heading", "Please show who you are"),
        ("heading", "What happens next"),
        ("checkbox", "This is my account, and I want to be verified for it."),
        ("button", "Go on to Stripe Identity"),
        ("link", "Appeal"),
    } <= found
    (box,) = [node for node in nodes if node.get("role", {}).get("value") == "checkbox"]
    assert box["description"]["value"].startswith("Stop if this account is not yours.")
    tab.go(site.url("/appeal-new"))
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    (area,) = [node for node in nodes if node.get("role", {}).get("value") == "textbox"]
    assert area["name"]["value"] == "What should they know?"
    assert area["description"]["value"].startswith("At most 2000 characters.")


def test_the_policy_holds(tab: Tab, site: VerifyingSite) -> None:
    tab.go(site.url("/consent"))
    assert tab.run("fetch('/other').then(() => 'reached', () => 'refused')") == "refused"
    script = "document.head.append(Object.assign(document.createElement('script'), {text: 'ran = 1'}))"
    assert tab.run(f"(() => {{ try {{ {script}; return typeof ran }} catch {{ return 'refused' }} }})()") == "refused"
    tab.run("Object.assign(document.forms[0], {action: 'http://127.0.0.1:9/elsewhere', noValidate: true}).submit()")
    complained_of(tab, "form-action")
    assert tab.run("location.pathname") == "/consent"


def test_right_to_left(tab: Tab, site: VerifyingSite, axe_core: str, tmp_path: Path) -> None:
    english = Words().choose().words
    lines = [f'{name} = "{text.replace("Please", "נא")}"\n' for name, text in english.items()]
    (tmp_path / "he.toml").write_text('dir = "rtl"\n' + "".join(lines))
    site.settings = {"words": Words(tmp_path), "languages": "he"}
    tab.look(width=320, height=640, phone=True)
    for name in ("consent", "state-declined", "appeal-new", "appeal-refused"):
        tab.go(site.url(f"/{name}"))
        assert tab.run("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
        checked(tab, axe_core)
