"""What is sound in a policy and yet may not be what was meant: rules that can do nothing, and what takes people by surprise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from guardrail_mw.friction.rung import SEVERITY
from guardrail_mw.friction.verification.step_up import StepUpSettings
from guardrail_mw.policy import verifying
from guardrail_mw.policy.identifying import gives, trusts_app

if TYPE_CHECKING:
    from guardrail_mw.conditions import WhenSettings
    from guardrail_mw.limits.settings import LimitSettings
    from guardrail_mw.policy.document import Policy, RouteSettings

__all__ = ["mind"]

_ATTRIBUTES: Final = ("tier", "organisation", "acr", "ial")
"""What `when` asks of an account and a source of identity tells; all but the organisation an operator may set, too, and `acr` and
`ial` an approval by one of `verification.providers` may give."""


def mind(policy: Policy) -> Iterator[str]:
    """A sentence or two about each, with what to do."""
    yield from _strangers(policy)
    yield from _uncounted(policy)
    yield from _unmeasured(policy)
    yield from _untold(policy)
    yield from _unclimbed(policy)
    yield from _overtaking(policy)
    yield from _unpassable(policy)
    yield from _worthless(policy)
    yield from _unverified(policy)
    yield from _clicked(policy)
    yield from _unaddressed(policy)


def _strangers(policy: Policy) -> Iterator[str]:
    """Keys that are not proved yet, and nothing said of how much they may use."""
    own = [limit.name for limit in policy.limits if limit.when is None and not limit.shadow and _charges_networks(limit)]
    apart = any(limit.when is not None and limit.when.authenticated is False for limit in policy.limits)
    if own and not apart and trusts_app(policy):
        yield (
            "With `trust: app` a key that the app has not accepted yet pays from its network: keys that somebody invents use "
            f"up what the first call of an honest one there needs ({', '.join(own)}). Say how much that may be: "
            "{name: strangers, per: [network], when: {authenticated: false}, rate: 60/minute}."
        )


def _charges_networks(limit: LimitSettings) -> bool:
    """Whether who has no account pays as his network."""
    return bool(limit.per) and limit.per[0] in {"account", "network"}


def _uncounted(policy: Policy) -> Iterator[str]:
    """Limits in tokens or dollars that hold on no route whose answers are read."""
    for limit in policy.limits:
        if limit.concurrency is None and limit.unit != "requests" and not _metered(policy, limit):
            yield (
                f"`{limit.name}` counts nothing by itself: on no route where it holds are requests and answers read for "
                "tokens. Give a route a dialect (`dialect: openai`), or `metered: true`. Only what the app adds is counted."
            )


def _metered(policy: Policy, limit: LimitSettings) -> bool:
    return any(_reads(route) for route in policy.routes if any(each is limit for each in policy.limits_of(route)))


def _reads(route: RouteSettings) -> bool:
    return route.metered or any(map(route.is_metered, route.methods or ("GET", "POST")))


def _unmeasured(policy: Policy) -> Iterator[str]:
    """Budgets in tokens that nothing counts before they are made."""
    if policy.clusters is not None and not any(
        each.concurrency is None and each.unit != "requests" for each in policy.limits
    ):
        yield (
            "No limit is in tokens or dollars, so answers are not read for usage: what clusters use is told by prompts alone, "
            "and budgets of material ones come out too small. Add one: {name: tokens, per: [account], unit: tokens, rate: "
            "1000000/minute}, with `shadow: true` if it is to refuse nobody."
        )


def _untold(policy: Policy) -> Iterator[str]:
    """Conditions on what no source of identity tells."""
    for what, when in _whens(policy):
        for name in _ATTRIBUTES:
            if getattr(when, name) is not None and not gives(policy, name) and not verifying.gives(policy, name):
                but = "" if name == "organisation" else " unless an operator gave the account one"
                yield f"{what} asks for `{name}`, which no source of identity tells: it holds for nobody{but}."


def _whens(policy: Policy) -> Iterator[tuple[str, WhenSettings]]:
    rules: Iterable[tuple[str, WhenSettings | None]] = [
        *((f"The limit `{limit.name}`", limit.when) for limit in policy.limits),
        *((f"The velocity rule `{rule.name}`", rule.when) for rule in policy.velocity),
        *((f"friction.allow[{index}]", when) for index, when in enumerate(policy.friction.allow)),
        *((f"friction.caps[{index}]", cap.when) for index, cap in enumerate(policy.friction.caps)),
    ]
    for what, when in rules:
        if when is not None:
            yield what, when


def _unclimbed(policy: Policy) -> Iterator[str]:
    """A ladder that no request climbs."""
    ladder, scorers = policy.friction.ladder, policy.risk.scorers
    if not ladder or not all(scorer.shadow for scorer in scorers):
        return
    if not scorers:
        yield "There is a ladder and no scorer, so nothing adds to the risk: a rung is met only by an operator's override."
    elif not all(rung.shadow for rung in ladder):
        yield (
            "All scorers are in shadow: what they find adds nothing to the risk, and no rung acts on it. Events say in `would` "
            "what one would have done."
        )


def _overtaking(policy: Policy) -> Iterator[str]:
    """Stricter rungs that act on more accounts than milder ones."""
    friction = policy.friction
    acting = [(rung.label, rung.rollout or friction.rollout) for rung in friction.ladder if not rung.shadow]
    for (milder, few), (stricter, many) in pairwise(acting):
        if many.percent > few.percent:
            yield (
                f"`{stricter}` acts on {many} of accounts and `{milder}`, the milder rung below it, on {few}: some accounts meet "
                "the stricter one first. `friction.rollout` is one share for all rungs."
            )


def _unpassable(policy: Policy) -> Iterator[str]:
    """A step-up that no token can pass, and a context that is perhaps misspelt."""
    for rung in policy.friction.ladder:
        if rung.do != "verify" or rung.with_.use != "step_up":
            continue
        settings, order = StepUpSettings.model_validate(rung.with_.own), policy.identity.assurance
        wanted = ("acr",) if settings.max_age is None else ("acr", "auth_time")
        untold = [f"`{name}`" for name in wanted if not gives(policy, name)]
        if untold:
            yield (
                f"The rung `{rung.label}` goes by {' and '.join(untold)}, which no source of identity tells: nobody passes it. "
                "Have the claim of an issuer's tokens read (`use: jwt`, `claims:`)."
            )
        elif not settings.url and any(source.use == "api_key" for source in policy.identity.sources):
            yield (
                f"The rung `{rung.label}` asks for a better sign-in, and a key has none to better: who has one is refused "
                "without an address. Set its `url`: where its owner can do something about it."
            )
        if order and settings.acr not in order:
            yield (
                f"The rung `{rung.label}` asks for an `acr` that `identity.assurance` does not have, so that only itself will "
                f"do: {settings.acr}. Was one of these meant: {', '.join(order)}?"
            )


def _worthless(policy: Policy) -> Iterator[str]:
    """Challenges that are not worth solving: a rung below, which goes on acting, does no less than what stands in `otherwise`."""
    below: tuple[str, str] | None = None
    for rung in policy.friction.ladder:
        if rung.shadow:
            continue
        if rung.do in {"delay", "trim"}:
            below = (rung.do, rung.label)
        instead = rung.otherwise if rung.do == "challenge" else None
        if below is not None and instead is not None and SEVERITY[instead] <= SEVERITY[below[0]]:
            yield (
                f"Solving `{rung.label}` gets nobody anything: who cannot solve it meets `otherwise: {instead}`, and who has "
                f"solved it the rung below it, `{below[1]}`. Take that rung away, or put something stricter in `otherwise`."
            )


def _unverified(policy: Policy) -> Iterator[str]:
    """Providers that no rung sends anybody to."""
    settings = policy.verification
    if settings is None:
        return
    used = {asks.provider for rung in policy.friction.ladder if (asks := verifying.asks(rung)) is not None}
    for name in settings.providers:
        if name not in used:
            yield (
                f"No rung asks for a verification by `{name}`: nobody is ever sent there. Add one, {{at: 75, do: verify, with: "
                f"{{use: identity, provider: {name}, level: …}}}}, or take the provider out once its last approval has run out."
            )


def _clicked(policy: Policy) -> Iterator[str]:
    """Rungs that whoever clicks passes, where they act."""
    providers = policy.verification.providers if policy.verification is not None else {}
    if policy.mode != "enforce":
        return
    for rung in policy.friction.ladder:
        asks = verifying.asks(rung)
        if asks is not None and not rung.shadow and providers[asks.provider].use == "simulated":
            yield (
                f"The rung `{rung.label}` asks for a verification that is simulated, in enforce: whoever it stops passes with "
                "two clicks, a campaign as well. Use another provider (`manual` needs no contract), or `shadow: true`."
            )


def _unaddressed(policy: Policy) -> Iterator[str]:
    """Links to appeals that are paths: whoever reads a refusal elsewhere does not know of which server."""
    settings = policy.verification
    if settings is not None and settings.appeals.open and policy.endpoints.public_url is None:
        yield (
            "Appeals are open, and `endpoints.public_url` is not set: `appeal_url` in refusals is a path, which only a browser "
            "that asked this server can follow. Write the server's root as people see it: {public_url: https://api.example}."
        )
