"""What is remembered of an account, in words: its standing decoded, and what may be written into one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrail_mw.friction import memory
from guardrail_mw.friction.verification.assurance import assured, entries
from guardrail_mw.quantities import Duration, QuantityError
from guardrail_mw.values import CLEARED

if TYPE_CHECKING:
    from guardrail_mw.friction.ladder import Rung
    from guardrail_mw.friction.verification.assurance import Terms

__all__ = [
    "KEPT",
    "LONGEST",
    "MisuseError",
    "Ruled",
    "decode",
    "home_of",
    "line_of",
    "moment",
    "named",
    "ruled",
    "slug_of",
    "told_tier",
]

KEPT: Final = 20
"""Notes of what operators did that a standing keeps."""
LONGEST: Final = 256
"""Characters of a reason."""
_HOME: Final = re.compile(r"([an]):[A-Za-z0-9_-]{8,64}", re.ASCII)
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)


class MisuseError(ValueError):
    """An operator asked for something that cannot be; nothing was changed.

    Args:
        argument: what is wrong, `reason`, `limit`.
        text: why; may be shown to whoever asked.
    """

    def __init__(self, argument: str, text: str) -> None:
        super().__init__(f"{argument}: {text}")
        self.argument = argument
        self.text = text


def home_of(account: object, only: str = "") -> str:
    """The account, if it looks like one; `only="a"` refuses networks, of which nothing is remembered.

    Raises:
        MisuseError: it is none.
    """
    text = account if isinstance(account, str) else ""
    found = _HOME.fullmatch(text)
    if found is None or (only and found[1] not in only):
        what = "is not an account's" if found is None else "is a network's, and this can only be done to an account's"
        cure = "Write `a:` and its digest, as events have it; `guardrail-mw accounts id` makes it from a credential."
        raise MisuseError("account", f"{what} digest. {cure}")
    return text


def line_of(argument: str, text: object) -> str:
    """A text of one line, free of blanks around it.

    Raises:
        MisuseError: it is empty, too long, or more than a line.
    """
    if not isinstance(text, str):
        raise MisuseError(argument, "is not text.")
    line = text.strip()
    if not line:
        raise MisuseError(argument, "is empty. Say in a line why; whoever comes after you will ask.")
    if len(line) > LONGEST:
        raise MisuseError(argument, f"has {len(line)} characters. At most {LONGEST} are kept.")
    if not line.isprintable():
        raise MisuseError(argument, "holds a line break or a control character. Write one line.")
    return line


def slug_of(text: object) -> str:
    """A label's name.

    Raises:
        MisuseError: it is none.
    """
    if not isinstance(text, str) or _SLUG.fullmatch(text) is None:
        raise MisuseError(
            "slug", "is not a label: small letters, digits and hyphens, at most 40, such as `research-partner`."
        )
    return text


def moment(until: Duration | str | None, now: int) -> int:
    """µs at which something ends that begins now; 0 is never.

    Raises:
        MisuseError: it is no duration.
    """
    if until is None:
        return 0
    try:
        return now + (until if isinstance(until, Duration) else Duration.parse(until)).us
    except QuantityError as error:
        raise MisuseError("until", f"{error}") from error


class Ruled(NamedTuple):
    """The tier that an account has by its standing, whatever its credential says."""

    name: str
    until: int
    """µs; 0 is for good."""


def ruled(fields: Mapping[str, str], now: int) -> Ruled | None:
    """The tier that holds `now`, if one does: the standing's `tier`, a name, and behind a space the µs at which it ends."""
    text = fields.get("tier")
    if text is None:
        return None
    name, _, end = text.rpartition(" ")
    found = Ruled(name, memory.whole(end)) if name and end.isdecimal() else Ruled(text, 0)
    return found if not found.until or now < found.until else None


def told_tier(fields: Mapping[str, str], told: str) -> str:
    """What a credential says of a tier, after an event: nothing is known of it where the event's was an operator's word."""
    given = any(name.startswith("did.") and said.startswith(f"tier {told} ") for name, said in fields.items())
    return "" if given else told


def decode(fields: Mapping[str, str], now: int, terms: Terms) -> dict[str, Any]:
    """A standing in words and figures; what has run out of labels, overrides, tiers and clearances is left out.

    It says of a clearance only the code of a rung's settings: `named` tells which rung that is. `terms` say which approvals
    count.
    """
    on = memory.rung(fields)
    override = memory.override(fields, now)
    tier = ruled(fields, now)
    shown = assured(fields, terms, now)
    return {
        "proved": fields.get("proved") == "1",
        "since": _whole(fields.get("since")),
        "verified": shown.verified,
        "verdict": fields.get("verdict", "none"),
        "cluster": fields.get("cluster", ""),
        "tier": "" if tier is None else tier.name,
        "tier_until": None if tier is None else tier.until or None,
        "tier_why": "" if tier is None else fields.get("tier.why", ""),
        "acr": shown.acr,
        "ial": shown.ial,
        "verifications": _verifications(fields, terms),
        "rung": {"name": on.name, "since": on.since, "met": memory.whole(fields.get("met"))} if on.name else None,
        "cleared": _cleared(fields, now),
        "override": None
        if override is None
        else {"what": override.what, "until": override.until or None, "why": fields.get("override.why", "")},
        "labels": _labels(fields, now),
        "done": _done(fields),
    }


def _verifications(fields: Mapping[str, str], terms: Terms) -> list[dict[str, Any]]:
    """What providers have said, the newest first."""
    found = [
        {
            "case": each.case,
            "provider": each.provider,
            "state": each.state,
            "at": each.at,
            "until": each.until or None,
            "counts": terms.counts(code, each),
        }
        for code, each in entries(fields).items()
    ]
    return sorted(found, key=lambda each: -each["at"])


def named(shown: Mapping[str, Any], rungs: Iterable[Rung]) -> dict[str, Any]:
    """What `Operator.show` says, with the names of the rungs that were passed: none where the policy asks for no such thing."""
    names = {rung.code: rung.name for rung in rungs}
    cleared = [{**each, "rung": names.get(each["code"], "")} for each in shown["cleared"]]
    return {**shown, "cleared": sorted(cleared, key=lambda each: not each["rung"])}


def _cleared(fields: Mapping[str, str], now: int) -> list[dict[str, Any]]:
    """What was passed and still holds, the longest first."""
    found = [
        {"rung": "", "code": name.removeprefix(CLEARED), "until": memory.whole(until)}
        for name, until in sorted(fields.items())
        if name.startswith(CLEARED) and now < memory.whole(until)
    ]
    return sorted(found, key=lambda each: -each["until"])


def _labels(fields: Mapping[str, str], now: int) -> list[dict[str, Any]]:
    found = []
    for name in sorted(fields):
        if name.startswith("label."):
            end, _, why = fields[name].partition(" ")
            until = memory.whole(end)
            if not until or now < until:
                found.append({"label": name.removeprefix("label."), "until": until or None, "why": why})
    return found


def _done(fields: Mapping[str, str]) -> list[dict[str, Any]]:
    """What operators did, the newest first."""
    found = []
    for name, said in fields.items():
        if name.startswith("did."):
            verb, _, rest = said.partition(" ")
            what, _, why = rest.partition(" ")
            found.append({"at": memory.whole(name.removeprefix("did.")), "verb": verb, "what": what, "why": why})
    return sorted(found, key=lambda each: -each["at"])


def _whole(text: str | None) -> int | None:
    return memory.whole(text) or None
