"""What is sound and perhaps not meant. Each finding is held against what the policy really does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from guardrail_mw.policy import load
from guardrail_mw.policy.minding import mind
from guardrail_mw.testing.guarded import Guarded

from ..identity.kit import jwt_source  # noqa: TID252 - an issuer with real keys

Make = Callable[..., Guarded]

APP = {"sources": [{"use": "api_key", "with": {"trust": "app"}}]}
HEADER = {
    "trusted_proxies": ["10.0.0.0/8"],
    "sources": [{"use": "header", "with": {"account": "x-account", "acr": "x-acr"}}],
}
GATEWAY = {"sources": [{"use": "api_key", "with": {"trust": "gateway"}}]}
REQUESTS = {"name": "requests", "per": ["account"], "rate": "3/hour"}
STRANGERS = {"name": "strangers", "per": ["network"], "when": {"authenticated": False}, "rate": "9/hour"}
TOKENS = {"name": "tokens", "per": ["account"], "unit": "tokens", "rate": "2000/hour"}


def policy(**sections: Any) -> dict[str, Any]:
    return {"version": 1, "mode": "enforce", **sections}


def minded(**sections: Any) -> list[str]:
    return list(mind(load(policy(**sections))))


def judged(*, scorer: bool, rungs: tuple[bool, bool], **more: Any) -> dict[str, Any]:
    """A scorer and two rungs, each in shadow or not; the second attempt has a risk of 100."""
    return {
        "identity": GATEWAY,
        "velocity": [{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        "risk": {"scorers": [{"use": "velocity", "shadow": scorer, "with": {"attempts": {"from": 0, "full": 2}}}]},
        "friction": {
            "ladder": [{"at": 30, "do": "delay", "shadow": rungs[0]}, {"at": 60, "do": "trim", "shadow": rungs[1]}],
            **more,
        },
    }


def test_keys_that_are_not_proved_and_no_limit_for_them(guarded: Make) -> None:
    """The fourth call, with a key that the app would accept, is refused for three that were invented."""
    (said,) = minded(identity=APP, limits=[REQUESTS, TOKENS], routes=[{"path": "/v1/**", "dialect": "openai"}])
    assert said.startswith("With `trust: app` a key that the app has not accepted yet pays from its network: ")
    assert "needs (requests, tokens)." in said
    api = guarded(policy(identity=APP, limits=[REQUESTS], routes=[{"path": "/v1/**"}]))
    assert [api.chat(key=f"sk-{name}").status for name in ("a", "b", "c", "honest")] == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("identity", "limits"),
    [
        (APP, [REQUESTS, STRANGERS]),
        (GATEWAY, [REQUESTS]),
        (APP, []),
        (APP, [{"name": "all", "per": [], "rate": "9/second"}]),
        (APP, [{**REQUESTS, "shadow": True}]),
    ],
)
def test_nothing_to_say_of_strangers(identity: dict[str, Any], limits: list[dict[str, Any]]) -> None:
    assert minded(identity=identity, limits=limits) == []


@pytest.mark.parametrize(
    ("route", "counts"),
    [
        ({"path": "/v1/**"}, False),
        ({"path": "/v1/**", "dialect": "openai", "metered": False}, False),
        ({"path": "/v1/**", "dialect": "openai", "methods": ["GET"]}, False),
        ({"path": "/v1/**", "dialect": "openai", "limits": []}, False),
        ({"path": "/v1/**", "dialect": "openai"}, True),
        ({"path": "/v1/**", "metered": True}, True),
        ({"path": "/v1/**", "metered": True, "methods": ["POST"]}, True),
    ],
)
def test_tokens_that_nothing_counts(guarded: Make, route: dict[str, Any], *, counts: bool) -> None:
    """Where something is said, a thousand tokens leave the limit as it was; where nothing is, they do not."""
    said = minded(identity=GATEWAY, limits=[TOKENS], routes=[route])
    assert [each.partition(":")[0] for each in said] == ([] if counts else ["`tokens` counts nothing by itself"])
    api = guarded(policy(identity=GATEWAY, limits=[TOKENS], routes=[route]))
    answer = api.chat(1000)
    left = {held.name: held.remaining for held in api.peek(answer, "/v1/chat/completions").limits}
    assert (left.get("tokens", 2000) != 2000) == counts


@pytest.mark.parametrize(
    ("limits", "said"), [([], True), ([REQUESTS], True), ([REQUESTS, TOKENS], False), ([{**TOKENS, "shadow": True}], False)]
)
def test_budgets_of_clusters_whose_tokens_nothing_counts(limits: list[dict[str, Any]], *, said: bool) -> None:
    routes = [{"path": "/v1/**", "dialect": "openai"}]
    found = minded(identity=GATEWAY, routes=routes, limits=limits, clusters={})
    assert [each.startswith("No limit is in tokens or dollars") for each in found] == [True] * said
    assert minded(identity=GATEWAY, routes=routes, limits=limits) == []


def test_requests_and_slots_count_everywhere() -> None:
    assert minded(identity=GATEWAY, limits=[REQUESTS, {"name": "slots", "per": ["account"], "concurrency": 2}]) == []


def test_a_tier_that_nobody_has(guarded: Make) -> None:
    pro = {"name": "pro", "per": ["account"], "when": {"tier": "pro"}, "rate": "1/hour"}
    assert minded(identity=GATEWAY, limits=[pro]) == [
        (
            "The limit `pro` asks for `tier`, which no source of identity tells: it holds for nobody unless an operator gave the "
            "account one."
        )
    ]
    api = guarded(policy(identity=GATEWAY, limits=[pro]))
    assert [api.chat().status for _ in range(3)] == [200] * 3


def test_each_place_of_a_condition_is_named() -> None:
    said = minded(
        identity=GATEWAY,
        velocity=[{"name": "v", "count": "attempts", "per": "account", "over": "1h", "when": {"acr": "a"}}],
        friction={"allow": [{"organisation": "us"}], "caps": [{"when": {"ial": "2"}, "most": "allow"}]},
    )
    assert [each.partition(",")[0] for each in said] == [
        "The velocity rule `v` asks for `acr`",
        "friction.allow[0] asks for `organisation`",
        "friction.caps[0] asks for `ial`",
    ]
    assert said[1].endswith("it holds for nobody.")  # of an organisation no operator's word counts


def test_a_ladder_without_a_scorer() -> None:
    assert minded(friction={"ladder": [{"at": 30, "do": "delay"}]}) == [
        "There is a ladder and no scorer, so nothing adds to the risk: a rung is met only by an operator's override."
    ]


@pytest.mark.parametrize(
    ("scorer", "rungs", "said"),
    [
        (True, (False, False), True),
        (True, (True, False), True),
        (True, (True, True), False),
        (False, (True, True), False),
    ],
)
def test_what_is_in_shadow(guarded: Make, *, scorer: bool, rungs: tuple[bool, bool], said: bool) -> None:
    """No rung acts on what scorers in shadow find; events say what would have been done. Rungs in shadow promise nothing."""
    sections = judged(scorer=scorer, rungs=rungs)
    found = minded(**sections)
    assert [each.partition(":")[0] for each in found] == ["All scorers are in shadow"] * said
    api = guarded(policy(**sections))
    events = [api.chat().event for _ in range(3)]
    assert [event["decision"] for event in events] == ["allow"] * 3
    assert events[-1]["would"]["rung"] == "trim"


def test_a_stricter_rung_for_more_accounts() -> None:
    sections = judged(scorer=False, rungs=(False, False))
    milder, stricter = sections["friction"]["ladder"]
    milder["rollout"] = "5%"
    assert minded(**sections) == [
        (
            "`trim` acts on 100% of accounts and `delay`, the milder rung below it, on 5%: some accounts meet the stricter one "
            "first. `friction.rollout` is one share for all rungs."
        )
    ]
    stricter["rollout"] = "5%"
    assert minded(**sections) == []
    stricter["rollout"] = "2.5%"
    assert minded(**sections) == []
    milder["shadow"], stricter["rollout"] = True, "100%"
    assert minded(**sections) == []  # it acts on nobody


def stepping_up(identity: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """A rung that asks for `gold`, and a scorer that reaches it."""
    rung = {"at": 75, "do": "verify", "with": {"use": "step_up", "acr": "gold", **settings}}
    return {"identity": identity, "risk": {"scorers": [{"use": "automation"}]}, "friction": {"ladder": [rung]}}


def tokens(**claims: str | None) -> dict[str, Any]:
    return {"sources": [jwt_source(claims=claims)]}


UNPASSED = (
    "which no source of identity tells: nobody passes it. Have the claim of an issuer's tokens read (`use: jwt`, `claims:`)."
)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (stepping_up(GATEWAY), "`acr`"),
        (stepping_up(GATEWAY, max_age="5m"), "`acr` and `auth_time`"),
        (stepping_up(tokens(auth_time=None), max_age="5m"), "`auth_time`"),
        (stepping_up(tokens(acr=None), max_age="5m"), "`acr`"),
        (stepping_up({**HEADER, "assurance": ["gold"]}, max_age="5m"), "`auth_time`"),
        (stepping_up(tokens(auth_time=None)), ""),
        (stepping_up(tokens(), max_age="5m"), ""),
        (stepping_up(HEADER), ""),
    ],
)
def test_a_step_up_that_nobody_passes(sections: dict[str, Any], said: str) -> None:
    assert minded(**sections) == [f"The rung `verify` goes by {said}, {UNPASSED}"] * bool(said)


def test_a_context_that_is_not_in_the_order() -> None:
    assert minded(**stepping_up({**tokens(), "assurance": ["silver", "golden"]})) == [
        (
            "The rung `verify` asks for an `acr` that `identity.assurance` does not have, so that only itself will do: gold. Was "
            "one of these meant: silver, golden?"
        )
    ]
    assert minded(**stepping_up({**tokens(), "assurance": ["silver", "gold"]})) == []


@pytest.mark.parametrize(
    ("below", "instead", "worth"),
    [
        ("trim", "trim", False),
        ("trim", "delay", False),
        ("trim", "allow", False),
        ("trim", "deny", True),
        ("trim", None, True),
        ("delay", "trim", True),
        ("delay", "delay", False),
        (None, "allow", True),
    ],
)
def test_a_challenge_that_is_not_worth_solving(below: str | None, instead: str | None, *, worth: bool) -> None:
    """The rung below acts on who has solved it, as on anybody."""
    sections = judged(scorer=False, rungs=(False, False))
    challenge = {"at": 60, "do": "challenge", "with": {"use": "altcha"}} | ({"otherwise": instead} if instead else {})
    ladder = [*([{"at": 30, "do": below}] if below else []), challenge]
    said = (
        f"Solving `challenge` gets nobody anything: who cannot solve it meets `otherwise: {instead}`, and who has solved it the "
        f"rung below it, `{below}`. Take that rung away, or put something stricter in `otherwise`."
    )
    assert minded(**{**sections, "friction": {"ladder": ladder}}) == ([] if worth else [said])
    if below:
        ladder[0]["shadow"] = True
        assert minded(**{**sections, "friction": {"ladder": ladder}}) == []


def verified(*, use: str = "manual", rung: bool = True, mode: str = "enforce", **more: Any) -> dict[str, Any]:
    """A provider, and a rung that sends people there."""
    own: dict[str, Any] = {"levels": {"id": {"ial": "2"}}}
    if use == "simulated":
        own["i_know_it_proves_nothing"] = True
    asks = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id"}, **more.pop("asks", {})}
    verification = {"name": "Example AI", "providers": {"ids": {"use": use, "with": own}}, **more.pop("verification", {})}
    return {
        "mode": mode,
        "identity": GATEWAY,
        "risk": {"scorers": [{"use": "automation"}]},
        "friction": {"ladder": [asks] if rung else []},
        "endpoints": {"public_url": "https://api.example"},
        "verification": verification,
        **more,
    }


def test_a_provider_that_nobody_is_sent_to() -> None:
    assert minded(**verified()) == []
    assert minded(**verified(rung=False)) == [
        (
            "No rung asks for a verification by `ids`: nobody is ever sent there. Add one, {at: 75, do: verify, with: {use: "
            "identity, provider: ids, level: …}}, or take the provider out once its last approval has run out."
        )
    ]


@pytest.mark.parametrize(
    ("use", "mode", "shadow", "said"),
    [
        ("simulated", "enforce", False, True),
        ("simulated", "shadow", False, False),
        ("simulated", "enforce", True, False),
        ("manual", "enforce", False, False),
    ],
)
def test_a_rung_that_whoever_clicks_passes(use: str, mode: str, *, shadow: bool, said: bool) -> None:
    found = minded(**verified(use=use, mode=mode, asks={"shadow": shadow}))
    assert [each.partition(":")[0] for each in found] == [
        "The rung `verify` asks for a verification that is simulated, in enforce"
    ] * said


@pytest.mark.parametrize(
    ("verification", "endpoints", "said"),
    [
        ({"name": "Example AI"}, {}, True),
        ({"name": "Example AI"}, {"public_url": "https://api.example"}, False),
        ({"name": "Example AI", "appeals": {"open": False}}, {}, False),
    ],
)
def test_appeals_at_a_path(verification: dict[str, Any], endpoints: dict[str, Any], *, said: bool) -> None:
    found = minded(identity=GATEWAY, verification=verification, endpoints=endpoints)
    assert [each.partition(":")[0] for each in found] == ["Appeals are open, and `endpoints.public_url` is not set"] * said


def test_what_an_approval_gives_is_told_by_it() -> None:
    """An `acr` stays untold: the provider's level gives none."""
    limits = [{"name": name, "per": ["account"], "when": {name: "2"}, "rate": "9/minute"} for name in ("ial", "acr")]
    (said,) = minded(**verified(limits=limits))
    assert said.startswith("The limit `acr` asks for `acr`, which no source of identity tells")


def test_policies_that_ship_are_as_they_are_meant() -> None:
    assert [list(mind(load(name))) for name in ("guardrail:balanced", "guardrail:watch")] == [[], []]
