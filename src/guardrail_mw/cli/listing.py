"""`guardrail-mw schema` and `guardrail-mw plugins`: what there is."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.resources import files

import click

from guardrail_mw import plugins as registry
from guardrail_mw.cli.extras import loading
from guardrail_mw.cli.output import PROBLEM
from guardrail_mw.errors import PluginError

__all__ = ["plugins", "schema"]


@click.command(short_help="Print the JSON Schema of policies.")
def schema() -> None:
    """Print the JSON Schema of policies, for editors: guardrail-mw schema > policy.schema.json."""
    click.echo((files("guardrail_mw.policy") / "schema.json").read_text(encoding="utf-8"), nl=False)


@click.command(short_help="List what is installed, and whether it loads.")
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List the plugins of each kind, whose they are, and whether they load.

    Exit code 1: one does not load, but for want of an extra, or two have one name.
    """
    failed = False
    for kind in registry.KINDS:
        click.echo(kind)
        try:
            points = registry.installed(kind)
        except PluginError as error:
            click.echo(f"  {error}")
            failed = True
            continue
        for name, point in sorted(points.items()):
            trouble, cure = loading(kind, name)
            failed = failed or (bool(trouble) and not cure)
            what = f"needs an extra: {cure}" if cure else f"does not load: {trouble}" if trouble else "loads"
            click.echo(f"  {name:<12} {_origin(point):<28} {what}")
        if not points:
            click.echo("  none")
    ctx.exit(PROBLEM if failed else 0)


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown distribution"
