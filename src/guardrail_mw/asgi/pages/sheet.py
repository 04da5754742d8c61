"""What every page is: one frame with one head, texts escaped where they stand, and headers that let nothing in and nothing out.

Forms need an `Origin` that can be checked, which browsers leave out (`null`) under `Referrer-Policy: no-referrer`; therefore it
is `strict-origin` here, which tells no path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

from guardrail_mw.asgi.pages.words import Language, Words

__all__ = [
    "PATH",
    "Field",
    "Html",
    "check",
    "hidden",
    "note",
    "origin",
    "paragraph",
    "place",
    "policy",
    "sheet",
    "static",
    "words_or_ours",
]

Field = tuple[bytes, bytes]

_PLACE: Final = re.compile(r"\{\{([a-z_]+)\}\}")
_SLOT: Final = re.compile(r"\{([a-z_]+)\}")
_NONCE: Final = re.compile(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
_ORIGIN: Final = re.compile(r"https?://(\*\.)?[A-Za-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\x7f\\]*")
"""A path of this origin."""


class Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


def sheet(  # noqa: PLR0913 - what a page is made of, by name
    template: str,
    language: Language,
    csp: str,
    *,
    nonce: str,
    title: str,
    said: Mapping[str, str],
    styles: Sequence[str] = ("page.css",),
    after: str = "",
) -> tuple[list[Field], bytes]:
    """One page: headers (content-type and content-length among them) and body, in UTF-8. The status is the caller's.

    Args:
        template: the file with what stands below the heading.
        language: of what is said.
        csp: the Content-Security-Policy.
        nonce: of the style.
        title: heading and title.
        said: what the places of the template are filled with, by name.
        styles: files.
        after: what follows on the text: scripts.
    """
    frame = {
        "lang": language.tag,
        "dir": language.dir,
        "nonce": nonce,
        "title": title,
        "style": Html("\n".join(map(static, styles))),
        "main": _fill(template, said),
        "after": after,
    }
    body = _fill("sheet.html", frame).encode("utf-8", "replace")
    return [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"content-language", language.tag.encode("ascii")),
        (b"content-security-policy", csp.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"strict-origin"),
        (b"x-content-type-options", b"nosniff"),
    ], body


def policy(
    nonce: str,
    targets: Iterable[str],
    origins: Mapping[str, Sequence[str]] | None = None,
    *,
    script: bool,
) -> str:
    """The Content-Security-Policy.

    Args:
        nonce: of the style, and of the script where there is one.
        targets: addresses that forms go to. A redirect after a post is held to `form-action` too, so they belong here as well.
        origins: of a service, by directive; None where nobody else is asked.
        script: the page has scripts.
    """
    own = [f"'nonce-{nonce}'"]
    directives = {"default-src": ["'none'"], "style-src": own}
    if script:
        directives["script-src"] = own
    for directive, sources in (origins or {}).items():
        directives[directive] = [*directives.get(directive, ()), *sources]
    forms = dict.fromkeys(found for target in targets if (found := origin(target)))
    directives |= {"form-action": ["'self'", *forms], "base-uri": ["'none'"], "frame-ancestors": ["'none'"]}
    if origins is None:
        directives["require-trusted-types-for"] = ["'script'"]
    return "; ".join(f"{directive} {' '.join(sources)}" for directive, sources in directives.items())


def check(nonce: str, *targets: str, onward: Sequence[str] = ()) -> None:
    """Refuse what would break a page open.

    Args:
        nonce: at least 16 characters of base64.
        targets: where forms and links go: paths, or addresses with an origin.
        onward: origins.

    Raises:
        ValueError: any of them is none.
    """
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is at least 16 characters of base64")
    for target in targets:
        found = origin(target)
        if not PATH.fullmatch(target.removeprefix(found)) or not re.fullmatch(r"[^\s;,'\"@]*", found):
            raise ValueError("the action is neither a path nor an http address")
    for each in onward:
        if not _ORIGIN.fullmatch(each):
            raise ValueError("where a form leads on to is no origin, as `https://verify.example` is")


def origin(url: str) -> str:
    """`https://host:port` of an absolute address; empty for a path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} and parts.netloc else ""


def place(text: str, **values: str) -> Html:
    """A text of ours with its slots filled, in one pass. What is filled in keeps its own direction of writing."""

    def slot(match: re.Match[str]) -> str:
        value = values[match[1]]
        return value if isinstance(value, Html) else f"<bdi>{escape(value)}</bdi>"

    return Html(_SLOT.sub(slot, escape(text)))


def paragraph(text: str) -> Html:
    """Nothing for nothing."""
    return Html(f"<p>{_safe(text)}</p>" if text else "")


def note(name: str, text: str) -> Html:
    """A paragraph that stands out."""
    return Html(f'<p id="{name}" class="note">{_safe(text)}</p>')


def hidden(fields: Iterable[tuple[str, str]]) -> Html:
    """Fields that a form carries along."""
    inputs = (f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields)
    return Html("\n".join(inputs))


def _safe(text: str) -> str:
    return text if isinstance(text, Html) else escape(text)


def _fill(template: str, values: Mapping[str, str]) -> Html:
    """A template with its places filled, in one pass: what is filled in is never looked at again."""
    return Html(_PLACE.sub(lambda match: _safe(values[match[1]]), static(template)))


@cache
def static(name: str) -> str:
    """A file that ships beside this one, without indentation, blank lines and lines that are comments."""
    lines = (line.strip() for line in (files("guardrail_mw.asgi.pages") / name).read_text("utf-8").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def _ours() -> Words:
    return Words()


def words_or_ours(words: Words | None) -> Words:
    """An operator's words, or the package's."""
    return words if words is not None else _ours()
