"""The secrets of a deployment: what they are for, where they come from, and when there must be some.

`GUARDRAIL_ID_KEY` keys the digests of accounts and evidence and is never rotated: a new one makes strangers of everybody,
an amnesty. `GUARDRAIL_KEYS=new,old` is for what is signed and comes back soon (cookies, challenges, webhooks); the first
signs, all verify, and each purpose gets a key of its own by HKDF (RFC 5869), so that none can be used in another's place.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guardrail_mw.errors import PolicyError, Problem

__all__ = ["SHORTEST", "Keyring", "Secrets", "derive"]

SHORTEST = 32
"""Characters that a secret needs: 128 bits in hexadecimal."""

_CURE = "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'"


def derive(secret: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (`digests`, `clearance`), by HKDF-SHA256 with the purpose as `info`."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"guardrail_mw", info=purpose.encode()).derive(secret)


class Keyring:
    """What `GUARDRAIL_KEYS` holds, newest first.

    Args:
        masters: the secrets themselves, at least one.
    """

    __slots__ = ("_derived", "_masters")

    def __init__(self, masters: Sequence[bytes]) -> None:
        if not masters:
            raise ValueError("a keyring needs at least one key")
        self._masters = tuple(masters)
        self._derived: dict[str, list[bytes]] = {}

    def __repr__(self) -> str:
        """How many keys there are, never which."""
        return f"<Keyring of {len(self._masters)}>"

    def derive(self, purpose: str) -> list[bytes]:
        """The keys for one purpose, newest first: sign with the first, verify with any. 32 bytes each."""
        found = self._derived.get(purpose)
        if found is None:
            found = self._derived[purpose] = [derive(master, purpose) for master in self._masters]
        return list(found)


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets one process runs with."""

    id_key: bytes = field(repr=False)
    """32 bytes, from `GUARDRAIL_ID_KEY`; for `Resolver`."""
    keys: Keyring
    made_up: tuple[str, ...] = ()
    """Names of the variables that were not set, so that this process made them up; worth a line in the log."""

    @classmethod
    def read(cls, environ: Mapping[str, str], *, shared: bool) -> Secrets:
        """Read them from the environment; where one is missing, make it up unless the store is shared.

        Processes on a shared store must agree on digests and signatures, and must still agree after a restart.

        Args:
            environ: where `GUARDRAIL_ID_KEY` and `GUARDRAIL_KEYS` are looked up.
            shared: whether the store outlives or is shared beyond this process.

        Raises:
            PolicyError: one is too short, or missing where the store is shared; all problems at once.
        """
        problems: list[Problem] = []
        made_up: list[str] = []
        found: dict[str, list[bytes]] = {}
        for name in ("GUARDRAIL_ID_KEY", "GUARDRAIL_KEYS"):
            text = environ.get(name, "").strip()
            values = [part.strip() for part in text.split(",")] if name == "GUARDRAIL_KEYS" and text else [text]
            if not text and not shared:
                made_up.append(name)
                values = [secrets.token_hex(32)]
            problem = _problem(name, values, missing=not text and shared)
            if problem is not None:
                problems.append(problem)
            found[name] = [value.encode() for value in values]
        if problems:
            raise PolicyError(problems)
        return cls(derive(found["GUARDRAIL_ID_KEY"][0], "digests"), Keyring(found["GUARDRAIL_KEYS"]), tuple(made_up))


def _problem(name: str, values: list[str], *, missing: bool) -> Problem | None:
    if missing:
        message = "is not set, and a shared store does not start without it: processes must agree on it."
        return Problem(name, message, _CURE, source="environment")
    if any(len(value) < SHORTEST for value in values):
        what = "has a key" if name == "GUARDRAIL_KEYS" else "is"
        return Problem(name, f"{what} shorter than {SHORTEST} characters.", _CURE, source="environment")
    return None
