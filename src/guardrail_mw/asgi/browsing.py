"""What browsers get where others get JSON: the page on which a challenge is solved, and the way back to where they were going.

A request that changes something is never sent again by itself. Of a form that was held up the page has a copy, if it came from
this origin and is not too long; once the challenge is solved, it comes back with a button. The case is sealed over what the form
was and where it was going, so that nobody else's form comes back in its place.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from guardrail_mw.asgi.pages.page import challenge_page, resend_page
from guardrail_mw.asgi.pages.widgets import Widget, hcaptcha, recaptcha, turnstile
from guardrail_mw.asgi.pages.words import Words
from guardrail_mw.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardrail_mw.asgi.pages.page import Again
    from guardrail_mw.asgi.types import Receive, Scope
    from guardrail_mw.policy.endpoints import EndpointsSettings
    from guardrail_mw.values import Headers

__all__ = [
    "FORM",
    "NOTHING",
    "Held",
    "back_of",
    "digest",
    "held",
    "is_form",
    "is_json",
    "languages",
    "page",
    "read",
    "resend",
    "same_origin",
    "shown",
    "words_of",
]

logger = logging.getLogger("guardrail_mw")

FORM: Final = 65_536
"""Bytes of a form that is kept, as it was sent and as it comes back."""
_FIELDS: Final = 1_000
_FORM: Final = "application/x-www-form-urlencoded"
_PORTS: Final = {"http": 80, "https": 443}

Header = tuple[bytes, bytes]


class Held(NamedTuple):
    """The request that was held up."""

    method: str
    form: str
    """Its fields, urlencoded; empty for none that is kept."""

    @property
    def fields(self) -> Sequence[tuple[str, str]] | None:
        """Of the form; None where none is kept."""
        return parse_qsl(self.form, keep_blank_values=True, max_num_fields=_FIELDS) if self.form else None


NOTHING: Final = Held("GET", "")


def is_form(headers: Headers) -> bool:
    """Whether a body is a form's, urlencoded."""
    found = [value for name, value in headers if name == b"content-type"]
    return len(found) == 1 and found[0].split(b";", 1)[0].strip().lower() == _FORM.encode()


def is_json(headers: Headers) -> bool:
    """Whether a body says that it is JSON: a page of another site can send none that does, unless CORS lets it."""
    found = [value for name, value in headers if name == b"content-type"]
    return len(found) == 1 and found[0].split(b";", 1)[0].strip().lower() == b"application/json"


def same_origin(headers: Headers, settings: EndpointsSettings) -> bool:
    """Whether a browser says that a page of this origin sent a request; who sends no such field is no browser, or an old one.

    `Sec-Fetch-Site` (Fetch Metadata) says so itself; `Origin` (RFC 6454) must be the public address, or where the policy has
    none, the host that was asked. Whoever can choose both fields is no victim's browser.
    """
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        fields.setdefault(name, value)
    site = fields.get(b"sec-fetch-site")
    if site is not None and site.lower() not in {b"same-origin", b"none"}:
        return False
    origin = fields.get(b"origin")
    if origin is None:
        return True
    said = origin.decode("latin-1").lower()
    if settings.origin:
        return said == settings.origin
    return _host(said) == _host("http://" + fields.get(b"host", b"").decode("latin-1").lower()) != ""


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    return f"{parts.hostname}:{port}" if port not in {None, *_PORTS.values()} else parts.hostname or ""


def back_of(scope: Scope, settings: EndpointsSettings) -> str:
    """Where a browser was going, from the server's root: what a redirect may lead to.

    A path that could be read as another host's is the root: `//host`, and a backslash, which browsers take for a slash.
    """
    raw = scope.get("raw_path")
    path = raw.decode("latin-1") if isinstance(raw, bytes) else str(scope["path"])
    query = scope.get("query_string") or b""
    root = settings.root
    if root and path != root and not path.startswith(f"{root}/"):  # a proxy in front cut it off
        path = root + path
    found = path + (f"?{query.decode('latin-1')}" if query else "")
    fine = found.startswith("/") and not found.startswith("//") and "\\" not in found
    return found if fine and found.isascii() and not any(each <= " " or each == "\x7f" for each in found) else "/"


async def held(scope: Scope, receive: Receive, settings: EndpointsSettings) -> Held:
    """The request that is held up, with its form where that can be kept."""
    method, headers = scope["method"], scope["headers"]
    if method in {"GET", "HEAD"}:
        return NOTHING
    if method != "POST" or not is_form(headers) or not same_origin(headers, settings):
        return Held(method, "")
    body = await read(receive, FORM)
    return Held(method, _plain(body.decode("latin-1")) if body is not None else "")


def _plain(form: str) -> str:
    """A form as our page sends it back, whoever encoded it (browsers and `urlencode` differ in `*` and `~`); empty for none."""
    if not form.isascii():
        return ""
    try:
        plain = urlencode(parse_qsl(form, keep_blank_values=True, max_num_fields=_FIELDS), errors="replace")
    except ValueError:
        return ""
    return plain if len(plain) <= FORM else ""


async def read(receive: Receive, most: int) -> bytes | None:
    """A whole body, or None for one of more than `most` bytes; a client that goes away has sent what it has."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body") or b""
        if len(body) > most:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def digest(form: str) -> str:
    """What a case says of a form; empty for none."""
    return sha256(form.encode()).hexdigest()[:32] if form else ""


def shown(kind: str) -> bool:
    """Whether there is a page for challenges of this kind; others are for clients that know them."""
    return kind == "altcha" or kind in _WIDGETS


@lru_cache(8)
def words_of(folder: str | None) -> Words | None:
    """The words of a policy's folder, read once; None for the package's own, which stand in for a folder that became bad."""
    if folder is None:
        return None
    try:
        return Words(Path(folder))
    except PolicyError as error:
        logger.error("The words of pages are the package's own. %s", error)  # noqa: TRY400 - its text says all
        return None


def page(  # noqa: PLR0913 - what a page is made of, by name
    challenge: Mapping[str, Any],
    request: Held,
    *,
    decision: str,
    back: str,
    languages: str,
    again: Again = "",
    words: Words | None = None,
    appeal: str = "",
) -> tuple[list[Header], bytes]:
    """The page on which a challenge is solved; see `challenge_page`."""
    kind = str(challenge["type"])
    widget = _WIDGETS[kind](challenge) if kind in _WIDGETS else None
    return challenge_page(
        challenge,
        decision=decision,
        action=str(challenge["url"]),
        back=back,
        nonce=token_urlsafe(18),
        fields=request.fields,
        method="GET" if request.method == "GET" else "POST",
        languages=languages,
        again=again,
        service=widget,
        words=words,
        appeal=appeal,
    )


def resend(request: Held, *, back: str, languages: str, words: Words | None = None) -> tuple[list[Header], bytes]:
    """The page with the form that was held up, and a button."""
    return resend_page(back=back, fields=request.fields or (), nonce=token_urlsafe(18), languages=languages, words=words)


def languages(headers: Headers) -> str:
    """What a browser would rather read."""
    return next((value.decode("latin-1") for name, value in headers if name == b"accept-language"), "")


def _of_turnstile(challenge: Mapping[str, Any]) -> Widget:
    return turnstile(challenge["sitekey"], action=challenge["action"], cdata=challenge["cdata"])


_WIDGETS: Final[Mapping[str, Callable[[Mapping[str, Any]], Widget]]] = {
    "turnstile": _of_turnstile,
    "hcaptcha": lambda challenge: hcaptcha(challenge["sitekey"]),
    "recaptcha": lambda challenge: recaptcha(challenge["sitekey"]),
}
