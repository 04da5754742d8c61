"""Whole worlds: the same every time, in order, with everybody whom they should have."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from guardrail_mw.simulate.world import Batch, Scenario, World, permute, reported
from guardrail_mw.simulate.world.arrays import DAY, HOUR
from guardrail_mw.simulate.world.ranges import ranges

SHORT: dict[str, Any] = {
    "days": 4,
    "ordinary_days": 1,
    "accounts": 3000,
    "models": [{"name": "a"}, {"name": "b", "released": 2.5}],
}
CAMPAIGN: dict[str, Any] = {"operator": "x", "goal": 5000, "accounts": 100, "days": 3}


def world(seed: int = 1, campaign: dict[str, Any] | None = None, **more: Any) -> World:
    campaigns = [] if campaign is None else [{**CAMPAIGN, **campaign}]
    return World(Scenario.model_validate({**SHORT, "campaigns": campaigns, **more}), seed)


def joined(batches: Iterator[Batch]) -> Batch:
    all_of_them = list(batches)
    return Batch(*(np.concatenate([getattr(each, field.name) for each in all_of_them]) for field in fields(Batch)))


def same(one: Batch, two: Batch) -> bool:
    return all(np.array_equal(getattr(one, field.name), getattr(two, field.name)) for field in fields(Batch))


def test_the_same_seed_is_the_same_world() -> None:
    one, two, other = world(1, {}), world(1, {}), world(2, {})
    assert one.addresses[:50] == two.addresses[:50]
    assert [one.accounts.name(each) for each in range(9)] == [two.accounts.name(each) for each in range(9)]
    first, second = joined(one.batches()), joined(two.batches())
    assert same(first, second)
    assert not same(first, joined(other.batches()))
    assert list(one.links(0, one.end)) == list(two.links(0, two.end))


def test_calls_come_in_times_order_an_hour_at_a_time() -> None:
    made = world(1, {})
    begin = made.start
    for batch in made.batches():
        assert np.all(np.diff(batch.at) >= 0)
        assert np.all((batch.at >= begin) & (batch.at < begin + HOUR))
        begin += HOUR
    assert begin == made.end == made.at
    assert next(made.batches(), None) is None


def test_steps_may_be_shorter() -> None:
    made = world(1, {}, step=900)
    spans = [int(np.ptp(batch.at)) for batch in made.batches() if len(batch)]
    assert max(spans) < 900 * 1_000_000
    assert made.operators[0].served == 5000


def test_a_pickled_world_goes_on_where_it_stood() -> None:
    one = world(1, {"means": ["device-session"]})
    batches = one.batches()
    for _ in range(41):
        next(batches)
    two = pickle.loads(pickle.dumps(one))  # noqa: S301
    assert same(joined(batches), joined(two.batches()))


def test_exactly_so_many_ordinary_accounts() -> None:
    made = world(1, {}, held_out=True)
    ordinary = made.accounts.real & (made.labels.operator < 0)
    assert int(ordinary.sum()) == pytest.approx(3000, abs=1)  # migrations come in pairs
    assert int((made.labels.operator == 0).sum()) == 100
    made = world(1, {}, accounts=None, ratio=20)
    assert int((made.accounts.real & (made.labels.operator < 0)).sum()) == pytest.approx(2000, abs=1)


def test_groups_have_the_sizes_that_are_asked() -> None:
    made = World(Scenario(days=1, accounts=60_000, held_out=True), 3)
    labels, real = made.labels, made.accounts.real
    for code, name in enumerate(labels.cohorts[:-1]):
        cohort = ranges().cohorts[name]
        rows = real & (labels.cohort == code)
        sizes = np.unique(labels.group[rows], return_counts=True)[1]
        low, _ = cohort.traits.size
        doubled = 2 if cohort.special == "migration" else 1
        if len(sizes) > 1:
            assert sizes.min() >= low * doubled, name
        assert rows.sum() / 60_000 == pytest.approx(
            cohort.share / sum(each.share for each in ranges().cohorts.values()), abs=0.001
        ), name
        assert set(labels.held_out[rows].tolist()) == {cohort.held_out}
    grouped = [ranges().cohorts[name].grouped for name in labels.cohorts[:-1]]
    assert np.mean(np.array([*grouped, False])[labels.cohort[real]]) >= 0.4


def test_large_groups_are_scaled_and_never_below_the_floor() -> None:
    made = World(Scenario(days=1, accounts=20_000, scale=10, mix={"offices": 1.0, "cgnat": 1.0}), 3)
    sizes = {
        name: np.unique(made.labels.group[made.labels.cohort == code], return_counts=True)[1]
        for code, name in enumerate(made.labels.cohorts)
    }
    assert 20 <= sizes["offices"].min() < sizes["offices"].max() <= 520
    assert sizes["cgnat"].min() >= 100


def test_rows_say_nothing_about_who_is_who() -> None:
    made = world(1, {})
    place = np.flatnonzero(made.labels.operator == 0) / len(made.accounts)
    assert np.mean(place) == pytest.approx(0.5, abs=0.1)
    assert len({made.accounts.name(each) for each in range(len(made.accounts))}) == len(made.accounts)


def test_ordinary_people_do_the_same_whatever_operators_are_told() -> None:
    listening = world(1, {"means": ["replace"]})
    deaf = world(1, {"means": ["replace"]})
    for one, two in zip(listening.batches(), deaf.batches(), strict=True):
        codes = np.where((one.operator >= 0) & (one.words % 5 == 0), 4, 0).astype(np.uint8)
        listening.told(one, codes)
        assert same(one.take(one.operator < 0), two.take(two.operator < 0))
    assert listening.operators[0].bought(listening.people) != deaf.operators[0].bought(deaf.people)


def test_half_of_a_campaign_moves_in_a_day() -> None:
    calls = joined(world(1, {"accounts": 1000, "goal": 60_000}).batches())
    theirs = calls.operator == 0
    release = world().models[1].released
    assert release is not None
    assert not np.any(calls.model[calls.at < release])
    late = theirs & (calls.at >= release + DAY)
    assert np.mean(calls.model[late]) == pytest.approx(0.5, abs=0.1)


def test_on_a_launch_day_a_fifth_to_two_fifths_of_everybody_moves() -> None:
    calls = joined(World(Scenario.model_validate({**SHORT, "accounts": 8000, "mix": {"homes": 1}}), 1).batches())
    late = calls.at >= World(Scenario.model_validate(SHORT), 1).start + int(3.5 * DAY)
    assert 0.2 <= np.mean(calls.model[late]) <= 0.42


def test_texts_bodies_and_headers_are_what_programs_send() -> None:
    made = world(1, {"means": ["shells-1"]})
    calls = next(batch for batch in made.batches() if batch.useful.sum() > 5)
    kinds = set()
    for i in range(len(calls)):
        system, message = made.texts(calls, i)
        document = json.loads(made.body(calls, i))
        assert document["model"] in {"a", "b"}
        assert document["messages"][-1] == {"role": "user", "content": message}
        anthropic = made.path(calls, i) == "/v1/messages"
        kinds.add(anthropic)
        if system:
            assert (document["system"] if anthropic else document["messages"][0]["content"]) == system
        headers = dict(made.headers(calls, i))
        assert headers[b"user-agent"].decode() == made.programs[calls.client[i]].agent
        assert (b"anthropic-version" in headers) == anthropic
    assert kinds == {True, False}
    prompts = {made.texts(calls, int(i))[0] for i in np.flatnonzero(calls.useful)}
    assert len(prompts) == 1
    assert made.variants(calls)[calls.useful].min() >= 0


def test_links_and_claims_say_the_same() -> None:
    made = world(1, {"means": ["shells-10"]})
    links = list(made.links(0, made.end))
    assert [each.created for each in links] == sorted(each.created for each in links)
    known: dict[int, dict[str, str]] = {}
    for each in links:
        known.setdefault(each.account, {})[each.kind] = each.value
    assert len(known) == int((made.accounts.real & (made.accounts.created < made.end)).sum())
    for account in (*list(known)[:200], *np.flatnonzero(made.labels.operator == 0).tolist()[:20]):
        claims, mine = made.accounts.claims(account), known[account]
        assert claims.get("pay_fp") == mine.get("payment")
        assert claims.get("org_id") == mine.get("organisation")
        assert claims["email"].partition("@")[2] == mine["domain" if claims["email_verified"] else "email_domain"]
    shells = {known[account]["organisation"] for account in np.flatnonzero(made.labels.operator == 0).tolist()}
    assert len(shells) == 10
    half = made.start - 30 * DAY
    assert links == [*made.links(0, half), *made.links(half, made.end)]


def test_devices_have_names_and_users_of_none_have_none() -> None:
    made = world(1, {})
    calls = next(batch for batch in made.batches() if len(batch) > 50)
    assert calls.device.min() == -1
    numbers = calls.device[calls.device >= 0].tolist()
    assert len({made.device(each) for each in numbers}) == len(set(numbers))


def test_permuted_evidence_keeps_how_many_hold_each_value_and_joins_nobody() -> None:
    plain, permuted = (
        world(1, {"accounts": 400}, mix={"homes": 1}),
        permute(world(1, {"accounts": 400}, mix={"homes": 1}), 7),
    )
    for name in ("card", "device", "address", "system", "template", "domain"):
        before, after = (np.sort(getattr(each.people, name)) for each in (plain, permuted))
        assert np.array_equal(before, after)
    theirs = permuted.labels.operator == 0
    cards = np.unique(permuted.people.card[theirs], return_counts=True)[1]
    assert np.sort(cards)[-2] < 10  # the most is none at all
    assert sum(len(each) for each in permuted.batches()) == sum(len(each) for each in plain.batches())


def test_evidence_is_permuted_before_the_beginning() -> None:
    made = world()
    next(made.batches())
    with pytest.raises(ValueError, match="before the first batch"):
        permute(made, 1)


def test_june() -> None:
    made = World(reported("june", scale=10, ratio=1, days=75), 1)
    (operator,) = made.operators
    assert operator.goal == 2_925_000
    assert len(operator.rows) == 2500
