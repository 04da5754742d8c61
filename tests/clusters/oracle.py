"""Clusters from edges once more, slowly and in plain Python: what the fast one is held against.

Written from what the rules say, with dicts and sets. Clusters are sets of names in a list; where a rule has a tie, the place in
the list decides, and an island stands where the first of its members' names does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import floor, log
from typing import Final, NamedTuple, TypeAlias

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.kinds import Kinds

NATS: Final = 1000
"""Millinats in a nat."""
Clusters: TypeAlias = "list[set[str]]"
Pair: TypeAlias = "tuple[int, int]"
"""Two keys, the smaller first."""


class Worth(NamedTuple):
    """What a value says for a cluster."""

    members: int
    weight: int
    """Millinats."""
    second: int


class Join(NamedTuple):
    """An account qualifies for a cluster."""

    account: str
    cluster: int
    score: int
    families: frozenset[str]
    tied: bool


@dataclass
class World:
    """Who shows what, and what each value is.

    `since` and `shown` are hours; `least` is how many must hold a value for it to be looked at.
    """

    since: Mapping[str, int]
    shown: Mapping[str, Mapping[int, int]]
    kinds: Kinds
    age: int = 720
    content: frozenset[str] = frozenset({"content", "client"})
    holders: dict[int, set[str]] = field(init=False)
    shared: set[int] = field(init=False)

    def __post_init__(self) -> None:
        every: dict[int, set[str]] = defaultdict(set)
        for account, shown in self.shown.items():
            for key in shown:
                every[key].add(account)
        self.shared = {keys.recode(key, keys.NETWORK) for key in every if keys.code_of(key) == keys.NETWORK_WIDE}
        self.holders = {key: held for key, held in every.items() if len(held) >= 2 and self.kinds.of(key) is not None}

    def family(self, key: int) -> str:
        kind = self.kinds.of(key)
        assert kind is not None
        return kind.family

    def bound(self, key: int) -> bool:
        """A network is bound while fewer than 20 hold it and nobody has noted it as a shared one."""
        kind = self.kinds.of(key)
        assert kind is not None
        few = not kind.below or len(self.holders[key]) < kind.below
        return kind.bound and few and not (kind.code == keys.NETWORK and key in self.shared)

    def values(self, account: str) -> list[int]:
        """What it shares with others."""
        return [key for key in self.shown[account] if key in self.holders]

    def was_established(self, account: str, at: int) -> bool:
        return at - self.since[account] >= self.age


# Islands


def chance(together: int, expected: float) -> int:
    """Millinats: Chernoff's bound of a Poisson law of mean `expected` giving `together` or more."""
    if together <= expected:
        return 0
    return floor((together * log(together / expected) - together + expected) * NATS)


def pairs(world: World) -> dict[Pair, set[str]]:
    """All composites: two values of two families, one at least bound, each held by at least 5; and who holds both."""
    found: dict[Pair, set[str]] = defaultdict(set)
    for account in world.shown:
        mine = sorted(key for key in world.values(account) if len(world.holders[key]) >= 5)
        for one, other in combinations(mine, 2):
            if world.family(one) != world.family(other) and (world.bound(one) or world.bound(other)):
                found[one, other].add(account)
    return found


def composites(world: World) -> dict[Pair, tuple[int, set[str]]]:
    """Those that surprise, their millinats, and who may be tied by them: not who was established and had one before."""
    every = pairs(world)
    needed = max(15 * NATS, floor(log(max(1, len(every))) * NATS) + 5 * NATS)
    found = {}
    for (one, other), held in every.items():
        expected = len(world.holders[one]) * len(world.holders[other]) / len(world.since)
        worth = chance(len(held), expected)
        if len(held) < 5 or worth < needed:
            continue
        both = {account: max(world.shown[account][one], world.shown[account][other]) for account in held}
        second = sorted(both.values())[1]
        tied = {
            account
            for account in held
            if not (
                world.was_established(account, second)
                and min(world.shown[account][one], world.shown[account][other]) < second
            )
        }
        if len(tied) >= 5:
            found[one, other] = (worth, tied)
    return found


def joined(groups: Iterable[set[str]]) -> Clusters:
    """Groups that have a member in common are one; by the first of their members' names."""
    whole: Clusters = []
    for group in groups:
        touching = [each for each in whole if each & group]
        whole = [each for each in whole if not each & group]
        whole.append(set(group).union(*touching))
    return sorted(whole, key=min)


def islands(world: World) -> Clusters:
    """Seeds of clusters."""
    return joined(held for _, held in composites(world).values())


# What values say


def weigh(world: World, clusters: Clusters) -> dict[tuple[int, int], Worth]:
    """By key and cluster, of values that two members at least hold and that say half a nat or more."""
    found = {}
    for number, members in enumerate(clusters):
        for key, held in world.holders.items():
            inside = held & members
            if len(inside) < 2:
                continue
            share = len(inside) / len(members)
            outside = (len(held) - len(inside) + 0.5) / (len(world.since) - len(members) + 1)
            weight = floor(log(share / outside) * NATS)
            if weight >= 500:
                second = sorted(world.shown[each][key] for each in inside)[1]
                found[key, number] = Worth(len(inside), min(weight, 9 * NATS), second)
    return found


def nominees(world: World, clusters: Clusters, *, now: int, new: int) -> set[int]:
    """Assertable values of content and programs with 20 new uses inside, and 20 times as common there as among the old."""
    inside: set[str] = set().union(*clusters)
    elders = {each for each in world.since if each not in inside and now - world.since[each] >= world.age}
    found = set()
    for key, held in world.holders.items():
        if world.family(key) not in world.content or world.bound(key):
            continue
        recent = sum(world.shown[each][key] >= new for each in held & inside)
        lift = (len(held & inside) / max(1, len(inside))) / ((len(held & elders) + 1) / (len(elders) + 1))
        if recent >= 20 and lift >= 20:
            found.add(key)
    return found


def own(world: World, clusters: Clusters, nominated: set[int]) -> set[tuple[int, int]]:
    """Nominees that a cluster has made its own: a quarter of its members hold it, and 5 at least."""
    found = set()
    for number, members in enumerate(clusters):
        for key in nominated:
            many = len(world.holders[key] & members)
            if many >= 5 and many >= 0.25 * len(members):
                found.add((key, number))
    return found


# Growth


def qualify(
    world: World,
    worth: Mapping[tuple[int, int], Worth],
    nominated: set[tuple[int, int]],
    clusters: Clusters,
    asked: Iterable[str] | None = None,
) -> Iterator[Join]:
    """Who reaches 12 nats for a cluster that is not his own, of those who share bound or nominated evidence with it."""
    home = {each: number for number, members in enumerate(clusters) for each in members}
    speaking: dict[int, list[int]] = defaultdict(list)
    for key, number in worth:
        speaking[key].append(number)
    for account in sorted(world.since if asked is None else asked):
        mine: dict[int, list[int]] = defaultdict(list)
        for key in world.values(account):
            for number in speaking[key]:
                if number != home.get(account):
                    mine[number].append(key)
        for number, held in sorted(mine.items()):
            if any(world.bound(key) or (key, number) in nominated for key in held):
                found = _scored(world, worth, nominated, account, number, held)
                if found is not None:
                    yield found


def _scored(
    world: World,
    worth: Mapping[tuple[int, int], Worth],
    nominated: set[tuple[int, int]],
    account: str,
    number: int,
    held: Sequence[int],
) -> Join | None:
    """Nothing counts that somebody established had before; a bound value of that sort ties who took up two families of theirs."""
    sums: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    tied = planted = False
    for key in held:
        said = worth[key, number]
        ties = world.bound(key) and said.weight >= 2 * NATS
        planted = planted or ties
        if world.was_established(account, said.second) and world.shown[account][key] < said.second:
            continue
        tied = tied or ties
        sums[world.family(key)] += said.weight
        if (key, number) in nominated:
            theirs[world.family(key)] += said.weight
    counting = {family: min(score, 9 * NATS) for family, score in sums.items() if score >= 2 * NATS}
    taken = [family for family, score in theirs.items() if score >= 2 * NATS]
    total = sum(counting.values())
    enough = len(counting) >= 3 or (tied and len(counting) >= 2) or (planted and len(taken) >= 2)
    return Join(account, number, total, frozenset(counting), planted) if total >= 12 * NATS and enough else None


# The whole


def united(world: World, clusters: Clusters, nominated: set[tuple[int, int]]) -> Clusters:
    """Clusters that have made the same two nominees of two families their own are one."""
    both: dict[Pair, set[int]] = defaultdict(set)
    for number in range(len(clusters)):
        mine = sorted(key for key, whose in nominated if whose == number)
        for one, other in combinations(mine, 2):
            if world.family(one) != world.family(other):
                both[one, other].add(number)
    same = [*[{number} for number in range(len(clusters))], *both.values()]
    return [set().union(*[clusters[number] for number in group]) for group in _chained(same)]


def _chained(groups: Iterable[set[int]]) -> list[set[int]]:
    whole: list[set[int]] = []
    for group in groups:
        touching = [each for each in whole if each & group]
        whole = [each for each in whole if not each & group]
        whole.append(set(group).union(*touching))
    return sorted(whole, key=min)


def grown(clusters: Clusters, found: Sequence[Join]) -> Clusters:
    """Who is free goes where he scores most, then to the larger; a cluster of which 30% and 3 qualify for another joins it."""
    home = {each: number for number, members in enumerate(clusters) for each in members}
    best: dict[str, Join] = {}
    drawn: Counter[tuple[int, int]] = Counter()
    for each in found:
        if each.account in home:
            drawn[home[each.account], each.cluster] += 1
            continue
        known = best.get(each.account)
        if known is None or _rank(each, clusters) < _rank(known, clusters):
            best[each.account] = each
    after = [set(members) for members in clusters]
    for account, join in best.items():
        after[join.cluster].add(account)
    links = [{one, other} for (one, other), many in drawn.items() if many >= 3 and many >= 0.3 * len(clusters[one])]
    groups = _chained([*[{number} for number in range(len(after))], *links])
    return [set().union(*[after[number] for number in group]) for group in groups]


def _rank(join: Join, clusters: Clusters) -> tuple[int, int, int]:
    return -join.score, -len(clusters[join.cluster]), join.cluster


def form(world: World, *, now: int, new: int) -> Clusters:
    """The clusters: islands, then at most six rounds in which clusters that are one are joined, or accounts come in."""
    clusters = islands(world)
    for _ in range(6):
        nominated = own(world, clusters, nominees(world, clusters, now=now, new=new))
        whole = united(world, clusters, nominated)
        if len(whole) < len(clusters):
            clusters = whole
            continue
        after = grown(clusters, list(qualify(world, weigh(world, clusters), nominated, clusters)))
        if after == clusters:
            break
        clusters = after
    return clusters
