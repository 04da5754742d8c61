"""What providers and operators say became of verifications: checked, counted once, and written where requests find it.

A report may come late, twice, out of order, and to several processes at once. Each is worked off in an order in which being cut
off loses nothing: the standing first, which merges; then the record; last the note that the event was heard. Of many who work
the same one off at once all write the same, and one has noted it: that one tells.
"""

from __future__ import annotations

import json
import logging
from hashlib import sha256
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from guardrail_mw.conditions import ial_level
from guardrail_mw.engine.ground import CASE, KEPT, REFERENCE, history, noted, referring, shortened, tally_of
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.verification.assurance import Entry, code_of, raised
from guardrail_mw.friction.verification.providers import Begin, Report, WebhookError
from guardrail_mw.friction.verification.providers.reading import number
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrail_mw.engine.cases import Cases
    from guardrail_mw.friction.verification.providers import State

__all__ = ["EVENT", "Heard", "Reports"]

logger = logging.getLogger("guardrail_mw")

EVENT: Final = "event"
"""Drawer of events that were heard."""
_DAY: Final = 86_400_000_000
_REMEMBERED: Final = 90 * _DAY
"""µs that events, documents and persons are known again."""
_LATEST: Final = 300_000_000
"""µs by which a provider's clock may be ahead of ours."""

_OPERATOR: Final = "-"
"""What an operator's approval rests on: no provider's verification is called so."""
_SAID: Final = "o."
"""What a record's fields begin with that keep what a report said, by its order."""

Heard: TypeAlias = Literal["noted", "again", "unknown"]
"""It was noted, and by nobody before; it says nothing that was not heard; it is of no case that we know."""


class _About(NamedTuple):
    name: str
    subject: str
    account: str
    provider: str
    level: str
    fields: Mapping[str, str]


class Reports:
    """Works reports off.

    Args:
        cases: what they are about.
        assurance: the order of authentication contexts, lowest first.
    """

    def __init__(self, cases: Cases, assurance: Sequence[str] = ()) -> None:
        self._cases = cases
        self._assurance = assurance

    def believed(self, provider: str, raw: bytes, headers: Mapping[str, str]) -> Sequence[Report]:
        """What a webhook reports.

        Raises:
            WebhookError: it is not believed, or there is no such provider.
        """
        made = self._cases.providers.get(provider)
        if made is None or not made.webhook:
            raise WebhookError("unsigned")
        return made.parse_webhook(raw, headers)

    async def fetched(self, provider: str, which: str) -> Heard:
        """Ask a provider what became of a verification, and work the answer off.

        Raises:
            ProviderError: it does not say.
            StoreError: the store failed.
        """
        made = self._cases.providers.get(provider)
        report = await made.fetch(which) if made is not None else None
        return "unknown" if report is None else await self.heard(provider, report)

    async def heard(self, provider: str, report: Report) -> Heard:
        """Work a report off.

        Raises:
            ProviderError: what is needed besides was not to be had: the provider shall send it again.
            StoreError: likewise of the store.
        """
        about = await self._about(provider, report)
        if about is None:
            return "unknown"
        now, files = self._cases.clock.now(), self._cases.files
        event = sha256(f"{provider} {report.event}".encode()).hexdigest()[:32]
        if "case" in (await files.pull(EVENT, event) or {}):
            return "again"
        report = report._replace(at=min(report.at, now + _LATEST))
        why = ""
        if report.state == "approved" and not _aside(about.fields, report, now):
            report, why = await self._approved(about, report)
            about = await self._about(provider, report)  # to ask the provider takes a while
            if about is None:
                return "unknown"
        if report.state == "pending" == about.fields.get("state") and why == about.fields.get("why"):
            return "again"  # whoever looks on writes nothing
        return await self._once(about, report, why, event)

    async def _once(self, about: _About, report: Report, why: str, event: str) -> Heard:
        """Note a report, under the name of its event; whoever is first to have done so says it."""
        files, now = self._cases.files, self._cases.clock.now()
        begun = await files.file(EVENT, event, [Change("first", "begun", str(now))], now + _REMEMBERED)
        if "case" in begun:
            return "again"
        now, outcome = whole(begun["begun"]), ""
        if _aside(about.fields, report, now):
            line = noted(now, report.state, f"{report.at} other")
            await files.file(CASE, about.name, [line, *shortened(about.fields)], now + KEPT)
        else:
            outcome = await self._note(about, report, why, report.id, now)
        mine = token_hex(8)
        done = [Change("first", "case", about.name), Change("first", "by", mine)]
        if (await files.file(EVENT, event, done, now + _REMEMBERED))["by"] != mine:
            return "again"
        if outcome:
            self._tell(about, outcome)
        return "noted"

    async def _about(self, provider: str, report: Report) -> _About | None:
        """The case that a report is of. The reference comes back sealed; an id must be one that we have begun."""
        files = self._cases.files
        name = self._cases.referred(report.case)
        if not name:
            known = await files.pull(REFERENCE, referring(provider, report.id))
            name = known.get("case", "") if known is not None else ""
        fields = await files.pull(CASE, name) if name else None
        if fields is None or fields.get("provider") != provider:
            logger.info("A report of %s is of no case that is known.", provider)
            return None
        return _about(name, provider, fields)

    async def _approved(self, about: _About, report: Report) -> tuple[Report, str]:
        """An approval as it counts, and why it does not where it does not."""
        cases = self._cases
        worth = (cases.settings.providers[about.provider].levels or {}).get(about.level)
        other = report.level not in {"", about.level}
        if worth is not None and (other or (report.ial, report.acr) != (worth.ial, worth.acr)):
            return report._replace(state="pending", until=None), "level"
        made = cases.providers[about.provider]
        if made.webhook and not (report.document or report.person):
            more = await made.fetch(report.id)
            if more is not None and more.state == "approved":
                report = report._replace(document=more.document, person=more.person)
        if not (report.document or report.person or getattr(made, "vouches", False)):
            report = report._replace(ial=_less(report.ial), acr=self._below(report.acr))
        return await self._unless_duplicate(about, report)

    async def _unless_duplicate(self, about: _About, report: Report) -> tuple[Report, str]:
        """An approval, unless its document or its person has verified too many lately."""
        for kind, token in (("document", report.document), ("person", report.person)):
            if token and not await self._first(kind, token, about.subject):
                return report._replace(state="declined", until=None, ial="", acr=""), "duplicate"
        return report, ""

    async def _first(self, kind: str, token: str, subject: str) -> bool:
        """Whether a document, or a person, has not verified too many lately, whichever provider looked.

        That is one organisation and nobody else, or so many accounts.
        """
        tally, until = tally_of(self._cases.store), self._cases.clock.now() + _REMEMBERED
        budget, most = f"{kind}:{token}", self._cases.settings.duplicates
        if not subject.startswith("c:"):
            return await tally.take(budget, subject, most, until)
        if not await tally.take(budget, f"{subject} 1", 1, until):
            return False
        # an account that came between two of these has it, and then the organisation does not
        return all([await tally.take(budget, f"{subject} {place}", most, until) for place in range(2, most + 1)])

    def _below(self, acr: str) -> str:
        """The authentication context below one; none below the lowest, or where no order has it."""
        place = self._assurance.index(acr) if acr in self._assurance else 0
        return self._assurance[place - 1] if place else ""

    async def _note(self, about: _About, report: Report, why: str, rests: str, now: int) -> str:
        """Write it, heard at `now`, into the account's standing and into the record; what it comes to.

        `rests` is what an approval rests on. What comes late is not written into a standing: one may have been forgotten, with
        all that undid it.
        """
        cases = self._cases
        entry = Entry(
            report.state,
            report.at,
            report.until or 0,
            report.ial,
            report.acr,
            about.provider,
            about.name,
        )
        latest = entry.order >= whole(about.fields.get("order"))
        if about.subject == about.account and latest:
            code, known = code_of(about.provider, about.level), cases.standings.get(about.account).fields
            await cases.store.remember(about.account, raised(known, code, entry))
        ends = rests in {_OPERATOR, about.fields.get("rests")}
        if about.subject != about.account and latest and not await self._vouched(about, entry, ends=ends):
            why = "gone"
        outcome = "duplicate" if why == "duplicate" else report.state
        line, until = noted(now, outcome, f"{report.at} {why}".rstrip()), max(now, entry.until) + KEPT
        lines = [line, *shortened(about.fields)]
        if not latest:
            await cases.files.file(CASE, about.name, lines, until)
            return outcome
        said = {
            "order": str(entry.order),
            "state": entry.state,
            "at": str(entry.at),
            "heard": str(now),
            "until": str(entry.until or ""),
            "why": why,
            "ial": entry.ial,
            "acr": entry.acr,
        }
        if about.subject == about.account:
            await cases.own(about.account, about.name, until)
        if ends or report.state == "approved":
            said["rests"] = rests if report.state == "approved" else ""
        await self._say(about, said, lines, until)
        return outcome

    async def _say(self, about: _About, said: dict[str, str], lines: Sequence[Change], until: int) -> None:
        """Have the record say what the latest report says, whoever else writes into it meanwhile.

        What requests go by is in the standing; this is for people, and for when the standing is forgotten.
        """
        order, fields = whole(said["order"]), about.fields
        while True:
            known = [whole(field.removeprefix(_SAID)) for field in fields if field.startswith(_SAID)]
            changes = [
                *lines,
                *[Change("set", field, value) for field, value in said.items()],
                Change("set", f"{_SAID}{order}", json.dumps(said)),
                *[Change("unset", f"{_SAID}{each}") for each in known if each < order],
            ]
            fields = await self._cases.files.file(CASE, about.name, changes, until)
            order = max([whole(field.removeprefix(_SAID)) for field in fields if field.startswith(_SAID)])
            if fields["order"] == str(order):
                return
            said = json.loads(fields[f"{_SAID}{order}"])

    def _tell(self, about: _About, outcome: str) -> None:
        cases = self._cases
        cases.notices.tell(outcome, cases.clock.now(), case=about.name, account=about.account, provider=about.provider)

    async def _vouched(self, about: _About, entry: Entry, *, ends: bool) -> bool:
        """Have an organisation's approval, or its end, hold for its cluster; False where there is none any more."""
        if self._cases.vouch is None:
            return False
        if entry.state != "approved" and not (ends and about.fields.get("rests")):
            return True
        why = f"verified by {about.provider}" if entry.state == "approved" else f"{entry.state} by {about.provider}"
        return await self._cases.vouch(
            about.subject.removeprefix("c:"),
            verified=entry.state == "approved",
            code=code_of(about.provider, about.level),
            case=about.name,
            until=entry.until,
            why=why,
        )

    # Operators, and providers that are ours

    async def decide(
        self, name: str, state: State, reason: str, *, document: str = "", person: str = ""
    ) -> Mapping[str, str] | None:
        """Decide a case, whoever its provider is; None where there is no such case.

        Args:
            name: of its record.
            state: `approved`, `declined` or `withdrawn`.
            reason: a line, kept in the record.
            document: the document's country and number, where one was seen: it counts among its duplicates.
            person: likewise a person's official number.

        Raises:
            StoreError: the store failed.
        """
        cases, now = self._cases, self._cases.clock.now()
        fields = await cases.files.pull(CASE, name)
        provider = fields.get("provider", "") if fields is not None else ""
        if fields is None or provider not in cases.providers:
            return None
        made: Any = cases.providers[provider]
        which = fields.get("ref") or "none"
        at = max(now, whole(fields.get("order")) // 16 + 1)  # later than what was said before, whosever clock that was
        if hasattr(made, "decide"):
            begin = Begin("", fields["level"], "", "")
            report: Report = made.decide(begin, which, state, at, document=document, person=person)
        else:
            report = self._own(provider, fields["level"], which, state, at)._replace(
                document=number(cases.means, "document", "", document), person=number(cases.means, "person", "", person)
            )
        about = _about(name, provider, fields)
        why = ""
        if report.state == "approved":
            report, why = await self._unless_duplicate(about, report)  # worth what the level is, whoever looked
        said = [noted(now, "decided", f"{state} {reason}"), Change("set", "spoken", str(now))]
        await cases.files.file(CASE, name, said, now + KEPT)
        self._tell(about, await self._note(about, report, why, _OPERATOR, now))
        return await cases.files.pull(CASE, name)

    def _own(self, provider: str, level: str, which: str, state: State, at: int) -> Report:
        worth = (self._cases.settings.providers[provider].levels or {}).get(level)
        event = sha256(f"{which} {state} {at}".encode()).hexdigest()
        if state != "approved" or worth is None:
            return Report("", which, event, "pending" if state == "approved" else state, at)
        return Report("", which, event, state, at, at + worth.lasts.us, worth.ial, worth.acr)


def _aside(fields: Mapping[str, str], report: Report, now: int) -> bool:
    """Whether a report changes nothing but the history.

    A case can have several verifications, and whoever had its link may have one of them still, to fail it again whenever they
    like. So an approval that holds is ended by what it rests on, and by nothing else; what does not hold is changed by what was
    begun last, or by an approval. Of what was begun before an operator decided, nothing counts.
    """
    spoken = whole(fields.get("spoken"))
    if spoken and spoken >= max(
        [at for at, what, which in history(fields) if (what, which) == ("started", report.id)], default=0
    ):
        return True
    if report.id == fields.get("rests"):
        return False
    holds = fields.get("state") == "approved" and now < whole(fields.get("until")) and fields.get("why") != "gone"
    current = fields.get("rests" if holds else "ref", "")
    return bool(current) and report.id != current and (holds or report.state != "approved")


def _about(name: str, provider: str, fields: Mapping[str, str]) -> _About:
    account = fields["account"]
    return _About(name, fields.get("subject", account), account, provider, fields["level"], fields)


def _less(ial: str) -> str:
    """One level of identity assurance less: what nobody can tell from a second showing of the same document."""
    level = ial_level(ial)
    return str(level - 1) if level > 1 else ""
