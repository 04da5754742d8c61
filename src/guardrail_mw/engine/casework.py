"""What an operator sees and does of cases of verification and of appeals.

As `Operator` has it: what changes something needs a reason, answers are what JSON can hold, times are in µs. An id may be given
by as much of it as no other begins with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.engine.accounts import MisuseError, line_of, moment
from guardrail_mw.engine.appeals import item_of
from guardrail_mw.engine.forgetting import Forgotten, cases_of, forget_cases, forget_texts, texts_of
from guardrail_mw.engine.ground import files_of
from guardrail_mw.engine.noting import log, note
from guardrail_mw.engine.records import APPEALED, VERIFIED, MissingError, every, find
from guardrail_mw.engine.states import STATES
from guardrail_mw.engine.telling import tell_appeal, tell_case
from guardrail_mw.errors import PluginError, StoreError
from guardrail_mw.quantities import Duration
from guardrail_mw.stores.base import Change, Files

if TYPE_CHECKING:
    from guardrail_mw.engine.appeals import Appeal
    from guardrail_mw.engine.guardrail import Guardrail
    from guardrail_mw.engine.peeking import Peeked
    from guardrail_mw.engine.reports import Reports

__all__ = ["DECISIONS", "GRANTED", "REFUSED", "Casework"]

DECISIONS: Final = ("approved", "declined", "withdrawn")
"""What a case can be decided to be."""
GRANTED: Final = "appeal-granted"
REFUSED: Final = "appeal-refused"
"""Labels of accounts whose appeal was decided."""
_RISK: Final = ("heat", "rung", "met")
"""What is remembered of an account's risk."""


class Casework:
    """Cases and appeals, in an operator's hands. Raises as `Operator` does.

    Args:
        guardrail: whose they are.
    """

    def __init__(self, guardrail: Guardrail) -> None:
        self._guardrail = guardrail

    @property
    def _files(self) -> Files:
        return files_of(self._guardrail.store)

    @property
    def _filing(self) -> bool:
        """Whether the store keeps records at all."""
        try:
            files_of(self._guardrail.store)
        except StoreError:
            return False
        return True

    # Seeing

    async def cases(self, most: int = 100, state: str = "") -> dict[str, Any]:
        """Cases: open ones and of those the first due first, then the latest decided.

        `{now, cases, more}`: each is `{id, account, subject, provider, level, rung, state, open, asked, deadline, overdue,
        decided, until, why}`; `more` says whether there are others. `state` is one of `states.STATES`, or `open`; all unless
        given. `subject` is who is verified: the account, or a cluster, `c:…`, for its organisation.
        """
        _state_of(state, ("open", *STATES))
        now = self._guardrail.now()
        found, more = await every(self._files, VERIFIED)
        told = [tell_case(name, fields, now) for name, fields in found.items()]
        shown = [each for each in told if state in {"", each["state"]} or (state == "open" and each["open"])]
        shown.sort(key=lambda each: (not each["open"], each["deadline"] if each["open"] else -(each["decided"] or 0)))
        return {"now": now, "cases": shown[:most], "more": more or len(shown) > most}

    async def case(self, case: str) -> dict[str, Any]:
        """A case whole: as in `cases`, and `{decision, started, verification, ial, acr, history}`.

        `history` is `[{at, what, detail, said}]`, the oldest first, `said` in words. `verification` is the provider's id of what
        was begun last.
        """
        name, fields = await find(self._files, VERIFIED, case)
        return tell_case(name, fields, self._guardrail.now(), entire=True)

    async def appeals(self, most: int = 100, state: str = "") -> dict[str, Any]:
        """Appeals, those that are open and the oldest of them first, then the latest decided.

        `{now, appeals, more}`: each is `{id, subject, cluster, state, opened, times, accounts, reason, decided}`. `state` is
        `open`, `granted` or `refused`; all unless given.
        """
        _state_of(state, ("open", "granted", "refused"))
        found, more = await every(self._files, APPEALED)
        told = [tell_appeal(item_of(name, fields), fields) for name, fields in found.items()]
        shown = [each for each in told if state in {"", each["state"]}]
        shown.sort(
            key=lambda each: (each["state"] != "open", each["opened"] if each["state"] == "open" else -each["decided"])
        )
        return {"now": self._guardrail.now(), "appeals": shown[:most], "more": more or len(shown) > most}

    async def appeal(self, appeal: str) -> dict[str, Any]:
        """An appeal whole: as in `appeals`, and its `texts` and `decisions`, both with the oldest first.

        A text is `{at, account, decision, text}`, written by a stranger; a decision `{at, what, reason}`.
        """
        name, fields = await find(self._files, APPEALED, appeal)
        return tell_appeal(item_of(name, fields), fields, entire=True)

    async def export(self, account: str) -> dict[str, Any]:
        """What is kept of an account, where there is some: the records of its `cases`, and `appeals`.

        Of its cluster's appeal that is what it wrote itself.
        """
        if not self._filing:
            return {}
        cases = await cases_of(self._guardrail, account)
        appeals = {name: texts_of(fields, account) async for name, fields in self._appeals_of(account)}
        told = (("cases", cases), ("appeals", appeals))
        return {what: [{"id": name, **fields} for name, fields in found.items()] for what, found in told if found}

    # Doing

    async def decide_case(
        self, case: str, state: str, reason: str, document: str | None = None, person: str | None = None
    ) -> dict[str, Any]:
        """Decide a case, whoever its provider is: `approved`, `declined` or `withdrawn`. Answers as `case`, with what came of it.

        An approval is worth what the policy says of the case's level. `document` (a country and a number) and `person` (an
        official number), where they were seen, become tokens and count as those that a provider reports: where one of them has
        verified too many accounts, the case is a `duplicate`.
        """
        reason, asked = line_of("reason", reason), _state_of(state, DECISIONS)
        numbers = {}
        for argument, text in (("document", document), ("person", person)):
            if text is not None and asked != "approved":
                raise MisuseError(argument, "is noted with what is approved only.")
            numbers[argument] = "" if text is None else line_of(argument, text)
        name, fields = await find(self._files, VERIFIED, case)
        reports = self._decider(fields, asked)
        peeked = await self._guardrail.peek(fields["account"])
        decided: Any = asked
        try:
            after = await reports.decide(name, decided, reason, **numbers)
        except PluginError as error:
            raise MisuseError("case", f"is of an organisation, and its cluster cannot be told here. {error}") from error
        if after is None:
            raise MissingError("case", "is no more: its account was erased meanwhile.")
        await note(self._guardrail.store, peeked, "case", asked, reason)
        return await self.case(name)

    def _decider(self, fields: Mapping[str, str], state: str) -> Reports:
        """What decides a case, where the policy has what that takes."""
        engine, provider, level = self._guardrail.engine, fields["provider"], fields["level"]
        if engine.reports is None or engine.cases is None:
            raise MisuseError("case", "cannot be decided: the policy has no section `verification:` any more.")
        settings = engine.cases.settings.providers.get(provider)
        if settings is None:
            raise MisuseError("case", f"cannot be decided: `verification.providers` has no {provider} any more.")
        if state == "approved" and level not in (settings.levels or {}):
            raise MisuseError(
                "state",
                f"would be worth nothing: {provider} has no level {level} in the policy any more. Put it back first.",
            )
        return engine.reports

    async def decide_appeal(
        self, appeal: str, *, granted: bool, reason: str, until: Duration | str | None = "30d"
    ) -> dict[str, Any]:
        """Grant an appeal, or refuse it. Answers as `appeal`, with `until` and the accounts that were `touched`.

        Granted, an account's remembered risk is forgotten, and it is allowed until then, whatever its risk; a cluster is released
        until then. Refused, what held holds. Each account that appealed has a label until then, `appeal-granted` or
        `appeal-refused`, with the reason, which whoever appealed reads too.
        """
        reason = line_of("reason", reason)
        if not isinstance(granted, bool):
            raise MisuseError("granted", "is neither true nor false.")
        moment(until, 0)
        name, fields = await find(self._files, APPEALED, appeal)
        item, appeals = item_of(name, fields), self._guardrail.engine.appeals
        if appeals is None:
            raise MisuseError("appeal", "cannot be decided: the policy has no section `verification:` any more.")
        whose = item.accounts if item.subject.startswith("c:") else (item.subject,)
        peeked = [await self._guardrail.peek(account) for account in whose]
        end = moment(until, max([each.now for each in peeked], default=self._guardrail.now()))
        touched = await self._release(item, peeked, reason, end) if granted and item.subject.startswith("c:") else ()
        for each in peeked:
            changes = _labelled(each, granted=granted, reason=reason, end=end)
            if not item.subject.startswith("c:"):
                changes += _allowed(each, reason, end) if granted else _taken_back(each, fields.get("reason", ""))
            await note(self._guardrail.store, each, "appeal", "granted" if granted else "refused", reason, changes)
        await appeals.decide(name, granted=granted, reason=reason)
        if not peeked:
            log(item.subject, "appeal", "granted" if granted else "refused", reason)
        return {**await self.appeal(name), "until": end or None, "touched": list(dict.fromkeys([*touched, *whose]))}

    async def _release(self, item: Appeal, peeked: list[Peeked], reason: str, end: int) -> tuple[str, ...]:
        """Release the cluster of an item; who was touched."""
        cluster = item.subject.removeprefix("c:")
        try:
            worker = self._guardrail.worker()
        except PluginError as error:
            raise MisuseError("appeal", f"is of cluster {cluster}, which cannot be released here. {error}") from error
        touched: tuple[str, ...] | None = await worker.release(cluster, reason, end)
        if touched is not None:
            return touched
        standings = [each.standing.fields for each in peeked]
        now = sorted({each.get("cluster", "") for each in standings if each.get("verdict") in BINDS})
        if now:
            raise MisuseError(
                "appeal",
                f"is of cluster {cluster}, which is no more; its accounts are in {', '.join(now)} now. First: "
                f"guardrail-mw clusters release {now[0]} --reason …",
            )
        return ()

    async def forget(self, account: str) -> Forgotten:
        """Forget an account's cases, at their providers too, and what it wrote in appeals.

        How often a document was shown stays counted.
        """
        if not self._filing:
            return Forgotten()
        forgotten = await forget_cases(self._guardrail, account)
        written = [(name, fields) async for name, fields in self._appeals_of(account)]
        for name, fields in written:
            await forget_texts(self._files, name, fields, account)
        return forgotten._replace(some=forgotten.some or bool(written))

    # What these share

    async def _appeals_of(self, account: str) -> AsyncIterator[tuple[str, Mapping[str, str]]]:
        """Items that an account wrote in, its own among them."""
        found, _ = await every(self._files, APPEALED, None)
        for name, fields in found.items():
            if texts_of(fields, account):
                yield name, fields


def _state_of(state: object, known: tuple[str, ...]) -> str:
    if not isinstance(state, str) or (state not in known and not (state == "" and "open" in known)):
        raise MisuseError("state", f"is none of {', '.join(known)}.")
    return state


def _labelled(peeked: Peeked, *, granted: bool, reason: str, end: int) -> list[Change]:
    """The label of a decision, in place of another's."""
    label, other = (GRANTED, REFUSED) if granted else (REFUSED, GRANTED)
    gone = [Change("unset", f"label.{other}")] if f"label.{other}" in peeked.standing.fields else []
    return [Change("set", f"label.{label}", f"{end} {reason}"), *gone]


def _allowed(peeked: Peeked, reason: str, end: int) -> list[Change]:
    """Its risk forgotten, and let through."""
    forgotten = [Change("unset", field) for field in _RISK if field in peeked.standing.fields]
    return [*forgotten, Change("set", "override", f"allow {end}"), Change("set", "override.why", reason)]


def _taken_back(peeked: Peeked, before: str) -> list[Change]:
    """What this appeal was granted before, if that still stands."""
    fields = peeked.standing.fields
    ours = fields.get("override", "").startswith("allow ") and before and fields.get("override.why") == before
    return [Change("unset", "override"), Change("unset", "override.why")] if ours else []
