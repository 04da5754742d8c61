"""A real Chromium before a server that asks for proof of work: `pytest -m slow tests/integration/test_challenge_in_browser.py`.

The server is reached over plain http. Chromium keeps `Secure` cookies of `localhost` and 127.0.0.1 all the same; those of any
other name only over https: there a person without an account cannot pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.friction.clearance import COOKIE
from guardrail_mw.identity.device_cookie import COOKIE as DEVICE

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests
from ..pages.browser import PLAIN, Tab, chromium  # noqa: TID252 - its driver
from .serving import Stage

pytestmark = pytest.mark.slow

ASKED = "document.getElementById('again') !== null"
STATUS = "document.getElementById('status').textContent"
BUTTON = "document.getElementById('button').textContent"
FORM = """<form method=post action="/ask?from=here"><input name=q value="a&amp;b"><textarea name=text>
one
two &quot;ü&quot; </textarea><input name=q value=""><button>go</button></form>"""
FIELDS = [("q", "a&b"), ("text", 'one\r\ntwo "ü" '), ("q", "")]
DOCUMENT = policy(
    {"name": "requests", "rate": "1000/minute"},
    risk={"scorers": [{"use": "automation", "with": {"headless": 80}}]},
    friction={"ladder": [{"at": 50, "do": "challenge", "with": {"use": "altcha"}}]},
)
"""Headless browsers are challenged, at the usual cost."""


class Pages:
    """The site behind the guard: `/open` is for everybody, for the guard exempts it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """Method and path of what reached it."""
        self.posted: list[list[tuple[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = scope["query_string"].decode()
        path = scope["path"] + (f"?{query}" if query else "")
        if path != "/favicon.ico":
            self.asked.append((scope["method"], path))
        if scope["method"] == "POST":
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message.get("body", b""), message.get("more_body", False)
            self.posted.append(parse_qsl(body.decode(), keep_blank_values=True))
        page = f"<!doctype html><title>site</title><h1>{path}</h1><a href='/next'>on</a>{FORM}".encode()
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"%d" % len(page))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": page})


class Visit:
    """A site, guarded, and a browser that comes to it."""

    def __init__(self, stage: Stage, tab: Tab) -> None:
        self.app = Pages()
        document = {**DOCUMENT, "routes": [{"path": ["/open", "/favicon.ico"], "exempt": True}, *DOCUMENT["routes"]]}
        self.guardrail: Guardrail = stage.guard(document, self.app)
        self.stage, self.tab = stage, tab
        self.port = stage.url.rpartition(":")[2]

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def there(self, path: str) -> None:
        """Until the browser is on a page of the site's."""
        where = json.dumps(path)
        self.tab.until(f"document.title === 'site' && location.pathname + location.search === {where}")

    @property
    def counts(self) -> dict[str, int]:
        return {
            name.removeprefix("challenges."): count
            for name, count in self.guardrail.counts.read().items()
            if name.startswith("challenges.")
        }

    @property
    def cookies(self) -> dict[str, Any]:
        found = self.tab.call("Network.getCookies", urls=[self.url("/")])["cookies"]
        return {each["name"]: each for each in found}


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser whose owner has forbidden cookies."""
    profile: Path = tmp_path_factory.mktemp("forgetful")
    (profile / "Default").mkdir()
    forbidden = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(forbidden))
    with chromium(profile) as opened:
        yield opened


def visiting(stage: Stage, tabs: Any) -> Iterator[Visit]:
    tab: Tab = tabs()
    tab.call("Network.clearBrowserCookies")
    tab.look()
    yield Visit(stage, tab)
    with suppress(AssertionError):  # one that is on its way elsewhere goes with the browser
        tab.call("Page.close")


@pytest.fixture
def visit(stage: Stage, tabs: Any) -> Iterator[Visit]:
    yield from visiting(stage, tabs)


@pytest.fixture
def lost(stage: Stage, forgetful: Any) -> Iterator[Visit]:
    yield from visiting(stage, forgetful)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_solved_by_itself_then_on_to_where_it_was_going(visit: Visit, host: str) -> None:
    visit.tab.go(visit.url("/wanted?a=1&b=%C3%BC", host))
    visit.there("/wanted?a=1&b=%C3%BC")
    assert visit.app.asked == [("GET", "/wanted?a=1&b=%C3%BC")]
    assert visit.counts == {"given": 1, "solved": 1}
    assert re.search("HeadlessChrome", visit.tab.run("navigator.userAgent"))
    visit.tab.run("document.links[0].click()")
    visit.there("/next")
    visit.tab.go(visit.url("/other", host))
    visit.there("/other")
    assert visit.app.asked[1:] == [("GET", "/next"), ("GET", "/other")]
    assert visit.counts == {"given": 1, "solved": 1}
    assert visit.tab.complaints == []


def test_what_the_browser_keeps(visit: Visit) -> None:
    """Nobody's script reads it, and it goes with the half hour."""
    visit.tab.go(visit.url("/wanted"))
    visit.there("/wanted")
    kept = visit.cookies
    assert set(kept) == {DEVICE.decode(), COOKIE.decode()}
    assert all(each["httpOnly"] and each["secure"] and each["sameSite"] == "Lax" for each in kept.values())
    assert visit.tab.run("document.cookie") == ""
    visit.stage.clock.advance(1_800)
    visit.tab.go(visit.url("/wanted"))
    visit.there("/wanted")
    assert visit.counts == {"given": 2, "solved": 2}


def test_back_never_leads_to_what_is_spent(visit: Visit) -> None:
    """Where the challenge was shown there is the site now; once more, and the browser is where it came from."""
    visit.tab.go(visit.url("/open"))
    visit.tab.run("document.links[0].click()")
    visit.there("/next")
    for path in ("/next", "/open"):
        visit.tab.run("document.title = 'left'; setTimeout(() => history.back()) && undefined")
        visit.there(path)
    assert visit.counts == {"given": 1, "solved": 1}


def test_a_form_comes_back_with_a_button_and_reaches_the_app_once(visit: Visit) -> None:
    visit.tab.go(visit.url("/open"))
    visit.tab.run("document.forms[0].submit()")
    button = "document.querySelector('form[action=\"/ask?from=here\"] button')"
    visit.tab.until(f"document.title !== 'site' && {button}")
    assert visit.counts == {"given": 1, "solved": 1}
    assert visit.app.posted == []
    visit.tab.run(f"{button}.click()")
    visit.there("/ask?from=here")
    assert visit.app.posted == [FIELDS]
    assert visit.tab.complaints == []


def test_a_browser_that_keeps_no_cookies_is_told_so_and_does_not_go_round(lost: Visit) -> None:
    lost.tab.go(lost.url("/wanted"))
    told(lost, 1)
    lost.tab.run("document.getElementById('button').click()")
    told(lost, 2)
    assert lost.app.asked == []


@pytest.mark.parametrize("sends", [False, True], ids=["GET", "form"])
def test_over_http_no_name_but_the_loopbacks_keeps_them(visit: Visit, sends: bool) -> None:
    visit.tab.go(visit.url("/open" if sends else "/wanted", PLAIN))
    if sends:
        visit.tab.run("document.forms[0].submit()")
    told(visit, 1)
    assert visit.app.posted == []


def told(visit: Visit, times: int) -> None:
    """That cookies are needed; and nothing goes on without a click."""
    visit.tab.until(f"{ASKED} && {BUTTON} === 'Start' && performance.now() > 1500")
    assert "did not keep the cookie" in visit.tab.run("document.getElementById('again').textContent")
    assert visit.counts == {"given": 1 + times, "cookies": times}
