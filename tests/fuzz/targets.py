"""The targets by name."""

from __future__ import annotations

from typing import Final

from . import answers, bodies, headers, paths, policies, quantities, tokens, trimming
from .base import Target

TARGETS: Final[dict[str, Target]] = {
    module.TARGET.name: module.TARGET for module in (headers, tokens, bodies, trimming, answers, policies, quantities, paths)
}
