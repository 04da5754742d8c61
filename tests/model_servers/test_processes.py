"""Servers come up, and nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from .kit import Part, Place
from .processes import StepError, descendants, end, environment, free_port, run, serving

SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

left = subprocess.Popen([sys.executable, "-c", "import signal; print('there', flush=True); signal.pause()"],
                        stdout=subprocess.PIPE, start_new_session=True)
left.stdout.readline()
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print("left behind:", left.pid, flush=True)
print("up", flush=True)
server.serve_forever()
"""
"""A server that leaves a process behind."""

PART = Part(
    name="none",
    title="None",
    package="none",
    requirements=(),
    example="none",
    mounted="",
    serve=("{python}", "-c", SERVER, "{port}"),
    ready="^up$",
    calls=("chat",),
    key="",
    model="m",
    startup=20.0,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    python = Path(sys.executable)
    (tmp_path / "example").mkdir()
    return Place(python, python.parent, tmp_path, tmp_path, free_port())


def alive(process: int) -> bool:
    """Whether it runs; one that is dead and not yet waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_server_is_stopped_with_what_it_left_behind(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with serving(PART, place, os.environ, log):
        left = int(log.read_text().split()[2])
        assert left in descendants(os.getpid())
        assert alive(left)
    assert not alive(left)


def test_it_is_stopped_when_something_goes_wrong(place: Place, tmp_path: Path) -> None:
    log = tmp_path / "server.log"

    def interrupted() -> None:
        with serving(PART, place, os.environ, log):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not alive(int(log.read_text().split()[2]))


@pytest.mark.parametrize(
    ("serve", "startup", "wrong"),
    [
        (("{python}", "-c", "print('no such model'); raise SystemExit(3)"), 20.0, "does not come up\nno such model"),
        (("{python}", "-c", "import signal; signal.pause()"), 0.1, "does not come up"),
    ],
)
def test_a_server_that_does_not_come_up(
    place: Place, tmp_path: Path, serve: tuple[str, ...], startup: float, wrong: str
) -> None:
    part = replace(PART, serve=serve, startup=startup)
    with pytest.raises(StepError, match=wrong), serving(part, place, os.environ, tmp_path / "log"):
        pytest.fail("it came up")


def test_a_step_that_fails_or_hangs(tmp_path: Path) -> None:
    def step(script: str, seconds: float) -> None:
        command = [sys.executable, "-c", script]
        run("a step", command, tmp_path / "log", cwd=tmp_path, env=os.environ, seconds=seconds)

    step("print('done')", 20)
    with pytest.raises(StepError, match="a step: exit code 2\ndone\nbroken"):
        step("print('broken'); raise SystemExit(2)", 20)
    with pytest.raises(StepError, match="not done after 0 s"):
        step("import signal; signal.pause()", 0.1)


def test_who_does_not_listen_is_killed() -> None:
    script = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as deaf:
        assert deaf.stdout is not None
        deaf.stdout.readline()
        found = {deaf.pid: descendants(os.getpid())[deaf.pid]}
        assert end(lambda: {each: at for each, at in found.items() if descendants(os.getpid()).get(each) == at}, 0.05) == 1
        assert not alive(deaf.pid)


def test_the_environment_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_MODE", "off")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    made = environment(tmp_path, {"MODEL": "m"})
    assert not [name for name in made if name.startswith(("GUARDRAIL_", "OPENAI_", "ANTHROPIC_"))]
    assert made["MODEL"] == "m"
    assert Path(made["HOME"]).is_relative_to(tmp_path)
