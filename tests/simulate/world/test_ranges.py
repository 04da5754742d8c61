"""The frozen file, and what stands in it."""

from __future__ import annotations

import ast
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

from guardrail_mw.simulate import world
from guardrail_mw.simulate.world.ranges import Traits, ranges, ranges_hash

HERE = Path(world.__file__).parent
JUDGES = {"asgi", "clusters", "engine", "friction", "identity", "limits", "risk", "stores", "worker"}
COHORTS = """
    agents benchmarks campuses cgnat classrooms cron declared hackathons homes households launchers migrations niche notebooks
    offices popular relays researchers resellers saas startups viral
"""


def test_the_hash_is_the_files() -> None:
    assert ranges_hash() == sha256((HERE / "ranges.yaml").read_bytes()).hexdigest()[:16]


def test_every_cohort_that_was_promised_is_there() -> None:
    assert sorted(ranges().cohorts) == COHORTS.split()


def test_at_least_two_of_five_people_are_in_groups_with_and_without_what_is_held_out() -> None:
    cohorts = ranges().cohorts.values()
    for held_out in (True, False):
        some = [each for each in cohorts if held_out or not each.held_out]
        assert sum(each.share for each in some if each.grouped) / sum(each.share for each in some) >= 0.4


def test_whole_types_are_held_out() -> None:
    assert sum(each.held_out for each in ranges().cohorts.values()) >= 4
    assert sum(each.held_out for each in ranges().means.values()) >= 6
    assert ranges().held_out_ratios


def test_the_naive_attacker_is_the_one_that_is_agreed() -> None:
    naive = Traits.model_validate(ranges().attackers["naive"].traits)
    assert (naive.card.per, naive.device.per, naive.address.per) == ((20, 20), (3, 3), (10, 10))
    assert (naive.system.per, naive.prompts.per, naive.prompts.share) == ("group", "group", (1, 1))
    assert ranges().attackers["naive"].conduct == {}


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        ({"rate": [5, 2]}, "not from 5 to 2"),
        ({"rhythm": "siesta"}, "no rhythm 'siesta'"),
        ({"colour": 1}, "colour"),
        ({"rate": "fast"}, "rate"),
        ({"address": {"kind": "moon"}}, "address.kind"),
    ],
)
def test_bad_traits_are_told(traits: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Traits.model_validate(traits)
    assert told in str(caught.value)


def test_a_file_that_is_not_as_it_should_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ranges.yaml"
    path.write_text("version: 1\ncohorts: {homes: {share: 2}}\nattackers: {}\nmeans: {}\n")
    monkeypatch.setattr("guardrail_mw.simulate.world.ranges._FILE", path)
    with pytest.raises(ValueError, match=r"ranges\.yaml") as caught:
        ranges.__wrapped__()
    assert "cohorts.homes.share" in str(caught.value)


@pytest.mark.parametrize("path", sorted(HERE.rglob("*.py")), ids=lambda path: str(path.relative_to(HERE)))
def test_the_generator_imports_nothing_of_what_judges(path: Path) -> None:
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            named |= {f"{node.module}.{each.name}" for each in node.names}
    ours = [name.split(".")[1:3] for name in named if name.startswith("guardrail_mw")]
    assert [each for each in ours if each[:1] != ["simulate"] or each[1:] != ["world"]] == []
