"""What the policy's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import loads

Problems = Callable[..., list[Problem]]


@pytest.fixture(scope="session")
def example() -> bytes:
    """A policy that uses every section there is."""
    return (Path(__file__).parent / "example.yaml").read_bytes()


@pytest.fixture(scope="session")
def problems() -> Problems:
    """Everything that is wrong with a text, in the order reported; keywords are its environment."""

    def found(text: str | bytes, **environ: str) -> list[Problem]:
        with pytest.raises(PolicyError) as caught:
            loads(text, source="p.yaml", environ=environ)
        return caught.value.problems

    return found
