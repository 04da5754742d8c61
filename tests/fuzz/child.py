"""One target under libFuzzer, as `python -m tests.fuzz` runs it: TARGET, FINDINGS, then what libFuzzer is told."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

INSTRUMENTED: Final = ["guardrail_mw", "yaml", "jwt"]


def main(name: str, findings: Path, libfuzzer: list[str]) -> None:
    """Fuzz; libFuzzer ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    kept = importlib.import_module("tests.fuzz.findings").Findings(targets[name], findings)
    atheris.Setup([sys.argv[0], *libfuzzer], kept.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
