"""Widgets of the services that ask people something: their script, their element, and where the page may reach them.

The origins are those that each service documents for a Content-Security-Policy: Cloudflare in "Content Security Policy" of
Turnstile's reference, hCaptcha in its developer guide, Google in reCAPTCHA's FAQ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Widget", "hcaptcha", "recaptcha", "turnstile"]

DIRECTIVES: Final = frozenset({"connect-src", "font-src", "frame-src", "img-src", "script-src", "style-src"})
"""Where a widget may name origins."""

_SOURCE: Final = re.compile(r"https?://[A-Za-z0-9*.\-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/\-]*)?")
_NAME: Final = re.compile(r"[a-z][a-z0-9\-]*")


@dataclass(frozen=True, slots=True)
class Widget:
    """What a service's page needs besides our own.

    Raises:
        ValueError: what cannot stand in a page or its policy.
    """

    name: str
    """Of the service, as people know it."""
    script: str
    """The address of its script."""
    classes: str
    """Of the element that the script looks for."""
    origins: Mapping[str, Sequence[str]]
    """By directive of the Content-Security-Policy: what it may load from where."""
    data: Mapping[str, str] = field(default_factory=dict)
    """The element's `data-…` attributes, without that prefix: `sitekey`, `action`, `theme`."""

    def __post_init__(self) -> None:
        """Refuse what would end or widen the policy."""
        for directive, sources in self.origins.items():
            if directive not in DIRECTIVES:
                raise ValueError(f"`{directive}` is none of {', '.join(sorted(DIRECTIVES))}")
            for source in sources:
                if not _SOURCE.fullmatch(source):
                    raise ValueError(f"`{source}` is no origin such as https://example.com")
        for name in self.data:
            if not _NAME.fullmatch(name):
                raise ValueError(f"`data-{name}` is no attribute")


def turnstile(sitekey: str, **data: str) -> Widget:
    """Cloudflare Turnstile. `data` may have `action` and `cdata`, which its answer then repeats."""
    origin = ["https://challenges.cloudflare.com"]
    return Widget(
        name="Cloudflare Turnstile",
        script="https://challenges.cloudflare.com/turnstile/v0/api.js",
        classes="cf-turnstile",
        origins={"script-src": origin, "frame-src": origin},
        data={"sitekey": sitekey, **data},
    )


def hcaptcha(sitekey: str, **data: str) -> Widget:
    """hCaptcha, whose assets' hosts vary by region."""
    origins = ["https://hcaptcha.com", "https://*.hcaptcha.com"]
    return Widget(
        name="hCaptcha",
        script="https://js.hcaptcha.com/1/api.js",
        classes="h-captcha",
        origins=dict.fromkeys(("script-src", "frame-src", "style-src", "connect-src"), origins),
        data={"sitekey": sitekey, **data},
    )


def recaptcha(sitekey: str, **data: str) -> Widget:
    """Google's reCAPTCHA, version 2."""
    ours = "https://www.google.com/recaptcha/"
    return Widget(
        name="Google reCAPTCHA",
        script="https://www.google.com/recaptcha/api.js",
        classes="g-recaptcha",
        origins={
            "script-src": [ours, "https://www.gstatic.com/recaptcha/"],
            "frame-src": [ours, "https://recaptcha.google.com/recaptcha/"],
        },
        data={"sitekey": sitekey, **data},
    )
