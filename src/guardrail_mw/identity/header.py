"""Identity from headers that a trusted proxy sets. From anybody else they are not even read."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from guardrail_mw.errors import TokenError
from guardrail_mw.identity.base import Context, Presented
from guardrail_mw.identity.fields import HeaderName
from guardrail_mw.values import Credential

__all__ = ["HeaderSettings", "HeaderSource"]

LONGEST = 512
"""Bytes of a value."""

_FIELDS = ("account", "organisation", "tier", "payment", "acr", "ial")


class HeaderSettings(BaseModel):
    """`with` of `use: header`: which header tells what. The proxy must set or remove each of them on every request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    account: HeaderName
    """Names the account, byte for byte; a request without it is not of this source."""
    organisation: HeaderName | None = None
    tier: HeaderName | None = None
    payment: HeaderName | None = None
    acr: HeaderName | None = None
    ial: HeaderName | None = None
    issuer: str = Field(default="", max_length=255)
    """Part of the account's name, where the same names may come from another proxy too."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [name for field in _FIELDS if (name := getattr(self, field)) is not None]
        if "authorization" in names:
            raise ValueError("`authorization` holds a credential, which needs a proof: use jwt or api_key")
        if len(set(names)) != len(names):
            raise ValueError("one header cannot tell two things")
        return self


class HeaderSource:
    """Recognises a request from a trusted proxy that names an account.

    Args:
        settings: which headers.
        context: name, observer.
    """

    Settings: ClassVar[type[BaseModel]] = HeaderSettings

    def __init__(self, settings: HeaderSettings, context: Context) -> None:
        self.name = context.name
        self.credentials: tuple[bytes, ...] = ()
        self._fields = {name: header.encode() for name in _FIELDS if (header := getattr(settings, name)) is not None}
        self.attributes = tuple(self._fields.values())
        self._issuer = settings.issuer
        self._observer = context.observer

    def identify(self, presented: Presented) -> Credential | None:
        """Whom the proxy names."""
        if not presented.trusted:
            return None
        found = {name: self._value(presented, header) for name, header in self._fields.items()}
        account = found.pop("account")
        if not account:
            return None
        told = {name: value.decode("utf-8", "surrogateescape") for name, value in found.items()}
        return Credential(
            source=self.name,
            issuer=self._issuer,
            value=account,
            proved=True,
            organisation=told.get("organisation", ""),
            tier=told.get("tier", ""),
            payment=told.get("payment", ""),
            acr=told.get("acr", ""),
            ial=told.get("ial", ""),
        )

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing in the background."""

    def _value(self, presented: Presented, header: bytes) -> bytes:
        values = presented.attributes.get(header, [])
        if len(values) > 1:
            self._observer.count("identity.doubled_header")
            detail = f"{header.decode()} from a proxy"
            raise TokenError("A header stands twice.", detail, status=400, code="ambiguous_credential")
        value = values[0].strip(b" \t") if values else b""
        if len(value) > LONGEST:
            self._observer.count("identity.header_too_long")
            detail = f"{header.decode()} of {len(value)} bytes; at most {LONGEST}"
            raise TokenError("A header is too long.", detail, status=431, code="credential_too_large")
        return value
