"""The policy's `identity:` section: who is believed, and which sources tell whose a request is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from guardrail_mw.identity.base import Context, Source
from guardrail_mw.identity.device_settings import DeviceSettings
from guardrail_mw.quantities import Network
from guardrail_mw.settings import PluginItem

__all__ = ["AnonymousSettings", "Hops", "IdentitySettings", "NetworkSettings", "SourceSettings", "TrustedProxy", "Unix"]

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class Unix(BaseModel):
    """A peer without an address: one on a Unix socket."""

    model_config = _STRICT


class Hops(BaseModel):
    """So many proxies stand in front, whatever their addresses; nobody reaches the server past them."""

    model_config = _STRICT

    hops: int = Field(ge=1, le=32)
    """How many wrote to the chain; the client is the entry so many from the right."""


def _proxy(value: object) -> Network | Unix | Hops:
    if isinstance(value, Network | Unix | Hops):
        return value
    if value == "unix":
        return Unix()
    if isinstance(value, str):
        network = Network.parse(value)
        if network.network.prefixlen == 0:
            raise ValueError(
                f"{value!r} would believe everybody, so that clients choose their own address; "
                "name the proxies, or use {hops: N}"
            )
        return network
    if isinstance(value, Mapping):
        return Hops.model_validate(value)
    raise ValueError("expected a network such as 10.0.0.0/8, the word unix, or {hops: N}")


def _write_proxy(value: Network | Unix | Hops) -> object:
    if isinstance(value, Network):
        return str(value)
    return "unix" if isinstance(value, Unix) else {"hops": value.hops}


TrustedProxy: TypeAlias = Annotated[
    Network | Unix | Hops,
    PlainValidator(_proxy),
    PlainSerializer(_write_proxy),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "unix"},
                {"type": "string", "pattern": Network.pattern},
                {
                    "type": "object",
                    "properties": {"hops": {"type": "integer", "minimum": 1, "maximum": 32}},
                    "required": ["hops"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
"""Whose word about the client's address is taken, and whose identity headers."""


class NetworkSettings(BaseModel):
    """How addresses become networks."""

    model_config = _STRICT

    ipv4_prefix: int = Field(default=32, ge=8, le=32)
    """Bits of an IPv4 address that name its network."""
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    """Bits of an IPv6 address that name its network."""
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    """The header that the trusted proxies write. The other is never read: a client could send it."""


class AnonymousSettings(BaseModel):
    """Who pays where no credential is presented."""

    model_config = _STRICT

    account: Literal["network"] = "network"
    """Who has none is its network."""


class SourceSettings(PluginItem):
    """One source: the name of a plugin and its own settings."""

    model_config = _STRICT

    kind = "identities"
    noun = "a source of identity"

    use: str = Field(min_length=1, max_length=64, json_schema_extra={"examples": ["jwt", "api_key", "header"]})
    """An entry point of `guardrail_mw.identities`."""
    with_: Annotated[Any, WithJsonSchema({"type": "object"})] = Field(default=None, alias="with")
    """The plugin's own model, made from what stands here."""

    @classmethod
    def holding(cls, source: Source) -> Self:
        """The item that stands for a source which Python made itself."""
        item = cls.model_construct(use=source.name)
        item._built = source  # noqa: SLF001 - its own
        return item

    @property
    def issuer(self) -> str:
        """Whose accounts and organisations it names; empty where it names no issuer."""
        return str(getattr(self.with_, "issuer", ""))

    def build(self, context: Context) -> Source:
        """The source, ready to be asked."""
        source: Source = self._make(self.use, self.with_, context)
        return source


def _source(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    if isinstance(value, Source) and not isinstance(value, BaseModel):
        return SourceSettings.holding(value)
    return handler(value)


class IdentitySettings(BaseModel):
    """All of `identity:`."""

    model_config = _STRICT

    trusted_proxies: list[TrustedProxy] = Field(default=[], max_length=256)
    """Whose word about the client's address is taken. Where `hops` stands beside networks it counts for peers in them
    only."""
    network: NetworkSettings = NetworkSettings()
    sources: list[Annotated[SourceSettings, WrapValidator(_source)]] = Field(default=[], max_length=32)
    """Asked in order; the first that recognises the credential owns it."""
    anonymous: AnonymousSettings = AnonymousSettings()
    assurance: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(default=[], max_length=64)
    """The order of `acr` values, lowest first."""
    device: DeviceSettings | None = None
    """How devices are told apart; without it by what they show, and only where a rule names them."""

    @field_validator("trusted_proxies")
    @classmethod
    def _one_count(cls, value: list[TrustedProxy]) -> list[TrustedProxy]:
        if sum(isinstance(item, Hops) for item in value) > 1:
            raise ValueError("{hops: N} may stand once: one number says how many proxies there are")
        return value

    @field_validator("assurance")
    @classmethod
    def _once_each(cls, value: list[str]) -> list[str]:
        doubled = sorted({item for item in value if value.count(item) > 1})
        if doubled:
            raise ValueError(f"{doubled[0]!r} stands twice: an order names each value once")
        return value

    @model_validator(mode="after")
    def _believed(self) -> Self:
        if not self.trusted_proxies and any(item.use == "header" for item in self.sources):
            raise ValueError("`use: header` is believed only from trusted proxies, and trusted_proxies names none")
        if not self.trusted_proxies and self.device is not None and self.device.tls_header is not None:
            raise ValueError("`device.tls_header` is believed only from trusted proxies, and trusted_proxies names none")
        return self
