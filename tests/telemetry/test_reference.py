"""The pages on events, metrics and spans say what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from guardrail_mw.telemetry.event import FIELDS
from guardrail_mw.telemetry.metrics import METRICS
from guardrail_mw.telemetry.tracing import ATTRIBUTES

from . import reference


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.name)
def test_what_is_made_from_the_code_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert text == reference.remade(text), "run: python -m tests.telemetry.reference"


def test_everything_is_in_them() -> None:
    text = "".join(page.read_text() for page in reference.PAGES)
    assert [name for name in (*FIELDS, *METRICS, *ATTRIBUTES) if f"\n| `{name}` |" not in text] == []
