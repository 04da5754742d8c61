"""Calling an app in this process: lifespans of all kinds, and bounded time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from guardrail_mw.cli.asking import alive, scope_of, status_of

pytestmark = pytest.mark.anyio

SCOPE = scope_of("POST", "/x", [(b"host", b"localhost")])


async def answers(_scope: Any, receive: Any, send: Any) -> None:
    body = await receive()
    await send({"type": "http.response.start", "status": 201 if body["body"] == b"hello" else 400})
    await asyncio.Event().wait()  # a stream without end


async def hangs(_scope: Any, receive: Any, _send: Any) -> None:
    await receive()
    await receive()


async def raises(*_: Any) -> None:
    raise ValueError("secret")


async def silent(*_: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "seconds", "status"),
    [
        (answers, 60, 201),
        (hangs, 0.01, "no answer within 0.01 s"),
        (raises, 60, "raised ValueError"),
        (silent, 60, "ended without an answer"),
        (lambda: None, 60, "raised TypeError"),
    ],
)
async def test_an_answer_or_what_went_wrong(app: Any, seconds: float, status: int | str) -> None:
    assert await status_of(app, SCOPE, b"hello", seconds) == status


async def test_the_lifespan_is_begun_its_state_given_and_ended() -> None:
    said: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("startup", "shutdown"):
            said.append((await receive())["type"])
            scope["state"]["ready"] = True
            await send({"type": f"lifespan.{kind}.complete"})

    async with alive(app) as state:
        assert state == {"ready": True}
        assert said == ["lifespan.startup"]
    assert said == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("app", [raises, silent], ids=["raises", "returns"])
async def test_an_app_without_a_lifespan_is_no_error(app: Any) -> None:
    async with alive(app) as state:
        assert state == {}


async def test_an_app_that_says_it_failed() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "Traceback\n  ...\nValueError: no weights\n"})

    with pytest.raises(RuntimeError, match=r"^ValueError: no weights$"):
        async with alive(app):
            pass
