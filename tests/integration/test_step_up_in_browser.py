"""A person, a real Chromium, an OpenID provider from npm and a web app.

`pytest -m slow tests/integration/test_step_up_in_browser.py`. The web app signs people in at the provider, and asks a guarded API
for them. The guard asks for a better sign-in; the app sends the browser to the provider for it (RFC 9470); the new token passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest

from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests
from ..identity.kit import private_key  # noqa: TID252 - keys of somebody else
from ..pages.browser import Tab, chromium  # noqa: TID252 - the browser's driver
from .openid import API, Provider, RelyingParty, installed
from .serving import Stage, staged

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BASIC, KYC = "urn:example:basic", "urn:example:kyc"
CARD = "L01X00T47"
PASSWORD = "engine"  # noqa: S105 - as the provider for tests has it
LATE = 361
"""Seconds: five minutes, one in which a token may be on its way, and one more."""
CHALLENGE = (
    'Bearer error="insufficient_user_authentication", '
    'error_description="Sign in again, as strongly and as lately as is asked for", acr_values="urn:example:kyc", max_age="300"'
)
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "ask-for-step-up.md"
ROBOT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36"


def document(issuer: str) -> dict[str, Any]:
    """From an account's second question on, a browser without a screen is suspicious by two families."""
    source = {"issuer": issuer, "audience": API, "jwks": f"{issuer}/jwks", "algorithms": ["ES256"]}
    return policy(
        {"name": "requests", "rate": "1000/minute"},
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "1h"}],
        risk={
            "scorers": [
                {"use": "automation", "with": {"headless": 80}},
                {"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}},
            ]
        },
        friction={"ladder": [{"at": 75, "do": "verify", "with": {"use": "step_up", "acr": KYC, "max_age": "5m"}}]},
    ) | {"identity": {"sources": [{"use": "jwt", "with": source}], "assurance": [BASIC, KYC]}}


class Visit:
    """A person with a browser before all of it."""

    def __init__(self, stage: Stage, app: RelyingParty, provider: Provider, tab: Tab) -> None:
        stage.guard(document(provider.issuer))
        self.stage, self.app, self.provider, self.tab = stage, app, provider, tab

    @property
    def home(self) -> str:
        return self.app.back.removesuffix("callback")

    @property
    def wishes(self) -> list[dict[str, str]]:
        """What the provider was asked for, each time that the browser came with a question."""
        asked = [urlsplit(url) for url in self.tab.requests if url.startswith(f"{self.provider.issuer}/auth?")]
        queries = [dict(parse_qsl(url.query)) for url in asked]
        return [{name: query[name] for name in ("acr_values", "max_age") if name in query} for query in queries]

    @property
    def statuses(self) -> list[int]:
        return [answer.status_code for answer in self.app.answers]

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says that the web app has now."""
        found: dict[str, Any] = jwt.decode(self.app.session.token, options={"verify_signature": False})
        return found

    def at(self, title: str) -> None:
        self.tab.until(f"document.title === {json.dumps(title)} && document.readyState === 'complete'")

    def fill(self, **fields: str) -> None:
        """Fill the page's form in, and send it."""
        for name, value in fields.items():
            self.tab.run(f"document.forms[0].elements[{json.dumps(name)}].value = {json.dumps(value)}")
        self.tab.run("document.title = 'left'; setTimeout(() => document.forms[0].submit()) && undefined")

    def sign_in(self) -> None:
        """As somebody who has never been here."""
        self.tab.go(self.home)
        self.at("Sign in")
        self.fill(name="ada", password=PASSWORD)
        self.at("Allow access")
        self.fill()
        self.at("chat")

    def pass_time(self, seconds: int) -> None:
        """Everywhere."""
        self.stage.clock.advance(seconds)
        self.provider.advance(seconds)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("npm"))


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def front() -> Iterator[Stage]:
    """The server of the web app; the stage itself is the API's."""
    with staged() as found:
        yield found


@pytest.fixture
def visit(stage: Stage, front: Stage, script: Path, tabs: Any) -> Iterator[Visit]:
    app = RelyingParty(stage.url)
    app.back = f"http://localhost:{front.url.rpartition(':')[2]}/callback"
    front.app = app.app
    provider = Provider(script, app.back, FakeClock().now() // 1_000_000)
    try:
        app.issuer = provider.issuer
        tab: Tab = tabs()
        tab.call("Network.clearBrowserCookies")
        tab.look()
        yield Visit(stage, app, provider, tab)
        with suppress(AssertionError):  # one that is on its way elsewhere goes with the browser
            tab.call("Page.close")
    finally:
        provider.stop()


def test_a_person_steps_up_and_is_asked_again_when_it_was_long_ago(visit: Visit) -> None:
    began = visit.stage.clock.now() // 1_000_000
    visit.sign_in()
    assert (visit.claims["acr"], visit.claims["auth_time"], visit.claims["aud"]) == (BASIC, began, API)
    assert (visit.statuses, visit.wishes) == ([200], [{}])

    visit.tab.go(visit.home)
    visit.at("Sign in")
    refused = visit.app.answers[-1]
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, CHALLENGE)
    assert f"\nwww-authenticate: {CHALLENGE}\n" in PAGE.read_text()
    assert refused.json()["error"]["code"] == "verification_required"
    assert visit.wishes[1:] == [{"acr_values": KYC, "max_age": "300"}]
    visit.pass_time(20)
    visit.fill(password=PASSWORD, card=CARD)
    visit.at("chat")
    assert (visit.claims["acr"], visit.claims["auth_time"]) == (KYC, began + 20)
    assert visit.statuses == [200, 401, 200]

    visit.pass_time(LATE - 1)
    visit.tab.go(visit.home)
    visit.at("chat")
    visit.pass_time(1)
    visit.tab.go(visit.home)
    visit.at("Sign in")
    assert visit.app.answers[-1].headers["www-authenticate"] == CHALLENGE
    visit.fill(password=PASSWORD, card=CARD)
    visit.at("chat")
    assert (visit.claims["acr"], visit.claims["auth_time"]) == (KYC, began + 20 + LATE)
    assert visit.statuses == [200, 401, 200, 200, 401, 200]
    assert len(visit.wishes) == 3
    assert visit.tab.complaints == []


def test_whoever_signs_in_no_better_is_refused_and_does_not_go_round(visit: Visit) -> None:
    visit.sign_in()
    visit.tab.go(visit.home)
    visit.at("Sign in")
    visit.pass_time(20)
    visit.fill(password=PASSWORD, card="")  # fresh, but a password and no more
    visit.at("refused")
    assert (visit.claims["acr"], visit.claims["auth_time"]) == (BASIC, visit.stage.clock.now() // 1_000_000)
    assert (visit.statuses, len(visit.wishes)) == ([200, 401, 401], 2)
    assert visit.app.answers[-1].headers["www-authenticate"] == CHALLENGE


def test_whoever_has_lately_signed_in_so_elsewhere_is_asked_for_nothing(visit: Visit) -> None:
    """The web app has only the older token, the provider knows better: the browser goes there and back, past no page."""
    visit.sign_in()
    older = visit.app.session.token
    visit.tab.go(visit.home)
    visit.at("Sign in")
    visit.fill(password=PASSWORD, card=CARD)
    visit.at("chat")
    visit.app.session.token = older
    visit.pass_time(200)
    visit.tab.go(visit.home)
    visit.at("chat")
    assert (visit.claims["acr"], visit.claims["auth_time"]) == (KYC, visit.stage.clock.now() // 1_000_000 - 200)
    assert (visit.statuses, visit.wishes[2:]) == ([200, 401, 200, 401, 200], [{"acr_values": KYC, "max_age": "300"}])


async def test_a_better_token_of_somebody_else_s_making_is_none(visit: Visit) -> None:
    """Whatever it claims, and whichever of the provider's keys it names: no step-up is asked for, and none helps."""
    visit.sign_in()
    claims = visit.claims | {"acr": KYC, "auth_time": visit.stage.clock.now() // 1_000_000}
    headers = {"kid": "ES256", "typ": "at+jwt"}
    assert jwt.get_unverified_header(visit.app.session.token) == {"alg": "ES256", **headers}
    forged = jwt.encode(claims, private_key("ES256", 9), "ES256", headers=headers)
    for _ in range(2):
        answer = await visit.app.ask(forged, ROBOT)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
        assert answer.json()["error"]["code"] == "invalid_token"
    assert (await visit.app.ask(visit.app.session.token, ROBOT)).headers["www-authenticate"] == CHALLENGE
