"""Two workers behind one guard in BentoML, with a model that waits. For `also` of `bentoml_service.py`.

    python -m tests.model_servers.held_bentoml EXAMPLE FOLDER

Workers share one listening socket, and whichever is awake takes a connection: one that is stopped (SIGSTOP) takes none. Exit
code 1: something was not as it should be.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from guardrail_mw.testing.processes import free_port
from guardrail_mw.testing.servers import start

from .gate import ADDRESS, HOST, PATIENCE, Gate
from .held import Served, Trial, policy, secrets

PROBES = ("/livez", "/readyz", "/healthz", "/metrics", "/.guardrail/live", "/.guardrail/ready")
PAUSE = 0.1
"""Seconds between two looks whether it is up."""


async def alone(pid: int) -> Callable[[], None]:
    """Stop a worker for a while: the other takes every connection."""
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


async def up(process: subprocess.Popen[bytes], url: str) -> None:
    """Until both workers may be up: the guard says that it is ready, which begins nothing in it.

    Raises:
        RuntimeError: it ended, or does not come up.
    """
    for _ in range(int(PATIENCE / PAUSE)):
        if process.poll() is not None:
            break
        with suppress(OSError), await asyncio.to_thread(urlopen, url + "/.guardrail/ready", timeout=5):
            return
        await asyncio.sleep(PAUSE)
    raise RuntimeError("the server is not up")


async def main(example: Path, folder: Path) -> bool:
    """Whether all was as it should be."""
    store, process = start("redis"), None
    try:
        async with Gate(free_port()) as gate:
            operators, port = free_port(), free_port()
            file = policy(example, folder, operators)
            environment = {**os.environ, **secrets(store.url), "GUARDRAIL_POLICY": str(file), ADDRESS: gate.address}
            command = (sys.executable, "-P", "-m", "bentoml", "serve", "tests.model_servers.served_bentoml:Shout")
            options = ("--host", HOST, "--port", str(port))
            server = process = subprocess.Popen([*command, *options], env=environment, cwd=folder)  # noqa: ASYNC220 - at once
            url = f"http://{HOST}:{port}"
            await up(server, url)

            async def stop() -> None:
                server.send_signal(signal.SIGTERM)
                await asyncio.to_thread(server.wait, PATIENCE)

            served = Served(
                url=url, store=store.url, policy=file, operators=operators, probes=tuple(url + each for each in PROBES),
                runs_on=True, alone=alone, stop=stop,
            )  # fmt: skip
            return await Trial(served, gate).all()
    finally:
        if process is not None and process.poll() is None:
            process.terminate()
            process.wait(PATIENCE)
        store.stop()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]))) else 1)
