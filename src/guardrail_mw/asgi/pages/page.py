"""The page that a browser gets instead of a 403, and the one that sends a form again: each is one response, and calls nobody.

Pure functions: the static parts are read once. The answer is posted to the challenge's address by a form with `case`, `answer`,
`return` and, where a form was held up, `form`: its body as it was sent, urlencoded. Forms need an `Origin` that can be checked,
which browsers leave out (`null`) under `Referrer-Policy: no-referrer`; therefore it is `strict-origin` here, which tells no path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

from guardrail_mw.asgi.pages.widgets import Widget
from guardrail_mw.asgi.pages.words import Language, Words

__all__ = ["Again", "challenge_page", "resend_page", "safe_return"]

Field = tuple[bytes, bytes]
Again = Literal["", "failed", "expired", "spent", "cookies"]
"""Why a challenge is shown again."""

_PLACE: Final = re.compile(r"\{\{([a-z_]+)\}\}")
_NONCE: Final = re.compile(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
_IN_SCRIPT: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
_SAID: Final = (
    "ready",
    "working",
    "seconds",
    "minutes",
    "slow",
    "stopped",
    "done",
    "broken",
    "start",
    "stop",
    "retry",
    "go_on",
)
_SAID_OF_SERVICES: Final = ("done", "blocked", "late", "retry", "go_on")


class _Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


def challenge_page(  # noqa: PLR0913 - what a page is made of, by name
    challenge: Mapping[str, Any],
    *,
    decision: str,
    action: str,
    back: str,
    nonce: str,
    fields: Sequence[tuple[str, str]] | None = None,
    method: Literal["GET", "POST"] = "GET",
    languages: str = "",
    again: Again = "",
    service: Widget | None = None,
    words: Words | None = None,
) -> tuple[list[Field], bytes]:
    """The page on which a challenge is solved: by the browser itself, or with a service's widget.

    Args:
        challenge: the member `challenge` of a refusal, with `case`; for altcha with `parameters` and `signature`.
        decision: the id that a person tells the operator.
        action: where the answer is posted: a path, or an address with an origin.
        back: where the person was going; see `safe_return`.
        nonce: unguessable, made for this one response: at least 16 characters of base64.
        fields: of the form that was held up; None where there was none, or it cannot be kept.
        method: of the request that was held up. Other than GET without `fields` is said to be lost.
        languages: the request's `Accept-Language`.
        again: why it is shown again. Then nothing begins without a click, or a browser without cookies would go round for ever.
        service: the widget; None for altcha, which is solved by the page's own script.
        words: an operator's own; the package's where None.

    Returns:
        Headers (content-type and content-length among them) and body, in UTF-8. The status is the caller's.

    Raises:
        ValueError: a nonce or an action that cannot be used.
    """
    _check(nonce, action)
    language = _words(words).choose(languages)
    said = language.words
    back = safe_return(back, action)
    hidden = [("case", str(challenge["case"])), ("answer", ""), ("return", back)]
    if fields is not None:
        hidden.append(("form", urlencode(fields, errors="replace")))
    data: dict[str, Any] = {"reload": method == "GET", "wait": bool(again)}
    data["said"] = {name: said[name] for name in (_SAID if service is None else _SAID_OF_SERVICES)}
    if service is None:
        data["challenge"] = {name: challenge[name] for name in ("parameters", "signature")}
    kept = "" if method == "GET" else said["lost" if fields is None else "kept"]
    body = _fill(
        "challenge.html",
        {name: said[name] for name in ("title", "noscript", "why_title", "help_title", "help")},
        lang=language.tag,
        dir=language.dir,
        nonce=nonce,
        style=_Html(_static("page.css")),
        again=_note("again", said[f"again_{again}"]) if again else "",
        lead=_paragraph("" if again and service is None else said["lead" if service is None else "service_lead"]),
        keeping=_paragraph(kept),
        work=_work(service, said["progress"]),
        action=action,
        fields=_hidden(hidden),
        why=said["why"] if service is None else said["service_why"].replace("{service}", service.name),
        decision=decision,
        data=_Html(json.dumps(data).translate(_IN_SCRIPT)),
        script=_script("sha256.js", "altcha.js") if service is None else _script("service.js"),
        outside=_outside(service, nonce),
    )
    return _answer(body, language, _policy(nonce, [action, back], service, script=True))


def resend_page(
    *,
    back: str,
    fields: Iterable[tuple[str, str]],
    nonce: str,
    languages: str = "",
    words: Words | None = None,
) -> tuple[list[Field], bytes]:
    """The page after a challenge that held up a form: it has the form's fields, and a button that sends them. No script.

    Args:
        back: where the form was going, on this origin; see `safe_return`.
        fields: of the form, in their order, as `urllib.parse.parse_qsl(…, keep_blank_values=True)` reads `form`.
        nonce: as in `challenge_page`.
        languages: the request's `Accept-Language`.
        words: an operator's own; the package's where None.

    Raises:
        ValueError: a nonce that cannot be used.
    """
    _check(nonce)
    language = _words(words).choose(languages)
    back = safe_return(back)
    body = _fill(
        "resend.html",
        {name: language.words[name] for name in ("send_title", "send_lead", "send")},
        lang=language.tag,
        dir=language.dir,
        nonce=nonce,
        style=_Html(_static("page.css")),
        back=back,
        fields=_hidden(fields),
    )
    return _answer(body, language, _policy(nonce, [back], None, script=False))


def safe_return(back: str, action: str = "") -> str:
    r"""Where somebody may be sent back to: a path of this origin, or an address on the origin of `action`; else `/`.

    What browsers take for another origin (`//host`, `/\host`, what has blanks or control characters in it) is no path.
    """
    if _PATH.fullmatch(back) or (_origin(action) and _PATH.fullmatch(back.removeprefix(_origin(action)))):
        return back
    return "/"


def _origin(url: str) -> str:
    """`https://host:port` of an absolute address; empty for a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} and parts.netloc else ""


def _check(nonce: str, action: str = "/") -> None:
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is at least 16 characters of base64")
    origin = _origin(action)
    if not _PATH.fullmatch(action.removeprefix(origin)) or not re.fullmatch(r"[^\s;,'\"@]*", origin):
        raise ValueError("the action is neither a path nor an http address")


def _answer(body: bytes, language: Language, policy: str) -> tuple[list[Field], bytes]:
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"content-language", language.tag.encode("ascii")),
        (b"content-security-policy", policy.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"strict-origin"),
        (b"x-content-type-options", b"nosniff"),
    ], body


def _policy(nonce: str, targets: Iterable[str], service: Widget | None, *, script: bool) -> str:
    """The Content-Security-Policy. A redirect after a post is held to `form-action` too, so `back` is among the targets."""
    own = [f"'nonce-{nonce}'"]
    directives = {"default-src": ["'none'"], "style-src": own}
    if script:
        directives["script-src"] = own
    for directive, sources in (service.origins if service is not None else {}).items():
        directives[directive] = [*directives.get(directive, ()), *sources]
    forms = dict.fromkeys(origin for target in targets if (origin := _origin(target)))
    directives |= {"form-action": ["'self'", *forms], "base-uri": ["'none'"], "frame-ancestors": ["'none'"]}
    if service is None:
        directives["require-trusted-types-for"] = ["'script'"]
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in directives.items())


def _work(service: Widget | None, label: str) -> _Html:
    """What the answer comes from."""
    if service is None:
        return _Html(f'<progress id="progress" max="1" value="0" aria-label="{escape(label)}"></progress>')
    data = {**service.data, "callback": "guardrailAnswer", "expired-callback": "guardrailLate"}
    data["error-callback"] = "guardrailError"
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return _Html(f'<div id="widget" class="{escape(service.classes)}"{attributes}></div>')


def _outside(service: Widget | None, nonce: str) -> _Html:
    if service is None:
        return _Html("")
    return _Html(f'<script nonce="{nonce}" src="{escape(service.script)}" async defer></script>')


def _paragraph(text: str) -> _Html:
    return _Html(f"<p>{escape(text)}</p>" if text else "")


def _note(name: str, text: str) -> _Html:
    return _Html(f'<p id="{name}" class="note">{escape(text)}</p>')


def _hidden(fields: Iterable[tuple[str, str]]) -> _Html:
    inputs = (f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields)
    return _Html("\n".join(inputs))


def _fill(template: str, said: Mapping[str, str], **values: str) -> bytes:
    """A template with its places filled, in one pass: what is filled in is never looked at again."""
    every = {**said, **values}

    def place(match: re.Match[str]) -> str:
        value = every[match[1]]
        return value if isinstance(value, _Html) else escape(value)

    return _PLACE.sub(place, _static(template)).encode("utf-8", "replace")


def _script(*names: str) -> _Html:
    parts = "\n".join(map(_static, names))
    return _Html(f'(() => {{"use strict"\n{parts}\n}})()')


@cache
def _static(name: str) -> str:
    """A file that ships beside this one, without indentation, blank lines and lines that are comments."""
    lines = (line.strip() for line in (files("guardrail_mw.asgi.pages") / name).read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def _ours() -> Words:
    return Words()


def _words(words: Words | None) -> Words:
    return words if words is not None else _ours()
