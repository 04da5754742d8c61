"""The page that a browser gets instead of a 403, and the one that sends a form again: each is one response, and calls nobody.

Pure functions: the static parts are read once. The answer is posted to the challenge's address by a form with `case`, `answer`,
`return` and, where a form was held up, `form`: its body as it was sent, urlencoded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final, Literal
from urllib.parse import urlencode

from guardrail_mw.asgi.pages.sheet import (
    PATH,
    Field,
    Html,
    check,
    hidden,
    note,
    origin,
    paragraph,
    policy,
    sheet,
    static,
    words_or_ours,
)
from guardrail_mw.asgi.pages.widgets import Widget
from guardrail_mw.asgi.pages.words import Words

__all__ = ["Again", "challenge_page", "resend_page", "safe_return"]

Again = Literal["", "failed", "expired", "spent", "cookies"]
"""Why a challenge is shown again."""

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
    appeal: str = "",
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
        appeal: the address of an appeal; empty for none.

    Returns:
        Headers (content-type and content-length among them) and body, in UTF-8. The status is the caller's.

    Raises:
        ValueError: a nonce or an action that cannot be used.
    """
    check(nonce, action, *filter(None, [appeal]))
    language = words_or_ours(words).choose(languages)
    texts = language.words
    back = safe_return(back, action)
    objects = texts.get("verify_appeal_link", "") if appeal else ""
    held = [("case", str(challenge["case"])), ("answer", ""), ("return", back)]
    if fields is not None:
        held.append(("form", urlencode(fields, errors="replace")))
    data: dict[str, Any] = {"reload": method == "GET", "wait": bool(again)}
    data["said"] = {name: texts[name] for name in (_SAID if service is None else _SAID_OF_SERVICES)}
    if service is None:
        data["challenge"] = {name: challenge[name] for name in ("parameters", "signature")}
    kept = "" if method == "GET" else texts["lost" if fields is None else "kept"]
    said = {name: texts[name] for name in ("noscript", "why_title", "help_title", "help")} | {
        "again": note("again", texts[f"again_{again}"]) if again else "",
        "lead": paragraph("" if again and service is None else texts["lead" if service is None else "service_lead"]),
        "keeping": paragraph(kept),
        "work": _work(service, texts["progress"]),
        "action": action,
        "fields": hidden(held),
        "why": texts["why"] if service is None else texts["service_why"].replace("{service}", service.name),
        "decision": decision,
        "appeal": paragraph(Html(f'<a href="{escape(appeal)}">{escape(objects)}</a>') if objects else ""),
    }
    return sheet(
        "challenge.html",
        language,
        policy(nonce, [action, back], None if service is None else service.origins, script=True),
        nonce=nonce,
        title=texts["title"],
        said=said,
        after=_scripts(data, service, nonce),
    )


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
    check(nonce)
    language = words_or_ours(words).choose(languages)
    texts = language.words
    back = safe_return(back)
    said = {"send_lead": texts["send_lead"], "send": texts["send"], "back": back, "fields": hidden(fields)}
    csp = policy(nonce, [back], script=False)
    return sheet("resend.html", language, csp, nonce=nonce, title=texts["send_title"], said=said)


def safe_return(back: str, action: str = "") -> str:
    r"""Where somebody may be sent back to: a path of this origin, or an address on the origin of `action`; else `/`.

    What browsers take for another origin (`//host`, `/\host`, what has blanks or control characters in it) is no path.
    """
    if PATH.fullmatch(back) or (origin(action) and PATH.fullmatch(back.removeprefix(origin(action)))):
        return back
    return "/"


def _work(service: Widget | None, label: str) -> Html:
    """What the answer comes from."""
    if service is None:
        return Html(f'<progress id="progress" max="1" value="0" aria-label="{escape(label)}"></progress>')
    data = {**service.data, "callback": "guardrailAnswer", "expired-callback": "guardrailLate"}
    data["error-callback"] = "guardrailError"
    attributes = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    return Html(f'<div id="widget" class="{escape(service.classes)}"{attributes}></div>')


def _scripts(data: Mapping[str, Any], service: Widget | None, nonce: str) -> Html:
    """What the page's own script is told, the script, and a service's."""
    told = json.dumps(data).translate(_IN_SCRIPT)
    own = "\n".join(map(static, ("sha256.js", "altcha.js") if service is None else ("service.js",)))
    lines = [
        f'<script type="application/json" id="data">{told}</script>',
        f'<script nonce="{nonce}">(() => {{"use strict"\n{own}\n}})()</script>',
    ]
    if service is not None:
        lines.append(f'<script nonce="{nonce}" src="{escape(service.script)}" async defer></script>')
    return Html("\n".join(lines))
