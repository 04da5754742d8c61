"""A guarded app whose ladder asks for an identity, and a provider of ours that verifies it: what tests of verification share."""

from __future__ import annotations

import base64
import hmac
import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlencode

from ..friction.verification.providers.standin import Own, Service  # noqa: TID252 - a service that serves
from .kit import JSON, Answer, CountingStore, Guarded, Upstream, chat, policy

__all__ = [
    "CHAT", "FORM", "HTML", "JSON", "KEY", "NOW", "OTHER_KEY", "PUBLIC", "ROBOT", "SAME", "SECOND", "SECRET", "Answer",
    "CountingStore", "Guarded", "Own", "Service", "ask", "begin", "event", "guarded", "link", "look", "path_of", "refused",
    "report", "said", "scope", "signed", "text_of",
]  # fmt: skip

CHAT = "/v1/chat/completions"
KEY = (b"authorization", b"Bearer sk-0123456789-1a2b")
OTHER_KEY = (b"authorization", b"Bearer sk-0123456789-3c4d")
PUBLIC = "https://api.example"
ROBOT = (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36")
HTML = (b"accept", b"text/html,application/xhtml+xml")
FORM = (b"content-type", b"application/x-www-form-urlencoded")
SAME = (b"sec-fetch-site", b"same-origin")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the specification's vector
NOW = 1_767_225_600
SECOND = 1_000_000
WORTH = {"ial": "2", "acr": "urn:example:kyc"}


def guarded(
    service: Service | None = None,
    *,
    use: str = "standard_webhooks",
    store: Any = None,
    ladder: Any = None,
    verification: Any = None,
    limits: Any = (),
    **more: Any,
) -> Guarded:
    """A robot's second request on is suspicious by two families: what it says of itself, and how much it asks."""
    own: dict[str, Any] = {"levels": {"id": WORTH, "basic": {"ial": "1"}}}
    if use == "standard_webhooks":
        url = service.url if service is not None else "https://id.example"
        own |= {"url": f"{url}/verifications", "hosts": ["id.example"], "token": "own-token-1", "secrets": [SECRET]}
    if use == "simulated":
        own["i_know_it_proves_nothing"] = True
    rung = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id"}}
    document = policy(
        {"name": "requests", "rate": "1000/minute"},
        *limits,
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={
            "scorers": [
                {"use": "automation", "with": {"headless": 80}},
                {"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}},
            ]
        },
        friction={"ladder": ladder or [rung], "hysteresis": 0, "decay": "1s"},
        endpoints={"public_url": PUBLIC},
        verification={"name": "Example AI", "providers": {"ids": {"use": use, "with": own}}, **(verification or {})},
        **more,
    )
    document["identity"]["assurance"] = ["urn:example:basic", "urn:example:kyc"]
    return Guarded(Upstream(), document, store=store)


async def ask(site: Guarded, *headers: tuple[bytes, bytes], key: Any = KEY, path: str = CHAT) -> Answer:
    """A request of a robot's."""
    return await site.post(path, chat(), key, ROBOT, JSON, *headers)


async def refused(site: Guarded, *headers: tuple[bytes, bytes], key: Any = KEY) -> Answer:
    """The answer to its second; the first passes, for two families are asked for."""
    assert (await ask(site, key=key)).status == 200
    return await ask(site, *headers, key=key)


def said(answer: Answer) -> Any:
    """The error of a refusal in openai's dialect."""
    return answer.json["error"]


def path_of(url: str) -> str:
    """What of an address is the server's."""
    assert url.startswith(PUBLIC), url
    return url.removeprefix(PUBLIC)


async def link(site: Guarded, key: Any = KEY) -> str:
    """The path of an account's verification."""
    return path_of(said(await refused(site, key=key))["verification_url"])


async def begin(site: Guarded, path: str, *headers: tuple[bytes, bytes], **fields: str) -> Answer:
    """Consent, as the page's form does."""
    body = urlencode(fields or {"consent": "yes"}).encode()
    return await site.ask(scope(path, "POST", FORM, *(headers or (SAME, HTML))), body)


def scope(path: str, method: str, *headers: tuple[bytes, bytes]) -> Any:
    """Of a request; a query stands behind `?`."""
    bare, _, query = path.partition("?")
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "https", "path": bare,
        "raw_path": bare.encode(), "query_string": query.encode(), "root_path": "", "headers": list(headers),
        "client": ("198.51.100.7", 50_000), "server": ("testserver", 443), "state": {},
    }  # fmt: skip


async def look(site: Guarded, path: str, *headers: tuple[bytes, bytes]) -> Answer:
    """GET, of who has no credential."""
    return await site.ask(scope(path, "GET", *headers), b"")


def event(service: Own, state: str, when: str = "2026-01-01T00:01:00Z", which: str = "v1", **more: str) -> bytes:
    """What the provider says of a verification."""
    data = {**service.things[which], "state": state, **more}
    return json.dumps({"type": "verification.updated", "timestamp": when, "data": data}).encode()


def signed(raw: bytes, name: str = "msg_1", stamp: int = NOW, secret: str = SECRET) -> list[tuple[bytes, bytes]]:
    """As the specification has it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = base64.b64encode(hmac.new(key, f"{name}.{stamp}.".encode() + raw, "sha256").digest()).decode()
    return [
        (b"webhook-id", name.encode()),
        (b"webhook-timestamp", str(stamp).encode()),
        (b"webhook-signature", f"v1,{made}".encode()),
    ]


async def report(site: Guarded, raw: bytes, name: str = "msg_1", *, provider: str = "ids", **more: Any) -> Answer:
    """Have a webhook come in."""
    fields = signed(raw, name, **more)
    return await site.ask(scope(f"/.guardrail/webhooks/{provider}", "POST", JSON, *fields), raw)


def text_of(answer: Answer) -> str:
    """What a page says, its tags left out."""
    return unescape(re.sub(r"<style.*?</style>|<[^>]+>", " ", answer.body.decode(), flags=re.DOTALL))
