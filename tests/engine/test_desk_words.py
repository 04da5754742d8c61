"""What an operator is told, what is written down of it, and what a standing holds afterwards: whole, word for word."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from guardrail_mw.engine import desk
from guardrail_mw.engine.desk import MisuseError, Operator
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import CountingStore, Guarded, Upstream, policy  # noqa: TID252 - the kit of the pipeline's tests

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
DAY = 86_400_000_000
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
NETWORK = "n:" + "A" * 22
CURE = "Write `a:` and its digest, as events have it; `guardrail-mw accounts id` makes it from a credential."
LIMITS = (
    {"name": "requests", "rate": "60/minute"},
    {"name": "gold", "replaces": "requests", "when": {"tier": ["gold", "silver"]}, "rate": "600/minute"},
    {"name": "network", "per": ["network"], "rate": "100/minute"},
    {"name": "device", "per": ["device"], "rate": "100/minute"},
    {"name": "group", "per": ["organisation"], "rate": "100/minute"},
    {"name": "all", "per": [], "rate": "1000/second"},
)
RULES: dict[str, Any] = {
    "velocity": [
        {"name": "attempts", "count": "attempts", "per": "account", "over": "10m", "when": {"tier": "tin"}},
        {"name": "admitted", "count": "admitted", "per": "account", "over": "10m"},
    ],
    "risk": {"scorers": [{"use": "velocity", "with": {"admitted": {"from": 0, "full": 10}}}]},
    "friction": {
        "ladder": [{"at": 25, "do": "delay", "name": "slow"}, {"at": 90, "do": "deny"}],
        "allow": [{"tier": "staff"}],
        "caps": [{"when": {"tier": ["gold", "free"]}, "most": "delay"}],
    },
}


class Remembering(CountingStore):
    """Notes what is to be remembered, and of whom."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.remembered: list[tuple[str, list[Change]]] = []

    async def remember(self, account: str, changes: Sequence[Change]) -> int:
        """Noted and carried out."""
        self.remembered.append((account, list(changes)))
        return await super().remember(account, changes)


class Kit:
    """A guarded app, whose account has called once, and its operator."""

    def __init__(self, *limits: Any, **rest: Any) -> None:
        store = Remembering(FakeClock())
        self.guarded = Guarded(Upstream(), policy(*(limits or LIMITS), **RULES | rest), store=store, environ=SECRETS)
        self.operator = Operator(self.guarded.guardrail)
        self.store = store
        self.account = ""

    async def begin(self) -> Kit:
        """Its one call."""
        await self.guarded.post(CHAT)
        self.account = self.guarded.bills[0].candidate
        return self

    async def put(self, **fields: str) -> None:
        """Something another process has learned."""
        await self.store.remember(self.account, [Change("set", *item) for item in fields.items()])
        self.store.remembered.clear()

    async def fields(self) -> dict[str, str]:
        """What its standing holds, but for what never changes here."""
        found: dict[str, str] = (await self.store.export(self.account))["standing"]["fields"]
        return {name: value for name, value in found.items() if name != "since"}

    @property
    def now(self) -> int:
        """µs."""
        return self.guarded.clock.now()


async def test_what_a_standing_holds_after_each_act(caplog: pytest.LogCaptureFixture) -> None:
    """And what is logged: each note has a time of its own, although the clock stands still."""
    kit = await Kit().begin()
    operator, now = kit.operator, kit.now
    with caplog.at_level(logging.WARNING, "guardrail_mw.operators"):
        assert await operator.tier(kit.account, "gold", " a launch ", "1d") == {"tier": "gold", "until": now + DAY}
        did = {f"did.{now}": "tier gold a launch"}
        assert await kit.fields() == {"tier": f"gold {now + DAY}", "tier.why": "a launch", **did}
        assert await operator.tier(kit.account, "none", "over", "1d") == {"tier": "none", "until": None}
        did[f"did.{now + 1}"] = "tier none over"
        assert await kit.fields() == did
        assert await operator.label(kit.account, "vip", "by mail", "2d") == {"label": "vip", "until": now + 2 * DAY}
        did[f"did.{now + 2}"] = "label vip by mail"
        assert await kit.fields() == {"label.vip": f"{now + 2 * DAY} by mail", **did}
        assert await operator.unlabel(kit.account, "vip", "no more") == {"label": "vip", "there": True}
        did[f"did.{now + 3}"] = "unlabel vip no more"
        assert await kit.fields() == did
        assert await operator.override(kit.account, "deny", "seen", "3d") == {"override": "deny", "until": now + 3 * DAY}
        did[f"did.{now + 4}"] = "override deny seen"
        assert await kit.fields() == {"override": f"deny {now + 3 * DAY}", "override.why": "seen", **did}
        assert await operator.override(kit.account, "slow", "seen") == {"override": "slow", "until": None}
        did[f"did.{now + 5}"] = "override slow seen"
        assert await kit.fields() == {"override": "slow 0", "override.why": "seen", **did}
        assert await operator.override(kit.account, "none", "an error", "3d") == {"override": "none", "until": None}
        did[f"did.{now + 6}"] = "override none an error"
        assert await kit.fields() == did
        await kit.put(heat=f"{now + DAY}", rung=f"slow {now}", met="3")
        assert await operator.reset(kit.account, "ours") == {"fields": 4}
        did[f"did.{now + 7}"] = "reset everything ours"
        assert await kit.fields() == did
        assert await operator.refill(kit.account, "requests", "ours") == {"fields": 0}
        did[f"did.{now + 8}"] = "refill requests ours"
        assert await kit.fields() == did
        assert await operator.erase(kit.account, "they asked") == {"erased": True, "kept": [], "left": []}
        assert await kit.fields() == {}
    assert [each.getMessage() for each in caplog.records if each.name == "guardrail_mw.operators"] == [
        f"tier gold {kit.account}: a launch",
        f"tier none {kit.account}: over",
        f"label vip {kit.account}: by mail",
        f"unlabel vip {kit.account}: no more",
        f"override deny {kit.account}: seen",
        f"override slow {kit.account}: seen",
        f"override none {kit.account}: an error",
        f"reset everything {kit.account}: ours",
        f"refill requests {kit.account}: ours",
        f"erase - {kit.account}: they asked",
    ]


async def test_notes_beyond_the_twentieth_are_taken_out() -> None:
    """By the times of them, the oldest first, whatever else the standing holds; a note of no time is the newest there is."""
    kit = await Kit().begin()
    await kit.put(**{f"did.{number}": f"label x {number}" for number in range(5, 27)}, didnt="1", verdict="watched")
    await kit.operator.label(kit.account, "vip", "by mail")
    [(account, changes)] = kit.store.remembered
    assert account == kit.account
    assert changes == [
        Change("set", "label.vip", "0 by mail"),
        Change("set", f"did.{kit.now}", "label vip by mail"),
        *[Change("unset", f"did.{number}") for number in (5, 6, 7)],
    ]
    assert sum(name.startswith("did.") for name in await kit.fields()) == 20
    ahead = kit.now + 5_000_000
    await kit.put(**{f"did.{ahead}": "label x by a clock that goes ahead"})
    await kit.operator.unlabel(kit.account, "vip", "by mail")
    assert kit.store.remembered[0][1][:2] == [
        Change("unset", "label.vip"),
        Change("set", f"did.{ahead + 1}", "unlabel vip by mail"),
    ]
    await kit.put(**{"did.z" + "9" * 40: "label x by nobody"})
    await kit.operator.unlabel(kit.account, "vip", "by mail")
    assert kit.store.remembered[0][1][1] == Change("set", f"did.{kit.now}", "unlabel vip by mail")


async def test_what_is_to_be_changed_is_only_what_is_meant() -> None:
    """Whole changes, the note with them; what was not there need not go, but for a tier and an override."""
    kit = await Kit().begin()
    note = Change("set", f"did.{kit.now}", "")
    for fields, act, changes in (
        ({}, kit.operator.tier(kit.account, "none", "x"), [Change("unset", "tier"), Change("unset", "tier.why"),
                                                          note._replace(value="tier none x")]),
        ({}, kit.operator.override(kit.account, "none", "x"),
         [Change("unset", "override"), Change("unset", "override.why"), note._replace(value="override none x")]),
        ({}, kit.operator.reset(kit.account, "x"), [note._replace(value="reset everything x")]),
        ({"heat": "5", "met": "1", "rung": "slow 5"}, kit.operator.reset(kit.account, "x"),
         [Change("unset", "heat"), Change("unset", "rung"), Change("unset", "met"), note._replace(value="reset everything x")]),
        ({}, kit.operator.unlabel(kit.account, "vip", "x"), [Change("unset", "label.vip"), note._replace(value="unlabel vip x")]),
    ):  # fmt: skip
        await kit.put(**fields)
        await act
        [(account, told)] = kit.store.remembered
        made = [each._replace(field=note.field) if each.field.startswith("did.") else each for each in told]
        assert (account, made) == (kit.account, changes)


async def test_what_is_spared_when_an_account_is_erased() -> None:
    """What holds against it, and why; the rest is forgotten, and what a family or a cluster was for too."""
    kit = await Kit().begin()
    against = {"override": "slow 0", "override.why": "seen", "cluster": "abc", "verdict": "suspect"}
    await kit.put(**against, families="volume", tier="gold 0", heat="7")
    assert await kit.operator.erase(kit.account, "they asked") == {"erased": True, "kept": list(against), "left": []}
    assert await kit.fields() == against
    assert kit.store.remembered == [(kit.account, [Change("set", *item) for item in against.items()])]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"cluster": "abc"}, []),
        ({"cluster": "abc", "verdict": "none"}, []),
        ({"cluster": "abc", "verdict": "watched"}, ["cluster", "verdict"]),
        ({"verdict": "watched"}, ["verdict"]),
        ({"override": "allow 0", "override.why": "ours"}, []),
        ({"override": "deny 0"}, ["override"]),
        ({"override": "deny 0", "override.why": "x", "cluster": "abc"}, ["override", "override.why"]),
        ({"override.why": "x"}, []),
        ({"apart": "0", "heat": "7"}, ["apart"]),
        ({}, []),
    ],
)
def test_what_holds_against_an_account(fields: dict[str, str], kept: list[str]) -> None:
    assert desk._against(fields) == {name: fields[name] for name in kept}


# What cannot be


@pytest.mark.parametrize(
    ("verb", "given", "text"),
    [
        ("reset", {"reason": "x", "limit": "requsts"},
         "limit: 'requsts' is no limit of the policy. Did you mean `requests`?"),
        ("refill", {"reason": "x", "limit": "zzz"},
         "limit: 'zzz' is no limit of the policy. There are requests, gold, network, device, group, all."),
        ("refill", {"reason": "x", "limit": "all"}, "limit: 'all' is counted for everyone, not for an account."),
        ("refill", {"reason": "x", "limit": "network"}, "limit: 'network' is counted for a network, not for an account."),
        ("refill", {"reason": "x", "limit": "device"}, "limit: 'device' is counted for a device, not for an account."),
        ("refill", {"reason": "x", "limit": "group"}, ("limit: 'group' is counted per organisation, and which organisation this "
         "account's is was not told here: none of its decisions is remembered.")),
        ("refill", {"reason": "x"}, "limit: is missing."),
        ("label", {"reason": "x"}, "slug: is missing."),
        ("label", {"slug": "vip"}, "reason: is missing."),
        ("label", {"slug": "vip", "reason": 7}, "reason: is not text."),
        ("label", {"slug": "vip", "reason": "x", "zzz": "7"},
         "zzz: is not known here. There are slug, reason, until."),
        ("zzz", {}, ("verb: 'zzz' is nothing that can be done to an account. "
         "There are reset, refill, tier, label, unlabel, override, erase.")),
        ("show", {}, ("verb: 'show' is nothing that can be done to an account. "
         "There are reset, refill, tier, label, unlabel, override, erase.")),
        ("override", {"what": "fast", "reason": "x"},
         "what: 'fast' is neither allow, deny, none nor a rung. The policy's rungs are slow, deny."),
        ("override", {"what": " ", "reason": "x"},
         "what: is empty. Say in a line why; whoever comes after you will ask."),
        ("tier", {"tier": "iron", "reason": "x", "until": "1d"}, ("tier: 'iron' is no tier that the policy's rules ask for. "
         "Its tiers are gold, silver, tin, staff, free.")),
        ("tier", {"tier": "gold", "reason": "x"}, "until: is missing. A tier is given for a time, such as 7d."),
        ("tier", {"tier": "gold", "reason": "x", "until": "1d"},
         "account: is not known: nobody has called with it, or it was long ago. Is the digest right?"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_said_and_changes_nothing(verb: str, given: dict[str, Any], text: str) -> None:
    kit = Kit()
    with pytest.raises(MisuseError) as caught:
        await kit.operator.act(verb, "a:" + "A" * 22, given)
    assert str(caught.value) == text
    assert (caught.value.argument, caught.value.text) == tuple(text.split(": ", 1))
    assert kit.store.remembered == []


async def test_a_limit_is_named_by_a_text() -> None:
    kit = Kit()
    wrong: Any = 7
    for act in (kit.operator.refill("a:" + "A" * 22, wrong, "x"), kit.operator.reset("a:" + "A" * 22, "x", wrong)):
        with pytest.raises(MisuseError) as caught:
            await act
        assert (caught.value.argument, caught.value.text) == ("limit", "is not text.")


async def test_what_can_be_done_to_accounts_alone() -> None:
    kit = Kit()
    given: dict[str, Any] = {"slug": "vip", "what": "deny", "tier": "none", "limit": "requests", "reason": "x"}
    wanted = {"tier": ["tier"], "label": ["slug"], "unlabel": ["slug"], "override": ["what"], "erase": []}
    for verb, names in wanted.items():
        with pytest.raises(MisuseError) as caught:
            await kit.operator.act(verb, NETWORK, {name: given[name] for name in [*names, "reason"]})
        assert str(caught.value) == f"account: is a network's, and this can only be done to an account's digest. {CURE}", (
            verb
        )
    assert await kit.operator.act("reset", NETWORK, {"reason": "x", "limit": None}) == {"fields": 0}
    assert kit.store.remembered == []


async def test_where_a_policy_names_nothing() -> None:
    kit = await Kit({"name": "requests", "rate": "9/minute"}, velocity=[], risk={}, friction={}).begin()
    assert (kit.operator.tiers(), kit.operator.rules()) == ((), ("requests",))
    for act, text in (
        (kit.operator.override(kit.account, "fast", "x"),
         "what: 'fast' is neither allow, deny, none nor a rung. The policy has no rungs."),
        (kit.operator.tier(kit.account, "gold", "x", "1d"), ("tier: 'gold' is no tier that the policy's rules ask for. "
         "It names none: write a limit with `when: {tier: …}`.")),
    ):  # fmt: skip
        with pytest.raises(MisuseError) as caught:
            await act
        assert str(caught.value) == text
    assert await kit.operator.override(kit.account, "deny", "x") == {"override": "deny", "until": None}


def test_rules_and_tiers_in_the_policys_order() -> None:
    operator = Kit().operator
    assert operator.rules() == ("requests", "gold", "network", "device", "group", "all", "velocity", "slow", "deny")
    assert operator.tiers() == ("gold", "silver", "tin", "staff", "free")


@pytest.mark.parametrize(
    ("rule", "mode", "reason", "text"),
    [
        (7, "shadow", "x", "rule: is not text."),
        ("", 7, "x", "mode: is not text."),
        ("", "of", "x", "mode: 'of' is not a mode. Did you mean `off`?"),
        ("", "zzz", "x", "mode: 'zzz' is not a mode. There are shadow, enforce, off."),
        ("requests", "off", "x", "mode: of a rule can only be shadow. Clear its switch, and it does as the policy says."),
        ("requests", "enforce", "x", "mode: of a rule can only be shadow. Clear its switch, and it does as the policy says."),
        ("slw", "shadow", "x", "rule: 'slw' is no limit, scorer or rung of the policy. Did you mean `slow`?"),
        ("zzz", None, "x", ("rule: 'zzz' is no limit, scorer or rung of the policy. "
         "There are requests, gold, network, device, group, all, velocity, slow, deny.")),
        ("", "off", "", "reason: is missing. Off lets everything through; whoever comes after you will ask why."),
        ("", "off", 7, "reason: is not text."),
    ],
)  # fmt: skip
async def test_a_switch_that_cannot_be(rule: Any, mode: Any, reason: Any, text: str) -> None:
    kit = Kit()
    with pytest.raises(MisuseError) as caught:
        await kit.operator.switch(rule, mode, reason)
    assert str(caught.value) == text
    assert await kit.store.read_switches() == {}


async def test_what_a_switch_answers(caplog: pytest.LogCaptureFixture) -> None:
    kit = Kit()
    rules = ["requests", "gold", "network", "device", "group", "all", "velocity", "slow", "deny"]
    usual = {"mode": "enforce", "policy": "enforce", "switches": {}, "rules": rules}
    then = (
        "Accounts keep the risk that velocity has given them by now; half of it is gone every 30m. "
        "To stop at once what it leads to, switch the rung."
    )
    assert await kit.operator.modes() == usual
    with caplog.at_level(logging.WARNING, "guardrail_mw.operators"):
        found = await kit.operator.switch(" velocity ", "shadow", " a trial ")
        assert found == {**usual, "switches": {"velocity": "shadow"}, "then": [then]}
        found = await kit.operator.switch("velocity", None)
        assert found == {**usual, "then": []}
        found = await kit.operator.switch("", "shadow", "an incident")
        assert found == {**usual, "mode": "shadow", "switches": {"": "shadow"}, "then": []}
        found = await kit.operator.switch("", "off", "an incident")
        assert found == {**usual, "mode": "off", "switches": {"": "off"}, "then": []}
    messages = [each.getMessage() for each in caplog.records if each.name == "guardrail_mw.operators"]
    assert messages == [
        "switch velocity: shadow: a trial",
        "switch velocity: clear: no reason was given",
        "switch everything: shadow: an incident",
        "switch everything: off: an incident",
    ]


async def test_what_a_store_that_lacks_it_says() -> None:
    class Bare:
        """Only what every store can do."""

        def __init__(self, store: MemoryStore) -> None:
            self.charge, self.settle, self.renew, self.remember = store.charge, store.settle, store.renew, store.remember
            self.spend, self.peek, self.drain, self.close = store.spend, store.peek, store.drain, store.close

    guarded = Guarded(Upstream(), policy(*LIMITS), clock=FakeClock(), environ=SECRETS)
    bare: Any = Bare(MemoryStore(clock=guarded.clock))
    guarded.guardrail.store = bare
    operator = Operator(guarded.guardrail)
    for act, public, detail in (
        (operator.export("a:" + "A" * 22), "This store has no desk.", "Bare has no reset(), export() and erase()."),
        (operator.modes(), "This store has no switches.", "Bare has no read_switches()."),
    ):
        with pytest.raises(StoreError) as caught:
            await act
        assert (caught.value.public, caught.value.detail) == (public, detail)


async def test_an_account_as_it_is_shown() -> None:
    """Nothing but what one calm request leaves: the first admitted of ten is a risk of 10, below all that matters."""
    kit = await Kit().begin()
    thresholds = kit.guarded.guardrail.engine.judge.ladder.thresholds(kit.account)
    shown = await kit.operator.show(kit.account)
    [event] = shown.pop("decisions")
    assert (event["account"], event["risk"]) == (kit.account, 10.0)
    assert shown == {
        "account": kit.account, "now": kit.now, "known": True, "proved": False, "since": kit.now, "verified": False,
        "verdict": "none", "cluster": "", "tier": "", "tier_until": None, "tier_why": "", "acr": "", "ial": "",
        "verifications": [], "rung": None, "cleared": [], "override": None, "labels": [], "done": [], "risk": 0.0,
        "rungs": [
            {"name": "slow", "do": "delay", "at": round(thresholds[0], 2), "shadow": False},
            {"name": "deny", "do": "deny", "at": round(thresholds[1], 2), "shadow": False},
        ],
    }  # fmt: skip
    half_hour = 1_800_000_000
    await kit.put(heat=str(kit.now + round(half_hour * 3.3)))  # 2 to the power of 3.3 is 9.849
    assert (await kit.operator.show(kit.account))["risk"] == 9.85


async def test_the_latest_decisions_are_twenty_at_most() -> None:
    kit = await Kit(friction={}).begin()
    for _ in range(24):
        await kit.guarded.post(CHAT)
    found = kit.operator.latest(kit.account)
    assert (len(found), len(kit.operator.latest(kit.account, 3))) == (20, 3)
    assert found == kit.guarded.guardrail.recorder.latest(20)
    assert len((await kit.operator.show(kit.account))["decisions"]) == 20
