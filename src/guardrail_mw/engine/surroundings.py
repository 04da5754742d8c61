"""What the environment says of how a policy is to be run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.values import Mode

if TYPE_CHECKING:
    from guardrail_mw.policy import StoreSettings

__all__ = ["MODES", "Surroundings"]

logger = logging.getLogger("guardrail_mw")

MODES: tuple[Mode, ...] = get_args(Mode)


class Surroundings:
    """An environment, as it was when it was first looked at.

    Args:
        environ: in place of `os.environ`.
    """

    def __init__(self, environ: Mapping[str, str] | None) -> None:
        self.environ = dict(os.environ if environ is None else environ)

    def said(self, name: str) -> str:
        """A variable without the blanks around it; empty where it is not set."""
        return self.environ.get(name, "").strip()

    def policy(self) -> str:
        """Where the policy is; one that refuses nothing, where nobody says it."""
        named = self.said("GUARDRAIL_POLICY")
        if not named:
            logger.warning(
                "No policy was named, so guardrail:watch runs, which refuses nothing. Name one in GUARDRAIL_POLICY."
            )
        return named or "guardrail:watch"

    def mode(self) -> Mode | None:
        """The mode that goes before the policy's.

        Raises:
            PolicyError: there is no such mode.
        """
        given = self.said("GUARDRAIL_MODE")
        for mode in MODES:
            if given == mode:
                return mode
        if given:
            raise PolicyError(
                [Problem("GUARDRAIL_MODE", "is not a mode.", "Set shadow, enforce or off.", source="environment")]
            )
        return None

    def url(self, settings: StoreSettings) -> str:
        """The store's, which goes before the policy's."""
        return self.said("GUARDRAIL_STORE") or settings.url
