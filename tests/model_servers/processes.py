"""Environments and processes, with the standard library alone. Whatever is started is bounded in time, and ended by its id.

On Linux this process adopts what its children leave behind (`adopt`), so that nothing that a server starts, daemons of its
workers included, gets out of sight.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import IO

from .kit import ROOT, Part, Place

__all__ = ["StepError", "adopt", "descendants", "end", "environment", "free_port", "installed", "run", "serving", "until"]

_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
INSTALL = 1800.0
"""Seconds for an installation: llama.cpp is compiled."""
GRACE = 30.0
"""Seconds that a server may take to stop."""
TAIL = 40
"""Lines of a log that are shown when something fails."""
SDKS = ("openai", "anthropic")
HIGHEST_PORT = 55_000
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The loopback address needs no proxy."""


class StepError(Exception):
    """A step did not do what it should; the text says which, with the end of its output."""


def adopt() -> None:
    """Become the parent of what our children leave behind. Elsewhere than on Linux nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def descendants(process: int) -> dict[int, str]:
    """The ids of all processes that came from one, with their start times: an id that is given anew has another."""
    every = {int(entry.name): state for entry in Path("/proc").glob("[0-9]*") if (state := _state(int(entry.name)))}
    found: dict[int, str] = {}
    waiting = [process]
    while waiting:
        parent = waiting.pop()
        for child, (whose, started) in every.items():
            if whose == parent and child not in found:
                found[child] = started
                waiting.append(child)
    return found


def _state(process: int) -> tuple[int, str] | None:
    """The parent and the start time of a process that runs; see proc_pid_stat(5)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else (int(fields[1]), fields[19])


def end(which: Callable[[], Mapping[int, str]], patience: float = 5.0) -> int:
    """End the processes that `which` tells, by their ids: asked first, and killed where that takes more than `patience` seconds.

    Returns how many there were.
    """
    ended: set[int] = set()
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        left = which()
        ended |= left.keys()
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        if not left or until(lambda: not which(), seconds):
            break
    for process in ended:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
    return len(ended)


def until(done: Callable[[], object], seconds: float) -> bool:
    """Wait for something that tells nobody when it happens. Whether it did, in time."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def free_port() -> int:
    """A port on the loopback address below `HIGHEST_PORT`, where no outgoing connection takes it meanwhile."""
    for port in range(20_000 + os.getpid() % 10_000, HIGHEST_PORT):
        with closing(socket.socket()) as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise StepError("no port is free")


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Of whatever a part starts: a home of its own, no guard's settings, nothing fetched, nothing told to anybody."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GUARDRAIL_", "PYTHON", "OPENAI_", "ANTHROPIC_")) and name != "VIRTUAL_ENV"
    }
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    ours = {"HOME": str(home), "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    bin_ = folder / "venv" / "bin"
    return {**kept, **ours, "PATH": f"{bin_}{os.pathsep}{kept.get('PATH', '')}", **more}


def run(what: str, command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str], seconds: float) -> None:
    """Run a command to its end; what it prints goes to `log`.

    Raises:
        StepError: it did not exit with 0, or not in time.
    """
    with log.open("ab") as output:
        try:
            process = subprocess.run(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise StepError(f"{what}: not done after {seconds:.0f} s\n{tail(log)}") from error
    if process.returncode:
        raise StepError(f"{what}: exit code {process.returncode}\n{tail(log)}")


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL:])


def installed(part: Part, folder: Path) -> Path:
    """The interpreter of the part's venv, which is made unless it is there with just these requirements."""
    target, stamp = folder / "venv", folder / "requirements.txt"
    python = target / "bin" / "python"
    wanted = "\n".join((sys.version, str(ROOT), *part.first, *part.requirements, *SDKS))
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    stamp.unlink(missing_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    venv.create(target, with_pip=True, symlinks=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install"]
    steps = [[*part.first]] if part.first else []
    steps.append([*part.requirements, *SDKS, "-e", str(ROOT)])
    for wants in steps:
        run("pip install", [*pip, *wants], folder / "pip.log", cwd=folder, env=env, seconds=INSTALL)
    stamp.write_text(wanted)
    return python


@contextmanager
def serving(part: Part, place: Place, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """Start the part's server; once it is up go on, and stop it at the end.

    Raises:
        StepError: it does not come up, or does not stop when it is asked to.
    """
    command = [place.fill(word) for word in part.serve]
    with log.open("wb") as copy:
        process = subprocess.Popen(
            command,
            cwd=place.folder / "example",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us alone: the server is asked to stop by the signal that it knows
        )
        said: Queue[bool] = Queue()
        reader = threading.Thread(target=_read, args=(process, copy, re.compile(part.ready), said), daemon=True)
        reader.start()
        try:
            if not _heard(said, part.startup):
                raise StepError(f"the server does not come up\n{tail(log)}")
            if not until(lambda: _answers(place.url + part.health), part.startup):
                raise StepError(f"{part.health} does not answer 200\n{tail(log)}")
            yield
        finally:
            stopped = _stop(process, part.stop)
            reader.join(GRACE)
            assert process.stdout is not None
            process.stdout.close()
        if not stopped:
            raise StepError(f"the server does not stop on {part.stop.name}\n{tail(log)}")


def _read(process: subprocess.Popen[bytes], copy: IO[bytes], pattern: re.Pattern[str], said: Queue[bool]) -> None:
    """Copy a server's output; tell when it says that it is up (True), and when it has ended (False)."""
    assert process.stdout is not None
    for line in process.stdout:
        copy.write(line)
        copy.flush()
        if pattern.search(line.decode(errors="replace")):
            said.put(True)
    said.put(False)


def _heard(said: Queue[bool], seconds: float) -> bool:
    """Whether the server said in time that it is up, before it ended."""
    try:
        return said.get(timeout=seconds)
    except Empty:
        return False


def _answers(url: str) -> bool:
    """Whether a path answers 200."""
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _stop(process: subprocess.Popen[bytes], number: signal.Signals) -> bool:
    """Stop a server and whatever is left of it. Whether it stopped by itself when it was asked to."""
    mine = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(GRACE)
        stopped = True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        stopped = False
    end(lambda: {each: at for each, at in mine.items() if (state := _state(each)) and state[1] == at})
    return stopped
