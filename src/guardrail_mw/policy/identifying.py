"""Whom a policy believes, and what proves a credential, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.identity.settings import Hops, Unix
from guardrail_mw.policy.words import either

if TYPE_CHECKING:
    from guardrail_mw.identity.device_settings import DeviceSettings
    from guardrail_mw.identity.settings import IdentitySettings, SourceSettings, TrustedProxy
    from guardrail_mw.policy.document import Policy

__all__ = ["describe", "gives", "trusts_app"]

_PROOFS: Final = {
    "app": "the app behind proves it by a 2xx, and until then its network pays",
    "gateway": "taken as it comes, for something in front has checked it",
    "keys": "proved by the digests in the policy; any other is a 401",
    "lookup": "proved by asking a lookup; one that it does not know is a 401",
}


def describe(policy: Policy) -> Iterator[str]:
    """Its sources, what happens without a credential, whose word about addresses is taken, and how devices are told apart."""
    identity = policy.identity_in_use
    if not identity.sources:
        yield "No source of identity is configured: every caller counts as its network."
    else:
        yield from ("", "Identity, the first source that recognises a credential owns it")
        for source in identity.sources:
            yield f"  {source.use}: {_source(source)}."
        yield "  Who shows no credential is its network."
        yield f"  {_address(identity)}"
        if identity.device is not None:
            yield f"  {_device(identity.device)}"


def trusts_app(policy: Policy) -> bool:
    """Whether keys count once the app has accepted them."""
    return any(each.use == "api_key" and getattr(each.with_, "trust", None) == "app" for each in policy.identity.sources)


def gives(policy: Policy, attribute: str) -> bool:
    """Whether a source may tell an account's `tier`, `organisation`, `acr`, `ial` or `auth_time`.

    Of a plugin nobody knows, so it may. When somebody signed in is told by tokens alone.
    """
    return any(_gives(source, attribute) for source in policy.identity.sources)


def _gives(source: SourceSettings, attribute: str) -> bool:
    settings: Any = source.with_
    match source.use if settings is not None else "":
        case "jwt":
            return getattr(settings.claims, attribute) is not None
        case "header":
            return getattr(settings, attribute, None) is not None
        case "api_key":
            told = settings.trust == "lookup" and attribute != "auth_time"
            return told or any(getattr(key, attribute, None) is not None for key in settings.keys)
        case _:
            return True


def _source(source: SourceSettings) -> str:
    settings: Any = source.with_
    match source.use if settings is not None else "":
        case "jwt":
            whose = [settings.audience] if isinstance(settings.audience, str) else settings.audience
            audience = f" for {either(whose)}" if whose else ", whoever they are for"
            return (
                f"tokens of {settings.issuer}{audience}, proved by their signature ({either(settings.algorithms)}); "
                f"the account is `{settings.claims.account}`"
            )
        case "header":
            return f"the account is what trusted proxies write to {settings.account}; from anybody else it is not read"
        case "api_key":
            begins = f" that begins with {settings.prefix}" if settings.prefix else ""
            return f"a key{begins} in {either(settings.headers)}: {_PROOFS[settings.trust]}"
        case _:
            return "a plugin, whose own documentation says what it believes"


def _address(identity: IdentitySettings) -> str:
    if not identity.trusted_proxies:
        return "A client's address is its connection's; what it says of itself is not believed."
    names = " and ".join(map(_proxy, identity.trusted_proxies))
    return f"A client's address is what {names} wrote to {identity.network.header}; else its connection's."


def _proxy(proxy: TrustedProxy) -> str:
    if isinstance(proxy, Unix):
        return "peers on a Unix socket"
    if isinstance(proxy, Hops):
        return f"the nearest {proxy.hops} {'proxy' if proxy.hops == 1 else 'proxies'}"
    return str(proxy)


def _device(device: DeviceSettings) -> str:
    if not device.cookie:
        return "Devices are told apart by what they show."
    return "Devices are told apart by a signed cookie, which answers set for 400 days; those without it by what they show."
