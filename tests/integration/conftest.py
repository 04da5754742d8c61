"""One server for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .serving import Stage, staged


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A real uvicorn; what it serves is the test's to say."""
    with staged() as found:
        yield found
