"""Proof of work: what is asked for, what solves it, and that nobody makes his own easier."""

from __future__ import annotations

import base64
import json
from inspect import isawaitable
from typing import Any

import altcha
import pytest
from pydantic import ValidationError

from guardrail_mw.friction.challenges import Asked, Challenger, Means
from guardrail_mw.friction.challenges.altcha import AltchaChallenger, AltchaSettings

pytestmark = pytest.mark.anyio

ASKED = Asked("the case", 0.0, 1_767_225_600_000_000, "puzzle")
KEY, OLD = b"k" * 32, b"o" * 32


def challenger(*keys: bytes, **settings: Any) -> AltchaChallenger:
    return AltchaChallenger(AltchaSettings.model_validate({"cost": 5, "prefix": "0", **settings}), Means(keys or (KEY,)))


def solved(challenge: Any, **changed: Any) -> str:
    """The library's own solver's answer, to parameters that may have been changed before."""
    document = {"parameters": {**challenge["parameters"], **changed}, "signature": challenge["signature"]}
    made = altcha.Challenge.from_dict(json.loads(json.dumps(document)))
    solution = altcha.solve_challenge(made)
    assert solution is not None
    return altcha.Payload(made, solution).to_base64()


async def judged(one: AltchaChallenger, answer: str, asked: Asked = ASKED) -> str:
    found = one.verify(asked, answer)
    return await found if isawaitable(found) else found


def test_it_is_a_challenger() -> None:
    assert isinstance(challenger(), Challenger)


async def test_the_librarys_solver_solves_it() -> None:
    one = challenger()
    challenge = one.issue(ASKED)
    assert (challenge["parameters"]["algorithm"], challenge["parameters"]["cost"]) == ("PBKDF2/SHA-256", 5)
    assert "expiresAt" not in challenge["parameters"]
    assert await judged(one, solved(challenge)) == "solved"


async def test_more_work_is_judged_beside_the_loop() -> None:
    one = challenger(cost=5_000)
    answer = solved(one.issue(ASKED))
    found = one.verify(ASKED, answer)
    assert isawaitable(found)
    assert await found == "solved"


def test_difficulty_rises_with_risk() -> None:
    """2000 rounds at the threshold, eight times as many at a risk of 100, half of the way 4.5 times."""
    one = challenger(cost=2_000)
    assert [one.cost(suspicion) for suspicion in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [2_000, 2_000, 9_000, 16_000, 16_000]
    assert one.issue(ASKED._replace(suspicion=1.0))["parameters"]["cost"] == 16_000


@pytest.mark.parametrize(
    "changed", [{"cost": 1}, {"keyPrefix": ""}, {"keyPrefix": "f"}, {"algorithm": "SHA-256"}, {"keyLength": 1}]
)
async def test_a_tampered_difficulty_solves_nothing(changed: dict[str, Any]) -> None:
    one = challenger()
    challenge = one.issue(ASKED)
    assert await judged(one, solved(challenge, **changed)) == "failed"


async def test_an_answer_solves_the_case_that_it_was_made_for_only() -> None:
    one = challenger()
    answer = solved(one.issue(ASKED))
    assert await judged(one, answer, ASKED._replace(case="another")) == "failed"
    challenge = one.issue(ASKED)
    assert await judged(one, solved(challenge, data={"case": "another"}), ASKED._replace(case="another")) == "failed"


async def test_keys_rotate() -> None:
    answer = solved(challenger(OLD).issue(ASKED))
    assert await judged(challenger(KEY, OLD), answer) == "solved"
    assert await judged(challenger(KEY), answer) == "failed"


async def test_a_wrong_counter_is_no_solution() -> None:
    one = challenger(prefix="000")
    payload = json.loads(base64.b64decode(solved(one.issue(ASKED))))
    payload["solution"]["counter"] += 1
    assert await judged(one, base64.b64encode(json.dumps(payload).encode()).decode()) == "failed"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "x",
        "e30=",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"challenge":1,"solution":2}').decode(),
        "A" * 20_000,
    ],
)
async def test_what_is_no_answer_is_none(answer: str) -> None:
    assert await judged(challenger(), answer) == "failed"


async def test_huge_rounds_that_we_did_not_sign_are_not_done() -> None:
    """The signature is looked at first: else one answer could keep a process busy for an hour."""
    one = challenger()
    challenge = one.issue(ASKED)
    document = {"parameters": {**challenge["parameters"], "cost": 10**9}, "signature": challenge["signature"]}
    payload = {"challenge": document, "solution": {"counter": 1, "derivedKey": "00" * 32}}
    assert await judged(one, base64.b64encode(json.dumps(payload).encode()).decode()) == "failed"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cost": 0}, "greater than or equal to 1"),
        ({"prefix": "xyz"}, "match pattern"),
        ({"cost": 10_000, "prefix": "0000"}, "at most 200,000,000 are bearable"),
        ({"immunity": "1s"}, "is not between 10s and 30d."),
        ({"expires": "2h"}, "is not between 30s and 1h."),
        ({"prefix": 0}, "is a number."),
    ],
)
def test_what_a_policy_cannot_ask_for(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AltchaSettings.model_validate(settings)
