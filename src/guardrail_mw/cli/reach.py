"""How a command reaches accounts and switches: the operator's port of a server, or the store that servers share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import quote

import click

from guardrail_mw.cli.arguments import called
from guardrail_mw.cli.far_casework import Deciding, FarCasework
from guardrail_mw.cli.output import Cannot, quiet
from guardrail_mw.cli.port import Port, client_of
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.desk import MisuseError, Operator
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import Policy, load
from guardrail_mw.quantities import Duration
from guardrail_mw.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    import httpx2

__all__ = ["PATIENCE", "WORK", "Far", "Near", "Reach", "Where", "here", "json_option", "reach", "reachable", "run"]

_T = TypeVar("_T")
PATIENCE: Final = Duration.parse("5s")
"""A command may take longer than a request."""
WORK: Final = Duration.parse("2m")
"""What is done at an operator's port may go on to others: providers of verification, who are asked to forget."""
_UNUSED_KEY: Final = "-" * 64
"""Where nothing that is done depends on a digest or a signature: to switch a mode nobody should have to find the keys."""


class Reach(Protocol):
    """What can be asked, wherever it is; see `Operator`."""

    @property
    def casework(self) -> Deciding:
        """Cases and appeals."""
        ...

    async def show(self, account: str) -> dict[str, Any]:
        """See `Operator.show`."""
        ...

    async def limits(self, account: str, route: str = "") -> list[dict[str, Any]]:
        """See `Operator.limits`."""
        ...

    async def export(self, account: str) -> dict[str, Any]:
        """See `Operator.export`."""
        ...

    async def act(self, verb: str, account: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Operator.act`."""
        ...

    async def modes(self) -> dict[str, Any]:
        """See `Operator.modes`."""
        ...

    async def switch(self, rule: str, mode: str | None, reason: str = "") -> dict[str, Any]:
        """See `Operator.switch`."""
        ...

    async def find(self, decision: str) -> dict[str, Any] | None:
        """See `Operator.find`."""
        ...

    async def why(self, decision: str) -> list[str] | None:
        """A decision in the words of the server that made it, which has the policy; None where no server is asked."""
        ...

    async def identify(self, credential: str, source: str | None = None) -> dict[str, Any]:
        """See `Operator.identify`."""
        ...


class Near(Operator):
    """By the shared store. Decisions are not in it: each server keeps its own."""

    async def find(self, decision: str) -> dict[str, Any] | None:  # type: ignore[override] # a question, wherever it is asked
        """None: it is not this process that decided."""
        return super().find(decision)

    async def why(self, decision: str) -> list[str] | None:
        """None: no server is asked."""
        return None


class Far:
    """By the operator's port of a server."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._ask = Port(client).ask
        self.casework = FarCasework(self._ask)

    async def show(self, account: str) -> dict[str, Any]:
        """See `Operator.show`."""
        return await self._ask("GET", _of(account))

    async def limits(self, account: str, route: str = "") -> list[dict[str, Any]]:
        """See `Operator.limits`."""
        found = await self._ask("GET", f"{_of(account)}/limits", params={"route": route} if route else {})
        limits: list[dict[str, Any]] = found["limits"]
        return limits

    async def export(self, account: str) -> dict[str, Any]:
        """See `Operator.export`."""
        return await self._ask("GET", f"{_of(account)}/export")

    async def act(self, verb: str, account: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `Operator.act`."""
        return await self._ask("POST", f"{_of(account)}/{verb}", json=dict(given), timeout=WORK.seconds)

    async def modes(self) -> dict[str, Any]:
        """See `Operator.modes`."""
        return await self._ask("GET", "/v1/mode")

    async def switch(self, rule: str, mode: str | None, reason: str = "") -> dict[str, Any]:
        """See `Operator.switch`."""
        return await self._ask("PUT", "/v1/mode", json={"rule": rule, "mode": mode, "reason": reason})

    async def find(self, decision: str) -> dict[str, Any] | None:
        """See `Operator.find`."""
        return await self._ask("GET", f"/v1/decisions/{quote(decision, safe='')}", missing=True) or None

    async def why(self, decision: str) -> list[str] | None:
        """None where the server does not know it any more."""
        found = await self._ask("GET", f"/v1/decisions/{quote(decision, safe='')}/explanation", missing=True)
        lines: list[str] | None = found.get("lines")
        return lines

    async def identify(self, credential: str, source: str | None = None) -> dict[str, Any]:
        """See `Operator.identify`."""
        return await self._ask("POST", "/v1/accounts/id", json={"credential": credential, "source": source})


def _of(account: str) -> str:
    return f"/v1/accounts/{quote(account, safe=':')}"


class Where:
    """Where a command's options say that it is to be done."""

    def __init__(self, url: str | None, policy: str | None) -> None:
        self.url = url or None
        self.named = policy or None

    def policy(self) -> Policy | None:
        """The policy that was named, if one was.

        Raises:
            PolicyError: it is bad.
        """
        return load(self.named) if self.named is not None else None


def reachable(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `--url` and `--policy`."""
    url = click.option(
        "--url",
        envvar="GUARDRAIL_OPERATOR_URL",
        show_envvar=True,
        help="The operator's port; its token is in GUARDRAIL_OPERATOR_TOKEN.",
    )
    policy = click.option(
        "--policy",
        envvar="GUARDRAIL_POLICY",
        show_envvar=True,
        help="The servers' policy, which names the store that they share.",
    )
    return url(policy(command))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@asynccontextmanager
async def reach(where: Where, *, keyless: bool = False) -> AsyncIterator[Reach]:
    """Reach the server or the store.

    Args:
        where: the options. The port comes first.
        keyless: whether it is done without the deployment's secrets.

    Raises:
        Cannot: neither can be reached from here.
    """
    if where.url is not None:
        async with client_of(where.url, PATIENCE.seconds) as client:
            yield Far(client)
        return
    guardrail = _guardrail(where, keyless=keyless)
    try:
        yield Near(guardrail)
    finally:
        await guardrail.close()


def _guardrail(where: Where, *, keyless: bool) -> Guardrail:
    """A guardrail of our own on the shared store, which takes its time and writes no events."""
    policy = where.policy()
    if policy is None:
        cure = "Name the operator's port (--url, GUARDRAIL_OPERATOR_URL), or the policy whose store the servers share (--policy)."
        raise Cannot(f"Nothing says where the servers are. {cure}")
    environ = dict(os.environ)
    if (environ.get("GUARDRAIL_STORE", "").strip() or policy.store.url).startswith("memory://"):
        why = "The policy's store is memory://, which lives inside the server's process and cannot be reached from another."
        raise Cannot(f"{why} Ask its operator's port (--url), or share a store: GUARDRAIL_STORE=redis://…")
    if keyless:
        environ = {"GUARDRAIL_ID_KEY": _UNUSED_KEY, "GUARDRAIL_KEYS": _UNUSED_KEY, **{k: v for k, v in environ.items() if v}}
    patient = policy.store.model_copy(update={"deadline": PATIENCE})
    return Guardrail(policy.model_copy(update={"store": patient, "telemetry": TelemetrySettings()}), environ=environ)


def run(where: Where, ask: Callable[[Reach], Awaitable[_T]], *, keyless: bool = False) -> _T:
    """Ask, and give the answer.

    Raises:
        Cannot: what was asked for cannot be, or the store does not answer.
    """

    async def asking() -> _T:
        async with reach(where, keyless=keyless) as found:
            return await ask(found)

    return here(asking)


def here(ask: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run it.

    Raises:
        Cannot: what was asked for cannot be, or the store does not answer.
    """
    try:
        with quiet():
            return asyncio.run(ask())
    except MisuseError as error:
        raise Cannot(called(error.argument, error.text)) from error
    except StoreError as error:
        raise Cannot(f"The store did not do it: {_once(error)}") from error


def _once(error: StoreError) -> str:
    """What is said of a store's error: its detail, and what is public of it where that is not in there."""
    detail, public = error.detail.strip(), error.public
    return detail if public.rstrip(".") in detail else f"{public} {detail}".strip()
