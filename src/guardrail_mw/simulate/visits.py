"""What callers do about a refusal that asks for something: they solve, go to be verified, come back, and send the request again.

Nothing of this is told to whoever judges: it goes through the challenge's and the case's own doors, as the middleware's endpoints
have it. The provider is the simulation's own, and finds what the world says: whoever shows a document has it, and its number is
what the guard hears. How many accounts one document is good for is the guard's to say.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guardrail_mw.client.puzzle import read, solve
from guardrail_mw.engine.clearing import Cleared
from guardrail_mw.engine.hints import hint
from guardrail_mw.simulate.codes import ASKED, CHALLENGED, DELAYED
from guardrail_mw.simulate.visiting import Came, Visit
from guardrail_mw.simulate.world.arrays import MINUTE

if TYPE_CHECKING:
    from guardrail_mw.engine import Engine, Exchange
    from guardrail_mw.engine.clearing import Given
    from guardrail_mw.simulate.caller import Callers
    from guardrail_mw.simulate.codes import Seen
    from guardrail_mw.simulate.world.batch import Batch

__all__ = ["Visits"]

_SOON: Final = 10
"""Attempts a minute apart, where somebody waits for what he is due; then they are ten minutes apart."""
_TRIES: Final = 300
"""Attempts, two days' worth, after which somebody waits for his next call."""
_SOLVES: Final = 5
"""Challenges in a row, after which somebody gives up."""
_ANSWERS: Final = "https://api.service.example/.guardrail/challenge"


class Visits:
    """Everybody's.

    Args:
        callers: who send requests again.
    """

    def __init__(self, callers: Callers) -> None:
        accounts, operators = len(callers.world.accounts), len(callers.world.operators)
        self._callers = callers
        self.due: list[tuple[int, int, str, Visit]] = []
        """What happens when: a heap."""
        self.open: dict[tuple[int, int], Visit] = {}
        """By account, and who acts."""
        self.came: list[Came] = []
        self.solved = np.zeros(operators + 1, np.int64)
        """Challenges solved, by operator; the last are people's."""
        self.begun = np.zeros(operators + 1, np.int64)
        """Verifications begun, likewise."""
        self.outcomes: dict[tuple[int, str], int] = {}
        """What they came to, by operator."""
        self.asked = np.zeros(accounts, np.int64)
        """µs when an account was first asked to verify; 0 for never."""
        self.passed = np.zeros(accounts, np.int64)
        """µs when it was verified; 0 for never."""
        self.after = np.zeros(accounts, np.int64)
        """Answers with content to an account that was asked and is not verified."""
        self.retries = 0
        self.without_link = 0
        """Refusals until something is proved that say nowhere to go."""
        self._turn = count()
        self._looking: dict[str, int] = {}
        """Cases that the provider looks at: until when."""

    @property
    def _engine(self) -> Engine:
        return self._callers.guardrail.engine

    def note(self, batch: Batch, seen: Seen) -> None:
        """What was answered after somebody was asked."""
        account, asked = batch.account, self.asked[batch.account]
        passed = self.passed[account]
        late = (asked > 0) & (batch.at > asked) & ((passed == 0) | (batch.at < passed)) & (seen.codes <= DELAYED)
        np.add.at(self.after, account[late], 1)

    async def seen(self, exchange: Exchange, batch: Batch, i: int, code: int) -> int:
        """A call was decided; what became of it in the end."""
        if code in {ASKED, CHALLENGED}:
            return await self._refused(exchange, batch, i, code)
        if code <= DELAYED and self.open:
            operator = self._callers.world.papers.acts(int(batch.operator[i]))
            visit = self.open.get((int(batch.account[i]), operator))
            if visit is not None and visit.operator < 0:  # answered, though he is still about it
                self._end(visit, int(batch.at[i]))
        return code

    async def _refused(self, exchange: Exchange, batch: Batch, i: int, code: int) -> int:
        """A call was refused until something is solved or proved; returns what became of it in the same moment.

        A farm solves at once, and its operator's call is sent again at once. Whatever else anybody does takes time.
        """
        papers = self._callers.world.papers
        account, operator, at = int(batch.account[i]), papers.acts(int(batch.operator[i])), int(batch.at[i])
        if code == ASKED and not self.asked[account]:
            self.asked[account] = at
        known = self.open.get((account, operator))
        if known is not None:
            if known.idle:
                known.idle, known.solves, known.batch = False, 0, batch.take(np.array([i]))
                await self._go_on(known, code, exchange, at)
            return code
        if operator >= 0 and code == CHALLENGED:
            if not papers.farmed(operator):
                return code
            await self._answer(_challenge(exchange), batch.take(np.array([i])), operator)
            code, exchange = await self._callers.again(batch, i)
            if code == ASKED and not self.asked[account]:
                self.asked[account] = at
        if operator >= 0 and code != ASKED:
            return code
        visit = Visit(account, operator, batch.take(np.array([i])), code, at)
        self.open[account, operator] = visit
        await self._go_on(visit, code, exchange, at)
        return code

    async def until(self, at: int) -> None:
        """Let happen what is due by a moment, µs."""
        while self.due and self.due[0][0] <= at:
            when, _, what, visit = heappop(self.due)
            if self.open.get((visit.account, visit.operator)) is not visit:
                continue
            self._callers.move(when)
            await getattr(self, f"_{what}")(visit, when)

    def _then(self, at: int, what: str, visit: Visit) -> None:
        heappush(self.due, (at, next(self._turn), what, visit))

    def _end(self, visit: Visit, at: int) -> None:
        del self.open[visit.account, visit.operator]
        if visit.operator >= 0:
            return
        verified = bool(self.passed[visit.account])
        self.came.append(Came(visit.account, visit.first, visit.since, at, visit.own, visit.provider, verified))

    def _give_up(self, visit: Visit) -> None:
        """It came to nothing. Who acts for himself still waits for an answer."""
        if visit.operator >= 0:
            del self.open[visit.account, visit.operator]
        visit.idle = True

    # The steps of a visit

    async def _go_on(self, visit: Visit, code: int, exchange: Exchange, at: int) -> None:
        """What to do about an answer."""
        papers, browser = self._callers.world.papers, self._callers.browses(visit.batch)
        if code <= DELAYED:
            self._end(visit, at)
        elif code == CHALLENGED and visit.operator < 0 and visit.solves < _SOLVES:
            visit.given = _challenge(exchange)
            visit.solves += 1
            takes = papers.solving(visit.account, at, browser=browser)
            visit.own += takes
            self._then(at + takes, "solve", visit)
        elif code == ASKED:
            await self._summon(visit, exchange, at)
        elif code != CHALLENGED and visit.tries < _TRIES and visit.operator < 0:
            visit.tries += 1
            self._then(at + (MINUTE if visit.tries <= _SOON else 10 * MINUTE), "retry", visit)
        else:
            self._give_up(visit)

    async def _retry(self, visit: Visit, at: int) -> None:
        self.retries += 1
        code, exchange = await self._callers.again(visit.batch, 0)
        await self._go_on(visit, code, exchange, at)

    async def _solve(self, visit: Visit, at: int) -> None:
        given, visit.given = visit.given, None
        if given is not None and at < given.until:
            await self._answer(given, visit.batch, -1)
        await self._retry(visit, at)

    async def _answer(self, given: Given, batch: Batch, operator: int) -> None:
        clearing = self._engine.clearing
        assert clearing is not None  # noqa: S101 - it has asked
        facts, subject = await self._callers.who(batch)
        sealed = str(given.challenge["case"])
        case = clearing.read(sealed)
        assert case is not None  # noqa: S101 - ours
        answer = solve(read({**given.challenge, "url": _ANSWERS}))
        found = await clearing.answer(sealed, case, answer, facts, subject)
        if isinstance(found, Cleared):
            self.solved[operator] += 1
            if found.cookie:
                self._callers.keep(int(batch.account[0]), found.cookie)

    async def _summon(self, visit: Visit, exchange: Exchange, at: int) -> None:
        """Somebody is sent to be verified: goes there, if he has what to show."""
        cases, judge, judgement = self._engine.cases, exchange.engine.judge, exchange.judgement
        rung = judgement.step.rung if judgement is not None else None
        asks = judge.asks(rung) if rung is not None else None
        if cases is None or rung is None or asks is None or visit.tries >= _TRIES:
            self._give_up(visit)
            return
        if not exchange.answerable:
            self.without_link += 1  # a key of which nothing is known is a network's, and there is nobody to verify
            self._give_up(visit)
            return
        url, _ = await cases.ask(exchange, rung, asks, hint(exchange))
        visit.sealed = url.removeprefix(cases.base)
        visit.link = link = cases.read(visit.sealed)
        assert link is not None  # noqa: S101 - ours
        whose = link.subject if link.subject != link.account else ""
        papers = self._callers.world.papers
        visit.document = papers.show(visit.account, visit.operator, whose)
        if not visit.document:
            self._give_up(visit)
            return
        takes = papers.consenting(visit.account, at)
        visit.own += takes
        self._then(at + takes, "consent", visit)

    async def _consent(self, visit: Visit, at: int) -> None:
        visit.tries += 1
        verification, link = self._engine.verification, visit.link
        assert verification is not None  # noqa: S101 - see `_summon`
        assert link is not None  # noqa: S101 - likewise
        name, what = verification.cases.named(link), "retry"
        if name in self._looking and link.subject != link.account:  # a colleague's is under way: the page says so
            begun = "busy"
        else:
            begun = await verification.beginning.begin(link, visit.sealed)
        if begun == "approved":
            due = at
        elif begun in {"many", "unavailable", "over"}:
            self._count(visit.operator, begun)
            self._give_up(visit)
            return
        elif name in self._looking:  # a colleague's, of the same organisation
            due = self._looking[name]
        else:
            self.begun[visit.operator] += 1
            due = self._looking[name] = at + self._callers.world.papers.looking(visit.account, at)
            what = "decided"
        if visit.operator >= 0 and what == "retry":
            self._end(visit, due)
            return
        visit.provider += due - at
        self._then(due, what, visit)

    async def _decided(self, visit: Visit, at: int) -> None:
        """The provider has looked."""
        cases, reports, link = self._engine.cases, self._engine.reports, visit.link
        assert cases is not None  # noqa: S101 - see `_summon`
        assert reports is not None  # noqa: S101 - likewise
        assert link is not None  # noqa: S101 - likewise
        self._looking.pop(cases.named(link), None)
        which = (await cases.case(link)).get("ref", "")
        office: Any = cases.providers[link.provider]
        begin = cases.begun(link, visit.sealed)
        await reports.heard(link.provider, office.decide(begin, which, "approved", at, document=visit.document))
        case = await cases.case(link)
        state = "duplicate" if case.get("why") == "duplicate" else case.get("state", "")
        self._count(visit.operator, state)
        if state != "approved":
            self._give_up(visit)
            return
        self.passed[visit.account] = at
        if visit.operator < 0:
            await self._retry(visit, at)
            return
        self._callers.world.passed(visit.operator, int(visit.batch.row[0]))
        self._end(visit, at)

    def _count(self, operator: int, what: str) -> None:
        self.outcomes[operator, what] = self.outcomes.get((operator, what), 0) + 1


def _challenge(exchange: Exchange) -> Given:
    """What a refusal asks to be solved."""
    clearing, token, judgement = exchange.engine.clearing, exchange.token, exchange.judgement
    rung = judgement.step.rung if judgement is not None else None
    assert clearing is not None  # noqa: S101 - it was refused for a challenge
    assert token is not None  # noqa: S101 - likewise
    assert rung is not None  # noqa: S101 - likewise
    return clearing.ask(exchange, rung, token)
