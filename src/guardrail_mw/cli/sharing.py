"""The store that servers share, for commands whose business lies there and nowhere else: evidence and clusters."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import click

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.reach import here
from guardrail_mw.engine import Guardrail
from guardrail_mw.policy import Policy, load
from guardrail_mw.quantities import Duration
from guardrail_mw.telemetry.settings import TelemetrySettings

__all__ = ["alone", "clustered", "named", "numeric", "opened", "shared", "sharing"]

_T = TypeVar("_T")
_PATIENCE: Final = Duration.parse("10s")
"""What is done here may take longer than a request."""
_UNUSED_KEY: Final = "-" * 64


def sharing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--policy`."""
    return click.option(
        "--policy",
        envvar="GUARDRAIL_POLICY",
        show_envvar=True,
        help="The servers' policy, which names the store that they share.",
    )(command)


def clustered(name: str | None) -> Policy:
    """The policy, which must have clusters.

    Raises:
        Cannot: none is named, or it has none.
        PolicyError: it is bad.
    """
    if not name:
        raise Cannot("No policy is named. Name the servers' (--policy, GUARDRAIL_POLICY): it says where they keep evidence.")
    policy = load(name)
    if policy.clusters is None:
        raise Cannot(f"{name} has no section `clusters:`, so its servers keep no evidence and there are no clusters.")
    return policy


def alone(policy: Policy) -> bool:
    """Whether the store is in each server's own memory."""
    return (os.environ.get("GUARDRAIL_STORE", "").strip() or policy.store.url).startswith("memory://")


def numeric() -> None:
    """Check for what clusters are worked out with.

    Raises:
        Cannot: it is not installed.
    """
    if find_spec("numpy") is None or find_spec("scipy") is None:
        raise Cannot(
            "Clusters need numpy and scipy, not installed here. Install them with: pip install 'guardrail-mw[clusters]'"
        )


def named(instead: str) -> None:
    """Check that the servers' names for accounts and values can be made here.

    Raises:
        Cannot: they cannot.
    """
    if not os.environ.get("GUARDRAIL_ID_KEY", "").strip():
        raise Cannot(f"GUARDRAIL_ID_KEY is not set: without the servers' key {instead}. Set it.")


def opened(policy: Policy, *, keyless: bool) -> Guardrail:
    """A guardrail of our own on the shared store, which takes its time and writes no events.

    Args:
        policy: has clusters.
        keyless: whether nothing that is done depends on a digest or a signature.

    Raises:
        Cannot: the store cannot be reached from another process.
    """
    if alone(policy):
        why = "The policy's store is memory://, which lives inside the server's process and cannot be reached from another."
        port = "ask its operator's port: --url, where a command has it; POST /v1/link for evidence"
        raise Cannot(f"{why} Share a store (GUARDRAIL_STORE=redis://…), or {port}.")
    environ = dict(os.environ)
    if keyless:
        environ = {"GUARDRAIL_ID_KEY": _UNUSED_KEY, "GUARDRAIL_KEYS": _UNUSED_KEY, **{k: v for k, v in environ.items() if v}}
    patient = policy.store.model_copy(update={"deadline": _PATIENCE})
    quiet = {"store": patient, "telemetry": TelemetrySettings(), "console": None}
    return Guardrail(policy.model_copy(update=quiet), environ=environ)


@asynccontextmanager
async def _open(policy: Policy, *, keyless: bool) -> AsyncIterator[Guardrail]:
    guardrail = opened(policy, keyless=keyless)
    try:
        yield guardrail
    finally:
        await guardrail.close()


def shared(policy: Policy, ask: Callable[[Guardrail], Awaitable[_T]], *, keyless: bool = True) -> _T:
    """Do something with the shared store.

    Raises:
        Cannot: it cannot be, or the store does not answer.
    """

    async def asking() -> _T:
        async with _open(policy, keyless=keyless) as guardrail:
            return await ask(guardrail)

    return here(asking)
