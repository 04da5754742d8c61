"""The draw that everybody goes through: what is asked for is what is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.simulate.world.drawing import draw_people
from guardrail_mw.simulate.world.people import FOREVER, People
from guardrail_mw.simulate.world.ranges import Traits, ranges
from guardrail_mw.simulate.world.town import FREE_MAIL, Town

ORIGIN = 20_000 * DAY
END = ORIGIN + 75 * DAY


def drawn(traits: dict[str, Any], sizes: list[int], seed: int = 1) -> tuple[People, np.ndarray, Town]:
    rng = np.random.default_rng(seed)
    town = Town(seed, rng)
    people, group = draw_people(Traits.model_validate(traits), np.array(sizes), town, rng, origin=ORIGIN, end=END)
    return people, group, town


def holders(values: np.ndarray) -> list[int]:
    """How many hold each value that somebody holds, the most first."""
    return sorted(np.unique(values[values >= 0], return_counts=True)[1].tolist(), reverse=True)


def test_the_naive_attackers_shares() -> None:
    people, _, _ = drawn(ranges().attackers["naive"].traits, [200])
    assert holders(people.card) == [20] * 10
    assert holders(people.device) == [3] * 66 + [2]
    assert holders(people.address) == [10] * 20
    assert len(set(people.system.tolist())) == len(set(people.template.tolist())) == 1
    assert people.system[0] >= 0
    assert set(people.domain.tolist()) <= set(range(len(FREE_MAIL)))
    assert np.all((people.created <= ORIGIN) & (people.created > ORIGIN - 15 * DAY))


def test_batches_of_accounts_hold_together_unless_they_are_mixed() -> None:
    """Made in batches, ten accounts of an address are of one card; shuffled, they are of many."""
    share = {"address": {"per": 10}, "card": {"per": 20, "have": 1}, "device": {"have": 1}}
    for mixing, cards in ((0, 1.0), (1, 6.5)):  # 10 draws of 10 cards without replacement: 10 × (1 - 0.9**10) = 6.5
        people, _, _ = drawn({**share, "mixing": mixing}, [200])
        each = [len(set(people.card[people.address == one].tolist())) for one in set(people.address.tolist())]
        assert np.mean(each) == pytest.approx(cards, abs=0.7)


def test_an_office_is_one_card_one_domain_one_organisation_and_few_addresses() -> None:
    people, group, _ = drawn(
        {**ranges().cohorts["offices"].traits.model_dump(exclude_unset=True), "card": {"per": "group", "have": 1}}, [80, 300]
    )
    for office, size in ((0, 80), (1, 300)):
        mine = people.take(np.flatnonzero(group == office))
        assert len(mine) == size
        for name in ("card", "domain", "organisation", "zone"):
            assert len(set(getattr(mine, name).tolist())) == 1
        assert len(set(mine.address.tolist())) <= 4
        assert max(holders(mine.device)) <= 3
        assert mine.verified.mean() > 0.7
    assert set(people.card[group == 0].tolist()) & set(people.card[group == 1].tolist()) == set()


def test_homes_share_nothing_at_a_moment() -> None:
    people, _, _ = drawn(ranges().cohorts["homes"].traits.model_dump(exclude_unset=True), [1] * 900)
    for name in ("address", "card", "device"):
        assert holders(getattr(people, name))[0] == 1
    assert people.lease.min() >= 7 * 24


def test_who_has_no_card_or_device_holds_none() -> None:
    people, _, _ = drawn({"card": {"have": 0}, "device": {"have": 0.5}}, [2000])
    assert set(people.card.tolist()) == {-1}
    assert (people.device < 0).mean() == pytest.approx(0.5, abs=0.05)


def test_shell_organisations_each_have_a_domain() -> None:
    people, _, _ = drawn({"organisation": 10, "mail": {"domain": "organisation", "verified": 1}}, [200])
    assert holders(people.organisation) == [20] * 10
    assert len(set(zip(people.organisation.tolist(), people.domain.tolist(), strict=True))) == 10
    assert people.verified.all()


def test_cells_share_within_and_not_across() -> None:
    cells = {**ranges().means["cells"].traits, "card": {"per": 19, "have": 1}, "device": {"per": 19, "have": 1}}
    people, _, _ = drawn({**cells, "prompts": {"per": 19, "share": 1}, "system": {"per": 19}}, [190])
    bundles = set(
        zip(*(getattr(people, name).tolist() for name in ("card", "device", "address", "system", "template")), strict=True)
    )
    assert len(bundles) == 10
    assert holders(people.card) == [19] * 10


def test_residential_addresses_are_ordinary_peoples() -> None:
    rng = np.random.default_rng(1)
    town = Town(1, rng)
    homes, _ = draw_people(Traits(), np.ones(500, int), town, rng, origin=ORIGIN, end=END)
    taken, _ = draw_people(
        Traits.model_validate({"address": {"taken": True}}), np.array([100]), town, rng, origin=ORIGIN, end=END
    )
    assert set(taken.address.tolist()) <= set(homes.address.tolist())


def test_two_customers_of_a_vendor_use_one_pool() -> None:
    rng = np.random.default_rng(1)
    town = Town(1, rng)
    traits = Traits.model_validate({"address": {"vendor": "v", "each": [1, 64], "per": 10}})
    both = [draw_people(traits, np.array([300]), town, rng, origin=ORIGIN, end=END)[0] for _ in range(2)]
    first, size = town.vendors["v"]
    for people in both:
        assert people.address.min() >= first
        assert (people.address + people.hop).max() <= first + size


def test_ages_before_and_during() -> None:
    people, _, _ = drawn({"ages": {"before": [10, 90], "during": 0.25}}, [1] * 4000)
    came = people.created >= ORIGIN
    assert came.mean() == pytest.approx(0.25, abs=0.03)
    assert people.created.max() <= END
    assert np.all(people.created[~came] >= ORIGIN - 90 * DAY)
    assert np.all(people.begin >= people.created)
    assert set((people.created % 1_000_000).tolist()) == {0}


def test_a_group_may_come_within_hours() -> None:
    people, group, _ = drawn({"ages": {"before": 0, "within": 36, "during": 1}}, [50] * 40)
    spans = [np.ptp(people.created[group == each]) for each in range(40)]
    assert 30 * HOUR < np.mean(spans) <= 36 * HOUR
    assert len(set((people.created // DAY).tolist())) > 20


def test_a_stay_ends() -> None:
    people, _, _ = drawn({"stay": [1, 3]}, [300])
    stay = people.until - people.begin
    assert DAY <= stay.min() <= stay.max() <= 3 * DAY
    assert set(drawn({}, [30])[0].until.tolist()) == {FOREVER}


def test_a_programs_users_send_its_prompt() -> None:
    people, _, town = drawn({"program": "openterminal"}, [1] * 200)
    assert len(set(people.system.tolist())) == 1
    assert len(set(people.client.tolist())) > 1  # versions
    assert {town.programs[each].family for each in people.client.tolist()} == {"openterminal"}


def test_a_groups_own_program_is_nobody_elses() -> None:
    people, group, town = drawn({"program": "group"}, [100, 100])
    families = [{town.programs[each].family for each in people.client[group == number].tolist()} for number in (0, 1)]
    assert len(families[0]) == len(families[1]) == 1
    assert families[0] != families[1]
    assert len(set(people.system.tolist())) == 2


def test_an_unknown_program_is_told() -> None:
    with pytest.raises(KeyError, match="unheard-of"):
        drawn({"program": "unheard-of"}, [1])


def test_nobody_is_drawn_from_nothing() -> None:
    assert len(drawn({}, [])[0]) == 0
