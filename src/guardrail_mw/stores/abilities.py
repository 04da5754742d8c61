"""What a store may be able to do besides charging: each asks for one thing, and says so where this store cannot do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Desk, Files, Graph, Switches, Tally

if TYPE_CHECKING:
    from guardrail_mw.stores.base import Store

__all__ = ["desk_of", "files_of", "graph_of", "switches_of", "tally_of"]


def desk_of(store: Store) -> Desk:
    """A store that operators can work at.

    Raises:
        StoreError: it has no desk.
    """
    if not isinstance(store, Desk):
        raise StoreError("This store has no desk.", f"{type(store).__name__} has no reset(), export() and erase().")
    return store


def files_of(store: Store) -> Files:
    """A store that keeps records.

    Raises:
        StoreError: it keeps none.
    """
    if not isinstance(store, Files):
        raise StoreError(
            "This store keeps no records.", f"{type(store).__name__} has no file(), pull(), listed() and shred()."
        )
    return store


def graph_of(store: Store) -> Graph:
    """A store that keeps evidence.

    Raises:
        StoreError: it keeps none.
    """
    if not isinstance(store, Graph):
        raise StoreError("This store keeps no evidence.", f"{type(store).__name__} has no read(), assign() and mark().")
    return store


def switches_of(store: Store) -> Switches:
    """A store that keeps switches.

    Raises:
        StoreError: it keeps none.
    """
    if not isinstance(store, Switches):
        raise StoreError("This store keeps no switches.", f"{type(store).__name__} has no write_switch().")
    return store


def tally_of(store: Store) -> Tally:
    """A store that keeps budgets of members.

    Raises:
        StoreError: it keeps none.
    """
    if not isinstance(store, Tally):
        raise StoreError("This store keeps no budgets of members.", f"{type(store).__name__} has no take().")
    return store
