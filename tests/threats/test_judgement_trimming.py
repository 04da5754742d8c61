"""What is to be taken out of a request cannot be hidden in it: an app gets no parameter that trimming did not see."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from .kit import CHAT, JSON, KEY, Guarded, Upstream, policy, scope_of

pytestmark = pytest.mark.anyio

LIMITS = {
    "read": [{"name": "requests", "rate": "1000/minute"}, {"name": "tokens", "unit": "tokens", "rate": "100000000/minute"}],
    "unread": [{"name": "requests", "rate": "1000/minute"}],
}
"""Where a limit counts tokens bodies are read before; where none does only trimming reads them."""
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 1}}}]}
TRIM = {"at": 20, "do": "trim"}
MOST = 4096


def guarded(kind: str = "read", rung: dict[str, Any] | None = None) -> Guarded:
    """Everybody is trimmed from the first request on."""
    rules = {"ladder": [rung or TRIM]}
    document = policy(*LIMITS[kind], velocity=[ATTEMPTS], risk=RISK, friction=rules, inspect={"max_body": f"{MOST}B"})
    return Guarded(Upstream(), document)


def as_starlette(body: bytes) -> Any:
    """What `Request.json()` makes of a body: whatever its type, in whatever encoding JSON can be guessed in."""
    return json.loads(body)


def as_others(body: bytes) -> Any:
    """What a parser makes of it of which the first of two keys counts."""
    return json.loads(body, object_pairs_hook=lambda pairs: dict(reversed(pairs)))


def wants(body: bytes) -> bool:
    """Whether an app would give more than one answer, or logprobs, for a body."""
    found = False
    for parsed in (as_starlette, as_others):
        try:
            asked = parsed(body)
        except ValueError:
            continue
        found = found or (isinstance(asked, dict) and bool(asked.get("n", 1) != 1 or asked.get("logprobs")))
    return found


HIDDEN: dict[str, tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = {
    "plain": (b'{"n":4,"logprobs":true}', (JSON,)),
    "spaced": (b' \r\n\t{ "n" : 4 }\n', (JSON,)),
    "escaped name": (b'{"\\u006e":4,"\\u006cogprobs":true}', (JSON,)),
    "a number that is none": (b'{"n":4.0}', (JSON,)),
    "a text": (b'{"n":"4"}', (JSON,)),
    "true": (b'{"n":true,"logprobs":1}', (JSON,)),
    "another key twice": (b'{"x":1,"x":2,"n":4}', (JSON,)),
    "no type": (b'{"n":4}', ()),
    "a type of text": (b'{"n":4}', ((b"content-type", b"text/plain"),)),
    "a type of forms": (b'{"n":4}', ((b"content-type", b"multipart/form-data; boundary=x"),)),
    "a type that is none": (b'{"n":4}', ((b"content-type", b"\xff\x00"),)),
    "JSON of a kind": (b'{"n":4}', ((b"content-type", b"application/problem+json; charset=utf-16"),)),
    "identity": (b'{"n":4}', (JSON, (b"content-encoding", b"identity"))),
}
"""Read by every app alike."""
ODD: dict[str, tuple[bytes, tuple[tuple[bytes, bytes], ...]]] = {
    "twice, the last": (b'{"n":1,"n":4}', (JSON,)),
    "twice, the first": (b'{"n":4,"n":1}', (JSON,)),
    "twice, one escaped": (b'{"n":1,"\\u006e":4}', (JSON,)),
    "UTF-16": ('{"n":4}'.encode("utf-16"), (JSON,)),
    "UTF-16 without a mark": ('{"n":4}'.encode("utf-16-be"), (JSON,)),
    "UTF-32": ('{"n":4}'.encode("utf-32"), (JSON,)),
    "a mark": (b'\xef\xbb\xbf{"n":4}', (JSON,)),
    "a constant": (b'{"n":4,"x":NaN}', (JSON,)),
    "a figure beyond all floats": (b'{"n":4,"x":1e999}', (JSON,)),  # written again it would be a constant
    "half a pair": (b'{"n":4,"x":"\\ud800"}', (JSON,)),
    "too deep": (b'{"n":4,"x":' + b"[" * 70 + b"]" * 70 + b"}", (JSON,)),
    "too long": (b'{"n":4' + b" " * MOST + b"}", (JSON,)),
    "said to be encoded": (b'{"n":4}', (JSON, (b"content-encoding", b"gzip"))),
}
"""Read by some apps, or by all and not by us."""


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)] or [b""]


@pytest.mark.parametrize("size", [1, 7, MOST * 4])
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("how", HIDDEN)
async def test_however_it_is_written_it_is_taken_out(how: str, kind: str, size: int) -> None:
    """Or refused, where it cannot be priced either; in one piece or a byte at a time."""
    body, headers = HIDDEN[how]
    site = guarded(kind)
    answer = await site.ask(scope_of(CHAT, headers=(KEY, *headers)), *pieces(body, size))
    if answer.status == 200:
        assert answer.field("x-guardrail-trimmed")
        assert not wants(site.app.bodies[0])
        [length] = [value for name, value in site.app.scopes[0]["headers"] if name == b"content-length"]
        assert int(length) == len(site.app.bodies[0])
    else:
        assert (kind, answer.status, site.app.calls) == ("read", 400, 0)


@pytest.mark.parametrize("kind", ["read", "unread"])
@pytest.mark.parametrize("how", ODD)
async def test_what_could_mean_two_things_does_not_get_by(how: str, kind: str) -> None:
    body, headers = ODD[how]
    site = guarded(kind)
    answer = await site.ask(scope_of(CHAT, headers=(KEY, *headers)), *pieces(body, 100))
    assert 400 <= answer.status < 500
    assert site.app.calls == 0
    assert site.guardrail.recorder.latest(1)[0]["decision"] == "deny"


@pytest.mark.parametrize("kind", ["read", "unread"])
async def test_a_body_that_is_refused_was_a_request(kind: str) -> None:
    """Else one could be sent without end, and each be read to its end for nothing."""
    site = guarded(kind)
    for number in range(1, 4):
        assert (await site.post(CHAT, b'{"n":1,"n":4}')).status == 400
        peeked = await site.guardrail.peek(site.guardrail.recorder.latest(1)[0]["account"], CHAT)
        assert peeked.limits[0].remaining == 1000 - number


@pytest.mark.parametrize("path", ["/other", "/v1//chat/completions", "/v1/chat/completions/", "/v1/files"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET", "QUERY"])
async def test_no_path_and_no_method_leads_round_it(path: str, method: str) -> None:
    site = guarded("unread")
    await site.ask(scope_of(path, method, headers=(KEY, JSON)), b'{"n":4,"logprobs":true}')
    assert site.app.calls == 1
    assert not wants(site.app.bodies[0])


@pytest.mark.parametrize("size", [MOST, MOST + 1])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/other", CHAT])
async def test_at_most_so_much_of_a_body_is_held(path: str, size: int, *, announced: bool) -> None:
    """On a route that is not read for tokens: up to `inspect.max_body` it is trimmed, beyond that nothing of it is kept."""
    site = guarded("unread")
    body = b'{"n":4' + b" " * (size - 7) + b"}"
    headers = (KEY, JSON, *([(b"content-length", b"%d" % size)] if announced else []))
    most = 0
    sent = 0

    async def receive() -> Any:
        nonlocal sent, most
        most = max(most, site.middleware._budget.used)
        piece = body[sent : sent + 512]
        sent += len(piece)
        return {"type": "http.request", "body": piece, "more_body": sent < size}

    answer = await site.ask(scope_of(path, headers=headers), receive=receive)
    assert most <= 2 * MOST
    assert site.middleware._budget.used == 0
    if size <= MOST:
        assert answer.field("x-guardrail-trimmed") == "n"
        assert not wants(site.app.bodies[0])
    else:
        assert answer.field("x-guardrail-trimmed") is None


async def test_names_that_only_look_alike_mean_nothing_to_an_app_either() -> None:
    """`N`, a full-width `n` and a Cyrillic one are other keys: taking them out too would break what is no parameter."""
    site = guarded()
    body = {"N": 4, "\uff4e": 4, "\u043f": 4, "LogProbs": True, "n ": 4, "n\u200b": 4}
    answer = await site.post(CHAT, body)
    assert (answer.status, answer.field("x-guardrail-trimmed")) == (200, None)
    assert json.loads(site.app.bodies[0]) == body


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({"best_of": 9}, "n"),
        ({"top_logprobs": 5}, "logprobs"),
        ({"logprobs": 0}, "logprobs"),
        ({"prompt_logprobs": 1}, "logprobs"),
        ({"include": ["message.output_text.logprobs", "x"]}, "logprobs"),
        ({"include_reasoning": True}, "reasoning"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "reasoning"),
        ({"n": -4}, "n"),
    ],
)
async def test_no_other_name_of_it_leads_round_it(asked: dict[str, Any], taken: str) -> None:
    site = guarded("unread")
    answer = await site.post(CHAT, asked)
    assert answer.field("x-guardrail-trimmed") == taken
    assert json.loads(site.app.bodies[0]) != asked


@pytest.mark.parametrize("within", ["extra_body", "parameters", "sampling_params"])
async def test_what_servers_unpack_is_looked_into(within: str) -> None:
    """LiteLLM, TGI and SGLang read these as if they stood in the body, or nowhere else."""
    asked = {"model": "small", within: {"n": 4, "best_of": 4, "logprobs": True, "temperature": 0}}
    site = guarded()
    answer = await site.post(CHAT, asked)
    assert answer.field("x-guardrail-trimmed") == "logprobs, n"
    assert json.loads(site.app.bodies[0]) == {"model": "small", within: {"n": 1, "best_of": 1, "temperature": 0}}
    batch = {"requests": [{"custom_id": "a", "params": asked}, {"custom_id": "b"}, 7]}
    await site.post("/v1/messages/batches", batch)
    params = {"model": "small", within: {"n": 1, "best_of": 1, "temperature": 0}}
    assert json.loads(site.app.bodies[1]) == {"requests": [{"custom_id": "a", "params": params}, {"custom_id": "b"}, 7]}


@pytest.mark.parametrize("kind", ["read", "unread"])
async def test_filling_the_room_for_bodies_leads_round_nothing(kind: str) -> None:
    """Whoever keeps the process busy with bodies gets his own refused, not let through unread."""
    document = policy(
        *LIMITS[kind],
        velocity=[ATTEMPTS],
        risk=RISK,
        friction={"ladder": [TRIM]},
        inspect={"max_body": "4KiB", "budget": "8KiB"},
    )
    site = Guarded(Upstream(), document)
    answer = await site.ask(scope_of(CHAT, headers=(KEY, JSON)), *pieces(b'{"n":4' + b" " * 2000 + b"}", 50))
    assert (answer.status, site.app.calls) == (503, 0)


async def test_a_rung_that_refuses_is_not_got_round_by_a_batch() -> None:
    site = guarded(rung={"at": 20, "do": "trim", "with": {"refuse": ["logprobs"]}})
    requests = [{"custom_id": "a", "params": {"model": "small", "messages": [], "logprobs": True}}]
    answer = await site.post("/v1/messages/batches", {"requests": requests})
    assert (answer.status, site.app.calls) == (403, 0)


async def test_who_hangs_up_in_the_middle_of_a_body_leaves_nothing_behind() -> None:
    """The body of a route that is not read is read when its caller is to be trimmed, after it was charged."""
    site = guarded("unread")
    messages = [{"type": "http.request", "body": b'{"n":', "more_body": True}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    await site.ask(scope_of("/other", headers=(KEY, JSON)), receive=receive)
    assert site.middleware._budget.used == 0


async def test_who_is_cancelled_in_the_middle_of_a_body_leaves_nothing_behind() -> None:
    limits = [{"name": "requests", "budget": "10/day"}, {"name": "slots", "concurrency": 1}]
    document = policy(*limits, risk={"scorers": [{"use": "automation"}]}, friction={"ladder": [TRIM]})
    site = Guarded(Upstream(), document)
    halfway = asyncio.Event()
    agent = (b"user-agent", b"Mozilla/5.0 HeadlessChrome/120.0.0.0")

    async def receive() -> Any:
        halfway.set()
        return await asyncio.Event().wait()

    task = asyncio.create_task(site.ask(scope_of("/other", headers=(KEY, JSON, agent)), receive=receive))
    await halfway.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await site.left() == {"requests": 10, "slots": 1}


async def test_a_body_that_comes_slowly_keeps_its_slots() -> None:
    """Else whoever sends a byte in 31 s has as many requests under way as he likes."""
    limits = [{"name": "requests", "budget": "10/day"}, {"name": "slots", "concurrency": 1}]
    document = policy(*limits, risk={"scorers": [{"use": "automation"}]}, friction={"ladder": [TRIM]})
    site = Guarded(Upstream(), document)
    agent = (b"user-agent", b"Mozilla/5.0 HeadlessChrome/120.0.0.0")
    messages = [b'{"n"', b":4", b"}"]
    slots = []

    async def receive() -> Any:
        for _ in range(4):
            site.clock.advance(10)
            await site.guardrail.renew()
        slots.append((await site.left())["slots"])
        return {"type": "http.request", "body": messages.pop(0), "more_body": bool(messages)}

    answer = await site.ask(scope_of("/other", headers=(KEY, JSON, agent)), receive=receive)
    assert answer.field("x-guardrail-trimmed") == "n"
    assert slots == [0, 0, 0]
    assert (await site.left())["slots"] == 1
