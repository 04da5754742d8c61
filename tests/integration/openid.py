"""An OpenID provider from npm, in a process of its own, and a web app that signs people in there and asks an API for them."""

from __future__ import annotations

import shutil
import subprocess
from base64 import urlsafe_b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING
from urllib.parse import urlencode
from urllib.request import parse_http_list, parse_keqv_list

import httpx2
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from guardrail_mw.testing.processes import HOST, free_port

from ..npm import install  # noqa: TID252 - of all tests

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["API", "CLIENT", "Provider", "RelyingParty", "asked_for", "installed"]

API = "https://models.example"
"""The API's identifier: what tokens for it have in `aud`."""
CLIENT = "example-chat"
SCRIPT = Path(__file__).with_name("openid_provider.mjs")
COOKIE = "chat"


class Provider:
    """oidc-provider, listening; its time stands still."""

    def __init__(self, script: Path, back: str, seconds: int) -> None:
        port = free_port()
        self.issuer = f"http://{HOST}:{port}"
        self._log = script.with_suffix(f".{port}.log")
        command = ["node", script.name, str(port), str(seconds), CLIENT, back, API]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=script.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._heard("ready")

    def advance(self, seconds: int) -> None:
        """Let time pass there."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        self._heard("")

    def stop(self) -> None:
        """Its input ends, and so does it."""
        try:
            self._process.communicate(timeout=20)
        finally:
            self._process.kill()

    def _heard(self, word: str) -> None:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said.endswith("\n"), self._log.read_text()
        assert said.startswith(word), said


def installed(folder: Path) -> Path:
    """The provider's script beside a `node_modules` with the library, in a folder outside the repository."""
    install(folder, "oidc-provider@9")
    return Path(shutil.copy(SCRIPT, folder))


def asked_for(answer: httpx2.Response) -> dict[str, str]:
    """What an API wants of the next sign-in (RFC 9470, section 3); nothing, where it wants something else."""
    scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
    told = parse_keqv_list(parse_http_list(rest)) if scheme.lower() == "bearer" and rest else {}
    if answer.status_code != httpx2.codes.UNAUTHORIZED or told.get("error") != "insufficient_user_authentication":
        return {}
    return {name: told[name] for name in ("acr_values", "max_age") if name in told}


class Session:
    """What is known of one browser."""

    def __init__(self) -> None:
        self.token = ""
        self.state = ""
        self.verifier = ""
        self.asked: dict[str, str] = {}
        """For what it was sent away."""


class RelyingParty:
    """Whoever comes to `/` is signed in, and the API is asked one question for them, in the browser's own name.

    Args:
        api: root of the API.
    """

    def __init__(self, api: str) -> None:
        self.issuer = ""
        self.back = ""
        self.answers: list[httpx2.Response] = []
        """The API's."""
        self.sessions: dict[str, Session] = {}
        self._api = api
        self.app = Starlette(routes=[Route("/", self._home), Route("/callback", self._callback)])

    @property
    def session(self) -> Session:
        """The only browser's."""
        (session,) = self.sessions.values()
        return session

    async def _home(self, request: Request) -> Response:
        session = self.sessions.get(request.cookies.get(COOKIE, ""))
        if session is None:
            name = token_urlsafe()
            session = self.sessions[name] = Session()
            answer = self._sign_in(session, {})
            answer.set_cookie(COOKIE, name, httponly=True, samesite="lax")
            return answer
        answered = await self.ask(session.token, request.headers["user-agent"])
        asked = asked_for(answered)
        if not asked:
            session.asked = {}
            title = "chat" if answered.is_success else "failed"
            return self._page(title, answered.text[:400])
        if asked == session.asked:  # it has been there for just that
            session.asked = {}
            return self._page("refused", "The models ask for more than this sign-in has shown.")
        return self._sign_in(session, asked)

    async def ask(self, token: str, agent: str) -> httpx2.Response:
        """One question for whoever has this token."""
        headers = {"authorization": f"Bearer {token}", "user-agent": agent}
        question = {"model": "demo-small", "messages": [{"role": "user", "content": "How do you count?"}]}
        async with httpx2.AsyncClient() as http:
            answer = await http.post(f"{self._api}/v1/chat/completions", json=question, headers=headers)
        self.answers.append(answer)
        return answer

    def _sign_in(self, session: Session, asked: dict[str, str]) -> RedirectResponse:
        """RFC 9470, section 4: what was asked for goes to the provider as it came."""
        session.state, session.verifier, session.asked = token_urlsafe(), token_urlsafe(48), asked
        digest = urlsafe_b64encode(sha256(session.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": CLIENT,
            "redirect_uri": self.back,
            "scope": "openid chat",
            "resource": API,
            "state": session.state,
            "code_challenge": digest,
            "code_challenge_method": "S256",
            **asked,
        }
        return RedirectResponse(f"{self.issuer}/auth?{urlencode(query)}", 303)

    async def _callback(self, request: Request) -> Response:
        session = self.sessions[request.cookies[COOKIE]]
        told = request.query_params
        if told.get("state") != session.state or told.get("iss") != self.issuer or "code" not in told:
            return self._page("failed", str(told))
        form = {
            "grant_type": "authorization_code",
            "client_id": CLIENT,
            "redirect_uri": self.back,
            "code": told["code"],
            "code_verifier": session.verifier,
        }
        async with httpx2.AsyncClient() as http:
            answer = await http.post(f"{self.issuer}/token", data=form)
        session.token = answer.raise_for_status().json()["access_token"]
        return RedirectResponse("/", 303)

    def _page(self, title: str, text: str) -> HTMLResponse:
        head = f'<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href="data:,"><title>{title}</title>'
        return HTMLResponse(f"{head}<h1>{title}</h1><p>{escape(text)}")
