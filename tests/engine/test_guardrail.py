"""What a guardrail hands on: to scorers, to events, to whoever looks at an account."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.engine.peeking import _subject
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..telemetry.kit import ACCOUNT, event  # noqa: TID252 - the kit of events

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
TRAITS = ("network", "organisation", "tier", "acr", "ial", "source", "device", "verified", "authenticated")


def test_whom_a_look_takes_an_account_for() -> None:
    told = event(organisation="o:1", acr="gold", ial="2", verified=True)
    found = _subject(ACCOUNT, told, {})
    assert (found.account, found.candidate) == (ACCOUNT, ACCOUNT)
    assert [getattr(found, trait) for trait in TRAITS] == [
        NETWORK, "o:1", "pro", "gold", "2", "api_key", "d:XyO4vS0kC2u1mE7bJ5aTqg", True, True,
    ]  # fmt: skip
    assert _subject(ACCOUNT, event(authenticated=False), {}).authenticated is False
    unknown = _subject(ACCOUNT, None, {})
    assert [getattr(unknown, trait) for trait in TRAITS] == ["", "", "", "", "", "anonymous", "", False, True]
    stranger = _subject(NETWORK, told, {})
    assert (stranger.account, stranger.candidate, stranger.network, stranger.authenticated) == (NETWORK, "", NETWORK, False)


async def test_what_a_scorer_may_look_at() -> None:
    guarded = Guarded(
        Upstream(),
        policy(
            {"name": "requests", "per": ["account", "model"], "rate": "9/minute"},
            models={"large": {}},
            velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
            risk={"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]},
        ),
    )
    seen: list[Any] = []
    panel = guarded.guardrail.engine.judge.panel

    class Looking:
        names = panel.names

        @staticmethod
        def run(context: Any) -> Any:
            seen.append(context)
            return panel.run(context)

    guarded.guardrail.engine.judge.panel = Looking()  # type: ignore[assignment]
    await guarded.post(CHAT, {**chat(), "model": "large"})
    [context] = seen
    assert (context.now, context.route, context.model) == (guarded.clock.now(), "/v1/**", "large")
    assert context.authenticated is True
    assert context.counts["attempts"][0] == 1
    assert context.subject.candidate == guarded.bills[0].candidate


@pytest.mark.parametrize("unit", ["requests", "tokens", "input_tokens", "output_tokens", "usd"])
async def test_every_unit_can_be_added(unit: str) -> None:
    models = {"large": {"usd_per_million": {"input": 3, "output": 15}}}
    guarded = Guarded(Upstream(), policy({"name": "a", "unit": unit, "rate": "9000/hour"}, models=models))
    await guarded.post(CHAT, chat())
    before = (await guarded.left())["a"]
    await guarded.app.scopes[0]["state"]["guardrail"].add(unit, 7)
    assert (await guarded.left())["a"] == before - 7


async def test_an_account_is_established_after_thirty_days() -> None:
    guarded = Guarded(Upstream(), policy({"name": "a", "rate": "9/minute"}, telemetry={"events": [{"use": "log"}]}))
    found = []
    for days in (0, 29, 1):
        guarded.clock.advance(days * 86_400)
        await guarded.post(CHAT, chat())
        found.append(guarded.guardrail.recorder.latest(1)[0]["established"])
    assert found == [False, False, True]


@pytest.mark.parametrize(("workers", "warned"), [("", False), ("1", False), ("2", True), ("many", False)])
def test_workers_that_each_count_for_themselves(workers: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "guardrail_mw"):
        Guardrail({"version": 1}, environ={"WEB_CONCURRENCY": workers}, clock=FakeClock())
    assert any("one of several workers" in record.getMessage() for record in caplog.records) is warned


async def test_a_clock_that_cannot_wait_is_no_hindrance() -> None:
    class Plain:
        @staticmethod
        def now() -> int:
            return 0

        @staticmethod
        def monotonic() -> int:
            return 0

    await Guardrail({"version": 1}, environ={}, clock=Plain()).sleep(0)
