"""Challenges given out, and what their answers clear.

A challenge carries a *case*: sealed, it says who is asked for what, until when, and which token is spent when it is solved. So
nothing is kept for a challenge that is never solved, whoever holds the answer can hand it in, and it clears the one account
that was asked. The token carries its issuer's epoch: a store that may have forgotten what was spent takes none from before.
"""

from __future__ import annotations

import logging
from inspect import isawaitable
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from guardrail_mw.engine.callers import Callers
from guardrail_mw.engine.standings import seen
from guardrail_mw.friction import clearance
from guardrail_mw.friction.challenges import Asked, Means
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.sealing import Sealer
from guardrail_mw.stores.base import Change
from guardrail_mw.values import CLEARED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrail_mw.clock import Clock
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.friction.challenges import Challenger
    from guardrail_mw.friction.ladder import Ladder, Rung
    from guardrail_mw.identity.keys import Keyring
    from guardrail_mw.stores.base import Store
    from guardrail_mw.values import Facts, Observer, Subject

__all__ = ["BACK", "Case", "Cleared", "Clearing", "Given", "Said"]

logger = logging.getLogger("guardrail_mw")

BACK: Final = 2_048
"""Characters of the place where somebody was going; instead of a longer one it is the root."""
_VERSION: Final = 1
_HIGHEST: Final = 100.0
_RENEWED: Final = 3_600_000_000
"""µs beyond its first time for which a case is given again. It stays as hard as it was, so not for ever: who could renew an easy
one without end would never meet the harder one that a greater risk asks for."""
_SLACK: Final = 3_600_000_000
"""µs that a spent token is remembered beyond its case: by so much clocks of processes may differ."""

Said: TypeAlias = Literal["failed", "expired", "spent", "cookies", "over", "unreadable", "unavailable"]
"""Why an answer clears nothing. Who is told `over` is given no other challenge: what asks for it must ask anew."""


class Case(NamedTuple):
    """Who is asked for what."""

    id: str
    """Of the decision that asked."""
    rung: str
    """Its name."""
    code: str
    """Of the rung's settings: under others the case is over."""
    account: str
    """Home of the account; empty for who has none."""
    device: str
    """In hexadecimal, of who has none."""
    network: str
    """Home, likewise."""
    token: str
    epoch: str
    """Of the store when the token was made."""
    since: int
    """µs since the epoch when it was asked for the first time."""
    until: int
    """µs since the epoch."""
    suspicion: float
    back: str
    """Where a browser was going; empty for other clients."""
    method: str
    """Of its request."""
    form: str
    """The digest of the form that it was sending; empty for none that is kept."""


class Given(NamedTuple):
    """A challenge for one caller."""

    challenge: Mapping[str, Any]
    """For the solver, as JSON; `url`, where the answer goes, is put beside it by whoever knows."""
    until: int
    """µs since the epoch."""
    cookie: bytes
    """A `set-cookie` value that must go out with it; empty for none."""


class Cleared(NamedTuple):
    """What an answer came to."""

    until: int
    """µs since the epoch until which what was asked for is passed."""
    cookie: bytes
    """A `set-cookie` value in which the clearance lies; empty where it lies in the account's standing."""


class _Kind(NamedTuple):
    rung: Rung
    challenger: Challenger
    immunity: int
    expires: int


class Clearing:
    """The challenges of a policy's ladder.

    Args:
        ladder: its rungs that ask for something to be solved have a challenger each.
        store: where tokens are spent, and standings are.
        keys: what cases and cookies are sealed and signed with.
        clock: for what expires.
        observer: hears `challenges.*`.
    """

    def __init__(self, ladder: Ladder, *, store: Store, keys: Keyring, clock: Clock, observer: Observer) -> None:
        self.callers = Callers(keys)
        self._store = store
        self._clock = clock
        self._observer = observer
        self._sealer = Sealer(keys.derive("case"))
        self._kinds = {rung.code: _kind(rung, keys) for rung in ladder.rungs if rung.do == "challenge"}

    def __bool__(self) -> bool:
        """Whether there is anything to solve."""
        return bool(self._kinds)

    # Asking

    async def token(self) -> tuple[str, str]:
        """A token that can be spent once, and the store's epoch.

        Raises:
            StoreError: the store does not answer: then nothing that is solved could be known to be solved for the first time.
        """
        token = token_urlsafe(16)
        return token, await self._store.epoch(token)

    def ask(
        self, exchange: Exchange, rung: Rung, token: tuple[str, str], *, back: str = "", method: str = "GET", form: str = ""
    ) -> Given:
        """The challenge of a rung for the caller of an exchange.

        Args:
            exchange: judged.
            rung: that acts on it.
            token: from `token`.
            back: where a browser was going, from the server's root; empty for other clients.
            method: of its request.
            form: the digest of the form that it was sending; empty for none that is kept.
        """
        judgement, subject, receipt = exchange.judgement, exchange.subject, exchange.receipt
        assert judgement is not None  # noqa: S101 - a rung acts
        assert subject is not None  # noqa: S101 - likewise
        assert receipt is not None  # noqa: S101 - likewise
        step, tariff = judgement.step, exchange.tariff
        at = step.at if step.at is not None else float(rung.at)
        suspicion = min(1.0, max(0.0, (step.effective - at) / (_HIGHEST - at))) if at < _HIGHEST else 0.0
        account = subject.candidate if tariff is not None and tariff.payer == subject.candidate else ""
        cookie, device = b"", ""
        if not account:
            visitor = self.callers.visitor(exchange.facts, self._clock.now())
            cookie, device = visitor.cookie, visitor.device.hex()
        back = back if len(back) <= BACK else "/"
        case = Case(
            exchange.id,
            rung.name,
            rung.code,
            account,
            device,
            subject.network,
            *token,
            self._clock.now(),
            0,
            suspicion,
            back,
            method,
            form,
        )
        return self._give(self._kinds[rung.code], case, cookie)

    def introduced(self, exchange: Exchange) -> bytes:
        """The `set-cookie` value for who could not be asked because it has shown no cookie, and no account; else empty."""
        judgement, subject, tariff = exchange.judgement, exchange.subject, exchange.tariff
        if judgement is None or "otherwise" not in judgement.step.why or subject is None:
            return b""
        alone = tariff is None or tariff.payer != subject.candidate or not subject.candidate
        return self.callers.introduced(exchange.facts, self._clock.now()) if alone else b""

    async def again(self, case: Case, facts: Facts, subject: Subject) -> Given | None:
        """Another challenge in place of one that was not solved; None where its rung is gone, or it was asked too long ago.

        Of who has no account, for whoever answered: of two pages that were opened at once one's cookie is lost, and people move
        between networks. Given to who was asked first, it could never be solved.

        Args:
            case: of the one that was not solved.
            facts: of the request that brought an answer.
            subject: its network's.

        Raises:
            StoreError: the store does not answer.
        """
        kind, now = self._kinds.get(case.code), self._clock.now()
        if kind is None or now >= case.since + kind.expires + _RENEWED:
            return None
        token, epoch = await self.token()
        case, cookie = case._replace(token=token, epoch=epoch), b""
        if not case.account:
            visitor = self.callers.visitor(facts, now)
            case, cookie = case._replace(device=visitor.device.hex(), network=subject.network), visitor.cookie
        return self._give(kind, case, cookie)

    def _give(self, kind: _Kind, case: Case, cookie: bytes) -> Given:
        now = self._clock.now()
        case = case._replace(until=now + kind.expires)
        asked = self._asked(self._sealer.seal_values(_VERSION, case), case)
        self._observer.count("challenges.given")
        return Given({"type": kind.rung.use, "case": asked.case, **kind.challenger.issue(asked)}, case.until, cookie)

    @staticmethod
    def _asked(sealed: str, case: Case) -> Asked:
        return Asked(sealed, case.suspicion, case.until, case.rung)

    # Answering

    def read(self, sealed: str) -> Case | None:
        """What a case says; None for what we did not seal."""
        values = self._sealer.open_values(_VERSION, sealed)
        return Case(*values) if values is not None else None

    async def answer(self, sealed: str, case: Case, answer: str, facts: Facts, subject: Subject) -> Cleared | Said:
        """Judge an answer; what it clears, or why nothing.

        Args:
            sealed: the case as it came.
            case: what `read` made of it.
            answer: the solver's.
            facts: of the request that brings it: who has no account must be the one who was asked.
            subject: its network's.

        Raises:
            StoreError: the store does not answer; nothing was spent, or it will never be known.
        """
        now = self._clock.now()
        kind = self._kinds.get(case.code)
        if kind is None or now >= case.until:
            return self.said("expired")
        if not case.account and not self._same(case, facts, subject, now):
            return self.said("cookies")
        found = kind.challenger.verify(self._asked(sealed, case), answer)
        outcome = await found if isawaitable(found) else found
        if outcome != "solved":
            return self.said(outcome)
        if not await self._store.spend(case.token, kind.expires + _SLACK, case.epoch):
            return self.said("spent")
        until = now + kind.immunity
        if case.account:
            return await self._remember(case, until, now)
        self._observer.count("challenges.solved")
        fields = self.callers.cleared(facts, case.network, now) | {clearance.field(case.code): str(until)}
        return Cleared(until, self.callers.clear(fields, bytes.fromhex(case.device), case.network, now))

    def _same(self, case: Case, facts: Facts, subject: Subject, now: int) -> bool:
        visitor = self.callers.visitor(facts, now)
        return visitor.known and visitor.device.hex() == case.device and subject.network == case.network

    async def _remember(self, case: Case, until: int, now: int) -> Cleared | Said:
        """Note the clearance of an account that is still known: one that was erased since it was asked must stay so.

        Whoever was asked had made a proved request, which is noted (`since`). Looking and noting are two commands: what is erased
        in the moment between keeps a standing of this clearance alone, for as long as any standing is kept.
        """
        account = case.account
        known = await seen(self._store, account, account)
        fields = known.standing.fields if known.standing is not None else {}
        if "since" not in fields:
            return self.said("over")
        await self._store.remember(account, self._changes(case, fields, until, now))
        self._observer.count("challenges.solved")
        return Cleared(until, b"")

    def _changes(self, case: Case, known: Mapping[str, str], until: int, now: int) -> tuple[Change, ...]:
        """The clearance; what has run out of other settings makes room, or every change of a policy would leave one behind.

        What the ladder asks for stays: another process may have renewed it meanwhile.
        """
        asked = {clearance.field(code) for code in self._kinds}
        over = [name for name, ends in known.items() if name.startswith(CLEARED) and whole(ends) <= now]
        gone = [Change("unset", name) for name in over if name not in asked]
        return (Change("max", clearance.field(case.code), str(until)), *gone)

    def said(self, why: Said) -> Said:
        """Count why an answer clears nothing."""
        self._observer.count(f"challenges.{why}")
        return why


def _kind(rung: Rung, keys: Keyring) -> _Kind:
    """A rung with its challenger, made as the plugin's settings say."""
    made, settings = rung.plugin("challenges")
    means = Means(keys.derive(f"challenge-{rung.use}"))
    return _Kind(rung, made(settings, means), settings.immunity.us, settings.expires.us)
