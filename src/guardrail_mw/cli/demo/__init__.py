"""`guardrail-mw demo`: a model server to play with, guarded, on the embedded store."""

from __future__ import annotations

import asyncio
from importlib.resources import files

import click

from guardrail_mw.cli.output import need

__all__ = ["demo"]

_DRIVE_FOR = 20.0


@click.command(short_help="Run a guarded model server to play with.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 is any that is free.")
@click.option("--drive", "driven", is_flag=True, help="Let six kinds of callers call it, and show what becomes of them.")
@click.option("--seconds", type=click.FloatRange(1, 86400), help="End after so many; with --drive 20, else never.")
@click.option("--policy", "shown", is_flag=True, help="Print the demo's policy, and do nothing else.")
@click.pass_context
def demo(ctx: click.Context, port: int, driven: bool, seconds: float | None, shown: bool) -> None:  # noqa: FBT001 - click's
    """Run a guarded model server on the embedded store, and say what to try.

    The server has no model, but speaks OpenAI's and Anthropic's APIs as their SDKs expect: whole and streamed, with usage.
    It listens on 127.0.0.1 only. Needs the extra `demo`.
    """
    if shown:
        click.echo((files("guardrail_mw.cli.demo") / "policy.yaml").read_text(), nl=False)
        return
    need(("rich", "starlette", "uvicorn", "httpx2"), "The demo")
    from guardrail_mw.cli.demo.run import drive, serve
    from guardrail_mw.cli.demo.serve import listen

    listener = listen(port)
    work = drive(listener, seconds or _DRIVE_FOR) if driven else serve(listener, seconds)
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:  # where signals cannot be had otherwise
        click.echo("Stopped.")
        code = 0
    ctx.exit(code)
