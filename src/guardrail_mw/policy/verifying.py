"""Who verifies people for a policy, what that is worth, and who may object, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw import plugins
from guardrail_mw.friction.verification.identity import IdentitySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.friction.rungs import RungSettings
    from guardrail_mw.friction.verification.settings import ProvidedSettings, VerificationSettings
    from guardrail_mw.policy.document import Policy

__all__ = ["asked", "asks", "describe", "gives"]

IDENTITY: Final = "identity"
_OURS: Final = {
    "manual": "an operator decides (guardrail-mw cases decide)",
    "simulated": "nobody checks anything: whoever clicks passes",
}
_UNTOLD: Final = "Documents are not known again, so an approval counts one level less"


def asks(rung: RungSettings) -> IdentitySettings | None:
    """What a rung has a provider verify; None where it does something else."""
    if rung.do != "verify" or rung.with_.use != IDENTITY:
        return None
    return IdentitySettings.model_validate(rung.with_.own)


def asked(settings: IdentitySettings) -> str:
    """What a rung `use: identity` does."""
    whose = {
        "account": "each account alone",
        "organisation": "once for all accounts of a suspect cluster, each other account alone",
    }[settings.whose]
    what = f"`{settings.level}` of `{settings.provider}`"
    return f"requests are refused (403) until an identity is verified: {what}, {whose}"


def gives(policy: Policy, attribute: str) -> bool:
    """Whether an approval by one of the policy's providers may give an account its `acr` or `ial`.

    Of a plugin that does not say what its approvals are worth nobody knows, so it may.
    """
    if attribute not in {"acr", "ial"} or policy.verification is None:
        return False
    worths = map(_worths, policy.verification.providers.values())
    return any(found is None or any(getattr(worth, attribute, "") for worth in found.values()) for found in worths)


def describe(policy: Policy) -> Iterator[str]:
    """The section `verification:`; nothing where there is none."""
    settings = policy.verification
    if settings is None:
        return
    yield from ("", f"Verification, for {settings.name}")
    for name, provider in settings.providers.items():
        yield from _provider(policy, name, provider)
    if settings.providers:
        yield from _rules(settings)
    yield _appeals(policy, settings)


def _provider(policy: Policy, name: str, provider: ProvidedSettings) -> Iterator[str]:
    known = f", which people know as {provider.name}" if provider.name else ""
    ours = f"; {_OURS[provider.use]}" if provider.use in _OURS else ""
    yield f"  {name}: {provider.use}{known}{ours}."
    for level, worth in (_worths(provider) or {}).items():
        yield f"    {level}: {_worth(worth)}."
    if provider.use == "stripe_identity" and not provider.with_.documents:
        yield f"    {_UNTOLD}: `documents: true` asks for them."
    if plugins.load("providers", provider.use).webhook:
        yield f"    It reports to {_place(policy)}/webhooks/{name}."


def _worths(provider: ProvidedSettings) -> Mapping[str, Any] | None:
    """What its approvals are worth, by what was checked; None where its settings do not say that as those of ours do."""
    worth = getattr(provider.with_, "worth", None)
    return {"any level": worth} if worth is not None else provider.levels


def _worth(worth: Any) -> str:
    names = ("ial", "acr")
    given = [f"{name} {value}" for name in names if (value := getattr(worth, name, ""))]
    lasts = getattr(worth, "lasts", None)
    text = f"an approval gives {' and '.join(given)}" if given else "an approval passes the rung and gives nothing else"
    return f"{text}, for {lasts}" if lasts is not None else text


def _rules(settings: VerificationSettings) -> Iterator[str]:
    before = " and ".join(str(each) for each in sorted(settings.remind, key=lambda each: -each.us))
    told = f"its end is told, and {before} before it" if before else "its end is told"
    yield f"  There are {settings.deadline} from when somebody is first asked; {told}. Nothing else follows by itself."
    yield f"  A link is good for {settings.link}; {settings.tries} verifications may be begun in 30 days."
    accounts = f"{settings.duplicates} account{'s' * (settings.duplicates != 1)}"
    yield f"  One document, or one person, verifies {accounts} in 90 days, or one organisation, whoever checks."


def _appeals(policy: Policy, settings: VerificationSettings) -> str:
    if not settings.appeals.open:
        return "  Nobody may appeal."
    return f"  Whoever is refused for risk may appeal for {settings.appeals.lasts}, at {_place(policy)}/appeal/…"


def _place(policy: Policy) -> str:
    return f"{policy.endpoints.public_url or ''}{policy.endpoints.prefix}"
