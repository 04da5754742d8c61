"""A socket is no way round: every turn is charged, a refused one ends it, and nothing said after that is heard."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .kit import KEY, OTHER_KEY, Guarded, key, policy

pytestmark = pytest.mark.anyio

LIMITS = ({"name": "requests", "rate": "5/minute"}, {"name": "slots", "concurrency": 2})


class Chatty:
    """Accepts, and hears whatever comes until it is told to stop; then it goes on asking, as careless apps do."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(1000):
            message = await receive()
            if message["type"] == "websocket.receive":
                self.heard.append(message.get("text") or message.get("bytes"))
                await send({"type": "websocket.send", "text": "answer"})
            elif message.get("code") == 1006:
                return


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "websocket", "path": "/v1/realtime", "headers": list(headers or (KEY,)), "client": ("198.51.100.7", 1)}


async def say(guarded: Guarded, turns: list[dict[str, Any]], *headers: tuple[bytes, bytes]) -> list[Any]:
    coming = [{"type": "websocket.connect"}, *({"type": "websocket.receive", **turn} for turn in turns)]
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(0)
        return coming.pop(0) if coming else {"type": "websocket.disconnect", "code": 1006}

    async def send(message: Any) -> None:
        sent.append(message)

    await guarded.middleware(scope(*headers), receive, send)
    return sent


@pytest.mark.parametrize("turn", [{"text": "x"}, {"bytes": b"x"}, {"text": ""}, {"text": None, "bytes": b""}])
async def test_a_flood_of_turns(turn: dict[str, Any]) -> None:
    """The handshake is one and four turns are the rest; of two hundred more none is heard or answered."""
    app = Chatty()
    guarded = Guarded(app, policy(*LIMITS))
    sent = await say(guarded, [turn] * 200)
    assert len(app.heard) == 4
    assert [each["type"] for each in sent] == ["websocket.accept", *["websocket.send"] * 4, "websocket.close"]
    assert (sent[-1]["code"], len(sent[-1]["reason"])) == (1013, 24)
    assert await guarded.left() == {"requests": 0, "slots": 2}


async def test_a_flood_of_sockets() -> None:
    guarded = Guarded(Chatty(), policy(*LIMITS))
    sent = [await say(guarded, []) for _ in range(100)]
    assert sum(each[0]["type"] == "websocket.accept" for each in sent) == 5
    assert await guarded.left() == {"requests": 0, "slots": 2}


async def test_open_sockets_hold_slots() -> None:
    guarded = Guarded(Chatty(), policy({"name": "requests", "rate": "500/minute"}, LIMITS[1]))
    forever = asyncio.Event()

    async def receive() -> Any:
        if not forever.is_set():
            await forever.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    tasks = [asyncio.create_task(guarded.middleware(scope(), receive, send)) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await say(guarded, []))[0]["type"] == "websocket.close"
    assert (await say(guarded, [], OTHER_KEY))[0]["type"] == "websocket.accept"
    forever.set()
    await asyncio.gather(*tasks)
    assert (await guarded.left())["slots"] == 2


async def test_a_socket_proves_no_key() -> None:
    """Not even where every 2xx would."""
    routes = [{"path": "/v1/**", "metered": True, "proves": True}]
    guarded = Guarded(Chatty(), {**policy(*LIMITS, trust="app"), "routes": routes})
    sent = [await say(guarded, [{"text": "x"}], key(number)) for number in range(10)]
    assert [each[0]["type"] for each in sent].count("websocket.accept") == 3  # of five of its network's: handshake and turn
    assert not guarded.store._standings
