"""A world: who is in it, and what they do, hour by hour."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guardrail_mw.simulate.world import render
from guardrail_mw.simulate.world.accounts import Accounts, Link
from guardrail_mw.simulate.world.addresses import Addresses
from guardrail_mw.simulate.world.arrays import DAY, SECOND, Bools, Ints, Rng, Shorts, Wides
from guardrail_mw.simulate.world.batch import Batch
from guardrail_mw.simulate.world.calls import calls
from guardrail_mw.simulate.world.founding import found
from guardrail_mw.simulate.world.papers import Papers
from guardrail_mw.simulate.world.programs import Program
from guardrail_mw.simulate.world.releases import Model, Releases
from guardrail_mw.simulate.world.scenario import Scenario
from guardrail_mw.simulate.world.schedule import plan_day
from guardrail_mw.simulate.world.town import Town

__all__ = ["World"]

_SETTLING, _DAYS, _STEPS, _CALLS, _TELLING = range(5)
"""Streams of chance: each day, step and operator has its own, so that what one is told changes nobody else's calls."""


class World:
    """Ordinary people and operators, from a scenario and a seed; the same ones every time.

    It can be pickled between two batches, and goes on from there.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self.seed = scenario, seed
        midnight = dt.datetime.combine(scenario.start, dt.time(), dt.UTC)
        self.start: Final = int(midnight.timestamp()) * SECOND
        """Microseconds."""
        self.end: Final = self.start + scenario.days * DAY
        self.at = self.start
        """Where the next batch begins."""
        rng = self._rng(_SETTLING)
        self.town = Town(seed, rng)
        self._releases = Releases(
            [
                Model(each.name, None if each.released is None else self.start + int(each.released * DAY))
                for each in _old_first(scenario)
            ],
            seed,
        )
        self.people, self.labels, self.operators = found(scenario, self.start, self.end, self.town, rng)
        self.accounts = Accounts(self.people, self.town)
        self.papers = Papers(self.people, [each.papers for each in scenario.campaigns], seed)
        """Who can be verified, and with what."""
        for operator, campaign in zip(self.operators, scenario.campaigns, strict=True):
            operator.moves = campaign.papers is not None and campaign.papers.moves
        operated = np.zeros(len(self.people), bool)
        self._hidden = np.full(len(self.people), -1, np.int16)
        """Accounts of operators that call as a cohort does: whose they are."""
        for operator in self.operators:
            operated[operator.rows] = not operator.conduct.drawn
            if operator.conduct.drawn:
                self._hidden[operator.rows] = operator.number
        self._ordinary = np.flatnonzero(~operated)
        self._means = np.array([*(each.tokens for each in scenario.campaigns), 0], np.float32)
        self._plan: tuple[int, Ints, Wides] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_plan": None}  # a day's plan is made again from its own stream

    @property
    def addresses(self) -> Addresses:
        """Text by a batch's `address`."""
        return self.town.addresses

    @property
    def models(self) -> list[Model]:
        """By a batch's `model`."""
        return self._releases.models

    @property
    def programs(self) -> list[Program]:
        """By a batch's `client`."""
        return self.town.programs.all

    @property
    def shared_networks(self) -> list[str]:
        """Networks that are known to be shared: carriers, relays, clouds."""
        return self.town.addresses.shared()

    def device(self, number: int) -> str:
        """The text of a batch's `device`."""
        return self.town.name("device", number)

    def batches(self) -> Iterator[Batch]:
        """Traffic in time's order, a step of the scenario each (an hour), from where it stands; empty ones as well."""
        while self.at < self.end:
            start, stop = self.at, self.at + self.scenario.step * SECOND
            batch = self._batch(start, stop)
            self.at = stop
            yield batch

    def told(self, batch: Batch, codes: NDArray[np.uint8]) -> None:
        """What became of each call of a batch.

        0 served, 1 trimmed, 2 delayed, 3 limited, 4 denied, 5 asked to verify, 6 challenged.

        Only operators listen, and only those that react.
        """
        for operator in self.operators:
            mine = np.flatnonzero(batch.operator == operator.number)
            if len(mine):
                operator.told(
                    batch.row[mine], codes[mine], batch.useful[mine], self.at, self._rng(_TELLING, self.at, operator.number)
                )

    def passed(self, operator: int, row: int) -> None:
        """One of an operator's personas was verified."""
        self.operators[operator].passed(row)

    def texts(self, batch: Batch, i: int) -> tuple[str, str]:
        """The system prompt (or nothing) and the last user message of a call."""
        texts = self.town.texts
        message = texts.message(int(batch.template[i]), int(batch.words[i]), int(batch.input[i]))
        return texts.prompt(int(batch.system[i])), message

    def variants(self, batch: Batch) -> Ints:
        """Which template of its family each call fills in; -1 where every word of a message is its own.

        Calls with the same `template` and variant share the template's words, so what is made of them can be kept.
        """
        return self.town.texts.variants(batch.template, batch.words)

    def headers(self, batch: Batch, i: int) -> list[tuple[bytes, bytes]]:
        """A call's headers, but for credentials, cookies and what proxies add."""
        return render.headers(self.programs[int(batch.client[i])])

    def path(self, batch: Batch, i: int) -> str:
        """Where a call goes, by its program's dialect."""
        return render.PATHS[self.programs[int(batch.client[i])].dialect]

    def body(self, batch: Batch, i: int) -> bytes:
        """A call's body. Prompts longer than about 4 KB are cut: the true number of tokens is in `input`."""
        system, message = self.texts(batch, i)
        dialect = self.programs[int(batch.client[i])].dialect
        return render.body(dialect, self.models[int(batch.model[i])].name, system, message, int(batch.output[i]))

    def links(self, since: int, until: int) -> Iterator[Link]:
        """What the provider's own systems would feed in of the accounts made in [since, until): microseconds.

        Ask once the batch that ends at `until` has been taken: operators make accounts as they go.
        """
        return self.accounts.links(since, until)

    def _rng(self, stream: int, at: int = 0, number: int = 0) -> Rng:
        return np.random.default_rng((self.seed, stream, at // SECOND, number))

    def _batch(self, start: int, stop: int) -> Batch:
        row, at = self._planned(start, stop)
        hidden = self._hidden[row]
        for number, many in enumerate(np.bincount(hidden[hidden >= 0]).tolist()):
            self.operators[number].goal += many
        parts = [self._calls((row, at, hidden >= 0, hidden), self._rng(_CALLS, start))]
        for each in self.operators:
            rng = self._rng(_STEPS, start, each.number)
            theirs, when, useful = each.step(self.people, start, stop, rng)
            if len(theirs):
                order = np.argsort(when, kind="stable")
                whose = np.full(len(theirs), each.number, np.int16)
                parts.append(self._calls((theirs[order], when[order], useful[order], whose), rng))
        return Batch.merged(parts)

    def _calls(self, made: tuple[Ints, Wides, Bools, Shorts], rng: Rng) -> Batch:
        return calls(self.people, self.town, self._releases, rng, made, self._means)

    def _planned(self, start: int, stop: int) -> tuple[Ints, Wides]:
        """Ordinary people's calls in a step; a day is planned at once and kept for its hours."""
        day = start // DAY * DAY
        if self._plan is None or self._plan[0] != day:
            self._plan = (day, *plan_day(self.people, self._ordinary, day, self._rng(_DAYS, day)))
        _, row, at = self._plan
        first, last = np.searchsorted(at, [start, stop])
        return row[first:last], at[first:last]


def _old_first(scenario: Scenario) -> list[Any]:
    return sorted(scenario.models, key=lambda each: -1.0 if each.released is None else each.released)
