"""The demo at work: a guarded server, and, where asked, those who call it."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from importlib.resources import files
from typing import Final

import click
import httpx2
from rich.console import Console

from guardrail_mw.asgi.middleware import GuardrailMiddleware
from guardrail_mw.cli.demo import board, hints
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.cli.demo.drive import Driver
from guardrail_mw.cli.demo.serve import HOST, Journal, Stop, serving
from guardrail_mw.cli.output import PROBLEM, paragraph
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.desk import Operator
from guardrail_mw.policy import Policy, loads

__all__ = ["drive", "policy", "serve", "wanted"]


_BASE: Final = "http://127.0.0.1:8080"


def policy(base: str = _BASE) -> Policy:
    """The served demo's policy, for a server at `base`."""
    text = (files("guardrail_mw.cli.demo") / "serving.yaml").read_text().replace(_BASE, base)
    return loads(text, source="guardrail-mw demo", environ={})


def _guarded(listener: socket.socket) -> tuple[GuardrailMiddleware, str]:
    """The app, and where it will be."""
    base = f"http://{HOST}:{listener.getsockname()[1]}"
    guardrail = Guardrail(policy(base), environ={})
    return GuardrailMiddleware(model_server(welcome=hints.text(base) + "\n"), guardrail), base


async def wanted(guardrail: Guardrail) -> None:
    """Have an operator's word hold of eve, as it would after somebody has looked at what she does."""
    operator, log = Operator(guardrail), logging.getLogger("guardrail_mw.operators")
    account = (await operator.identify("sk-demo-eve"))["account"]
    log.disabled = True  # it is nobody's word that is to be found again
    try:
        await operator.override(account, "identity", "the demo shows what that looks like")
    finally:
        log.disabled = False


async def serve(listener: socket.socket, seconds: float | None) -> int:
    """Serve until stopped, with a line for each request. Returns the exit code."""
    stop = Stop()
    app, base = _guarded(listener)
    await wanted(app.guardrail)
    async with serving(Journal(app, hints.KEYS, click.echo), listener):
        click.echo(f"A guarded model server runs at {base}, on the embedded store. Ctrl-C stops it.")
        click.echo("Try, in another terminal:\n")
        click.echo(hints.text(base))
        click.echo("\nIts policy:  guardrail-mw demo --serve --policy")
        click.echo("What happens is shown here:\n")
        await stop.within(seconds)
    click.echo("Stopped.")
    return 0


async def drive(listener: socket.socket, seconds: float) -> int:
    """Serve and call, for so many seconds or until stopped. Returns the exit code."""
    stop = Stop()
    app, base = _guarded(listener)
    console = Console(soft_wrap=False)
    async with serving(app, listener), httpx2.AsyncClient(base_url=base, timeout=30, trust_env=False) as client:
        click.echo(
            f"A guarded model server runs at {base}. Six kinds of callers call it for {seconds:g} s; Ctrl-C ends it.\n"
        )
        driver = Driver(client, app.guardrail.engine.planner.models)
        started = time.monotonic()
        async with board.showing(driver.tallies, lambda: time.monotonic() - started, console):
            await _both(driver.run(), stop.within(seconds))
        took = time.monotonic() - started
    click.echo("\n" + "\n".join(paragraph(line) for line in board.summary(driver.tallies, took)))
    click.echo("\nTo try it yourself: guardrail-mw demo --serve")
    return PROBLEM if any(each.unexpected for each in driver.tallies) else 0


async def _both(calls: Coroutine[None, None, None], stop: Coroutine[None, None, None]) -> None:
    """Until the second has ended; the first failing ends both."""
    tasks = [asyncio.create_task(calls), asyncio.create_task(stop)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    for task in done:
        with suppress(asyncio.CancelledError):
            task.result()
