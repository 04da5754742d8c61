"""What a caller must solve. Built-ins and plugins are entry points of the group `guardrail_mw.challenges`.

An entry point is a class as `Challenger` has it; no plugin needs to import this module.
"""

from __future__ import annotations

from guardrail_mw.friction.challenges.base import Asked, Challenger, ChallengerSettings, Means, Outcome

__all__ = ["Asked", "Challenger", "ChallengerSettings", "Means", "Outcome"]
