"""Cases and appeals as operators see them: records in figures, with their history in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.engine.ground import history
from guardrail_mw.engine.states import OPEN, state_of
from guardrail_mw.friction.memory import whole

if TYPE_CHECKING:
    from guardrail_mw.engine.appeals import Appeal

__all__ = ["tell_appeal", "tell_case"]

_ORDER: Final = (
    "reached",
    "asked",
    "started",
    "reminder",
    "overdue",
    "decided",
    "pending",
    "approved",
    "declined",
    "duplicate",
    "expired",
    "withdrawn",
)
"""Of what happened in the same µs, what comes before what."""
_HAPPENED: Final[Mapping[str, str]] = {
    "reached": "the account came to the rung {}",
    "asked": "it was asked to verify itself, by decision {}",
    "reminder": "the deadline comes near, and somebody was told",
    "overdue": "the deadline passed, and somebody was told",
}
_BECAME: Final[Mapping[str, str]] = {
    "pending": "{} has not decided yet",
    "approved": "{} approved",
    "declined": "{} declined",
    "expired": "{} let it expire",
    "withdrawn": "{} took it back",
    "duplicate": "{} approved, but the document or the person has verified too many accounts: declined",
}
_WHY: Final[Mapping[str, str]] = {
    "level": ": another level was checked than the policy asks for",
    "other": ", of a verification that the case does not go by: nothing came of it",
    "gone": ": it holds for nobody, for the cluster is no more",
}


def tell_case(name: str, fields: Mapping[str, str], now: int, *, entire: bool = False) -> dict[str, Any]:
    """A case. See `Casework.cases` and `Casework.case`."""
    state, deadline = state_of(fields, now), whole(fields.get("deadline"))
    is_open = state in OPEN
    said = {
        "id": name,
        "account": fields["account"],
        "subject": fields.get("subject", fields["account"]),
        "provider": fields.get("provider", ""),
        "level": fields.get("level", ""),
        "rung": fields.get("rung", ""),
        "state": state,
        "open": is_open,
        "asked": whole(fields.get("asked")),
        "deadline": deadline,
        "overdue": is_open and 0 < deadline <= now,
        "decided": None if is_open else whole(fields.get("at")) or None,
        "until": whole(fields.get("until")) or None if not is_open else None,
        "why": "" if is_open and state != "pending" else fields.get("why", ""),
    }
    if not entire:
        return said
    more = {
        "decision": fields.get("decision", ""),
        "started": whole(fields.get("started")) or None,
        "verification": fields.get("ref", ""),
        "ial": fields.get("ial", "") if state == "approved" else "",
        "acr": fields.get("acr", "") if state == "approved" else "",
    }
    return {**said, **more, "history": _history(fields)}


def _history(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    happened = sorted(history(fields), key=lambda each: (each[0], _ORDER.index(each[1]) if each[1] in _ORDER else -1))
    told, operators = [], set()
    provider = fields.get("provider", "")
    for at, what, detail in happened:
        if what == "decided":
            operators.add(at)
        by = "what the operator said: it" if at in operators else provider
        told.append({"at": at, "what": what, "detail": detail, "said": _said(what, detail, by, provider)})
    return told


def _said(what: str, detail: str, by: str, provider: str) -> str:
    if what in _HAPPENED:
        return _HAPPENED[what].format(detail)
    if what == "started":
        return f"a verification by {provider} began, which it calls {detail}"
    if what == "decided":
        state, _, reason = detail.partition(" ")
        return f"an operator decided {state}: {reason}"
    why = detail.partition(" ")[2]
    return _BECAME.get(what, what).format(by) + _WHY.get(why, "")


def tell_appeal(item: Appeal, fields: Mapping[str, str], *, entire: bool = False) -> dict[str, Any]:
    """An appeal. See `Casework.appeals` and `Casework.appeal`."""
    said = {
        "id": item.id,
        "subject": item.subject,
        "cluster": item.subject.removeprefix("c:") if item.subject.startswith("c:") else "",
        "state": item.state,
        "opened": item.opened,
        "times": item.times,
        "accounts": list(item.accounts),
        "reason": item.reason,
        "decided": item.decided or None,
    }
    if not entire:
        return said
    texts = [
        {"at": at, "account": account, "decision": decision, "text": text} for at, account, decision, text in item.texts
    ]
    decisions = [{"at": at, "what": what, "reason": reason} for at, what, reason in history(fields)]
    return {**said, "texts": texts, "decisions": decisions}
