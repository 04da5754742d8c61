"""What proves who somebody is. Built-ins and plugins are entry points of the group `guardrail_mw.verifiers`.

An entry point is a class as `Verifier` has it; no plugin needs to import this module.
"""

from __future__ import annotations

from guardrail_mw.friction.verification.base import Asking, Verifier, Wanted

__all__ = ["Asking", "Verifier", "Wanted"]
