"""Appeals that mean harm: texts that nothing can write, and items that nobody else can be heard in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardrail_mw.engine.appeals import Plea

from ..asgi.verifying import FORM, HTML, JSON, SAME, Guarded, guarded, path_of, refused, said, scope  # noqa: TID252

pytestmark = pytest.mark.anyio
MOST = 2_000


async def place(site: Guarded) -> str:
    """Where an account that was refused appeals."""
    return path_of(said(await refused(site))["appeal_url"])


async def texts(site: Guarded) -> list[str]:
    appeals = site.guardrail.engine.appeals
    assert appeals is not None
    (item,) = await appeals.listed()
    return [text for _, _, _, text in item.texts]


@pytest.mark.parametrize("headers", [(JSON,), (JSON, HTML)])
@pytest.mark.parametrize("times", [1, MOST + 1])
async def test_half_a_character_is_none(headers: Any, times: int) -> None:
    site = guarded()
    body = json.dumps({"text": "a\ud800" * times}).encode()  # JSON can write half a pair; UTF-8 cannot
    answer = await site.ask(scope(await place(site), "POST", *headers), body)
    assert answer.status in {200, 201} if times == 1 else answer.status == 413


async def test_a_page_takes_as_many_characters_as_it_promises_in_any_script() -> None:
    site = guarded()
    body = b"text=" + b"%E4%BD%A0" * MOST  # nine bytes each, as browsers send them
    answer = await site.ask(scope(await place(site), "POST", FORM, SAME, HTML), body)
    assert answer.status == 200
    assert await texts(site) == ["\u4f60" * MOST]


async def wrote(site: Guarded, path: str, text: str) -> int:
    body = json.dumps({"text": text}).encode()
    return (await site.ask(scope(path, "POST", JSON), body)).status


async def test_what_is_written_after_a_decision_is_read_too() -> None:
    site = guarded()
    path = await place(site)
    appeals = site.guardrail.engine.appeals
    assert appeals is not None
    for day in range(8):
        for number in range(3):
            site.clock.jump(1)
            assert await wrote(site, path, f"{day} {number}") == 201
        (item,) = await appeals.listed()
        await appeals.decide(item.id, granted=False, reason="no")
        site.clock.jump(86_400)
    kept = await texts(site)
    assert len(kept) == 20
    assert kept[-3:] == ["7 0", "7 1", "7 2"]


async def test_a_few_who_write_much_leave_room_for_who_has_not_been_heard() -> None:
    site = guarded()
    appeals = site.guardrail.engine.appeals
    assert appeals is not None
    now = site.clock.now()
    cluster = "c" * 12
    for number in range(24):  # eight accounts of a cluster, three times each
        site.clock.jump(1)
        plea = Plea(f"a:{number % 8}", cluster, "d", now, now + 1, "")
        assert await appeals.appeal(plea, f"we are many {number}") == "open"
    site.clock.jump(1)
    assert await appeals.appeal(Plea("a:office", cluster, "d", now, now + 1, ""), "We are an office.") == "open"
    (item,) = await appeals.listed()
    assert len(item.texts) == 20
    assert item.texts[-1][3] == "We are an office."
    assert item.accounts == (*[f"a:{number}" for number in range(8)], "a:office")
    assert item.times == 25
