"""A simulated world's evidence straight into rebuilds, without the middleware between: a hundred times faster, for fitting.

What accounts show is put together from the world's columns as the collector would note it: networks (a shared one's is coarse),
agents, system prompts, devices, shingles of templates that an account has sent twice, sixteen of them at most, and what `link`
tells. Nothing is limited or refused, so campaigns go on as if nothing were. Published figures come from `guardrail-mw simulate`,
never from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.algorithms.edges import EPOCH
from guardrail_mw.clusters.features import Activities
from guardrail_mw.clusters.graph import Holdings
from guardrail_mw.clusters.kinds import Kinds
from guardrail_mw.clusters.reading import table
from guardrail_mw.clusters.rebuild import HOUR, Rules, rebuild
from guardrail_mw.clusters.state import Given, State
from guardrail_mw.simulate.world.arrays import mix
from guardrail_mw.simulate.world.town import FREE_MAIL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.simulate.world.batch import Batch
    from guardrail_mw.simulate.world.world import World

__all__ = ["Straight"]

_Shown: TypeAlias = "tuple[NDArray[Any], NDArray[Any], NDArray[Any]]"
"""Accounts' rows, values, and hours since when."""
_DAY: Final = 24
_WEEK: Final = 7
_SHARED: Final = (1, 4, 5)
"""Kinds of addresses that many share: carriers, relays, clouds."""
_SHINGLES: Final = 3
"""That a template shows; the sixteen of an account are of several templates."""
_KEPT: Final = 16
_WORDS: Final = 6
"""In a shingle."""
_LOW: Final = np.int64((1 << keys.BITS) - 1)
_TWICE: Final = np.int64(1 << 40)
"""Added to an account's row where a value counts only once it is seen again."""
_ROOM: Final = 20_000_000


def _key(code: int, values: NDArray[Any]) -> NDArray[np.int64]:
    digest = np.asarray(mix(np.asarray(values).astype(np.uint64), code * 7919)).astype(np.uint64) & np.uint64(_LOW)
    return np.asarray((np.int64(code) << np.int64(keys.BITS)) | digest.astype(np.int64))


class Straight:
    """What a world's accounts have shown and done so far.

    Args:
        world: at its beginning; `take` its batches in order.
        links: whether the service's own systems tell what they know.
    """

    def __init__(self, world: World, *, links: bool = True) -> None:
        self.world = world
        self.state = State()
        self._rules = Rules(table(Kinds()))
        self._links = links
        self._parts: list[_Shown] = []
        self._waiting = 0
        many = len(world.accounts)
        self._sums = {name: np.zeros(many, np.int64) for name in ("requests", "tokens", "last", "days", "windowed", "fresh")}
        self._first, self._seen = np.full(many, 1 << 40), np.full(many, -1)
        self._hours = np.zeros((many, _DAY), np.int64)
        self._daily: dict[int, NDArray[np.int64]] = {}

    def take(self, batch: Batch) -> None:
        """Note what a batch shows; all of it is answered."""
        if len(batch):
            self._act(batch)
            self._show(batch)
        self.world.told(batch, np.zeros(len(batch), np.uint8))

    def rebuilt(self) -> tuple[State, NDArray[np.int64]]:
        """The clusters now, and the world's row of each account that a member's name `a:ROW` stands for."""
        held, activity, rows = self._holdings()
        self.state = rebuild(held, activity, self.state, Given(), self._rules, self.world.at).state
        return self.state, rows

    def _act(self, batch: Batch) -> None:
        account, sums = batch.account.astype(np.int64), self._sums
        hour = (batch.at - EPOCH) // HOUR
        np.add.at(sums["requests"], account, 1)
        np.add.at(sums["tokens"], account, batch.input.astype(np.int64) + batch.output)
        np.minimum.at(self._first, account, hour)
        np.maximum.at(sums["last"], account, hour)
        np.add.at(self._hours, (account, batch.at // HOUR % _DAY), 1)
        day = int(batch.at[0] // (_DAY * HOUR))
        who = np.unique(account)
        sums["days"][who[self._seen[who] != day]] += 1
        self._seen[who] = day
        np.add.at(self._daily.setdefault(day, np.zeros(len(self._first), np.int64)), account, 1)
        self._daily = {each: count for each, count in self._daily.items() if each > day - _WEEK}
        week = _WEEK * _DAY * HOUR
        new = [
            place
            for place, model in enumerate(self.world.models)
            if model.released is not None and model.released <= batch.at[0] < model.released + week
        ]
        if new:
            np.add.at(sums["windowed"], account, 1)
            np.add.at(sums["fresh"], account, np.isin(batch.model, new))

    def _show(self, batch: Batch) -> None:
        account, hour = batch.account.astype(np.int64), (batch.at - EPOCH) // HOUR
        addresses: Any = self.world.addresses
        code = addresses._code.all[batch.address]  # noqa: SLF001 - read only
        kind = addresses._kind.all[batch.address]  # noqa: SLF001 - likewise
        wide = np.where(code < 1 << 32, code >> np.uint64(8), code >> np.uint64(16))
        network = _key(keys.NETWORK, code)
        coarse = (network & _LOW) | (np.int64(keys.NETWORK_WIDE) << np.int64(keys.BITS))
        parts = [
            (account, np.where(np.isin(kind, _SHARED), coarse, network), hour),
            (account, _key(keys.NETWORK_WIDE, wide + np.uint64(1 << 60)), hour),
            (account, _key(keys.AGENT, batch.client), hour),
        ]
        for of, column in ((keys.SYSTEM, batch.system), (keys.DEVICE, batch.device)):
            has = column >= 0
            parts.append((account[has], _key(of, column[has]), hour[has]))
        parts += self._texts(batch, account, hour)
        owner, value, since = (np.concatenate(each) for each in zip(*parts, strict=True))
        order = np.lexsort((since, value, owner))
        self._parts.append(_firsts(owner[order], value[order], since[order]))
        self._waiting += len(self._parts[-1][0])
        if self._waiting > _ROOM:
            self._compact()

    def _texts(self, batch: Batch, account: NDArray[Any], hour: NDArray[Any]) -> list[_Shown]:
        texts: Any = self.world.town.texts
        variants = texts._variants.all[batch.template]  # noqa: SLF001 - read only
        replaced = texts._paraphrase.all[batch.template]  # noqa: SLF001 - likewise
        rows = np.flatnonzero((variants > 0) & (replaced <= 1))
        which = np.asarray(mix(batch.words[rows].astype(np.uint64), 1)).astype(np.uint64) % variants[rows].astype(np.uint64)
        found: list[_Shown] = []
        for number in range(_SHINGLES if len(rows) else 0):
            value = (batch.template[rows].astype(np.uint64) * np.uint64(1_000_003) + which) * np.uint64(4) + np.uint64(
                number
            )
            chance = np.random.default_rng(int(batch.at[0] % (1 << 32)) + number).random(len(rows))
            whole = chance < (1 - replaced[rows]) ** _WORDS  # none of its words is replaced
            found.append((account[rows][whole] + _TWICE, _key(keys.SHINGLE, value[whole]), hour[rows][whole]))
        return found

    def _compact(self) -> None:
        owner, value, since = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        order = np.lexsort((since, value, owner))
        self._parts = [_firsts(owner[order], value[order], since[order])]
        self._waiting = 0

    def _holdings(self) -> tuple[Holdings, Activities, NDArray[np.int64]]:
        self._compact()
        [(owner, value, since)] = self._parts
        content = owner >= _TWICE
        parts = [(owner[~content], value[~content], since[~content])]
        again = np.flatnonzero(content & _same(owner, value))
        whose = owner[again] - _TWICE
        starts = np.concatenate(([True], whose[1:] != whose[:-1])) if len(whose) else np.zeros(0, np.bool_)
        place = np.arange(len(whose)) - np.maximum.accumulate(np.where(starts, np.arange(len(whose)), 0))
        kept = place < _KEPT
        parts.append((whose[kept], value[again][kept], since[again][kept]))
        called = self.world.accounts.real & (self._sums["requests"] > 0)
        if self._links:
            parts += self._told(np.flatnonzero(called))
        owner, value, since = (np.concatenate(each) for each in zip(*parts, strict=True))
        rows = np.flatnonzero(called)
        number = np.full(len(called), -1)
        number[rows] = np.arange(len(rows))
        known = number[owner] >= 0
        created = np.minimum(np.maximum((self.world.people.created - EPOCH) // HOUR, -(10**6)), self._first)[rows]
        names = [f"a:{row}" for row in rows.tolist()]
        held = Holdings(names, created, number[owner[known]].astype(np.int32), value[known], since[known])
        sums = {name: column[rows] for name, column in self._sums.items()}
        daily = np.sum(list(self._daily.values()), axis=0)[rows][:, None]
        activity = Activities(first=self._first[rows], hours=self._hours[rows], daily=daily, **sums)
        return held, activity, rows

    def _told(self, rows: NDArray[np.int64]) -> list[_Shown]:
        people, since = self.world.people, self._first
        found: list[_Shown] = []
        card = rows[people.card[rows] >= 0]
        found.append((card, _key(keys.PAYMENT, people.card[card]), since[card]))
        own = rows[people.domain[rows] >= len(FREE_MAIL)]
        domain = people.domain[own]
        proved = np.where(people.verified[own], _key(keys.DOMAIN, domain), _key(keys.EMAIL_DOMAIN, domain))
        found.append((own, proved, since[own]))
        belongs = rows[people.organisation[rows] >= 0]
        found.append((belongs, _key(keys.ORGANISATION, people.organisation[belongs]), since[belongs]))
        return found


def _same(owner: NDArray[Any], value: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows, sorted, are the one before again."""
    same = (owner[1:] == owner[:-1]) & (value[1:] == value[:-1])
    return np.concatenate((np.zeros(min(1, len(owner)), np.bool_), same))


def _firsts(owner: NDArray[Any], value: NDArray[Any], since: NDArray[Any]) -> _Shown:
    """The first of each edge, sorted, and of content the second as well."""
    again = _same(owner, value)
    second = again & ~np.concatenate((np.zeros(min(1, len(again)), np.bool_), again[:-1])) & (owner >= _TWICE)
    kept = ~again | second
    return owner[kept], value[kept], since[kept]
