"""The ladder, step by step, by hand. Thresholds differ by at most a tenth, so that 60 is above any account's 50."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.friction import memory
from guardrail_mw.friction.ladder import Ladder, Person, Rung, Step
from guardrail_mw.friction.rungs import PluginSettings, RungSettings
from guardrail_mw.stores.base import Change

from .kit import DELAY, DENY, KEY, MINUTE, NOW, TRIM, carried_out, friction, ladder, person

HALF = 30 * MINUTE
FULL = ladder(DELAY, TRIM, DENY)


def name(step: Step) -> str | None:
    return step.rung.name if step.rung is not None else None


def would(step: Step) -> str | None:
    return step.would.name if step.would is not None else None


def on(rung: str, risk: float = 0.0, met: int = 0) -> dict[str, str]:
    """The standing of an account that came onto a rung a minute ago, and whose remembered risk is `risk` now."""
    fields = {"rung": f"{rung} {NOW - MINUTE}"}
    if risk:
        fields["heat"] = str(memory.heat(risk, NOW, HALF))
    return fields | ({"met": str(met)} if met else {})


def puzzles(*rungs: Any, cleared: Any = None, **section: Any) -> Ladder:
    """A ladder with rungs whose plugins nobody has installed."""
    settings = friction(**section).model_copy(update={"ladder": [_rung(each) for each in rungs]})
    return Ladder(settings, key=KEY) if cleared is None else Ladder(settings, key=KEY, cleared=cleared)


def _rung(rung: dict[str, Any]) -> RungSettings:
    if rung["do"] not in {"challenge", "verify"}:
        return friction(rung).ladder[0]
    plain = RungSettings.model_validate(rung)
    return plain.model_copy(update={"with_": PluginSettings(use="some")})


CHALLENGE = {"at": 50, "do": "challenge"}
VERIFY = {"at": 75, "do": "verify"}


def test_a_calm_request_of_whom_nothing_is_remembered_passes() -> None:
    assert FULL.step(person(fields={"since": "1"}), 12, 1) == Step(None, None, 12, None, (), False, (), 1)


@pytest.mark.parametrize(
    ("risk", "families", "rung"),
    [(0, 0, None), (26.9, 3, None), (33.1, 1, "delay"), (44, 1, "delay"), (56, 1, "trim"), (90, 2, "trim"), (96, 2, "deny")],
)
def test_the_highest_rung_that_the_risk_reaches(risk: float, families: int, rung: str | None) -> None:
    assert name(FULL.step(person(), risk, families)) == rung


def test_deny_and_verify_need_two_families_else_the_rung_below_acts() -> None:
    step = FULL.step(person(), 100, 1)
    assert (name(step), step.why) == ("trim", ("one-family",))
    steps = puzzles(DELAY, CHALLENGE, VERIFY)
    assert name(steps.step(person(), 90, 1)) == "challenge"
    assert name(steps.step(person(), 90, 2)) == "verify"


def test_who_came_onto_a_rung_with_two_families_stays_on_it_without() -> None:
    step = FULL.step(person(fields=on("deny", 99)), 0, 0)
    assert (name(step), step.why, step.changes) == ("deny", (), ())
    assert name(FULL.step(person(fields=on("trim", 99)), 0, 0)) == "trim"


def test_what_is_remembered_halves_with_every_half_life() -> None:
    fields = carried_out({}, FULL.step(person(), 80, 1).changes)
    later = [FULL.step(person(fields=fields, now=NOW + HALF * count), 0, 0) for count in (0, 1, 2, 7)]
    assert [round(step.effective, 3) for step in later] == [80, 40, 20, 0]  # 80 / 128 is less than a point
    assert [name(step) for step in later] == ["trim", "delay", None, None]


def test_what_is_remembered_is_a_risk() -> None:
    assert memory.remembered(memory.heat(100, NOW, HALF) + 5 * HALF, NOW, HALF) == 100
    assert memory.remembered(memory.heat(60, NOW, HALF), NOW, HALF) == pytest.approx(60)
    assert [memory.remembered(NOW + ahead, NOW, HALF) for ahead in (1, 0, -1)] == [pytest.approx(1), 1, 0]


def test_a_delay_is_jittered() -> None:
    rung = ladder({**DELAY, "with": {"seconds": 2, "jitter": "25%"}}).rungs[0]
    assert [rung.seconds(draw) for draw in (0, 0.5, 1)] == [1.5, 2, 2.5]


def test_coming_onto_a_rung_is_remembered_and_so_is_leaving_it() -> None:
    step = FULL.step(person(), 60, 1)
    hot = str(NOW + round(HALF * 5.906890595608519))  # log2 60
    assert step.changes == (Change("max", "heat", hot), Change("set", "rung", f"trim {NOW}"))
    assert step.entered
    assert FULL.thresholds("a:one")[1] == step.at
    left = FULL.step(person(fields=on("trim", met=3)), 1, 1)
    assert (left.rung, left.entered) == (None, False)
    assert left.changes == (Change("unset", "rung"), Change("unset", "met"))


def test_going_down_is_no_entry() -> None:
    step = FULL.step(person(fields=on("deny", 60)), 0, 0)
    assert (name(step), step.entered) == ("trim", False)
    assert step.changes == (Change("set", "rung", f"trim {NOW}"),)


def test_nothing_is_written_while_nothing_changes() -> None:
    fields = on("trim", 60)
    assert FULL.step(person(fields=fields), 60.9, 1).changes == ()
    grown = FULL.step(person(fields=fields), 61.1, 1).changes
    assert grown == (Change("max", "heat", str(memory.heat(61.1, NOW, HALF))),)


def test_a_risk_that_reaches_nothing_is_not_remembered() -> None:
    assert FULL.step(person(fields=on("delay", 40)), 20, 1).changes == ()
    assert FULL.step(person(), 26, 1).changes == ()


@pytest.mark.parametrize("second", [{**TRIM, "at": 60}, {**DELAY, "at": 60, "name": "slower"}], ids=["kind", "name"])
def test_the_thresholds_of_one_account_move_independently(second: dict[str, Any]) -> None:
    """Whoever finds one of them out knows nothing of the next. At 40 and at 60 both lie up to 4 points to either side."""
    first, other = ladder({**DELAY, "at": 40}, second).rungs
    moved = [(first.threshold(who) - 40, other.threshold(who) - 60) for who in (f"a:{index}" for index in range(1000))]
    assert all(-4 <= by <= 4 for pair in moved for by in pair)
    same_side = sum((one > 0) == (two > 0) for one, two in moved)
    assert 436 <= same_side <= 564  # 500, and four standard deviations of 16
    apart = sum(abs(one - two) for one, two in moved) / 1000
    assert apart == pytest.approx(8 / 3, abs=0.25)  # two evenly drawn from a span of 8 are a third of it apart; four of 0.06


def test_a_rung_that_the_ladder_moves_keeps_its_threshold() -> None:
    alone, behind = ladder(TRIM).rungs[0], ladder(DELAY, TRIM).rungs[1]
    assert [alone.threshold(f"a:{index}") for index in range(50)] == [behind.threshold(f"a:{index}") for index in range(50)]


def test_hysteresis_holds_five_points_below_the_threshold() -> None:
    threshold = FULL.thresholds("a:one")[1]
    held = FULL.step(person(fields=on("trim")), threshold - 4.9, 1)
    assert (name(held), held.why) == ("trim", ("hysteresis",))
    assert name(FULL.step(person(fields=on("trim")), threshold - 5.1, 1)) == "delay"
    assert name(FULL.step(person(), threshold - 4.9, 1)) == "delay"
    assert name(FULL.step(person(fields=on("delay")), threshold - 0.1, 1)) == "delay"  # it is for leaving, not for coming


def test_a_rung_lower_than_the_hysteresis_is_left_at_half() -> None:
    low = ladder({"at": 4, "do": "delay"})
    threshold = low.thresholds("a:one")[0]
    assert name(low.step(person(fields=on("delay")), threshold / 2 + 0.1, 1)) == "delay"
    assert name(low.step(person(fields=on("delay")), threshold / 2 - 0.1, 1)) is None


def test_the_anonymous_are_not_remembered() -> None:
    fields = {**on("trim", 90), "override": "deny 0"}
    step = FULL.step(person("n:net", fields, anonymous=True), 60, 1)
    assert (name(step), step.changes, step.entered) == ("trim", (), True)
    assert FULL.step(person("n:net", fields, anonymous=True), 5, 1).rung is None


class TestUp:
    STEPS = ladder({**DELAY, "up": 3}, {**TRIM, "up": 2}, DENY)

    def walk(self, count: int, risk: float = 40, families: int = 2) -> list[Step]:
        fields: dict[str, str] = {}
        steps = []
        for _ in range(count):
            steps.append(self.STEPS.step(person(fields=fields), risk, families))
            fields = carried_out(fields, steps[-1].changes)
        self.fields = fields
        return steps

    def test_after_so_many_requests_met_the_next_rung_acts(self) -> None:
        steps = self.walk(8)
        assert [name(step) for step in steps] == ["delay"] * 3 + ["trim"] * 2 + ["deny"] * 3
        assert [step.entered for step in steps] == [True, False, False, True, False, True, False, False]
        assert [step.why for step in steps[2:4]] == [(), ("up",)]

    def test_what_it_led_to_is_remembered_beside_the_rung_that_counts(self) -> None:
        self.walk(4)
        assert self.fields["rung"] == f"delay {NOW} trim"
        self.walk(9)
        assert (self.fields["rung"], self.fields["met"]) == (f"delay {NOW} deny", "5")  # counted no further than it leads

    def test_a_burst_that_passes_the_count_still_enters_once(self) -> None:
        step = self.STEPS.step(person(fields=on("delay", 40, met=4)), 0, 0)
        assert (name(step), step.entered) == ("trim", True)
        after = carried_out(on("delay", 40, met=4), step.changes)
        assert not self.STEPS.step(person(fields=after), 0, 0).entered

    def test_evidence_is_asked_of_what_it_leads_to(self) -> None:
        steps = self.walk(8, families=1)
        assert [name(step) for step in steps] == ["delay"] * 3 + ["trim"] * 5
        assert steps[-1].why == ("up", "one-family")

    def test_a_greater_risk_never_acts_less(self) -> None:
        fields = on("delay", 40, met=5)  # leads to deny
        step = self.STEPS.step(person(fields=fields), 60, 2)
        assert name(step) == "deny"
        assert carried_out(fields, step.changes)["rung"].startswith("delay ")

    def test_one_request_can_be_enough(self) -> None:
        steps = ladder({**DELAY, "up": 1}, TRIM)
        fields = carried_out({}, steps.step(person(), 40, 1).changes)
        assert fields["met"] == "1"
        assert name(steps.step(person(fields=fields), 40, 1)) == "trim"

    def test_leaving_the_rung_ends_it(self) -> None:
        step = self.STEPS.step(person(fields=on("delay", 5, met=5)), 0, 0)
        assert (step.rung, step.changes) == (None, (Change("unset", "rung"), Change("unset", "met")))


class TestShadowAndRollout:
    def test_a_rung_in_shadow_lets_the_one_below_act(self) -> None:
        step = ladder(DELAY, {**TRIM, "shadow": True}).step(person(), 60, 1)
        assert (name(step), would(step), step.why) == ("delay", "trim", ("shadow",))

    def test_a_switch_turns_a_rung_to_shadow(self) -> None:
        step = ladder(DELAY, TRIM, shadowed=frozenset({"delay"})).step(person(), 40, 1)
        assert (step.rung, would(step), step.why, step.entered) == (None, "delay", ("shadow",), False)
        assert [change.field for change in step.changes] == ["heat"]

    def test_a_rollout_of_nothing_much_acts_on_nobody_here(self) -> None:
        step = ladder(DELAY, rollout="0.000001%").step(person(), 60, 1)
        assert (step.rung, would(step), step.why) == (None, "delay", ("not-rolled-out",))

    def test_a_rung_s_own_rollout_stands_above_the_section_s(self) -> None:
        assert name(ladder({**DELAY, "rollout": "100%"}, rollout="0.000001%").step(person(), 60, 1)) == "delay"

    def test_a_tenth_of_accounts_is_a_tenth(self) -> None:
        rung = ladder(DELAY, rollout="10%").rungs[0]
        acted = sum(rung.rolled_out(f"a:{index}") for index in range(5000))
        assert 420 <= acted <= 580  # 500, and four standard deviations of 21

    @pytest.mark.parametrize(
        "other",
        [{**TRIM, "name": "other"}, {**TRIM, "name": "one", "with": {"refuse": ["n"]}}, {**DELAY, "name": "one"}],
        ids=["another name", "other settings", "another kind"],
    )
    def test_it_is_another_tenth_for_another_rung(self, other: dict[str, Any]) -> None:
        """So that nobody is the first to meet whatever is tried out."""
        one, two = (ladder(each, rollout="10%").rungs[0] for each in ({**TRIM, "name": "one"}, other))
        everybody = [f"a:{index}" for index in range(5000)]
        first, second = ({who for who in everybody if rung.rolled_out(who)} for rung in (one, two))
        assert len(first) >= 420
        assert len(second) >= 420
        assert 22 <= len(first & second) <= 78  # a tenth of a tenth, 50, and four standard deviations of 7

    def test_a_rung_that_is_moved_keeps_whom_it_acts_on(self) -> None:
        one, two = (ladder({**TRIM, "at": at}, rollout="10%").rungs[0] for at in (50, 70))
        assert all(one.rolled_out(f"a:{index}") == two.rolled_out(f"a:{index}") for index in range(500))


class TestOperators:
    @pytest.mark.parametrize("until", ["0", str(NOW + 1)])
    def test_allow_keeps_every_rung_away(self, until: str) -> None:
        step = FULL.step(person(fields={"override": f"allow {until}", **on("trim", 90)}), 99, 3)
        assert (step.rung, step.would, step.why, step.changes) == (None, None, ("override",), ())

    def test_an_override_ends(self) -> None:
        step = FULL.step(person(fields={"override": f"allow {NOW}"}), 60, 1)
        assert (name(step), step.why) == ("trim", ())

    def test_a_rung_s_name_puts_somebody_on_it_whatever_the_risk(self) -> None:
        step = ladder(DELAY, TRIM, DENY, rollout="0.000001%").step(person(fields={"override": "trim 0"}), 0, 0)
        assert (name(step), step.why, step.entered, step.changes) == ("trim", ("override",), False, ())

    def test_deny_denies_where_no_rung_does(self) -> None:
        for steps in (ladder(), ladder(DELAY)):
            step = steps.step(person(fields={"override": "deny 0"}), 0, 0)
            assert step.rung is not None
            assert (step.rung.do, step.rung.name) == ("deny", "deny")
        named = ladder({**DENY, "name": "stop"}).step(person(fields={"override": "deny 0"}), 0, 0)
        assert name(named) == "stop"

    def test_a_rung_in_shadow_does_not_act_for_an_operator_either(self) -> None:
        step = ladder(DELAY, TRIM, shadowed=frozenset({"trim"})).step(person(fields={"override": "trim 0"}), 0, 0)
        assert (step.rung, would(step), step.why) == (None, "trim", ("override", "shadow"))

    def test_a_rung_that_is_gone_is_said_and_passed_over(self) -> None:
        step = FULL.step(person(fields={"override": "jail 0"}), 60, 1)
        assert (name(step), step.why) == ("trim", ("unknown-override",))

    def test_the_allow_lane(self) -> None:
        steps = ladder(DELAY, allow=[{"organisation": "internal"}])
        step = steps.step(person(organisation="internal"), 60, 1)
        assert (step.rung, step.why, step.changes) == (None, ("allow-lane",), ())
        assert name(steps.step(person(organisation="other"), 60, 1)) == "delay"

    def test_of_the_caps_that_hold_the_mildest_counts(self) -> None:
        caps = [{"when": {"tier": "gold"}, "most": "trim"}, {"when": {"route": "/v1/models"}, "most": "allow"}]
        steps = ladder(DELAY, TRIM, DENY, caps=caps)
        gold = steps.step(person(tier="gold"), 99, 2)
        assert (name(gold), gold.why) == ("trim", ("capped",))
        both = steps.step(person(tier="gold", route=("/v1/models",)), 99, 2)
        assert (both.rung, both.would, both.why) == (None, None, ("capped",))

    def test_a_rung_that_the_policy_no_longer_has_is_forgotten(self) -> None:
        assert FULL.step(person(fields={"rung": "old 1", "met": "2"}), 0, 0).changes == (
            Change("unset", "rung"),
            Change("unset", "met"),
        )


class TestSolving:
    def test_who_cannot_solve_meets_something_else(self) -> None:
        steps = puzzles(DELAY, {**CHALLENGE, "otherwise": "trim"})
        step = steps.step(person(solves=frozenset()), 60, 1)
        assert step.rung is not None
        assert (step.rung.name, step.rung.do, step.why) == ("challenge", "trim", ("otherwise",))
        assert name(steps.step(person(), 60, 1)) == "challenge"

    def test_otherwise_does_as_the_ladder_does_it(self) -> None:
        steps = puzzles({**DELAY, "with": {"seconds": 3}}, {**CHALLENGE, "otherwise": "delay"})
        step = steps.step(person(solves=frozenset()), 60, 1)
        assert step.rung is not None
        assert step.rung.seconds(0.5) == 3

    def test_otherwise_allow_lets_them_pass(self) -> None:
        steps = puzzles(DELAY, {**CHALLENGE, "otherwise": "allow"})
        step = steps.step(person(solves=frozenset()), 60, 1)
        assert (step.rung, step.why, step.entered) == (None, ("otherwise",), False)

    def test_otherwise_deny_still_needs_two_families(self) -> None:
        steps = puzzles(DELAY, {**CHALLENGE, "otherwise": "deny"})
        assert name(steps.step(person(solves=frozenset()), 60, 1)) == "delay"
        step = steps.step(person(solves=frozenset()), 60, 2)
        assert step.rung is not None
        assert step.rung.do == "deny"

    def test_a_challenge_that_was_passed_lets_the_rung_below_act(self) -> None:
        def cleared(_: Person, rung: Rung) -> bool:
            return rung.name == "challenge"

        step = puzzles(DELAY, CHALLENGE, cleared=cleared).step(person(), 60, 1)
        assert (name(step), step.why) == ("delay", ("cleared",))

    def test_a_verification_satisfies_every_rung_below_and_none_above(self) -> None:
        def cleared(_: Person, rung: Rung) -> bool:
            return rung.name == "verify"

        steps = puzzles(DELAY, CHALLENGE, VERIFY, DENY, cleared=cleared)
        for risk in (40, 60, 80):
            step = steps.step(person(), risk, 2)
            assert (step.rung, step.why) == (None, ("cleared",))
        assert name(steps.step(person(), 100, 2)) == "deny"
        assert steps.step(person(), 100, 1).rung is None


class TestLower:
    def test_the_rung_below_acts_where_the_budget_is_spent(self) -> None:
        who = person()
        step = FULL.step(who, 60, 1)
        lower = FULL.lower(who, step)
        assert (name(lower), lower.why, lower.entered) == ("delay", ("budget",), True)
        assert lower.changes == (step.changes[0], Change("set", "rung", f"delay {NOW}"))
        assert lower.effective == 60

    def test_below_the_lowest_there_is_none(self) -> None:
        who = person()
        lower = FULL.lower(who, FULL.step(who, 40, 1))
        assert (lower.rung, lower.entered) == (None, False)
        assert [change.field for change in lower.changes] == ["heat"]

    def test_it_is_asked_again_with_the_next_request(self) -> None:
        who = person()
        fields = carried_out({}, FULL.lower(who, FULL.step(who, 60, 1)).changes)
        again = FULL.step(person(fields=fields), 60, 1)
        assert (name(again), again.entered) == ("trim", True)

    def test_what_up_led_to_is_not_remembered_and_not_counted_past(self) -> None:
        steps = ladder({**DELAY, "up": 3}, {**TRIM, "up": 2}, DENY)
        who = person(fields=on("delay", 40, met=3))
        step = steps.step(who, 0, 2)
        assert (name(step), step.entered) == ("trim", True)
        lower = steps.lower(who, step)
        assert (name(lower), lower.changes) == ("delay", ())

    def test_where_nothing_acts_there_is_nothing_lower(self) -> None:
        who = person()
        step = FULL.step(who, 1, 1)
        assert FULL.lower(who, step) is step


class TestEnds:
    """Where one figure more or less decides."""

    def test_a_risk_at_the_threshold_reaches_it(self) -> None:
        at = FULL.thresholds("a:one")[1]
        assert name(FULL.step(person(), at, 1)) == "trim"
        assert name(FULL.step(person(), at - 1e-9, 1)) == "delay"

    def test_every_step_says_how_many_families_it_rests_on(self) -> None:
        faded = {"heat": str(memory.heat(5, NOW, HALF))}
        ruled = {"override": "deny 0"}
        fields: list[dict[str, str]] = [{}, faded, ruled, on("delay", 40)]
        assert [FULL.step(person(fields=each), 7, 3).families for each in fields] == [3, 3, 3, 3]

    def test_who_leaves_a_rung_for_a_lower_one_has_its_growing_risk_written_whatever_the_step(self) -> None:
        """On deny with 60 remembered, 60.5 comes: less than a point more, but it is another rung."""
        step = FULL.step(person(fields=on("deny", 60)), 60.5, 1)
        assert name(step) == "trim"
        heat = Change("max", "heat", str(memory.heat(60.5, NOW, HALF)))
        assert step.changes == (heat, Change("set", "rung", f"trim {NOW}"))

    def test_the_lowest_risk_that_matters_is_written(self) -> None:
        """At most 30 less a tenth of it, 27, less the five of hysteresis."""
        assert FULL.step(person(fields=on("delay")), 22, 1).changes[0].field == "heat"
        assert "heat" not in [change.field for change in FULL.step(person(fields=on("delay")), 21.9, 1).changes]

    def test_what_is_in_shadow_above_and_below_the_higher_is_said(self) -> None:
        """`up` leads from delay to a trim and a deny that are in shadow, and delay itself is."""
        steps = ladder({**DELAY, "up": 1, "shadow": True}, {**TRIM, "up": 1, "shadow": True}, {**DENY, "shadow": True})
        step = steps.step(person(fields=on("delay", 40, met=2)), 0, 2)
        assert (step.rung, would(step), step.why) == (None, "delay", ("shadow",))
        shown = ladder({**DELAY, "up": 1}, {**TRIM, "up": 1, "shadow": True}, {**DENY, "shadow": True})
        step = shown.step(person(fields=on("delay", 40, met=2)), 0, 2)
        assert (name(step), would(step), step.why) == ("delay", "deny", ("shadow",))
