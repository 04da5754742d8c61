"""What a policy says of API keys."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError
from guardrail_mw.identity.base import MAX_CREDENTIAL
from guardrail_mw.identity.fields import HeaderName, Name
from guardrail_mw.quantities import Duration, Size

__all__ = ["ApiKeySettings", "ListedKey", "Lookup"]

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)

Lookup: TypeAlias = Callable[[bytes], Mapping[str, str] | Awaitable[Mapping[str, str] | None] | None]
"""Asked for a key, answers what is known of it: texts under account, organisation, tier, payment, acr, ial; or None for a
key that it does not know. `account` names who owns the key, so that several keys of one owner pay together; without it each
key pays for itself. It runs on the event loop: what takes time must be a coroutine. What it raises is counted."""


class ListedKey(BaseModel):
    """A key that may be used, by its digest; never the key itself."""

    model_config = _STRICT

    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    """`printf %s KEY | sha256sum`"""
    account: Name | None = None
    """Whose key it is; several keys of one account pay together, and changing a key changes nothing."""
    organisation: Name | None = None
    tier: Name | None = None

    @property
    def digest(self) -> bytes:
        """The 32 bytes."""
        return bytes.fromhex(self.sha256)

    def attributes(self) -> dict[str, str]:
        """What is said of its owner."""
        return {name: value for name in ("account", "organisation", "tier") if (value := getattr(self, name)) is not None}


_HEX = re.compile(r"[0-9a-fA-F]{64}")


def _listed(value: object) -> ListedKey:
    if isinstance(value, ListedKey):
        return value
    if isinstance(value, str):
        if not _HEX.fullmatch(value):
            raise ValueError(
                "expected 64 hexadecimal digits, the SHA-256 of a key (printf %s KEY | sha256sum), never the key itself"
            )
        return ListedKey(sha256=value)
    return ListedKey.model_validate(value)


def _written(key: ListedKey) -> dict[str, str]:
    return {"sha256": key.sha256, **key.attributes()}


def _lookup(value: object) -> object:
    if isinstance(value, str):
        try:
            value = plugins.load("identities", value)
        except PluginError as error:
            raise ValueError(f"{error.public} {error.detail}".rstrip()) from error
    if not callable(value) or hasattr(value, "Settings"):
        raise ValueError(
            "expected the name of a plugin that takes a key and answers what is known of it, or in Python a callable"
        )
    return value


class ApiKeySettings(BaseModel):
    """`with` of `use: api_key`."""

    model_config = _STRICT

    trust: Literal["gateway", "keys", "lookup", "app"]
    """Who proves a key: something in front, the list in `keys`, the plugin in `lookup`, or the app behind."""
    headers: list[HeaderName] = Field(default=["authorization", "x-api-key"], min_length=1, max_length=8)
    """`authorization` holds a key after `Bearer`, any other the key itself."""
    prefix: str = Field(default="", max_length=64)
    """How keys begin; what begins otherwise is not recognised."""
    max_size: Size = Size.parse("4KiB")
    """A longer key is refused; at most 8KiB."""
    keys: list[
        Annotated[
            ListedKey,
            PlainValidator(_listed, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | ListedKey),
            PlainSerializer(_written),
        ]
    ] = Field(default=[], max_length=100_000)
    """For `trust: keys`: SHA-256 digests of the keys, or mappings with `sha256`, `account`, `organisation`, `tier`."""
    lookup: Annotated[object, PlainValidator(_lookup), WithJsonSchema({"type": "string"})] | None = None
    """For `trust: lookup`: the name of a plugin."""
    cache: Duration = Duration.parse("60s")
    """How long a lookup's answer holds; unknown keys are asked for again after 10s at most."""
    deadline: Duration = Duration.parse("1s")
    """How long a lookup may take."""
    unknown_keys: int = Field(default=60, ge=1, le=100_000)
    """For `trust: lookup`, a minute and network; beyond that, keys that are not known already are refused unasked."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.trust == "keys") != bool(self.keys):
            raise ValueError("`keys` and `trust: keys` belong together: neither means anything without the other")
        if (self.trust == "lookup") != (self.lookup is not None):
            raise ValueError("`lookup` and `trust: lookup` belong together")
        if self.max_size.bytes > MAX_CREDENTIAL:
            raise ValueError(f"max_size {self.max_size} is above 8KiB, which is refused before any source sees it")
        if len({item.digest for item in self.keys}) != len(self.keys):
            raise ValueError("`keys` names one digest twice")
        return self
