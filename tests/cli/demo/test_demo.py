"""`guardrail-mw demo --serve` as a newcomer runs it: a process, a port, real HTTP, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result

from guardrail_mw.cli.demo.hints import hints

Run = Callable[..., Result]

PATIENCE = 60
"""Seconds after which something is wrong, however slow the machine."""


class Demo(NamedTuple):
    process: subprocess.Popen[bytes]
    base: str

    def end(self, number: int = signal.SIGINT) -> str:
        """Stop it; the rest of what it said."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> str:
        """Wait until it ends; the rest of what it said."""
        said, complaints = self.process.communicate(timeout=PATIENCE)
        assert complaints == b""
        return said.decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demos on free ports, and waits until they say where they are."""
    running: list[subprocess.Popen[bytes]] = []

    def started(*options: str) -> Demo:
        command = [
            sys.executable,
            "-c",
            "from guardrail_mw.cli import main; main()",
            "demo",
            "--serve",
            "--port",
            "0",
            *options,
        ]
        environment = {**os.environ, "GUARDRAIL_STORE": "redis://nowhere", "GUARDRAIL_MODE": "off"}  # it minds neither
        pipe = subprocess.PIPE
        # Unbuffered, so that reading the first line takes nothing of what `communicate` is to read after it.
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, env=environment, cwd=tmp_path)
        running.append(process)
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline().decode())
        assert found is not None, process.communicate()
        return Demo(process, found[0])

    yield started
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def shell() -> Callable[[str], str]:
    """Runs what a newcomer would paste."""
    bash = shutil.which("bash")
    if shutil.which("curl") is None or bash is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("No curl or bash. Install them with: apt-get install curl bash")
        pytest.skip("No curl or bash. Install them with: apt-get install curl bash")

    def pasted(text: str) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "no_proxy": "*"}
        done = subprocess.run(
            [str(bash), "-c", text], capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
        )
        assert done.stderr == ""
        return done.stdout

    return pasted


def test_everything_it_says_to_try_works_when_pasted(start: Callable[..., Demo], shell: Callable[[str], str]) -> None:
    demo = start()
    asked, fast, spent, crowd, invented, puzzle, eve, openai, anthropic = [shell(each.shell) for each in hints(demo.base)]
    assert asked.startswith("HTTP/1.1 200 OK")
    assert "ratelimit:" in asked
    assert '"usage":' in asked
    assert "HTTP/1.1 429" in fast
    assert "retry-after:" in fast
    assert '"output_tokens":' in spent
    assert '"message":"Budget used up: usd 0.02/day. Limit: spend.' in spent
    assert set(re.findall(r"\b(?:200|503)$", crowd, re.MULTILINE)) == {"200", "503"}
    assert '"code":"invalid_api_key"' in invented
    assert '"code":"challenge_required"' in puzzle
    links = eve.split()
    assert [link.rpartition("/")[0] for link in links] == [
        f"{demo.base}/.guardrail/verify",
        f"{demo.base}/.guardrail/appeal",
    ]
    assert "nobody at all" in shell(f"curl -s -H 'Accept: text/html' {links[0]}")
    assert "RateLimitError: Error code: 429 - Rate limit reached: requests 30/minute. Limit: requests." in openai
    assert "output_tokens=64" in anthropic
    said = demo.end()
    assert said.rstrip().endswith("Stopped.")
    assert demo.process.returncode == 0
    for each in hints(demo.base):
        assert each.shell in said
    assert re.search(r"ada +POST /v1/chat/completions +200  admitted; left: requests 5, .*, spend \$0\.0198", said)
    assert "stranger  GET /v1/models           503  The server is at capacity." in said
    assert "invented  GET /v1/models           401  The API key is not valid." in said
    assert "sk-invented" not in said.partition("What happens is shown here:")[2]


def test_the_page_at_its_root_says_the_same(start: Callable[..., Demo], shell: Callable[[str], str]) -> None:
    demo = start()
    page = shell(f"curl -s {demo.base}/")
    assert all(each.shell in page for each in hints(demo.base))


def test_sigterm_ends_it_too(start: Callable[..., Demo]) -> None:
    demo = start()
    assert demo.end(signal.SIGTERM).rstrip().endswith("Stopped.")
    assert demo.process.returncode == 0


def test_it_ends_by_itself_where_told_to(start: Callable[..., Demo]) -> None:
    demo = start("--seconds", "1")
    said = demo.wait()
    assert demo.process.returncode == 0
    assert said.rstrip().endswith("Stopped.")


def test_it_drives_itself_and_says_what_happened(start: Callable[..., Demo]) -> None:
    demo = start("--drive", "--seconds", "4")
    said = demo.wait()
    assert demo.process.returncode == 0
    assert "\x1b" not in said
    assert re.search(r"^ +[\d.]+ s  ada +[1-9]\d* admitted, 0 refused, [1-9]\d* tokens", said, re.MULTILINE)
    assert re.search(r"bob's loop was refused [1-9]\d* times by `requests`", said)
    words = " ".join(said.split())
    assert re.search(r"`capacity`, which keeps 60% for those with an account, shed [1-9]", words)
    assert re.search(r"dev's agent was held to four streams at a time: `in-flight` refused [1-9]", words)
    assert "Unexpected" not in said


def test_a_driven_demo_ends_cleanly_before_its_time(start: Callable[..., Demo]) -> None:
    demo = start("--drive", "--seconds", "600")
    said = demo.end()
    assert demo.process.returncode == 0
    assert "requests came" in said


def test_a_taken_port_is_said_with_the_cure(run: Run) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("demo", "--serve", "--port", str(port))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"Port {port} is taken: something else listens there.")
    assert f"guardrail-mw demo --serve --port {port + 1}" in result.stderr


def test_its_policy_is_shown(run: Run) -> None:
    result = run("demo", "--serve", "--policy")
    assert result.exit_code == 0
    assert "name: spend, per: [account], unit: usd, budget: 0.02/day" in result.stdout
    assert run("try", "-", "-").exit_code == 1
