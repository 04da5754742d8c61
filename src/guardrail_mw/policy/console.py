"""The policy's `console:` section: whether there is an operator's port, and where.

It stands here because a policy composes it; the port itself is far above (`guardrail_mw.console`).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_address
from typing import Final, NamedTuple

from pydantic import Field, field_validator

from guardrail_mw.errors import Problem
from guardrail_mw.settings import Settings, refuse
from guardrail_mw.telemetry.extras import needs

__all__ = ["GENERATOR", "Address", "ConsoleSettings"]

SHORTEST: Final = 32
LONGEST: Final = 512
VARIED: Final = 10
"""Different characters that a token must have: `x` written forty times is no secret."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]+", re.ASCII)
GENERATOR: Final = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
_CURE: Final = f"{GENERATOR}, and write ${{GUARDRAIL_OPERATOR_TOKEN}}."
_ADDRESS: Final = "Write 127.0.0.1:9900 or [::1]:9900."


class Address(NamedTuple):
    """Where to listen."""

    host: str
    """An IP address."""
    port: int

    @property
    def beyond(self) -> bool:
        """Whether other machines can reach it."""
        return not ip_address(self.host).is_loopback

    @property
    def url(self) -> str:
        """How it is asked."""
        host = self.host if isinstance(ip_address(self.host), IPv4Address) else f"[{self.host}]"
        return f"http://{host}:{self.port}"


class ConsoleSettings(Settings):
    """The operator's port: an HTTP API over accounts, decisions, modes and metrics. Off unless this section is there."""

    listen: str = Field(default="127.0.0.1:9900", json_schema_extra={"examples": ["127.0.0.1:9900", "[::1]:9900"]})
    """An IP address of this machine and a port. The API is plain HTTP: beyond the machine itself put TLS in front."""
    token: str = Field(repr=False)
    """What operators show as `Authorization: Bearer …`: 32 characters or more, from a generator of secrets. Always needed."""

    @field_validator("listen")
    @classmethod
    def _listen(cls, listen: str) -> str:
        needs("uvicorn", "console")
        needs("starlette", "console")
        host, colon, port = listen.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or not 1 <= int(port[:6]) <= 65535:  # noqa: PLR2004
            refuse([Problem("", "is not an address and a port from 1 to 65535.", _ADDRESS)])
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            address = ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            refuse([Problem("", "has a host that is no IP address.", f"A name may lead elsewhere tomorrow. {_ADDRESS}")])
        if bracketed is isinstance(address, IPv4Address) or "%" in host:
            refuse([Problem("", "has a host that is no IP address.", _ADDRESS)])
        return listen

    @field_validator("token")
    @classmethod
    def _secret(cls, token: str) -> str:
        if len(token) < SHORTEST:
            refuse([Problem("", f"has fewer than {SHORTEST} characters: it could be guessed.", _CURE)])
        if len(token) > LONGEST or _TOKEN.fullmatch(token) is None:
            what = f"has more than {LONGEST} characters" if len(token) > LONGEST else "holds what a bearer token may not"
            refuse([Problem("", f"{what}: letters, digits and - . _ ~ + / = only.", _CURE)])
        if len(set(token)) < VARIED:
            refuse([Problem("", f"has fewer than {VARIED} different characters: it could be guessed.", _CURE)])
        return token

    @property
    def address(self) -> Address:
        """Where to listen."""
        host, _, port = self.listen.rpartition(":")
        return Address(host.strip("[]"), int(port))
