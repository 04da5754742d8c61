"""`guardrail-mw init`: a first policy, with comments."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from guardrail_mw.cli.output import Cannot

__all__ = ["init"]


@click.command(short_help="Write a commented first policy.")
@click.argument("path", default="policy.yaml", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace what is there.")
def init(path: Path, force: bool) -> None:  # noqa: FBT001 - click's
    """Write a commented first policy to PATH (policy.yaml unless given).

    It runs in shadow: it records what it would refuse, and refuses nothing.
    """
    if path.is_dir():
        path /= "policy.yaml"
    text = (files("guardrail_mw.cli") / "first.yaml").read_text().replace("policy.yaml", path.name)
    try:
        with path.open("w" if force else "x") as file:
            file.write(text)
    except FileExistsError as error:
        raise Cannot(f"{path} is there already. Choose another name, or replace it with --force.") from error
    except OSError as error:
        raise Cannot(f"{path} cannot be written: {(error.strerror or 'unknown error').lower()}.") from error
    click.echo(f"Wrote {path}: a policy in shadow, which refuses nothing. Next:")
    click.echo(f"  guardrail-mw check {path}")
    click.echo(f"  GUARDRAIL_POLICY={path} uvicorn …   with app.add_middleware(guardrail_mw.GuardrailMiddleware)")
