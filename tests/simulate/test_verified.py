"""What waits come to, by hand: whole minutes, four people."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from guardrail_mw.simulate.codes import ASKED, CHALLENGED
from guardrail_mw.simulate.report import VERIFIED, WAITS, verified_row, waits_row
from guardrail_mw.simulate.verified import verified
from guardrail_mw.simulate.visiting import Came
from guardrail_mw.simulate.world.papers import Papers, PapersSettings

_MINUTE = 60_000_000
_START = 1_767_571_200_000_000


def came(account: int, first: int, done: int, own: int, provider: int) -> Came:
    """Times in minutes from the refusal; done is 0 for never."""
    return Came(
        account,
        first,
        _START,
        _START + done * _MINUTE if done else 0,
        own * _MINUTE,
        provider * _MINUTE,
        verified=first == ASKED,
    )


def figures() -> dict[str, Any]:
    """Accounts 0 to 3 are homes; 4 to 7 an operator's who has a document; 8 is a team's that looks like one."""
    settings = [PapersSettings(people=1), PapersSettings(honest=True)]
    people: Any = SimpleNamespace(organisation=np.full(9, -1, np.int32))
    papers = Papers(people, settings, 1)
    for account in (4, 5):
        papers.show(account, 0)
    labels = SimpleNamespace(
        cohorts=["homes", "campaign"],
        cohort=np.array([0, 0, 0, 0, 1, 1, 1, 1, 1]),
        operator=np.array([-1, -1, -1, -1, 0, 0, 0, 0, 1]),
    )
    world: Any = SimpleNamespace(
        papers=papers,
        labels=labels,
        operators=[SimpleNamespace(rows=np.array([4, 5, 6, 7])), SimpleNamespace(rows=np.array([8]))],
        scenario=SimpleNamespace(
            verification=SimpleNamespace(whose="account"),
            campaigns=[SimpleNamespace(operator="mule"), SimpleNamespace(operator="team")],
        ),
    )
    visits: Any = SimpleNamespace(
        came=[
            came(0, ASKED, 65, 2, 60),  # 5 minutes, of which 3 are ours
            came(1, CHALLENGED, 1, 1, 0),  # 1, none of them ours
            came(1, CHALLENGED, 2, 1, 0),  # 2 and 1
            came(8, ASKED, 3, 1, 1),  # 2 and 1
        ],
        open={
            (2, -1): SimpleNamespace(account=2, first=ASKED, since=_START, idle=True),  # never
            (3, -1): SimpleNamespace(account=3, first=ASKED, since=_START, idle=False),
            (6, 0): SimpleNamespace(account=6, first=ASKED, since=_START, idle=True),
        },
        solved=np.array([7, 0, 2]),
        begun=np.array([3, 0, 4]),
        outcomes={(0, "approved"): 2, (0, "duplicate"): 1, (-1, "approved"): 3},
        asked=np.array([1, 0, 1, 0, 1, 1, 1, 0, 1]),
        passed=np.array([1, 0, 0, 0, 1, 1, 0, 0, 1]),
        after=np.array([0, 0, 0, 0, 0, 0, 5, 9, 0]),
        without_link=1,
    )
    return verified(world, visits)


def test_operators_by_hand() -> None:
    mule, team = figures()["operators"]
    assert mule["used"] == {"document": 1, "company": 0, "solve": 7}
    assert mule["dollars"] == 100.02  # a document and seven solves
    assert (mule["asked"], mule["verified"], mule["begun"]) == (3, 2, 3)
    assert mule["outcomes"] == {"approved": 2, "duplicate": 1}
    assert (mule["served_after_asked"], mule["most_after_asked"]) == (5, 5)  # account 7 was never asked
    assert team["dollars"] == 0
    row = verified_row(mule, {"accounts": 4, "leak": 0.25})
    assert dict(zip(VERIFIED, row, strict=True))["leak"] == "25%"


def test_waits_by_hand() -> None:
    people = figures()["people"]
    everybody = people["all"]
    assert (everybody["visits"], everybody["accounts"], everybody["asked"], everybody["never"]) == (5, 4, 3, 1)
    assert everybody["median"] == 2  # 1, 2, 2, 5 minutes, and never
    assert everybody["p95"] is None  # one of five never came through
    assert everybody["ours_median"] == 1
    assert people["by_rung"]["challenged"]["p95"] == 2
    assert people["by_rung"]["challenged"]["ours_median"] == 0
    assert people["by_cohort"].keys() == {"homes", "team"}
    assert people["by_cohort"]["team"]["median"] == 2  # the provider's minute is left out
    assert people["waiting_at_the_end"] == 1
    assert people["without_a_link"] == 1
    assert dict(zip(WAITS, waits_row(everybody), strict=True))["p95"] == "-"
