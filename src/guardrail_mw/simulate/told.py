"""What the guard of a trace is told: under which policy it works, and which evidence is shown to it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.clusters.kinds import BUILT_IN
from guardrail_mw.policy import Policy, load
from guardrail_mw.simulate.ablation import spared
from guardrail_mw.simulate.world.arrays import DAY, SECOND
from guardrail_mw.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from guardrail_mw.simulate.guarding import Feed
    from guardrail_mw.simulate.traces import Trace

__all__ = ["TEXTS", "families", "policy_for", "trace_kinds", "withheld"]

TEXTS: Final = frozenset({"system", "prompt"})
"""Kinds whose value is a text, which is read as the edge reads it: a system prompt, the user's last message."""
_SHOWN: Final = frozenset({"shingle", "release", "coactive"})
"""Kinds that are never told: they are made from what is."""
_KNOWN: Final = frozenset({"payment", "domain", "organisation", "email_domain", "issuer", "device"})
"""Kinds that no request with an API key shows: the service's own systems, its tokens and its cookies do."""
_MADE: Final = {"prompt": "content"}
"""The families of what is made from kinds that are none themselves."""


def trace_kinds(policy: Policy) -> frozenset[str]:
    """The kinds of evidence that a trace may show under a policy."""
    own = frozenset(policy.clusters.kinds) if policy.clusters is not None else frozenset[str]()
    return frozenset(kind.name for kind in BUILT_IN) - _SHOWN | TEXTS | own


def families(policy: Policy) -> frozenset[str]:
    """The families of which a policy knows a kind; none where it has no clusters."""
    if policy.clusters is None:
        return frozenset()
    return frozenset(kind.family for kind in policy.clusters.known().by_code.values())


def withheld(policy: Policy, feed: Feed, without: frozenset[str]) -> frozenset[str]:
    """The kinds of evidence of a trace that its guard is not shown.

    Args:
        policy: from `policy_for`.
        feed: `none` withholds what the service's own systems know of an account: kinds of the policy's own too.
        without: families of evidence that are left out.
    """
    if policy.clusters is None:
        return frozenset()
    kinds = policy.clusters.known().by_name
    family = {name: kinds[name].family if name in kinds else _MADE[name] for name in trace_kinds(policy)}
    left_out = frozenset(name for name, whose in family.items() if whose in without)
    return left_out | _KNOWN | frozenset(policy.clusters.kinds) if feed == "none" else left_out


def policy_for(name: str, trace: Trace, feed: Feed = "links", without: frozenset[str] = frozenset()) -> Policy:
    """The policy for a trace: its accounts are proved, its store is in memory, and no events are written.

    A model that comes a day after the beginning was released then, which is told with `links`, and where the family `release` is
    not left out.

    Args:
        name: a file's, or of one that ships.
        trace: whose models and size it is told of.
        feed: how much it is told.
        without: families of evidence that are left out.

    Raises:
        PolicyError: it cannot be run.
    """
    told = feed != "none"
    released = {model: at for model, at in trace.models.items() if at > trace.start + DAY}
    identity: dict[str, Any] = {"sources": [{"use": "api_key", "with": {"trust": "gateway"}}]}
    document: dict[str, Any] = {
        "version": 1,
        "extends": name,
        "identity": identity | ({"device": {"cookie": True}} if told else {}),
        "store": {"url": "memory://", "max_subjects": max(200_000, 4 * len(trace))},
    }
    if released and told and "release" not in without:
        document["models"] = {
            f"model-{place}": {"names": [model], "released": _text(at)}
            for place, (model, at) in enumerate(sorted(released.items()))
        }
    policy = load(document)
    clusters = None if policy.clusters is None else spared(policy.clusters, without)
    return policy.model_copy(update={"clusters": clusters, "telemetry": TelemetrySettings(), "console": None})


def _text(at: int) -> str:
    return dt.datetime.fromtimestamp(at // SECOND, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
