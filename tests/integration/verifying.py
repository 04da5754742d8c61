"""Two providers of identity verification as their services do it, over real HTTP, and the person who is sent to them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import httpx

from ..asgi.kit import policy  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.verifying import NOW, SECRET, WORTH, signed  # noqa: TID252 - likewise
from ..friction.verification.providers.standin import Own, Service, Stripe, Sumsub  # noqa: TID252 - services that serve

__all__ = [
    "NOW", "OURS", "PROVIDERS", "ROBOT", "SECRETS", "SERVERS", "VERIFY", "WORTH", "Office", "Own", "Person", "Service", "Stripe",
    "Sumsub", "document", "standard", "stripe", "sumsub",
]  # fmt: skip

ROBOT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36"
HTML: Final = {"accept": "text/html,application/xhtml+xml"}
STRIPE_SECRET: Final = "whsec_first_secret"  # noqa: S105 - of the stand-in
OURS: Final = "/.guardrail"
SECRETS: Final = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
SERVERS: Final = ("redis", "valkey", "cluster", "fakeredis")
VERIFY: Final = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id"}}


def standard(url: str) -> dict[str, Any]:
    """`ids` is a service of one's own."""
    own = {
        "url": f"{url}/verifications", "hosts": ["id.example"], "token": "own-token-1", "secrets": [SECRET],
        "levels": {"id": WORTH},
    }  # fmt: skip
    return {"use": "standard_webhooks", "with": own, "name": "Example ID"}


def stripe(url: str) -> dict[str, Any]:
    """`ids` is Stripe Identity."""
    own = {"url": url, "key": "rk_live_1", "secrets": [STRIPE_SECRET], "levels": {"id": WORTH}, "documents": True}
    return {"use": "stripe_identity", "with": own, "name": "Stripe Identity"}


def sumsub(url: str) -> dict[str, Any]:
    """`ids` is Sumsub."""
    own = {
        "url": url, "token": "prd:1", "key": "sumsub-secret-key", "secrets": ["sumsub-hook-1"],
        "levels": {"id": {**WORTH, "name": "id-and-selfie"}},
    }  # fmt: skip
    return {"use": "sumsub", "with": own, "name": "Sumsub"}


def document(public: str, ids: Mapping[str, Any], *, ladder: Any = None, **more: Any) -> dict[str, Any]:
    """A robot's second request on is suspicious by two families: what it says of itself, and how much it asks."""
    found = policy(
        {"name": "requests", "rate": "1000/minute"},
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={
            "scorers": [
                {"use": "automation", "with": {"headless": 80}},
                {"use": "velocity", "with": {"attempts": {"from": 1, "full": 2}}},
            ]
        },
        friction={"ladder": ladder or [VERIFY], "hysteresis": 0, "decay": "1s"},
        endpoints={"public_url": public},
        verification={"name": "Example AI", "providers": {"ids": dict(ids)}},
        **more,
    )
    found["identity"]["assurance"] = ["urn:example:basic", "urn:example:kyc"]
    return found


def iso(seconds: int) -> str:
    """As the standard's events have it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Office:
    """The provider's end of webhooks: decides, and says so.

    Args:
        service: whose.
        at: seconds since the epoch; the time that both sides have.
    """

    def __init__(self, service: Service, at: int = NOW) -> None:
        self.service = service
        self.at = at
        self._said = 0

    def webhook(self, state: str, which: int = 1, document: str = "C 01-x00") -> tuple[bytes, dict[str, str]]:
        """Body and fields of one that says what the `which`th verification came to; a second later than the last."""
        self._said += 1
        make = self._stripe if isinstance(self.service, Stripe) else self._own
        return make(state, which, document)

    def _own(self, state: str, which: int, document: str) -> tuple[bytes, dict[str, str]]:
        data = {**self.service.things[f"v{which}"], "state": state}
        if state == "approved":
            data["document"] = document
        said = {"type": "verification.updated", "timestamp": iso(self.at + self._said), "data": data}
        raw = json.dumps(said).encode()
        fields = {name.decode(): value.decode() for name, value in signed(raw, f"msg_{self._said}", self.at)}
        return raw, fields

    def _stripe(self, state: str, which: int, document: str) -> tuple[bytes, dict[str, str]]:
        session = self.service.things[f"vs_{which}"]
        status = {"approved": "verified", "withdrawn": "canceled"}[state]
        session |= {"status": status, "url": None}
        session["last_verification_report"]["document"]["number"] = document
        told = {**session, "last_verification_report": "vr_1"}
        said = {
            "id": f"evt_{self._said}", "object": "event", "created": self.at + self._said,
            "type": f"identity.verification_session.{status}", "data": {"object": told},
        }  # fmt: skip
        raw = json.dumps(said).encode()
        made = hmac.new(STRIPE_SECRET.encode(), f"{self.at}.".encode() + raw, "sha256").hexdigest()
        return raw, {"stripe-signature": f"t={self.at},v1={made}"}

    async def says(self, url: str, state: str, which: int = 1, **more: str) -> Any:
        """Send one to the server at `url`: what it answers."""
        raw, fields = self.webhook(state, which, **more)
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.post(
                f"{url}{OURS}/webhooks/ids", content=raw, headers={"content-type": "application/json", **fields}
            )
        assert answer.status_code == 200, answer.text
        return answer.json()["heard"]


class Seen(NamedTuple):
    """What a browser got."""

    status: int
    text: str
    location: str


class Person:
    """Somebody with a link, and a browser that runs no scripts."""

    def __init__(self, link: str) -> None:
        self.link = link
        self.origin = "/".join(link.split("/")[:3])

    async def looks(self) -> Seen:
        """At the page."""
        return await self._ask("GET")

    async def sends(self, **fields: str) -> Seen:
        """The page's form."""
        own = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        return await self._ask("POST", data=fields, headers=own)

    async def state(self) -> Any:
        """What a program is told."""
        async with httpx.AsyncClient(timeout=20) as client:
            return (await client.get(self.link)).json()

    async def _ask(self, method: str, headers: Mapping[str, str] = {}, **more: Any) -> Seen:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.request(method, self.link, headers={**HTML, **headers}, **more)
        return Seen(answer.status_code, answer.text, answer.headers.get("location", ""))


PROVIDERS: Final = {"own": (Own, standard, "https://id.example/"), "stripe": (Stripe, stripe, "https://verify.stripe.com/")}
"""A stand-in, what the policy says of it, and what the way there begins with."""
