"""The pages of verification and appeals: consent, what has become of it, an appeal, and links that lead no further. No script.

Pure functions, as the challenge's page: the status is the caller's, and so is every check of what is posted; a browser's
`required` and `maxlength` are there to help people. A page is in one language wholly; see `Words.choose`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, Literal

from guardrail_mw.asgi.pages.parts import code_of, facts_of, language_of, links_of, quotes_of, sheet_of, until_of
from guardrail_mw.asgi.pages.sheet import Field, Html, check, paragraph, place
from guardrail_mw.asgi.pages.words import Words

__all__ = [
    "Appealed",
    "By",
    "Closed",
    "Verifying",
    "appeal_page",
    "closed_page",
    "consent_page",
    "decide_page",
    "state_page",
    "waiting_page",
]

By = Literal["service", "manual", "simulated"]
"""Who checks: another company, on its own pages; a person at the operator's; nobody."""
Verifying = Literal["started", "pending", "approved", "declined", "expired", "withdrawn", "duplicate", "busy", "later"]
"""What has become of a verification: the states of providers; it has begun, and the person has not done their part; the document
or the person has vouched too often; it was begun a moment ago and is not under way yet; the provider cannot be reached."""
Appealed = Literal["", "open", "granted", "refused"]
"""What has become of an appeal; empty before there is one."""
Closed = Literal["expired", "unknown", "foreign", "many", "unavailable", "large"]
"""Why a link leads no further: it is over; it is damaged, or none of ours; the form was posted from another site; too many
attempts; something of ours is down; the text was too long."""

_LOOKS: Final = frozenset({"pending", "busy"})
"""What changes by itself."""
_UNDER_WAY: Final = frozenset({"started", "pending"})
"""What may be gone on with: providers cannot always tell whether they wait for the person."""


def consent_page(  # noqa: PLR0913 - what a page is made of, by name
    *,
    action: str,
    service: str,
    who: str,
    provider: str,
    level: str,
    organisation: bool,
    until: str,
    decision: str,
    appeal: str,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
    onward: Sequence[str] = (),
    by: By = "service",
) -> tuple[list[Field], bytes]:
    """The page that asks for consent before anybody is sent to a provider. It posts `consent=yes`.

    Args:
        action: where consent is posted: a path, or an address with an origin.
        service: for whom people are verified.
        who: a hint at who is verified, by which its owner knows it: “API key ending in 1a2b”.
        provider: the name of who checks.
        level: what is checked, as the policy names it.
        organisation: the account's organisation is verified, not the account alone.
        until: by when, in UTC as RFC 3339 writes it; anything else stands as it is; empty where there is no deadline.
        decision: the id that a person tells the operator.
        appeal: the address of an appeal; empty for none.
        nonce: unguessable, made for this one response: at least 16 characters of base64.
        languages: the request's `Accept-Language`.
        words: an operator's own; the package's where None.
        onward: the origins that the post may be redirected to. Browsers hold redirects to `form-action` too.
        by: who checks.

    Returns:
        Headers (content-type and content-length among them) and body, in UTF-8.

    Raises:
        ValueError: a nonce, an address or an origin that cannot be used.
    """
    check(nonce, action, *filter(None, [appeal]), onward=onward)
    language = language_of(words, languages)
    texts = language.words
    of = "_organisation" if organisation else ""
    how = "verify_how" if by == "service" else f"verify_how_{by}"
    objects = [
        place(texts["verify_appeal"]),
        Html(f'<a href="{escape(appeal)}">{escape(texts["verify_appeal_link"])}</a>'),
    ]
    said = {name: texts[f"verify_{name}"] for name in ("how_title", "why_title", "stop")} | {
        "lead": place(texts[f"verify_lead{of}"], service=service),
        "facts": facts_of(
            texts,
            {"verify_who": who, "verify_service": service, "verify_provider": provider, "verify_level": level},
        ),
        "stop_title": texts[f"verify_stop{of}_title"],
        "how": place(texts[how], provider=provider, service=service),
        "until": until_of(texts["verify_by"], until),
        "action": action,
        "mine": texts[f"verify_mine{of}"],
        "go": place(texts["verify_go"], provider=provider) if by == "service" else texts["verify_go_on"],
        "why": place(texts["verify_why"], service=service),
        "appeal": paragraph(Html(" ".join(objects)) if appeal else ""),
        "code": code_of(texts, decision),
    }
    return sheet_of("consent.html", language, nonce, texts["verify_title"], said, [action, *onward])


def state_page(  # noqa: PLR0913 - what a page is made of, by name
    *,
    state: Verifying,
    service: str,
    who: str,
    provider: str,
    until: str,
    again: str,
    appeal: str,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
    decision: str = "",
) -> tuple[list[Field], bytes]:
    """What has become of a verification, and what to do now. It posts nothing: whoever tries again consents again.

    Args:
        state: what has become of it.
        service: as in `consent_page`.
        who: likewise.
        provider: likewise.
        until: the deadline, shown where there is something that the person can do; where it was approved, when that ends.
            Written as in `consent_page`.
        again: the address of the page that asks for consent; empty where it cannot be tried again. Nothing leads there from
            an approval.
        appeal: likewise of an appeal.
        nonce: as in `consent_page`.
        languages: likewise.
        words: likewise.
        decision: likewise; empty for none.

    Raises:
        ValueError: a nonce or an address that cannot be used.
    """
    check(nonce, *filter(None, [again, appeal]))
    language = language_of(words, languages)
    texts = language.words
    approved = state == "approved"
    deeds: list[tuple[str, str]] = []
    if state in _LOOKS:
        deeds.append(("", texts["verify_look"]))
    if again and not approved and state != "busy":
        deeds.append((again, texts["verify_started_again" if state in _UNDER_WAY else "verify_again"]))
    if appeal and not approved:
        deeds.append((appeal, texts["verify_appeal_link"]))
    said = {
        "lead": place(texts[f"verify_{state}"], provider=provider),
        "until": until_of(texts["verify_holds" if approved else "verify_by"], "" if state in _LOOKS else until),
        "more": "",
        "facts": facts_of(texts, {"verify_who": who, "verify_service": service, "verify_provider": provider}),
        "deeds": links_of(deeds),
        "code": code_of(texts, decision),
    }
    return sheet_of("state.html", language, nonce, texts[f"verify_{state}_title"], said)


def decide_page(
    *,
    action: str,
    service: str,
    who: str,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
    onward: Sequence[str] = (),
) -> tuple[list[Field], bytes]:
    """For `use: simulated`: what the check comes to is chosen. It posts `outcome`, which is `approved` or `declined`.

    Args:
        action: where the outcome is posted.
        service: as in `consent_page`.
        who: likewise.
        nonce: likewise.
        languages: likewise.
        words: likewise.
        onward: likewise.

    Raises:
        ValueError: a nonce, an address or an origin that cannot be used.
    """
    check(nonce, action, onward=onward)
    language = language_of(words, languages)
    texts = language.words
    said = {
        "lead": texts["verify_decide"],
        "until": "",
        "more": "",
        "facts": facts_of(texts, {"verify_who": who, "verify_service": service}),
        "deeds": Html(
            f'<form method="post" action="{escape(action)}" class="deeds">\n'
            f'<button name="outcome" value="approved">{escape(texts["verify_approve"])}</button>\n'
            f'<button name="outcome" value="declined" class="plain">{escape(texts["verify_decline"])}</button>\n</form>'
        ),
        "code": "",
    }
    return sheet_of("state.html", language, nonce, texts["verify_decide_title"], said, [action, *onward])


def waiting_page(
    *,
    service: str,
    who: str,
    until: str,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
) -> tuple[list[Field], bytes]:
    """For `use: manual`: somebody will look at it, and nobody need wait.

    Args:
        service: as in `consent_page`.
        who: likewise.
        until: by when it is decided; empty where that is not known.
        nonce: as in `consent_page`.
        languages: likewise.
        words: likewise.

    Raises:
        ValueError: a nonce that cannot be used.
    """
    check(nonce)
    language = language_of(words, languages)
    texts = language.words
    said = {
        "lead": place(texts["verify_wait"], service=service),
        "until": until_of(texts["verify_wait_until"], until),
        "more": "",
        "facts": facts_of(texts, {"verify_who": who, "verify_service": service}),
        "deeds": links_of([("", texts["verify_look"])]),
        "code": "",
    }
    return sheet_of("state.html", language, nonce, texts["verify_wait_title"], said)


def appeal_page(  # noqa: PLR0913 - what a page is made of, by name
    *,
    action: str,
    service: str,
    who: str,
    decision: str,
    state: Appealed,
    reason: str,
    text: str,
    most: int,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
    onward: Sequence[str] = (),
) -> tuple[list[Field], bytes]:
    """The page on which somebody appeals; afterwards, what has become of it. It posts `text`.

    Args:
        action: where the text is posted.
        service: who decides.
        who: a hint at the account.
        decision: the id of what is appealed.
        state: what has become of it.
        reason: what the operator says to the decision; shown once there is one.
        text: what was written: shown once it was sent, before that what the field begins with.
        most: characters. Browsers count a line's end as one and send two.
        nonce: as in `consent_page`.
        languages: likewise.
        words: likewise.
        onward: likewise.

    Raises:
        ValueError: a nonce, an address or an origin that cannot be used.
    """
    check(nonce, action, onward=onward)
    language = language_of(words, languages)
    texts = language.words
    said: dict[str, str] = {
        "facts": facts_of(texts, {"verify_account": who, "appeal_service": service}),
        "code": code_of(texts, decision),
    }
    if state:
        quotes = {"appeal_reason": reason if state != "open" else "", "appeal_text": text}
        said |= {
            "lead": place(texts[f"appeal_{state}"], service=service),
            "until": "",
            "more": quotes_of(texts, quotes),
            "deeds": links_of([("", texts["verify_look"])] if state == "open" else []),
        }
        return sheet_of("state.html", language, nonce, texts[f"appeal_{state}_title"], said)
    said |= {name: texts[f"appeal_{name}"] for name in ("label", "mind", "send")} | {
        "lead": place(texts["appeal_lead"], service=service),
        "action": action,
        "most": str(most),
        "up_to": place(texts["appeal_most"], most=Html(f"{most}")),
        "text": text,
    }
    return sheet_of("appeal.html", language, nonce, texts["appeal_title"], said, [action, *onward])


def closed_page(
    *,
    why: Closed,
    nonce: str,
    languages: str = "",
    words: Words | None = None,
    again: str = "",
    decision: str = "",
) -> tuple[list[Field], bytes]:
    """A link that leads no further, and what to do about it.

    Args:
        why: what is the matter.
        nonce: as in `consent_page`.
        languages: likewise.
        words: likewise.
        again: the address of the page to open once more; empty for none.
        decision: as in `consent_page`; empty for none.

    Raises:
        ValueError: a nonce or an address that cannot be used.
    """
    check(nonce, *filter(None, [again]))
    language = language_of(words, languages)
    texts = language.words
    said = {"lead": texts[f"closed_{why}"], "until": "", "more": "", "facts": "", "code": code_of(texts, decision)}
    said["deeds"] = links_of([(again, texts["closed_again"])] if again else [])
    return sheet_of("state.html", language, nonce, texts[f"closed_{why}_title"], said)
