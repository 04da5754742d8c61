"""The policy's `endpoints:` section: where the middleware's own endpoints are found, from inside and from outside."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from guardrail_mw.errors import Problem
from guardrail_mw.settings import Settings, refuse

__all__ = ["EndpointsSettings"]

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
_EXAMPLE: Final = "Write https://api.example, or https://example.com/api where a proxy cuts /api off."


class EndpointsSettings(Settings):
    """Where the endpoints of the middleware are: challenges, and what orchestrators ask (`live`, `ready`)."""

    prefix: str = Field(default="/.guardrail", max_length=128)
    """Of their paths, below the app's root. Nothing else of the app can lie there."""
    public_url: str | None = Field(default=None, max_length=512)
    """The server's root as the outside world sees it. Links hold it; without it they are paths, relative to the request. It is
    never taken from `Host`, which anybody can write."""

    words: str | None = Field(default=None, min_length=1, max_length=4_096)
    """A folder with the words of the pages that browsers get: other languages, or your own; see the how-to on translation."""

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        segments = prefix.split("/")
        if _PREFIX.fullmatch(prefix) is None or {".", ".."} & set(segments):
            refuse(
                [Problem("", "is not a plain path.", "Write it as /.guardrail: with a / before it, and none at its end.")]
            )
        return prefix

    @field_validator("public_url")
    @classmethod
    def _absolute(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError:
            sound = False
        if not sound or not url.isascii() or any(each <= " " for each in url):
            refuse([Problem("", "is not an http or https URL.", _EXAMPLE)])
        if "@" in parts.netloc or parts.query or parts.fragment or "?" in url or "#" in url:
            refuse([Problem("", "has more than a host and a path.", _EXAMPLE)])
        return url.rstrip("/")

    @property
    def root(self) -> str:
        """The path of `public_url`; empty for none."""
        return urlsplit(self.public_url).path if self.public_url is not None else ""

    @property
    def origin(self) -> str:
        """Scheme, host and port of `public_url` as browsers write them, without the scheme's own port; empty for none."""
        if self.public_url is None:
            return ""
        parts = urlsplit(self.public_url)
        usual = {"http": ":80", "https": ":443"}[parts.scheme]
        return f"{parts.scheme}://{parts.netloc.removesuffix(usual)}".lower()
