"""A proof of work as a client sees it: found in a refusal, looked at before it is begun, solved.

What a server asks for is a stranger's word, so none of it is begun that could not end: the algorithm is known, the work that it
takes on average is below a bound, and the search ends at a time that the caller gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import altcha
from altcha.v2 import DEFAULT_KEY_LENGTH, DEFAULT_KEY_PREFIX

from guardrail_mw.errors import GuardrailError

__all__ = ["ALGORITHMS", "HARDEST", "LONGEST", "ChallengeError", "Puzzle", "challenge_in", "read", "solve"]

ALGORITHMS: Final[Mapping[str, int]] = {"PBKDF2/SHA-256": 32, "PBKDF2/SHA-384": 48, "PBKDF2/SHA-512": 64}
"""What can be solved, and how many bytes of a key one pass of it makes."""

HARDEST: Final = 30_000_000
"""Rounds of hashing that a puzzle may take on average: eight seconds at four million a second, one core's pace."""

LONGEST: Final = 30.0
"""Seconds after which a search is given up."""

_PREFIX: Final = 4
"""Hexadecimal digits, at most, that a key may have to begin with: 65,536 tries on average."""

_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_BYTES: Final = 64
"""Of salt, nonce and key, at most."""

_PLACES: Final = (("error", "challenge"), ("error", "details", "challenge"), ("challenge",))
"""Where the dialects of OpenAI, of Anthropic and of RFC 9457 keep it."""


class ChallengeError(GuardrailError):
    """A challenge that is not begun, or not to the end: it cannot be read, it is too hard, or its time was up."""


class _Stopped(Exception):  # noqa: N818 - nothing is wrong
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A proof of work that can be done."""

    url: str
    """Where the answer goes, as the server wrote it: absolute, or a path."""
    case: str
    """Whom and what it is about, sealed by the server."""
    challenge: altcha.Challenge
    """What is to be solved."""

    @property
    def effort(self) -> int:
        """Rounds of hashing that it takes on average."""
        asked = self.challenge.parameters
        passes = -(-asked.key_length // ALGORITHMS[asked.algorithm])
        return int(asked.cost * passes * 16 ** len(asked.key_prefix))


def challenge_in(text: str | bytes) -> Mapping[str, Any] | None:
    """The challenge object in the body of a refusal of any dialect, or the text that is one itself; else None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    for place in _PLACES:
        found = document
        for name in place:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict):
            return found
    return document if isinstance(document, dict) and "parameters" in document else None


def read(challenge: Mapping[str, Any], *, hardest: int = HARDEST) -> Puzzle:
    """What is to be solved, if it is bearable.

    Args:
        challenge: the challenge object of a refusal.
        hardest: rounds of hashing that it may take on average.

    Raises:
        ChallengeError: it is of another type, cannot be read, or is harder than that.
    """
    kind, parameters = challenge.get("type"), challenge.get("parameters")
    if kind != "altcha":
        raise ChallengeError("A challenge is of a type that only a person can solve.", f"type: {str(kind)[:40]!r}")
    if not isinstance(parameters, dict):
        raise _unreadable("parameters")
    algorithm = parameters.get("algorithm")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise ChallengeError("A challenge has an algorithm that is not known here.", f"algorithm: {str(algorithm)[:40]!r}")
    for name in ("url", "case", "signature"):
        if not isinstance(challenge.get(name), str):
            raise _unreadable(name)
    for name in ("nonce", "salt"):
        if not _is_hex(parameters.get(name), 2 * _BYTES) or len(parameters[name]) % 2:
            raise _unreadable(f"parameters.{name}")
    _check_counts(parameters)
    puzzle = Puzzle(challenge["url"], challenge["case"], altcha.Challenge.from_dict(dict(challenge)))
    if puzzle.effort > hardest:
        raise ChallengeError(
            "A challenge is too hard.", f"It takes {puzzle.effort:,} rounds on average, and hardest is {hardest:,}."
        )
    return puzzle


def _check_counts(parameters: Mapping[str, Any]) -> None:
    cost, length = parameters.get("cost"), parameters.get("keyLength", DEFAULT_KEY_LENGTH)
    if type(cost) is not int or cost < 1:
        raise _unreadable("parameters.cost")
    if type(length) is not int or not 1 <= length <= _BYTES:
        raise _unreadable("parameters.keyLength")
    prefix = parameters.get("keyPrefix", DEFAULT_KEY_PREFIX)
    if not isinstance(prefix, str) or not _is_hex(prefix, len(prefix)):
        raise _unreadable("parameters.keyPrefix")
    if len(prefix) > min(_PREFIX, 2 * length):
        raise ChallengeError("A challenge is too hard.", f"Its key begins with {len(prefix)} digits; {_PREFIX} are borne.")


def _is_hex(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and _HEX.fullmatch(value) is not None


def _unreadable(name: str) -> ChallengeError:
    return ChallengeError("A challenge cannot be read.", f"Its {name} is missing or not what it should be.")


def solve(puzzle: Puzzle, *, longest: float = LONGEST, stopped: Callable[[], bool] = lambda: False) -> str:
    """The answer, to be sent to `puzzle.url` beside `puzzle.case`. Takes a core until it is found.

    Args:
        puzzle: what `read` made.
        longest: seconds after which the search is given up.
        stopped: asked before each try; True ends the search.

    Raises:
        ChallengeError: the time was up, or it was stopped.
    """

    def derive(parameters: altcha.ChallengeParameters, salt: bytes, password: bytes) -> bytes:
        if stopped():
            raise _Stopped
        return altcha.derive_key_pbkdf2(parameters, salt, password)

    try:  # a timeout of 0 would be none
        solution = altcha.solve_challenge(puzzle.challenge, derive, timeout=longest) if longest > 0 else None
    except _Stopped:
        raise ChallengeError("A challenge was not solved.", "Nobody waits for its answer any more.") from None
    if solution is None:
        raise ChallengeError("A challenge was not solved in time.", f"It takes {puzzle.effort:,} rounds on average.")
    return altcha.Payload(puzzle.challenge, solution).to_base64()
