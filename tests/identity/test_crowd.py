"""How many networks of one owner are told apart."""

from __future__ import annotations

import pytest

from guardrail_mw.identity import crowd
from guardrail_mw.identity.crowd import APART, Crowd
from guardrail_mw.identity.network import Place
from guardrail_mw.testing.clock import FakeClock

from .kit import Counts


def place(number: int, parent: str = "p") -> Place:
    return Place(f"n:{parent}{number}", f"n:{parent}", plentiful=True, trusted=False)


def test_sixty_four_of_a_parent_and_no_more() -> None:
    counts = Counts()
    people = Crowd(FakeClock(), counts)
    homes = [people.home(place(number)) for number in range(200)]
    assert homes[:64] == [place(number).home for number in range(64)]
    assert set(homes[64:]) == {"n:p"}
    assert counts["identity.network_shared"] == 136
    assert people.home(place(3)) == place(3).home
    assert people.home(place(1, "q")) == place(1, "q").home


def test_the_proved_are_told_apart_and_take_no_place() -> None:
    people = Crowd(FakeClock(), Counts())
    people.prove(place(500))
    assert people.home(place(500)) == place(500).home
    assert [people.home(place(number)) for number in range(64)] == [place(number).home for number in range(64)]
    assert people.home(place(64)) == "n:p"
    people.prove(place(64))
    assert people.home(place(64)) == place(64).home


def test_an_hour_of_silence_makes_room() -> None:
    clock = FakeClock()
    people = Crowd(clock, Counts())
    for number in range(APART):
        people.home(place(number))
    clock.advance(3599)
    assert people.home(place(0)) == place(0).home
    assert people.home(place(99)) == "n:p"
    clock.advance(1)
    assert people.home(place(99)) == place(99).home
    assert people.home(place(0)) == place(0).home


def test_where_the_parent_has_few_networks_all_are_told_apart() -> None:
    people = Crowd(FakeClock(), Counts())
    for number in range(300):
        scarce = Place(f"n:{number}", "n:p", plentiful=False, trusted=False)
        assert people.home(scarce) == scarce.home


def test_full_tables_tell_no_newcomer_apart_and_forget_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "MOST_PARENTS", 3)
    monkeypatch.setattr(crowd, "MOST_NETWORKS", 5)
    clock = FakeClock()
    people = Crowd(clock, Counts())
    for parent in "abc":
        assert people.home(place(0, parent)) == place(0, parent).home
    assert people.home(place(0, "d")) == "n:d"
    assert people.home(place(1, "a")) == place(1, "a").home
    assert people.home(place(2, "a")) == place(2, "a").home
    assert people.home(place(3, "a")) == "n:a"
    clock.advance(3600)
    assert people.home(place(0, "d")) == place(0, "d").home
    assert people.home(place(0, "b")) == place(0, "b").home
