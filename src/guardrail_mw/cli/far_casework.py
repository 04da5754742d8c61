"""Cases and appeals by the operator's port of a server."""

from __future__ import annotations

from typing import Any, Final, Protocol

__all__ = ["Ask", "Deciding", "FarCasework"]

_MOST: Final = 100


class Ask(Protocol):
    """Asks the port; gives the JSON of its answer."""

    async def __call__(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        """One request."""
        ...


class Deciding(Protocol):
    """What can be seen and done of cases and appeals, wherever they are; see `Casework`."""

    async def cases(self, most: int = 100, state: str = "") -> dict[str, Any]:
        """See `Casework.cases`."""
        ...

    async def case(self, case: str) -> dict[str, Any]:
        """See `Casework.case`."""
        ...

    async def appeals(self, most: int = 100, state: str = "") -> dict[str, Any]:
        """See `Casework.appeals`."""
        ...

    async def appeal(self, appeal: str) -> dict[str, Any]:
        """See `Casework.appeal`."""
        ...

    async def decide_case(
        self, case: str, state: str, reason: str, document: str | None = None, person: str | None = None
    ) -> dict[str, Any]:
        """See `Casework.decide_case`."""
        ...

    async def decide_appeal(self, appeal: str, *, granted: bool, reason: str, until: str | None = "30d") -> dict[str, Any]:
        """See `Casework.decide_appeal`."""
        ...


class FarCasework:
    """By the port.

    Args:
        ask: asks it.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def cases(self, most: int = _MOST, state: str = "") -> dict[str, Any]:
        """See `Casework.cases`."""
        return await self._ask("GET", "/v1/cases", params=_listed(most, state))

    async def case(self, case: str) -> dict[str, Any]:
        """See `Casework.case`."""
        return await self._ask("GET", f"/v1/cases/{_part(case)}")

    async def appeals(self, most: int = _MOST, state: str = "") -> dict[str, Any]:
        """See `Casework.appeals`."""
        return await self._ask("GET", "/v1/appeals", params=_listed(most, state))

    async def appeal(self, appeal: str) -> dict[str, Any]:
        """See `Casework.appeal`."""
        return await self._ask("GET", f"/v1/appeals/{_part(appeal)}")

    async def decide_case(
        self, case: str, state: str, reason: str, document: str | None = None, person: str | None = None
    ) -> dict[str, Any]:
        """See `Casework.decide_case`."""
        said = {"state": state, "reason": reason, "document": document, "person": person}
        given = {name: value for name, value in said.items() if value is not None}
        return await self._ask("POST", f"/v1/cases/{_part(case)}/decide", json=given)

    async def decide_appeal(self, appeal: str, *, granted: bool, reason: str, until: str | None = "30d") -> dict[str, Any]:
        """See `Casework.decide_appeal`."""
        given = {"granted": granted, "reason": reason, "until": until}
        return await self._ask("POST", f"/v1/appeals/{_part(appeal)}/decide", json=given)


def _listed(most: int, state: str) -> dict[str, str]:
    return {"n": str(most), **({"state": state} if state else {})}


def _part(name: str) -> str:
    """A part of a path; for what can be none, something that is no id."""
    bare = name.strip()
    return bare if bare.isascii() and bare.isalnum() else "-"
