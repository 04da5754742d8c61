"""One event loop's ways to the servers: which lane leads to a home, what time it is there, and one command with its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from guardrail_mw.clock import Clock
from guardrail_mw.errors import StoreTimeout
from guardrail_mw.stores.redis import codec
from guardrail_mw.stores.redis.batches import Lane, Redirect
from guardrail_mw.stores.redis.cluster import Topology
from guardrail_mw.stores.redis.nodes import Address, Target, check_policy, dial
from guardrail_mw.stores.redis.pipes import Call, Link
from guardrail_mw.values import Observer

__all__ = ["PATIENCE", "Settings", "Ways"]

PATIENCE = 1.0
"""Seconds, at least, for what no request waits for: renewals, changes of a standing, spending, reading. Or the deadline."""
_SOURCES = tuple(script.source for script in codec.SCRIPTS)
_LOADS = tuple(codec.command("SCRIPT", "LOAD", source) for source in _SOURCES)


class Settings(NamedTuple):
    """What a store's books share."""

    target: Target
    deadline: float
    """Seconds."""
    prefix: str
    clock: Clock | None
    observer: Observer
    checked: set[Address | None]
    """Whose eviction policy has been looked at."""


class Ways:
    """The lanes of one event loop, and the tasks that nobody waits for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = settings.clock
        self._deadline = settings.deadline
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._topology: Topology | None = None
        self.patience = max(PATIENCE, settings.deadline)
        """Seconds for what no request waits for."""
        self.spread = settings.target.kind == "cluster"
        """Whether homes lie on several servers, each in a slot of its own."""
        if self.spread:
            self._topology = Topology(settings.target, self._lane)
        else:
            self.sole = self._lane(None, None, None)
            """To the one server; where there are several, there is none."""

    def _lane(self, address: Address | None, redirect: Redirect | None, on_down: Callable[[], None] | None) -> Lane:
        return Lane(
            partial(self._dial, address),
            deadline=self._deadline,
            observer=self._settings.observer,
            loads=_LOADS,
            redirect=redirect,
            on_down=on_down,
        )

    async def _dial(self, address: Address | None) -> Link:
        target, checked = self._settings.target, self._settings.checked
        link = await dial(target, _SOURCES, address)
        if address not in checked:
            checked.add(address)
            self.later(check_policy(target, address))
        return link

    # -- time --

    def now(self) -> int | None:
        """What the scripts are told of the time: nothing, unless a test gives it."""
        return None if self._clock is None else self._clock.now()

    def moment(self) -> int:
        """The store's µs, about."""
        if self._clock is not None:
            return self._clock.now()
        return next((lane.time.at(monotonic()) for lane in self.lanes() if lane.time.known), 0)

    def by(self, lane: Lane, deadline: float) -> int:
        """`deadline` in the store's time."""
        if self._clock is None:
            return lane.time.at(deadline)
        return self._clock.now() + round(self._deadline * 1e6)

    # -- places --

    @property
    def known(self) -> bool:
        """Whether it is known where homes lie; until then `learnt` must be awaited."""
        return self._topology is None or self._topology.known

    def way(self, home: str) -> tuple[Lane, int]:
        """To a home's slot.

        Raises:
            StoreError: no server is known to have it.
        """
        if self._topology is None:
            return self.sole, 0
        slot = codec.key_slot(home)
        return self._topology.lane(slot), slot

    async def learnt(self, deadline: float) -> None:
        """Know where homes lie, by `deadline` monotonic seconds.

        Raises:
            StoreTimeout, StoreError: it cannot be known.
        """
        if self._topology is not None and not self._topology.known:
            await self._topology.learn(deadline - monotonic())

    async def everywhere(self) -> list[Lane]:
        """To every server that has homes."""
        await self.learnt(monotonic() + self.patience)
        return [self.sole] if self._topology is None else self._topology.masters()

    def lanes(self) -> list[Lane]:
        """Every lane in use."""
        return [self.sole] if self._topology is None else self._topology.lanes

    # -- asking --

    async def ask(self, home: str, payload: bytes) -> Any:
        """Send one command to a home's slot and wait, `PATIENCE` or the deadline at most, for its answer."""
        [answer] = await self.ask_all([(home, payload)])
        return answer

    async def ask_all(self, commands: Sequence[tuple[str, bytes]]) -> list[Any]:
        """Send commands together, each to a home's slot; their answers in order, `PATIENCE` or the deadline from now at most."""
        deadline = monotonic() + self.patience
        await self.learnt(deadline)
        return await self._answers([(self.way(home)[0], payload) for home, payload in commands], deadline)

    async def ask_lane(self, lane: Lane, payload: bytes) -> Any:
        """Send one command to a server, whatever it has."""
        [answer] = await self._answers([(lane, payload)], monotonic() + self.patience)
        return answer

    async def _answers(self, commands: Sequence[tuple[Lane, bytes]], deadline: float) -> list[Any]:
        calls: list[Call] = []
        try:
            async with asyncio.timeout(deadline - monotonic()):
                for lane, payload in commands:
                    call = Call(payload, deadline, self._loop.create_future())
                    lane.submit(call, patient=True)
                    calls.append(call)
                return await asyncio.gather(*[call.future for call in calls])
        except TimeoutError as error:
            raise StoreTimeout("The store did not answer in time.") from error
        finally:
            for call in calls:
                call.future.cancel()

    # -- their life --

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it for nobody who waits."""
        task = self._loop.create_task(work, name="guardrail_mw: redis store")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def open(self) -> None:
        """Connect, so that the first request need not."""
        if self._topology is not None:
            await self._topology.learn(self.patience)
            return
        await self.sole.opened(self.patience)

    async def close(self) -> None:
        """Let go of every task and every connection."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        if self._topology is not None:
            await self._topology.close()
        else:
            await self.sole.close()
