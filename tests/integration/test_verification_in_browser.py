"""A person with a real Chromium before a server that asks who they are.

`pytest -m slow tests/integration/test_verification_in_browser.py`. The provider's pages are on https and on the provider's own
names, which in this browser lead to loopback; so what lets people go there is what the policy says of the provider, no less.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.engine.ground import CASE

from ..friction.verification.providers.standin import serving  # noqa: TID252 - services that serve
from ..pages.browser import LOOKS, Tab, axe, checked, chromium  # noqa: TID252 - the browser's driver
from .abroad import NAMES, Abroad, abroad
from .serving import Stage, staged
from .test_challenge_in_browser import Pages
from .test_verification import Proxy
from .verifying import OURS, PROVIDERS, VERIFY, WORTH, Office, Own, Service, document, standard

pytestmark = pytest.mark.slow

T = TypeVar("T")
OPEN = {"path": ["/open", "/favicon.ico"], "exempt": True}
KEY = b"Bearer sk-0123456789-1a2b"
MANUAL = {"use": "manual", "with": {"levels": {"id": WORTH}}}
SIMULATED = {"use": "simulated", "with": {"levels": {"id": WORTH}, "i_know_it_proves_nothing": True}}
CONSENT, PENDING, APPROVED = "Please show who you are", "Your check is being looked at", "You are verified"
TEXT = "We are an office of twelve.\nAll of us use one network."


class SignedIn:
    """What stands before the guard knows who a browser is, and says so."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.key = KEY

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        own = [(b"authorization", self.key)] if scope["type"] == "http" else []
        await self.app({**scope, "headers": [*scope["headers"], *own]}, receive, send)


class Visit:
    """A site, guarded, and a browser that comes to it."""

    def __init__(self, stage: Stage, tab: Tab, axe_core: str) -> None:
        self.stage, self.tab = stage, tab
        self.app = Pages()
        self.public = stage.url
        self._axe = axe_core
        self._there = 0
        self.guardrail: Guardrail

    def guard(self, ids: Any, **more: Any) -> None:
        """From now on the site has a policy with this provider."""
        made = document(self.public, ids, **more)
        self.guardrail = self.stage.guard(made | {"routes": [OPEN, *made["routes"]]}, self.app)
        self.stage.app = SignedIn(GuardrailMiddleware(self.app, self.guardrail))

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return self.public.replace("127.0.0.1", host) + path

    def refused(self, title: str = CONSENT) -> None:
        """The second page that it asks for."""
        self.tab.go(self.url("/first"))
        self.site("/first")
        self.tab.go(self.url("/wanted?a=1"))
        self.at(title)

    def at(self, title: str) -> None:
        """Until a page of ours is seen."""
        self.tab.until(f"document.querySelector('h1')?.textContent === {json.dumps(title)}")

    def site(self, path: str) -> None:
        """Until a page of the site is."""
        self.tab.until(f"document.title === 'site' && location.pathname + location.search === {json.dumps(path)}")

    def abroad(self) -> str:
        """Until the provider's page is seen: its address."""
        self.tab.until("document.title === 'abroad'")
        return str(self.tab.run("location.href"))

    def fine(self) -> None:
        """In every look axe-core finds nothing, and nothing is cut off."""
        for look in LOOKS:
            self.tab.look(**look)  # type: ignore[arg-type]
            checked(self.tab, self._axe)
        self.tab.look()

    def click(self, text: str) -> None:
        """Whatever says so."""
        wanted = json.dumps(text)
        found = f"[...document.querySelectorAll('a, button')].find(each => each.textContent.trim() === {wanted})"
        self.tab.run(f"document.querySelector('h1').textContent = 'left', {found}.click()")

    def consents(self, button: str = "Go on to Example ID") -> None:
        self.tab.run("document.querySelector('input[name=consent]').click()")
        self.click(button)

    @property
    def link(self) -> str:
        """Where the page's form goes."""
        return str(self.tab.run("document.forms[0].action"))

    @property
    def text(self) -> str:
        """What is read."""
        return str(self.tab.run("document.querySelector('main').innerText"))

    def elsewhere(self) -> set[str]:
        """What was asked of anybody but the site and the provider."""
        origin = self.public.removesuffix("api")
        known = (self.stage.url, origin, *[f"https://{name}/" for name in NAMES], self.url("/", "localhost"))
        return {url for url in self.tab.requests if not url.startswith(known)}


def now(call: Coroutine[Any, Any, T]) -> T:
    """What it comes to."""
    return asyncio.run(call)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abroad]:
    with abroad(tmp_path_factory.mktemp("abroad")) as found:
        yield found


@pytest.fixture(scope="module")
def tabs(far: Abroad, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), *far.options) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe_core(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    """Where providers serve while a test waits for its browser."""
    with start_blocking_portal() as found:
        yield found


@pytest.fixture
def visit(stage: Stage, tabs: Any, axe_core: str) -> Iterator[Visit]:
    tab: Tab = tabs()
    tab.call("Network.clearBrowserCookies")
    tab.look()
    found = Visit(stage, tab, axe_core)
    yield found
    assert found.elsewhere() == set()
    with suppress(AssertionError):  # one that is on its way elsewhere goes with the browser
        tab.call("Page.close")


@pytest.fixture
def life(portal: BlockingPortal, far: Abroad) -> Iterator[Any]:
    """Starts a provider."""
    with ExitStack() as open_things:

        def start(service: Service) -> Service:
            open_things.enter_context(portal.wrap_async_context_manager(serving(service)))
            far.service = service
            far.came.clear()
            return service

        yield start


@pytest.mark.parametrize("provider", PROVIDERS)
def test_there_and_back(provider: str, visit: Visit, far: Abroad, life: Any) -> None:
    """Refused, asked, sent on, back, waiting, verified, and on to where it was going."""
    make, settings, onward = PROVIDERS[provider]
    service = life(make())
    visit.guard(settings(service.url))
    visit.refused()
    assert visit.tab.run("location.href") == visit.url("/wanted?a=1")  # the refusal is the page
    assert all(words in visit.text for words in ("Example AI", "…1a2b", "2026-01-08, 00:00 UTC"))
    visit.fine()
    link = visit.link
    assert service.calls == []
    visit.consents(f"Go on to {settings(service.url)['name']}")
    assert visit.abroad().startswith(onward)
    assert far.back == link
    visit.click("done")
    visit.at(PENDING)
    assert visit.tab.run("location.href") == link
    visit.fine()

    visit.click("Go on with the check")  # the page there was closed before its end
    visit.at(CONSENT)
    visit.consents(f"Go on to {settings(service.url)['name']}")
    visit.abroad()
    visit.click("done")
    visit.at(PENDING)
    assert len(service.things) == 1

    office = Office(service)
    assert now(office.says(visit.public, "approved")) == ["noted"]
    visit.click("Look again")
    visit.at(APPROVED)
    assert "2027-01-01" in visit.text
    visit.fine()
    visit.tab.go(visit.url("/wanted?a=1"))
    visit.site("/wanted?a=1")
    visit.tab.run("document.links[0].click()")
    visit.site("/next")

    now(office.says(visit.public, "withdrawn"))
    visit.tab.go(link)
    visit.at("The verification no longer holds")
    visit.fine()
    visit.tab.go(visit.url("/next"))
    visit.at(CONSENT)
    assert visit.tab.complaints == []


def test_by_keyboard(visit: Visit, far: Abroad, life: Any) -> None:
    visit.guard(standard(life(Own()).url))
    visit.refused()
    visit.tab.key("Tab", 9)
    visit.tab.key(" ", 32, " ")
    visit.tab.key("Tab", 9)
    visit.tab.key("Enter", 13, "\r")
    assert visit.abroad() == "https://id.example/v1"
    assert far.came == ["id.example/v1"]


def test_a_host_below_the_provider_s_is_the_provider_s(visit: Visit, life: Any) -> None:
    service = life(Own())
    service.way = "https://eu.id.example/session"
    visit.guard(standard(service.url))
    visit.refused()
    visit.consents()
    assert visit.abroad() == "https://eu.id.example/session"


def test_what_a_document_that_vouched_too_often_gets(visit: Visit, life: Any) -> None:
    service, office = life(Own()), None
    visit.guard(standard(service.url))
    for number in range(1, 5):
        visit.stage.app.key = b"Bearer sk-0123456789-000%d" % number
        visit.refused()
        link = visit.link
        visit.consents()
        visit.abroad()
        office = office or Office(service)
        assert now(office.says(visit.public, "approved", which=number)) == ["noted"]
        visit.tab.go(link)
        visit.at(APPROVED if number < 4 else "This has been used for other accounts")
    visit.fine()
    visit.click("Try again")
    visit.at(CONSENT)


def test_a_provider_that_is_down(visit: Visit, life: Any) -> None:
    service = life(Own())
    visit.guard(standard(service.url))
    visit.refused()
    service.broken += [(503, b""), None, (500, b"")]
    visit.consents()
    visit.at("The check cannot begin right now")
    visit.fine()
    visit.click("Try again")
    visit.at(CONSENT)
    service.broken.clear()
    visit.consents()
    assert visit.abroad() == "https://id.example/v1"


@pytest.mark.parametrize(
    ("button", "title"),
    [("Approve", APPROVED), ("Decline", "The check did not succeed")],
)
def test_where_the_outcome_is_a_click(visit: Visit, button: str, title: str) -> None:
    visit.guard(SIMULATED)
    visit.refused()
    visit.fine()
    link = visit.link
    visit.consents("Go on")
    visit.tab.until("document.querySelectorAll('button[name=outcome]').length === 2")
    visit.fine()
    assert visit.tab.run("location.href") == link
    visit.click(button)
    visit.at(title)
    visit.fine()
    visit.tab.go(visit.url("/wanted"))
    if title == APPROVED:
        visit.site("/wanted")
    else:
        visit.at(CONSENT)
    assert visit.tab.complaints == []


def test_where_a_person_decides(visit: Visit) -> None:
    visit.guard(MANUAL)
    visit.refused()
    visit.consents("Go on")
    visit.tab.until("document.querySelector('h1').textContent !== 'left' && !document.forms.length")
    assert "A person at Example AI decides" in visit.text
    visit.fine()
    cases, reports = visit.guardrail.engine.cases, visit.guardrail.engine.reports
    assert cases is not None
    assert reports is not None
    (name,) = now(cases.files.listed(CASE, 10))
    now(reports.decide(name, "approved", "seen in a call"))
    visit.click("Look again")
    visit.at(APPROVED)
    visit.tab.go(visit.url("/wanted"))
    visit.site("/wanted")


@pytest.mark.parametrize("granted", [True, False], ids=["granted", "refused"])
@pytest.mark.parametrize("do", ["verify", "deny"])
def test_an_appeal(visit: Visit, do: str, granted: bool) -> None:
    """From the page that asks for an identity, or on the page that refuses."""
    visit.guard(MANUAL, ladder=[VERIFY if do == "verify" else {"at": 60, "do": "deny"}])
    if do == "verify":
        visit.refused()
        visit.click("Appeal")
    else:
        visit.tab.go(visit.url("/first"))
        visit.tab.go(visit.url("/wanted"))
    visit.tab.until("document.querySelector('textarea')")
    visit.fine()
    visit.tab.run(f"document.querySelector('textarea').value = {json.dumps(TEXT)}")
    visit.tab.run("document.querySelector('button').click()")
    visit.tab.until("!document.querySelector('textarea')")
    assert "A person at Example AI will read it." in visit.text
    visit.fine()
    appeals = visit.guardrail.engine.appeals
    assert appeals is not None
    (item,) = now(appeals.listed())
    assert [text for *_, text in item.texts] == [TEXT.replace("\n", " ")]
    now(appeals.decide(item.id, granted=granted, reason="We know <you> & your office."))
    visit.click("Look again")
    visit.tab.until("document.querySelector('blockquote')")
    assert "We know <you> & your office." in visit.text
    assert ("has changed its decision" in visit.text) is granted
    visit.fine()
    assert visit.tab.complaints == []


@pytest.mark.parametrize("what", ["verify", "appeal"])
def test_a_form_of_another_site_is_refused(visit: Visit, life: Any, what: str) -> None:
    service = life(Own())
    visit.guard(standard(service.url))
    visit.refused()
    link = visit.link
    appeal = visit.tab.run("document.links[0].href")
    assert appeal.startswith(visit.url(f"{OURS}/appeal/"))
    visit.tab.go(visit.url("/open", "localhost"))  # for browsers another site than 127.0.0.1
    action, name, value = (link, "consent", "yes") if what == "verify" else (appeal, "text", "I give up.")
    form = f"const form = document.forms[0]; form.replaceChildren(); form.action = {json.dumps(action)};"
    field = f"const input = document.createElement('input'); input.name = '{name}'; input.value = '{value}';"
    visit.tab.run(f"{form} {field} form.append(input); setTimeout(() => form.submit()) && undefined")
    visit.tab.until("document.title !== 'site' && document.querySelector('h1')")
    assert visit.tab.run("location.href") == action
    assert "This did not come from our page" in visit.text
    visit.fine()
    assert service.calls == []
    appeals = visit.guardrail.engine.appeals
    assert appeals is not None
    assert now(appeals.listed()) == []
    visit.tab.go(link)  # the page itself is there for whoever opens the link
    visit.at(CONSENT)


@pytest.mark.parametrize("tag", ["de", "es", "fr"])
def test_in_another_language(visit: Visit, life: Any, tag: str) -> None:
    visit.guard(standard(life(Own()).url))
    visit.refused()
    link, agent = visit.link, visit.tab.run("navigator.userAgent")
    visit.tab.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=tag)
    visit.tab.go(link)
    assert visit.tab.run("document.documentElement.lang") == tag
    visit.fine()
    visit.tab.run("document.querySelector('input[name=consent]').click(), document.querySelector('button').click()")
    visit.abroad()
    visit.click("done")
    visit.tab.until(f"document.documentElement.lang === '{tag}'")
    visit.fine()
    visit.tab.run("document.querySelector('main a:last-of-type').click()")
    visit.tab.until("document.querySelector('input[name=consent]')")
    assert visit.tab.run("document.documentElement.lang") == tag


def test_links_that_lead_no_further(visit: Visit, life: Any) -> None:
    visit.guard(standard(life(Own()).url))
    visit.refused()
    link = visit.link
    visit.tab.go(link[:-2])
    visit.at("This link cannot be read")
    visit.fine()
    visit.stage.clock.advance(7 * 86_400)
    visit.tab.go(link)
    visit.at("This link has run out")
    visit.fine()


def test_behind_a_proxy_that_cuts_a_prefix_off(visit: Visit, life: Any) -> None:
    service = life(Own())
    with staged() as front:
        front.app = Proxy(visit.stage.url)
        visit.public = f"{front.url}/api"
        visit.guard(standard(service.url))
        visit.tab.go(visit.url("/first"))
        visit.tab.go(visit.url("/wanted"))
        visit.at(CONSENT)
        link = visit.link
        assert link.startswith(visit.url(f"{OURS}/verify/"))
        visit.consents()
        visit.abroad()
        visit.click("done")
        visit.at(PENDING)
        assert visit.tab.run("location.href") == link
        now(Office(service).says(visit.public, "approved"))
        visit.click("Look again")
        visit.at(APPROVED)
        visit.tab.go(visit.url("/wanted"))
        visit.site("/api/wanted")
