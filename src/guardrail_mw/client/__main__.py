"""`python -m guardrail_mw.client solve`: for curl, and for whatever else has no transport of ours."""

from __future__ import annotations

import json
import sys
import time

import click

from guardrail_mw.client.puzzle import HARDEST, LONGEST, ChallengeError, challenge_in, read, solve


@click.group()
def main() -> None:
    """What solves challenges, by hand."""


@main.command("solve")
@click.option("--longest", default=LONGEST, show_default=True, help="Seconds after which the search is given up.")
@click.option("--hardest", default=HARDEST, show_default=True, help="Rounds of hashing that it may take on average.")
def answer(longest: float, hardest: int) -> None:
    """Read a 403's body, or the challenge in it, from standard input; write the body of the answer to standard output.

    Where the answer is to be posted goes to standard error. Exits 1 where there is nothing to solve, or no answer.
    """
    challenge = challenge_in(sys.stdin.buffer.read())
    if challenge is None:
        raise click.ClickException(
            "There is no challenge in what was read: the body of a 403 is expected, or its challenge."
        )
    try:
        puzzle = read(challenge, hardest=hardest)
        begun = time.monotonic()
        found = solve(puzzle, longest=longest)
    except ChallengeError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Solved in {time.monotonic() - begun:.2f} s. Post it to {puzzle.url!r}.", err=True)
    click.echo(json.dumps({"case": puzzle.case, "answer": found}))


if __name__ == "__main__":
    main(prog_name="python -m guardrail_mw.client")
