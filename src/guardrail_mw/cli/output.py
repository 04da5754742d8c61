"""What all commands have in common: exit codes, and errors in one voice, without tracebacks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from guardrail_mw.errors import GuardrailError, PolicyError

__all__ = ["CANNOT", "PROBLEM", "Cannot", "Group", "need", "paragraph", "quiet", "write", "writing"]

PROBLEM = 1
"""Exit code: something is wrong with what was looked at."""
CANNOT = 2
"""Exit code: the command was used wrongly, or cannot do what it was asked to."""


class Cannot(click.ClickException):
    """A command cannot do what it was asked to; the text names the cure."""

    exit_code = CANNOT

    def show(self, file: Any = None) -> None:
        """Print it, without a prefix."""
        click.echo(self.format_message(), err=True, file=file)


class Group(click.Group):
    """Turns what guardrail_mw raises into its text and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PolicyError as error:
            click.echo("\n".join([error.public, *(f"  {problem}" for problem in error.problems)]), err=True)
            ctx.exit(PROBLEM)
        except GuardrailError as error:
            click.echo(str(error), err=True)
            ctx.exit(PROBLEM)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer wants them."""
        return list(self.commands)


def need(modules: Iterable[str], what: str) -> None:
    """Check for what an extra brings.

    Raises:
        Cannot: one of `modules` is missing; names the extra.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        *rest, last = missing
        packages = f"{', '.join(rest)} and {last}" if rest else last
        cure = "Install it with: pip install 'guardrail-mw[demo]'"
        raise Cannot(f"{what} needs {packages}, not installed here. {cure}")


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts the library logs errors only: what else it would say, the command says better."""
    logger = logging.getLogger("guardrail_mw")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While it lasts a file or a folder is written.

    Raises:
        Cannot: it cannot be.
    """
    try:
        yield
    except OSError as error:
        raise Cannot(f"{path} cannot be written: {(error.strerror or 'it failed').lower()}.") from error


def write(path: Path, text: str) -> None:
    """Write a file, and say so.

    Raises:
        Cannot: it cannot be written.
    """
    with writing(path):
        path.write_text(text, encoding="utf-8")
    click.echo(f"Written: {path}")


def paragraph(text: str, indent: str = "", then: str | None = None) -> str:
    """A text wrapped at 100 characters; `then` begins the second line and all after it, as the first unless set."""
    following = indent if then is None else then
    return fill(
        text, 100, initial_indent=indent, subsequent_indent=following, break_long_words=False, break_on_hyphens=False
    )
