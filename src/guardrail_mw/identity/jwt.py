"""Identity from JSON Web Tokens (RFC 7519; access tokens as in RFC 9068, JWT best practice as in RFC 8725)."""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import sha256
from typing import ClassVar

from pydantic import BaseModel

from guardrail_mw.errors import TokenError
from guardrail_mw.identity.base import Context, Presented
from guardrail_mw.identity.claims import (
    Claims,
    check_claims,
    flag_claim,
    past_claim,
    peek_claims,
    read_claims,
    text_claim,
    time_claim,
)
from guardrail_mw.identity.failures import Failures
from guardrail_mw.identity.jwk import KeySet
from guardrail_mw.identity.jwks import RemoteKeys
from guardrail_mw.identity.jws import BadToken, Header, read_header, verify
from guardrail_mw.identity.jwt_settings import JwtSettings
from guardrail_mw.identity.mail import domain_of
from guardrail_mw.recent import Recent
from guardrail_mw.values import Credential

__all__ = ["JwtSettings", "JwtSource"]


class JwtSource:
    """Recognises tokens whose unverified `iss` is its own, and owns them: bad ones are refused, whatever else there is.

    Args:
        settings: which issuer, and how its tokens are verified.
        context: name, clock, observer.
    """

    Settings: ClassVar[type[BaseModel]] = JwtSettings

    def __init__(self, settings: JwtSettings, context: Context) -> None:
        self.name = context.name
        self.credentials = tuple(name.encode() for name in settings.headers)
        self.attributes: tuple[bytes, ...] = ()
        self.remote: RemoteKeys | None = None
        self._settings = settings
        self._context = context
        self._audience = frozenset([settings.audience] if isinstance(settings.audience, str) else settings.audience or ())
        self._types = frozenset(name.lower() for name in settings.types)
        self._algorithms = frozenset(settings.algorithms)
        self._verified: Recent[bytes, tuple[Credential, int]] = Recent(8192)
        self._failures = Failures(context.clock, settings.bad_signatures)
        self._static = settings.static_keys()
        if isinstance(settings.jwks, str):
            self.remote = RemoteKeys(settings.jwks, clock=context.clock, observer=context.observer, withdrawn=self._forget)

    def identify(self, presented: Presented) -> Credential | Awaitable[Credential] | None:
        """Whose token this is; an awaitable only while its key must be fetched."""
        token = presented.credential
        if token.count(b".") < 2 or not any(name in self.credentials for name in presented.names):  # noqa: PLR2004 - three segments
            return None
        if self.remote is not None:
            self.remote.freshen()
        digest = sha256(token).digest()
        known = self._verified.get(digest)
        if known is not None and self._context.clock.now() < known[1]:
            return known[0]
        claims = peek_claims(token)
        if claims is None or claims.get("iss") != self._settings.issuer:
            return None
        try:
            header = self._before_signature(token, claims)
        except BadToken as error:
            raise self._refusal(error) from error
        if self._failures.spent(presented.network, presented.parent):
            spent = BadToken("its network has sent too many tokens with bad signatures")
            raise self._refusal(spent, "identity.failures_spent")
        keys = self._static if self.remote is None else self.remote.current
        if keys is None:
            return self._after_fetch(presented, header, digest)
        try:
            return self._verify(token, header, keys, digest)
        except BadToken as error:
            if self.remote is not None and not keys.knows(header.kid):
                return self._after_fetch(presented, header, digest)
            raise self._failed(presented, error) from error

    async def start(self) -> None:
        """Fetch the first keys."""
        if self.remote is not None:
            await self.remote.ready()

    async def aclose(self) -> None:
        """Wait for a fetch under way."""
        if self.remote is not None:
            await self.remote.aclose()

    async def _after_fetch(self, presented: Presented, header: Header, digest: bytes) -> Credential:
        assert self.remote is not None  # noqa: S101 - only called where keys are fetched
        await self.remote.learn(header.kid)
        keys = self.remote.current
        if keys is None:
            raise self._refusal(BadToken("the issuer's keys could not be fetched"))
        try:
            return self._verify(presented.credential, header, keys, digest)
        except BadToken as error:
            raise self._failed(presented, error) from error

    def _before_signature(self, token: bytes, claims: Claims) -> Header:
        """Whatever costs little: most bad tokens have simply expired."""
        header = read_header(token, self._algorithms)
        if header.typ is not None and header.typ.lower() not in self._types:
            raise BadToken("its typ is of another kind of token")
        self._check(claims)
        return header

    def _check(self, claims: Claims) -> int:
        audience = self._audience if self._settings.audience is not None else None
        return check_claims(claims, audience=audience, now=self._context.clock.now(), leeway=self._settings.leeway.us)

    def _verify(self, token: bytes, header: Header, keys: KeySet, digest: bytes) -> Credential:
        claims = read_claims(verify(token, header, keys))
        if claims.get("iss") != self._settings.issuer:
            raise BadToken("its iss is another than it seemed")
        expires = self._check(claims)
        credential = self._credential(claims, expires)
        self._verified.put(digest, (credential, expires))
        if self.remote is not None and self.remote.current is not keys:
            self._verified.clear()
        return credential

    def _credential(self, claims: Claims, expires: int) -> Credential:
        names = self._settings.claims
        account = text_claim(claims, names.account)
        if not account:
            raise BadToken("the claim that names the account is missing, not a text, or too long")
        return Credential(
            source=self.name,
            issuer=self._settings.issuer,
            value=account,
            proved=True,
            organisation=text_claim(claims, names.organisation or ""),
            tier=text_claim(claims, names.tier or ""),
            payment=text_claim(claims, names.payment or ""),
            acr=text_claim(claims, names.acr or ""),
            ial=text_claim(claims, names.ial or ""),
            expires=expires,
            domain=domain_of(text_claim(claims, names.email or "")),
            domain_verified=flag_claim(claims, names.email_verified or ""),
            created=past_claim(claims, names.created or "", self._context.clock.now()),
            signed_in=time_claim(claims, names.auth_time or ""),
        )

    def _failed(self, presented: Presented, error: BadToken) -> TokenError:
        self._failures.add(presented.network, presented.parent)
        return self._refusal(error, "identity.bad_signature")

    def _refusal(self, error: BadToken, event: str = "identity.bad_token") -> TokenError:
        self._context.observer.count(event)
        detail = f"token of {self._settings.issuer}: {error}"
        return TokenError("The access token is not valid.", detail, code="invalid_token")

    def _forget(self) -> None:
        self._verified.clear()
        self._context.forget()
