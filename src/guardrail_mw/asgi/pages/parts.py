"""What the pages of verification and appeals are put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from guardrail_mw.asgi.pages.sheet import Field, Html, paragraph, place, policy, sheet, words_or_ours
from guardrail_mw.asgi.pages.words import Language, Words

__all__ = ["code_of", "facts_of", "language_of", "links_of", "quotes_of", "sheet_of", "until_of"]

_WHOLLY: Final = ("verify_", "appeal_", "closed_")
_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}:[0-9]{2})[0-9:.]*(?:Z|\+00:00)")


def language_of(words: Words | None, languages: str) -> Language:
    """What a browser is answered in: one language for all these pages."""
    return words_or_ours(words).choose(languages, _WHOLLY)


def sheet_of(
    template: str,
    language: Language,
    nonce: str,
    title: str,
    said: Mapping[str, str],
    targets: Iterable[str] = (),
) -> tuple[list[Field], bytes]:
    """A page without a script; `targets` are where its forms go."""
    csp = policy(nonce, targets, script=False)
    return sheet(template, language, csp, nonce=nonce, title=title, said=said, styles=("page.css", "form.css"))


_WHO: Final = frozenset({"verify_who", "verify_account"})


def facts_of(texts: Mapping[str, str], facts: Mapping[str, str]) -> Html:
    """What is known, by the name of its label; what is empty is left out. The end of a key is said to be one."""
    facts = {
        name: texts["verify_key"].replace("{who}", fact) if name in _WHO and fact.startswith("…") else fact
        for name, fact in facts.items()
    }
    rows = (f"<dt>{escape(texts[name])}</dt>\n<dd><bdi>{escape(fact)}</bdi></dd>" for name, fact in facts.items() if fact)
    listed = "\n".join(rows)
    return Html(f"<dl>\n{listed}\n</dl>" if listed else "")


def quotes_of(texts: Mapping[str, str], quotes: Mapping[str, str]) -> Html:
    """What people wrote, as they broke its lines."""
    parts = (
        f'<h2>{escape(texts[name])}</h2>\n<blockquote dir="auto">{escape(text)}</blockquote>'
        for name, text in quotes.items()
        if text
    )
    return Html("\n".join(parts))


def links_of(deeds: Iterable[tuple[str, str]]) -> Html:
    """What can be done now, the likeliest first. An empty address is that of the page itself."""
    links = [
        f'<a class="button{" plain" if at else ""}" href="{escape(address)}">{escape(text)}</a>'
        for at, (address, text) in enumerate(deeds)
    ]
    return Html('<div class="deeds">\n' + "\n".join(links) + "\n</div>" if links else "")


def until_of(text: str, until: str) -> Html:
    """A sentence with a time, in figures that every language reads alike."""
    match = _TIME.fullmatch(until)
    if match is None:
        return paragraph(place(text, until=until) if until else "")
    shown = f'<time datetime="{escape(until)}">{match[1]}, {match[2]} UTC</time>'
    return paragraph(place(text, until=Html(shown)))


def code_of(texts: Mapping[str, str], decision: str) -> Html:
    """What support is told."""
    label = escape(texts["verify_code"])
    return Html(f'<p class="quiet">{label} <code>{escape(decision)}</code></p>' if decision else "")
