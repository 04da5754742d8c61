"""The environment in a policy: substituted after parsing, never shown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import load, loads

Problems = Callable[..., list[Problem]]
SECRET = "hunter2-Zq9"  # noqa: S105 - stands for one


@pytest.mark.parametrize(
    ("text", "environ", "url"),
    [
        ("${STORE}", {"STORE": "redis://h"}, "redis://h"),
        ("${STORE:-memory://}", {}, "memory://"),
        ("${STORE:-memory://}", {"STORE": ""}, "memory://"),
        ("redis://${HOST}:${PORT:-6379}/0", {"HOST": "h"}, "redis://h:6379/0"),
        ("redis://h/$${X}", {}, "redis://h/${X}"),
        ("redis://h/$X", {"X": "y"}, "redis://h/$X"),
    ],
)
def test_references(text: str, environ: dict[str, str], url: str) -> None:
    assert loads(f"version: 1\nstore:\n  url: {text}\n", environ=environ).store.url == url
    assert load({"version": 1, "store": {"url": text}}, environ=environ).store.url == url


def test_a_value_is_not_substituted_again() -> None:
    assert loads("version: 1\nstore:\n  url: ${A}\n", environ={"A": "redis://${B}", "B": "x"}).store.url == "redis://${B}"


def test_a_value_adds_no_structure(problems: Problems) -> None:
    (problem,) = problems("version: 1\nmode: ${MODE}\n", MODE="off\nheaders: []")
    assert (problem.line, problem.message) == (2, "is what ${MODE} holds; expected shadow, enforce or off.")


def test_numbers_and_booleans_where_they_are_expected() -> None:
    text = (
        "version: 1\nstore: {processes: '${N}'}\nreserve: {strict: '${B}'}\n"
        "limits: [{name: '${N}', per: [], rate: '${N}/minute'}]\n"
    )
    policy = loads(text, environ={"N": "8", "B": "true"})
    assert (policy.store.processes, policy.reserve.strict, policy.limits[0].name) == (8, True, "8")


@pytest.mark.parametrize(
    ("field", "value"), [("processes: '${V}'", "yes"), ("processes: '${V}'", "0x8"), ("processes: '${V}'", "")]
)
def test_and_only_there(problems: Problems, field: str, value: str) -> None:
    (problem,) = problems(f"version: 1\nstore: {{{field}}}\n", V=value)
    assert problem.path == "store.processes"


@pytest.mark.parametrize("text", ["${", "${}", "${1X}", "${A-b}", "${A:-b", "a ${ b"])
def test_what_is_no_reference(problems: Problems, text: str) -> None:
    (problem,) = problems(f"version: 1\nstore:\n  url: '{text}'\n", A="x")
    assert (problem.line, problem.message) == (3, "has a `${` that is no reference to a variable.")


def test_every_missing_variable_is_named(problems: Problems) -> None:
    found = problems("version: 1\nmode: ${A}\nstore:\n  url: redis://${B}:${C}\n")
    assert [(problem.line, problem.message) for problem in found] == [
        (2, "needs the environment variable A, which is not set."),
        (4, "needs the environment variable B, which is not set."),
        (4, "needs the environment variable C, which is not set."),
    ]
    assert found[0].hint == "Set it, or write ${A:-default}."


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "console: {token: '${GUARDRAIL_OPERATOR_TOKEN}'}",
            "Set it. Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
        ),
        (
            "identity: {sources: [{use: jwt, with: {issuer: x, audience: y, algorithms: [HS256], secret: '${JWT}'}}]}",
            "Set it: a secret does not belong in the file.",
        ),
        ("store: {url: 'redis://:${REDIS_PASSWORD}@h'}", "Set it: a secret does not belong in the file."),
        ("reserve: {output: '${MAX_TOKENS}'}", "Set it, or write ${MAX_TOKENS:-default}."),
    ],
)
def test_nobody_is_told_to_write_a_secret_into_the_file(problems: Problems, text: str, hint: str) -> None:
    assert [problem.hint for problem in problems(f"version: 1\n{text}\n")] == [hint]


PLACES = [
    "mode: '${S}'",
    "extends: '${S}'",
    "extends: 'guardrail:${S}'",
    "headers: ['${S}']",
    "store: {url: 'redis://:${S}@host:port'}",
    "store: {url: '${S}', deadline: '${S}', on_error: '${S}', processes: '${S}'}",
    "identity: {trusted_proxies: ['${S}']}",
    "identity: {sources: [{use: '${S}'}]}",
    "identity: {sources: [{use: api_key, with: {trust: '${S}', headers: ['${S} ']}}]}",
    "identity: {sources: [{use: api_key, with: {trust: keys, keys: ['${S}']}}]}",
    "identity: {sources: [{use: jwt, with: {issuer: x, audience: y, algorithms: [HS256], secret: '${S}'}}]}",
    "identity: {sources: [{use: jwt, with: {issuer: x, audience: y, algorithms: [RS256], jwks: '${S}'}}]}",
    "identity: {assurance: ['${S}', '${S}']}",
    "routes: [{path: '${S}', dialect: '${S}', limits: ['${S}']}]",
    "routes: [{path: '/${S}'}, {path: '/${S}'}]",
    "models: {a: {names: ['${S}', '${S}'], usd_per_million: '${S}'}}",
    "limits: [{name: '${S}', per: ['${S}'], rate: '${S}', unit: '${S}', when: {verdict: '${S}'}}]",
    "limits: [{name: a, per: [account], rate: 1/minute, replaces: '${S}'}]",
    "limits: [{name: a, per: [account], rate: 1/minute, when: {route: '${S}', model: '${S}', source: '${S}'}}]",
    "limits: [{name: a, per: [account], window: '${S}'}, {name: b, per: [account], budget: '${S}'}]",
    "limits: [{name: a, per: [], rate: 1/minute, keep: '${S}'}]",
    "inspect: {max_body: '${S}'}",
    "friction: {x: '${S}'}",
    "unknown: '${S}'",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", [SECRET, SECRET.lower(), "hunter2hunter2", "12345678901", "-98765"])
def test_no_problem_shows_what_a_variable_holds(place: str, secret: str) -> None:
    with pytest.raises(PolicyError) as caught:
        loads(f"version: 1\n{place}\n", environ={"S": secret})
    text = str(caught.value)
    pieces = {secret[start : start + 4] for start in range(len(secret) - 3)}
    assert not [piece for piece in pieces if piece in text]
    assert not [piece for piece in pieces if piece in str(caught.value.__cause__ or "")]
    assert not [piece for piece in pieces if piece in str(caught.value.__context__ or "")]


def _refusal(text: str, value: str) -> PolicyError | None:
    try:
        loads(text, environ={"S": value})
    except PolicyError as error:
        return error
    return None


@given(st.text(min_size=1, max_size=30), st.sampled_from(PLACES))
def test_any_value_is_read_or_refused(value: str, place: str) -> None:
    found = _refusal(f"version: 1\n{place}\n", value)
    assert found is None or found.problems


def test_a_policy_does_not_print_its_stores_password() -> None:
    assert SECRET not in repr(load({"version": 1, "store": {"url": f"redis://:{SECRET}@h"}}))
