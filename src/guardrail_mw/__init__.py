"""guardrail_mw: the defence of a model server, as ASGI middleware."""

from __future__ import annotations

from guardrail_mw.asgi.middleware import GuardrailMiddleware
from guardrail_mw.engine import Guardrail
from guardrail_mw.errors import GuardrailError, PluginError, PolicyError, StoreError, TokenError
from guardrail_mw.policy import Policy

__all__ = [
    "Guardrail",
    "GuardrailError",
    "GuardrailMiddleware",
    "PluginError",
    "Policy",
    "PolicyError",
    "StoreError",
    "TokenError",
]
