"""Appeals that mean harm: texts that nothing can write, and items that nobody else can be heard in."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
