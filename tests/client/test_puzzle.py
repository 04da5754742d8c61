"""What a client solves, and what it does not begin."""

from __future__ import annotations

import json
from typing import Any

import altcha
import pytest

from guardrail_mw.client.puzzle import ChallengeError, challenge_in, read, solve

from .server import SLOW

SECRET = "not a secret"  # noqa: S105


def challenge(algorithm: str = "PBKDF2/SHA-256", cost: int = 50, prefix: str = "0", **changed: Any) -> dict[str, Any]:
    made = altcha.create_challenge(algorithm, cost, key_prefix=prefix, data={"case": "c1"}, hmac_secret=SECRET).to_dict()
    return {"type": "altcha", "url": "/answers", "case": "c1", **made, **changed}


def parameters(**changed: Any) -> dict[str, Any]:
    made = challenge()
    return made | {"parameters": made["parameters"] | changed}


@pytest.mark.parametrize("algorithm", ["PBKDF2/SHA-256", "PBKDF2/SHA-384", "PBKDF2/SHA-512"])
def test_an_answer_is_one_that_the_library_accepts(algorithm: str) -> None:
    puzzle = read(challenge(algorithm))
    assert (puzzle.url, puzzle.case) == ("/answers", "c1")
    assert altcha.verify_solution(solve(puzzle), SECRET).verified


def test_where_the_dialects_keep_it() -> None:
    inner = {"type": "altcha"}
    for document in ({"error": {"challenge": inner}}, {"error": {"details": {"challenge": inner}}}, {"challenge": inner}):
        assert challenge_in(json.dumps(document)) == inner
    alone = challenge()
    assert challenge_in(json.dumps(alone)) == alone


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", "{}", '{"error": "no"}', '{"error": {"details": []}, "challenge": "no"}', "[" * 100_000, b"\xff"],
)
def test_where_there_is_none(text: str | bytes) -> None:
    assert challenge_in(text) is None


def test_effort_is_rounds_times_tries() -> None:
    """A key of 32 bytes is one pass of SHA-256, one of 33 are two; a digit is sixteen tries."""
    assert read(challenge(cost=2000, prefix="00")).effort == 2000 * 256
    assert read(challenge(cost=100, prefix="")).effort == 100
    assert read(parameters(keyLength=33)).effort == 2 * 50 * 16
    assert read(parameters(keyLength=33, algorithm="PBKDF2/SHA-384")).effort == 50 * 16
    assert read(challenge(cost=1, prefix="fFfF")).effort == 65_536


def test_the_library_s_defaults_hold() -> None:
    made = challenge(prefix="00")
    del made["parameters"]["keyLength"], made["parameters"]["keyPrefix"]
    assert read(made).effort == 50 * 256


def test_what_is_too_hard_is_not_begun() -> None:
    assert read(challenge(cost=1875, prefix="000"), hardest=7_680_000).effort == 7_680_000
    with pytest.raises(ChallengeError, match=r"too hard\. It takes 7,684,096 rounds on average, and hardest is 7,680,000"):
        read(challenge(cost=1876, prefix="000"), hardest=7_680_000)
    with pytest.raises(ChallengeError, match="too hard"):
        read(challenge(cost=10**9, prefix=""))
    with pytest.raises(ChallengeError, match="begins with 5 digits; 4 are borne"):
        read(challenge(cost=1, prefix="00000"), hardest=10**9)
    with pytest.raises(ChallengeError, match="begins with 3 digits"):
        read(parameters(keyLength=1, keyPrefix="000"))


@pytest.mark.parametrize("algorithm", ["SCRYPT", "ARGON2ID", "SHA-256", "pbkdf2/sha-256", "PBKDF2/MD5", None, 5, ["x"]])
def test_an_algorithm_that_is_not_known(algorithm: Any) -> None:
    with pytest.raises(ChallengeError, match="algorithm"):
        read(parameters(algorithm=algorithm))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cost", 0), ("cost", -1), ("cost", True), ("cost", 1.5), ("cost", "50"), ("cost", None),
        ("keyLength", 0), ("keyLength", 65), ("keyLength", "32"), ("keyPrefix", "0g"), ("keyPrefix", 0), ("keyPrefix", None),
        ("nonce", "0"), ("nonce", "zz"), ("nonce", None), ("nonce", "00" * 65), ("salt", 7), ("salt", "00 00 "),
    ],
)  # fmt: skip
def test_parameters_that_are_not_what_they_should_be(name: str, value: Any) -> None:
    with pytest.raises(ChallengeError, match=f"parameters.{name}"):
        read(parameters(**{name: value}))


@pytest.mark.parametrize("name", ["url", "case", "signature", "parameters"])
def test_a_member_that_is_missing(name: str) -> None:
    made = challenge()
    del made[name]
    with pytest.raises(ChallengeError, match=name):
        read(made)


def test_what_only_a_person_can_solve() -> None:
    with pytest.raises(ChallengeError, match=r"only a person can solve.*'turnstile'"):
        read(challenge(type="turnstile"))


def test_a_search_ends_when_its_time_is_up() -> None:
    puzzle = read(challenge() | {"parameters": dict(SLOW)})
    for longest in (0.0, -1.0, 0.001):
        with pytest.raises(ChallengeError, match=r"not solved in time. It takes 26,214,400 rounds"):
            solve(puzzle, longest=longest)


def test_a_search_ends_when_nobody_waits() -> None:
    asked = iter([False, False, True])
    with pytest.raises(ChallengeError, match="Nobody waits"):
        solve(read(challenge() | {"parameters": dict(SLOW)}), stopped=lambda: next(asked))
    assert list(asked) == []
