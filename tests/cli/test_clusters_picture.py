"""The picture of a cluster: a page that needs nothing else, and shows what there is."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.graph import Holdings
from guardrail_mw.clusters.state import Cluster, State
from guardrail_mw.clusterwork.drawing import Net, net, share
from guardrail_mw.clusterwork.picture import MOST, picture
from guardrail_mw.worker.desk import Desk

from .clustering import Played, account, key, played

__all__ = ["played"]

_VOID = {"meta", "circle", "line", "rect"}


class Page(HTMLParser):
    """Counts elements, and checks that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str, style: str = "") -> int:
        return sum(each == tag and style in [*(attrs.get("class") or "").split(), ""] for each, attrs in self.found)


def drawn(played: Played, cluster: Cluster | None = None) -> str:
    """The page of the cluster of twenty, or of this one."""

    async def draw(found: Played) -> str:
        own = Desk(found.store, found.policy.clusters, clock=found.clock)
        state = State.unpack(await found.store.recall("clusters"))
        small = min(state.clusters, key=lambda each: len(each.members))
        return picture(cluster or small, (await own.read()).held, own)

    return played.run(draw)


def test_it_asks_nobody_for_anything(played: Played) -> None:
    text = drawn(played)
    assert not re.search(r"<script|https?:|src=|href=|url\(|@import|<link|<iframe", text)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'\"" in text
    assert "prefers-color-scheme: dark" in text
    colours = set(re.findall(r"var\((--[a-z]+)\)", text))
    assert colours
    assert all(text.count(f"{each}: #") == 2 for each in colours), "each in light and in dark"


def test_accounts_are_points_and_values_are_hubs(played: Played) -> None:
    """Twenty who share a card, a system prompt, and five devices in fours: seven values, and 3 x 20 ties."""
    page = Page(drawn(played))
    assert page.count("circle", "account") == 20
    assert page.count("circle", "loose") == 0
    assert page.count("rect", "hub") == 7
    assert page.count("line", "edge") == 60
    for part in (account("d", 7), "payment · 20", "client · 20", "device · 4", "score 1.0 nats", "what size means"):
        assert part in page.text
    assert [page.text.count(f"client20{share}20") for share in ("100%", "20%")] == [1, 0]
    assert page.text.count("device420%4") == 5


def test_the_same_every_time(played: Played) -> None:
    assert drawn(played) == drawn(played)


def test_points_are_apart_and_inside() -> None:
    """Near what they share with few, yet not on top of one another."""
    count = 60
    hubs = [("all", "client", np.arange(count)), ("half", "payment", np.arange(count // 2))]
    text = net(Net([f"a:{number}" for number in range(count)], np.ones(count, np.bool_), hubs), "what")
    points = np.array([(float(x), float(y)) for x, y in re.findall(r'<circle[^>]*cx="([\d.]+)" cy="([\d.]+)"', text)])
    assert len(points) == count
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2)) + 1_000 * np.eye(count)
    assert apart.min() > 9, "a point is 10 across"
    assert np.sqrt(((points - 480) ** 2).sum(axis=1)).max() < 286


def test_of_thousands_it_draws_how_many_share_what(played: Played) -> None:
    """The commonest of each family first; a bar is as high as ln(1 + who hold it): of 600, 54; of 20, 25.7."""
    names = [account("x", number) for number in range(2 * MOST)]
    shared = [key(keys.PAYMENT, number // 20) for number in range(len(names))]
    common = [key(keys.SYSTEM, 5)] * len(names)
    owner = np.concatenate((np.arange(len(names)), np.arange(len(names)))).astype(np.int32)
    values = np.array([*shared, *common], np.int64)
    held = Holdings(names, np.zeros(len(names), np.int64), owner, values, np.zeros(len(values), np.int64))

    async def draw(found: Played) -> str:
        own = Desk(found.store, found.policy.clusters, clock=found.clock)
        [large, _] = State.unpack(await found.store.recall("clusters")).clusters
        return picture(replace(large, members=tuple(names)), held, own)

    text = played.run(draw)
    page = Page(text)
    assert page.count("circle") == 0
    assert page.count("rect") == 31, "thirty cards and a prompt"
    assert "30 values, of up to 20 members" in page.text
    assert "1 value, of up to 600 members" in page.text
    assert page.text.count("600 members hold any (100%)") == 2
    assert "and 20 more of payment, each held by fewer" in page.text
    assert re.search(r'<rect fill="var\(--client\)"[^>]* height="54.0"', text)
    assert re.search(r'<rect fill="var\(--payment\)"[^>]* height="25.7"', text)


def test_members_who_share_nothing_any_more(played: Played) -> None:
    async def draw(found: Played) -> str:
        own = Desk(found.store, found.policy.clusters, clock=found.clock)
        [large, _] = State.unpack(await found.store.recall("clusters")).clusters
        return picture(replace(large, members=("a:gone", "a:too")), (await own.read()).held, own)

    assert "Its members share nothing any more" in Page(played.run(draw)).text


def test_what_is_not_bound_leaves_an_account_loose(played: Played) -> None:
    names = [account("x", number) for number in range(3)]
    values = np.array([key(keys.SYSTEM, 5)] * 3 + [key(keys.PAYMENT, 1)] * 2, np.int64)
    owner = np.array([0, 1, 2, 0, 1], np.int32)
    held = Holdings(names, np.zeros(3, np.int64), owner, values, np.zeros(5, np.int64))

    async def draw(found: Played) -> str:
        own = Desk(found.store, found.policy.clusters, clock=found.clock)
        [large, _] = State.unpack(await found.store.recall("clusters")).clusters
        return picture(replace(large, members=tuple(names)), held, own)

    page = Page(played.run(draw))
    assert (page.count("circle", "account"), page.count("circle", "loose")) == (3, 1)
    assert "account, shares none" in page.text


def test_shares() -> None:
    assert [share(part, 1_000) for part in (0, 1, 4, 5, 500, 1_000)] == ["0%", "<1%", "<1%", "<1%", "50%", "100%"]


def test_names_are_escaped() -> None:
    text = net(Net(["<b>"], np.ones(1, np.bool_), [("<i>", "client", np.arange(1))]), '<u>"')
    assert not re.search("<[biu]>", text)
    assert "&lt;b&gt;" in text
