"""Clusters in words, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from guardrail_mw.algorithms import edges, keys
from guardrail_mw.clusters import hours
from guardrail_mw.clusters.binding import acts
from guardrail_mw.clusters.features import FEATURES
from guardrail_mw.clusters.scores import ASSERTABLE, BOUND, COUNTS, JOINS
from guardrail_mw.clusters.state import ORDER, Order
from guardrail_mw.clusterwork.listing import until
from guardrail_mw.engine.figures import plural, span, utc

if TYPE_CHECKING:
    from guardrail_mw.clusters.explaining import Explained, Membership
    from guardrail_mw.clusters.kinds import Kinds
    from guardrail_mw.clusters.splitting import Split
    from guardrail_mw.clusters.state import Cluster, State
    from guardrail_mw.clusters.verdict import Judge
    from guardrail_mw.worker.desk import Desk, Done

__all__ = [
    "FEW",
    "budgeted",
    "described",
    "done",
    "hour_of",
    "nats",
    "parts",
    "ranked",
    "signed",
    "splits_of",
    "tell",
    "tell_both",
    "value_of",
]

FEW: Final = 10
_HOUR: Final = 3_600_000_000
_TOUCHED: Final = 20
"""Accounts that an order touched, and that are named."""
_SIDE: Final = 3
"""Accounts of a split that are named."""
_WIDE: Final = 11
_ORDERED: Final = {
    "release": "released: its verdict stays none",
    "approve": "approved",
    "reject": "rejected: its verdict stays watched",
    "judge": "the model judges again",
    "vouch 1": "its organisation was verified",
    "vouch 0": "that its organisation was verified was taken back",
}


def ranked(state: State) -> list[Cluster]:
    """The worst and then the largest first."""
    return sorted(state.clusters, key=lambda each: (-ORDER.index(each.verdict), -len(each.members), each.id))


def tell(cluster: Cluster, orders: Sequence[Order], splits: Sequence[Split], desk: Desk, *, cold: bool) -> Iterator[str]:
    """All that is known of one."""
    now = desk.now()
    yield f"Cluster {cluster.id}: {len(cluster.members):,} accounts that act as one, {described(cluster)}"
    yield _line("Members", ", ".join(cluster.members[:FEW]))
    if len(cluster.members) > FEW:
        yield _line("", f"and {len(cluster.members) - FEW:,} more; --json has all of them")
    yield _line("Tied", f"{cluster.tied:,} of them by bound evidence: it costs money or identity to share")
    if cluster.families:
        yield _line(
            "Rests on", f"{', '.join(cluster.families)}: half of its members or more share something of each of these"
        )
    yield _line("Begun", f"{utc(cluster.begun)} ({span(max(0, now - cluster.begun))} ago)")
    others = [each for each in cluster.ancestors if each != cluster.id]
    if others:
        yield _line("Came from", ", ".join(others))
    yield _line("Exchanges", f"{cluster.exchanges:,}")
    if cluster.shares:
        since = f"material since {utc(cluster.material)}: " if cluster.material is not None else ""
        holds = "It refuses nobody yet: it is in shadow, as the limit cluster-budget"
        if cluster.vouched and cluster.allowance:
            holds = "Its organisation was verified: what is beyond is refused, by the limit cluster-budget"
        elif cluster.vouched:
            give = f"guardrail-mw clusters budget {cluster.id} TOKENS"
            holds = (
                f"Its organisation was verified; until it has a budget that binds, its verdict holds. Give it one: {give}"
            )
        yield _line("Budget", f"{since}its members share {budgeted(cluster)}. {holds}")
    if cluster.counters:
        yield _line("Counters", f"those of {cluster.counters}, which it was split from, until {utc(cluster.until)}")
    yield from _scored(cluster, desk.judge, desk.judging.floor, cold=cold)
    yield from _acting(cluster, orders, desk, now)
    yield from _parted(cluster, splits)
    yield from _freeing(cluster, orders, desk)


def done(made: Done, what: str, value: str, end: int, desk: Desk) -> Iterator[str]:
    """What came of an order, the first of the accounts that it touched, and what to do next where it does not act by itself."""
    holds = f"Its verdict is {described(made.after)}."
    if what == "budget":
        holds = f"Its members share {budgeted(made.after)}."
    yield f"{made.after.id}: {_given(what, value)} {until(end)}. {holds}"
    yield f"{plural(len(made.touched), 'account')} touched:"
    for account in made.touched[:_TOUCHED]:
        yield f"  {account}"
    if len(made.touched) > _TOUCHED:
        yield f"  and {len(made.touched) - _TOUCHED:,} more; --json has all of them"
    if made.after.asked is not None and made.before.asked is None:
        over, wait = f"It newly binds over {desk.settings.approval.over:,} accounts", desk.settings.approval.wait
        cure = f"To act now: guardrail-mw clusters approve {made.after.id}"
        yield f"{over}, so they are trimmed for {wait} first. {cure}"


def _given(what: str, value: str) -> str:
    if what == "budget":
        return f"given {int(value):,} tokens a UTC day" if value else "what was worked out for it holds again"
    return {
        "release": "released",
        "approve": "approved",
        "reject": "rejected",
        "judge": "the model judges again",
    }.get(what) or f"labelled {value}"


def described(cluster: Cluster) -> str:
    """Its verdict, and whether that acts."""
    return f"{cluster.verdict}{', which waits for approval and only trims so far' if cluster.asked is not None else ''}"


def budgeted(cluster: Cluster) -> str:
    """What its members share."""
    if not cluster.allowance:
        return "no budget, for no tokens of theirs were counted"
    whose = ""
    if cluster.granted:
        whose = f", which an operator gave ({cluster.declared or cluster.budget:,} {_otherwise(cluster)})"
    elif cluster.vouched and not cluster.declared:
        whose = ", which its organisation has since it was verified"
    elif cluster.declared:
        whose = f", which the policy gives {cluster.organisation}"
    return f"{cluster.allowance:,} tokens a UTC day{whose}"


def _otherwise(cluster: Cluster) -> str:
    return f"is what the policy gives {cluster.organisation}" if cluster.declared else "was worked out"


def parts(cluster: Cluster, judge: Judge) -> list[tuple[str, float, float, str]]:
    """Of each figure its name, how large it is, what it is worth in nats, and what it means; the weightiest first."""
    figures = np.array([[cluster.figures.get(name, judge.worth[name].centre) for name in FEATURES]])
    worth = judge.parts(figures)[0]
    found = [(name, float(figures[0, at]), float(worth[at]), judge.worth[name].why) for at, name in enumerate(FEATURES)]
    return sorted(found, key=lambda each: -abs(each[2]))


def _scored(cluster: Cluster, judge: Judge, floor: tuple[int, int], *, cold: bool) -> Iterator[str]:
    thresholds = f"suspect from {nats(judge.suspect)}, confirmed from {nats(judge.confirmed)}"
    yield _line("Score", f"{nats(cluster.score)} nats; {thresholds}, or after 24 h of suspicion")
    yield f"  {signed(judge.bias):>6}  to begin with"
    for name, figure, worth, why in parts(cluster, judge):
        yield f"  {signed(worth):>6}  {name} {round(figure, 2) + 0.0:.2f}: {why}"
    if len(cluster.members) < floor[0] or cluster.exchanges < floor[1]:
        yield _line("", f"Below the floor of {floor[0]:,} accounts and {floor[1]:,} exchanges nothing is said")
    if cold:
        yield _line("", "There is too little history yet for the model to say more than watched (clusters import --history)")


def _acting(cluster: Cluster, orders: Sequence[Order], desk: Desk, now: int) -> Iterator[str]:
    for order in orders:
        what = f"{order.what} {order.value[:1]}" if order.what == "vouch" else f"{order.what} {order.value}".strip()
        said = _ORDERED.get(what) or f"{order.what} {order.value or 'as it was worked out'}"
        yield _line("Ordered", f"{said} {until(order.until)}, {utc(order.at)}: {order.why}")
    if cluster.asked is None:
        return
    ends = cluster.asked + desk.settings.approval.wait.us
    new = len(cluster.members) - cluster.approved
    left = f"in {span(ends - now)}" if ends > now else "at the next rebuild"
    over = f"it newly binds {plural(new, 'account')}, over {desk.settings.approval.over:,}"
    yield _line("Waits", f"for approval since {utc(cluster.asked)}: {over}. Its members are trimmed meanwhile")
    yield _line("", f"It acts in full {left} ({utc(ends)}), unless it is rejected before")


def _parted(cluster: Cluster, splits: Sequence[Split]) -> Iterator[str]:
    """Who was split off from it, and how that is undone."""
    mine = splits_of(cluster, splits)
    for each in mine:
        few = f"{', '.join(each.side[:_SIDE])}{' and others' if len(each.side) > _SIDE else ''}"
        yield _line(
            "Split", f"{plural(len(each.side), 'account')} off {until(each.until)}, {utc(each.at)}: {each.why} ({few})"
        )
    for name in dict.fromkeys(each.cluster for each in mine):
        yield _line("", f"guardrail-mw clusters split {name} --undo --reason … takes back what was split off from {name}")


def splits_of(cluster: Cluster, splits: Sequence[Split]) -> list[Split]:
    """Those that were given of it, or of what it descends from."""
    return [each for each in splits if each.cluster in {cluster.id, *cluster.lineage}]


def _freeing(cluster: Cluster, orders: Sequence[Order], desk: Desk) -> Iterator[str]:
    """What would undo it."""
    days = desk.settings.lookback
    if acts(cluster) or cluster.asked is not None:
        yield _line(
            "Frees it", f"guardrail-mw clusters release {cluster.id} --reason … restores all of them within a second"
        )
        yield _line(
            "", f"guardrail-mw clusters split {cluster.id} ACCOUNT… --reason … takes out those who do not belong to it"
        )
        ended = next((order for order in reversed(orders) if order.what == "verdict" and order.until), None)
        if ended is not None:
            yield _line("", f"the verdict that was ordered ends {utc(ended.until)}; then the model judges")
    else:
        yield _line("Frees it", "There is nothing to be freed of")
    yield _line(
        "", f"a member leaves when what ties it is gone, or was not seen for {days}: guardrail-mw clusters explain A B"
    )


def tell_both(explained: Explained, kinds: Kinds) -> Iterator[str]:
    """What two accounts share, and why each is where it is."""
    one, other = explained.one.account, explained.other.account
    yield f"{one} and {other} share {plural(len(explained.shared), 'value')}"
    for each in explained.shared:
        since = " and ".join(hour_of(hour) for hour in each.since)
        what = f"{each.family or 'no family'}, {'bound' if each.bound else 'assertable'}, {plural(each.holders, 'holder')}"
        yield f"  {value_of(each.key, kinds)}: {what}; since {since}"
    for member in (explained.one, explained.other):
        yield ""
        yield from _membership(member, kinds)


def _membership(member: Membership, kinds: Kinds) -> Iterator[str]:
    if member.cluster is None:
        yield f"{member.account} is in no cluster"
        return
    yield f"{member.account} is in {member.cluster.id}, which is {described(member.cluster)}"
    for seed in member.seeds[:FEW]:
        both = " with ".join(value_of(key, kinds) for key in seed.keys)
        yield f"  holds {both}, as {seed.members - 1:,} others of it do: {nats(seed.surprise)} nats above chance"
    if len(member.seeds) > FEW:
        yield f"  and {len(member.seeds) - FEW:,} more such pairs"
    needed = BOUND if member.tied else ASSERTABLE
    tie = "shares bound evidence" if member.tied else "shares no bound evidence"
    yield f"  scores {nats(member.score)} nats for it without itself; {nats(JOINS)} join, {needed} families needed ({tie})"
    for family, score in member.families.items():
        enough = "" if score >= COUNTS else f", below {nats(COUNTS)}: does not count"
        yield f"    {family} {nats(score)}{enough}"
        for each in [each for each in member.support if each.family == family][:FEW]:
            said = nats(each.weight) if each.counts else "counts for nothing: it was the account's before"
            yield f"      {value_of(each.key, kinds)}: {each.members:,} of it, {each.holders:,} in all; {said}"
    yield from _ending(member, kinds)


def _ending(member: Membership, kinds: Kinds) -> Iterator[str]:
    if member.ends:
        yield f"  It would not be a member without {' and '.join(value_of(key, kinds) for key in member.ends)}"
    elif not member.seeds and not member.joins:
        yield "  The evidence for that is not there any more, or came with others it was joined with: the next rebuild will tell"


def value_of(key: int, kinds: Kinds) -> str:
    """A value by its kind and its digest; the value itself is nowhere. Of the hours at which accounts work, in words."""
    kind = kinds.of(key)
    name = f"{kind.name if kind is not None else f'kind {keys.code_of(key)}'} {keys.text_of(key)}"
    said = hours.tell(key)
    return f"{name} ({said})" if said else name


def nats(millinats: int) -> str:
    """Nats, to one decimal."""
    return f"{millinats / 1000:.1f}"


def signed(worth: float) -> str:
    """Nats that are added."""
    return f"{round(worth, 1) + 0.0:+.1f}"


def hour_of(hour: int) -> str:
    """An hour of the evidence, which counts them from 2025 on, as text."""
    return utc(edges.EPOCH + hour * _HOUR)[:16]


def _line(label: str, text: str) -> str:
    return f"{label:<{_WIDE}} {text}".rstrip()
