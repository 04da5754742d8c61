"""What is logged when a guardrail begins: what runs, and what of it will surprise."""

from __future__ import annotations

import logging
import multiprocessing
import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from guardrail_mw.policy import describe

if TYPE_CHECKING:
    from guardrail_mw.engine.surroundings import Surroundings
    from guardrail_mw.policy import Policy
    from guardrail_mw.values import Mode

__all__ = ["announce", "warn_of_names", "warn_of_workers"]

logger = logging.getLogger("guardrail_mw")

_VERSION = version("guardrail-mw")  # looked up here: it reads the disk, and apps make guardrails while their loop runs


def warn_of_workers(surroundings: Surroundings, *, shared: bool) -> None:
    """Several processes do not share what lies in the memory of each."""
    workers = surroundings.environ.get("WEB_CONCURRENCY", "")
    several = (workers.isdigit() and int(workers) > 1) or multiprocessing.parent_process() is not None
    if several and not shared:
        logger.warning(
            "The store is memory:// and this is one of several workers: each counts for itself, so limits are as many times "
            "larger. Set GUARDRAIL_STORE=redis://… to share them."
        )


def warn_of_names(surroundings: Surroundings, policy: Policy) -> None:
    """Who keeps events wants accounts to have the same names in them tomorrow."""
    if {"telemetry", "console"} & policy.model_fields_set and not surroundings.said("GUARDRAIL_ID_KEY"):
        logger.warning(
            "GUARDRAIL_ID_KEY is not set: accounts get other names in the events after every restart. Set it to a secret of "
            "32 bytes or more that stays: python -c 'import secrets; print(secrets.token_urlsafe(48))'."
        )


def announce(source: object, policy: Policy, mode: Mode, url: str) -> None:
    """Say what runs.

    Args:
        source: where the policy came from.
        policy: it.
        mode: what runs it.
        url: of the store that is shared; empty where none is.
    """
    logger.info(
        "guardrail_mw %s: policy %s (%s), mode %s, limits: %d, scorers: %d, rungs: %d, store %s%s.",
        _VERSION,
        source if isinstance(source, (str, os.PathLike)) else "given by the app",
        policy.hash,
        mode,
        len(policy.limits),
        len(policy.risk.scorers),
        len(policy.friction.ladder),
        describe.place(url) if url else "in this process's memory",
        f", operator's port {policy.console.listen}" if policy.console is not None else "",
    )
