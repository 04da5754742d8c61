"""The tables of docs/reference/events.md and metrics.md: `python -m tests.telemetry.reference` writes them anew.

A page holds them between two comments, as those of `tests/docs_reference.py`; `test_reference.py` fails where a page says
anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from guardrail_mw.telemetry.event import FIELDS, Field
from guardrail_mw.telemetry.metrics import METRICS
from guardrail_mw.telemetry.tracing import ATTRIBUTES

__all__ = ["PAGES", "made", "remade"]

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"
PAGES = (REFERENCE / "events.md", REFERENCE / "metrics.md")
MADE = re.compile(r"(<!-- made: telemetry (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- made -->)", re.DOTALL)


def made(name: str) -> str:
    """One table: of `fields`, `metrics` or `attributes`."""
    return {"fields": _fields, "metrics": _metrics, "attributes": _attributes}[name]()


def remade(text: str) -> str:
    """A page with all that is made made anew."""
    return MADE.sub(lambda found: f"{found[1]}\n{made(found['name'])}\n{found[4]}", text)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _fields() -> str:
    return _table(("field", "value", "unit", "meaning"), _walk(FIELDS, ""))


def _walk(fields: Mapping[str, Field], path: str) -> Iterator[tuple[str, ...]]:
    for name, field in fields.items():
        meaning = field.meaning
        if field.words:
            meaning = f"{meaning} One of {', '.join(f'`{word}`' if word else 'empty' for word in field.words)}.".strip()
        yield f"`{path}{name}`", field.shape, field.unit, meaning
        yield from _walk(field.fields or {}, f"{path}{name}{'[]' if field.many else ''}.")


def _metrics() -> str:
    rows = (
        (f"`{name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for name, metric in METRICS.items()
    )
    return _table(("metric", "kind", "labels", "meaning"), rows)


def _attributes() -> str:
    return _table(("attribute", "meaning"), ((f"`{name}`", meaning) for name, meaning in ATTRIBUTES.items()))


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(remade(page.read_text()))
