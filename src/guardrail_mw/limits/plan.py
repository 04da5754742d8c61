"""All limits of a policy: which hold for a request, what it is likely to use of them, and what it used."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from guardrail_mw.conditions import Traits, compile_when
from guardrail_mw.limits.cluster_budget import cluster_budget
from guardrail_mw.limits.limit import Limit
from guardrail_mw.limits.models import Models
from guardrail_mw.limits.settings import LimitSettings, ModelSettings
from guardrail_mw.limits.tariff import Plan
from guardrail_mw.limits.velocity import VelocitySettings, Watch
from guardrail_mw.values import Estimate, Usage

__all__ = ["Planner"]

_KEPT = 4096


class Planner:
    """All limits of a policy. One for a policy; plans are made as kinds of requests come.

    Args:
        limits: the policy's.
        models: the policy's.
        assurance: the order of `acr` values, lowest first.
        shadowed: names of limits that an operator has switched to shadow.
        strict: whether every limit reserves all that a request allows.
        velocity: the policy's.
    """

    def __init__(
        self,
        limits: Sequence[LimitSettings],
        models: Mapping[str, ModelSettings],
        assurance: Sequence[str] = (),
        shadowed: Iterable[str] = (),
        *,
        strict: bool = False,
        velocity: Sequence[VelocitySettings] = (),
    ) -> None:
        switched = frozenset(shadowed)
        self.models = Models(models)
        self.limits: tuple[Limit, ...] = tuple(
            Limit(
                each,
                compile_when(each.when, assurance) if each.when else None,
                shadow=each.shadow or each.name in switched,
                strict=each.strict or strict,
            )
            for each in limits
        )
        self.watches = tuple((Watch(each), compile_when(each.when, assurance) if each.when else None) for each in velocity)
        self._reading = frozenset(
            limit.name
            for limit, each in zip(self.limits, limits, strict=True)
            if limit.reserves or "model" in limit.dimensions or (each.when is not None and each.when.model is not None)
        )
        whens = [each.when for each in limits] + [each.when for each in velocity]
        self._asked = tuple(
            name
            for name in Traits._fields
            if any(when is not None and getattr(when, name, None) is not None for when in whens)
        )
        """The traits that some limit's `when` looks at: whatever else differs makes no other plan."""
        self._plans: dict[Hashable, Plan] = {}

    def reads(self, names: frozenset[str]) -> bool:
        """Whether one of the named limits needs to know a request's model or size before it can be charged."""
        return not self._reading.isdisjoint(names)

    def plan(self, names: frozenset[str], traits: Traits, *, metered: bool, budget: int = 0, binds: bool = False) -> Plan:
        """The limits that hold for requests of these traits where the route allows `names`.

        `budget` is that of the material cluster that the account is in, in tokens a UTC day; 0 for none. It holds on every
        metered route, in shadow unless it `binds`.
        """
        key = (names, metered, traits.route, budget, binds, *[getattr(traits, name) for name in self._asked])
        found = self._plans.get(key)
        if found is None:
            if len(self._plans) >= _KEPT:  # tiers and organisations come from claims
                self._plans.clear()
            watched = [watch for watch, when in self.watches if when is None or when(traits)]
            holding = self._holding(names, traits)
            if budget and metered:
                holding.append(cluster_budget(budget, binds=binds))
            found = self._plans[key] = Plan(holding, watched, metered=metered)
        return found

    def _holding(self, names: frozenset[str], traits: Traits) -> list[Limit]:
        holding = [limit for limit in self.limits if limit.name in names and (limit.when is None or limit.when(traits))]
        replaced = {limit.replaces for limit in holding}
        return [limit for limit in holding if limit.name not in replaced]

    def cost(self, limit: Limit, estimate: Estimate) -> int:
        """What a request reserves of a limit."""
        output = max(estimate.most, estimate.output) if limit.strict else estimate.output
        match limit.unit:
            case "requests":
                return estimate.items
            case "tokens":
                return estimate.input + output
            case "input_tokens":
                return estimate.input
            case "output_tokens":
                return output
            case "usd":
                return self.models.cost(self.models.key(estimate.model), Usage(input=estimate.input, output=output))

    def used(self, limit: Limit, usage: Usage, model: str) -> int | None:
        """What an exchange used of a limit; None where its cost was no estimate."""
        match limit.unit:
            case "tokens":
                return usage.tokens
            case "input_tokens":
                return usage.input + usage.cached + usage.cache_write
            case "output_tokens":
                return usage.output
            case "usd":
                return self.models.cost(model, usage)
            case _:
                return None
