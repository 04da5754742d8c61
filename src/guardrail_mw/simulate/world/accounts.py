"""What the service knows of accounts before anybody calls: names and claims."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from guardrail_mw.simulate.world.arrays import SECOND, Bools, Wides
from guardrail_mw.simulate.world.people import People
from guardrail_mw.simulate.world.town import ISSUERS, Town

__all__ = ["Accounts", "Link"]

_CHUNK: Final = 50_000


class Link(NamedTuple):
    """Something that the provider's own systems know of an account."""

    account: int
    kind: str
    """`payment`, `domain` (the issuer says that it is verified), `email_domain` (it does not), `organisation`."""
    value: str
    created: int
    """Microseconds: when the account was made."""


class Accounts:
    """All accounts, in columns; an account is a row, and rows say nothing about who is who.

    Some rows are no account of their own (operators in others' accounts): `real` tells them.
    """

    def __init__(self, people: People, town: Town) -> None:
        self._people = people
        self._town = town

    def __len__(self) -> int:
        return len(self._people)

    @property
    def real(self) -> Bools:
        """Whether a row is an account."""
        return np.asarray(self._people.account == np.arange(len(self)), bool)

    @property
    def created(self) -> Wides:
        """Microseconds; 2**63 - 1 for one that an operator has not made yet."""
        return self._people.created

    def name(self, account: int) -> str:
        """The account's name at its issuer: random digits."""
        return self._town.name("account", account)

    def links(self, since: int, until: int) -> Iterator[Link]:
        """What is known of the accounts made in [since, until), in the order in which they were made.

        Operators make accounts as they go: ask once the batch of that time has been taken.
        """
        people = self._people
        rows = np.flatnonzero((people.created >= since) & (people.created < until) & self.real)
        rows = rows[np.argsort(people.created[rows], kind="stable")]
        for first in range(0, len(rows), _CHUNK):
            for row in rows[first : first + _CHUNK].tolist():
                yield from self._known(row)

    def _known(self, row: int) -> Iterator[Link]:
        people, town, created = self._people, self._town, int(self._people.created[row])
        if people.card[row] >= 0:
            yield Link(row, "payment", town.name("payment", int(people.card[row])), created)
        kind = "domain" if people.verified[row] else "email_domain"
        yield Link(row, kind, town.name("domain", int(people.domain[row])), created)
        if people.organisation[row] >= 0:
            yield Link(row, "organisation", town.name("organisation", int(people.organisation[row])), created)

    def claims(self, account: int) -> dict[str, Any]:
        """The claims of an account's token: the same facts as `links`, and `iss`, `sub` and `created_at` (seconds)."""
        people, town = self._people, self._town
        claims: dict[str, Any] = {
            "iss": ISSUERS[int(people.issuer[account])],
            "sub": self.name(account),
            "email": f"{self.name(account)[4:12]}@{town.name('domain', int(people.domain[account]))}",
            "email_verified": bool(people.verified[account]),
            "created_at": int(people.created[account]) // SECOND,
        }
        if people.card[account] >= 0:
            claims["pay_fp"] = town.name("payment", int(people.card[account]))
        if people.organisation[account] >= 0:
            claims["org_id"] = town.name("organisation", int(people.organisation[account]))
        return claims
