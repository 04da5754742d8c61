"""What a driven demo shows: lines, a table, and a summary in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from guardrail_mw.cli.demo.board import showing, summary
from guardrail_mw.cli.demo.drive import PEOPLE
from guardrail_mw.cli.demo.run import policy
from guardrail_mw.cli.demo.tally import Tally
from guardrail_mw.limits.models import Models
from guardrail_mw.values import Usage

pytestmark = pytest.mark.anyio


@pytest.fixture
def tallies() -> list[Tally]:
    models = Models(policy().models)
    found = [Tally(each.name, each.what, models) for each in PEOPLE]
    people = {each.name: each for each in found}
    people["ada"].admit("demo-small", Usage(input=10, output=20))
    people["bob"].refused["requests"] = 3
    people["bob"].left = "0 of 6 (requests)"
    people["cyd"].admit("demo-large", Usage(input=10, output=100))
    people["cyd"].refused["spend"] = 1
    people["strangers"].refused["capacity"] = 40
    return found


async def shown(tallies: list[Tally], *, terminal: bool, width: int = 120) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, legacy_windows=False, _environ={})
    async with showing(tallies, lambda: 7.0, console):
        pass
    return text.getvalue()


async def test_elsewhere_than_on_a_terminal_it_is_plain_lines(tallies: list[Tally]) -> None:
    lines = (await shown(tallies, terminal=False)).splitlines()
    assert lines[0] == "  7.0 s  ada       1 admitted, 0 refused, 30 tokens, $0"
    assert lines[1] == ("  7.0 s  bob       0 admitted, 3 refused (3 requests), 0 tokens, $0; left: 0 of 6 (requests)")
    assert len(lines) == len(PEOPLE)


async def test_on_a_terminal_it_is_a_table(tallies: list[Tally]) -> None:
    text = await shown(tallies, terminal=True)
    assert "\x1b[" in text
    for column in ("account", "admitted", "refused", "tokens", "dollars", "least left"):
        assert column in text
    assert "40 capacity" in text
    assert "what it does" in text
    assert "what it does" not in await shown(tallies, terminal=True, width=80)


async def test_the_summary_says_what_happened_and_nothing_else(tallies: list[Tally]) -> None:
    lines = summary(tallies, 7)
    assert lines[0] == "In 7 s, 46 requests came: 2 were admitted ($0.0016), 44 refused."
    assert any("`spend` refused" in line for line in lines)
    assert any("shed 40" in line for line in lines)
    tallies[2].refused.clear()
    tallies[4].refused.clear()
    tallies[0].unexpected["status 500"] = 2
    lines = summary(tallies, 7)
    assert not any("`spend`" in line or "capacity" in line for line in lines)
    assert lines[-1] == "Unexpected: ada got status 500, 2 times."
