"""Whole events, as requests make them: every field, with figures worked out by hand."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from guardrail_mw.engine import core, recording
from guardrail_mw.engine.judgement import QUIET, Judgement
from guardrail_mw.engine.outline import is_plain, outlined
from guardrail_mw.engine.recording import kind, record
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.risk.base import Finding
from guardrail_mw.risk.combination import NO_RISK, Weighed
from guardrail_mw.risk.runner import Scored
from guardrail_mw.stores.base import Change
from guardrail_mw.telemetry.event import validate
from guardrail_mw.values import Allow, Challenge, Delay, Deny, Facts, Refusal, Subject, Trim, Verify

from ..asgi.kit import KEY, Guarded, Upstream, chat, policy  # noqa: TID252 - the kit of the pipeline's tests
from .kit import shown

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
AT = 1_767_225_600_000_000
ENVIRON = {"GUARDRAIL_ID_KEY": "a key of whole events, long enough"}
ATTEMPTS = {"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}
JUDGING: dict[str, Any] = {
    "velocity": [ATTEMPTS],
    "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]},
    "friction": {"ladder": [{"at": 15, "do": "delay", "with": {"seconds": 0.5}}]},
    "reserve": {"output": 50},
}
LIMITS: list[dict[str, Any]] = [
    {"name": "requests", "rate": "60/minute"},
    {"name": "tokens", "unit": "tokens", "rate": "9000/minute"},
    {"name": "all", "per": [], "unit": "tokens", "rate": "90000/minute"},
    {"name": "few", "window": "1/hour", "shadow": True},
]
USAGE = {"prompt_tokens": 90, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 5}}
USED = {"input": 85, "cached": 5, "cache_write": 0, "output": 7, "complete": True}


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rung that delays does so by what the policy says."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)


def usual(guarded: Guarded, **more: Any) -> dict[str, Any]:
    """The event of a request by the first key about which nothing is found, on no limit."""
    subject = guarded.guardrail.engine.identify(Facts("POST", CHAT, [KEY], peer="198.51.100.7"))
    assert isinstance(subject, Subject)
    return {
        "v": 1,
        "at": AT,
        "policy": guarded.guardrail.policy.hash,
        "identity": guarded.guardrail.policy.identity_hash,
        "mode": "enforce",
        "route": "/v1/**",
        "method": "POST",
        "dialect": "openai",
        "model": "other",
        "account": subject.account,
        "candidate": subject.account,
        "network": subject.network,
        "organisation": "",
        "cluster": "",
        "device": "",
        "device_kind": "",
        "tier": "",
        "acr": "",
        "ial": "",
        "authenticated": True,
        "verified": False,
        "source": "api_key",
        "established": False,
        "decision": "allow",
        "code": "",
        "status": 200,
        "outcome": "answered",
        "would": None,
        "limits": [],
        "velocity": {},
        "refusal": None,
        "risk": 0.0,
        "effective": 0.0,
        "findings": [],
        "rung": None,
        "rung_at": None,
        "why": [],
        "changes": 0,
        "verdict": "none",
        "delay_ms": 0,
        "trimmed": [],
        "estimate": {"input": 0, "output": 0, "items": 1},
        "used": None,
        "duration_ms": 0.0,
    } | more


def recorded(guarded: Guarded) -> list[dict[str, Any]]:
    """All events, the oldest first, without their ids."""
    found = guarded.guardrail.recorder.latest(100)[::-1]
    for event in found:
        validate(event)
        assert len(event.pop("id")) == 24
    return found


def limit(name: str, cost: int, remaining: int, reset_ms: int, **more: Any) -> dict[str, Any]:
    """How a limit stood."""
    unit = "tokens" if name in {"tokens", "all"} else "requests"
    return {
        "name": name,
        "unit": unit,
        "cost": cost,
        "remaining": remaining,
        "reset_ms": reset_ms,
        "ok": True,
        "shadow": False,
    } | more


def attempts(count: int) -> list[dict[str, Any]]:
    """Ten points each."""
    figures = {"count": count, "floor": 0, "from": 0, "full": 10, "window_s": 600}
    found = {"scorer": "velocity", "family": "volume", "score": 10 * count, "reason": "attempts"}
    return [{**found, "figures": figures, "shadow": False}]


async def test_requests_that_are_judged() -> None:
    """A request a second, 150 tokens a second for the account, 1500 for all; 150 are reserved and 97 used.

    The third comes half a second after the second, which waited so long: half a request and 75 tokens have come back. The window
    of an hour is as new after 63 minutes, for it moves in steps of a twentieth. With the second request comes the rung: what is
    remembered is the risk and the rung, with the third the greater risk.
    """
    guarded = Guarded(Upstream(json.dumps({"usage": USAGE}).encode()), policy(*LIMITS, **JUDGING), environ=ENVIRON)
    for _ in range(3):
        await guarded.post(CHAT, chat(400))
    [begins] = guarded.guardrail.engine.judge.ladder.thresholds(guarded.bills[0].candidate)
    charged = usual(guarded, estimate={"input": 100, "output": 50, "items": 1}, used=USED)
    slowed = {**charged, "decision": "delay", "delay_ms": 500, "rung": "delay", "rung_at": round(begins, 2)}
    few = limit("few", 1, 0, 3_780_000, shadow=True)
    assert round(begins, 2) != round(begins, 1)
    assert recorded(guarded) == [
        {
            **charged,
            "limits": [
                limit("requests", 1, 59, 1000),
                limit("tokens", 150, 8850, 1000),
                few,
                limit("all", 150, 89_850, 100),
            ],
            "velocity": {"attempts": [1, False]},
            "risk": 10.0,
            "effective": 10.0,
            "findings": attempts(1),
        },
        {
            **slowed,
            "limits": [
                limit("requests", 1, 58, 2000),
                limit("tokens", 150, 8753, 1646),
                {**few, "ok": False},
                limit("all", 150, 89_753, 164),
            ],
            "velocity": {"attempts": [2, False]},
            "risk": 20.0,
            "effective": 20.0,
            "findings": attempts(2),
            "changes": 2,
        },
        {
            **slowed,
            "at": AT + 500_000,
            "limits": [
                limit("requests", 1, 57, 2500),
                limit("tokens", 150, 8731, 1793),
                {**few, "ok": False, "reset_ms": 3_779_500},
                limit("all", 150, 89_850, 100),
            ],
            "velocity": {"attempts": [3, False]},
            "risk": 30.0,
            "effective": 30.0,
            "findings": attempts(3),
            "changes": 1,
            "duration_ms": 500.0,
        },
    ]


async def test_requests_that_are_refused() -> None:
    """By a limit, for its credential, and by a store that cannot be asked."""
    guarded = Guarded(
        Upstream(),
        policy({"name": "requests", "rate": "1/minute"}, telemetry={}, store={"on_error": "deny"}),
        environ=ENVIRON,
    )
    await guarded.post(CHAT)
    guarded.clock.advance(0.25)
    await guarded.post(CHAT)
    await guarded.post(CHAT, None, KEY, (b"x-api-key", b"sk-x"))
    guarded.store.failure = StoreError("The store failed.")
    await guarded.post(CHAT)
    one = usual(guarded)
    nobody = dict.fromkeys(
        (
            "account",
            "candidate",
            "network",
            "organisation",
            "cluster",
            "device",
            "device_kind",
            "tier",
            "acr",
            "ial",
            "source",
        ),
        "",
    )
    denied = {**one, "at": AT + 250_000, "decision": "deny", "outcome": "denied"}
    assert recorded(guarded) == [
        {**one, "limits": [limit("requests", 1, 0, 60_000)]},
        {
            **denied,
            "code": "rate_limited",
            "status": 429,
            "limits": [limit("requests", 1, 0, 59_750, ok=False)],
            "refusal": {"limit": "requests", "kind": "token_bucket", "unit": "requests", "wait_ms": 59_750},
        },
        {**denied, **nobody, "authenticated": False, "code": "ambiguous_credential", "status": 400},
        {**denied, "code": "unavailable", "status": 503},
    ]


async def test_what_shadow_kept_from_being_done() -> None:
    """A limit's refusal, and a rung's."""
    document = policy({"name": "requests", "rate": "2/minute"}, mode="shadow", **JUDGING)
    guarded = Guarded(Upstream(), document, environ=ENVIRON)
    for _ in range(3):
        await guarded.post(CHAT, chat())
    assert [(event["decision"], event["rung"], event["would"]) for event in recorded(guarded)] == [
        ("allow", None, None),
        ("allow", "delay", {"decision": "delay", "code": "", "limit": "", "rung": "delay"}),
        ("allow", None, {"decision": "deny", "code": "rate_limited", "limit": "requests", "rung": ""}),
    ]


def step(**more: Any) -> Any:
    """Where nothing stands on the ladder."""
    return QUIET.step._replace(**more)


RUNGS = {name: SimpleNamespace(name=name, do=do) for name, do in (("low", "delay"), ("high", "trim"))}
REFUSED = Deny("id", "rate_limited", 429, "m", (), Refusal("few", "budget", "usd", "1/day", 5, shared=False))


@pytest.mark.parametrize(
    ("would", "on", "said"),
    [
        (None, None, None),
        (None, step(rung=RUNGS["low"]), None),
        (None, step(), None),
        (None, step(would=RUNGS["high"]), ("trim", "", "", "high")),
        (None, step(would=RUNGS["high"], rung=RUNGS["low"]), ("trim", "", "", "high")),
        (Delay("id", 1.0), step(rung=RUNGS["low"]), ("delay", "", "", "low")),
        (Delay("id", 1.0), step(rung=RUNGS["low"], would=RUNGS["high"]), ("delay", "", "", "high")),
        (REFUSED, None, ("deny", "rate_limited", "few", "")),
        (Deny("id", "denied", 403, "m"), step(rung=RUNGS["low"]), ("deny", "denied", "", "low")),
        (Trim("id", ()), step(), ("trim", "", "", "")),
    ],
)
def test_what_would_have_been_done(would: Any, on: Any, said: tuple[str, ...] | None) -> None:
    exchange: Any = SimpleNamespace(would=would, judgement=None if on is None else Judgement(QUIET.scored, on))
    expected = None if said is None else dict(zip(("decision", "code", "limit", "rung"), said, strict=True))
    assert recording._would(exchange) == expected


def test_decisions_in_a_word() -> None:
    decisions: list[Any] = [
        Allow("i"),
        Delay("i", 1.0),
        Trim("i", ()),
        Challenge("i", {}),
        Verify("i", ""),
        Deny("i", "c", 403, "m"),
        None,
    ]
    assert [kind(each) for each in decisions] == ["allow", "delay", "trim", "challenge", "verify", "deny", "allow"]


async def test_who_was_not_planned_for_is_who_it_says() -> None:
    guarded = Guarded(Upstream(), policy())
    engine = guarded.guardrail.engine
    exchange = engine.begin(engine.router.find(CHAT, "POST"), Facts("POST", CHAT, []))
    exchange.subject = Subject(
        account="a:one", candidate="a:two", network="n:three", organisation="o:four", device="d:five", device_kind="seen",
        tier="gold", acr="silver", ial="2", verified=True, source="jwt", authenticated=True,
    )  # fmt: skip
    event = record(exchange, "failed", status=500, usage=None, now=17, took=1_500)
    assert (event["at"], event["outcome"], event["status"], event["duration_ms"]) == (17, "failed", 500, 1.5)
    assert recording.subject_of(exchange, {**shown("3", "gold"), "cluster": "abc"}) == {
        "account": "a:one", "candidate": "a:two", "network": "n:three", "organisation": "o:four", "cluster": "abc",
        "device": "d:five", "device_kind": "seen", "tier": "", "acr": "silver", "ial": "2", "authenticated": False,
        "verified": True, "source": "jwt",
    }  # fmt: skip


# The short way


def judged(*findings: tuple[str, int, float, bool]) -> Judgement:
    """What scorers found: reason, score, weight and whether in shadow."""
    weighed = [Weighed("s", Finding("volume", score, reason), weight, shadow) for reason, score, weight, shadow in findings]
    return Judgement(Scored(NO_RISK, tuple(weighed), NO_RISK), step())


PLAIN: dict[str, Any] = {
    "decision": Allow("id"),
    "would": None,
    "receipt": SimpleNamespace(readings=(1,)),
    "judgement": None,
}


@pytest.mark.parametrize(
    ("more", "plain"),
    [
        ({}, True),
        ({"judgement": QUIET}, True),
        ({"judgement": judged()}, True),
        ({"decision": Delay("id", 1.0)}, False),
        ({"decision": None}, False),
        ({"would": Allow("id")}, False),
        ({"receipt": None}, False),
        ({"receipt": SimpleNamespace(readings=())}, False),
        ({"judgement": judged(("a", 1, 1.0, False))}, False),
        ({"judgement": Judgement(QUIET.scored, step(rung=RUNGS["low"]))}, False),
        ({"judgement": Judgement(QUIET.scored, step(would=RUNGS["low"]))}, False),
        ({"judgement": Judgement(QUIET.scored, step(why=("capped",)))}, False),
        ({"judgement": Judgement(QUIET.scored, step(changes=(Change("unset", "rung"),)))}, False),
        ({"judgement": Judgement(QUIET.scored, step(effective=5.0))}, True),
    ],
)
def test_what_is_plain(more: dict[str, Any], plain: bool) -> None:
    assert is_plain(SimpleNamespace(**PLAIN | more)) is plain  # type: ignore[arg-type]


async def test_the_short_way_at_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that is full, an account that is established meanwhile, a method of nobody's, a request that takes its time."""
    both: list[tuple[dict[str, Any], dict[str, Any]]] = []

    def watching(exchange: Any, outcome: str, **rest: Any) -> bytes:
        packed = outlined(exchange, outcome, **rest)
        both.append((record(exchange, outcome, now=-1, **rest), json.loads(packed)))
        return packed

    async def takes(_scope: Any) -> None:
        guarded.clock.advance(0.0125)

    monkeypatch.setattr(core, "outlined", watching)
    networks = {"name": "networks", "distinct": "network", "per": "account", "over": "1h"}
    upstream = Upstream(json.dumps({"usage": USAGE}).encode())
    upstream.before = takes
    limits = [{"name": "requests", "rate": "9000/minute"}, {"name": "few", "window": "1/hour", "shadow": True}]
    guarded = Guarded(upstream, policy(*limits, velocity=[networks], telemetry={}), environ=ENVIRON)
    guarded.clock.advance(1)
    for number in range(66):
        await guarded.post(CHAT, chat(), client=(f"203.0.{number}.1", 1))
    guarded.clock.advance(31 * 86_400)
    await guarded.post(CHAT, chat())
    await guarded.get("/v1/x", method="OWN")
    assert [long for long, _ in both] == [short for _, short in both]
    assert len(both) == 68
    known = [
        (short["velocity"]["networks"], short["established"], short["method"], short["duration_ms"]) for _, short in both
    ]
    assert known[0] == ([1, False], False, "POST", 12.5)
    assert known[65] == ([64, True], False, "POST", 12.5)
    assert known[66:] == [([1, False], True, "POST", 12.5), ([1, False], True, "", 12.5)]
    assert [short["limits"][1]["ok"] for _, short in both][:2] == [True, False]


async def test_an_account_that_is_established_meanwhile_is_so_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a subject fixes was written down with its first request, before anything was known of it."""
    long: list[dict[str, Any]] = []

    def watching(exchange: Any, outcome: str, **rest: Any) -> bytes:
        long.append(record(exchange, outcome, now=-1, **rest))
        return outlined(exchange, outcome, **rest)

    monkeypatch.setattr(core, "outlined", watching)
    guarded = Guarded(Upstream(), policy({"name": "requests", "rate": "9000/minute"}, telemetry={}), environ=ENVIRON)
    for days in (0, 0, 29.999, 0.001, 1):
        guarded.clock.advance(days * 86_400)
        await guarded.post(CHAT, chat())
    short = guarded.guardrail.recorder.latest(9)[::-1]
    assert short == long
    assert [each["established"] for each in short] == [False, False, False, True, True]


def test_a_policy_that_is_recorded_by_its_hash() -> None:
    one, other = (load({"version": 1, "mode": mode}) for mode in ("shadow", "enforce"))
    assert one.hash != other.hash
    assert one.identity_hash == other.identity_hash
