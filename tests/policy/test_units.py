"""What was meant by a figure that other tools would take."""

from __future__ import annotations

import pytest

from guardrail_mw.policy.units import meant, seconds
from guardrail_mw.quantities import Budget, Duration, Quantity, Rate


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (Rate, "60/m", "Write 60/minute."),
        (Rate, "10/s", "Write 10/second."),
        (Rate, "60/mins", "Write 60/minute."),
        (Rate, "5 per 2 h", "Write 5 per 2 hours."),
        (Rate, "60 / 1 min", "Write 60/minute."),
        (Rate, "12.5/hr", "Write 12.5/hour."),
        (Rate, "60/fortnight", ""),
        (Rate, "60", ""),
        (Rate, "60/w", ""),  # a rate knows no weeks
        (Rate, "0/m", ""),
        (Budget, "500/mo", "Write 500/month."),
        (Budget, "20/weeks", "Write 20/week."),
        (Budget, "500/2 days", ""),
        (Duration, "1 hour", "Write 1h."),
        (Duration, "90 secs", "Write 90s."),
        (Duration, "1.5 hrs", "Write 1.5h."),
        (Duration, "2 weeks", "Write 14d."),
        (Duration, "1.5 weeks", ""),
        (Duration, "1 month", ""),
        (Duration, "soon", ""),
    ],
)
def test_what_was_meant(kind: type[Quantity], text: str, said: str) -> None:
    assert meant(kind, text) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [("500ms", "Write 0.5."), ("2 s", "Write 2."), ("1 minute", "Write 60."), ("soon", ""), (None, ""), (3, "")],
)
def test_seconds_without_their_unit(value: object, said: str) -> None:
    assert seconds(value) == said
