"""A cluster as one page: HTML that needs nothing else, in light and dark, for screens, paper and screen readers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

import numpy as np

from guardrail_mw.algorithms.keys import BITS
from guardrail_mw.clusters.reading import table
from guardrail_mw.clusterwork.drawing import Band, Net, bands, net, share
from guardrail_mw.clusterwork.telling import described, nats, parts, signed, value_of
from guardrail_mw.engine.figures import utc
from guardrail_mw.pages import document
from guardrail_mw.values import Family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guardrail_mw.clusters.graph import Holdings
    from guardrail_mw.clusters.state import Cluster
    from guardrail_mw.worker.desk import Desk

__all__ = ["MOST", "picture"]

MOST: Final = 300
"""Members that are drawn one by one; of more, how many share which values."""
_HUBS: Final = 10
"""Values of a family that are drawn, those that most members hold."""
_FAMILIES: Final[tuple[Family, ...]] = get_args(Family)
_LIGHT: Final = [
    "#6b7280",
    "#8a6d00",
    "#b4430f",
    "#1f6feb",
    "#0f7b5f",
    "#a3228e",
    "#8250df",
    "#3b6e00",
    "#57606a",
    "#0b7285",
]
_DARK: Final = ["#9ca3af", "#e3b341", "#ff9a62", "#79b8ff", "#4cc9a0", "#f08be0", "#c8a6ff", "#a3d977", "#adb5bd", "#66d9e8"]
_STYLE: Final = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c2330; --soft: #5a6475; --line: #d9dee7; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181f; --ink: #e7eaf0; --soft: #a3adbd; --line: #323a48; DARK }
}
body { margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } .soft { color: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
td.why { text-align: left; white-space: normal; min-width: 16rem; color: var(--soft); } tbody th { font-weight: 500; }
code { font-size: .875em; }
figure { margin: 1.25rem 0 0; } svg { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin-top: .5rem; }
svg text { fill: var(--soft); font-size: 12px; font-family: system-ui, sans-serif; } svg text.name { fill: var(--ink); }
.edge { stroke-width: 1; opacity: .3; } .account { fill: var(--ink); stroke: var(--ground); stroke-width: 1; }
.account.loose { fill: var(--ground); stroke: var(--ink); stroke-width: 1.5; } .hub { stroke: var(--ground); stroke-width: 1.5; }
.base { stroke: var(--line); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .35rem; vertical-align: -.05rem; }
.key.hub { border-radius: 3px; } .key.account { background: var(--ink); }
.key.loose { background: var(--ground); box-shadow: inset 0 0 0 1.5px var(--ink); }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


class _Value(NamedTuple):
    """A value that members share."""

    key: int
    family: Family
    members: NDArray[np.int64]
    """Who of them holds it, by place."""
    holders: int


def picture(cluster: Cluster, held: Holdings, desk: Desk) -> str:
    """The whole page.

    Args:
        cluster: what is drawn.
        held: the evidence that there is.
        desk: of the policy, which knows the kinds and the model.
    """
    values, tied = _values(cluster, held, desk)
    title = f"Cluster {cluster.id}"
    return document(
        title,
        _style(),
        [
            *_head(cluster, title, desk),
            *_drawn(cluster, values, tied),
            *_listed(cluster, values, desk),
            *_why(cluster, desk),
        ],
    )


def _values(cluster: Cluster, held: Holdings, desk: Desk) -> tuple[list[_Value], NDArray[np.bool_]]:
    """What at least two members share, the commonest first, family by family; and who of them shares something bound."""
    kinds = table(desk.settings.known())
    places = {name: place for place, name in enumerate(cluster.members)}
    place = np.array([places.get(name, -1) for name in held.accounts], np.int64)[held.owner]
    inside = place >= 0
    names, value = np.unique(held.key[inside], return_inverse=True)
    count = np.bincount(value, minlength=len(names))
    everyone, holders = np.unique(held.key[np.isin(held.key, names)], return_counts=True)
    order = np.argsort(value, kind="stable")
    groups = np.split(place[inside][order], np.cumsum(count)[:-1]) if len(names) else []
    tied = np.zeros(len(cluster.members), np.bool_)
    found = []
    for key, many, members in zip(everyone.tolist(), holders.tolist(), groups, strict=True):
        code = key >> BITS
        family = int(kinds.family[code])
        if len(members) < 2 or family < 0:  # noqa: PLR2004 - one shares with nobody
            continue
        if kinds.bound[code] and (not kinds.below[code] or many < kinds.below[code]):
            tied[members] = True
        found.append(_Value(key, _FAMILIES[family], members, many))
    return sorted(found, key=lambda each: (each.family, -len(each.members), each.key)), tied


def _head(cluster: Cluster, title: str, desk: Desk) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    what = f"{len(cluster.members):,} accounts that act as one: {described(cluster)}"
    yield f'<p class="soft">{escape(what)}. Drawn {utc(desk.now())}</p>'
    begun = f"Begun {utc(cluster.begun)}; {cluster.exchanges:,} exchanges; {cluster.tied:,} members tied by bound evidence"
    yield f"<p>{escape(begun)}; score {nats(cluster.score)} nats, suspect from {nats(desk.judge.suspect)}.</p>"


def _drawn(cluster: Cluster, values: Sequence[_Value], tied: NDArray[np.bool_]) -> Iterator[str]:
    yield "<h2>Who shares what</h2>"
    if not values:
        yield "<p>Its members share nothing any more; the next rebuild will tell.</p>"
        return
    families = list(dict.fromkeys(each.family for each in values))
    if len(cluster.members) > MOST:
        rows = [_band(family, [each for each in values if each.family == family]) for family in families]
        what = "By family the values that members share, the commonest first, each as high as the logarithm of who hold it."
        yield f"<figure>{bands(rows, len(cluster.members), what)}"
        yield f"<figcaption>{escape(what)}</figcaption></figure>"
        return
    hubs = [each for family in families for each in [each for each in values if each.family == family][:_HUBS]]
    drawn = Net(
        cluster.members,
        tied,
        [(f"{each.family} {each.key:016x}", each.family, each.members) for each in hubs],
    )
    what = f"{len(cluster.members):,} accounts within a ring of the {len(hubs)} values that most of them share."
    yield f"<figure>{net(drawn, what)}<figcaption>"
    yield '<span><span class="key account"></span>account, shares bound evidence</span>'
    if not tied.all():
        yield '<span><span class="key loose"></span>account, shares none</span>'
    for family in families:
        yield f'<span><span class="key hub" style="background:var(--{family})"></span>{family}</span>'
    yield "<span>the figure beside a value: members who hold it</span>"
    rest = len(values) - len(hubs)
    yield f"<span>{rest:,} more values are shared by fewer</span>" if rest else ""
    yield "</figcaption></figure>"


def _band(family: Family, values: Sequence[_Value]) -> Band:
    covered = len(np.unique(np.concatenate([each.members for each in values])))
    return Band(family, [len(each.members) for each in values], covered)


def _listed(cluster: Cluster, values: Sequence[_Value], desk: Desk) -> Iterator[str]:
    kinds = desk.settings.known()
    yield "<h2>Shared values</h2>"
    yield "<p>Digests, as explain has them; the values themselves are kept nowhere.</p>"
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("family", "members", "share of them", "holders in all"))
    yield f'<div class="wide"><table><thead><tr><th scope="col">value</th>{heads}</tr></thead><tbody>'
    for family in dict.fromkeys(each.family for each in values):
        mine = [each for each in values if each.family == family]
        for each in mine[:_HUBS]:
            part = escape(share(len(each.members), len(cluster.members)))
            cells = f"<td>{family}</td><td>{len(each.members):,}</td><td>{part}</td><td>{each.holders:,}</td>"
            yield f'<tr><th scope="row"><code>{escape(value_of(each.key, kinds))}</code></th>{cells}</tr>'
        if len(mine) > _HUBS:
            yield f'<tr><td colspan="5" class="soft">and {len(mine) - _HUBS:,} more of {family}, each held by fewer</td></tr>'
    yield "</tbody></table></div>"


def _why(cluster: Cluster, desk: Desk) -> Iterator[str]:
    yield "<h2>What the score adds up from</h2>"
    yield f"<p>It begins at {signed(desk.judge.bias)} nats.</p>"
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("value", "nats", ""))
    yield f'<div class="wide"><table><thead><tr><th scope="col">figure</th>{heads}</tr></thead><tbody>'
    for name, figure, worth, why in parts(cluster, desk.judge):
        cells = f'<td>{figure:.2f}</td><td>{signed(worth)}</td><td class="why">{escape(why)}</td>'
        yield f'<tr><th scope="row">{escape(name.replace("_", " "))}</th>{cells}</tr>'
    yield "</tbody></table></div>"


def _style() -> str:
    def colours(of: Sequence[str]) -> str:
        return " ".join(f"--{family}: {colour};" for family, colour in zip(_FAMILIES, of, strict=True))

    return _STYLE.replace("LIGHT", colours(_LIGHT)).replace("DARK", colours(_DARK))
