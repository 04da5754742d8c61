"""What is recorded of a decision: one event, a plain dict that JSON can hold.

`FIELDS` says what each field is; the reference, the columns of Parquet files and `validate` are made from it. An event holds
digests and figures, words of the policy and codes of ours: no credential, no address, no header, no prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

__all__ = ["FIELDS", "VERSION", "Event", "Field", "troubles", "validate"]

VERSION: Final = 1
"""Of the schema: a new one where a field changes its meaning or goes; a field that is added changes nothing."""

Event: TypeAlias = dict[str, Any]
"""One event: what `FIELDS` says."""

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "digest", "object", "figures", "counts"]


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of an event is."""

    kind: Kind
    """`digest` is a home of the store (`a:…`) or empty; `figures` maps names to numbers and words, `counts` the names of
    velocity rules to a count and whether there may be more."""
    meaning: str
    unit: str = ""
    null: bool = False
    """Whether it may be null."""
    many: bool = False
    """Whether it is a list of such."""
    words: tuple[str, ...] = ()
    """All that a text may be; empty where the policy chooses."""
    fields: Mapping[str, Field] | None = None
    """Of an object."""

    @property
    def shape(self) -> str:
        """For people: `list of objects`, `text or null`."""
        shape = {"object": "object", "digest": "digest", "counts": "map", "figures": "map"}.get(self.kind, self.kind)
        if self.many:
            shape = f"list of {'text' if shape == 'text' else shape + 's'}"
        return f"{shape} or null" if self.null else shape


DECISIONS: Final = ("allow", "delay", "trim", "challenge", "verify", "deny")
OUTCOMES: Final = ("answered", "refused", "failed", "abandoned", "denied")

_ESTIMATE: Final = {
    "input": Field("integer", "The prompt's size, as estimated from its characters.", "tokens"),
    "output": Field("integer", "What was reserved for the answer.", "tokens"),
    "items": Field("integer", "Requests that it stands for: a batch's items.", "requests"),
}
_USED: Final = {
    "input": Field("integer", "Input that no cache spared.", "tokens"),
    "cached": Field("integer", "Input read from a cache.", "tokens"),
    "cache_write": Field("integer", "Input written to a cache.", "tokens"),
    "output": Field("integer", "Output.", "tokens"),
    "complete": Field("boolean", "False where no usage came and the deltas were counted."),
}
_LIMIT: Final = {
    "name": Field(
        "text", "The limit, as the policy names it; `cluster-budget` is a material cluster's, which no policy names."
    ),
    "unit": Field("text", "What it counts.", words=("requests", "tokens", "input_tokens", "output_tokens", "usd")),
    "cost": Field("integer", "What the request was charged before its answer was known.", "the limit's unit"),
    "remaining": Field("integer", "What was left of it.", "the limit's unit"),
    "reset_ms": Field("integer", "How long until it is as new.", "ms"),
    "ok": Field("boolean", "Whether it admitted the request."),
    "shadow": Field("boolean", "Whether it only records."),
}
_REFUSAL: Final = {
    "limit": Field("text", "The limit that refused."),
    "kind": Field("text", "", words=("token_bucket", "sliding_window", "budget", "concurrency", "share")),
    "unit": Field("text", "What it counts."),
    "wait_ms": Field("integer", "How long until the same request would be admitted.", "ms"),
}
_FINDING: Final = {
    "scorer": Field("text", "The scorer, as the policy names it."),
    "family": Field("text", "The kind of evidence."),
    "score": Field("integer", "How suspicious, 0 to 100.", "points"),
    "reason": Field("text", "A code: `devices-per-account`."),
    "figures": Field("figures", "What it was worked out from."),
    "shadow": Field("boolean", "Whether it only records: it is not in `risk`."),
}
_WOULD: Final = {
    "decision": Field("text", "What would have been done.", words=DECISIONS),
    "code": Field("text", "Why, as `code`."),
    "limit": Field("text", "The limit that would have refused, or empty."),
    "rung": Field("text", "The rung that would have held, or empty."),
}

FIELDS: Final[Mapping[str, Field]] = {
    "v": Field("integer", f"The version of this schema: {VERSION}."),
    "id": Field("text", "The decision's id, as in `x-guardrail-decision`."),
    "at": Field("integer", "When it was charged, by the store's clock.", "µs since 1970, UTC"),
    "policy": Field("text", "The hash of the policy that decided."),
    "identity": Field("text", "The hash of its `identity`: what accounts are. Events of two are not comparable."),
    "mode": Field("text", "", words=("shadow", "enforce")),
    "route": Field("text", "The route's name or first path; empty where none matched."),
    "method": Field("text", "The HTTP method, or `WEBSOCKET`."),
    "dialect": Field("text", "", words=("openai", "anthropic", "problem")),
    "model": Field("text", "The model's name in the policy, or `other`."),
    "account": Field("digest", "Who paid: an account, or the network of who has none."),
    "candidate": Field("digest", "The account that the credential names, proved or not; empty without one."),
    "network": Field("digest", "The client's network."),
    "organisation": Field("digest", "The account's organisation, or empty."),
    "cluster": Field("text", "The account's cluster, or empty."),
    "device": Field("digest", "The device, or empty."),
    "device_kind": Field("text", "What is known of the device.", words=("signed", "seen", "")),
    "tier": Field("text", "The account's tier, or empty."),
    "acr": Field("text", "The authentication context, or empty."),
    "ial": Field("text", "The identity assurance level, or empty."),
    "authenticated": Field("boolean", "Whether the credential was proved."),
    "verified": Field("boolean", "Whether an identity check was passed."),
    "source": Field("text", "Which source of identity recognised the credential, or `anonymous`; empty where it was bad."),
    "established": Field("boolean", "Whether the account has been known for 30 days."),
    "decision": Field("text", "What was done.", words=DECISIONS),
    "code": Field("text", "Why it was not an `allow`: the error's code; else empty."),
    "status": Field("integer", "The HTTP status of the answer; 0 where none began."),
    "outcome": Field("text", "How it ended; `denied` never reached the app.", words=OUTCOMES),
    "would": Field("object", "What shadow kept from being done.", null=True, fields=_WOULD),
    "limits": Field("object", "The limits that held, in the policy's order.", many=True, fields=_LIMIT),
    "refusal": Field("object", "The limit that refused.", null=True, fields=_REFUSAL),
    "velocity": Field("counts", "Velocity rules that held: what was counted, and whether there may be more."),
    "risk": Field("number", "The risk of this request alone, 0 to 100.", "points"),
    "effective": Field("number", "The same with what is remembered: what rungs are compared with.", "points"),
    "findings": Field("object", "What the scorers said.", many=True, fields=_FINDING),
    "verdict": Field("text", "Of the account's cluster.", words=("none", "watched", "suspect", "confirmed")),
    "rung": Field("text", "The rung that held.", null=True),
    "rung_at": Field("number", "Where that rung begins for this account.", "points", null=True),
    "why": Field("text", "Codes of what led to the decision.", many=True),
    "delay_ms": Field("integer", "How long the request was made to wait.", "ms"),
    "trimmed": Field("text", "Request parameters that were taken away.", many=True),
    "estimate": Field("object", "What the request was expected to use.", fields=_ESTIMATE),
    "used": Field("object", "What it used; null where nothing was answered or read.", null=True, fields=_USED),
    "duration_ms": Field("number", "From the request's arrival to the end of the answer.", "ms"),
    "changes": Field("integer", "Changes of the account's standing that it led to."),
}
"""Every field of an event, in order. All are always there."""

_DIGEST: Final = re.compile(r"e|(?:[a-z]:)?[A-Za-z0-9_-]{8,64}|")
_NUMBERS: Final = (int, float)


def validate(event: Mapping[str, Any]) -> None:
    """Check an event against `FIELDS`; for tests.

    Raises:
        ValueError: it is none; says everything that is wrong.
    """
    found = list(troubles(event))
    if found:
        raise ValueError("\n".join(found))


def troubles(event: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with an event, one line each, with the field's dotted name."""
    if event.get("v") != VERSION:
        yield f"v: {event.get('v')!r} is not {VERSION}"
    yield from _object(FIELDS, event, "")


def _object(fields: Mapping[str, Field], value: object, path: str) -> Iterator[str]:
    if type(value) is not dict:
        yield f"{path.rstrip('.') or 'event'}: a {type(value).__name__} is not a plain dict"
        return
    for name in fields.keys() - value.keys():
        yield f"{path}{name}: missing"
    for name, each in value.items():
        if name in fields:
            yield from _field(fields[name], each, f"{path}{name}")
        else:
            yield f"{path}{name}: unknown"


def _field(field: Field, value: object, path: str) -> Iterator[str]:
    if value is None and field.null:
        return
    if field.many:
        if type(value) is not list:
            yield f"{path}: a {type(value).__name__} is not a list"
            return
        for index, each in enumerate(value):
            yield from _one(field, each, f"{path}[{index}]")
        return
    yield from _one(field, value, path)


def _one(field: Field, value: object, path: str) -> Iterator[str]:
    match field.kind:
        case "object":
            yield from _object(field.fields or {}, value, f"{path}.")
        case "figures" | "counts":
            yield from _map(field.kind, value, path)
        case "text" | "digest":
            yield from _text(field, value, path)
        case "boolean":
            if type(value) is not bool:
                yield f"{path}: {value!r} is not a boolean"
        case "integer":
            if type(value) is not int:
                yield f"{path}: {value!r} is not an integer"
        case "number":
            if not _is_number(value):
                yield f"{path}: {value!r} is not a finite number"


def _text(field: Field, value: object, path: str) -> Iterator[str]:
    if type(value) is not str:
        yield f"{path}: {value!r} is not text"
    elif field.kind == "digest" and _DIGEST.fullmatch(value) is None:
        yield f"{path}: {value!r} is not a digest"
    elif field.words and value not in field.words:
        yield f"{path}: {value!r} is none of {', '.join(map(repr, field.words))}"


def _map(kind: Kind, value: object, path: str) -> Iterator[str]:
    if type(value) is not dict:
        yield f"{path}: a {type(value).__name__} is not a plain dict"
        return
    for name, each in value.items():
        if type(name) is not str:
            yield f"{path}: the name {name!r} is not text"
        elif kind == "figures":
            if not _is_number(each) and type(each) not in {str, bool}:
                yield f"{path}.{name}: {each!r} is neither number nor text"
        elif type(each) is not list or [type(part) for part in each] != [int, bool]:
            yield f"{path}.{name}: {each!r} is not a count and a boolean"


def _is_number(value: object) -> bool:
    return type(value) in _NUMBERS and math.isfinite(value)  # type: ignore[arg-type] # just checked
