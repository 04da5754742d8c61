"""Requests made up for tests."""

from __future__ import annotations

import pytest

from guardrail_mw.clock import SystemClock
from guardrail_mw.risk.base import Count
from guardrail_mw.testing.requests import Recorder, context, request, scope, subject, velocity
from guardrail_mw.values import Estimate, Standing


def test_a_request_is_as_servers_give_it() -> None:
    headers: dict[str, str | bytes] = {"User-Agent": "curl/8.5.0", "X-Odd": b"\xff"}
    facts = request("GET", "/v1/models", headers, peer="unix", kind="websocket")
    assert (facts.method, facts.path, facts.peer, facts.kind) == ("GET", "/v1/models", "unix", "websocket")
    assert facts.headers == [(b"user-agent", b"curl/8.5.0"), (b"x-odd", b"\xff")]
    assert request(headers=[("A", "1"), (b"A", "\u00e9")]).headers == [(b"a", b"1"), (b"a", b"\xe9")]


def test_a_body_that_was_read_tells_what_it_is_likely_to_use() -> None:
    assert request(input=7, stream=True).body == Estimate("large-1", 7, 1024, stream=True)
    assert request(read=False).body is None
    with pytest.raises(TypeError, match="leave out input, model"):
        request(read=False, model="x", input=5)
    with pytest.raises(TypeError, match="tokens"):
        request(tokens=5)


def test_subjects_of_one_name_are_one() -> None:
    ada, again, bob = subject(), subject("ada", tier="pro"), subject("bob")
    assert ada.account == again.account == ada.candidate != bob.account
    assert (ada.network, again.tier, ada.authenticated) == (bob.network, "pro", True)
    stranger = subject(authenticated=False)
    assert (stranger.account, stranger.candidate, stranger.authenticated) == (stranger.network, "", False)
    assert ada.account.startswith("a:")
    assert subject(network="home").network != ada.network


def test_what_a_scorer_looks_at() -> None:
    plain = context()
    assert (plain.authenticated, plain.route, plain.model, plain.standing, plain.counts) == (
        True,
        "/v1/**",
        "large",
        Standing(),
        {},
    )
    full = context(
        request(read=False),
        who=subject(authenticated=False),
        counts={"attempts": 5, "devices": Count(64, floor=True)},
        standing={"verdict": "suspect"},
        now=5,
    )
    assert full.counts == {"attempts": Count(5), "devices": Count(64, floor=True)}
    assert (full.standing.fields, full.standing.version, full.now) == ({"verdict": "suspect"}, 5, 5)
    assert not full.authenticated


def test_what_a_scorer_is_built_with() -> None:
    rule = velocity("attempts", "volume", hours=0.5)
    assert rule.window == 1_800_000_000
    clock, observer = SystemClock(), Recorder()
    given = scope("owl", [rule], clock=clock, observer=observer)
    assert (given.name, given.velocity, given.clock, given.observer) == ("owl", {"attempts": rule}, clock, observer)
    for _ in range(2):
        given.observer.count("owl.seen", 2)
    assert observer.events == {"owl.seen": 4}
