"""Operators: goals are met exactly, means do what they say, refusals cost."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.world import Batch, Scenario, World
from guardrail_mw.simulate.world.arrays import DAY, HOUR, MINUTE
from guardrail_mw.simulate.world.ranges import ranges

ACCOUNTS, GOAL, DAYS = 100, 5000, 4


def run(
    means: list[str], *, attacker: str = "naive", refuse: Any = None, accounts: int = 1000, **campaign: Any
) -> tuple[World, Batch]:
    """A world with one operator, and all its calls; `refuse(batch)` says which calls are denied."""
    settings = {"operator": "x", "goal": GOAL, "accounts": ACCOUNTS, "days": DAYS, "attacker": attacker, "means": means}
    scenario = {
        "days": DAYS + 1,
        "ordinary_days": 1,
        "accounts": accounts,
        "held_out": True,
        "campaigns": [{**settings, **campaign}],
    }
    world, kept = World(Scenario.model_validate(scenario), 4), []
    for batch in world.batches():
        if refuse is not None:
            world.told(batch, np.where((batch.operator >= 0) & refuse(batch), 4, 0).astype(np.uint8))
        kept.append(batch.take(np.flatnonzero(batch.operator >= 0)))
    return world, Batch(*(np.concatenate([getattr(each, field.name) for each in kept]) for field in fields(Batch)))


def per_day(calls: Batch) -> np.ndarray:
    """Calls of each account on each day on which it calls."""
    counts: np.ndarray = np.unique(calls.account.astype(np.int64) << 20 | calls.at // DAY, return_counts=True)[1]
    return counts


@pytest.mark.parametrize(
    "means", [[each] for each in ranges().means] + [[], ["slow", "residential", "paraphrase", "jitter"]], ids=str
)
def test_the_goal_is_met_exactly_by_every_means(means: list[str]) -> None:
    world, calls = run(means)
    assert int(calls.useful.sum()) == GOAL == world.operators[0].goal
    begin = world.start + DAY
    assert begin <= calls.at.min() <= calls.at.max() < begin + DAYS * DAY


def test_the_work_is_spread_over_accounts_and_days() -> None:
    _, calls = run([])
    each = np.unique(calls.account, return_counts=True)[1]
    assert len(each) == ACCOUNTS
    assert each.max() < 3 * GOAL / ACCOUNTS
    days = np.bincount((calls.at - calls.at.min()) // DAY)
    assert days[:DAYS] == pytest.approx(GOAL / DAYS, rel=0.1)


def test_nobody_passes_five_a_day() -> None:
    _, calls = run(["slow"])
    assert per_day(calls).max() <= 5
    assert len(np.unique(calls.account)) == GOAL / 5 / DAYS


@pytest.mark.parametrize(("name", "share"), [("cover-50", 0.5), ("cover-80", 0.8), ("cover-95", 0.95)])
def test_cover_is_so_much_of_all_calls_and_looks_like_anybodys(name: str, share: float) -> None:
    world, calls = run([name])
    assert 1 - calls.useful.mean() == pytest.approx(share, abs=0.005)
    free = set(world.town.free.values())
    assert set(calls.template[~calls.useful].tolist()) <= free
    assert set(calls.template[calls.useful].tolist()) & free == set()


def test_a_device_for_each_account_and_for_each_session() -> None:
    _, each = run(["device-each"])
    assert (
        len(set(zip(each.account.tolist(), each.device.tolist(), strict=True))) == len(set(each.device.tolist())) == ACCOUNTS
    )
    _, session = run(["device-session"])
    seen: dict[int, set[tuple[int, int]]] = {}
    for device, account, at in zip(session.device.tolist(), session.account.tolist(), session.at.tolist(), strict=True):
        seen.setdefault(device, set()).add((account, at // HOUR))
    assert {len(each) for each in seen.values()} == {1}
    assert len(seen) > 10 * ACCOUNTS


@pytest.mark.parametrize(("name", "cards"), [("card-each", 100), ("cards-5", 20), ("cards-50", 2)])
def test_accounts_a_card(name: str, cards: int) -> None:
    world, _ = run([name])
    assert world.operators[0].bought(world.people)["cards"] == cards


def test_what_it_has_bought_is_counted() -> None:
    world, _ = run([])
    assert world.operators[0].bought(world.people) == {"accounts": 100, "cards": 5, "devices": 34, "addresses": 10}


def test_moments_are_shared_unless_they_are_jittered() -> None:
    """Calls that start on the beat of a clock: within two seconds of one of at most 3,600 moments."""
    _, regular = run([], conduct={"beat": 10, "jitter": 0, "hours": 24})
    assert np.all(regular.at % 10_000_000 == 0)
    _, jittered = run(["jitter"])
    assert len(np.unique(jittered.at)) > 0.99 * len(jittered)
    assert np.all(np.bincount((jittered.at // HOUR % 24).astype(int), minlength=24)[[0, 1, 2]] < len(jittered) / 5)


def test_banned_accounts_are_replaced_within_minutes_by_fresh_ones() -> None:
    world, calls = run(["replace"], refuse=lambda batch: batch.words % 4 == 0)
    operator, created = world.operators[0], world.accounts.created
    used = np.unique(calls.account)
    assert ACCOUNTS < len(used) <= 4 * ACCOUNTS
    fresh = used[created[used] > world.start + DAY]
    assert len(fresh) == operator.bought(world.people)["accounts"] - ACCOUNTS > 50
    first = {account: at for at, account in zip(calls.at.tolist()[::-1], calls.account.tolist()[::-1], strict=True)}
    assert all(first[account] >= created[account] for account in fresh.tolist())
    offset = (created[fresh] % HOUR) / MINUTE  # bans are told on the hour; the next account comes 2 to 30 minutes later
    assert 1.9 <= offset.min() <= offset.max() <= 30


def test_a_banned_account_is_given_up() -> None:
    _, calls = run(["replace"], refuse=lambda batch: batch.account % 2 == 0)
    last = [
        int(np.ptp(calls.at[calls.account == account])) for account in np.unique(calls.account).tolist() if account % 2 == 0
    ]
    assert np.median(last) < DAY


def test_spares_are_older_than_the_campaign() -> None:
    world, calls = run(["spares"], refuse=lambda batch: batch.words % 4 == 0)
    used = np.unique(calls.account)
    aged = world.accounts.created[used] < world.start + DAY - 30 * DAY
    assert int(aged.sum()) == 2 * ACCOUNTS  # as many spares as accounts, then fresh ones
    assert len(used) > 2 * ACCOUNTS


def test_refused_exchanges_are_tried_again_until_they_are_served() -> None:
    served = 0

    def refuse(batch: Batch) -> np.ndarray:
        nonlocal served
        refused = (batch.words % 3 == 0) & (batch.at % DAY < 20 * HOUR)
        served += int((batch.useful & ~refused).sum())
        return np.asarray(refused)

    world, calls = run(["replace"], refuse=refuse, conduct={"burnt": 1_000_000})
    assert served == world.operators[0].served == pytest.approx(GOAL, abs=GOAL * 0.02)
    assert calls.useful.sum() > 1.2 * GOAL


def test_a_storm_repeats_what_was_refused() -> None:
    def refuse(batch: Batch) -> np.ndarray:
        return np.ones(len(batch), bool)

    patient = run(["replace"], refuse=refuse, conduct={"burnt": 1_000_000})[1]
    storm = run(["storm"], refuse=refuse)[1]
    # The patient try what they owe once an hour; the storm, five times.
    assert (
        np.bincount((storm.at - storm.at.min()) // HOUR).max()
        > 4 * np.bincount((patient.at - patient.at.min()) // HOUR).max()
    )


def test_the_naive_go_on_as_if_nothing_were() -> None:
    _, refused = run([], refuse=lambda batch: batch.words % 2 == 0)
    _, served = run([])
    assert np.array_equal(refused.at, served.at)


def test_bought_accounts_were_others_who_called_until_they_sold() -> None:
    world, calls = run(["bought"])
    labels, used = world.labels, np.unique(calls.account)
    assert np.all(labels.operator[used] == 0)
    assert np.all(world.accounts.real[used])
    assert np.all(world.accounts.created[used] < world.start - 29 * DAY)
    assert np.all(world.people.until[used] <= world.start + DAY)
    assert {labels.cohorts[each] for each in labels.cohort[used].tolist()} <= {"homes", "agents", "cron", "researchers"}


def test_hijacked_accounts_have_owners_who_go_on() -> None:
    scenario = {"operator": "x", "goal": GOAL, "accounts": ACCOUNTS, "days": DAYS, "means": ["hijacked"]}
    world = World(Scenario.model_validate({"days": 5, "ordinary_days": 1, "accounts": 2000, "campaigns": [scenario]}), 4)
    taken = world.labels.taken >= 0
    assert int((taken & world.accounts.real).sum()) == ACCOUNTS
    both, addresses = set(), {True: set[int](), False: set[int]()}
    for batch in world.batches():
        for account, operator, address in zip(
            batch.account.tolist(), batch.operator.tolist(), batch.address.tolist(), strict=True
        ):
            if taken[account]:
                both.add((account, operator))
                addresses[operator == 0].add(address)
    owners = {account for account, operator in both if operator < 0}
    assert len(owners) > ACCOUNTS / 3
    assert {account for account, operator in both if operator == 0} > owners or len(owners) == ACCOUNTS
    assert addresses[True] & addresses[False] == set()


@pytest.mark.parametrize("address", [False, True])
def test_a_victims_evidence_is_planted(address: bool) -> None:
    world, calls = run(["frame-address" if address else "frame"])
    (victim,) = world.labels.victims["x"]
    people, labels = world.people, world.labels
    office = np.flatnonzero(labels.group == victim)
    mine = np.flatnonzero(labels.operator == 0)
    assert set(people.domain[mine].tolist()) == set(people.domain[office].tolist())
    assert not people.verified[mine].any()
    assert set(people.system[mine].tolist()) <= set(people.system[office].tolist())
    assert set(people.card[mine].tolist()) & set(people.card[office].tolist()) == set()
    assert set(people.device[mine].tolist()) & set(people.device[office].tolist()) <= {-1}
    shared = set(calls.address.tolist()) & set(people.address[office].tolist())
    assert bool(shared) == address


def test_a_resellers_customers_are_an_operators_by_a_twentieth() -> None:
    world, _ = run(["inside-reseller"], accounts=20_000)
    people, (host,) = world.people, world.labels.hosts["x"]
    customers = np.flatnonzero(world.labels.group == host)
    mine = np.flatnonzero(world.labels.operator == 0)
    inside = mine[np.isin(people.domain[mine], people.domain[customers])]
    assert len(inside) / (len(inside) + len(customers)) == pytest.approx(0.05, abs=0.005)
    assert set(people.card[inside].tolist()) <= set(people.card[customers].tolist())
    assert set(people.address[inside].tolist()) <= set(people.address[customers].tolist())
    assert len(set(people.template[mine].tolist())) == 1


def test_what_is_popular_is_polluted() -> None:
    world, _ = run(["poison"])
    mine = world.labels.operator == 0
    popular = {program.system for program in world.programs if program.family == "openterminal"}
    assert set(world.people.system[mine].tolist()) == popular
    assert np.mean(world.people.template[mine] == world.town.viral) == pytest.approx(0.5, abs=0.15)


def test_a_control_from_an_ordinary_cohort_lives_like_it() -> None:
    control: dict[str, Any] = {"attacker": "ordinary", "conduct": {"drawn": "homes"}}
    world, calls = run([], **control, accounts=8000)
    labels, everybody = world.labels, World(world.scenario, 4)
    homes = np.flatnonzero((labels.cohort == labels.cohorts.index("homes")) & world.accounts.real)
    made = sum(int(np.isin(batch.account, homes).sum()) for batch in everybody.batches())
    assert calls.useful.all()
    assert calls.at.min() < world.start + DAY  # as homes do, from the first day on
    assert len(calls) / ACCOUNTS == pytest.approx(made / len(homes), rel=0.35)


def test_an_attacker_who_shares_nothing_shares_nothing() -> None:
    world, _ = run([], attacker="nothing", accounts=20_000)
    people, mine = world.people, world.labels.operator == 0
    for name in ("card", "device", "template"):
        values = getattr(people, name)[mine]
        counts = np.unique(values[values >= 0], return_counts=True)[1]
        assert counts.max() == 1, name


def test_two_operators_of_one_vendor_meet_in_its_addresses() -> None:
    campaigns = [{"operator": name, "goal": GOAL, "accounts": ACCOUNTS, "days": 4, "means": ["vendor"]} for name in "ab"]
    world = World(Scenario.model_validate({"days": 5, "ordinary_days": 1, "accounts": 500, "campaigns": campaigns}), 4)
    seen: list[set[int]] = [set(), set()]
    for batch in world.batches():
        for number in (0, 1):
            seen[number] |= set(batch.address[batch.operator == number].tolist())
    assert len(seen[0] & seen[1]) > 20


def test_without_resellers_or_offices_there_is_nobody_to_hide_among_or_to_frame() -> None:
    for means in (["inside-reseller"], ["frame"], ["poison"]):
        settings = {"operator": "x", "goal": 500, "accounts": 20, "days": 1, "means": means}
        scenario = {"days": 1, "ordinary_days": 0, "accounts": 100, "mix": {"homes": 1}, "campaigns": [settings]}
        world = World(Scenario.model_validate(scenario), 4)
        assert world.labels.hosts == world.labels.victims == {"x": []}
        assert sum(int(batch.useful.sum()) for batch in world.batches()) == 500
