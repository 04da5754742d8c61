"""Optional libraries, and how to get them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

__all__ = ["needs"]


def needs(module: str, extra: str) -> Literal[True]:
    """Make sure that a library is there.

    Raises:
        ValueError: it is not; names the cure.
    """
    if find_spec(module) is None:
        raise ValueError(f"needs {module}, which is not installed. Install it with: pip install 'guardrail-mw[{extra}]'")
    return True
