"""Whole explanations, line for line: what whoever asks reads, with figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine.explaining import WHY, explain, explain_account, explain_limits, summarise
from guardrail_mw.engine.figures import number, plural, span, utc
from guardrail_mw.policy import Policy, load
from guardrail_mw.telemetry.event import validate

from ..telemetry.kit import ACCOUNT, AT, denied, event  # noqa: TID252 - the kit of events

DEVICE = "d:XyO4vS0kC2u1mE7bJ5aTqg"
NETWORK = "n:Zl2hO0eYqf3rG4mSPc9xUw"
ID = "5f2d0c9b7a61e48f3d20b7c4"
NOON = "2026-01-01 00:00:00 UTC"
CALM: dict[str, Any] = {"risk": 0.0, "effective": 0.0, "findings": [], "limits": [], "velocity": {}}


def given() -> Policy:
    """A limit for the account and one for its network, a count, and two rungs."""
    return load(
        {
            "version": 1,
            "limits": [
                {"name": "requests", "per": ["account"], "rate": "120/minute"},
                {"name": "net", "per": ["network"], "unit": "tokens", "budget": "9000/day"},
            ],
            "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
            "risk": {"scorers": [{"use": "velocity", "with": {"attempts": {"from": 0, "full": 10}}}]},
            "friction": {"ladder": [{"at": 65, "do": "delay"}, {"at": 90, "do": "trim"}]},
        }
    )


def count(value: int, **figures: Any) -> dict[str, Any]:
    """A finding of ten points for each attempt."""
    figures = {"count": value, "floor": 0, "from": 0, "full": 10, "window_s": 600} | figures
    found = {"scorer": "velocity", "family": "volume", "score": min(10 * value, 100), "reason": "attempts"}
    return {**found, "figures": figures, "shadow": False}


def told(found: dict[str, Any], of: Policy | None = None, **rest: Any) -> list[str]:
    validate(found)
    return explain({**found, "policy": of.hash} if of is not None else found, policy=of, **rest)


def test_all_there_is_to_say() -> None:
    """Risk: 100 x (1 - .2 x .5) = 90; left below 85, which with 50 of another family takes less than 70 of this one: six.

    From 92.5 to 85 it takes log2(92.5 / 85) = 0.122 half-lives of 30 minutes, 3.66 minutes.
    """
    of = given()
    limits = [
        {
            "name": "requests",
            "unit": "requests",
            "cost": 1,
            "remaining": 0,
            "reset_ms": 60_000,
            "ok": False,
            "shadow": False,
        },
        {"name": "net", "unit": "tokens", "cost": 10, "remaining": 30, "reset_ms": 1500, "ok": True, "shadow": False},
        {"name": "gone", "unit": "usd", "cost": 15_468, "remaining": 9, "reset_ms": 0, "ok": False, "shadow": True},
        {"name": "other", "unit": "requests", "cost": 1, "remaining": 1, "reset_ms": 0, "ok": False, "shadow": False},
    ]
    robot = {"scorer": "robots", "family": "automation", "score": 50, "reason": "headless", "shadow": False}
    found = denied(
        limits=limits,
        velocity={"attempts": [8, False], "a-name-of-more-than-22-letters": [64, True]},
        would={"decision": "deny", "code": "rate_limited", "limit": "other", "rung": ""},
        risk=90.0,
        effective=92.5,
        rung="trim",
        rung_at=90.0,
        why=["up", "not a code", "one-family"],
        findings=[count(8), {**robot, "figures": {"name": "Chrome", "version": 7}}, {**count(4), "shadow": True}],
    )
    assert told(found, of) == [
        f"Decision {ID}, {NOON}, mode enforce, policy {of.hash}",
        "Request  POST on /v1/**, model large; likely 36 tokens in, 1024 out; took 600 µs",
        f"Caller   {ACCOUNT}, proved by api_key, tier pro, device {DEVICE} (seen), network {NETWORK}",
        "Answer   refused with 429 (rate_limited); the app never saw it",
        "Shadow   outside shadow it would have been refused by limit other (rate_limited)",
        "Limits",
        "  requests               REFUSED: costs 1 request of 120/minute, 0 requests left, 1 request short; room in 480 ms",
        "  net                    cost 10 tokens of 9000/day; 30 tokens left, as new in 1.5 s",
        "  gone                   recorded only, it is in shadow: costs $0.015468, $0.000009 left, $0.015459 short",
        "  other                  REFUSED: costs 1 request, 1 request left",
        "Counted",
        "  attempts               8",
        "  a-name-of-more-than-22-letters 64 or more",
        "Risk     90 of 100 by itself, 92.5 with what is remembered",
        "  volume 80 (attempts) adds 40: without it the risk would be 50, not 90",
        "  automation 50 (headless) adds 10: without it the risk would be 80, not 90",
        "    attempts 80, volume, by velocity: 8 counted within 10 min; suspicion begins above 0 and is whole at 10",
        "    headless 50, automation, by robots: name Chrome, version 7",
        (
            "    attempts 40, volume, by velocity (in shadow: recorded only): 4 counted within 10 min; "
            "suspicion begins above 0 and is whole at 10"
        ),
        "Rung     trim, which begins at 90 for this account: 2.5 above it",
        "         up: it went on although the rung held, and was led up to the next",
        "         one-family: the evidence is of one family; deny and verify need two",
        "What would bring it down",
        "  The limit requests: the same request is admitted in 480 ms, if nothing else comes.",
        f"  Or: guardrail-mw accounts refill {ACCOUNT} --limit requests --reason …",
        "  attempts: at most 6 within 10 min instead of 8, all else as it was.",
        "  Calm: what is remembered halves every 30m; from 92.5 it is below 85 in 3.66 min.",
        f"  Or: guardrail-mw accounts override {ACCOUNT} allow --until 7d --reason …",
    ]


def test_nothing_but_what_there_always_is() -> None:
    found = event(**CALM, route="", method="", used=None, estimate={"input": 0, "output": 0, "items": 1}, tier="", device="",
                  account="", candidate="", authenticated=False, network="", duration_ms=0.0)  # fmt: skip
    assert told(found) == [
        f"Decision {ID}, {NOON}, mode enforce, policy 91c1f3b2a0e45d67",
        "Request  an unusual method on what matches no route, model large; took 0 s",
        "Caller   its credential was bad",
        "Answer   passed on; answered 200",
    ]


def test_a_policy_that_is_another_is_left_out() -> None:
    last = "(The policy that decided is not at hand: weights, amounts and decay are left out.)"
    limits = event()["limits"][:1]
    for more in ({"limits": limits}, {"findings": [count(1)], "risk": 10.0}):
        assert explain(event(**CALM | more), policy=given())[-1] == last
        assert last not in told(event(**CALM | more), given())
    assert last not in explain(event(**CALM), policy=given())


def test_why_in_words() -> None:
    """Each code with its words, in the order of the event."""
    words = {
        "allow-lane": "`friction.allow` holds for it: no rung acts, whatever the risk",
        "budget": "the rung's budget of established accounts is spent, so it met a lower one",
        "capped": "a cap of the policy keeps rungs stricter than it away from this caller",
        "cleared": "it has passed what the rung asks for",
        "delays-full": "it was to wait, and no more requests may wait at once: it was trimmed instead, where the caps let it",
        "hysteresis": "the risk is below the threshold again, but not yet by enough to leave the rung",
        "not-rolled-out": "the rung is not rolled out to this account yet",
        "one-family": "the evidence is of one family; deny and verify need two",
        "otherwise": "it cannot solve what the rung asks, and meets what stands in `otherwise`",
        "override": "an operator's override decides, not the risk",
        "shadow": "the rung, or a scorer that speaks against it, is in shadow: recorded only",
        "store": "the store could not say what was solved before, so nothing was asked",
        "unknown-override": "its override names a rung that the policy does not have; it is ignored",
        "up": "it went on although the rung held, and was led up to the next",
    }
    assert told(event(**CALM, why=list(words)))[4:] == [f"         {code}: {text}" for code, text in words.items()]
    assert words == WHY


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({"decision": "allow"}, "passed on; answered 200"),
        ({"decision": "delay", "delay_ms": 1500}, "delayed by 1.5 s; answered 200"),
        ({"decision": "delay", "delay_ms": 0}, "delayed by 0 s; answered 200"),
        ({"decision": "trim", "trimmed": ["logprobs", "n"]}, "trimmed of logprobs, n; answered 200"),
        ({"decision": "delay", "delay_ms": 500, "trimmed": ["n"]}, "delayed by 500 ms of n; answered 200"),
        ({"decision": "challenge", "code": "challenge_required", "outcome": "denied", "status": 403},
         "challenged with 403 (challenge_required); the app never saw it"),
        ({"decision": "verify", "code": "verification_required", "outcome": "denied", "status": 0},
         "asked to verify (verification_required); the app never saw it"),
        ({"decision": "deny", "code": "", "outcome": "denied", "status": 0}, "refused; the app never saw it"),
        ({"outcome": "refused", "status": 404}, "passed on; refused by the app 404"),
        ({"outcome": "failed", "status": 500}, "passed on; failed 500"),
        ({"outcome": "failed", "status": 0, "code": "x"}, "passed on (x); failed, no answer began"),
        ({"outcome": "abandoned", "status": 0}, "passed on; the client went away, no answer began"),
        ({"outcome": "abandoned", "status": 200}, "passed on; the client went away 200"),
    ],
)  # fmt: skip
def test_what_was_answered(more: dict[str, Any], answer: str) -> None:
    assert explain(event(**CALM | more))[3] == f"Answer   {answer}"


@pytest.mark.parametrize(
    ("would", "said"),
    [
        (("deny", "rate_limited", "few", ""), "refused by limit few (rate_limited)"),
        (("deny", "rate_limited", "few", "slow"), "refused by limit few (rate_limited)"),
        (("delay", "", "", "slow"), "delayed by rung slow"),
        (("deny", "bad_body", "", ""), "refused (bad_body)"),
        (("allow", "", "", ""), "passed on"),
    ],
)
def test_what_it_would_have_been(would: tuple[str, ...], said: str) -> None:
    found = dict(zip(("decision", "code", "limit", "rung"), would, strict=True))
    assert explain(event(**CALM, would=found))[4:] == [f"Shadow   outside shadow it would have been {said}"]


def test_whom_it_was_of() -> None:
    whole = event(**CALM, acr="gold", ial="2", verified=True, verdict="suspect", device_kind="")
    assert explain(whole)[2] == (
        f"Caller   {ACCOUNT}, proved by api_key, tier pro, acr gold, ial 2, verified, its cluster is suspect, "
        f"device {DEVICE} (unknown), network {NETWORK}"
    )
    bare = {**CALM, "tier": "", "device": "", "account": NETWORK, "authenticated": False}
    assert explain(event(**bare))[2] == f"Caller   a key nobody has proved ({ACCOUNT}): its network {NETWORK} pays"
    assert explain(event(**bare, candidate=""))[2] == f"Caller   no credential: its network {NETWORK} pays"
    assert explain(event(**bare, candidate="", network=""))[2] == f"Caller   no credential: its network {NETWORK} pays"


RUNGS = [{"name": "delay", "at": 63.2}, {"name": "trim", "at": 90.75}]


@pytest.mark.parametrize(
    ("effective", "known", "of_policy", "rung"),
    [
        (63.1, RUNGS, True, "Rung     none; 0.1 below delay, which begins at 63.2 for this account"),
        (63.2, RUNGS, True, "Rung     none; 27.55 below trim, which begins at 90.75 for this account"),
        (90.75, RUNGS, True, "Rung     none; delay begins between 61.5 and 68.5, which depends on the account"),
        (10.0, [], True, "Rung     none; delay begins between 61.5 and 68.5, which depends on the account"),
        (90.75, RUNGS, False, None),
        (10.0, [], False, None),
    ],
)
def test_how_far_the_next_rung_is(effective: float, known: Any, of_policy: bool, rung: str | None) -> None:
    """At 65 the spread is a tenth of 35, which is nearer than 65."""
    found = event(**CALM | {"effective": effective})
    lines = told(found, given() if of_policy else None, rungs=known)
    assert [line for line in lines if line.startswith("Rung")] == ([] if rung is None else [rung])


@pytest.mark.parametrize(
    ("effective", "at", "rung"),
    [
        (65.0, 65.0, "delay, which begins at 65 for this account: 0 above it"),
        (64.75, 65.0, "delay, which begins at 65 for this account: 0.25 below it"),
        (0.0, None, "delay"),
    ],
)
def test_how_far_its_own_rung_is(effective: float, at: float | None, rung: str) -> None:
    lines = explain(event(**CALM | {"effective": effective, "rung": "delay", "rung_at": at}))
    assert [line for line in lines if line.startswith("Rung")] == [f"Rung     {rung}"]


def test_of_a_risk_that_is_none_nothing_is_said() -> None:
    lines = [line[:4] for line in explain(event(**CALM))]
    assert not {"Risk", "Rung"} & set(lines)
    assert "Risk     0 of 100 by itself, 3 with what is remembered" in explain(event(**CALM | {"effective": 3.0}))
    assert "Risk     3 of 100 by itself" in explain(event(**CALM | {"risk": 3.0}))
    shadowed = explain(event(**CALM | {"findings": [{**count(3), "shadow": True}]}))
    assert "Risk     0 of 100 by itself" in shadowed


# Accounts


SHOWN: dict[str, Any] = {
    "account": ACCOUNT, "now": AT, "known": True, "proved": True, "since": AT - 3 * 86_400_000_000, "verified": True,
    "verdict": "watched", "cluster": "abc", "tier": "pro", "tier_until": AT, "tier_why": "a launch", "acr": "gold", "ial": "2",
    "risk": 53.2, "rung": {"name": "delay", "since": AT - 60_000_000, "met": 2},
    "override": {"what": "deny", "until": None, "why": "seen"},
    "rungs": [
        {"name": "delay", "do": "delay", "at": 53.2, "shadow": True},
        {"name": "trim", "do": "trim", "at": 53.45, "shadow": False},
        {"name": "deny", "do": "deny", "at": 91.0, "shadow": False},
    ],
    "cleared": [{"rung": "puzzle", "code": "c1ea", "until": AT}, {"rung": "", "code": "c0de", "until": AT}],
    "labels": [{"label": "vip", "until": None, "why": "by mail"}, {"label": "new", "until": AT, "why": "a b"}],
    "done": [{"at": AT, "verb": "refill", "what": "requests", "why": "our mistake"}],
    "decisions": [],
}  # fmt: skip
LIMIT: dict[str, Any] = {
    "name": "tokens", "unit": "tokens", "amount": "6000/minute", "per": ["account", "model"], "model": "large",
    "remaining": 0, "reset_ms": 60_000, "wait_ms": 10, "ok": False, "shadow": True,
}  # fmt: skip


def test_an_account_of_which_all_is_known() -> None:
    decisions = [
        denied(),
        event(status=0, rung="trim", decision="trim", effective=70.0),
        event(code="bad_input", rung="trim"),
        event(code="bad_input"),
        event(),
    ]
    assert explain_account({**SHOWN, "decisions": decisions}, [LIMIT]) == [
        f"Account  {ACCOUNT}, {NOON}",
        (
            "Standing known since 2025-12-29 00:00:00 UTC (3 d), proved by the app, verified, acr gold, ial 2, cluster abc, "
            "verdict watched"
        ),
        "Risk     53.2 of 100 remembered",
        "Rung     delay, since 2025-12-31 23:59:00 UTC (1 min), and has met 2 requests",
        "  delay                  begins at 53.2, 0 below what is remembered, in shadow",
        "  trim                   begins at 53.45, 0.25 away",
        "  deny                   begins at 91, 37.8 away",
        f"Passed   puzzle, until {NOON}",
        f"Passed   what the policy does not ask for now (c0de), until {NOON}",
        "Override deny for good: seen",
        f"Tier     pro until {NOON}: a launch",
        "Label    vip for good: by mail",
        f"Label    new until {NOON}: a b",
        "Limits",
        "  tokens (large)         0 tokens left of 6000/minute; room in 10 ms; as new in 1 min, in shadow",
        f"Done     {NOON}: refill requests: our mistake",
        "Latest decisions, of the last 5 that this process knows",
        f"  {ID}  {NOON}  deny (requests), 429, risk 20.25",
        f"  {ID}  {NOON}  trim (trim), no answer, risk 70",
        f"  {ID}  {NOON}  allow (trim), 200, risk 20.25",
        f"  {ID}  {NOON}  allow (bad_input), 200, risk 20.25",
        f"  {ID}  {NOON}  allow, 200, risk 20.25",
    ]


def test_an_account_of_which_less_is_known() -> None:
    bare = {**SHOWN, "proved": False, "verified": False, "since": None, "cluster": "", "acr": "", "ial": "", "rung": None,
            "rungs": [], "cleared": [], "override": None, "tier_until": None, "tier_why": "", "labels": [],
            "done": []}  # fmt: skip
    assert explain_account(bare) == [
        f"Account  {ACCOUNT}, {NOON}",
        "Standing known, verdict watched",
        "Risk     53.2 of 100 remembered",
        "Tier     pro for good",
    ]
    assert explain_account({**bare, "known": False, "tier": "", "rung": {"name": "delay", "since": AT, "met": 0}}, []) == [
        f"Account  {ACCOUNT}, {NOON}",
        "Standing nothing is remembered of it",
        "Risk     53.2 of 100 remembered",
        f"Rung     delay, since {NOON} (0 s)",
        "Limits",
        "  none hold",
    ]


def test_limits_as_they_stand() -> None:
    room = {"remaining": 60, "reset_ms": 0, "wait_ms": 0, "ok": True, "shadow": False, "model": None}
    assert explain_limits(
        [
            {**LIMIT, "unit": "usd", "remaining": 1_500_000, "amount": "5/month"},
            {**LIMIT, **room},
            {**LIMIT, "remaining": None},
            {**LIMIT, "remaining": None, "per": ["network"], "model": None, "shadow": False},
        ]
    ) == [
        "tokens (large)         $1.500000 left of 5/month; room in 10 ms; as new in 1 min, in shadow",
        "tokens                 60 tokens left of 6000/minute",
        "tokens (large)         6000/minute per account and model: which that is, a request must tell, in shadow",
        "tokens                 6000/minute per network: which that is, a request must tell",
    ]
    assert explain_limits([]) == ["none hold"]


def test_a_summary() -> None:
    """The most frequent first; of more than twenty the latest twenty."""
    events = [denied(at=AT + 60_000_000), *[event() for _ in range(20)], denied(), event(decision="trim", rung="cut")]
    found = summarise(ACCOUNT, events)
    assert found[:3] == [
        f"Account  {ACCOUNT}: 23 decisions, {NOON} to 2026-01-01 00:01:00 UTC",
        "         20 allow, 2 deny, 1 trim",
        f"  {ID}  2026-01-01 00:01:00 UTC  deny (requests), 429, risk 20.25",
    ]
    assert found[3:] == [f"  {ID}  {NOON}  allow, 200, risk 20.25"] * 19
    assert summarise("a\n", [event()])[0] == f"Account  a\\n: 1 decision, {NOON} to {NOON}"


def test_figures_to_the_last() -> None:
    day = 86_400_000_000
    lengths = {
        0: "0 s", 1: "1 µs", 999: "999 µs", 1_000: "1 ms", 1_234: "1.23 ms", 999_499: "999 ms", 1_000_000: "1 s",
        59_999_999: "60 s", 60_000_000: "1 min", 3_599_000_000: "60 min", 3_600_000_000: "1 h", day - 1: "24 h", day: "1 d",
        999 * day: "999 d", 1_000 * day: "1000 d", 1_000 * day + day - 1: "1000 d",
    }  # fmt: skip
    assert {us: span(us) for us in lengths} == lengths
    assert [utc(0), utc(AT + 1_999_999)] == ["1970-01-01 00:00:00 UTC", "2026-01-01 00:00:01 UTC"]
    assert [number(each) for each in (0.0, 0.004, 10.0, 100.0, 0.1, 33.333)] == ["0", "0", "10", "100", "0.1", "33.33"]
    assert [plural(each, "request") for each in (0, 1, 2)] == ["0 requests", "1 request", "2 requests"]
