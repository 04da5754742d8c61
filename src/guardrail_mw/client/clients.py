"""Clients of httpx2 whose transports solve challenges: what the official SDKs take as `http_client`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

from guardrail_mw.client.course import listed
from guardrail_mw.client.puzzle import HARDEST, LONGEST
from guardrail_mw.client.transport import AsyncSolvingTransport, SolvingTransport
from guardrail_mw.errors import GuardrailError

if TYPE_CHECKING:
    import httpx2

__all__ = ["async_http_client", "http_client"]

_OF_TRANSPORTS: Final = ("cert", "http1", "http2", "limits", "trust_env", "verify")
"""Options of a client that its transports are made with."""

_CONNECTIONS: Final = {"max_connections": 1000, "max_keepalive_connections": 100}
"""As both SDKs have it."""


def http_client(
    *, longest: float = LONGEST, hardest: int = HARDEST, origins: Iterable[str] = (), **options: Any
) -> httpx2.Client:
    """A client that solves challenges: `OpenAI(http_client=http_client())`, `Anthropic(http_client=http_client())`.

    Otherwise it is as the SDKs' own: it follows redirects, goes through the proxies that the environment names, and has the
    SDK's timeouts as long as none is given here.

    Args:
        longest: seconds that one challenge may take from the refusal to its clearance.
        hardest: rounds of hashing that a puzzle may take on average.
        origins: servers besides the request's own to which an answer may be sent, `https://guard.example`.
        options: whatever else `httpx2.Client` takes; a `transport` and `mounts` are wrapped.

    Raises:
        GuardrailError: httpx2 is not installed.
    """
    library = _httpx2()
    wrap = partial(SolvingTransport, longest=longest, hardest=hardest, origins=listed(origins))
    return library.Client(**_options(library.HTTPTransport, wrap, library, options))  # type: ignore[no-any-return]


def async_http_client(
    *, longest: float = LONGEST, hardest: int = HARDEST, origins: Iterable[str] = (), **options: Any
) -> httpx2.AsyncClient:
    """A client that solves challenges: `AsyncOpenAI(http_client=async_http_client())`, and likewise with `AsyncAnthropic`.

    Otherwise it is as the SDKs' own: it follows redirects, goes through the proxies that the environment names, and has the
    SDK's timeouts as long as none is given here.

    Args:
        longest: seconds that one challenge may take from the refusal to its clearance.
        hardest: rounds of hashing that a puzzle may take on average.
        origins: servers besides the request's own to which an answer may be sent, `https://guard.example`.
        options: whatever else `httpx2.AsyncClient` takes; a `transport` and `mounts` are wrapped.

    Raises:
        GuardrailError: httpx2 is not installed.
    """
    library = _httpx2()
    wrap = partial(AsyncSolvingTransport, longest=longest, hardest=hardest, origins=listed(origins))
    return library.AsyncClient(**_options(library.AsyncHTTPTransport, wrap, library, options))  # type: ignore[no-any-return]


def _httpx2() -> Any:
    try:
        import httpx2
    except ImportError as error:
        raise GuardrailError(
            "The clients of openai and anthropic send by httpx2, which is not installed.",
            "Install it with: pip install httpx2. Older SDKs send by httpx: give them"
            " httpx.Client(transport=SolvingTransport(httpx.HTTPTransport())).",
        ) from error
    return httpx2


def _options(make: Any, wrap: Any, library: ModuleType, options: Mapping[str, Any]) -> dict[str, Any]:
    """A client's options, with transports that solve."""
    made = {"follow_redirects": True, "limits": library.Limits(**_CONNECTIONS), **options}
    proxy, transport, mounts = (made.pop(name, None) for name in ("proxy", "transport", "mounts"))
    settings = {name: made[name] for name in _OF_TRANSPORTS if name in made}
    wanted: dict[str, Any] = {}
    if transport is None:
        proxies = {"all://": proxy} if proxy is not None else _proxies() if made.get("trust_env", True) else {}
        wanted = {pattern: None if each is None else make(proxy=each, **settings) for pattern, each in proxies.items()}
        transport = make(**settings)
    wanted |= mounts or {}
    made["transport"] = wrap(transport)
    made["mounts"] = {pattern: None if each is None else wrap(each) for pattern, each in wanted.items()}
    return made


def _proxies() -> dict[str, str | None]:
    """Proxies of the environment by httpx's patterns of URLs; None where none is to be used."""
    named = getproxies()
    found: dict[str, str | None] = {}
    for scheme in ("http", "https", "all"):
        if proxy := named.get(scheme):
            found[f"{scheme}://"] = proxy if "://" in proxy else f"http://{proxy}"
    for host in (each.strip() for each in named.get("no", "").split(",")):
        if host == "*":
            return {}
        if host:
            found[host if "://" in host else f"all://{_pattern(host)}"] = None
    return found


def _pattern(host: str) -> str:
    """An address and this machine stand for themselves, a domain for what is below it, too."""
    try:
        address = ip_address(host.partition("/")[0])
    except ValueError:
        return host if host.lower() == "localhost" else f"*{host}"
    return f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - the version of IP
