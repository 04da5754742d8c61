"""What may pass for a finding."""

from __future__ import annotations

import marshal
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from guardrail_mw.risk.base import FAMILIES, Finding
from guardrail_mw.risk.findings import sound


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: Any) -> None:
    said = Finding(family, 40, "because", {"count": 5, "share": 0.5, "name": "curl"})
    assert sound(said) == (said, True)


@pytest.mark.parametrize(
    ("score", "becomes"), [(0, 0), (100, 100), (-1, 0), (101, 100), (10**400, 100), (45.9, 45), (-0.5, 0), (1e300, 100)]
)
def test_scores_are_cut(score: Any, becomes: int) -> None:
    found, as_it_stood = sound(Finding("device", score, "because"))
    assert found is not None
    assert (found.score, type(found.score), as_it_stood) == (becomes, int, True)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "device",
        5,
        {"family": "device", "score": 40, "reason": "because"},
        ("device", 40, "because", {}),
        Finding("karma", 40, "because"),  # type: ignore[arg-type]
        Finding([], 40, "because"),  # type: ignore[arg-type]
        Finding("device", "40", "because"),  # type: ignore[arg-type]
        Finding("device", True, "because"),
        Finding("device", float("nan"), "because"),  # type: ignore[arg-type]
        Finding("device", float("inf"), "because"),  # type: ignore[arg-type]
        Finding("device", None, "because"),  # type: ignore[arg-type]
        Finding("device", 40, ""),
        Finding("device", 40, "Because"),
        Finding("device", 40, "because\n"),
        Finding("device", 40, "Mozilla/5.0 (X11)"),
        Finding("device", 40, "a" * 65),
        Finding("device", 40, None),  # type: ignore[arg-type]
        Finding("device", 40, b"because"),  # type: ignore[arg-type]
    ],
)
def test_what_is_none(said: Any) -> None:
    assert sound(said) == (None, False)


@pytest.mark.parametrize(
    "figures",
    [
        {"agent": "x" * 65},
        {"agent": "two\nlines"},
        {"x" * 41: 1},
        {5: 1},
        {"count": 2**53 + 1},
        {"count": -(10**400)},
        {"count": float("nan")},
        {"yes": True},
        {"raw": b"x"},
        {"list": [1]},
        {str(index): index for index in range(17)},
        [("count", 1)],
        "count",
    ],
)
def test_figures_that_cannot_be_written_are_left_out(figures: Any) -> None:
    found, as_it_stood = sound(Finding("device", 40, "because", figures))
    assert found == Finding("device", 40, "because", {})
    assert not as_it_stood


class Kind(StrEnum):
    DEVICE = "device"
    BECAUSE = "because"


class Level(IntEnum):
    HIGH = 70


def test_enumerations_become_what_they_stand_for() -> None:
    figures = MappingProxyType({Kind.BECAUSE: Level.HIGH, "kind": Kind.DEVICE})
    found, as_it_stood = sound(Finding(Kind.DEVICE, Level.HIGH, Kind.BECAUSE, figures))  # type: ignore[arg-type]
    assert as_it_stood
    assert found == Finding("device", 70, "because", {"because": 70, "kind": "device"})
    assert marshal.dumps(list(found)), "as events are kept: of exact types only"
