"""Velocity rules: what may be said, and which steps a request gets of them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.conditions import Traits
from guardrail_mw.limits.plan import Planner
from guardrail_mw.limits.settings import LimitSettings
from guardrail_mw.limits.tariff import Place, Tariff
from guardrail_mw.limits.velocity import VelocitySettings, value
from guardrail_mw.stores.base import Count, Distinct, Gcra, Reading, Sketch
from guardrail_mw.values import Estimate

HOUR = 3_600_000_000
PLACE = Place("a:one", "n:here", "n:near", device="d:laptop", authenticated=True)
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
DEVICES = {"name": "devices", "distinct": "device", "per": "account", "over": "24h"}
REQUESTS = {"name": "requests", "per": ["account"], "rate": "60/minute"}
TOKENS = {"name": "tokens", "per": ["account"], "unit": "tokens", "rate": "100000/minute"}


def rule(**said: Any) -> VelocitySettings:
    return VelocitySettings.model_validate(said)


def tariff(
    limits: list[dict[str, Any]], rules: list[dict[str, Any]], place: Place = PLACE, traits: Traits | None = None
) -> Tariff:
    planner = Planner([LimitSettings.model_validate(each) for each in limits], {}, velocity=[rule(**each) for each in rules])
    names = frozenset(each["name"] for each in limits)
    return planner.plan(names, traits or Traits(), metered=True).tariff(place, "other", "r")


def steps(of: Tariff) -> list[tuple[str, list[Any]]]:
    entries = of.entries(Estimate(), lambda *_: 10)
    return [(entry.home, list(entry.steps)) for entry in entries]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({**ATTEMPTS, "distinct": "device"}, "needs either `count` or `distinct`"),
        ({"name": "x", "per": "account", "over": "1h"}, "needs either `count` or `distinct`"),
        ({**ATTEMPTS, "per": ["model"]}, "begins with `model`, which is nobody"),
        ({**ATTEMPTS, "per": ["account", "account"]}, "names a dimension twice"),
        ({**DEVICES, "per": "device"}, "counts how many `device` a `device` has"),
        ({**ATTEMPTS, "approximate": True}, "has no effect on a `count`"),
        ({**ATTEMPTS, "over": "500ms"}, "is not between 1s and 90d"),
        ({**ATTEMPTS, "over": "91d"}, "is not between 1s and 90d"),
    ],
)
def test_what_cannot_be_counted_is_refused(said: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        rule(**said)


def test_one_dimension_or_several_come_back_as_they_were_written() -> None:
    assert rule(**ATTEMPTS).model_dump(mode="json", exclude_unset=True) == ATTEMPTS
    several = {**ATTEMPTS, "per": ["account", "model"]}
    assert rule(**several).model_dump(mode="json", exclude_unset=True) == several


@pytest.mark.parametrize(
    ("distinct", "family"),
    [
        ("device", "device"),
        ("network", "network"),
        ("organisation", "reputation"),
        ("model", "release"),
        ("route", "content"),
    ],
)
def test_a_distinct_count_is_evidence_of_what_it_tells_apart(distinct: str, family: str) -> None:
    assert rule(**{**DEVICES, "distinct": distinct}).family == family
    assert rule(**ATTEMPTS).family == "volume"


def test_steps_stand_behind_the_limits_of_their_home() -> None:
    made = tariff([REQUESTS], [ATTEMPTS, {**ATTEMPTS, "name": "here", "per": "network"}])
    [(account, [bucket, attempts]), (network, [here])] = steps(made)
    assert (account, network) == ("a:one", "n:here")
    assert isinstance(bucket, Gcra)
    assert attempts[1:] == ("attempts", HOUR // 6, 1)
    assert here[1:] == ("attempts", HOUR // 6, 1)
    assert made.shape.places == (0,)
    assert [(watch.name, place) for watch, place in made.shape.watches] == [("attempts", 1), ("here", 2)]


def test_readings_are_told_apart() -> None:
    """Two homes, each with a limit and a count: limit, count, limit, count."""
    network = {"name": "net", "per": ["network"], "rate": "9/minute"}
    made = tariff([REQUESTS, network], [ATTEMPTS, {**ATTEMPTS, "name": "here", "per": "network"}])
    readings = [Reading(ok=True, remaining=number, reset=0, wait=0) for number in range(4)]
    assert [(slot.limit.name, reading.remaining) for slot, reading in made.shape.read(readings)] == [
        ("requests", 0),
        ("net", 2),
    ]
    assert [(watch.name, place) for watch, place in made.shape.watches] == [("attempts", 1), ("here", 3)]


def test_a_distinct_count_sees_what_is_the_subjects() -> None:
    first = tariff([REQUESTS], [DEVICES, {**DEVICES, "name": "networks", "distinct": "network", "approximate": True}])
    other = tariff([REQUESTS], [DEVICES], PLACE._replace(device="d:phone"))
    [(_, [_, device, network])] = steps(first)
    [(_, [_, phone])] = steps(other)
    assert (type(device), device.value, device.window) == (Distinct, value("d:laptop"), 24 * HOUR)
    assert (type(network), network.value) == (Sketch, value("n:here"))
    assert phone.value == value("d:phone") != device.value
    assert phone.field == device.field
    assert len(device.value) == 16


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assistant-large", "assistant-small"),
        ("one-of-the-models", "two-of-the-models"),
        ("12345678", "123456789"),
        ("", "\0"),
    ],
)
def test_names_that_begin_or_end_alike_are_two(one: str, other: str) -> None:
    """Eight bytes of a digest are remembered, not eight of the name."""
    per_model = {**DEVICES, "distinct": "model"}
    planner = Planner([], {}, velocity=[rule(**per_model)])
    plan = planner.plan(frozenset(), Traits(), metered=False)
    [first], [second] = (steps(plan.tariff(PLACE, name, "r"))[0][1] for name in (one, other))
    assert first.field == second.field
    assert first.value != second.value
    assert {len(first.value), len(second.value)} == {16}
    assert (first.value, second.value) == (value(one), value(other))


def test_two_subjects_of_one_kind_do_not_share_what_they_show() -> None:
    planner = Planner([LimitSettings.model_validate(REQUESTS)], {}, velocity=[rule(**DEVICES)])
    plan = planner.plan(frozenset(["requests"]), Traits(), metered=False)
    one, two = [
        plan.tariff(PLACE._replace(account=f"a:{name}", device=f"d:{name}"), "other", "r") for name in ("one", "two")
    ]
    assert one.shape is two.shape
    assert [steps(each)[0][1][1].value for each in (one, two)] == [value("d:one"), value("d:two")]


def test_steps_that_reserve_and_steps_that_count_go_together() -> None:
    made = tariff([REQUESTS, TOKENS], [ATTEMPTS, DEVICES])
    assert made.fixed is None
    [(_, [requests, tokens, attempts, device])] = steps(made)
    assert (requests.cost, tokens.cost, tokens.reserved) == (10, 10, True)
    assert isinstance(attempts, Count)
    assert device.value == value("d:laptop")


def test_a_rule_counts_those_that_it_is_for() -> None:
    free = {**ATTEMPTS, "when": {"tier": "free"}}
    assert not tariff([REQUESTS], [free]).shape.watches
    assert tariff([REQUESTS], [free], traits=Traits(tier="free")).shape.watches


def test_turns_within_a_connection_count_and_hold_no_slots() -> None:
    made = tariff([{"name": "slots", "per": ["account"], "concurrency": 3}], [ATTEMPTS, DEVICES]).turns()
    [(home, [attempts, device])] = steps(made)
    assert (home, type(attempts), device.value) == ("a:one", Count, value("d:laptop"))
    assert [place for _, place in made.shape.watches] == [0, 1]


def test_without_a_device_there_is_one_and_always_the_same() -> None:
    """Nobody shows a device where none is looked for: the count is one, not as many as there are requests."""
    nobody = PLACE._replace(device="")
    assert steps(tariff([], [DEVICES], nobody)) == steps(tariff([], [DEVICES], nobody))


def test_a_changed_rule_counts_anew_and_a_renamed_one_too() -> None:
    def field(**said: Any) -> str:
        [(_, [step])] = steps(tariff([], [{**ATTEMPTS, **said}]))
        return str(step.field)

    fields = {field(), field(over="1h"), field(count="denied"), field(name="other"), field(per=["account", "model"])}
    assert len(fields) == 5
    assert all(len(each) <= 64 for each in fields)


@pytest.mark.parametrize(
    ("said", "path", "hint"),
    [
        ({"name": "x", "per": "account", "over": "1h"}, "", "Write `count: attempts`, or `distinct: device`, for instance."),
        ({**ATTEMPTS, "per": ["model"]}, "per", "Begin with account, network, organisation, cluster, device."),
        ({**ATTEMPTS, "per": ["account", "account"]}, "per", "Name each once."),
        ({**DEVICES, "per": "device"}, "distinct", "Count something else, or per something else."),
        ({**ATTEMPTS, "approximate": True}, "approximate", "Leave it out."),
        ({**ATTEMPTS, "over": "91d"}, "over", "10m, 24h and 7d are usual."),
    ],
)
def test_each_refusal_says_where_and_what_to_do(said: dict[str, Any], path: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rule(**said)
    (error,) = caught.value.errors()
    assert [(problem.path, problem.hint) for problem in error["ctx"]["problems"]] == [(path, hint)]


def test_what_is_counted_per_two_is_told_apart_by_the_second() -> None:
    def field(place: Place) -> str:
        [(_, [step])] = steps(tariff([], [{**ATTEMPTS, "per": ["account", "network"]}], place))
        return str(step.field)

    assert field(PLACE) == field(PLACE._replace(device="d:phone"))
    assert field(PLACE) != field(PLACE._replace(network="n:there"))


def test_distinct_counts_of_networks_stand_in_their_network() -> None:
    made = tariff([], [{**DEVICES, "per": "network"}])
    [entry] = made.entries(Estimate(), lambda *_: 1)
    assert (entry.home, entry.parent) == ("n:here", "n:near")


def test_a_distinct_count_of_routes_sees_the_route() -> None:
    [(_, [step])] = steps(tariff([], [{**DEVICES, "distinct": "route"}]))
    assert step.value == value("r")


def test_a_batch_counts_as_many_as_it_holds() -> None:
    for limits in ([REQUESTS], [TOKENS]):
        [entry] = tariff(limits, [ATTEMPTS]).entries(Estimate(items=3), lambda *_: 10)
        assert [step.cost for step in entry.steps if isinstance(step, Count)] == [3]
