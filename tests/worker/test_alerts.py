"""What an operator is told of after a rebuild."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

import pytest

from guardrail_mw.clusters.settings import ApprovalSettings
from guardrail_mw.clusters.state import Cluster, Given, Order, State
from guardrail_mw.engine.counts import Counts
from guardrail_mw.worker.alerts import Alert, alerts
from guardrail_mw.worker.worker import Worker

from ..cli.clustering import Played, played  # noqa: TID252 - one world for both

__all__ = ["played"]

APPROVAL: Final = ApprovalSettings()
ID, OTHER = "0123456789ab", "ba9876543210"
NEW: Final = Cluster(ID, ("a:1", "a:2"), "suspect", 1_250, 5)
OLD: Final = replace(NEW, ancestors=(ID,), lineage=(ID,))
WATCHED: Final = replace(NEW, verdict="watched")
TURNED: Final = Alert(
    "turned", f"Cluster {ID}, 2 accounts at 1.2 nats, is suspect, and that acts. guardrail-mw clusters show {ID}"
)


def told(before: list[Cluster], after: list[Cluster], *orders: Order) -> list[Alert]:
    """Of two rebuilds, at 100 and at 200."""
    given = Given({ID: orders})
    return list(alerts(State(100, 1, tuple(before)), State(200, 1, tuple(after)), given, APPROVAL))


def test_a_verdict_that_begins_to_act() -> None:
    assert told([], [NEW]) == [TURNED]
    assert told([WATCHED], [OLD]) == [TURNED]
    assert told([NEW], [OLD]) == []
    assert told([NEW], [replace(OLD, verdict="watched")]) == []
    assert told([], [WATCHED]) == []


def test_a_verdict_that_becomes_graver() -> None:
    [alert] = told([NEW], [replace(OLD, verdict="confirmed")])
    assert (alert.what, "is confirmed, and that acts" in alert.text) == ("turned", True)
    assert told([replace(NEW, verdict="confirmed")], [OLD]) == []


def test_a_verdict_that_asks() -> None:
    asks = replace(NEW, members=tuple(f"a:{each}" for each in range(2_500)), asked=200, approved=400)
    text = (
        f"Cluster {ID}, 2,500 accounts at 1.2 nats, is suspect and asks for approval. It would newly bind 2,100: they are "
        f"trimmed for 30m, then it acts, unless it is rejected. guardrail-mw clusters show {ID}"
    )
    assert told([WATCHED], [replace(asks, ancestors=(ID,))]) == [Alert("asks", text)]
    assert told([asks], [replace(asks, ancestors=(ID,))]) == []


def test_a_verdict_that_acts_because_nobody_rejected_it() -> None:
    assert told([replace(NEW, asked=50)], [OLD]) == [TURNED]


def test_what_falls_apart_or_takes_another_in_is_no_news() -> None:
    part = replace(NEW, id=OTHER, ancestors=(ID,), lineage=(OTHER, ID))
    assert told([NEW], [OLD, part]) == []
    assert told([NEW, replace(WATCHED, id=OTHER)], [replace(OLD, ancestors=(ID, OTHER))]) == []


def test_a_few_who_were_in_another_that_acts_silence_nothing() -> None:
    few = replace(NEW, id=OTHER)
    assert told([few, WATCHED], [replace(OLD, ancestors=(ID, OTHER))]) == [TURNED]


@pytest.mark.parametrize("what", ["budget", "judge"])
def test_an_order_that_says_nothing_of_the_verdict_silences_nothing(what: str) -> None:
    assert told([WATCHED], [OLD], Order(what, "", 0, "another figure", 150)) == [TURNED]


@pytest.mark.parametrize(("at", "said"), [(100, [TURNED]), (101, [])])
def test_what_an_operator_said_since_the_last_rebuild_is_no_news(at: int, said: list[Alert]) -> None:
    assert told([WATCHED], [OLD], Order("verdict", "suspect", 0, "it is them", at)) == said


def test_a_rebuild_says_it_in_the_log_and_counts(played: Played, caplog: pytest.LogCaptureFixture) -> None:
    """Of forty, which waits, and of twenty, which acts; the next rebuild has nothing new, and half an hour later it acts."""
    counts = Counts(None)

    async def act(found: Played) -> None:
        await found.store.keep("clusters", State().pack())
        worker = Worker(found.store, found.policy.clusters, clock=found.clock, observer=counts)
        for seconds in (0, 600, 1_200):
            found.clock.advance(seconds)
            await worker.work()
            told = {name: many for name, many in counts.read().items() if name in {"clusters.asks", "clusters.turned"}}
            assert told == {"clusters.asks": 1, "clusters.turned": 1 if seconds < 1_200 else 2}

    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        played.run(act)
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Cluster ")]
    assert [line.partition(", is ")[2].partition(".")[0] for line in said] == [
        "suspect and asks for approval",
        "suspect, and that acts",
        "suspect, and that acts",
    ]
