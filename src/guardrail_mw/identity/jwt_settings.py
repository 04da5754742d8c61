"""What a policy says of an issuer of JSON Web Tokens."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core.core_schema import ValidationInfo

from guardrail_mw.identity.fields import HeaderName, Name
from guardrail_mw.identity.jwk import SYMMETRIC, Algorithm, Key, KeySet, read_jwk, read_jwks, read_pem, read_secret
from guardrail_mw.quantities import Duration

__all__ = ["ClaimNames", "JwtSettings"]

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


def _check_key(item: str | dict[str, Any]) -> str | dict[str, Any]:
    _read_key(item)
    return item


class ClaimNames(BaseModel):
    """Which claim tells what; a claim left out is not read."""

    model_config = _STRICT

    account: Name = "sub"
    """Names the account within the issuer; a token without it is refused."""
    organisation: Name | None = None
    tier: Name | None = None
    payment: Name | None = None
    """A fingerprint of the payment method; only its keyed digest is kept."""
    acr: Name | None = "acr"
    ial: Name | None = "ial"
    email: Name | None = None
    """The account's e-mail address. Only its domain is looked at, and that only where not anybody can have an address."""
    email_verified: Name | None = "email_verified"
    """Whether the issuer has verified that address; read with `email`."""
    auth_time: Name | None = "auth_time"
    """When somebody last signed in (OpenID Connect Core 2): seconds since the epoch; for rungs with `max_age`."""
    created: Name | None = None
    """When the account was opened: seconds or milliseconds since the epoch, or a text such as 2026-01-31T12:00:00Z."""


class JwtSettings(BaseModel):
    """`with` of `use: jwt`. Keys come from exactly one of `jwks`, `keys` and `secret`."""

    model_config = _STRICT

    issuer: Name
    """The `iss` of the tokens that are recognised, character for character."""
    audience: Name | Annotated[list[Name], Field(min_length=1, max_length=16)] | None
    """What `aud` must name; null, which must be written, does not look: then tokens made for anybody are good here."""
    algorithms: list[Algorithm] = Field(min_length=1, max_length=14)
    """What may sign. Never taken from the token."""
    plain_http: bool = False
    """Whether `jwks` may be fetched without TLS from elsewhere than this machine."""
    jwks: str | dict[str, Any] | None = None
    """Where the issuer publishes its keys, or a JSON Web Key Set itself."""
    keys: list[Annotated[str | dict[str, Any], AfterValidator(_check_key)]] | None = Field(
        default=None, min_length=1, max_length=64
    )
    """Public keys, in PEM or as JWK."""
    secret: SecretStr | None = None
    """For HS256, HS384 and HS512: shared with the issuer, from the environment (`${JWT_SECRET}`)."""
    claims: ClaimNames = ClaimNames()
    headers: list[HeaderName] = Field(default=["authorization"], min_length=1, max_length=8)
    leeway: Duration = Duration.parse("30s")
    """By how much the issuer's clock may differ; at most 5m."""
    types: list[Name] = Field(default=["JWT", "at+jwt", "application/at+jwt"], max_length=16)
    """Values of `typ` that are accepted, in any case; a token may leave it out."""
    bad_signatures: int = Field(default=30, ge=1, le=100_000)
    """A minute and network; beyond that, tokens that are not known already are refused unverified."""

    @field_validator("algorithms")
    @classmethod
    def _one_family(cls, value: list[Algorithm]) -> list[Algorithm]:
        if SYMMETRIC & set(value) and not set(value) <= SYMMETRIC:
            raise ValueError("HS algorithms share a secret, the others publish a key; for both write two sources")
        return value

    @field_validator("jwks")
    @classmethod
    def _check_jwks(cls, value: str | dict[str, Any] | None, info: ValidationInfo) -> str | dict[str, Any] | None:
        if isinstance(value, dict):
            read_jwks(value, symmetric=bool(SYMMETRIC & set(info.data.get("algorithms", ()))))
        elif value is not None and SYMMETRIC & set(info.data.get("algorithms", ())):
            raise ValueError("a published set holds no secret: HS algorithms need `secret`")
        elif value is not None:
            _check_url(value, plain=info.data.get("plain_http", False))
        return value

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and "algorithms" in info.data:
            if not set(info.data["algorithms"]) <= SYMMETRIC:
                raise ValueError("a secret verifies only HS256, HS384 and HS512; for the others give `jwks` or `keys`")
            read_secret(value.get_secret_value().encode(), info.data["algorithms"])
        return value

    @field_validator("leeway")
    @classmethod
    def _short(cls, value: Duration) -> Duration:
        if value.us > 300_000_000:  # noqa: PLR2004 - 5 minutes
            raise ValueError(f"{value} is more than 5m: expired tokens would live on; set the clocks instead")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name in ("jwks", "keys", "secret") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"keys come from exactly one of jwks, keys and secret; found {' and '.join(given) or 'none'}")
        keys = self.static_keys()
        if keys is not None and not any(key.algorithms & set(self.algorithms) for key in keys.keys):
            raise ValueError("none of the keys can verify any of the algorithms")
        return self

    def static_keys(self) -> KeySet | None:
        """The keys that stand in the policy; None where they are fetched."""
        if self.secret is not None:
            return KeySet([read_secret(self.secret.get_secret_value().encode(), self.algorithms)])
        if self.keys is not None:
            return KeySet([_read_key(item) for item in self.keys])
        if isinstance(self.jwks, dict):
            return read_jwks(self.jwks, symmetric=bool(SYMMETRIC & set(self.algorithms)))[0]
        return None


def _read_key(item: str | dict[str, Any]) -> Key:
    return read_pem(item) if isinstance(item, str) else read_jwk(item, symmetric=False)


def _check_url(url: str, *, plain: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"https", "http"} or not host or parts.username is not None or parts.fragment:
        raise ValueError(f"{url[:200]!r} is not a plain https URL")
    if parts.scheme == "http" and not plain and not _is_loopback(host):
        raise ValueError("whoever can change what http carries can sign tokens; use https, or set plain_http: true")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
