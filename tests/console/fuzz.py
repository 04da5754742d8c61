"""Schemathesis over the operator's port: requests made from its OpenAPI document, valid ones and others, alone and in sequences.

    python -m pip install schemathesis
    python tests/console/fuzz.py [--max-examples 200] [--seed 1]

It serves a guarded app with an operator's port in this process, lets a few keys call it, and runs `schemathesis run` with all
checks. A command of its own, not a test: it brings 20 MB with it, and finds more the longer it runs. Exit code: schemathesis's.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import httpx2

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.console import gate
from guardrail_mw.testing.processes import free_port

TOKEN = "operators-0123456789-abcdefghijklmnop"  # noqa: S105 - made up, on the loopback address, for a minute
KEYS = ("sk-one", "sk-two")
RUN = "from schemathesis.cli import schemathesis; schemathesis()"
UNFIT = (
    # Names of limits, rungs and rules, and which accounts there are, no schema can say: what is valid in form may be a 422.
    "positive_data_acceptance",
)


def policy(port: int) -> dict[str, Any]:
    """Something of everything."""
    return {
        "version": 1,
        "mode": "enforce",
        "identity": {"sources": [{"use": "api_key", "with": {"headers": ["authorization"], "trust": "gateway"}}]},
        "routes": [{"path": "/v1/**", "dialect": "openai"}],
        "limits": [
            {"name": "requests", "per": ["account"], "rate": "3/minute"},
            {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "window": "10000/hour"},
            {"name": "slots", "per": ["account"], "concurrency": 4},
            {"name": "strangers", "per": ["network"], "rate": "20/minute", "when": {"authenticated": False}},
        ],
        "risk": {"scorers": [{"use": "automation"}]},
        "friction": {"ladder": [{"at": 50, "do": "delay", "with": {"seconds": 0.1}}, {"at": 95, "do": "deny"}]},
        "telemetry": {"metrics": True},
        "console": {"listen": f"127.0.0.1:{port}", "token": TOKEN},
    }


async def serve(port: int, ready: threading.Event, over: threading.Event) -> None:
    """The guarded app, with a few requests behind it, until it is over. Its port bears many bad tokens: else all would be 429."""
    gate.PER_MINUTE = 1_000_000  # type: ignore[misc]
    guardrail = Guardrail(policy(port), environ={})
    app = GuardrailMiddleware(model_server(pace=0), guardrail)
    await guardrail.start()
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://guarded", trust_env=False) as client:
        for key in KEYS * 3:
            body = {"model": "large", "messages": [{"role": "user", "content": "hello"}]}
            await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    ready.set()
    await asyncio.to_thread(over.wait)
    await guardrail.close()


def main(arguments: list[str]) -> int:
    """Serve, run, stop."""
    port, ready, over = free_port(), threading.Event(), threading.Event()
    server = threading.Thread(target=lambda: asyncio.run(serve(port, ready, over)), daemon=True)
    server.start()
    if not ready.wait(30):
        return 1
    url = f"http://127.0.0.1:{port}/openapi.json"
    unfit = ["--exclude-checks", ",".join(UNFIT)]
    command = [
        sys.executable,
        "-c",
        RUN,
        "run",
        url,
        "--header",
        f"Authorization: Bearer {TOKEN}",
        "--checks",
        "all",
        *unfit,
    ]
    try:
        return subprocess.run([*command, *arguments], check=False).returncode
    finally:
        over.set()
        server.join(10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
