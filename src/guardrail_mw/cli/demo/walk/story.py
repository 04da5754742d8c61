"""What happens, in words, as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.clusterwork.telling import nats
from guardrail_mw.engine.figures import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guardrail_mw.cli.demo.walk.calling import Answer
    from guardrail_mw.cli.demo.walk.pacing import Pacer
    from guardrail_mw.cli.demo.walk.scene import Side
    from guardrail_mw.cli.demo.walk.sides import Tale
    from guardrail_mw.cli.feeding import Fed
    from guardrail_mw.clusters.state import Cluster
    from guardrail_mw.limits.settings import LimitSettings
    from guardrail_mw.worker.desk import Desk

__all__ = ["Moment", "Story"]

_FIRST: Final = {
    "challenged": "Challenged: 403 with a proof of work to be done",
    "solved": "A client solves its challenge and sends the request again: served",
    "verify": "Asked to verify: 403 with the place to do it. Nobody does",
}
_WENT_ON: Final = "Who went on without solving is asked to verify: 403 with the place to do it. Nobody does"


class Moment(NamedTuple):
    """Something happened."""

    at: int
    """µs of the demo's clock."""
    here: float
    """The machine's seconds since the start."""
    side: str
    """Whose; empty for everybody's."""
    text: str


class Story:
    """Says what is new, each thing once.

    Args:
        tales: every side's figures.
        desk: knows what verdicts take.
        limits: the policy's.
        pacer: knows both clocks.
        tell: is told of each moment.
    """

    def __init__(
        self,
        tales: Mapping[Side, Tale],
        desk: Desk,
        limits: Iterable[LimitSettings],
        pacer: Pacer,
        tell: Callable[[Moment], None],
    ) -> None:
        self.moments: list[Moment] = []
        self._tales, self._desk, self._pacer, self._tell = tales, desk, pacer, tell
        self._limits = {each.name: each for each in limits}
        self._said: set[tuple[str, str]] = set()

    def begin(self, fed: Fed) -> None:
        """The history is there."""
        what = f"{plural(fed.values, 'value')} of {plural(fed.accounts, 'account')}"
        self._say("", f"The history of 30 days is imported: {what}. Nobody calls yet")

    def end(self) -> None:
        """That was all."""
        self._say("", "That was all")

    def called(self, tale: Tale, answers: Sequence[Answer]) -> None:
        """A call was made and answered."""
        if tale.name == "campaign":
            self._once("campaign", "begins", "Begins: one task, cut up among many accounts, none of them fast")
        for each in answers:
            if each.what in _FIRST:
                went_on = each.what == "verify" and tale.verdict == "suspect"
                self._once(tale.name, each.what, _WENT_ON if went_on else _FIRST[each.what])
            elif each.what == "limited":
                self._once(tale.name, each.by, self._limited(each.by))
            elif each.what in {"refused", "failed"}:
                self._once(tale.name, each.what, "Refused")

    def judged(self, tale: Tale, cluster: Cluster) -> None:
        """A rebuild found a side's accounts in a cluster."""
        known, tale.verdict = tale.verdict in BINDS, cluster.verdict
        found = f"{plural(len(cluster.members), 'account')} act as one. "
        self._once(tale.name, cluster.verdict, ("" if known else found) + self._verdict(cluster, known=known))

    def _verdict(self, cluster: Cluster, *, known: bool) -> str:
        judge, (accounts, exchanges) = self._desk.judge, self._desk.judging.floor
        if cluster.verdict in BINDS:
            needed = judge.suspect if cluster.verdict == "suspect" else judge.confirmed
            shared = "" if known else f"; they share {', '.join(cluster.families)}"
            return f"{cluster.verdict.capitalize()}: score {nats(cluster.score)}, from {nats(needed)} on{shared}"
        if cluster.verdict == "watched":
            return f"Watched: score {nats(cluster.score)}, suspect from {nats(judge.suspect)} on. Nothing happens to them"
        few = len(cluster.members) < accounts
        return f"No verdict yet: that takes {plural(accounts, 'account') if few else plural(exchanges, 'exchange')}"

    def _limited(self, name: str) -> str:
        limit = self._limits.get(name)
        if limit is None or limit.window is None or "cluster" not in limit.per:
            return f"Refused by the limit `{name}`: 429"
        return f"The limit `{name}` refuses, 429: {limit.window.text} for all of them together"

    def _once(self, side: str, what: str, text: str) -> None:
        if (side, what) not in self._said:
            self._said.add((side, what))
            self._say(side, text)

    def _say(self, side: str, text: str) -> None:
        moment = Moment(self._pacer.clock.now(), self._pacer.here, side, text)
        self.moments.append(moment)
        self._tell(moment)
