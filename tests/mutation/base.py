"""What the processes of a run share: how pytest is called, and what is handed from one to the next."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tests.mutation.mutants import Mutant

ARGUMENTS: Final = (
    "-q",
    "-o", "addopts=",
    "-o", "faulthandler_timeout=0",
    "--import-mode=importlib",
    "--capture=sys",
    "--tb=no",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-m", "not slow",
    "-p", "no:cacheprovider",
    "-p", "no:guardrail_mw",
    "-p", "no:valkey",
    "-p", "anyio",
    "-p", "tests.mutation.quiet",
)  # fmt: skip
"""Of every run of pytest; plugins are not loaded by themselves (`PYTEST_DISABLE_PLUGIN_AUTOLOAD`)."""


class Task(NamedTuple):
    """A mutant and the tests that are to notice it, in order, each with the seconds that it took unmutated."""

    id: int
    mutant: Mutant | None
    """None changes nothing: the tests must pass."""
    tests: list[tuple[str, float]]

    @classmethod
    def read(cls, given: Any) -> Task:
        """From JSON, which knows no tuples."""
        number, mutant, tests = given
        return cls(number, None if mutant is None else Mutant(*mutant), [(name, took) for name, took in tests])


def limit(took: float) -> float:
    """Seconds that a test may take on a mutant, of one that took so many: a mutant that loops is ended."""
    return 5.0 + 10.0 * took
