"""`python -m guardrail_mw.client solve`."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx2
import pytest
from click.testing import CliRunner

from guardrail_mw.client.__main__ import main

from .server import SLOW, Guarded


@pytest.mark.parametrize(("path", "place"), [("/v1/chat/completions", "error"), ("/v1/messages", "details"), ("/other", "")])
def test_a_refusal_in_an_answer_out(server: Guarded, path: str, place: str) -> None:
    refusal = httpx2.post(server.url + path, json={})
    assert (refusal.status_code, place in refusal.text) == (403, True)
    ran = CliRunner().invoke(main, ["solve"], input=refusal.content)
    assert ran.exit_code == 0, ran.output
    assert ran.stderr.startswith("Solved in 0.")
    assert ran.stderr.endswith(" s. Post it to '/.guardrail/challenge'.\n")
    assert httpx2.post(f"{server.url}/.guardrail/challenge", json=json.loads(ran.stdout)).json()["cleared"] is True


def test_the_challenge_alone(server: Guarded) -> None:
    ran = CliRunner().invoke(main, ["solve"], input=json.dumps(server.challenge("somebody")))
    assert set(json.loads(ran.stdout)) == {"case", "answer"}


@pytest.mark.parametrize("text", ["", "{}", '{"error": {"code": "denied"}}'])
def test_nothing_to_solve(text: str) -> None:
    ran = CliRunner().invoke(main, ["solve"], input=text)
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "There is no challenge in what was read" in ran.stderr


def test_what_is_not_solved(server: Guarded) -> None:
    slow = json.dumps(server.challenge("somebody") | {"parameters": dict(SLOW)})
    for options, error in ((["--longest", "0.01"], "not solved in time"), (["--hardest", "5"], "too hard")):
        ran = CliRunner().invoke(main, ["solve", *options], input=slow)
        assert (ran.exit_code, ran.stdout) == (1, "")
        assert error in ran.stderr


def test_it_is_a_module_that_runs() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "guardrail_mw.client", "solve"], input="{}", capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("Error: There is no challenge in what was read")
