"""What a recorded event says of a request, as far as a replay needs it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from guardrail_mw.limits.cluster_budget import NAME
from guardrail_mw.telemetry.event import DECISIONS, OUTCOMES, VERSION

__all__ = ["PLAIN", "Decided", "Past", "Seed", "past"]

_LARGEST: Final = 2**53
_MS: Final = 1_000
_TEXTS: Final = (
    "id", "policy", "identity", "mode", "route", "method", "model", "account", "candidate", "network", "organisation", "device",
    "device_kind", "tier", "acr", "ial", "source", "decision", "code", "outcome", "verdict",
)  # fmt: skip
_WHOLES: Final = ("v", "at", "status", "delay_ms")
_texts = itemgetter(*_TEXTS)
_wholes = itemgetter(*_WHOLES)
_whose = itemgetter(
    "account", "candidate", "network", "organisation", "device", "device_kind", "tier", "acr", "ial", "authenticated",
    "verified", "source",
)  # fmt: skip
_STR: Final = frozenset({str})
_INT: Final = frozenset({int})
_RUNGS: Final = {
    "denied": "deny",
    "challenge_required": "challenge",
    "verification_required": "verify",
    "parameters_refused": "trim",
}
"""Codes with which a rung refuses, and what that rung does."""
_LIMITS: Final = frozenset({"rate_limited", "overloaded"})
_OURS: Final = _LIMITS | _RUNGS.keys() | {"", "exceeds_limit"}
"""Codes that follow from a policy and from what was charged; any other is bad input, or trouble of the process."""


class Decided(NamedTuple):
    """What was done to a request, or in shadow would have been, and by what."""

    action: str = "allow"
    """allow, delay, trim, challenge, verify or deny."""
    kind: str = ""
    """`limit`, `rung`, or `other` (bad input, a request that can never fit); empty where nothing was done."""
    rule: str = ""
    """The limit's or the rung's name, or the code."""


class Seed(NamedTuple):
    """What was remembered of the account, as far as the event says."""

    verdict: str = "none"
    families: str = ""
    """That the verdict rests on, separated by commas."""
    cluster: str = ""
    override: str | None = None
    """What an operator had decided; empty for nothing, None where the event does not tell."""
    established: bool = False
    proved: bool = False
    """Whether its key had been proved by the app: then who paid is not recorded, and follows from that."""
    passed: bool = False
    """Whether it had passed what a rung asked for."""


PLAIN: Final = Seed()


class Past(NamedTuple):
    """One request as it was recorded. Plain values, so that millions of them can be put aside."""

    at: int
    """µs, the store's."""
    id: str
    policy: str
    """The hash."""
    identity: str
    """The hash of the policy's `identity`."""
    route: str
    """The label."""
    method: str
    model: str
    who: tuple[Any, ...]
    """account, candidate, network, organisation, device, device_kind, tier, acr, ial, authenticated, verified, source."""
    estimate: tuple[int, int, int]
    """Input and output in tokens, and items."""
    used: tuple[Any, ...] | None
    """Input, cached, cache_write, output in tokens, and whether that is all."""
    outcome: str
    status: int
    took: int
    """µs."""
    waited: int
    """µs, of those, that it was made to wait."""
    decided: tuple[str, str, str]
    """See `Decided`."""
    turn: bool
    """Whether it is a message on a socket."""
    wrong: str
    """Why it was bad in itself, as a code; empty where it was not."""
    undecided: str
    """Why no policy had a say, as a code: a bad credential, a store that was down, a process that was full."""
    effective: float
    """The risk, memory included."""
    findings: tuple[tuple[str, str, int | float, str, bool], ...]
    """Scorer, family, score, reason and whether it was in shadow."""
    shadowed: tuple[tuple[str, str], ...]
    """Kind and name of the limits and rungs in shadow that would have acted."""
    seed: tuple[Any, ...] | None
    """See `Seed`; None where nothing out of the ordinary is known."""

    @property
    def payer(self) -> str:
        """The account that the credential names, where it was proved; else who is recorded to have paid."""
        payer: str = self.who[1] if self.who[9] else self.who[0]
        return payer


def past(event: object) -> Past:
    """Read an event.

    Raises:
        ValueError: it is none; says what is wrong, in a few words.
    """
    if type(event) is not dict:
        raise ValueError(f"a {type(event).__name__} is not an event")
    try:
        return _past(event)
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a character") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise ValueError("its fields are not of the kinds that an event has") from error


def _past(event: Mapping[str, Any]) -> Past:
    _check(event)
    enforced = event["mode"] == "enforce"
    decided, code = _decided(event, enforced=enforced)
    undecided = _undecided(event, code, decided[1])
    wrong = code if code not in _OURS and not undecided else ""
    outcome, status = event["outcome"], event["status"]
    took = round(event["duration_ms"] * _MS)
    at = event["at"]
    if decided[1] == "limit" and not event["limits"]:  # refused from memory: the store was not asked, and this is the end
        at = max(at - took, 0)
    return Past(
        at,
        event["id"],
        event["policy"],
        event["identity"],
        event["route"],
        event["method"],
        event["model"],
        _whose(event),
        _estimate(event["estimate"]),
        _used(event["used"]),
        outcome,
        status,
        took,
        event["delay_ms"] * _MS,
        decided,
        not status and outcome in {"answered", "denied"},
        wrong,
        undecided,
        float(event["effective"]),
        _findings(event["findings"]),
        _shadowed(event),
        _seed(event, decided, judged=not undecided and (not wrong or not enforced)),
    )


def _check(event: Mapping[str, Any]) -> None:
    texts, wholes = _texts(event), _wholes(event)
    if set(map(type, texts)) != _STR:
        name = next(name for name, value in zip(_TEXTS, texts, strict=True) if type(value) is not str)
        raise ValueError(f"{name} is not text")
    "".join(texts).encode()
    if set(map(type, wholes)) != _INT or not 0 <= wholes[1] < _LARGEST or not 0 <= wholes[3] < _LARGEST:
        raise ValueError("v, at, status or delay_ms is not a whole number of its size")
    if wholes[0] != VERSION:
        raise ValueError(f"v is {wholes[0]}, and {VERSION} is known")
    if type(event["authenticated"]) is not bool or type(event["verified"]) is not bool:
        raise ValueError("authenticated or verified is not a boolean")
    if event["decision"] not in DECISIONS or event["outcome"] not in OUTCOMES:
        raise ValueError("decision or outcome is not one that is known")
    for name in ("duration_ms", "effective"):
        figure = event[name]
        if type(figure) not in {int, float} or not math.isfinite(figure) or not 0 <= figure < _LARGEST:
            raise ValueError(f"{name} is not a number of its size")


def _decided(event: Mapping[str, Any], *, enforced: bool) -> tuple[tuple[str, str, str], str]:
    """What was done, or in shadow would have been; and the code."""
    code, action, rung = event["code"], event["decision"], event["rung"]
    refusal, would = event["refusal"], event["would"]
    limit = refusal["limit"] if refusal is not None else ""
    if not enforced and would is not None:
        code, action, limit = would["code"], would["decision"], would["limit"]
    if type(code) is not str or type(action) is not str or type(limit) is not str or type(rung) not in {str, type(None)}:
        raise TypeError
    if limit and code in _LIMITS:
        return ("deny", "limit", limit), code
    if code in _RUNGS and rung is not None:
        return (_RUNGS[code], "rung", rung), code
    if code:
        return ("deny", "other", code), code
    if action != "allow" and rung is not None:
        return (action, "rung", rung), code
    return ("allow", "", ""), code


def _undecided(event: Mapping[str, Any], code: str, kind: str) -> str:
    if not event["account"]:
        return code or "credential"
    return code if code == "unavailable" or (code == "overloaded" and kind == "other") else ""


def _estimate(found: Mapping[str, Any]) -> tuple[int, int, int]:
    figures = (found["input"], found["output"], found["items"])
    _sizes(figures)
    return figures


def _used(found: Mapping[str, Any] | None) -> tuple[Any, ...] | None:
    if found is None:
        return None
    figures = (found["input"], found["cached"], found["cache_write"], found["output"])
    _sizes(figures)
    return (*figures, bool(found["complete"]))


def _sizes(figures: tuple[Any, ...]) -> None:
    if set(map(type, figures)) != _INT or min(figures) < 0 or max(figures) >= _LARGEST:
        raise ValueError("estimate or used holds what is no count")


def _findings(found: list[Mapping[str, Any]]) -> tuple[tuple[str, str, int | float, str, bool], ...]:
    if not found:
        return ()
    findings = tuple(
        [(each["scorer"], each["family"], each["score"], each["reason"], bool(each["shadow"])) for each in found]
    )
    for scorer, family, score, reason, _ in findings:
        if type(scorer) is not str or type(family) is not str or type(reason) is not str or type(score) not in {int, float}:
            raise TypeError
    return findings


def _shadowed(event: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rules = [str(each["name"]) for each in event["limits"] if each["shadow"] and not each["ok"]]
    found = [("limit", name) for name in rules if name != NAME]  # which no policy has, and no event says how large it was
    would = event["would"]
    if would is not None and would["rung"] and would["rung"] != event["rung"]:  # else it is the mode that is shadow
        found.append(("rung", str(would["rung"])))
    return tuple(found)


def _seed(event: Mapping[str, Any], decided: tuple[str, str, str], *, judged: bool) -> tuple[Any, ...] | None:
    """What was remembered; `established` and `cluster` where the event says so."""
    override: str | None = None
    passed = judged and "cleared" in event["why"]
    if judged and decided[1] != "limit":
        override = ""
        if "override" in event["why"]:
            would = event["would"]
            override = event["rung"] or (would["rung"] if would is not None else "") or "allow"
    verdict = event["verdict"]
    families = ""
    if verdict != "none":
        families = ",".join(each["family"] for each in event["findings"] if each["reason"] == f"cluster-{verdict}")
    proved = event["authenticated"] and event["account"] != event["candidate"]
    seed = Seed(verdict, families, str(event.get("cluster", "")), override, event.get("established") is True, proved, passed)
    return None if seed in _ORDINARY else tuple(seed)


_ORDINARY: Final = (PLAIN, PLAIN._replace(override=""))
