"""What cases and appeals stand on: where they are kept, and what a record of theirs looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from guardrail_mw.errors import StoreError
from guardrail_mw.friction.memory import whole
from guardrail_mw.stores.base import Change, Files, Tally
from guardrail_mw.stores.resilient import behind

if TYPE_CHECKING:
    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.notices import Notices
    from guardrail_mw.engine.standings import Standings
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.policy.endpoints import EndpointsSettings
    from guardrail_mw.stores.base import Store

__all__ = [
    "CASE", "KEPT", "OWNER", "REFERENCE", "Ground", "Vouch", "files_of", "history", "noted", "referring", "shortened", "tally_of",
]  # fmt: skip

CASE: Final = "case"
REFERENCE: Final = "reference"
OWNER: Final = "owner"
"""Drawers: cases by their names; their names, by the provider's ids; and by their accounts, `c.` before each."""
KEPT: Final = 400 * 86_400_000_000
"""µs that a record is kept after it was last touched."""
_LINES: Final = 200
"""Of a history, those that say what was begun not counted."""


class Vouch(Protocol):
    """Tells that the organisation behind a cluster was verified, or that this was taken back."""

    async def __call__(self, cluster: str, *, verified: bool, code: str, case: str, until: int, why: str) -> bool:
        """False where there is no such cluster any more.

        Args:
            cluster: its id.
            verified: or taken back.
            code: of the provider and the level.
            case: the name of the case's record.
            until: µs at which that ends.
            why: a line.

        Raises:
            StoreError: the store failed.
        """
        ...


class Ground(NamedTuple):
    """What cases and appeals stand on."""

    endpoints: EndpointsSettings
    """Where the middleware's own addresses are."""
    store: Store
    """Where records and standings are."""
    standings: Standings
    """What this process knows of them."""
    keys: Keyring
    """What links are sealed with."""
    key: bytes
    """What names and tokens are made with; for ever the same."""
    clock: Clock
    notices: Notices
    """Hear what happens."""
    vouch: Vouch | None = None
    """Tells that the organisation behind a cluster was verified; None where the policy has no clusters."""


def files_of(store: Store) -> Files:
    """Where records are kept.

    Raises:
        StoreError: this store keeps none.
    """
    inner = behind(store)
    if not (isinstance(store, Files) and isinstance(inner, Files)):
        raise StoreError("This store keeps no records of cases.", f"{type(inner).__name__} is no `Files`.")
    return store


def tally_of(store: Store) -> Tally:
    """Where it is counted how many there were.

    Raises:
        StoreError: this store does not count.
    """
    inner = behind(store)
    if not (isinstance(store, Tally) and isinstance(inner, Tally)):
        raise StoreError("This store keeps no tallies.", f"{type(inner).__name__} has no take().")
    return store


def noted(at: int, what: str, detail: str = "") -> Change:
    """A line of a record's history."""
    return Change("set", f"h.{at}.{what}", detail)


def shortened(fields: Mapping[str, str]) -> list[Change]:
    """What makes room for a line where a history is long: the oldest go, but for those that say what was begun."""
    lines = [(whole(name.split(".")[1]), name) for name in fields if name.startswith("h.") and not name.endswith(".started")]
    return [Change("unset", name) for _, name in sorted(lines)[: max(0, len(lines) - _LINES + 1)]]


def history(fields: Mapping[str, str]) -> list[tuple[int, str, str]]:
    """When, what, and a detail of it; the oldest first."""
    found = []
    for name, detail in fields.items():
        if name.startswith("h."):
            at, _, what = name.removeprefix("h.").partition(".")
            found.append((whole(at), what, detail))
    return sorted(found)


def referring(provider: str, which: str) -> str:
    """The name of the record that says whose case a provider's verification is."""
    return f"{provider}:{which}"
