"""What happens to some groups: lessons, hackathons, migrations, a prompt that everybody passes on."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.world import Batch, Scenario, World
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE, SECOND
from guardrail_mw.simulate.world.schedule import weekday


def lived(cohort: str, accounts: int = 1500, days: int = 15, **more: Any) -> tuple[World, Batch]:
    world = World(Scenario.model_validate({"days": days, "accounts": accounts, "mix": {cohort: 1}, **more}), 2)
    batches = list(world.batches())
    return world, Batch(*(np.concatenate([getattr(each, field.name) for each in batches]) for field in fields(Batch)))


def holders(keys: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """How many accounts showed each value."""
    pairs = np.unique(np.stack([keys, accounts]), axis=1)
    return np.unique(pairs[0], return_counts=True)[1]


def test_a_monday_is_a_monday() -> None:
    assert weekday(World(Scenario(accounts=0), 1).start) == 0  # 5 January 2026


def test_a_class_calls_in_one_hour_of_its_week_with_one_prompt() -> None:
    world, calls = lived("classrooms", days=14)
    for group in np.unique(world.labels.group).tolist():
        mine = world.labels.group[calls.account] == group
        if not mine.any():
            continue
        week = (calls.at[mine] - world.start) % (7 * DAY)
        assert np.ptp(week) < HOUR
        assert len(set(calls.template[mine].tolist()) - set(world.town.free.values())) == 1


def test_a_carriers_address_has_a_hundred_to_two_thousand_before_it() -> None:
    world, _ = lived("cgnat", accounts=6000, days=1)
    counts = np.unique(world.people.address, return_counts=True)[1]
    assert 100 <= counts.min() <= counts.max() <= 2400  # the last group's rest goes to the others


def test_a_saas_has_one_card_one_prompt_and_few_addresses() -> None:
    world, calls = lived("saas", accounts=9000, days=2, scale=10)
    for group in np.unique(world.labels.group).tolist():
        users = world.labels.group == group
        mine = users[calls.account]
        assert len(set(world.people.card[users].tolist())) == len(set(calls.system[mine].tolist())) == 1
        assert len(set(calls.address[mine].tolist())) <= 8


def test_jobs_run_at_the_full_hour() -> None:
    _, calls = lived("cron", accounts=300, days=3)
    assert np.quantile(calls.at % HOUR, 0.95) < 10 * SECOND
    assert len(set((calls.at // HOUR % 24).tolist())) > 12


def test_a_hackathon_is_over_after_three_days() -> None:
    world, calls = lived("hackathons", days=40)
    for group in np.unique(world.labels.group).tolist():
        mine = world.labels.group[calls.account] == group
        if mine.any():
            assert np.ptp(calls.at[mine]) <= 3 * DAY
            users = world.labels.group == group
            assert np.ptp(world.people.created[users]) <= 36 * HOUR


def test_a_startups_staff_joins_in_a_week() -> None:
    world, _ = lived("startups", accounts=400, held_out=True)
    for group in np.unique(world.labels.group).tolist():
        created = world.people.created[world.labels.group == group]
        assert np.ptp(created) <= 7 * DAY
        assert created.min() >= world.start


def test_a_migration_ends_every_account_and_begins_another_with_the_same_evidence() -> None:
    world, calls = lived("migrations", accounts=600, days=30)
    people, labels = world.people, world.labels
    moved = people.until < world.end
    assert int(moved.sum()) == 300
    for group in np.unique(labels.group).tolist():
        old, new = (np.flatnonzero((labels.group == group) & each) for each in (moved, ~moved))
        assert len(old) == len(new)
        assert sorted(people.card[old].tolist()) == sorted(people.card[new].tolist())
        assert sorted(people.device[old].tolist()) == sorted(people.device[new].tolist())
        assert people.begin[new].min() >= people.until[old].max()
        assert set(people.issuer[old].tolist()) & set(people.issuer[new].tolist()) == set()
    last, first = calls.at[moved[calls.account]].max(), calls.at[~moved[calls.account]].min()
    assert last <= world.end
    assert first > world.start + 0.2 * 30 * DAY - MINUTE


def test_a_viral_prompt_lasts_for_three_days_and_its_people_go_on() -> None:
    world, calls = lived("viral", days=30)
    viral = calls.template == world.town.viral
    assert viral.any()
    assert np.ptp(calls.at[viral]) <= 3 * DAY
    passed = set(calls.account[viral].tolist())
    assert all(world.accounts.real[account] for account in passed)
    before = set(calls.account[calls.at < calls.at[viral].min()].tolist())
    after = set(calls.account[calls.at > calls.at[viral].max()].tolist())
    assert len(passed & before) > 50
    assert len(passed & after) > 50
    assert len(passed - before) > 200


def test_a_client_changes_its_prompt_and_model_on_the_day_of_a_launch() -> None:
    models = [{"name": "a"}, {"name": "b", "released": 5.0}]
    world, calls = lived("launchers", days=10, held_out=True, models=models)
    before = set(calls.system[calls.model == 0].tolist())
    after = set(calls.system[calls.model == 1].tolist())
    assert len(before) == len(after) == 1
    assert after == {system + 1 for system in before}
    assert np.mean(calls.model[calls.at > world.start + 6 * DAY]) > 0.6


def test_benchmarks_are_the_same_questions_for_all_labs() -> None:
    world, calls = lived("benchmarks", accounts=60, days=20, held_out=True)
    bank = calls.template == world.town.banks["public"]
    question = world.variants(calls)[bank]
    groups = world.labels.group[calls.account[bank]]
    shared = holders(question, groups)
    assert shared.max() > 1
    i = int(np.flatnonzero(bank)[0])
    twin = next(int(j) for j in np.flatnonzero(bank)[1:] if world.variants(calls)[j] == question[0])
    assert world.texts(calls, i)[1] == world.texts(calls, twin)[1]


def test_homes_get_one_anothers_addresses_in_time_and_never_share_one_at_a_moment() -> None:
    _, calls = lived("homes", accounts=600, days=60, cohorts={"homes": {"traits": {"address": {"roam": 0, "lease": 7}}}})
    total = holders(calls.address, calls.account)
    assert total.max() > 1
    week = np.stack([calls.address, calls.at // (7 * DAY)])
    _, slot = np.unique(week, axis=1, return_inverse=True)
    assert holders(slot.ravel(), calls.account).max() == 1


def test_relay_users_move_about_in_their_relays_pool() -> None:
    world, calls = lived("relays", accounts=800, days=10, scale=10)
    each = np.unique(calls.account[np.isin(calls.account, np.flatnonzero(world.people.hop > 4))])[0]
    mine = calls.account == each
    assert len(set(calls.address[mine].tolist())) > 1
    assert holders(calls.address, calls.account).max() > 5


def test_working_hours_and_weekends() -> None:
    world, calls = lived("offices", accounts=2000, days=14)
    local = (calls.at // HOUR + world.people.zone[calls.row]) % 24
    assert np.mean((local >= 8) & (local < 20)) > 0.8
    days = np.bincount((calls.at - world.start) // DAY, minlength=14)
    assert days[[5, 6, 12, 13]].max() < 0.4 * days[:5].mean()


@pytest.mark.parametrize("volume", [0.25, 4.0])
def test_volume_multiplies_calls(volume: float) -> None:
    plain = len(lived("niche", days=5)[1])
    assert len(lived("niche", days=5, volume=volume)[1]) / plain == pytest.approx(volume, rel=0.4)


def test_volumes_have_heavy_tails() -> None:
    _, calls = lived("declared", accounts=4000, days=10)
    counts = np.sort(np.unique(calls.account, return_counts=True)[1])[::-1]
    assert counts[: len(counts) // 10].sum() > 0.4 * counts.sum()
