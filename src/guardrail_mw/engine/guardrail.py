"""`Guardrail`: owns the store and the running engine, and has what is not one request's."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from guardrail_mw import plugins
from guardrail_mw.clock import Clock, SystemClock
from guardrail_mw.engine import greeting, linking, making
from guardrail_mw.engine.accounts import home_of
from guardrail_mw.engine.core import Engine, Lasting
from guardrail_mw.engine.counts import Counts
from guardrail_mw.engine.keeper import CASES_EVERY, LEARN_EVERY, SWITCHES_EVERY, Keeper
from guardrail_mw.engine.notices import Notices
from guardrail_mw.engine.peeking import Peeked, look
from guardrail_mw.engine.standings import Standings
from guardrail_mw.engine.surroundings import MODES, Surroundings
from guardrail_mw.engine.vouching import vouch
from guardrail_mw.errors import PolicyError
from guardrail_mw.identity.keys import Secrets, derive
from guardrail_mw.policy import Policy, load
from guardrail_mw.policy.reload import Watcher
from guardrail_mw.stores.base import Graph, Store, Switches
from guardrail_mw.stores.memory import MemoryStore

if TYPE_CHECKING:
    from guardrail_mw.engine.linking import When
    from guardrail_mw.identity.resolver import Resolver
    from guardrail_mw.values import Observer

__all__ = ["Guardrail", "PolicySource"]

logger = logging.getLogger("guardrail_mw")

PolicySource = str | os.PathLike[str] | Mapping[str, Any] | Policy
"""A file's path, the name of a policy that ships (`guardrail:balanced`), a mapping, or a `Policy`."""


class Guardrail:
    """A policy at work.

    Args:
        policy: None reads `GUARDRAIL_POLICY`; where that is not set either, `guardrail:watch` runs and says so.
        store: in place of the one that the policy names.
        clock: in place of the machine's; tests drive both kinds of store with it.
        environ: in place of `os.environ`.
        observer: hears what is counted.

    Raises:
        PolicyError: the policy, or what the environment says, cannot be run; all problems at once.
        PluginError: a plugin that the policy names cannot be loaded.
    """

    def __init__(
        self,
        policy: PolicySource | None = None,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
        observer: Observer | None = None,
    ) -> None:
        surroundings = Surroundings(environ)
        self._environ = surroundings.environ
        self._clock = clock or SystemClock()
        self.counts = Counts(observer)
        """What happened so far, by name."""
        self.notices = Notices(self.counts)
        """Tells of cases and appeals: `guardrail.notices.subscribe(tell)`."""
        self._source: PolicySource = surroundings.policy() if policy is None else policy
        running = load(self._source, environ=self._environ)
        self._mode = surroundings.mode()
        self._switches: dict[str, str] = {}
        if store is None:
            store = making.opened(running.store, surroundings, clock=clock, observer=self.counts)
        self._shared = not isinstance(store, MemoryStore)
        if self._shared:
            store = making.resilient(store, running.store, clock=self._clock, observer=self.counts)
        self.store: Store = store
        self.secrets = Secrets.read(self._environ, shared=self._shared)
        self._key = derive(self.secrets.id_key, "friction")
        self.metrics = making.metrics(running, self.counts)
        """Metrics for Prometheus, where the policy wants them; `render` writes them out."""
        self.tracing = making.tracing(running)
        """Makes spans, where the policy wants them."""
        self.recorder = making.recorder(running, self.metrics, clock=self._clock, observer=self.counts)
        """Takes the event of each decision; keeps the latest."""
        self._lasting = Lasting.of(running, self.counts)
        self._worker: Any = None
        self._standings = Standings()
        self._resolver = self._resolve(running)
        self._gathering = making.gathering(running, self.store, self._resolver, clock=self._clock, observer=self.counts)
        self._keepers: WeakKeyDictionary[asyncio.AbstractEventLoop, Keeper] = WeakKeyDictionary()
        self._latest: tuple[asyncio.AbstractEventLoop | None, Keeper] = (None, Keeper(self.store))
        self.engine = self._compile(running)
        """The running engine. A reload swaps it; an exchange keeps the one that it began with."""
        self._console: Any = None if running.console is None else plugins.load("services", "console")(self)
        greeting.warn_of_workers(surroundings, shared=self._shared)
        greeting.warn_of_names(surroundings, running)
        url = surroundings.url(running.store) if self._shared else ""
        greeting.announce(self._source, running, self.engine.mode, url)

    # What it is made of

    def _resolve(self, policy: Policy) -> Resolver:
        return making.resolver(policy, self.secrets, clock=self._clock, observer=self.counts)

    def _compile(self, policy: Policy) -> Engine:
        """The engine for a policy under what the switches and the environment say: switch before environment before file."""
        shadowed = frozenset(rule for rule, mode in self._switches.items() if rule and mode == "shadow")
        switched = self._switches.get("", "")
        mode = next((each for each in MODES if each == switched), None) or self._mode or policy.mode
        return Engine(
            policy,
            mode=mode,
            resolver=self._resolver,
            store=self.store,
            standings=self._standings,
            clock=self._clock,
            observer=self.counts,
            key=self._key,
            recorder=self.recorder,
            lasting=self._lasting,
            shadowed=shadowed,
            gathering=self._gathering,
            keys=self.secrets.keys,
            notices=self.notices,
            vouch=partial(vouch, self) if policy.clusters is not None else None,
        )

    # Its time, and its policy

    async def sleep(self, seconds: float) -> None:
        """Wait, on the clock that it was given where that one can."""
        await getattr(self._clock, "sleep", asyncio.sleep)(seconds)

    def now(self) -> int:
        """µs since the epoch, by the clock that it was given."""
        return self._clock.now()

    @property
    def policy(self) -> Policy:
        """The policy that runs."""
        return self.engine.policy

    @property
    def clock(self) -> Clock:
        """What time is read of: the one that it was given, else the machine's."""
        return self._clock

    # Reload

    def apply(self, policy: Policy) -> None:
        """Run another policy from the next request on. What is under way ends on the one that it began with."""
        before = self.engine.policy
        if policy.store != before.store:
            logger.warning("The policy's store settings changed: they hold after a restart.")
        for section in ("telemetry", "console", "clusters"):
            if getattr(policy, section) != getattr(before, section):
                logger.warning("The policy's %s settings changed: they hold after a restart.", section)
        if policy.identity_in_use != before.identity_in_use:
            retired, self._resolver = self._resolver, self._resolve(policy)
            try:
                asyncio.get_running_loop().create_task(retired.aclose(), name="guardrail retire")
            except RuntimeError:
                logger.debug("no loop runs: the old sources end with the process")
        self._lasting.resize(policy)
        self.engine = self._compile(policy)
        self._resolver.forget()
        with suppress(RuntimeError, KeyError):  # no loop runs: then a request begins it
            self._look_often(self._keepers[asyncio.get_running_loop()])
        if self._worker is not None:
            self._worker.limits = policy.limits
        self.counts.count("policy.applied")
        logger.info("Policy %s runs (mode %s).", policy.hash, self.engine.mode)

    def refused(self, error: PolicyError) -> None:
        """A new policy is bad: say so; the running one stays."""
        self.counts.count("policy.refused")
        logger.error("The changed policy was refused, the running one stays. %s", error)

    async def read_switches(self) -> None:
        """See what operators have switched, and obey. Every 0.5 s on a shared store."""
        if not isinstance(self.store, Switches):
            return
        switches = await self.store.read_switches()
        if switches != self._switches:
            self._switches = switches
            self.engine = self._compile(self.engine.policy)
            self._resolver.forget()
            self.counts.count("switches.changed")
            said = [f"{rule or 'everything'} to {mode}" for rule, mode in sorted(switches.items())]
            logger.warning("Switches: %s. Mode %s.", ", ".join(said) or "none", self.engine.mode)

    # Its life

    def keeper(self) -> Keeper:
        """The background work of the running loop, begun at the first call in it."""
        loop = asyncio.get_running_loop()
        latest = self._latest  # read once: another thread's loop may replace it meanwhile
        if loop is latest[0]:
            return latest[1]
        keeper = self._keepers.get(loop)
        if keeper is None:
            keeper = self._keepers[loop] = Keeper(self.store)
            if self._shared and isinstance(self.store, Switches):
                keeper.often("switches", SWITCHES_EVERY, self.read_switches)
            if self._gathering is not None and isinstance(self._clock, SystemClock):
                keeper.often("activity", LEARN_EVERY, self.report)
                keeper.often("verdicts", SWITCHES_EVERY, self.see)
                if self.policy.clusters is not None and self.policy.clusters.rebuild == "here":
                    keeper.start("clusters", self.worker().run())
            self._look_often(keeper)
            if self._console is not None:
                keeper.start("console", self._console.run())
            if isinstance(self._source, (str, os.PathLike)):
                watcher = Watcher(self._source, self.apply, self.refused, running=self.policy, environ=self._environ)
                keeper.start("policy watch", watcher.run())
        self._latest = (loop, keeper)
        return keeper

    async def start(self) -> None:
        """Get ready ahead of the first request. Servers that never say when they start need not: the first request does."""
        self.keeper()
        await self._resolver.start()
        await self.recorder.start()

    async def peek(self, account: str, route: str = "") -> Peeked:
        """How an account stands: its standing, the limits that would hold for it, the risk remembered. Charges nothing.

        Args:
            account: its digest, `a:…`, as events have it; or the network's, `n:…`, that pays for the anonymous.
            route: a path or a route's name; the first metered one unless given.

        Raises:
            MisuseError: a `ValueError`: it is no account.
            StoreError: the store did not answer.
        """
        account = home_of(account)
        event = next(iter(self.recorder.of(account, 1)), None)
        return await look(
            self.engine, self.store, account, event, route, lambda standing: self._standings.put(account, standing)
        )

    async def link(self, account: str, kind: str = "", value: str = "", *, created: When = None) -> None:
        """Feed in what your own systems know of an account; noted before the next rebuild of clusters, it counts there.

        Args:
            account: its home `a:…`, or a credential: a key, a token, a proxy's name for it.
            kind: one of the policy's `clusters.kinds`, or built in: `payment`, `domain`, `organisation`, `device`, `network` and
                so on; empty where only the account's age is told.
            value: digested at once, never kept.
            created: when the account was opened (`2026-11-24T16:00:00Z`, a `datetime`, seconds since 1970); the first that is
                told stays.

        Raises:
            MisuseError: a `ValueError`: something of it cannot be; nothing was noted.
            StoreError: the store failed.
        """
        await linking.link(self, account, kind, value, created=created)

    async def unlink(self, account: str, kind: str, value: str) -> None:
        """Take evidence away, wherever it came from; the next rebuild is without it. Arguments and errors as `link`."""
        await linking.unlink(self, account, kind, value)

    def worker(self) -> Any:
        """What works clusters out anew, where the policy has them.

        Raises:
            PluginError: it has none, or a package that this takes is not installed.
        """
        if self._worker is None:
            self._worker = making.worker(self.policy, self.store, self._resolver, clock=self._clock, observer=self.counts)
        return self._worker

    async def work(self) -> Any:
        """Report what accounts did, and work clusters out anew, now.

        It happens by itself as often as the policy says, but under a clock of a test's or a simulation's: those say when.

        Raises:
            PluginError: the policy has no clusters.
            StoreError: the store failed.
        """
        worker = self.worker()
        await self.report()
        state = await worker.work()
        await self.report()
        return state

    async def report(self) -> None:
        """Tell the store what accounts did, and see which verdicts are in force, where the policy has clusters. Every 10 s.

        Raises:
            StoreError: the store failed; what was to be told is lost, and counted.
        """
        if self._gathering is not None and isinstance(self.store, Graph):
            await self._gathering.flush(self.store)
            await self._gathering.see(self.store, whole=True)

    async def see(self) -> None:
        """See which verdicts are in force, where the policy has clusters. Twice a second.

        Raises:
            StoreError: the store failed.
        """
        if self._gathering is not None and isinstance(self.store, Graph):
            await self._gathering.see(self.store)

    def _look_often(self, keeper: Keeper) -> None:
        if self.policy.verification is not None and isinstance(self._clock, SystemClock) and not keeper.runs("cases"):
            keeper.often("cases", CASES_EVERY, self.look)

    async def look(self) -> None:
        """Remind of the deadlines of cases, where the policy has `verification`. Every minute.

        Raises:
            StoreError: the store failed.
        """
        if self.engine.verification is not None:
            await self.engine.verification.deadlines.look()

    async def renew(self) -> None:
        """Renew what is open in this loop now; it happens by itself every 10 s."""
        await self.keeper().renew()

    async def drain(self) -> None:
        """Wait until what was settled has reached the store."""
        await self.store.drain()

    async def close(self) -> None:
        """Drain, and end what runs in the background of this loop. It may be used again afterwards."""
        keeper = self._keepers.pop(asyncio.get_running_loop(), None)
        self._latest = (None, self._latest[1])
        if keeper is not None:
            await keeper.stop()
        await self._resolver.aclose()
        await self.store.close()
        await self.recorder.aclose()
