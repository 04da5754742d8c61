"""`guardrail-mw worker`: the background work alone, for servers that share a store."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.sharing import alone, clustered, numeric, opened, sharing
from guardrail_mw.engine import Guardrail

__all__ = ["worker"]


@click.command(short_help="Work clusters out anew, again and again, beside the servers.")
@sharing
def worker(policy: str | None) -> None:
    """Work clusters out anew as often as the policy says, until it is told to stop (SIGTERM, Ctrl-C).

    Of all that could do so on one store, it elects one, and another where that has been gone for two turns: two may run for
    safety. What is done is said on the error stream.

    Exit codes: 0 it was stopped; 1 the policy is bad; 2 it cannot run here.
    """
    found = clustered(policy)
    numeric()
    if alone(found):
        why = "The policy's store is memory://, which lives inside the server's process: nobody else can see what is in it."
        raise Cannot(f"{why} Its server works clusters out itself; or share a store: GUARDRAIL_STORE=redis://…")
    with _telling():
        asyncio.run(_working(opened(found, keyless=True)))
    click.echo("Stopped.", err=True)


@contextmanager
def _telling() -> Iterator[None]:
    """What is logged meanwhile goes to the error stream."""
    logger = logging.getLogger("guardrail_mw")
    handler, before = logging.StreamHandler(), logger.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


async def _working(guardrail: Guardrail) -> None:
    loop = asyncio.get_running_loop()
    task = loop.create_task(guardrail.worker().run(), name="guardrail worker")
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
        await guardrail.close()
