"""Settings of friction: what loads, and what is refused, at which place."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw import plugins
from guardrail_mw.friction.rungs import ChallengeSettings, RungSettings
from guardrail_mw.friction.settings import FrictionSettings
from guardrail_mw.settings import Settings

from .kit import DELAY, DENY, TRIM, friction

CHALLENGE = {"at": 50, "do": "challenge", "with": {"use": "altcha", "difficulty": 3}}
VERIFY = {"at": 75, "do": "verify", "with": {"use": "step_up", "acr": "urn:example:kyc"}}


class PuzzleSettings(Settings):
    difficulty: int = 1


class Puzzle:
    Settings = PuzzleSettings


class StepUpSettings(Settings):
    acr: str


class StepUp:
    Settings = StepUpSettings


KINDS: dict[str, dict[str, type]] = {"challenges": {"altcha": Puzzle}, "verifiers": {"step_up": StepUp}}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A challenge and a verifier, as installed plugins are."""
    monkeypatch.setattr(plugins, "installed", KINDS.__getitem__)
    monkeypatch.setattr(plugins, "load", lambda kind, name: KINDS[kind][name])


def refusals(*rungs: Any, **section: Any) -> list[tuple[str, str]]:
    """(place, message) of everything that is wrong with a section."""
    with pytest.raises(ValidationError) as caught:
        friction(*rungs, **section)
    found = []
    for error in caught.value.errors():
        loc = ".".join(map(str, error["loc"]))
        problems = error.get("ctx", {}).get("problems")
        if problems is None:
            found.append((loc, error["type"]))
        else:
            found += [(".".join(filter(None, (loc, each.path))), each.message) for each in problems]
    return found


def test_nothing_said_is_no_ladder() -> None:
    section = FrictionSettings()
    assert section.ladder == []
    assert (str(section.rollout), section.delays.at_once, str(section.delays.at_most)) == ("100%", 200, "10s")
    assert (section.hysteresis, str(section.decay), section.false_positives) == (5, "30m", None)


@pytest.mark.usefixtures("installed")
def test_the_design_s_ladder_loads_once_its_plugins_are_there() -> None:
    section = friction(
        {"at": 30, "do": "delay", "with": {"seconds": 0.5}},
        {**CHALLENGE, "otherwise": "trim"},
        VERIFY,
        DENY,
        rollout="5%",
        delays={"at_once": 200, "at_most": "10s"},
        false_positives="20/day",
        allow=[{"organisation": "internal"}],
    )
    assert section.names() == ("delay", "challenge", "verify", "deny")
    challenge = section.ladder[1]
    assert isinstance(challenge, ChallengeSettings)
    assert (challenge.otherwise, challenge.with_.own) == ("trim", {"difficulty": 3})
    assert [place for place, _ in section.whens()] == [("allow", 0)]


def test_a_plugin_that_is_missing_is_named() -> None:
    there = "altcha, hcaptcha, recaptcha, turnstile"
    assert refusals({**CHALLENGE, "with": {"use": "riddle"}}, {**VERIFY, "with": {"use": "oracle"}}) == [
        (
            "ladder.0.challenge.with.use",
            f"names `riddle`, a plugin that is missing among the challenges; installed: {there}.",
        ),
        (
            "ladder.1.verify.with.use",
            "names `oracle`, a plugin that is missing among the verifiers; installed: identity, step_up.",
        ),
    ]


@pytest.mark.usefixtures("installed")
def test_a_plugin_s_own_settings_fail_at_their_place() -> None:
    bad = {**CHALLENGE, "with": {"use": "altcha", "difficulty": "x", "colour": "red"}}
    assert refusals(bad, {**VERIFY, "with": {"use": "step_up"}}) == [
        ("ladder.0.challenge.with.difficulty", "int_type"),
        ("ladder.0.challenge.with.colour", "extra_forbidden"),
        ("ladder.1.verify.with.acr", "missing"),
    ]


@pytest.mark.usefixtures("installed")
def test_a_near_name_is_offered() -> None:
    with pytest.raises(ValidationError) as caught:
        friction({**CHALLENGE, "with": {"use": "altca"}})
    assert caught.value.errors()[0]["ctx"]["problems"][0].hint == "Did you mean `altcha`?"


@pytest.mark.parametrize(
    ("rungs", "section", "found"),
    [
        ([TRIM, {**DELAY, "at": 50}], {}, ("ladder.1.at", "is not above the rung before it, at 50.")),
        ([DELAY, {**DELAY, "at": 40}], {}, ("ladder.1.do", "makes a second `delay`, as ladder[0] is.")),
        ([{**DELAY, "name": "a"}, {**TRIM, "name": "a"}], {}, ("ladder.1.name", "makes a second `a`, as ladder[0] is.")),
        ([{**DELAY, "with": {"seconds": 11}}], {}, ("ladder.0.with.seconds", "is more than `delays.at_most`, 10s.")),
        ([{**DENY, "up": 3}], {}, ("ladder.0.up", "has no rung above it to go up to.")),
        ([{**DENY, "name": "trim"}], {}, ("ladder.0.deny.name", "is what another kind of rung does, and this one does deny.")),
        ([{**DENY, "name": "allow"}], {}, ("ladder.0.deny.name", "`allow` means something else in an override.")),
        ([{**DENY, "name": "none"}], {}, ("ladder.0.deny.name", "`none` means something else in an override.")),
        ([{**DENY, "with": {"seconds": 1}}], {}, ("ladder.0.deny.with.seconds", "extra_forbidden")),
        (
            [{**DELAY, "otherwise": "trim"}],
            {},
            ("ladder.0.delay.otherwise", "has no effect: nobody has to solve anything on this rung."),
        ),
        ([{"at": 5, "do": "delai"}], {}, ("ladder.0.unknown.do", "literal_error")),
        ([{"at": 0, "do": "deny"}], {}, ("ladder.0.deny.at", "greater_than_equal")),
        ([{"at": 101, "do": "deny"}], {}, ("ladder.0.deny.at", "less_than_equal")),
        ([{**DELAY, "with": {"seconds": "1"}}], {}, ("ladder.0.delay.with.seconds", "float_type")),
        (
            [{**DENY, "false_positives": "3/month"}],
            {},
            ("ladder.0.deny.false_positives", "is by the month; expected hour, day or week."),
        ),
        ([], {"false_positives": "2.5/day"}, ("false_positives", "has decimals, and accounts are whole.")),
        ([], {"delays": {"at_most": "2m"}}, ("delays.at_most", "is longer than a minute, and clients give up before.")),
        ([], {"decay": "31d"}, ("decay", "is not between 1s and 30d.")),
        ([], {"decay": "999ms"}, ("decay", "is not between 1s and 30d.")),
        ([], {"hysteresis": 51}, ("hysteresis", "less_than_equal")),
        ([], {"caps": [{"when": {"tier": "x"}, "most": "jail"}]}, ("caps.0.most", "literal_error")),
    ],
)  # fmt: skip
def test_refusals(rungs: list[Any], section: dict[str, Any], found: tuple[str, str]) -> None:
    assert refusals(*rungs, **section) == [found]


def test_a_ladder_has_sixteen_rungs_at_most() -> None:
    rungs = [{"at": 10 + index, "do": "delay", "name": f"d{index}"} for index in range(17)]
    assert refusals(*rungs) == [("ladder", "too_long")]
    assert len(friction(*rungs[:16]).ladder) == 16


def test_a_fingerprint_is_of_what_a_rung_does() -> None:
    def fingerprint(**changes: Any) -> str:
        rung: RungSettings = friction({**DELAY, **changes}).ladder[0]
        return rung.fingerprint()

    base = fingerprint()
    assert {
        fingerprint(at=31),
        fingerprint(rollout="5%"),
        fingerprint(shadow=True),
        fingerprint(false_positives="1/day"),
    } == {base}
    assert len({base, fingerprint(**{"with": {"seconds": 1}}), fingerprint(name="x"), fingerprint(do="trim")}) == 4


def test_the_schema_knows_what_each_kind_is_made_with() -> None:
    schema = FrictionSettings.model_json_schema(by_alias=True)
    kinds = {option["$ref"].rpartition("/")[2] for option in schema["properties"]["ladder"]["items"]["oneOf"]}
    assert kinds == {"DelaySettings", "TrimRungSettings", "ChallengeSettings", "VerifySettings", "DenySettings"}
    assert schema["$defs"]["DelaySettings"]["properties"]["with"]["$ref"] == "#/$defs/WaitSettings"


def test_a_wait_of_a_minute_is_the_longest() -> None:
    assert friction(DELAY, delays={"at_most": "60s"}).delays.at_most.us == 60_000_000
    with pytest.raises(ValidationError):
        friction(DELAY, delays={"at_most": "61s"})
