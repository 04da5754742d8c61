"""Attacks on challenges: what must not crash, nor be cheap for whoever means ill, nor shut out who does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.policy import loads

from .kit import JSON, scope_of
from .test_clearing import CHALLENGE, challenge_of, filled_in, guarded, hand_in, hand_in_form, robot, shown, solve

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


@pytest.mark.parametrize("form", [b"a=*&b=%7E", b"a=%c3%a9", b"a=x%20y", b"a", b"a=1&&b=2", b"%FF=1", b"a='()!"])
async def test_a_form_comes_back_however_it_was_encoded(form: bytes) -> None:
    """Browsers leave `*` as it is and encode `~`; what we make of their fields must be what the case is sealed over."""
    site = guarded()
    fields = shown(await filled_in(site, form))
    found = await hand_in_form(site, {"case": fields["case"], "answer": solve(fields), "form": fields["form"]})
    assert (found.status, 'action="/ask"' in found.body.decode()) == (200, True)


@pytest.mark.parametrize("form", [b"a=" + b"*" * 65_000, b"a=" + b"%" * 65_000, b"a=" + b"%FF" * 21_000])
async def test_a_form_that_grows_as_it_is_encoded_does_not_keep_the_answer_out(form: bytes) -> None:
    site = guarded()
    fields = shown(await filled_in(site, form))
    said = {"case": fields["case"], "answer": solve(fields), **({"form": fields["form"]} if "form" in fields else {})}
    assert (await hand_in_form(site, said)).status in {200, 303}
