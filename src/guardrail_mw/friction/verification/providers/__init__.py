"""Who says who somebody is: services that look at documents and faces, an operator, or nobody (`simulated`).

A provider is a class as `Provider` has it; no plugin needs to import this module.
"""

from __future__ import annotations

from guardrail_mw.friction.verification.providers.base import (
    Begin,
    Means,
    Provider,
    ProviderError,
    Report,
    Started,
    State,
    WebhookError,
)

__all__ = ["Begin", "Means", "Provider", "ProviderError", "Report", "Started", "State", "WebhookError"]
