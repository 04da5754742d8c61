"""What a guardrail is made of, as its policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrail_mw import plugins
from guardrail_mw.engine import linking
from guardrail_mw.errors import PluginError, PolicyError, Problem
from guardrail_mw.identity.resolver import Resolver
from guardrail_mw.policy.document import SCHEMES, url_trouble
from guardrail_mw.stores.base import Graph
from guardrail_mw.stores.resilient import Resilient
from guardrail_mw.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.counts import Counts
    from guardrail_mw.engine.gathering import Gathering
    from guardrail_mw.engine.surroundings import Surroundings
    from guardrail_mw.identity.keys import Secrets
    from guardrail_mw.policy import Policy, StoreSettings
    from guardrail_mw.stores.base import Store
    from guardrail_mw.telemetry.prometheus import Metrics
    from guardrail_mw.telemetry.tracing import Tracing
    from guardrail_mw.values import Observer

__all__ = ["gathering", "metrics", "opened", "recorder", "resilient", "resolver", "tracing", "worker"]

_KINDS = {"memory": "memory"} | dict.fromkeys(SCHEMES[1:], "redis")


def opened(settings: StoreSettings, surroundings: Surroundings, *, clock: Clock | None, observer: Observer) -> Store:
    """The store that the policy names, or the environment.

    Raises:
        PolicyError: its URL is bad.
        PluginError: it cannot be loaded, or needs a package that is not installed.
    """
    url = surroundings.url(settings)
    place, source = ("store.url", "") if url == settings.url else ("GUARDRAIL_STORE", "environment")
    trouble = url_trouble(url)
    if trouble is not None:
        raise PolicyError([Problem(place, *trouble, source=source)])
    scheme = url.partition("://")[0]
    kind = plugins.load("stores", _KINDS.get(scheme, scheme))
    try:
        store: Store = kind.from_url(
            url, deadline=settings.deadline.us, max_subjects=settings.max_subjects, clock=clock, observer=observer
        )
    except ValueError as error:
        raise PolicyError([Problem(place, str(error), source=source)]) from error
    except ImportError as error:
        cure = "Install it with: pip install 'guardrail-mw[redis]'"
        raise PluginError(
            f"The store for {scheme}:// needs a package that is not installed ({error.name}). {cure}"
        ) from error
    return store


def resilient(store: Store, settings: StoreSettings, *, clock: Clock, observer: Observer) -> Resilient:
    """A shared store, which may fail."""
    if isinstance(store, Resilient):
        return store
    return Resilient(store, on_error=settings.on_error, processes=settings.processes, clock=clock, observer=observer)


def resolver(policy: Policy, secrets: Secrets, *, clock: Clock, observer: Observer) -> Resolver:
    """What attributes requests to subjects."""
    return Resolver(
        policy.identity_in_use,
        id_key=secrets.id_key,
        clock=clock,
        observer=observer,
        keys=secrets.keys,
        evidence=policy.clusters,
    )


def recorder(policy: Policy, found: Metrics | None, *, clock: Clock, observer: Observer) -> Recorder:
    """What takes the event of each decision, with the policy's sinks.

    Raises:
        PluginError: one of them cannot be made.
    """
    try:
        sinks = policy.telemetry.sinks(clock, observer)
    except ValueError as error:
        raise PluginError(str(error)) from error
    if found is not None:
        sinks.append(found)
    return Recorder(sinks, clock=clock, observer=observer)


def metrics(policy: Policy, counts: Counts) -> Metrics | None:
    """Metrics for Prometheus, where the policy wants them, which hear of all that is counted."""
    if not policy.telemetry.metrics:
        return None
    from guardrail_mw.telemetry.prometheus import Metrics

    made = Metrics()
    counts.tell(made)
    return made


def tracing(policy: Policy) -> Tracing | None:
    """What makes spans, where the policy wants them."""
    if not policy.telemetry.tracing:
        return None
    from guardrail_mw.telemetry.tracing import Tracing

    return Tracing()


def gathering(policy: Policy, store: Store, names: Resolver, *, clock: Clock, observer: Observer) -> Gathering | None:
    """What learns of accounts beside their requests, where the policy has clusters and the store can keep it.

    Raises:
        PluginError: the store cannot, or a package that working clusters out takes is not installed.
    """
    if policy.clusters is None:
        return None
    if not isinstance(store, Graph):
        raise PluginError("The policy has clusters, and its store cannot keep evidence: it is no `Graph`.")
    if policy.clusters.rebuild == "here":
        plugins.load("services", "worker")  # what it lacks is told at the start
    from guardrail_mw.engine.gathering import Gathering, Releases

    released = {key: each.released.us for key, each in policy.models.items() if each.released is not None}
    return Gathering(policy.clusters, Releases(released), keys=names.digester, clock=clock, observer=observer)


def worker(policy: Policy, store: Store, names: Resolver, *, clock: Clock, observer: Observer) -> Any:
    """What works clusters out anew.

    Raises:
        PluginError: the policy has none, or a package that this takes is not installed.
    """
    if policy.clusters is None or not isinstance(store, Graph):
        raise PluginError("The policy has no clusters: give it a section `clusters:`.")
    make = plugins.load("services", "worker")
    return make(
        store,
        policy.clusters,
        clock=clock,
        observer=observer,
        limits=policy.limits,
        organisations=linking.declared(policy, names),
    )
