"""The design's policy, line by line, from what it counts to what it does about it."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import JSON, Answer, Upstream, chat  # noqa: TID252 - the kit of the pipeline's tests
from .design import CHAT, HEADLESS, Site, edited, publish
from .test_design_policy import refused

pytestmark = pytest.mark.anyio

DAY = 86_400
CRAWLER = (b"user-agent", b"Scrapy/2.11.0 (+https://scrapy.org)")
BROWSER = (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0")
LANGUAGE = (b"accept-language", b"en-GB,en;q=0.5")


@pytest.fixture(autouse=True)
def _middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The issuer answers, and the middle of a jitter is what the policy says."""
    publish(monkeypatch)
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


def device(number: int) -> tuple[bytes, bytes]:
    """What one of several machines of somebody's shows."""
    return (b"x-stainless-os", b"machine-%d" % number)


async def devices(site: Site, name: str, count: int, *headers: tuple[bytes, bytes]) -> Answer:
    """Somebody's requests from several devices; the last answer, which alone has these headers."""
    for number in range(count - 1):
        await site.as_(name, device(number))
    return await site.as_(name, device(count - 1), *headers)


# velocity


async def test_attempts_are_counted_over_ten_minutes_whatever_became_of_them() -> None:
    site = Site()
    statuses = [(await site.as_("alice", body={})).status for _ in range(123)]
    assert statuses[-3:] == [429] * 3
    assert site.last["velocity"]["attempts"] == [123, False]
    await site.as_("bob")
    assert site.last["velocity"]["attempts"] == [1, False]
    site.clock.advance(600 + 30)
    await site.as_("alice")
    assert site.last["velocity"]["attempts"] == [1, False]


async def test_devices_are_counted_over_a_day() -> None:
    site = Site()
    await devices(site, "alice", 7)
    await site.as_("alice", device(3))
    assert site.last["velocity"]["devices-per-account"] == [7, False]
    site.clock.advance(DAY + DAY // 60)
    await site.as_("alice", device(3))
    assert site.last["velocity"]["devices-per-account"] == [1, False]


# risk


@pytest.mark.parametrize(("count", "score"), [(5, 0), (6, 6), (8, 20), (19, 93), (20, 100), (25, 100)])
async def test_devices_are_a_risk_from_5_to_20(count: int, score: int) -> None:
    """(count - 5) × 100 / 15, rounded down."""
    site = Site()
    await devices(site, "alice", count)
    assert site.last["risk"] == score
    assert [(each["scorer"], each["family"], each["score"]) for each in site.last["findings"]] == (
        [("velocity", "device", score)] if score else []
    )


@pytest.mark.parametrize(
    ("headers", "reason", "score"),
    [((HEADLESS,), "headless-browser", 80), ((CRAWLER,), "crawler", 60), ((BROWSER,), "browser-without-language", 20),
     ((BROWSER, LANGUAGE), "", 0), (((b"user-agent", b"OpenAI/Python 1.60.0"),), "", 0)],
)  # fmt: skip
async def test_automation(headers: tuple[tuple[bytes, bytes], ...], reason: str, score: int) -> None:
    site = Site()
    await site.as_("alice", *headers)
    assert site.last["risk"] == score
    assert [(each["reason"], each["family"]) for each in site.last["findings"]] == (
        [(reason, "automation")] if reason else []
    )


@pytest.mark.parametrize(("verdict", "score"), [("none", 0), ("watched", 5), ("suspect", 60), ("confirmed", 90)])
async def test_cluster(verdict: str, score: int) -> None:
    site = Site()
    await site.as_("alice")
    await site.guardrail.store.remember(site.last["account"], [Change("set", "verdict", verdict)])
    await site.as_("alice")
    assert (site.last["risk"], site.last["verdict"]) == (score, verdict)


# friction


async def test_delay_at_30_for_half_a_second() -> None:
    """Thresholds lie between 27 and 33. Nine devices are a risk of 26, ten of 33."""
    site = Site(everybody=True)
    for name in ("alice", "bob", "carol"):
        before = site.clock.monotonic()
        await devices(site, name, 9)
        assert (site.last["decision"], site.clock.monotonic()) == ("allow", before)
        answer = await site.as_(name, device(9))
        assert (site.last["decision"], answer.status) == ("delay", 200)
        assert site.clock.monotonic() - before == 500_000
        assert 27 <= site.last["rung_at"] <= 33


@pytest.mark.parametrize(("draw", "waited"), [(0.0, 400_000), (1.0, 600_000)])
async def test_a_delay_is_jittered(draw: float, waited: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: draw)
    site = Site(everybody=True)
    await site.as_("alice", HEADLESS)
    assert site.clock.monotonic() == waited


async def test_deny_at_95_on_evidence_of_two_families() -> None:
    """Thresholds lie between 94.5 and 95.5. With 80 of automation 15 devices (66) make 93.2, and 17 (80) 96."""
    site = Site(everybody=True)
    for name in ("alice", "bob", "carol"):
        answer = await devices(site, name, 15, HEADLESS)
        assert (answer.status, site.last["risk"], site.last["rung"]) == (200, 93.2, "delay")
        await devices(site, name, 15)  # sixteen now: what shows another agent is another device
        calls = site.app.calls
        answer = await site.as_(name, device(15), HEADLESS)
        assert (answer.status, site.last["risk"], site.last["rung"]) == (403, 96.0, "deny")
        assert answer.json["error"]["code"] == "denied"
        assert site.app.calls == calls


async def test_all_devices_in_the_world_are_one_family() -> None:
    site = Site(everybody=True)
    answer = await devices(site, "alice", 25)
    assert (answer.status, site.last["risk"], site.last["rung"], site.last["why"]) == (200, 100, "delay", ["one-family"])


def networks(count: int) -> list[str]:
    return [f"10.0.{number // 250}.{number % 250}" for number in range(count)]


async def slowed(site: Site) -> set[str]:
    """Of 400 networks with the same risk, whom the ladder acts on."""
    found = set()
    for network in networks(400):
        await site.stranger(network, HEADLESS)
        if site.last["decision"] != "allow":
            found.add(network)
        else:
            assert (site.last["would"]["rung"], site.last["why"]) == ("delay", ["not-rolled-out"])
    return found


async def test_rollout_acts_on_one_in_twenty_always_the_same() -> None:
    """Of 400 that is 20, give or take 4.4 (one standard deviation); the digests' key is fixed, so it is one figure."""
    few = await slowed(Site())
    assert 8 <= len(few) <= 33
    assert await slowed(Site()) == few
    more = await slowed(Site(("rollout: 5%", "rollout: 10%")))
    assert few < more
    assert 22 <= len(more) <= 58


async def test_200_wait_at_once_and_the_next_is_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(everybody=True)
    over, waiting, changed = asyncio.Event(), [], asyncio.Condition()

    async def wait(seconds: float) -> None:
        async with changed:
            waiting.append(seconds)
            changed.notify_all()
        await over.wait()

    async def until(count: int) -> None:
        async with changed:
            await changed.wait_for(lambda: len(waiting) == count)

    monkeypatch.setattr(site.guardrail, "sleep", wait)
    tasks = [asyncio.create_task(site.stranger(network, HEADLESS)) for network in networks(200)]
    done, _ = await asyncio.wait([*tasks, asyncio.create_task(until(200))], return_when=asyncio.FIRST_COMPLETED)
    assert done.isdisjoint(tasks)
    task = asyncio.create_task(site.stranger("192.0.2.1", HEADLESS, body=chat(n=4, logprobs=True)))
    await asyncio.wait([task, asyncio.create_task(until(201))], return_when=asyncio.FIRST_COMPLETED)
    assert task.done()
    answer = task.result()
    assert (answer.status, answer.field("x-guardrail-trimmed")) == (200, "logprobs, n")
    assert (json.loads(site.app.bodies[-1])["n"], site.last["decision"], site.last["rung"]) == (1, "trim", "delay")
    over.set()
    answers = [await task for task in tasks]
    assert {(each.status, each.field("x-guardrail-trimmed")) for each in answers} == {(200, None)}


async def test_nobody_waits_longer_than_10_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 1.0)
    site = Site(("seconds: 0.5", "seconds: 9"), everybody=True)
    await site.as_("alice", HEADLESS)
    assert site.clock.monotonic() == 10_000_000  # 9 s and a fifth more are 10.8


def test_a_rung_that_waits_longer_is_refused() -> None:
    [problem] = refused(edited(("seconds: 0.5", "seconds: 10.5")))
    assert "is more than `delays.at_most`, 10s" in problem


async def test_20_established_accounts_a_day_are_newly_touched(caplog: pytest.LogCaptureFixture) -> None:
    """The 21st goes free until the next day, whoever is on the rung stays there, and it alarms once."""
    caplog.set_level(logging.WARNING, "guardrail_mw")
    site = Site(everybody=True)
    names = [f"old-{number}" for number in range(22)]
    for name in names:
        await site.as_(name)
    site.clock.advance(32 * DAY)  # a Monday
    decisions = {}
    for name in names:
        await site.as_(name, HEADLESS)
        decisions[name] = (site.last["decision"], site.last["why"])
    assert list(decisions.values()) == [("delay", [])] * 20 + [("allow", ["budget"])] * 2
    assert [record.getMessage() for record in caplog.records if "may" in record.getMessage()] == [
        "Rung delay has touched 20 established accounts, as many as it may."
    ]
    await site.as_(names[0], HEADLESS)
    assert site.last["decision"] == "delay"
    await site.as_("new", HEADLESS)
    assert site.last["decision"] == "delay"
    site.clock.advance(DAY)
    await site.as_(names[21], HEADLESS)
    assert site.last["decision"] == "delay"


async def test_a_cluster_counts_once_in_the_budget() -> None:
    """Two of a cluster are one false positive, so that after them there is room for nineteen more."""
    site = Site(everybody=True)
    names = [f"old-{number}" for number in range(22)]
    for name in names:
        await site.as_(name)
        if name in names[:2]:
            await site.guardrail.store.remember(site.last["account"], [Change("set", "cluster", "k1")])
    site.clock.advance(31 * DAY)
    decisions = []
    for name in names:
        await site.as_(name, HEADLESS)
        decisions.append(site.last["decision"])
    assert decisions == ["delay"] * 21 + ["allow"]


async def test_the_organisation_internal_meets_nothing() -> None:
    site = Site(everybody=True)
    for number in range(20):
        answer = await site.as_("alice", device(number), HEADLESS, org_id="internal")
    assert (answer.status, site.last["risk"], site.last["decision"], site.last["why"]) == (200, 100, "allow", ["allow-lane"])
    for number in range(20):
        answer = await site.as_("bob", device(number), HEADLESS, org_id="internal-2")
    assert answer.status == 403


async def test_in_shadow_the_ladder_records_only() -> None:
    site = Site(everybody=True, mode="shadow")
    answer = await devices(site, "alice", 20, HEADLESS)
    assert (answer.status, site.last["decision"], site.last["would"]["decision"]) == (200, "allow", "deny")
    assert site.clock.monotonic() == 0


async def test_all_of_it_costs_one_round_trip() -> None:
    """Eight limits, two rules, three scorers and a ladder; the second request of an account that is known."""
    calls: list[str] = []

    class Counting(MemoryStore):
        async def charge(self, bill: Any) -> Any:
            calls.append("charge")
            return await super().charge(bill)

        async def remember(self, account: str, changes: Any) -> int:
            calls.append("remember")
            return await super().remember(account, changes)

        async def take(self, *given: Any) -> bool:
            calls.append("take")
            return await super().take(*given)

    clock = FakeClock()
    site = Site(everybody=True, store=Counting(clock=clock), clock=clock)
    await site.post(CHAT, chat(), site.who("alice"), JSON)
    calls.clear()
    await site.post(CHAT, chat(), site.who("alice"), HEADLESS, JSON)
    assert site.last["decision"] == "delay"
    assert calls == ["charge"]


async def test_an_app_that_fails_forgets_nothing_of_the_risk() -> None:
    """A 5xx costs nothing, and what was learned stays."""
    site = Site(everybody=True, app=Upstream(status=500))
    await site.as_("alice", HEADLESS)
    await site.as_("alice")
    assert (site.last["risk"], site.last["decision"]) == (0, "delay")
