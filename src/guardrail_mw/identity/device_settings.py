"""`identity.device`: what tells one device from another."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from guardrail_mw.identity.fields import HeaderName

__all__ = ["DEFAULT_HEADERS", "DeviceSettings"]

DEFAULT_HEADERS: Final = (
    "user-agent",
    "accept-language",
    "accept-encoding",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "x-stainless-lang",
    "x-stainless-package-version",
    "x-stainless-os",
    "x-stainless-arch",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
)
"""What one client shows the same in each request. `accept` is not among them: one program asks for JSON and for events."""

_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})


class DeviceSettings(BaseModel):
    """Tell devices apart: by a cookie of ours where the client keeps it, else by what the client shows."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    cookie: bool = True
    """Whether answers set a signed cookie. Who sends it back is *signed*, and cannot pass for another; who does not is *seen*."""
    tls_header: HeaderName | None = None
    """The header in which a trusted proxy tells the fingerprint of the client's TLS handshake."""
    headers: Annotated[list[HeaderName], Field(min_length=1, max_length=32)] = list(DEFAULT_HEADERS)
    """What a client shows of itself: those that send the same in all of these are one device."""

    @field_validator("tls_header")
    @classmethod
    def _no_credential(cls, value: str | None) -> str | None:
        return value if value is None else _shown(value)

    @field_validator("headers")
    @classmethod
    def _once_each(cls, value: list[str]) -> list[str]:
        for name in value:
            _shown(name)
        doubled = sorted({name for name in value if value.count(name) > 1})
        if doubled:
            raise ValueError(f"{doubled[0]!r} stands twice: it tells no more the second time")
        return value


def _shown(name: str) -> str:
    if name in _CREDENTIALS:
        raise ValueError(f"{name!r} holds a credential, which tells accounts apart and not devices")
    return name
