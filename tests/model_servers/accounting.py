"""Whether the guard settled what the server reported, worked out apart from the guard.

`talk.py` writes down each call as a client sees it (`Call`), and the guard writes down each decision (docs/reference/events.md).
Here the two are compared. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .kit import DOLLARS, PRICE, TOKENS, Part, api_of

__all__ = ["Call", "Figures", "Gap", "Refused", "balance", "checked", "gaps", "refusal", "reported", "said"]

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as its client saw it."""

    kind: str
    client: str
    """`sync` or `async`."""
    decision: str
    """The answer's `x-guardrail-decision`."""
    said: dict[str, Any] | None
    """The server's `usage`, as it came; of a stream all that it said, later figures over earlier."""
    deltas: int
    """Events of a stream that had text."""
    characters: int
    """Of the answer's text."""
    asked: int
    """Characters of the prompt."""
    prompt: str = ""
    """Its name, where the gap is measured."""
    text: str = ""
    """The answer, where the gap is measured."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One refusal, as an SDK raised it."""

    error: str
    """The exception's class, with its module: `openai.RateLimitError`."""
    status: int
    body: dict[str, Any]
    """The whole body of the answer."""
    headers: dict[str, str]


class Figures(NamedTuple):
    """Tokens, each counted once."""

    input: int
    cached: int
    cache_write: int
    output: int


class Gap(NamedTuple):
    """What was settled without a report, beside the truth. Tokens."""

    kind: str
    prompt: str
    input: int
    true_input: int
    output: int
    true_output: int | None
    """None where the server wrote something else when it was asked again."""


def reported(kind: str, said: Mapping[str, Any]) -> Figures:
    """What a server said, in the guard's four figures.

    OpenAI's input includes what was read from a cache (`prompt_tokens_details.cached_tokens`), Anthropic's leaves it out.
    """
    api = api_of(kind)
    if api == "messages":
        read, written = said.get("cache_read_input_tokens") or 0, said.get("cache_creation_input_tokens") or 0
        return Figures(said.get("input_tokens") or 0, read, written, said.get("output_tokens") or 0)
    names = ("input_tokens", "output_tokens") if api == "responses" else ("prompt_tokens", "completion_tokens")
    details = said.get(f"{names[0]}_details") or {}
    cached = details.get("cached_tokens") or 0
    return Figures(said[names[0]] - cached, cached, 0, said.get(names[1]) or 0)


def said(call: Call) -> Figures | None:
    """What the server said of a call. Where it said that a text which came took no tokens at all, it said nothing."""
    if call.said is None:
        return None
    figures = reported(call.kind, call.said)
    return figures if any(figures) or not counted(call) else None


def settled(event: Event) -> Figures:
    """What the guard settled; nothing where it read no usage."""
    used = event["used"] or {}
    return Figures(*(used.get(name, 0) for name in Figures._fields))


def counted(call: Call) -> int:
    """Tokens of output where the server says none: the delta events, or a quarter of the characters if that is more."""
    return max(call.deltas, -(-call.characters // 4))


def checked(call: Call, event: Event | None, part: Part) -> list[str]:
    """What is wrong with the event of a call, in words; empty where all is well."""
    if event is None:
        return ["no event"]
    used, kind = settled(event), call.kind
    wrong = [] if event["decision"] == "allow" and event["status"] == 200 else [f"{event['decision']}, {event['status']}"]
    if kind == "models":
        return wrong + ([f"settled {used} for a list of models"] if any(used) else [])
    estimate = -(-call.asked // 4)
    if event["estimate"]["input"] != estimate:
        wrong.append(f"estimated {event['estimate']['input']} of input, not {estimate}")
    complete = bool((event["used"] or {}).get("complete"))
    if kind.endswith("_broken"):
        return wrong + _broken(call, used, estimate, part, complete=complete)
    told = said(call)
    if (told is None) != (kind in part.silent):
        wrong.append("came without usage" if told is None else "came with usage")
    expected = Figures(estimate, 0, 0, counted(call)) if told is None else told
    if used != expected:
        wrong.append(f"settled {tuple(used)}, not {tuple(expected)}")
    if complete != (told is not None):
        wrong.append(f"complete is {complete}")
    return wrong


def _broken(call: Call, used: Figures, estimate: int, part: Part, *, complete: bool) -> list[str]:
    """Of a stream that its client left: it pays its prompt, and at least what was seen of the answer."""
    wrong = []
    told = said(call)
    prompt = told[:3] if told is not None and any(told[:3]) else (estimate, 0, 0)
    if used[:3] != prompt:
        wrong.append(f"settled {used[:3]} of input, not {prompt}")
    if not counted(call) <= used.output < part.endless:
        wrong.append(f"settled {used.output} of output: {counted(call)} were seen, all would be {part.endless}")
    if complete:
        wrong.append("passes for complete")
    return wrong


def balance(events: Sequence[Event]) -> list[str]:
    """Whether what the limits have left after a run is what its events add up to.

    Args:
        events: in the order they were charged in. The last is the call that shows what is left: its own reservation is
            taken out, and whatever its account used before must be missing from the budgets, to the token and the micro-dollar.
    """
    *before, last = events
    used = [settled(event) for event in before if event["account"] == last["account"]]
    tokens = sum(map(sum, used))
    dollars = sum(
        (each.input + each.cache_write) * PRICE["input"] + each.cached * PRICE["cached"] + each.output * PRICE["output"]
        for each in used
    )
    readings = {limit["name"]: limit for limit in last["limits"]}
    wrong = []
    for name, budget, spent in (("tokens", TOKENS, tokens), ("spend", DOLLARS * 1_000_000, dollars)):
        reading = readings[name]
        left = reading["remaining"] + reading["cost"]
        if budget - left != spent:
            wrong.append(f"{name}: {budget - left} are missing from the limit, {spent} were settled")
    if not used or not tokens:
        wrong.append("the account of the last call used nothing before")
    return wrong


def refusal(refused: Refused, events: Mapping[str, Event], vendor: str) -> list[str]:
    """What is wrong with the refusal by the limit in requests."""
    wrong = []
    if (refused.error, refused.status) != (f"{vendor}.RateLimitError", 429):
        wrong.append(f"{refused.error}, {refused.status}")
    decision = refused.headers.get("x-guardrail-decision", "")
    error = refused.body.get("error", {})
    if "Limit: requests." not in error.get("message", "") or decision not in str(refused.body):
        wrong.append(f"its body is {refused.body}")
    if vendor == "openai" and (error.get("code"), error.get("limit")) != ("rate_limit_exceeded", "requests"):
        wrong.append(f"its body is {refused.body}")
    if not 1 <= float(refused.headers.get("retry-after", "0")) <= 60:  # seconds, as a client may be told
        wrong.append(f"retry-after is {refused.headers.get('retry-after')}")
    event = events.get(decision)
    if event is None or (event["decision"], event["status"], event["used"]) != ("deny", 429, None):
        wrong.append(f"its event is {event}")
    return wrong


def gaps(calls: Iterable[Call], events: Mapping[str, Event], part: Part) -> list[Gap]:
    """For each pair of a call without usage and the same call with it: what was settled, and the truth."""
    found = []
    measured = [call for call in calls if call.prompt]
    told = {(api_of(call.kind), call.prompt): call for call in measured if said(call)}
    for call in measured:
        twin = told.get((api_of(call.kind), call.prompt))
        if call.kind in part.silent and twin is not None:
            used, truth = settled(events[call.decision]), reported(twin.kind, twin.said or {})
            output = truth.output if call.text == twin.text else None
            found.append(Gap(call.kind, call.prompt, used.input, sum(truth[:3]), used.output, output))
    return found
