"""What a replay cannot know, said where it matters: of this policy, on these events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from guardrail_mw.engine.standins import RECOMPUTED

if TYPE_CHECKING:
    from guardrail_mw.cli.replay.comparing import Comparison
    from guardrail_mw.cli.replay.reading import Events
    from guardrail_mw.engine.replaying import Replay
    from guardrail_mw.policy import Policy

__all__ = ["cautions", "different"]


def cautions(
    policy: Policy, old: Sequence[Policy], events: Events, replay: Replay, comparison: Comparison, *, keyless: bool
) -> list[str]:
    """A sentence or two for each."""
    return [
        *_about_events(events, comparison),
        *_about_policy(policy, old, events),
        *_about_run(replay, keyless=keyless and bool(policy.friction.ladder)),
    ]


def different(new: BaseModel, old: BaseModel) -> list[str]:
    """The settings in which two identity sections differ, dotted."""
    return sorted(set(_different(_plain(new), _plain(old), "identity")))


def _plain(settings: BaseModel) -> Any:
    return settings.model_dump(mode="json", by_alias=True, fallback=repr)


def _different(new: Any, old: Any, path: str) -> Iterator[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        for name in new.keys() | old.keys():
            yield from _different(new.get(name), old.get(name), f"{path}.{name}")
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for index, (one, other) in enumerate(zip(new, old, strict=True)):
            yield from _different(one, other, f"{path}[{index}]")
    elif new != old:
        yield path


def _about_events(events: Events, comparison: Comparison) -> Iterator[str]:
    if events.malformed:
        yield f"{events.malformed} lines are no events, and were left out: {'; '.join(events.complaints)}"
    if events.repeated:
        yield f"{events.repeated} events were there twice, and count once."
    left_out = sum(comparison.undecided.values())
    if left_out:
        codes = ", ".join(f"{code} {times}" for code, times in sorted(comparison.undecided.items()))
        yield f"{left_out} requests were answered before any policy had a say, and are left out: {codes}."
    refused = comparison.totals["touched_before"]
    if comparison.requests and refused == comparison.requests:
        yield (
            "These events hold only requests to which something was done: the policy that recorded them had no `telemetry`, "
            "`risk` or `friction`, so what was admitted is missing, and every figure here is too low."
        )
    if comparison.warming:
        yield f"{comparison.warming} requests came in the time of --warm, and were not counted."
    else:
        yield "Counters and memories were empty at the first event. --warm leaves out the time in which they fill."


def _about_policy(policy: Policy, old: Sequence[Policy], events: Events) -> Iterator[str]:
    whens = [limit.when for limit in policy.limits] + [rule.when for rule in policy.velocity]
    whens += [*policy.friction.allow, *(cap.when for cap in policy.friction.caps)]
    if any(when is not None and when.organisation is not None for when in whens):
        yield "Events do not name organisations: what holds `when` for one by name holds for nobody here."
    if policy.reserve.strict or any(limit.strict for limit in policy.limits):
        yield "Events hold what was reserved, not all that requests allowed: `strict` is taken for the usual reservation."
    per = [limit.per for limit in policy.limits] + [rule.per for rule in policy.velocity]
    if not events.clusters and any("cluster" in dimensions for dimensions in per):
        yield "Events do not name clusters: what is `per: cluster` is counted per account here."
    reserving = [limit.name for limit in policy.limits if limit.unit != "requests"]
    if reserving and not events.measured:
        yield (
            f"These events hold no sizes, for no limit in tokens or dollars held when they were recorded: {', '.join(reserving)} "
            "cannot be judged by them."
        )
    silent = [each.label for each in policy.risk.scorers if each.use not in RECOMPUTED and each.label not in events.scorers]
    if silent:
        yield f"In these events nothing was found by {', '.join(silent)}, and what they would have found is not known."
    if any(each.reserve != policy.reserve for each in old):
        yield "`reserve` differs: the reservations are those that were recorded."
    if any({key: each.names for key, each in was.models.items()} != _names(policy) for was in old):
        yield "`models` differs: a model that was not listed then is still `other` here."


def _names(policy: Policy) -> dict[str, Any]:
    return {key: each.names for key, each in policy.models.items()}


def _about_run(replay: Replay, *, keyless: bool) -> Iterator[str]:
    if keyless:
        yield (
            "GUARDRAIL_ID_KEY is not set: where rungs begin for each account, and for whom a rollout has begun, was drawn anew. "
            "Set it to what the guarded processes have."
        )
    if replay.unknown_routes:
        listed = ", ".join(f"{label} ({times})" for label, times in sorted(replay.unknown_routes.items()))
        yield f"Routes that the policy has not, by name or by path; their requests count as matching none: {listed}."
    if replay.shared:
        yield f"There were too many accounts at a time to tell all apart: {replay.shared} times newcomers shared a counter."
