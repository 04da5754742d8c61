"""What only the whole document tells: names that must exist, figures that must fit one another.

Runs on whatever parts of a document are sound by themselves, so that its findings come along with all others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from guardrail_mw.conditions import WhenSettings
from guardrail_mw.friction.settings import FrictionSettings
from guardrail_mw.friction.verification.settings import VerificationSettings
from guardrail_mw.limits.cluster_budget import NAME
from guardrail_mw.limits.settings import FIGURES, LimitSettings, ModelSettings, ReserveSettings
from guardrail_mw.limits.velocity import VelocitySettings
from guardrail_mw.policy import paths
from guardrail_mw.policy.nodes import Path
from guardrail_mw.risk.base import Velocity
from guardrail_mw.risk.runner import misfits
from guardrail_mw.risk.settings import RiskSettings
from guardrail_mw.settings import MICRO

if TYPE_CHECKING:
    from guardrail_mw.clusters.settings import OrganisationSettings
    from guardrail_mw.policy.document import Policy, RouteSettings

__all__ = ["MOST_MODELS", "Finding", "Parts", "check", "issuers", "nearest", "rules", "sources"]

MOST_MODELS = 32
"""Models that `per: [account, model]` tells apart, `other` among them: so many counters a subject has at most for a limit."""

_BEGUN: Final = 3
"""Letters that must stand before a name counts as begun."""

Finding: TypeAlias = tuple[Path, str, str]
"""Path, message, hint."""


class Parts(NamedTuple):
    """The sound parts of a document, by their place in it."""

    limits: Mapping[int, LimitSettings]
    routes: Mapping[int, RouteSettings]
    models: Mapping[str, ModelSettings]
    reserve: ReserveSettings
    sources: Collection[str] | None
    """What `when: {source: …}` may name; None where `identity` is not sound."""
    limit_names: Mapping[int, str]
    """Those of unsound limits too: a name that is there is not unknown."""
    model_names: Collection[str]
    route_names: Collection[str]
    velocity: Mapping[int, VelocitySettings] = {}
    velocity_whole: bool = True
    """Whether no rule is left out: then a name that is not there is unknown."""
    risk: RiskSettings | None = None
    friction: FrictionSettings | None = None
    issuers: Collection[str] | None = None
    """Of the sources; None where `identity` is not sound."""
    organisations: Sequence[OrganisationSettings] = ()
    verification: VerificationSettings | None = None
    verification_whole: bool = True
    """Whether that section is sound: then a provider that is not there is unknown."""
    public: bool = True
    """Whether the outside address is known; True where `endpoints` is not sound."""

    @classmethod
    def of(cls, policy: Policy) -> Parts:
        """All of a document."""
        routes = dict(enumerate(policy.routes))
        return cls(
            limits=dict(enumerate(policy.limits)),
            routes=routes,
            models=policy.models,
            reserve=policy.reserve,
            sources=sources(policy.identity),
            limit_names={index: limit.name for index, limit in enumerate(policy.limits)},
            model_names=set(policy.models),
            route_names={name for route in policy.routes for name in (*route.path, route.label)},
            velocity=dict(enumerate(policy.velocity)),
            risk=policy.risk,
            friction=policy.friction,
            issuers=issuers(policy.identity),
            organisations=policy.clusters.organisations if policy.clusters is not None else (),
            verification=policy.verification,
            public=policy.endpoints.public_url is not None,
        )


def sources(identity: object) -> Collection[str]:
    """The names of the sources of credentials."""
    return {source.use for source in getattr(identity, "sources", ()) if isinstance(source.use, str)} | {"anonymous"}


def issuers(identity: object) -> Collection[str]:
    """The issuers that the sources of credentials name."""
    return {source.issuer for source in getattr(identity, "sources", ())} - {""}


def rules(settings: Iterable[VelocitySettings]) -> dict[str, Velocity]:
    """Velocity rules as scorers see them, by name."""
    return {each.name: Velocity(each.name, each.family, each.over.us) for each in settings}


def nearest(name: str, known: Collection[str], word: str = "Known here") -> str:
    """A hint: the nearest known name, that which begins alike before others, else all that are known."""
    begun = sorted(each for each in known if len(name) >= _BEGUN and each.startswith(name))
    near = begun[:1] or get_close_matches(name, list(known), n=1, cutoff=0.6)
    if near:
        return f"Did you mean `{near[0]}`?"
    return f"{word}: {', '.join(f'`{each}`' for each in sorted(known))}." if known else "There is none."


def check(parts: Parts) -> Iterator[Finding]:
    """All findings, in no order."""
    yield from _names(parts)
    yield from _replacements(parts)
    yield from _conditions(parts)
    yield from _fits(parts)
    yield from _prices(parts)
    yield from _models(parts)
    yield from _told_apart(parts)
    yield from _routes(parts)
    yield from _counted(parts)
    yield from _scorers(parts)
    yield from _organisations(parts)
    yield from _verifying(parts)


def _names(parts: Parts) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, name in parts.limit_names.items():
        first = seen.setdefault(name, index)
        if first != index:
            yield ("limits", index, "name"), f"`{name}` is the name of limits[{first}] too.", "Name each limit once."
        if name == NAME:
            yield ("limits", index, "name"), f"`{name}` is the name of material clusters' budgets.", "Give it another name."


def _replacements(parts: Parts) -> Iterator[Finding]:
    replaced = {limit.name: limit.replaces for limit in parts.limits.values()}
    names = set(parts.limit_names.values())
    for index, limit in parts.limits.items():
        path = ("limits", index, "replaces")
        if limit.replaces is None:
            continue
        if limit.replaces not in names:
            yield path, f"names `{limit.replaces}`, which is no limit.", nearest(limit.replaces, names, "Limits")
            continue
        chain = [limit.name]
        while (following := replaced.get(chain[-1])) is not None and following not in chain:
            chain.append(following)
        if following == limit.name:
            yield path, f"goes in a circle: {' → '.join([*chain, following])}.", "Let one of them stand by itself."


def _conditions(parts: Parts) -> Iterator[Finding]:
    known = {
        "route": (parts.route_names, "no route's name or path", "Routes"),
        "model": ({*parts.model_names, "other"}, "no key of `models`", "Models"),
        "source": (parts.sources, "no source of `identity`", "Sources"),
    }
    for place, when in _whens(parts):
        for key, (names, what, word) in known.items():
            for name in getattr(when, key, None) or ():
                if names is not None and name not in names:
                    yield (*place, key), f"names `{name}`, which is {what}.", nearest(name, names, word)


def _whens(parts: Parts) -> Iterator[tuple[Path, WhenSettings]]:
    for index, limit in parts.limits.items():
        if limit.when is not None:
            yield ("limits", index, "when"), limit.when
    for index, rule in parts.velocity.items():
        if rule.when is not None:
            yield ("velocity", index, "when"), rule.when
    if parts.friction is not None:
        for path, when in parts.friction.whens():
            yield ("friction", *path), when


def _fits(parts: Parts) -> Iterator[Finding]:
    """A limit that holds less than one request costs never has room for one."""
    prices = [model.usd_per_million.output for model in parts.models.values() if model.usd_per_million is not None]
    output = parts.reserve.output
    dollars = int(max(prices, default=0) * output)
    costs = {"requests": 1, "tokens": output, "input_tokens": 1, "output_tokens": output, "usd": dollars}
    for index, limit in parts.limits.items():
        cost, depth = costs[limit.unit], limit.burst_units()
        if limit.concurrency is not None or depth - limit.kept_units() >= cost:
            continue
        key = "burst" if limit.burst is not None else next(key for key in FIGURES if getattr(limit, key) is not None)
        one = f"${cost / MICRO:.6f}" if limit.unit == "usd" else f"{cost} {limit.unit}"
        if depth >= cost:
            key, what = "keep", f"leaves strangers less than one request reserves ({one})."
        else:
            what = f"holds less than one request reserves ({one}: `reserve.output` is {output})."
        yield ("limits", index, key), what, "Allow more, or set a smaller `reserve.output`."


def _prices(parts: Parts) -> Iterator[Finding]:
    priced = [name for name, model in parts.models.items() if model.usd_per_million is not None]
    for index, limit in parts.limits.items():
        if limit.unit == "usd" and not priced and len(parts.models) == len(parts.model_names):
            hint = "Give prices in `models: {…: {usd_per_million: …}}`."
            yield ("limits", index, "unit"), "is usd, and no model has a price.", hint
    counted = [limit.name for limit in parts.limits.values() if limit.unit == "usd"]
    for name, model in parts.models.items():
        if counted and priced and model.usd_per_million is None:
            hint = "Give `usd_per_million`, 0 if it is free."
            yield ("models", name), f"has no price, and `{counted[0]}` counts dollars.", hint


def _models(parts: Parts) -> Iterator[Finding]:
    """Of two entries that match a name the first counts, so one that is covered whole never does."""
    seen: list[tuple[str, str]] = []
    for key, model in parts.models.items():
        if key == "other":
            if model.names is not None:
                yield ("models", key, "names"), "stands in `other`, which is whatever matches no other.", "Leave it out."
            continue
        names = model.names or [key]
        for index, name in enumerate(names):
            first = next((other for other, glob in seen if fnmatchcase(name, glob)), None)
            if first is not None:
                where = ("models", key, "names", index) if model.names else ("models", key)
                yield where, f"never matches: `{first}` above takes it first.", "Put the narrower one first."
        seen += [(key, name) for name in names]


def _told_apart(parts: Parts) -> Iterator[Finding]:
    """Every model that is told apart is a counter of every subject's."""
    apart = [limit.name for limit in parts.limits.values() if "model" in limit.per]
    if apart and len(parts.model_names) > MOST_MODELS:
        what = f"lists {len(parts.model_names)} models, and `{apart[0]}` counts each apart for every subject."
        yield ("models",), what, f"List at most {MOST_MODELS}, with globs such as `large-*`; the rest are `other`."


def _routes(parts: Parts) -> Iterator[Finding]:
    limits = set(parts.limit_names.values())
    names: dict[str, int] = {}
    for index, route in parts.routes.items():
        for place, limit in enumerate(route.limits or ()):
            if limit not in limits:
                path: Path = ("routes", index, "limits", place)
                yield path, f"names `{limit}`, which is no limit.", nearest(limit, limits, "Limits")
        if route.name is not None and (first := names.setdefault(route.name, index)) != index:
            yield ("routes", index, "name"), f"`{route.name}` is the name of routes[{first}] too.", "Name each route once."
    yield from _reached(parts)


def _reached(parts: Parts) -> Iterator[Finding]:
    """The first route that matches wins, so one whose path is covered by one above never does."""
    above: list[tuple[int, str]] = []
    for index, route in parts.routes.items():
        for place, glob in enumerate(route.path):
            first = next(((other, wide) for other, wide in above if paths.covers(wide, glob)), None)
            if first is not None:
                path: Path = ("routes", index, "path", place)
                what = f"is never reached: routes[{first[0]}] ({first[1]}) matches first."
                yield path, what, "Put the narrower route first."
        if route.methods is None:
            above += [(index, glob) for glob in route.path]


def _counted(parts: Parts) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for index, rule in parts.velocity.items():
        first = seen.setdefault(rule.name, index)
        if first != index:
            yield ("velocity", index, "name"), f"`{rule.name}` is the name of velocity[{first}] too.", "Name each rule once."


def _scorers(parts: Parts) -> Iterator[Finding]:
    if parts.risk is None or not parts.velocity_whole:
        return
    for path, message in misfits(parts.risk, rules(parts.velocity.values())):
        yield ("risk", *path), message, ""


def _organisations(parts: Parts) -> Iterator[Finding]:
    if parts.issuers is None:
        return
    for index, organisation in enumerate(parts.organisations):
        if organisation.issuer and organisation.issuer not in parts.issuers:
            path: Path = ("clusters", "organisations", index, "issuer")
            yield path, f"is no source's: `{organisation.issuer}`.", nearest(organisation.issuer, parts.issuers, "Issuers")


def _verifying(parts: Parts) -> Iterator[Finding]:
    """Rungs name providers and levels that are there; people come back to an address that is known."""
    if parts.verification is not None and parts.verification.providers and not parts.public:
        hint = "Write `endpoints: {public_url: https://api.example}`."
        yield (
            ("verification", "providers"),
            "need to know where people come back to, and `endpoints.public_url` is not set.",
            hint,
        )
    providers = parts.verification.providers if parts.verification is not None else {}
    if not parts.verification_whole:
        return
    for index, rung in enumerate(parts.friction.ladder if parts.friction is not None else ()):
        if rung.do != "verify" or rung.with_.use != "identity":
            continue
        path: Path = ("friction", "ladder", index, "with")
        provider, level = rung.with_.own["provider"], rung.with_.own["level"]
        if provider not in providers:
            yield (
                (*path, "provider"),
                f"names `{provider}`, which is no key of `verification.providers`.",
                nearest(provider, providers),
            )
            continue
        levels = providers[provider].levels
        if levels is not None and level not in levels:
            yield (*path, "level"), f"names `{level}`, which is none of `{provider}`'s `levels`.", nearest(level, levels)
