"""A whole server under load: requests a second of a guarded uvicorn as a share of the bare one's, limits in Redis.

    python -m benchmarks.server --rounds 7

Each server is one uvicorn process (uvloop, httptools, no access log) with a Starlette of one route that answers 322 bytes
of JSON; the load is `wrk`, one thread, 64 connections, POSTs of 123 bytes with 1000 API keys in turn. The servers stay up,
idle, and take turns in a new order each round; the server, Redis and wrk share the machine's cores, so a share says what is
left on such a machine, and the server's own CPU a request is shown beside it. Before the load each candidate must have
refused.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.common import Redis, arguments, child_cpu, free_port, machine, middle, rounds, save, spread, table, use_keys
from benchmarks.traffic import BODY, PATH, names

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

CANDIDATES = (
    "bare app",
    "slowapi",
    "limits by hand",
    "limits by hand, no headers",
    "raw connection (reference)",
    "guardrail_mw",
    "guardrail_mw, settling",
)
BARE = CANDIDATES[0]
_SCRIPT = """
local requests = {}
local turn = 0
init = function(args)
  for number = 0, 999 do
    local headers = {["Content-Type"] = "application/json", ["Accept"] = "application/json",
                     ["User-Agent"] = "OpenAI/Python 3.0.0", ["Authorization"] = string.format("%s%%012d", number)}
    requests[number + 1] = wrk.format("POST", "%s", headers, [==[%s]==])
  end
end
request = function()
  turn = turn %% 1000 + 1
  return requests[turn]
end
"""


class Server(NamedTuple):
    """A running child."""

    name: str
    process: subprocess.Popen[bytes]
    port: int


class Figure(NamedTuple):
    """One load on one server."""

    rate: float
    """Requests a second."""
    cpu: float
    """µs of the server's CPU a request."""
    p50: float
    """ms."""
    p99: float
    """ms."""


def ask(port: int, key: bytes) -> int:
    """One request; its status."""
    headers = {"Authorization": key.decode(), "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", BODY, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@contextlib.contextmanager
def serving(name: str, limits: int, redis: Redis, *, deny: bool = False) -> Iterator[Server | None]:
    """A child that answers, or None where the candidate is not there; ended by its process id on the way out."""
    port = free_port()
    words = [
        sys.executable,
        "-m",
        "benchmarks.serve",
        name,
        "--limits",
        str(limits),
        "--port",
        str(port),
        "--redis",
        str(redis.port),
        *(["--deny"] if deny else []),
    ]
    process = subprocess.Popen(words)
    try:
        for _ in range(200):
            if process.poll() is not None:
                yield None
                return
            with contextlib.suppress(OSError):
                ask(port, b"Bearer sk-waits")
                break
            time.sleep(0.05)
        yield Server(name, process, port)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def enforces(name: str, limits: int, redis: Redis) -> None:
    """Exit unless the candidate refuses over HTTP, too.

    Raises:
        SystemExit: it does not.
    """
    with serving(name, limits, redis, deny=True) as server:
        if server is None:
            return
        key = names(1, f"sk-verify-{limits}-{random.randrange(10**9)}")[0]
        seen = [ask(server.port, key), ask(server.port, key)]
        if seen != [200, 200 if name == BARE else 429]:
            message = f"{name} answered {seen}: it does not enforce what was asked, so it is not measured"
            raise SystemExit(message)


def load(server: Server, script: Path, seconds: int) -> Figure:
    """Load one server for a while.

    Raises:
        SystemExit: an answer was not a 2xx, or wrk failed.
    """
    before = child_cpu(server.process.pid)
    out = subprocess.run(
        [
            shutil.which("wrk") or "wrk",
            "-t1",
            "-c64",
            f"-d{seconds}s",
            "--latency",
            "-s",
            str(script),
            f"http://127.0.0.1:{server.port}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    ).stdout
    used = child_cpu(server.process.pid) - before
    if "Non-2xx" in out or "Socket errors" in out:
        message = f"{server.name} failed under load:\n{out}"
        raise SystemExit(message)
    done = int(_found(r"(\d+) requests in", out))
    return Figure(
        float(_found(r"Requests/sec:\s+([\d.]+)", out)),
        used * 1e6 / done,
        _milliseconds(_found(r"(?m)^\s+50%\s+(\S+)", out)),
        _milliseconds(_found(r"(?m)^\s+99%\s+(\S+)", out)),
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        message = f"wrk's output has no {pattern}:\n{text}"
        raise SystemExit(message)
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def run(limits: int, options: argparse.Namespace, redis: Redis, script: Path) -> dict[str, list[Figure]]:
    """All rounds with one limit or four."""
    wanted = [name for name in CANDIDATES if not options.only or name in options.only or name == BARE]
    for name in wanted:
        enforces(name, limits, redis)
    figures: dict[str, list[Figure]] = {}
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(serving(name, limits, redis)) for name in wanted]
        servers = [server for server in started if server is not None]
        for server in servers:
            load(server, script, 1)
        for number in range(rounds(options)):
            random.shuffle(servers)
            for server in servers:
                figures.setdefault(server.name, []).append(load(server, script, options.seconds))
            print(f"{limits} limits: round {number + 1} of {rounds(options)}", file=sys.stderr)
    return {name: figures[name] for name in wanted if name in figures}


def shares(figures: dict[str, list[Figure]], name: str) -> list[float]:
    """Of the bare server's requests a second, round by round."""
    return [mine.rate / bare.rate for mine, bare in zip(figures[name], figures[BARE], strict=True)]


def report(limits: int, figures: dict[str, list[Figure]]) -> None:
    """Print one table."""
    print(f"\n### {limits} limit{'s' * (limits > 1)} in Redis\n")
    print(
        table(
            ["", "requests/s", "of bare", "server CPU µs a request", "p50 ms", "p99 ms"],
            [
                [
                    name,
                    f"{middle([each.rate for each in found]):.0f}",
                    f"{middle(shares(figures, name)):.2f}",
                    *(f"{middle([each[field] for each in found]):.1f}" for field in (1, 2, 3)),
                ]
                for name, found in figures.items()
            ],
        )
    )


def main() -> None:
    """Run, print, save."""
    parser = arguments(__doc__ or "", 7, 1)
    parser.add_argument("--seconds", type=int, default=4, help="of load on one server in one round")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"of: {', '.join(CANDIDATES)}")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        message = "wrk was not found. Install it with: apt-get install wrk"
        raise SystemExit(message)
    use_keys()
    where = machine()
    everything = {}
    with tempfile.TemporaryDirectory() as folder, Redis() as redis:
        script = Path(folder) / "load.lua"
        script.write_text(_SCRIPT % (names(1)[0][:-12].decode(), PATH, BODY.decode()))
        for limits in (1, 4):
            everything[limits] = run(limits, options, redis, script)
            redis.call(b"FLUSHALL")
    print(f"{where}\n- uvicorn: Starlette, uvloop, httptools; wrk -t1 -c64, {rounds(options)} rounds of {options.seconds} s")
    for limits, figures in everything.items():
        report(limits, figures)
    save(
        options.json,
        {
            "machine": where,
            "rounds": rounds(options),
            "limits": {
                limits: {
                    name: {
                        "rate": middle([each.rate for each in found]),
                        "share": middle(shares(figures, name)),
                        "share_quartiles": spread(shares(figures, name)),
                        "cpu_us": middle([each.cpu for each in found]),
                    }
                    for name, found in figures.items()
                }
                for limits, figures in everything.items()
            },
        },
    )


if __name__ == "__main__":
    main()
