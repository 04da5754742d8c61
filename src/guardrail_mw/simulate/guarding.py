"""The guard of a world: a policy that ships, or anybody's, with what an operator of that service would have written into it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.engine import Guardrail
from guardrail_mw.policy import Policy, load
from guardrail_mw.simulate.ablation import spared
from guardrail_mw.simulate.world.town import FREE_MAIL
from guardrail_mw.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from guardrail_mw.simulate.clock import WorldClock
    from guardrail_mw.simulate.world.world import World

__all__ = ["FEEDS", "ROOM", "Feed", "Feeder", "guard", "policy_of", "secrets_of"]

Feed: TypeAlias = Literal["none", "links"]
"""What the service tells its guard: nothing but its traffic, the way most will mount it; or what its own systems know of accounts
(`link`: payment, domain, organisation, when it was opened), its models' releases, signed devices, networks that are known as
shared, domains of free mail."""
FEEDS: Final = ("none", "links")
ROOM: Final = 4
"""Homes in the store for each account: its own, its networks, its devices."""
_LEAST: Final = 200_000
_SECOND: Final = 1_000_000
_KINDS: Final = {
    "payment": keys.PAYMENT,
    "domain": keys.DOMAIN,
    "email_domain": keys.EMAIL_DOMAIN,
    "organisation": keys.ORGANISATION,
}


def policy_of(name: str, world: World, feed: Feed, without: frozenset[str] = frozenset()) -> Policy:
    """The policy that a world is guarded by.

    Args:
        name: a file's, or of one that ships.
        world: whose models, networks and domains the policy is told of.
        feed: how much it is told.
        without: families of evidence that are left out.

    Raises:
        PolicyError: it cannot be run.
    """
    document: dict[str, Any] = {"version": 1, "extends": name, **_verification(world)}
    document["store"] = {"max_subjects": max(_LEAST, ROOM * len(world.accounts))}
    if feed == "none":
        return _spared(load(document), without)
    document["identity"] = {"device": {"cookie": True}}
    document["models"] = {
        each.name: {} if each.released is None or "release" in without else {"released": _moment(each.released)}
        for each in world.models
    }
    if load(name).clusters is not None:
        document["clusters"] = {"shared_networks": world.shared_networks, "free_mail": list(FREE_MAIL)}
    return _spared(load(document), without)


def _verification(world: World) -> dict[str, Any]:
    """What a scenario has its callers asked for; nothing where it says nothing.

    Suspects solve; who goes on without, and who is confirmed, is verified. Puzzles are as easy as they can be, for a run has to
    solve them all: how long one takes is told by the world.
    """
    asks = world.scenario.verification
    if asks is None:
        return {}
    puzzle = {"use": "altcha", "immunity": "30m", "cost": 1, "prefix": "0", "hardest": 1}
    proof = {"use": "identity", "provider": "office", "level": "id", "whose": asks.whose}
    office = {"use": "manual", "with": {"levels": {"id": {"ial": "2"}}}}
    verified = {"name": "verified", "per": ["account"], "when": {"verdict": "suspect", "verified": True}}
    limits = {"limits": [{**verified, "window": f"{asks.each_day}/day"}]} if asks.each_day is not None else {}
    return {
        **limits,
        "endpoints": {"public_url": "https://api.service.example"},
        "verification": {"name": "The service", "providers": {"office": office}},
        "risk": {"scorers": [{"use": "cluster", "with": {"watched": 0, "suspect": 40, "confirmed": 90}}]},
        "friction": {
            "ladder": [{"at": 60, "do": "challenge", "with": puzzle, "up": 3}, {"at": 95, "do": "verify", "with": proof}]
        },
    }


def _spared(policy: Policy, without: frozenset[str]) -> Policy:
    return policy if policy.clusters is None else policy.model_copy(update={"clusters": spared(policy.clusters, without)})


def _moment(at: int) -> str:
    return dt.datetime.fromtimestamp(at // _SECOND, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def guard(policy: Policy, clock: WorldClock, seed: int, *, clusters: bool = True, twin: bool = False) -> Guardrail:
    """The middleware's engine and store, in memory, with secrets made from the seed: runs of one seed are alike.

    No events are written, whatever the policy says of them.

    Args:
        policy: from `policy_of`.
        clock: of the world.
        seed: of the run.
        clusters: False for a twin, which differs in nothing else.
        twin: where callers are verified, a twin has everything in shadow.
    """
    policy = policy.model_copy(update={"telemetry": TelemetrySettings(), "console": None})
    if twin and policy.verification is not None:
        policy = policy.model_copy(update={"mode": "shadow"})
    if not clusters:
        device = policy.identity_in_use.device  # seen ones are told apart for evidence only; a twin tells them apart as well
        identity = policy.identity.model_copy(update={"device": device})
        policy = policy.model_copy(update={"clusters": None, "identity": identity})
    return Guardrail(policy, clock=clock, environ=secrets_of(seed))


def secrets_of(seed: int) -> dict[str, str]:
    """The environment of a seed's guards. Whatever store a policy names, what is simulated goes to one in memory."""
    secret = f"simulated-{seed:032d}"
    return {"GUARDRAIL_ID_KEY": secret, "GUARDRAIL_KEYS": secret, "GUARDRAIL_STORE": "memory://"}


class Feeder:
    """Tells the guard what the service's own systems know of accounts, as they are opened.

    Args:
        guardrail: who is told.
        world: whose accounts they are.
        rows: where each account's row is noted, by its home.
        without: families of evidence that are left out.
    """

    def __init__(
        self, guardrail: Guardrail, world: World, rows: dict[str, int], without: frozenset[str] = frozenset()
    ) -> None:
        self._guardrail = guardrail
        self._rows = rows
        self._world = world
        self._without = frozenset(kind.name for kind in BUILT_IN if kind.family in without)

    async def tell(self, since: int, until: int) -> int:
        """Of accounts opened in [since, until), µs; how many facts were told. What can be no evidence (free mail) is left out."""
        resolver, store = self._guardrail.engine.resolver, self._guardrail.store
        evidence, told = resolver.evidence, 0
        if evidence is None:
            return 0
        source = resolver.sources[0].name
        for link in self._world.links(since, until):
            account = resolver.digester.account(source, "", self._world.accounts.name(link.account))
            self._rows[account] = link.account
            if link.kind in self._without:
                continue
            value = link.value
            if link.kind == "organisation":
                value = resolver.digester.organisation(source, "", value)
            try:
                shown = [evidence.linked(_KINDS[link.kind], value)]
            except ValueError:
                shown = []
            await store.link(account, shown, link.created)  # type: ignore[attr-defined]
            told += 1
        return told
