"""`guardrail-mw demo`: a campaign and an office side by side; or a guarded model server to play with. On the embedded store."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from guardrail_mw.cli.output import need

__all__ = ["demo"]

_DRIVE_FOR = 20.0
_PORT = 8080


@click.command(short_help="See a campaign found and contained, and an office let be.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Of everybody who takes part.")
@click.option(
    "--picture", "folder", type=click.Path(file_okay=False, path_type=Path), help="Where to; else a temporary folder."
)
@click.option("--serve", "served", is_flag=True, help="Run a guarded model server to play with instead.")
@click.option("--drive", "driven", is_flag=True, help="Let six kinds of callers call it, and show what becomes of them.")
@click.option("--port", type=click.IntRange(0, 65535), help="Of the server, 8080 unless given; 0 is any that is free.")
@click.option(
    "--seconds", type=click.FloatRange(1, 86400), help="End the server after so many; with --drive 20, else never."
)
@click.option(
    "--policy", "shown", is_flag=True, help="Print the policy, with --serve or --drive the server's; do nothing else."
)
@click.pass_context
def demo(  # noqa: PLR0913 - click's
    ctx: click.Context,
    seed: int,
    folder: Path | None,
    port: int | None,
    seconds: float | None,
    *,
    served: bool,
    driven: bool,
    shown: bool,
) -> None:
    """Walk through it all, in about a minute and a half, on the embedded store.

    A small campaign and an office call a guarded model server side by side. The campaign is found, challenged, asked to verify,
    and contained; the office is not. In the end it says how many exchanges each had, when and why, and draws both. A
    minute takes a second, on a clock that is shown.

    With --serve or --drive a guarded model server runs instead, on 127.0.0.1, and says what to try. It has no model, but speaks
    OpenAI's and Anthropic's APIs as their SDKs expect: whole and streamed, with usage.

    Needs the extra `demo`. Exit code: 1 if something came out otherwise than it says here.
    """
    server = served or driven
    if shown:
        name = "serving.yaml" if server else "policy.yaml"
        click.echo((files("guardrail_mw.cli.demo") / name).read_text(), nl=False)
        return
    if not server and (port is not None or seconds is not None):
        raise click.UsageError("--port and --seconds are of a server: add --serve or --drive.")
    need(("rich", "starlette", "uvicorn", "httpx2", *(() if server else ("numpy", "scipy"))), "The demo")
    try:
        code = asyncio.run(_serving(port, seconds, driven=driven) if server else _walking(seed, folder))
    except KeyboardInterrupt:  # where signals cannot be had otherwise
        click.echo("Stopped.")
        code = 0
    ctx.exit(code)


def _serving(port: int | None, seconds: float | None, *, driven: bool) -> Coroutine[Any, Any, int]:
    from guardrail_mw.cli.demo.run import drive, serve
    from guardrail_mw.cli.demo.serve import listen

    listener = listen(_PORT if port is None else port)
    return drive(listener, seconds or _DRIVE_FOR) if driven else serve(listener, seconds)


def _walking(seed: int, folder: Path | None) -> Coroutine[Any, Any, int]:
    from guardrail_mw.cli.demo.walk.run import tour

    return tour(seed, folder)
