"""URLs: where secrets may be sent, and where people may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

__all__ = ["LONGEST_URL", "is_service", "way"]

LONGEST_URL: Final = 4_096
_HTTPS: Final = frozenset({None, 443})
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def is_service(url: str) -> bool:
    """Whether secrets may be sent there: a plain https URL without a query; http on this machine only."""
    try:
        parts = urlsplit(url)
        schemes = {"http", "https"} if parts.hostname in _LOCAL else {"https"}
        sound = bool(parts.hostname) and parts.scheme in schemes and parts.port != 0
    except ValueError:
        return False
    return sound and url.isascii() and not any(each <= " " or each in "@?#\\" for each in url)


def way(url: str, hosts: Sequence[str]) -> str:
    """Where a person may be sent: https, on one of `hosts` or below it; else nothing."""
    if not url or len(url) > LONGEST_URL or not url.isascii() or any(each <= " " or each in '\\"<>\x7f' for each in url):
        return ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme != "https" or "@" in parts.netloc or port not in _HTTPS:
        return ""
    return url if any(host == each or host.endswith(f".{each}") for each in hosts) else ""
