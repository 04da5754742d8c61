"""Who can be verified with what: counted on by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.world.papers import Papers, PapersSettings, figures, figures_hash


def papers(*settings: PapersSettings | None) -> Papers:
    people: Any = SimpleNamespace(organisation=np.array([-1, 7, 7, -1], np.int32))
    return Papers(people, list(settings), seed=3)


def test_people_have_a_document_each_and_organisations_one() -> None:
    town = papers()
    alone = [town.show(account, -1) for account in range(4)]
    assert len(set(alone)) == 4
    together = [town.show(account, -1, "c:1") for account in range(4)]
    assert together[1] == together[2]  # of one organisation
    assert len(set(together)) == 3
    assert together[0] == alone[0]  # of none: somebody shows his own


def test_a_mule_shows_a_document_for_three_accounts() -> None:
    town = papers(PapersSettings(people=2), PapersSettings(people=1))
    shown = [town.show(account, 0) for account in range(8)]
    assert shown[0] == shown[1] == shown[2]
    assert shown[3] == shown[4] == shown[5] != shown[0]
    assert shown[6:] == ["", ""]  # six accounts, and no more
    assert town.show(2, 0) == shown[2]  # again
    assert town.show(9, 1) not in {*shown, ""}  # another operator's
    assert town.used(0) == {"document": 2, "company": 0}
    assert town.has(0) == {"document": 2, "company": 0}
    assert town.show(3, 0, "c:1") == ""  # a person is no company


def test_a_company_is_shown_for_one_cluster() -> None:
    town = papers(PapersSettings(companies=2))
    first = town.show(1, 0, "c:1")
    assert first == town.show(2, 0, "c:1")
    second = town.show(3, 0, "c:2")
    assert second not in {first, ""}
    assert town.show(4, 0, "c:3") == ""
    assert town.show(1, 0) == ""
    assert town.used(0) == {"document": 0, "company": 2}


def test_who_has_nothing() -> None:
    town = papers(None, PapersSettings(solves=True), PapersSettings(honest=True))
    assert town.show(1, 0) == ""
    assert [town.farmed(number) for number in (-1, 0, 1, 2)] == [False, False, True, False]
    assert [town.acts(number) for number in (-1, 0, 1, 2)] == [-1, 0, 1, -1]


def test_what_it_costs() -> None:
    prices = {name: each.dollars for name, each in figures().prices.items()}
    assert prices.keys() == {"document", "company", "solve"}
    found = figures().dollars({"document": 2, "company": 1, "solve": 1000})
    assert found == pytest.approx(2 * prices["document"] + prices["company"] + 1000 * prices["solve"])
    assert all(each.source for each in figures().prices.values())
    assert all(each.source for each in figures().times.values())
    assert len(figures_hash()) == 16


@pytest.mark.parametrize("what", ["consent", "provider"])
def test_how_long_it_takes_is_as_the_file_says(what: str) -> None:
    town = papers()
    takes = {"consent": town.consenting, "provider": town.looking}[what]
    found = np.sort([takes(account, 1_767_571_200_000_000 + account) for account in range(4000)]) / 1e6
    median, late = figures().times[what].span
    assert found[2000] == pytest.approx(median, rel=0.1)
    assert found[3800] == pytest.approx(late, rel=0.1)
    assert takes(5, 1_767_571_200_000_000) == takes(5, 1_767_571_200_000_000)


def test_a_program_that_solves_is_quicker_than_hands() -> None:
    town = papers()
    by_program = np.sort([town.solving(account, 0, browser=False) for account in range(2000)]) / 1e6
    by_hand = np.sort([town.solving(account, 0, browser=True) for account in range(2000)]) / 1e6
    assert by_hand[1000] == pytest.approx(figures().times["hands"].span[0], rel=0.1)
    assert by_program[500] < 1  # half of them, in 0.3 s
    assert by_program[1900] > 20  # the others look at it themselves
