"""The policy: what a YAML document may say, and how it becomes a `Policy`."""

from __future__ import annotations

from guardrail_mw.policy.document import InspectSettings, Policy, RouteSettings, StoreSettings
from guardrail_mw.policy.loader import load, loads

__all__ = ["InspectSettings", "Policy", "RouteSettings", "StoreSettings", "load", "loads"]
