"""The section `clusters`: what it is unless it says otherwise, and where and how its mistakes are told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guardrail_mw.clusters.ordering import Judging
from guardrail_mw.clusters.verdict import Judge
from guardrail_mw.errors import Problem
from guardrail_mw.policy import loads

Problems = Callable[..., list[Problem]]

BEGIN = "version: 1\nclusters:\n"


def test_it_is_off_unless_it_is_there() -> None:
    assert loads("version: 1\n", environ={}).clusters is None


def test_what_an_empty_one_says() -> None:
    clusters = loads("version: 1\nclusters: {}\n", environ={}).clusters
    assert clusters is not None
    said = {name: str(getattr(clusters, name)) for name in ("every", "lookback", "established", "content", "hours")}
    assert said == {"every": "10m", "lookback": "90d", "established": "30d", "content": "True", "hours": "True"}
    assert (clusters.floor.accounts, clusters.floor.exchanges) == (20, 300)
    assert (clusters.material.accounts, str(clusters.material.tokens)) == (50, "1%")
    assert (clusters.approval.over, str(clusters.approval.wait)) == (1000, "30m")
    assert (clusters.verdict.suspect, clusters.verdict.confirmed) == (None, None)


def test_devices_are_told_apart_where_they_are_evidence() -> None:
    device = loads("version: 1\nclusters: {}\n", environ={}).identity_in_use.device
    assert device is not None
    assert device.cookie is False
    said = "version: 1\nclusters: {}\nidentity: {device: {cookie: true}}\n"
    kept = loads(said, environ={}).identity_in_use.device
    assert kept is not None
    assert kept.cookie is True


def test_it_is_written_as_it_was_read() -> None:
    said = {"every": "5m", "kinds": {"badge": {"family": "reputation", "bound": True}}, "shared_networks": ["192.0.2.0/24"]}
    policy = loads(
        BEGIN + "  every: 5m\n  kinds: {badge: {family: reputation, bound: true}}\n  shared_networks: [192.0.2.0/24]\n"
    )
    assert policy.written()["clusters"] == said


def test_the_shipped_thresholds_can_be_written() -> None:
    """Scores are nats of a logistic model, 0 at even odds, and the shipped threshold may lie below that."""
    judge = Judge.shipped()
    suspect, confirmed = judge.suspect / 1000, judge.confirmed / 1000
    policy = loads(BEGIN + f"  verdict: {{suspect: {suspect}, confirmed: {confirmed}}}\n")
    assert policy.clusters is not None
    assert Judging.of(policy.clusters).judge == judge
    assert loads(BEGIN + "  verdict: {suspect: -1000, confirmed: -999}\n").clusters is not None


@pytest.mark.parametrize(
    ("line", "path", "message", "hint"),
    [
        ("every: 30s", "clusters.every", "is not between 1m and 24h.", "10m is usual; a campaign does much in a day."),
        ("lookback: 91d", "clusters.lookback", "is not between 1d and 90d.", "Evidence last seen 90 days ago is forgotten."),
        (
            "established: 90d",
            "clusters.established",
            "is not below `lookback`, 90d.",
            "Evidence must count for longer than it takes to be trusted: 30d and 90d are usual.",
        ),
        (
            "approval: {wait: 0.5s}",
            "clusters.approval.wait",
            "is not between 1m and 24h.",
            "30m is time to look, and little for a campaign.",
        ),
        (
            "verdict: {suspect: 9, confirmed: 9}",
            "clusters.verdict.confirmed",
            "is not above `suspect`, 9.",
            "Three nats above it is usual.",
        ),
        (
            "free_mail: [example.com, me@example.net]",
            "clusters.free_mail[1]",
            "is not a domain.",
            "Write it in small letters, as DNS has it, without @: example.com.",
        ),
        (
            "kinds: {device: {family: device}}",
            "clusters.kinds.device",
            "is the name of a kind that is built in.",
            "Give it another name.",
        ),
        (
            "kinds: {one: {family: payment, code: 32}, two: {family: payment, code: 32}}",
            "clusters.kinds.two.code",
            "would be kept under 32, as `one` is.",
            "Set its `code` to 33, for good.",
        ),
        ("kind: {}", "clusters.kind", "is not a known key.", "Did you mean `kinds`?"),
    ],
)
def test_mistakes_are_told_where_they_are(problems: Problems, line: str, path: str, message: str, hint: str) -> None:
    (problem,) = problems(f"{BEGIN}  content: true\n  {line}\n")
    assert (problem.line, problem.path, problem.message, problem.hint) == (4, path, message, hint)


def test_all_mistakes_are_told_at_once(problems: Problems) -> None:
    found = problems(BEGIN + "  every: 25h\n  content: 1\n  shared_networks: [10.0.0.1/8]\n  floor: {accounts: 1}\n")
    assert [(each.line, each.path) for each in found] == [
        (3, "clusters.every"),
        (4, "clusters.content"),
        (5, "clusters.shared_networks[0]"),
        (6, "clusters.floor.accounts"),
    ]


TOKENS = "identity: {sources: [{use: jwt, with: {issuer: https://id.example, audience: us, secret: "
TOKENS += f"{'s' * 40}, algorithms: [HS256]}}}}]}}\n"


def test_organisations_have_one_budget_each() -> None:
    said = "  organisations: [{name: acme, tokens: 5000}, {name: b, issuer: https://id.example, tokens: 1}]\n"
    clusters = loads(BEGIN + said + TOKENS, environ={}).clusters
    assert clusters is not None
    assert [(each.name, each.issuer, each.tokens) for each in clusters.organisations] == [
        ("acme", "", 5000),
        ("b", "https://id.example", 1),
    ]


@pytest.mark.parametrize(
    ("said", "path", "message"),
    [
        ("{name: acme, tokens: 1}, {name: acme, tokens: 2}", "[1].name", "stands there twice: 'acme'."),
        (
            "{name: acme, tokens: 1}, {name: acme, issuer: https://id.example, tokens: 2}",
            "[1].name",
            "stands there twice: 'acme'.",
        ),
        ("{name: acme, issuer: https://id.exmple, tokens: 2}", "[0].issuer", "is no source's: `https://id.exmple`."),
    ],
)
def test_what_an_organisation_cannot_be(problems: Problems, said: str, path: str, message: str) -> None:
    (problem,) = problems(BEGIN + f"  organisations: [{said}]\n" + TOKENS)
    assert (problem.line, problem.path, problem.message) == (3, f"clusters.organisations{path}", message)
    assert problem.hint in {"Give it one budget, or one with each `issuer`.", "Did you mean `https://id.example`?"}
