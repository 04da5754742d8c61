"""Appeals: whoever is refused for risk may object, and is told what came of it.

An appeal of somebody in a suspect cluster is the cluster's: one item, however many of its accounts object. What is written is
kept in the item, the first few texts of it; it is shown to operators alone. A decision and its reason are kept in the item, where
whoever appealed reads them, and go back into the account's standing as a label, for scorers and people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from guardrail_mw.clusters.binding import bound
from guardrail_mw.engine.ground import KEPT, files_of, noted, tally_of
from guardrail_mw.friction.memory import whole
from guardrail_mw.friction.sealing import Sealer
from guardrail_mw.stores.base import Change

if TYPE_CHECKING:
    from guardrail_mw.engine.exchange import Exchange
    from guardrail_mw.engine.ground import Ground
    from guardrail_mw.friction.verification.settings import VerificationSettings
    from guardrail_mw.stores.base import Files

__all__ = ["APPEAL", "APPEALS", "LONGEST", "Appeal", "Appealed", "Appeals", "Plea", "item_of"]

APPEALS: Final = "/appeal"
"""Below the prefix."""
APPEAL: Final = "appeal"
"""The drawer."""
LONGEST: Final = 2_000
"""Characters of an appeal."""
_TEXTS: Final = 20
"""Texts that an item keeps; who has written least is heard first. Of further ones it keeps how many."""
_A_DAY: Final = 3
"""Appeals of one account in a day."""
_DAY: Final = 86_400_000_000
_VERSION: Final = 1

Appealed: TypeAlias = Literal["open", "many", "empty", "long"]


class Plea(NamedTuple):
    """What the address of an appeal says."""

    account: str
    """Home of who was refused."""
    cluster: str
    """Its cluster's id, where that is suspect; else empty."""
    decision: str
    since: int
    """µs."""
    until: int
    who: str

    @property
    def subject(self) -> str:
        """Whose item it is: the cluster's, or the account's."""
        return f"c:{self.cluster}" if self.cluster else self.account


class Appeal(NamedTuple):
    """An item, as operators see it."""

    id: str
    subject: str
    """An account's home, or a cluster's, `c:…`."""
    state: Literal["open", "granted", "refused"]
    opened: int
    """µs."""
    times: int
    """How often somebody appealed since it was opened."""
    accounts: tuple[str, ...]
    """Of those whose texts are kept."""
    texts: tuple[tuple[int, str, str, str], ...]
    """When, which account, the decision, and what it wrote."""
    reason: str
    """Of the decision; empty while it is open."""
    decided: int
    """µs; 0 while it is open."""


class Appeals:
    """Takes appeals, and decisions on them.

    Args:
        settings: the policy's `verification`.
        ground: what they stand on.
    """

    def __init__(self, settings: VerificationSettings, ground: Ground) -> None:
        self.settings = settings
        self._store = ground.store
        self._key = ground.key
        self._clock = ground.clock
        self._notices = ground.notices
        endpoints, keys = ground.endpoints, ground.keys
        self.base = f"{endpoints.public_url or ''}{endpoints.prefix}{APPEALS}/"
        self._links = Sealer(keys.derive("appeal"))

    @property
    def _files(self) -> Files:
        return files_of(self._store)

    def link(self, exchange: Exchange, who: str) -> str:
        """The address where whoever was refused may appeal; empty where nobody may, or nobody could be told apart."""
        subject, now = exchange.subject, self._clock.now()
        if not self.settings.appeals.open or subject is None or not exchange.answerable:
            return ""
        cluster = bound(exchange.standing.fields)
        plea = Plea(subject.candidate, cluster, exchange.id, now, now + self.settings.appeals.lasts.us, who)
        return self.base + self._links.seal_values(_VERSION, plea)

    def read(self, sealed: str) -> Plea | None:
        """What a link says, whether its time is over or not; None for what we did not seal."""
        values = self._links.open_values(_VERSION, sealed)
        return Plea(*values) if values is not None else None

    def name(self, subject: str) -> str:
        """The id of a subject's item."""
        return blake2b(subject.encode(), digest_size=6, key=self._key, person=b"appeal").hexdigest()

    async def appeal(self, plea: Plea, text: str) -> Appealed:
        """Take an appeal.

        Raises:
            StoreError: the store failed.
        """
        text, now = " ".join(text.split()), self._clock.now()
        if not text:
            return "empty"
        if len(text) > LONGEST:
            return "long"
        if not await self._may(plea.account, now):
            return "many"
        name = self.name(plea.subject)
        known = await self._files.pull(APPEAL, name) or {}
        changes = [
            Change("set", "subject", plea.subject),
            Change("add", "count", "1"),
            Change("set", "state", "open"),
            Change("first" if known.get("state") == "open" else "set", "opened", str(now)),
        ]
        room = _room(known, plea.account)
        if room is not None:
            changes += [Change("set", f"t.{now}.{plea.account}", f"{plea.decision} {text}"), *room]
        await self._files.file(APPEAL, name, changes, now + KEPT)
        self._notices.tell("appealed", now, appeal=name, account=plea.account, subject=plea.subject)
        return "open"

    async def _may(self, account: str, now: int) -> bool:
        return await tally_of(self._store).take(f"appeals:{account}", str(now), _A_DAY, now + _DAY)

    async def find(self, name: str) -> Appeal | None:
        """An item by its id.

        Raises:
            StoreError: it cannot be known.
        """
        fields = await self._files.pull(APPEAL, name)
        return item_of(name, fields) if fields is not None and fields.get("subject") else None

    async def listed(self, most: int = 500) -> list[Appeal]:
        """Items, those that are open and the oldest of them first.

        Raises:
            StoreError: it cannot be known.
        """
        found = [await self.find(name) for name in await self._files.listed(APPEAL, most)]
        return sorted([each for each in found if each is not None], key=lambda each: (each.state != "open", each.opened))

    async def decide(self, name: str, *, granted: bool, reason: str) -> Appeal | None:
        """Keep a decision with its item; what follows from it for accounts is the operator's desk's. None: there is no such item.

        Raises:
            StoreError: the store failed.
        """
        item, now = await self.find(name), self._clock.now()
        if item is None:
            return None
        state = "granted" if granted else "refused"
        said = [
            Change("set", "state", state),
            Change("set", "reason", reason),
            Change("set", "decided", str(now)),
            noted(now, state, reason),
        ]
        fields = await self._files.file(APPEAL, name, said, now + KEPT)
        self._notices.tell(state, now, appeal=name, subject=item.subject)
        return item_of(name, fields)


def _room(fields: Mapping[str, str], account: str) -> list[Change] | None:
    """What makes room for one more text of an account, where an item has as many as it may; None where there is none.

    The oldest goes of those that somebody has decided on; else the last of whoever has written more than this account.
    """
    texts = sorted([(whole(at), who) for name in fields if name.startswith("t.") for _, at, who in [name.split(".", 2)]])
    if len(texts) < _TEXTS:
        return []
    at, who = texts[0]
    if at > whole(fields.get("decided")):
        counts = Counter([who for _, who in texts])
        who, most = counts.most_common(1)[0]
        if most <= counts[account] + 1:
            return None
        at = max([at for at, each in texts if each == who])
    return [Change("unset", f"t.{at}.{who}")]


def item_of(name: str, fields: Mapping[str, str]) -> Appeal:
    """What an item's record says."""
    texts = []
    for field, said in fields.items():
        if field.startswith("t."):
            at, _, account = field.removeprefix("t.").partition(".")
            decision, _, text = said.partition(" ")
            texts.append((whole(at), account, decision, text))
    texts.sort()
    state: Any = fields.get("state", "open")
    return Appeal(
        name,
        fields.get("subject", ""),
        state,
        whole(fields.get("opened")),
        whole(fields.get("count")),
        tuple(dict.fromkeys(account for _, account, _, _ in texts)),
        tuple(texts),
        fields.get("reason", "") if state != "open" else "",
        whole(fields.get("decided")) if state != "open" else 0,
    )
