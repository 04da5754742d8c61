"""The schema of events: what passes, and what is found."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.risk.base import FAMILIES
from guardrail_mw.telemetry.event import FIELDS, validate
from guardrail_mw.values import Refusal

from .kit import denied, event


def test_what_the_pipeline_makes_is_valid() -> None:
    would = {"decision": "deny", "code": "rate_limited", "limit": "requests", "rung": ""}
    for each in (event(), denied(), event(would=would), event(rung="slow", rung_at=31.5, why=["rung"], delay_ms=500)):
        validate(each)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("v", 2, "v: 2 is not 1"),
        ("at", 1.5, "at: 1.5 is not an integer"),
        ("authenticated", 1, "authenticated: 1 is not a boolean"),
        ("status", True, "status: True is not an integer"),
        ("risk", float("nan"), "risk: nan is not a finite number"),
        ("route", None, "route: None is not text"),
        ("decision", "allowed", "decision: 'allowed' is none of 'allow', "),
        ("account", "alice@example.com", "account: 'alice@example.com' is not a digest"),
        ("network", "203.0.113.9", "network: '203.0.113.9' is not a digest"),
        ("limits", ({},), "limits: a tuple is not a list"),
        ("limits.0.ok", None, "limits[0].ok: None is not a boolean"),
        ("would", {"decision": "deny", "code": "", "limit": ""}, "would.rung: missing"),
        ("refusal", [], "refusal: a list is not a plain dict"),
        ("velocity.attempts", (1, False), "velocity.attempts: (1, False) is not a count and a boolean"),
        ("velocity.attempts", [1.0, False], "velocity.attempts: [1.0, False] is not a count and a boolean"),
        ("findings.0.figures.count", [1], "findings[0].figures.count: [1] is neither number nor text"),
        ("prompt", "Hello", "prompt: unknown"),
        ("used.thoughts", 1, "used.thoughts: unknown"),
        ("why", ["a", 1], "why[1]: 1 is not text"),
    ],
)
def test_whatever_is_wrong_is_named(path: str, value: object, said: str) -> None:
    broken = event()
    place: Any = broken
    *parents, last = path.split(".")
    for name in parents:
        place = place[int(name) if isinstance(place, list) else name]
    place[last] = value
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is what is looked at
        validate(broken)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value), "one thing is wrong"


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="decision: missing") as caught:
        validate({"v": 1})
    assert len(str(caught.value).splitlines()) == len(FIELDS) - 1


def test_every_field_is_described() -> None:
    def walk(fields: Any) -> Any:
        for name, field in fields.items():
            yield name, field
            yield from walk(field.fields or {})

    for name, field in walk(FIELDS):
        assert field.meaning.endswith((".", ":")) or field.words, name


def test_its_words_are_those_of_the_stages() -> None:
    limit, refusal = FIELDS["limits"].fields, FIELDS["refusal"].fields
    assert limit is not None
    assert refusal is not None
    kinds = Refusal.__annotations__["kind"]
    assert all(kind in str(kinds) for kind in refusal["kind"].words)
    assert set(limit["unit"].words) == set(LimitSettings.model_fields["unit"].annotation.__args__)  # type: ignore[union-attr]
    assert len(FAMILIES) == 10
