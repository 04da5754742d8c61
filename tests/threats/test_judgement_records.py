"""What is recorded of a decision: nothing that anybody could use, nothing that a client wrote, and no more than is needed."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.risk import agents, automation
from guardrail_mw.risk.base import Finding
from guardrail_mw.telemetry.event import validate

from ..identity.kit import jwt_source, token  # noqa: TID252 - issuers with real keys
from .kit import CHAT, JSON, SECRETS, Guarded, Upstream, policy, scope_of

pytestmark = pytest.mark.anyio

KEY, SUBJECT, ORGANISATION, PAYMENT = "sk-s3cret-of-alice", "alice-sub-4711", "org-of-alice", "pay-4111"
ADDRESS, PROMPT, AGENT, MODEL = "192.0.2.177", "what alice asked", "AliceBrowser/7.7", "ft:alice-own-model"
QUERY, COOKIE, NEIGHBOUR = "tracking=alice", "session=alice-cookie", "2001:db8:a11c:e::77"
SECRET = (
    KEY,
    SUBJECT,
    ORGANISATION,
    PAYMENT,
    ADDRESS,
    PROMPT,
    AGENT,
    MODEL,
    QUERY,
    COOKIE,
    NEIGHBOUR,
    "db8:a11c",
    "0db8a11c",  # four digits alone would be met by chance, in ids of 24
    *SECRETS.values(),
)
FORGED = '\r\n{"decision":"allow"}\n2026-01-01 CRITICAL root: free\x1b[2K\x00\u2028\u202e'
LIMITS = (
    {"name": "requests", "rate": "4/minute"},
    {"name": "tokens", "unit": "tokens", "rate": "100000/minute"},
)
VELOCITY = [
    {"name": "devices", "distinct": "device", "per": "account", "over": "1h"},
    {"name": "networks", "distinct": "network", "per": "account", "over": "1h", "approximate": True},
    {"name": "attempts", "count": "attempts", "per": "account", "over": "1h"},
]
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 3}}}, {"use": "automation"}]}
LADDER = {"ladder": [{"at": 30, "do": "delay"}, {"at": 60, "do": "trim"}]}


def document(path: Path, mode: str = "enforce", **rest: Any) -> dict[str, Any]:
    claims = {"organisation": "org", "payment": "pay", "tier": "plan"}
    identity = {"sources": [jwt_source(claims=claims), {"use": "api_key", "with": {"trust": "app"}}], "device": {}}
    events = [{"use": "log"}, {"use": "jsonl", "with": {"path": str(path)}}]
    found = policy(*LIMITS, mode=mode, velocity=VELOCITY, risk=RISK, friction=LADDER, telemetry={"events": events})
    return found | {"identity": identity} | rest


def formatted(records: list[logging.LogRecord]) -> list[str]:
    """What handlers write: the message, and what is attached to the record."""
    return [logging.Formatter("%(message)s").format(each) + json.dumps(getattr(each, "event", "")) for each in records]


def shapes(text: str) -> list[bytes]:
    """A text as it stands, and as it might be written."""
    raw = text.encode()
    return [raw, raw.hex().encode(), b64encode(raw).rstrip(b"=")[:-1], json.dumps(text)[1:-1].encode()]


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_no_event_holds_a_secret(mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of answers, refusals by limits, bad credentials and bad bodies; in the file, the log and the process's memory."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "events.jsonl"
    site = Guarded(Upstream(), document(path, mode), environ=SECRETS)
    named = token(sub=SUBJECT, org=ORGANISATION, pay=PAYMENT, plan="gold")
    body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "user": SUBJECT, "n": 3, "logprobs": True}
    shown = ((b"user-agent", AGENT.encode()), (b"cookie", COOKIE.encode()), JSON)
    statuses = set()
    for credential in (named, KEY.encode(), KEY.encode()[:-1] + b"\xff", named[:-3]):
        for peer in (ADDRESS, NEIGHBOUR, ADDRESS, NEIGHBOUR):
            for content in (body, b'{"n": "' + PROMPT.encode()):
                authorization = (b"authorization", b"Bearer " + credential)
                answer = await site.post(CHAT, content, authorization, *shown, client=(peer, 1), query_string=QUERY.encode())
                statuses.add(answer.status)
    await site.guardrail.close()
    events = site.guardrail.recorder.latest(100)
    assert len(events) == 32
    assert {each["decision"] for each in events} >= ({"deny", "trim"} if mode == "enforce" else {"allow"})
    assert statuses >= ({200, 400, 401, 429} if mode == "enforce" else {200})
    ours = [each for each in caplog.records if each.name.startswith("guardrail_mw")]
    assert len([each for each in ours if each.name == "guardrail_mw.events"]) == 32
    written = b"\n".join([path.read_bytes(), "\n".join(formatted(ours)).encode(), pickle.dumps(events)])
    for text in SECRET:
        for shape in shapes(text):
            assert shape not in written, text


def repeating(context: Any) -> list[Finding]:
    """A scorer of somebody's that repeats what the client sent."""
    text: Any = next((value for name, value in context.facts.headers if name == b"x-text"), b"").decode("latin-1")
    return [
        Finding("content", 5, text),
        Finding(text, 5, "reason"),
        Finding("content", 5, "figures", {"text": text}),
        Finding("content", 5, "figures", {text: 1}),
    ]


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
async def test_a_decision_is_one_line_whatever_the_client_sends(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "events.jsonl"
    many = [{"name": "requests", "per": ["account"], "rate": "1000/minute"}]
    site = Guarded(Upstream(), document(path, mode, limits=many), environ=SECRETS)
    site.guardrail.engine.judge.panel._seats[0].score = repeating
    forged = FORGED.encode()
    attacks: list[Any] = [
        ("POST", CHAT + FORGED, {}, ()),
        ("POST", "/v1/" + FORGED, {}, ()),
        (FORGED, CHAT, {}, ()),
        ("POST", CHAT, {"model": FORGED}, ()),
        ("POST", CHAT, {"n": 2, "logprobs": FORGED, FORGED: 1}, ()),
        ("POST", CHAT, {}, ((b"x-text", forged),)),
        ("POST", CHAT, {}, ((b"user-agent", forged), (b"sec-ch-ua-platform", forged), (b"x-forwarded-for", forged))),
        ("POST", CHAT, {}, ((b"cookie", b"__Host-guardrail-device=" + forged),)),
        ("POST", CHAT, {}, ((b"x-guardrail-decision", forged), (b"traceparent", forged), (b"x-request-id", forged))),
        ("POST", CHAT, {}, ((b"authorization", b"Bearer " + token(sub=FORGED, org=FORGED, plan=FORGED, acr=FORGED)),)),
        ("POST", CHAT, {}, ((b"authorization", b"Bearer " + forged),)),
    ]
    for method, where, body, headers in attacks:
        scope = scope_of(where, method, (JSON, *headers), client=(FORGED, 1))
        await site.ask(scope, json.dumps(body).encode())
    await site.guardrail.close()
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == len(attacks)
    for each in lines:
        assert each.decode("ascii").isprintable()
        validate(json.loads(each))
    for record in caplog.records:
        if record.name.startswith("guardrail_mw"):
            assert record.getMessage().isprintable(), ascii(record.getMessage())
    told = [
        json.loads(each) | dict.fromkeys(("tier", "acr"), "") for each in lines
    ]  # what the issuer says is taken as it is
    assert "CRITICAL" not in json.dumps(told)


LONG = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 " + b"Chrome/120.0.0.0 (" * 600
"""10 KB; some patterns of browsers take time that grows with the square of the length, 8 KB 7 ms and more."""


async def test_of_an_agent_of_8_kb_no_more_than_512_bytes_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The parser's work, the device's and what is remembered of either: bounded by what goes in."""
    read: list[int] = []
    real = agents.read_agent

    def reading(raw: bytes) -> Any:
        read.append(len(raw))
        return real(raw)

    monkeypatch.setattr(automation, "read_agent", reading)
    site = Guarded(Upstream(), document(tmp_path / "events"), environ=SECRETS)
    devices = set()
    for end in (b"", b"x", b"y" * 100):
        for header in (b"user-agent", b"accept-language", b"sec-ch-ua"):
            shown = {b"user-agent": LONG[:8192], b"accept-language": LONG, b"sec-ch-ua": LONG}
            shown[header] += end
            await site.post(CHAT, {}, JSON, *shown.items())
            [event] = site.guardrail.recorder.latest(1)
            devices.add(event["device"])
    assert read
    assert max(read) == agents.LONGEST == 512
    assert len(devices) == 1  # what stands beyond makes no other device either
    [scorer] = [each for each in site.guardrail.engine.judge.panel._seats if each.name == "automation"]
    kept: Any = scorer.score.__self__  # type: ignore[attr-defined]
    assert all(len(value) <= 512 for _, shown in kept._new for _, value in shown)


async def test_an_event_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    """The request goes on, and what is lost is counted."""
    site = Guarded(Upstream(), document(tmp_path), environ=SECRETS)  # a folder, where a file should be
    for _ in range(3):
        assert (await site.post(CHAT, {}, JSON)).status == 200
    await asyncio.wait_for(site.guardrail.close(), 10)
    counts = site.guardrail.counts.read()
    assert counts["events.dropped"] == 3
