"""What becomes of a call, and how that is noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from guardrail_mw.values import Deny

__all__ = [
    "ASKED", "CHALLENGED", "CODES", "DELAYED", "DENIED", "LIMITED", "SERVED", "TRIMMED", "VERDICTS", "Seen", "code_of",
]  # fmt: skip

CODES: Final = ("served", "trimmed", "delayed", "limited", "denied", "asked to verify", "challenged")
"""What becomes of a call."""
SERVED, TRIMMED, DELAYED, LIMITED, DENIED, ASKED, CHALLENGED = range(len(CODES))
VERDICTS: Final = ("none", "watched", "suspect", "confirmed")
_LIMITED: Final = frozenset({"rate_limited", "overloaded", "unavailable", "exceeds_limit"})
_ASKED: Final = {"challenge_required": CHALLENGED, "verification_required": ASKED}


class Seen(NamedTuple):
    """What became of a batch's calls, in columns."""

    codes: NDArray[np.uint8]
    """Index into `CODES`."""
    cluster: NDArray[np.int32]
    """The cluster of the caller as the call was decided: index into `Callers.clusters`, or -1."""
    verdict: NDArray[np.uint8]
    """Index into `VERDICTS`, likewise."""


def code_of(deny: Deny) -> int:
    """A refusal's."""
    return _ASKED.get(deny.code, LIMITED if deny.code in _LIMITED else DENIED)
