"""All clusters as a table, from what `Clusterwork.clusters` answers. It takes no numpy: whoever asks a server may have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from guardrail_mw.clusters.state import Order, ordered
from guardrail_mw.engine.figures import plural, span, utc
from guardrail_mw.engine.table import table

__all__ = ["tell_list", "until"]


def tell_list(answer: Mapping[str, Any]) -> Iterator[str]:
    """All clusters, the worst and then the largest first, of what `Clusterwork.clusters` answers."""
    rebuilt = answer["rebuilt"]
    if rebuilt is None:
        yield "No rebuild has been kept yet. Servers work clusters out as often as `clusters.every` says; or guardrail-mw worker."
        return
    ago = span(max(0, answer["now"] - rebuilt))
    yield f"Last rebuild {utc(rebuilt)} ({ago} ago): {plural(answer['all'], 'cluster')}"
    if not answer["clusters"]:
        return
    yield from table(
        ("cluster", "verdict", "accounts", "tied", "score", "exchanges", "begun", ""),
        [
            (
                each["cluster"],
                each["verdict"],
                f"{len(each['members']):,}",
                f"{each['tied']:,}",
                f"{each['score']:.1f}",
                f"{each['exchanges']:,}",
                utc(each["begun"])[:10],
                _beside(each),
            )
            for each in answer["clusters"]
        ],
    )


def _beside(cluster: Mapping[str, Any]) -> str:
    """What else there is to say of a verdict."""
    waits = "waits for approval" if cluster["waits_since"] is not None else ""
    word = ordered([Order(**{**each, "until": each["until"] or 0}) for each in cluster["orders"]])
    said = f"ordered {until(word.until)}" if word is not None else ""
    return ", ".join(filter(None, (waits, said)))


def until(end: int) -> str:
    """For how long."""
    return "for good" if not end else f"until {utc(end)}"
