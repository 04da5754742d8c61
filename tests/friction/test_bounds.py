"""Settings at their bounds: what just fits, what just does not, and what the policy is told to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.friction.rung import SEVERITY, operators
from guardrail_mw.friction.rungs import PluginSettings, RungSettings
from guardrail_mw.friction.trim import TrimSettings

from .kit import DELAY, DENY, KEY, TRIM, friction, ladder, person

WHEN = {"tier": "free"}


def wait(seconds: float) -> dict[str, Any]:
    return {**DELAY, "with": {"seconds": seconds}}


@pytest.mark.parametrize(
    ("rungs", "section"),
    [
        ([{**DELAY, "up": 1}, TRIM], {}),
        ([{**DELAY, "up": 1_000_000}, TRIM], {}),
        ([wait(60)], {"delays": {"at_most": "60s"}}),
        ([wait(10)], {"delays": {"at_most": "10s"}}),
        ([DELAY], {"delays": {"at_once": 0}}),
        ([DELAY], {"delays": {"at_once": 1_000_000}}),
        ([DELAY], {"allow": [WHEN] * 64}),
        ([DELAY], {"caps": [{"when": WHEN, "most": "delay"}] * 64}),
        ([DELAY], {"decay": "1s"}),
        ([DELAY], {"decay": "30d"}),
        ([DELAY], {"hysteresis": 0}),
        ([DELAY], {"hysteresis": 50}),
        ([DELAY], {"false_positives": "20/hour"}),
        ([DELAY], {"false_positives": "20/week"}),
        ([{**TRIM, "with": {"rewrite": [{"max_tokens": 1}]}}], {}),
        ([{**TRIM, "with": {"refuse": [{"max_tokens": 10_000_000}]}}], {}),
    ],
)
def test_what_just_fits(rungs: list[Any], section: dict[str, Any]) -> None:
    friction(*rungs, **section)


@pytest.mark.parametrize(
    ("rungs", "section"),
    [
        ([{**DELAY, "up": 0}, TRIM], {}),
        ([{**DELAY, "up": 1_000_001}, TRIM], {}),
        ([wait(0)], {}),
        ([wait(60.5)], {"delays": {"at_most": "60s"}}),
        ([wait(10.5)], {"delays": {"at_most": "10s"}}),
        ([DELAY], {"delays": {"at_once": -1}}),
        ([DELAY], {"delays": {"at_once": 1_000_001}}),
        ([DELAY], {"allow": [WHEN] * 65}),
        ([DELAY], {"caps": [{"when": WHEN, "most": "delay"}] * 65}),
        ([DELAY], {"decay": "999ms"}),
        ([DELAY], {"decay": "31d"}),
        ([DELAY], {"hysteresis": -1}),
        ([DELAY], {"hysteresis": 51}),
        ([DELAY], {"false_positives": "20/month"}),
        ([{**TRIM, "with": {"rewrite": []}}], {}),
        ([{**TRIM, "with": {"refuse": []}}], {}),
        ([{**TRIM, "with": {"rewrite": [{"max_tokens": 0}]}}], {}),
        ([{**TRIM, "with": {"refuse": [{"max_tokens": 10_000_001}]}}], {}),
        ([{**DELAY, "at": 0}], {}),
        ([{**DELAY, "at": 101}], {}),
    ],
)
def test_what_just_does_not(rungs: list[Any], section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        friction(*rungs, **section)


@pytest.mark.parametrize(
    ("rungs", "section", "found"),
    [
        ([DELAY], {"false_positives": "1.5/day"}, ("", "has decimals, and accounts are whole.", "Write a whole number.")),
        ([DELAY], {"false_positives": "9/month"},
         ("", "is by the month; expected hour, day or week.", "Write 20/day, for instance.")),
        ([{**DELAY, "name": "none"}], {}, ("", "`none` means something else in an override.", "Choose another name.")),
        ([{**DELAY, "otherwise": "trim"}], {},
         ("", "has no effect: nobody has to solve anything on this rung.", "Leave it out.")),
        ([DELAY], {"delays": {"at_most": "2m"}},
         ("", "is longer than a minute, and clients give up before.", "Deny rather than wait so long.")),
        ([DELAY], {"decay": "31d"}, ("", "is not between 1s and 30d.", "30m forgives an hour's calm.")),
        ([TRIM, {**DELAY, "at": 50}], {},
         ("ladder.1.at", "is not above the rung before it, at 50.", "Write rungs lowest first.")),
        ([DELAY, {**DELAY, "at": 60}], {},
         ("ladder.1.do", "makes a second `delay`, as ladder[0] is.", "Give it a `name` of its own.")),
        ([wait(11)], {}, ("ladder.0.with.seconds", "is more than `delays.at_most`, 10s.", "Wait less, or allow more there.")),
        ([{**DELAY, "up": 3}], {}, ("ladder.0.up", "has no rung above it to go up to.", "Leave it out, or add a rung.")),
        ([{**TRIM, "with": {"rewrite": ["n"], "refuse": ["n"]}}], {},
         ("refuse.0", "names `n` again.", "Name it once, in one of the lists.")),
        ([{**TRIM, "with": {"rewrite": [{"max_tokens": 5}, {"max_tokens": 6}]}}], {},
         ("rewrite.1", "names `max_tokens` again.", "Name it once, in one of the lists.")),
        ([{**TRIM, "with": {"rewrite": ["batch"]}}], {},
         ("rewrite.0", "cannot be rewritten: a batch has no smaller form.", "Name it under `refuse`.")),
    ],
)  # fmt: skip
def test_each_refusal_says_where_and_what_to_do(rungs: list[Any], section: dict[str, Any], found: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        friction(*rungs, **section)
    problems = [problem for error in caught.value.errors() for problem in error.get("ctx", {}).get("problems", ())]
    assert [(problem.path, problem.message, problem.hint) for problem in problems] == [found]


def test_kinds_by_severity() -> None:
    assert SEVERITY == {"allow": 0, "delay": 1, "trim": 2, "challenge": 3, "verify": 4, "deny": 5}


def test_a_rung_of_an_operators_own() -> None:
    rung = operators("deny", KEY)
    assert (rung.index, rung.name, rung.do, rung.at, rung.shadow, rung.up) == (-1, "deny", "deny", 100, False, 0)
    assert rung.rolled_out("a:one")


def test_what_a_rung_does_is_its_own() -> None:
    """A rung that trims trims what it says; one that waits waits as it says; the others have the usual at hand."""
    slow, cut, deny = ladder(wait(2), {**TRIM, "with": {"refuse": ["n"]}}, DENY).rungs
    assert (slow.wait.seconds, deny.wait.seconds) == (2, 0.5)
    assert cut.trim is not deny.trim
    assert [rung.use for rung in (slow, cut, deny)] == ["", "", ""]


def test_the_code_of_a_rung_tells_its_settings() -> None:
    plain = friction(DELAY).ladder[0].fingerprint()
    assert len(plain) == 16
    assert friction({**DELAY, "at": 40}).ladder[0].fingerprint() == plain, "where it begins is no matter"
    assert friction(wait(2)).ladder[0].fingerprint() != plain
    assert friction({**DELAY, "name": "slow"}).ladder[0].fingerprint() != plain
    turned = friction({**TRIM, "with": {"refuse": ["n"], "rewrite": ["logprobs"]}}).ladder[0].fingerprint()
    assert friction({**TRIM, "with": {"rewrite": ["logprobs"], "refuse": ["n"]}}).ladder[0].fingerprint() == turned


def test_what_is_usual() -> None:
    assert friction(TRIM).ladder[0].with_ == TrimSettings()
    assert friction(DENY).ladder[0].with_ is not None
    assert RungSettings.model_validate(dict(DELAY)).with_ == {}
    assert PluginSettings(use="a").use == "a"
    for use in ("", "x" * 65):
        with pytest.raises(ValidationError):
            PluginSettings(use=use)
    assert person().solves is None


def test_nothing_remembered_matters_unless_it_is_heat_a_rung_or_an_override() -> None:
    steps = ladder(DELAY)
    assert steps.forgets({})
    assert steps.forgets({"since": "1", "proved": "1"})
    for field in ("heat", "rung", "override"):
        assert not steps.forgets({field: "x"})


def test_conditions_and_their_places() -> None:
    section = friction(DELAY, allow=[WHEN], caps=[{"when": WHEN, "most": "delay"}])
    assert [place for place, _ in section.whens()] == [("allow", 0), ("caps", 0, "when")]
