"""What holds of every ladder, whoever stands before it."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from guardrail_mw.friction import memory
from guardrail_mw.friction.ladder import Ladder, Step
from guardrail_mw.friction.settings import FrictionSettings

from .kit import KEY, MINUTE, NOW, carried_out, ladder, person

HALF = 30 * MINUTE
RISKS = st.floats(0, 100)
ACCOUNTS = st.text("abcdef0123456789", min_size=1, max_size=8).map("a:{}".format)


@st.composite
def sections(draw: st.DrawFn, *, settled: bool = False) -> dict[str, Any]:
    """A section with a ladder; a `settled` one has nothing in shadow or rolling out."""
    places = sorted(draw(st.sets(st.integers(1, 100), min_size=1, max_size=5)))
    rungs: list[dict[str, Any]] = []
    for index, at in enumerate(places):
        rung: dict[str, Any] = {"at": at, "do": draw(st.sampled_from(["delay", "trim", "deny"])), "name": f"r{index}"}
        if index + 1 < len(places):
            rung |= draw(st.sampled_from([{}, {"up": 1}, {"up": 3}]))
        if not settled:
            rung |= draw(st.sampled_from([{}, {}, {"shadow": True}, {"rollout": "50%"}, {"rollout": "5%"}]))
        rungs.append(rung)
    return {"ladder": rungs, "hysteresis": draw(st.integers(0, 50))}


@st.composite
def standings(draw: st.DrawFn) -> dict[str, str]:
    fields = {"since": str(NOW - 1)}
    if draw(st.booleans()):
        fields["heat"] = str(NOW + draw(st.integers(-HALF, 7 * HALF)))
    if draw(st.booleans()):
        fields["rung"] = f"r{draw(st.integers(0, 5))} {NOW - 1}"
        fields["met"] = str(draw(st.integers(0, 9)))
    return fields


def built(section: dict[str, Any]) -> Ladder:
    return Ladder(FrictionSettings.model_validate(section), key=KEY)


def place(step: Step) -> int:
    return step.rung.index if step.rung is not None else -1


@given(sections(), standings(), ACCOUNTS, RISKS, RISKS, st.integers(0, 3))
def test_a_greater_risk_never_acts_less(
    section: dict[str, Any], fields: dict[str, str], account: str, one: float, other: float, families: int
) -> None:
    steps, who = built(section), person(account, fields)
    low, high = sorted([one, other])
    assert place(steps.step(who, low, families)) <= place(steps.step(who, high, families))


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3))
def test_more_evidence_never_acts_less(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int
) -> None:
    steps, who = built(section), person(account, fields)
    assert place(steps.step(who, risk, families)) <= place(steps.step(who, risk, families + 1))


@given(sections(), ACCOUNTS)
def test_thresholds_differ_by_a_tenth_at_most_and_ascend(section: dict[str, Any], account: str) -> None:
    steps = built(section)
    found = steps.thresholds(account)
    for rung, threshold in zip(steps.rungs, found, strict=True):
        assert abs(threshold - rung.at) <= min(rung.at, 100 - rung.at) / 10 + 1e-9
    assert list(found) == sorted(found)
    assert found == built(section).thresholds(account)


def test_thresholds_are_spread_over_the_whole_tenth() -> None:
    steps = ladder({"at": 50, "do": "delay"})
    found = [steps.thresholds(f"a:{index}")[0] for index in range(2000)]
    assert (min(found) < 45.1, max(found) > 54.9) == (True, True)
    assert abs(sum(found) / len(found) - 50) < 0.3  # the mean of 2000 deviates by 0.065


@given(
    ACCOUNTS,
    st.decimals("0.000001", 100, places=6),
    st.decimals("0.000001", 100, places=6),
    st.integers(1, 99),
    st.integers(1, 99),
)
def test_a_larger_rollout_holds_every_account_of_a_smaller(
    account: str, one: object, other: object, before: int, after: int
) -> None:
    small, large = sorted([str(one), str(other)], key=float)
    at_first = ladder({"at": before, "do": "delay", "rollout": f"{small}%"}).rungs[0]
    later = ladder({"at": after, "do": "delay", "rollout": f"{large}%"}).rungs[0]  # a threshold that moved changes nothing
    assert later.rolled_out(account) or not at_first.rolled_out(account)


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3), st.booleans())
def test_a_rung_in_shadow_never_acts(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int, named: bool
) -> None:
    overridden = fields | {"override": "r0 0"} if named else fields
    step = built(section).step(person(account, overridden), risk, families)
    assert step.rung is None or not step.rung.shadow
    assert step.would is None or place(step) < step.would.index


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 1))
def test_one_family_denies_nobody_who_was_not_denied_before(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int
) -> None:
    steps = built(section)
    held = next((rung for rung in steps.rungs if rung.name == memory.rung(fields).name), None)
    assume(held is None or held.do != "deny")
    step = steps.step(person(account, fields), risk, families)
    assert step.rung is None or step.rung.do != "deny"


@given(sections(settled=True), ACCOUNTS, st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_within_the_band_nothing_flaps(section: dict[str, Any], account: str, parts: list[float]) -> None:
    for rung in section["ladder"]:
        rung.pop("up", None)
    steps = built(section)
    thresholds = steps.thresholds(account)
    top = len(thresholds) - 1
    floor = max(thresholds[top] - section["hysteresis"], thresholds[top] / 2)
    fields = carried_out({}, steps.step(person(account), thresholds[top], 2).changes)
    below = person(account, {key: value for key, value in fields.items() if key == "since"})
    for part in parts:
        risk = floor + part * (thresholds[top] - floor)
        fields.pop("heat", None)  # the band alone, not what is remembered
        step = steps.step(person(account, fields), risk, 2)
        assert place(step) == top
        assert not [change for change in step.changes if change.field != "heat"]
        if risk < thresholds[top]:
            assert place(steps.step(below, risk, 2)) < top


@given(
    st.lists(st.tuples(st.integers(0, 20 * HALF), st.floats(1, 100)), min_size=1, max_size=6),
    st.integers(0, 8 * HALF),
)
def test_the_larger_heat_is_the_larger_risk_for_ever(seen: list[tuple[int, float]], after: int) -> None:
    last = max(time for time, _ in seen) + after
    merged = max(memory.heat(risk, NOW + time, HALF) for time, risk in seen)
    faded = max(risk * math.exp(-math.log(2) * (last - time) / HALF) for time, risk in seen)
    assume(abs(faded - 1) > 1e-6)
    wanted = faded if faded > 1 else 0.0
    assert math.isclose(memory.remembered(merged, NOW + last, HALF), wanted, rel_tol=1e-8)


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3))
def test_the_short_way_comes_to_the_same_as_the_long(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int
) -> None:
    steps, who = built(section), person(account, fields)
    short, long = steps.step(who, risk, families), steps._step(who, fields, risk, families, len(steps.rungs))
    assert (short.rung, short.would, short.entered, short.at) == (long.rung, long.would, long.entered, long.at)
    assert math.isclose(short.effective, long.effective)


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3))
def test_what_was_written_need_not_be_written_again(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int
) -> None:
    steps = built(section)
    first = steps.step(person(account, fields), risk, families)
    after = carried_out(fields, first.changes)
    again = steps.step(person(account, after), risk, families)
    if first.rung is not None and place(again) == place(first):
        assert not again.entered
    if all(change.op != "add" for change in first.changes):  # a request that was counted may lead up
        assert (place(again), again.changes) == (place(first), ())


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3))
def test_lower_is_lower(section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int) -> None:
    steps, who = built(section), person(account, fields)
    step = steps.step(who, risk, families)
    assume(step.rung is not None)
    lower = steps.lower(who, step)
    assert place(lower) < place(step)
    assert lower.effective == step.effective


@given(sections(), standings(), ACCOUNTS, RISKS, st.integers(0, 3))
def test_of_whom_nothing_is_remembered_nothing_is_written(
    section: dict[str, Any], fields: dict[str, str], account: str, risk: float, families: int
) -> None:
    steps = built(section)
    step = steps.step(person(account, fields, anonymous=True), risk, families)
    assert step.changes == ()
    assert step.effective == risk
    assert place(step) == place(steps.step(person(account), risk, families))
