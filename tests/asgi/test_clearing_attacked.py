"""Attacks on challenges: what must not crash, nor be cheap for whoever means ill, nor shut out who does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.policy import loads

from .kit import JSON, scope_of
from .test_clearing import CHALLENGE, challenge_of, guarded, robot, solve

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
