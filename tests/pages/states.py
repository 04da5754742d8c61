"""Every page of verification and appeals, by name: what it is made of, but the language and the nonce."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, get_args
from urllib.parse import parse_qsl

from guardrail_mw.asgi.pages.verifying import (
    Appealed,
    Closed,
    appeal_page,
    closed_page,
    consent_page,
    decide_page,
    state_page,
    waiting_page,
)
from guardrail_mw.asgi.pages.verifying import (
    Verifying as State,
)

from .browser import Post, Site
from .reading import NONCE

Page = Callable[..., tuple[list[tuple[bytes, bytes]], bytes]]

VERIFY: Final = "/.guardrail/verify/SEALED"
APPEAL: Final = "/.guardrail/appeal/SEALED"
DECISION: Final = "d-7f3a9c2e41"
UNTIL: Final = "2026-12-14T10:00:00Z"
OURS: Final[dict[str, Any]] = {"service": "Example AI", "who": "API key ending in 1a2b", "nonce": NONCE}

CONSENT: Page = partial(
    consent_page,
    action=VERIFY,
    provider="Stripe Identity",
    level="id and selfie",
    organisation=False,
    until=UNTIL,
    decision=DECISION,
    appeal=APPEAL,
    onward=["https://verify.stripe.com"],
    **OURS,
)
STATE: Page = partial(
    state_page,
    provider="Stripe Identity",
    until=UNTIL,
    again=f"{VERIFY}?again=1",
    appeal=APPEAL,
    decision=DECISION,
    **OURS,
)
APPEALS: Page = partial(
    appeal_page,
    action=APPEAL,
    decision=DECISION,
    state="",
    reason="",
    text="We are an office of twelve.\nAll of us use one network.",
    most=2000,
    **OURS,
)
DECIDE: Page = partial(decide_page, action=VERIFY, onward=["https://app.example"], **OURS)
WAITING: Page = partial(waiting_page, until=UNTIL, **OURS)
CLOSED: Page = partial(closed_page, nonce=NONCE, again=VERIFY)

REASON: Final = "The office's network is known to us now. Its twelve accounts are apart again."

PAGES: Final[dict[str, Page]] = {
    "consent": CONSENT,
    "consent-organisation": partial(CONSENT, organisation=True, who="organisation “Example Labs”"),
    "consent-manual": partial(CONSENT, by="manual", provider="Example AI"),
    "consent-simulated": partial(CONSENT, by="simulated", provider="nobody", until="", appeal="", onward=[]),
    **{f"state-{state}": partial(STATE, state=state) for state in get_args(State)},
    "decide": DECIDE,
    "waiting": WAITING,
    **{f"appeal-{state or 'new'}": partial(APPEALS, state=state, reason=REASON) for state in get_args(Appealed)},
    **{f"closed-{why}": partial(CLOSED, why=why) for why in get_args(Closed)},
}


def long(text: str) -> dict[str, Any]:
    """Nothing in it can be broken at a blank."""
    return {"service": text, "who": text}


class VerifyingSite(Site):
    """Every page at `/NAME`, made with `settings`. What is posted leads to `onward`."""

    def __init__(self) -> None:
        super().__init__()
        self.onward = "/after"

    def get(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.partition("?")[0].removeprefix("/")
        if name in PAGES:
            self.answer(request, 200, *PAGES[name](**self.settings))
        else:
            super().get(request)

    def post(self, request: BaseHTTPRequestHandler) -> None:
        text = request.rfile.read(int(request.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.posts.put(Post(request.path, headers, parse_qsl(text, keep_blank_values=True), verified=False))
        self.answer(request, 303, [(b"location", self.onward.encode())], b"")
