"""The demo's walk: on a clock that the test drives, and as the command that people run."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result
from rich.console import Console

from guardrail_mw.cli.demo.walk import ending
from guardrail_mw.cli.demo.walk.board import Board
from guardrail_mw.cli.demo.walk.calling import Answer, what
from guardrail_mw.cli.demo.walk.pacing import Pacer
from guardrail_mw.cli.demo.walk.run import show
from guardrail_mw.cli.demo.walk.scene import Scene, Side
from guardrail_mw.cli.demo.walk.walk import Walk
from guardrail_mw.policy import loads
from guardrail_mw.simulate.clock import WorldClock

Run = Callable[..., Result]

MINUTE = 60_000_000
CAMPAIGN = 40
"""Accounts of the campaign."""


class Machine:
    """A machine's time, which passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def seconds(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Shown(NamedTuple):
    walk: Walk
    text: str
    code: int
    folder: Path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The whole walk, with proofs of work that are hardly any."""
    text = (files("guardrail_mw.cli.demo") / "policy.yaml").read_text()
    easy = text.replace("hardest: 1}", "hardest: 1, cost: 10}")
    assert easy != text
    folder, said, machine, scene = tmp_path_factory.mktemp("walk"), io.StringIO(), Machine(), Scene(1)
    board = Board(Console(file=said, force_terminal=False, width=80, _environ={}))
    pacer = Pacer(WorldClock(scene.begin), seconds=machine.seconds, sleep=machine.sleep)
    walk = Walk(scene, pacer, board.tell, board.look, under=loads(easy.encode(), source="the demo's", environ={}))
    code = asyncio.run(show(walk, board, folder / "pictures"))
    return Shown(walk, said.getvalue(), code, folder / "pictures")


def when(shown: Shown, text: str) -> float:
    """Minutes from the beginning at which something of the campaign was told first."""
    walk = shown.walk
    [first, *_] = [each.at for each in walk.story.moments if each.side == "campaign" and text in each.text]
    return (first - walk.scene.begin) / MINUTE


def test_the_campaign_is_found_challenged_asked_to_verify_and_contained(shown: Shown) -> None:
    tale = shown.walk.tales["campaign"]
    # 12,000 exchanges in 0.4 days are 1,250 an hour, and from minute 2 to minute 50 there are 48.
    assert tale.asked == pytest.approx(1000, abs=3 * 1000**0.5)
    assert len(tale.accounts) == CAMPAIGN
    # As a suspect it shares 100 a day: the limit `suspects` of guardrail:campaign.
    assert tale.by_verdict["suspect"] + tale.by_verdict["confirmed"] == 100
    assert tale.limits.keys() == {"suspects"}
    assert tale.asked == tale.served + tale.ended["challenged"] + tale.ended["verify"] + tale.ended["limited"]
    assert tale.met["solved"] == CAMPAIGN * 3 // 5  # the clients that can, once each: a solution holds for 30 minutes
    assert tale.met["challenged"] == tale.ended["challenged"] + tale.met["solved"]
    assert 0 < tale.ended["challenged"] <= 3 * (CAMPAIGN - CAMPAIGN * 3 // 5)  # then the rung above acts
    assert tale.ended["verify"] > 0
    assert tale.last_served is not None
    assert tale.last_served < shown.walk.scene.begin + 30 * MINUTE
    assert ending.contained(shown.walk)
    assert shown.code == 0


def test_it_happens_in_that_order_at_the_policys_looks(shown: Shown) -> None:
    order = ["Begins", "Suspect: ", "Challenged", "asked to verify", "`suspects` refuses", "Confirmed: "]
    times = [when(shown, each) for each in order]
    assert all(one <= other for one, other in pairwise(times))
    assert times[1] % 10 == times[5] % 10 == 0  # `clusters.every` is 10m


def test_nobody_else_notices_anything(shown: Shown) -> None:
    for tale in [each for name, each in shown.walk.tales.items() if name != "campaign"]:
        assert tale.asked > 0
        assert tale.refused == 0
        assert set(tale.met) == {"served"}
    assert shown.walk.tales["office"].asked > 400
    assert shown.walk.tales["office"].verdict == "watched"
    assert {shown.walk.sides[member] for member in shown.walk.clusters["office"].members} == {"office"}
    assert {shown.walk.sides[member] for member in shown.walk.clusters["campaign"].members} == {"campaign"}


def test_its_clock_is_sixty_times_as_fast(shown: Shown) -> None:
    # Nothing here takes the machine any time, so 50 minutes take 50 seconds.
    assert shown.walk.pacer.here == pytest.approx(50)
    assert shown.walk.pacer.speed == pytest.approx(60)


async def pace(machine: Machine, clock: WorldClock) -> list[float]:
    pacer, found = Pacer(clock, seconds=machine.seconds, sleep=machine.sleep), []
    pacer.start()
    start = clock.now()
    for late in (0.0, 2.5, 0.0):
        machine.now += late
        await pacer.until(clock.now() + MINUTE)
        found.append(pacer.here)
    assert clock.now() == start + 3 * MINUTE
    return found


def test_a_machine_that_is_late_does_not_make_up_for_it() -> None:
    # A minute takes a second; the second one begins 2.5 s late and is over at once; the third takes a second again.
    assert asyncio.run(pace(Machine(), WorldClock(0))) == pytest.approx([1, 3.5, 4.5])


def test_elsewhere_than_on_a_terminal_it_says_so_in_plain_lines(shown: Shown) -> None:
    assert "\x1b" not in shown.text
    lines = shown.text.splitlines()
    tale, office = shown.walk.tales["campaign"], shown.walk.tales["office"]
    far = [line for line in lines if "  so far    " in line]
    assert [line[:8] for line in far] == [f"14:{minute}:00" for minute in ("00", "10", "20", "30", "40", "50")]
    assert far[-1].startswith("14:50:00   50.0 s")
    assert f"campaign {tale.served} served of {tale.asked:,}; office {office.asked} served of {office.asked}" in far[-1]
    words = " ".join(shown.text.split())
    assert f"{tale.served} were served: {tale.served - 100} before it was found, 100 after that." in words
    assert f"The office noticed nothing: {len(office.accounts)} accounts asked for {office.asked} exchanges" in words
    assert "asked to verify with 403 (verification_required)" in shown.text
    assert "up: it went on although the rung held, and was led up to the next" in shown.text
    assert all(
        shown.text.count(f"{moment.text}\n") == 2 for moment in shown.walk.story.moments
    )  # as it happens, and in the end


def test_it_draws_both_clusters(shown: Shown) -> None:
    sides: tuple[Side, ...] = ("campaign", "office")
    for side in sides:
        path = shown.folder / f"guardrail-demo-{side}.html"
        assert str(path) in shown.text
        assert shown.walk.clusters[side].id in path.read_text("utf-8")


def test_on_a_terminal_the_board_fits_eighty_columns(shown: Shown) -> None:
    said = io.StringIO()
    board = Board(Console(file=said, force_terminal=True, width=80, legacy_windows=False, _environ={}))

    async def once() -> None:
        async with board.showing(shown.walk):
            board.tell(shown.walk.story.moments[-1])
            board.look()

    asyncio.run(once())
    plain = Console(file=io.StringIO(), width=80, color_system=None, _environ={})
    with plain.capture() as drawn:
        plain.print(board.drawn())
    lines = drawn.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1] == "2026-02-04 14:50:00 on the demo's clock, 50 s here: 60 times as fast"
    tale = shown.walk.tales["campaign"]
    [row] = [line.split() for line in lines if line.startswith("campaign") and "confirmed" in line]
    met = (tale.met["challenged"], tale.met["solved"], tale.met["verify"], tale.met["limited"])
    assert row == ["campaign", "40", str(tale.asked), str(tale.served), *map(str, met), "confirmed"]
    assert "\x1b[" in said.getvalue()
    assert "so far" not in said.getvalue()


def test_of_one_seed_everybody_is_always_the_same() -> None:
    one, same, other = Scene(1), Scene(1), Scene(2)
    past = [list(each.history()) for each in (one, same, other)]
    assert past[0] == past[1] != past[2]
    first, second = one.calls(), same.calls()
    assert len(first) == len(second)
    assert (first.at == second.at).all()
    assert [one.world.body(first, i) for i in range(20)] == [same.world.body(second, i) for i in range(20)]
    assert min(row["first_seen"] for row in past[0]) == one.world.start  # 30 days and 14 hours before
    assert max(row["last_seen"] for row in past[0]) == one.begin


@pytest.mark.parametrize(
    ("path", "status", "body", "answer"),
    [
        ("/v1/messages", 200, {}, Answer("served")),
        ("/v1/chat/completions", 403, {"error": {"code": "challenge_required"}}, Answer("challenged")),
        ("/v1/messages", 403, {"error": {"details": {"error_code": "verification_required"}}}, Answer("verify")),
        ("/v1/chat/completions", 403, {"error": {"code": "denied"}}, Answer("refused")),
        ("/v1/chat/completions", 429, {"error": {"limit": "suspects"}}, Answer("limited", "suspects")),
        ("/.guardrail/challenge", 200, {}, Answer("solved")),
        ("/.guardrail/challenge", 403, {}, Answer("failed")),
        ("/v1/messages", 403, [], Answer("refused")),
    ],
)
def test_what_an_answer_is(path: str, status: int, body: object, answer: Answer) -> None:
    assert what(path, status, json.dumps(body).encode()) == answer


def test_its_policy_is_the_shipped_one_and_a_ladder(run: Run) -> None:
    result = run("demo", "--policy")
    assert result.exit_code == 0
    assert "extends: guardrail:campaign" in result.stdout


@pytest.mark.parametrize("option", [("--port", "0"), ("--seconds", "3")])
def test_what_is_a_servers_is_said_to_be(run: Run, option: tuple[str, str]) -> None:
    result = run("demo", *option)
    assert result.exit_code == 2
    assert "add --serve or --drive" in result.stderr


@pytest.mark.slow
def test_the_command_ends_within_two_minutes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from guardrail_mw.cli import main; main()", "demo", "--picture", "pictures"]
    started = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=dict(os.environ), check=False
    )
    assert time.monotonic() - started < 120
    assert done.stderr == ""
    assert done.returncode == 0
    assert len(list((tmp_path / "pictures").iterdir())) == 2
