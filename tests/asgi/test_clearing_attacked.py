"""Attacks on challenges: what must not crash, nor be cheap for whoever means ill, nor shut out who does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.policy import loads

from .kit import JSON, scope_of
from .test_clearing import CHALLENGE, challenge_of, guarded, hand_in, robot, solve

pytestmark = pytest.mark.anyio


async def test_an_answer_is_judged_by_the_policy_under_which_it_began_to_come_in() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))
    body = json.dumps({"case": challenge["case"], "answer": solve(challenge)}).encode()
    bare = {name: part for name, part in site.guardrail.policy.written().items() if name != "friction"}

    async def receive() -> Any:
        site.guardrail.apply(loads(json.dumps(bare), environ={}))
        return {"type": "http.request", "body": body, "more_body": False}

    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), receive=receive)).status == 200


@pytest.mark.parametrize(("later", "first"), [(0, 200), (300, 403)])
async def test_answers_that_were_good_once_and_those_too_late_are_counted_among_the_wrong_ones(
    later: int, first: int
) -> None:
    """Judging one takes a derivation, and another challenge a round trip to the store."""
    site = guarded()
    challenge = challenge_of(await robot(site))
    work = solve(challenge)
    site.clock.advance(later)
    said = [(await hand_in(site, challenge, work)).status for _ in range(62)]
    assert said == [first] + [403] * (60 if first == 200 else 59) + [429] * (1 if first == 200 else 2)


async def test_answers_that_are_held_back_until_they_can_come_at_once_are_counted() -> None:
    site = guarded()
    challenge = challenge_of(await robot(site))

    async def late() -> Any:
        for _ in range(60):
            await hand_in(site, challenge, "x")
        return {"type": "http.request", "body": b"{}", "more_body": False}

    assert (await site.ask(scope_of(CHALLENGE, headers=[JSON]), receive=late)).status == 429
