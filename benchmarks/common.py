"""What the benchmarks share: a Redis of their own, the machine they ran on, statistics, Markdown."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

__all__ = [
    "Redis",
    "arguments",
    "child_cpu",
    "free_port",
    "machine",
    "middle",
    "rounds",
    "save",
    "spread",
    "table",
    "use_keys",
]

PACKAGES = (
    "guardrail-mw",
    "slowapi",
    "limits",
    "fastapi-limiter",
    "pyrate-limiter",
    "throttled-py",
    "asgi-ratelimit",
    "redis",
    "coredis",
    "hiredis",
    "starlette",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
)


def free_port() -> int:
    """A loopback port below 55000 that nobody listens on now."""
    while True:
        port = random.randrange(20_000, 55_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Redis:
    """A `redis-server` without persistence on a free loopback port, for as long as the `with` lasts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        program = shutil.which("redis-server")
        if program is None:
            message = "redis-server was not found. Install it with: apt-get install redis-server"
            raise SystemExit(message)
        self.folder = tempfile.mkdtemp(prefix="bench-redis-")
        self.process = subprocess.Popen(
            [
                program,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--maxmemory-policy",
                "noeviction",
                "--dir",
                self.folder,
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        for _ in range(200):
            try:
                if self.call(b"PING") == b"+PONG\r\n":
                    return
            except OSError:
                time.sleep(0.05)
        message = f"redis-server did not answer on port {self.port} within 10 s"
        raise SystemExit(message)

    def call(self, *words: bytes) -> bytes:
        """One command over a connection of its own; the reply as it came. For short replies and for INFO."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            reply = connection.recv(65_536)
            if reply[:1] == b"$":
                head, _, _ = reply.partition(b"\r\n")
                whole = len(head) + 4 + max(0, int(head[1:]))
                while len(reply) < whole:
                    reply += connection.recv(65_536)
            return reply

    def info(self, section: str) -> dict[str, str]:
        """`INFO section` as a mapping."""
        lines = self.call(b"INFO", section.encode()).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def use_keys() -> None:
    """Give guardrail_mw the keys that a shared store asks for; the same in every child."""
    os.environ.setdefault("GUARDRAIL_ID_KEY", "benchmarks-only-" + "0" * 32)
    os.environ.setdefault("GUARDRAIL_KEYS", "benchmarks-only-" + "1" * 32)


def child_cpu(pid: int) -> float:
    """Seconds of CPU that a process has used; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def middle(values: Sequence[float]) -> float:
    """The median."""
    return median(values)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """The lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = quantiles(values, n=4)
    return low, high


def _installed() -> str:
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _program(*command: str) -> str:
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (out.stdout or out.stderr).splitlines()[0].strip() if out.stdout or out.stderr else ""


def machine() -> str:
    """What the figures were measured on, as Markdown."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.release()}"
    return "\n".join(
        (
            f"- {models[0] if models else 'unknown'}, {os.cpu_count()} cores, load at the start {load:.2f}; {system}",
            f"- {platform.python_implementation()} {platform.python_version()}; {_program('redis-server', '--version')}",
            f"- {_installed()}",
        )
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others figures."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def arguments(description: str, rounds: int, quick: int) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=None, help=f"interleaved rounds (default {rounds})")
    parser.add_argument("--quick", action="store_true", help=f"{quick} rounds: to see that it runs, not to publish")
    parser.add_argument("--json", type=Path, default=None, help="also write every figure to this file")
    parser.set_defaults(fallback=(rounds, quick))
    return parser


def rounds(options: argparse.Namespace) -> int:
    """How many rounds were asked for."""
    usual, quick = options.fallback
    return int(options.rounds or (quick if options.quick else usual))


def save(path: Path | None, figures: dict[str, Any]) -> None:
    """Write `figures` where the caller asked for them."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")
