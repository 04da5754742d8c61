"""What a client sends cannot write a log's lines, fill them, or be found in them; nor in an error's text."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from guardrail_mw.errors import TokenError

from ..identity.kit import jwt_source, token  # noqa: TID252 - issuers with real keys
from .kit import CHAT, JSON, KEY, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

SECRET = "sk-5ecret-0f-Alice"  # noqa: S105 - what must not be found
FORGED = "\r\n2026-01-01 CRITICAL root: everything is free\x1b[2K\x00\u2028"
LIMITS = ({"name": "requests", "rate": "1000/minute"}, {"name": "tokens", "unit": "tokens", "rate": "100000/minute"})
ATTACKS: list[tuple[Any, tuple[tuple[bytes, bytes], ...]]] = [
    ({"model": FORGED + SECRET, "n": FORGED + SECRET}, (KEY,)),
    ({"n": [SECRET] * 1000}, (KEY,)),
    ({"model": [FORGED]}, (KEY,)),
    ({"model": (FORGED + SECRET) * 1000}, (KEY,)),
    (b'{"messages": 1, "messages": "' + SECRET.encode() + b'"}', (KEY,)),
    (b'{"' + SECRET.encode() + b"\r\n", (KEY,)),
    (b"\xff" + SECRET.encode() * 1000, (KEY,)),
    (b'{"a":"\\ud800' + SECRET.encode() + b'"}', (KEY,)),
    ({}, (KEY, (b"content-encoding", FORGED.encode() + SECRET.encode() * 100))),
    ({}, ((b"authorization", b"Bearer " + SECRET.encode() + FORGED.encode()),)),
    ({}, ((b"authorization", b"Bearer " + SECRET.encode()), (b"x-api-key", FORGED.encode()))),
    ({}, ((b"authorization", b"Bearer " + SECRET.encode() * 1000),)),
    ({}, ((b"authorization", b"Bearer " + token(sub=SECRET, exp=1)),)),
    ({}, ((b"authorization", b"Bearer " + token(sub=SECRET + FORGED)[:-4]),)),
    ({}, ((b"authorization", b"Bearer " + token(sub=SECRET, header={"typ": FORGED + SECRET})),)),
    ({}, ((b"authorization", b"Bearer " + token(sub=SECRET, aud=SECRET)),)),
]


def document(mode: str) -> dict[str, Any]:
    sources = [jwt_source(), {"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": "gateway"}}]
    return {**policy(*LIMITS, mode=mode), "identity": {"sources": sources}}


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
async def test_lines_are_ours(attack: Any, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    body, headers = attack
    caplog.set_level(logging.DEBUG, "guardrail_mw")
    guarded = Guarded(Upstream(), document(mode))
    answer = await guarded.post(CHAT, body, JSON, *headers)
    assert answer.status == 200 if mode == "shadow" else 400 <= answer.status < 500
    ours = [record for record in caplog.records if record.name.startswith("guardrail_mw")]
    for record in ours:
        line = logging.Formatter("%(message)s").format(record)
        assert line.isprintable(), ascii(line)
        assert len(line) < 1024
        assert SECRET not in line
    assert ours
    if mode == "enforce":
        assert SECRET not in answer.body.decode()
        assert "free" not in answer.body.decode()
        assert json.loads(answer.body)["error"]["code"]


async def test_any_detail_is_escaped_and_cut(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a source puts into an error's detail."""
    caplog.set_level(logging.INFO, "guardrail_mw")
    guarded = Guarded(Upstream(), document("enforce"))

    def raising(_: Any) -> Any:
        raise TokenError("Bad.", FORGED + "x" * 1_000_000)

    monkeypatch.setattr(guarded.guardrail.engine.resolver, "identify", raising)
    assert (await guarded.post(CHAT, {})).status == 401
    line = [record.getMessage() for record in caplog.records if record.name.startswith("guardrail_mw")][-1]
    assert line.isprintable()
    assert len(line) < 1024


async def test_errors_keep_secrets_out_of_their_text() -> None:
    with pytest.raises(Exception, match="store") as caught:
        Guarded(Upstream(), {**document("enforce"), "store": {"url": f"redis://:{SECRET}@/"}})
    assert SECRET not in str(caught.value)
