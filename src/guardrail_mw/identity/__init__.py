"""Whose a request is: jwt, api_key, header and network become a `Subject`."""

from __future__ import annotations

from guardrail_mw.identity.base import Context, Presented, Source, SourceType
from guardrail_mw.identity.keys import Keyring, Secrets
from guardrail_mw.identity.resolver import Resolver
from guardrail_mw.identity.settings import IdentitySettings

__all__ = ["Context", "IdentitySettings", "Keyring", "Presented", "Resolver", "Secrets", "Source", "SourceType"]
