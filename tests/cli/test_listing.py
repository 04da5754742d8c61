"""`guardrail-mw plugins`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from guardrail_mw import plugins

Run = Callable[..., Result]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a distribution `example 1.0` with these entry points; `plugins` forgets what it knew, before and after."""

    def install(entries: str) -> None:
        folder = tmp_path / "site" / "example-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entries)
        monkeypatch.syspath_prepend(tmp_path / "site")
        plugins.installed.cache_clear()

    yield install
    monkeypatch.undo()
    plugins.installed.cache_clear()


def test_every_built_in_loads(run: Run) -> None:
    result = run("plugins")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == list(plugins.KINDS)
    found = {line.split()[0]: line.split()[-1] for line in lines if "guardrail-mw" in line}
    judging = ["automation", "cluster", "velocity"]
    asking = ["altcha", "hcaptcha", "recaptcha", "turnstile", "identity", "step_up"]
    verifying = ["manual", "persona", "simulated", "standard_webhooks", "stripe_identity", "sumsub", "veriff"]
    sinks = ["jsonl", "log", "parquet"]
    built_in = [
        "anthropic",
        "api_key",
        "clusters",
        "console",
        "header",
        "jwt",
        "memory",
        "openai",
        "problem",
        "redis",
        "worker",
        *judging,
        *asking,
        *verifying,
        *sinks,
    ]
    assert found == dict.fromkeys(built_in, "loads")


def test_what_does_not_load_is_said_and_is_1(run: Run, distribution: Callable[[str], None], tmp_path: Path) -> None:
    distribution("[guardrail_mw.stores]\ngone = example_gone:Store\nbroken = example_broken:Store\n")
    (tmp_path / "site" / "example_broken.py").write_text("raise ValueError('no licence')\n")
    result = run("plugins")
    assert result.exit_code == 1
    assert (
        "  gone         example 1.0                  does not load: ModuleNotFoundError: No module named 'example_gone'"
        in result.stdout
    )
    assert "  broken       example 1.0                  does not load: ValueError: no licence" in result.stdout
    sys.modules.pop("example_broken", None)


def test_what_lacks_only_an_extra_names_it_and_is_no_problem(
    run: Run, distribution: Callable[[str], None], tmp_path: Path
) -> None:
    distribution("[guardrail_mw.sinks]\nkafka = example_kafka:Sink\n")
    (tmp_path / "site" / "example_kafka.py").write_text("import aio_kafka.client\n")
    metadata = tmp_path / "site" / "example-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text() + 'Requires-Dist: aio-kafka>=1; extra == "stream"\n')
    result = run("plugins")
    assert result.exit_code == 0
    assert "  kafka        example 1.0                  needs an extra: pip install 'example[stream]'" in result.stdout


def test_two_of_one_name_are_said(run: Run, distribution: Callable[[str], None]) -> None:
    distribution("[guardrail_mw.dialects]\nopenai = example_openai:DIALECT\n")
    result = run("plugins")
    assert result.exit_code == 1
    assert "Two plugins call themselves 'openai' among the dialects" in result.stdout
    assert "example" in result.stdout
