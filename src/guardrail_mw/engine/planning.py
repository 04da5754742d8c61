"""What holds for a request: worked out once for a subject, and found again as long as nothing of it changes."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.clusters.binding import Counted, counted
from guardrail_mw.conditions import Traits, ial_level
from guardrail_mw.engine.accounts import ruled
from guardrail_mw.friction.verification.assurance import CASES, UNASSURED, Assured, Terms, assured, higher
from guardrail_mw.limits.limit import digest
from guardrail_mw.limits.plan import Planner
from guardrail_mw.limits.tariff import Place, Tariff
from guardrail_mw.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.engine.standings import Standings
    from guardrail_mw.identity.resolver import Resolver
    from guardrail_mw.policy import Policy
    from guardrail_mw.values import Standing, Subject

__all__ = ["Planning"]

_KEPT_TARIFFS = 64
"""Of one subject."""
_KEPT_IN_ALL = 65_536
"""Tariffs of all subjects, at up to 5 kB: whoever invents keys, networks and paths must not fill the memory with them."""
_ASSURED: Final = 16_384
"""Accounts of which it is remembered what their verifications are worth."""
_NOWHERE: Final = Counted("", 0)
_SERIALS: Final = count()


class Planning:
    """Says what holds for an exchange. One for an engine.

    Args:
        policy: whose limits these are.
        shadowed: limits that a switch has turned to shadow.
        resolver: forgets its subjects when they keep too much.
        standings: what this process knows of accounts.
        clock: for what runs out.
    """

    __slots__ = ("_assured", "_clock", "_kept", "_resolver", "_serial", "_standings", "planner", "terms")

    def __init__(
        self, policy: Policy, shadowed: frozenset[str], resolver: Resolver, standings: Standings, clock: Clock
    ) -> None:
        self.planner = Planner(
            policy.limits,
            policy.models,
            policy.identity.assurance,
            shadowed,
            strict=policy.reserve.strict,
            velocity=policy.velocity,
        )
        self.terms = Terms.of(policy.verification, policy.identity.assurance)
        """Which approvals count."""
        self._resolver = resolver
        self._standings = standings
        self._clock = clock
        self._serial = next(_SERIALS)
        """In place of the engine in keys: they are numbers and text then, which the garbage collector passes over."""
        self._kept = 0
        """Tariffs made since all subjects were last forgotten."""
        self._assured: Recent[str, tuple[Mapping[str, str], Assured]] = Recent(_ASSURED)
        """What verifications are worth, by account, and of which standing: it takes 7 µs to work out."""

    def plan(self, exchange: Exchange, subject: Subject) -> Tariff:
        """What holds for the exchange, as far as its subject's standing is known to this process."""
        candidate = subject.candidate
        standing = exchange.standing = self._standings.get(candidate)
        exchange.subject = subject
        version: int | str = standing.version
        fields = standing.fields
        if "tier" in fields or "counters" in fields or CASES in fields:
            version = self._dated(candidate, standing)
        key = (self._serial, exchange.route.index, exchange.route.method, exchange.model, version)
        memo = subject.memo
        if memo is None or memo[0] != key:
            memo = self._planned(exchange, subject, standing, key)
        tariff: Tariff
        _, tariff, exchange.authenticated, exchange.traits = memo
        if exchange.turn:
            tariff = tariff.turns()
        exchange.tariff = tariff
        return tariff

    def _shown(self, candidate: str, standing: Standing, now: int) -> Assured:
        """What an account's verifications are worth. It stays so until the first of them runs out, or its standing changes."""
        if CASES not in standing.fields:
            return UNASSURED
        known = self._assured.get(candidate)
        if known is not None and known[0] is standing.fields and (now < known[1].until or not known[1].until):
            return known[1]
        shown = assured(standing.fields, self.terms, now)
        self._assured.put(candidate, (standing.fields, shown))
        return shown

    def _dated(self, candidate: str, standing: Standing) -> str:
        """A standing's version, and what of it has run out: what was planned before holds no longer, though it did not change."""
        fields, now = standing.fields, self._clock.now()
        tier = "tier" in fields and ruled(fields, now) is None
        until = self._shown(candidate, standing, now).until
        return f"{standing.version} {tier:d} {until} {counted(fields, now).home}"

    def _planned(
        self, exchange: Exchange, subject: Subject, standing: Standing, key: tuple[Any, ...]
    ) -> tuple[Any, Tariff, bool, Traits]:
        """What holds, planned before or now. Most subjects do one thing only, and need no dict to find it in."""
        cache, memo = subject.cache, subject.memo
        if cache is not None:
            found: tuple[Any, Tariff, bool, Traits] | None = cache.get(key)
            if found is not None:
                subject.memo = found
                return found
        elif memo is not None:
            cache = subject.cache = {memo[0]: memo}
        self._kept += 1
        if self._kept > _KEPT_IN_ALL:
            self._kept = 0
            self._resolver.forget()
        found = subject.memo = (key, *self._tariff(exchange, subject, standing))
        if cache is not None:
            if len(cache) >= _KEPT_TARIFFS:
                cache.clear()
            cache[key] = found
        return found

    def _tariff(self, exchange: Exchange, subject: Subject, standing: Standing) -> tuple[Tariff, bool, Traits]:
        fields = standing.fields
        route = exchange.route
        authenticated = subject.authenticated or (bool(subject.candidate) and fields.get("proved") == "1")
        known = authenticated or "since" in fields  # was proved once: a 401 now must not move its costs to its network
        tier = ruled(fields, self._clock.now()) if "tier" in fields else None
        shown = self._shown(subject.candidate, standing, self._clock.now())
        traits = Traits(
            route=route.names,
            method=exchange.route.method,
            model=exchange.model,
            authenticated=authenticated,
            verified=subject.verified or shown.verified,
            tier=subject.tier if tier is None else tier.name,
            organisation=subject.organisation_name,
            verdict=fields.get("verdict", "none"),
            acr=higher(subject.acr, shown.acr, self.terms.assurance),
            ial=max(subject.ial, shown.ial, key=ial_level),
            source=subject.source,
        )
        account = subject.candidate if known else subject.account
        where = counted(fields, self._clock.now()) if "cluster" in fields else _NOWHERE
        place = Place(
            account=account,
            network=subject.network,
            network_parent=subject.network_parent or "e",
            organisation=subject.organisation,
            cluster=where.home,
            authenticated=authenticated,
            device=_device(subject, account),
            seen=subject.device_kind == "seen",
        )
        plan = self.planner.plan(route.limits, traits, metered=route.metered, budget=where.budget, binds=where.binds)
        return plan.tariff(place, exchange.model, route.label), authenticated, traits


def _device(subject: Subject, account: str) -> str:
    """The home of a device: a signed one's own.

    What anybody can show tells one account's devices apart, and joins no two accounts: the users of one SDK are no farm, and
    none of them pays for another.
    """
    if subject.device_kind != "seen":
        return subject.device
    return f"d:{digest(f'{account} {subject.device}', 16)}"
