"""What is left to say in the end: figures, reasons, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrail_mw.cli.demo.walk.board import line
from guardrail_mw.cli.output import writing
from guardrail_mw.clusters.binding import BINDS
from guardrail_mw.clusterwork.picture import picture
from guardrail_mw.clusterwork.telling import tell
from guardrail_mw.engine.desk import Operator
from guardrail_mw.engine.explaining import explain
from guardrail_mw.engine.figures import plural, utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrail_mw.cli.demo.walk.scene import Side
    from guardrail_mw.cli.demo.walk.walk import Walk
    from guardrail_mw.clusters.state import Cluster

__all__ = ["contained", "figures", "pages", "reasons", "times", "write"]

_DRAWN: Final[tuple[Side, ...]] = ("campaign", "office")
_LONG: Final = 10
"""Minutes without an exchange after which a campaign is contained."""


def contained(walk: Walk) -> bool:
    """Whether the campaign was stopped, and nobody else was touched."""
    campaign = walk.tales["campaign"]
    last = campaign.last_served or walk.scene.begin
    stopped = walk.scene.end - last >= _LONG * 60_000_000 and campaign.verdict in BINDS
    return stopped and not any(each.refused for each in walk.tales.values() if each is not campaign)


def figures(walk: Walk) -> Iterator[str]:
    """How many exchanges each side had, and what it met."""
    tale, office, others = (walk.tales[name] for name in ("campaign", "office", "others"))
    after = tale.by_verdict["suspect"] + tale.by_verdict["confirmed"]
    asked = f"The campaign's {plural(len(tale.accounts), 'account')} asked for {tale.asked:,} exchanges"
    yield f"{asked}. {tale.served:,} were served: {tale.served - after:,} before it was found, {after:,} after that."
    if tale.last_served is not None:
        yield f"The last one was served at {utc(tale.last_served)[11:19]}; it ended at {utc(walk.scene.end)[11:19]}."
    met = tale.met
    names = " and ".join(f"`{each}`" for each in sorted(tale.limits)) or "any limit"
    yield (
        f"It met {plural(met['challenged'], 'challenge')} and solved {met['solved']:,}, was asked to verify "
        f"{plural(met['verify'], 'time')}, and was refused {plural(met['limited'], 'time')} by {names}."
    )
    noticed = "nothing" if not office.refused and not office.met["challenged"] else "something"
    yield (
        f"The office noticed {noticed}: {plural(len(office.accounts), 'account')} asked for {office.asked:,} exchanges, "
        f"{office.served:,} were served; challenged {office.met['challenged']}, asked to verify {office.met['verify']}, "
        f"refused {office.refused}."
    )
    yield f"Of the {others.asked:,} exchanges of everybody else {others.served:,} were served, {others.refused} refused."


def times(walk: Walk) -> Iterator[str]:
    """When each thing happened, by both clocks."""
    for moment in walk.story.moments:
        head, text = line(moment)
        yield head + text


async def reasons(walk: Walk) -> tuple[list[str], list[str]]:
    """Why an account of the campaign was met as it was; and why the cluster that it is in. Empty where none was found."""
    cluster = walk.clusters.get("campaign")
    if cluster is None:
        return [], []
    event = _telling(Operator(walk.guardrail), cluster)
    account = [] if event is None else explain(event, policy=walk.guardrail.policy)
    state = await walk.desk.state()
    return account, list(tell(cluster, (), (), walk.desk, cold=walk.desk.cold(state, walk.desk.now())))


def _telling(operator: Operator, cluster: Cluster) -> dict[str, Any] | None:
    """The decision that says most about a member: to verify, else to challenge, else any."""
    events = [event for member in cluster.members for event in operator.latest(member)]
    order = ("verify", "challenge", "deny")
    ranked = sorted(
        events, key=lambda event: (order.index(event["decision"]) if event["decision"] in order else 9, event["at"])
    )
    return ranked[0] if ranked else None


async def pages(walk: Walk) -> dict[str, str]:
    """Both clusters drawn, a page each that needs nothing else, by side."""
    held = (await walk.desk.read()).held
    return {side: picture(walk.clusters[side], held, walk.desk) for side in _DRAWN if side in walk.clusters}


def write(pages: Mapping[str, str], folder: Path) -> list[Path]:
    """Write the pages to a folder; where they are.

    Raises:
        Cannot: it cannot be written to.
    """
    paths = []
    for side, page in pages.items():
        path = folder / f"guardrail-demo-{side}.html"
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(page, encoding="utf-8")
        paths.append(path)
    return paths
