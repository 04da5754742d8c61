"""What is mutated, what tries to notice, and what is passed over, with the reasons."""

from __future__ import annotations

from typing import Final

PACKAGES: Final = ("algorithms", "limits", "friction", "engine")
"""The packages that decide. Their arithmetic in Lua is out of reach here: it is held to the memory store's by the contract."""

TESTS: Final = (
    "tests/algorithms",
    "tests/limits",
    "tests/friction",
    "tests/engine",
    "tests/risk",
    "tests/policy",
    "tests/telemetry",
    "tests/testing",
    "tests/stores",
    "tests/asgi",
    "tests/integration/test_limits.py",
    "tests/integration/test_design_policy.py",
    "tests/integration/test_design_policy_judging.py",
    "tests/threats",
    "tests/cli",
    "tests/console/test_api.py",
)
"""Tests that may notice. Of these fall out: those that need a server, that fail or are skipped, that take more than `SLOW`."""

SLOW: Final = 1.0
"""Seconds that a test may take to be asked."""
NEAR: Final = 4.0
"""Seconds of its package's own tests, by what they took unmutated, that a mutant has to live through."""
FAR: Final = 2.0
"""Seconds of other tests that it has to live through then. More tests can only kill more: the bound makes it look worse."""
SHARE: Final = 0.90
"""Of a package's mutants that must be killed."""

UNTOUCHED: Final = {
    "logger": "what a log line says is for people, and its level is not tested",
    "cast": "for the type checker",
    "TypeVar": "for the type checker",
    "NewType": "for the type checker",
}
"""Calls, by name or by what the name begins with, that are not mutated at all."""

WORDED: Final = {
    "Problem": "sentences for people",
    "MisuseError": "sentences for people",
    "PolicyError": "sentences for people",
    "PluginError": "sentences for people",
    "StoreError": "sentences for people",
    "ValueError": "sentences for people",
}
"""Calls whose texts of several words stay as they are; that the text is there at all is still asked."""

SKIPPED: Final = (
    "imports, docstrings, `if TYPE_CHECKING:`, `__all__`, `__slots__`, types: nothing runs",
    "`@dataclass(…)`: frozen and slots are for the type checker and for speed",
    "sentences in errors, `raise`, `assert` and `description=`: their wording is not behaviour (None in their place is tried)",
    "of a string's three mutants (marked, lower, upper) the last two: what notices one notices the others",
)
"""What else is passed over."""
