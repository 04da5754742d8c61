"""What whoever makes accounts could learn of the ladder, or use up of it: where it begins, and whom it may touch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kit import CHAT, JSON, SECRETS, Guarded, Upstream, chat, key, policy

pytestmark = pytest.mark.anyio

DAY = 86_400
ATTEMPTS = [{"name": "attempts", "count": "attempts", "per": "account", "over": "1h"}]
RISK = {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 100}}}]}
"""An attempt is a point: whoever counts requests until one is slow has found a threshold."""
AT_50 = {"at": 50, "do": "delay", "with": {"seconds": 1}}


def document(*ladder: dict[str, Any], **friction: Any) -> dict[str, Any]:
    limit = {"name": "requests", "rate": "100000/minute"}
    return policy(limit, velocity=ATTEMPTS, risk=RISK, friction={"ladder": list(ladder), **friction})


def guarded(*ladder: dict[str, Any], secrets: dict[str, str] | None = None, **friction: Any) -> Guarded:
    return Guarded(Upstream(), document(*ladder, **friction), environ=secrets or SECRETS)


async def found(site: Guarded, name: object) -> int:
    """How many requests an account may make until one has to wait."""
    for count in range(1, 100):
        before = site.clock.monotonic()
        await site.post(CHAT, chat(), key(name), JSON)
        if site.clock.monotonic() > before:
            return count
    raise AssertionError("nothing was slowed")


async def test_what_one_account_finds_out_says_nothing_of_another() -> None:
    """By up to a tenth of 50: at the 45th to the 55th. Of 30 accounts no figure holds for half."""
    thresholds = [await found(guarded(AT_50), number) for number in range(30)]
    assert set(thresholds) <= set(range(46, 56))
    assert max(thresholds) - min(thresholds) >= 6
    assert max(map(thresholds.count, thresholds)) <= 10


async def test_asking_again_gives_the_same_answer() -> None:
    """Else asking often enough gives the middle; and a restart would move who is in."""
    assert {await found(guarded(AT_50), "mine") for _ in range(5)} == {await found(guarded(AT_50), "mine")}


async def test_who_knows_the_code_and_not_the_key_cannot_work_them_out() -> None:
    """Not even for a digest that he has read in an event."""
    other = {**SECRETS, "GUARDRAIL_ID_KEY": "j" * 32}
    ours, theirs = [
        [guarded(AT_50, secrets=secrets).guardrail.engine.judge.ladder.thresholds(f"a:{number}") for number in range(12)]
        for secrets in (SECRETS, other)
    ]
    assert not set(ours) & set(theirs)


async def test_a_refusal_says_neither_risk_nor_threshold() -> None:
    """Two accounts that were refused at different risks, for what they did, get the same words."""
    networks = {"name": "networks", "distinct": "network", "per": "account", "over": "1h"}
    risk = {
        "scorers": [{"use": "velocity", "with": {"networks": {"from": 0, "full": 10}, "attempts": {"from": 0, "full": 10}}}]
    }
    site = Guarded(
        Upstream(), document({"at": 50, "do": "deny"}) | {"velocity": [*ATTEMPTS, networks], "risk": risk}, environ=SECRETS
    )
    said = {}
    for name, count in (("one", 5), ("two", 9)):
        for number in range(count):
            answer = await site.post(CHAT, chat(), key(name), JSON, client=(f"203.0.113.{number}", 1))
        assert answer.status == 403
        text = answer.body.decode().replace(answer.decision, "ID")
        said[name] = (text, sorted((n, v) for n, v in answer.headers if n.startswith(b"x-guardrail") and b"dec" not in n))
    assert said["one"] == said["two"]
    [event] = site.guardrail.recorder.latest(1)
    for figure in (event["risk"], event["rung_at"], "attempts", "networks"):
        assert str(figure) not in json.dumps(said["two"])


async def aged(site: Guarded, *names: object) -> None:
    """Accounts that have been known for 31 days."""
    for name in names:
        await site.post(CHAT, chat(), key(name), JSON)
    site.clock.advance(31 * DAY)


async def provoke(site: Guarded, name: object, peer: str = "198.51.100.7") -> str:
    """Act as one should not; what is done about it in the end."""
    for _ in range(60):
        await site.post(CHAT, chat(), *([] if name is None else [key(name)]), JSON, client=(peer, 1))
    [event] = site.guardrail.recorder.latest(1)
    decision: str = event["decision"]
    return decision


async def test_strangers_and_new_accounts_cannot_spend_the_budget_of_false_positives() -> None:
    """There is room for one established account: whoever makes a hundred new ones leaves it there for whom it is meant."""
    site = guarded(AT_50, false_positives="1/day")
    await aged(site, "old", "older")
    for number in range(20):
        assert await provoke(site, f"new-{number}") == "delay"
        assert await provoke(site, None, f"203.0.113.{number}") == "delay"
    assert "friction.budget_spent" not in site.guardrail.counts.read()
    assert await provoke(site, "old") == "delay"
    assert await provoke(site, "older") == "allow"
    assert await provoke(site, "another-new") == "delay"  # a budget that is spent protects nobody who is new


async def test_an_account_does_not_spend_it_twice() -> None:
    """By going to and fro: off the rung and onto it again."""
    site = guarded(AT_50, false_positives="2/day", decay="1m")
    await aged(site, "old", "older")
    for _ in range(4):
        assert await provoke(site, "old") == "delay"
        site.clock.advance(2 * 3600)
        await site.post(CHAT, chat(), key("old"), JSON)
        [event] = site.guardrail.recorder.latest(1)
        assert event["rung"] is None
    assert await provoke(site, "older") == "delay"
