"""`transformers serve`, guarded. Run it from this folder, with the command's own flags: python app.py serve MODEL --port 8000."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers.cli.serving import server  # type: ignore[import-not-found,unused-ignore]  # the example's requirement
from transformers.cli.transformers import app as command  # type: ignore[import-not-found,unused-ignore]  # likewise

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")
build_server = server.build_server


def guarded_server(*handlers: Any, **options: Any) -> Any:
    """The app that the command is about to serve, with the guard outermost."""
    app = build_server(*handlers, **options)
    app.add_middleware(GuardrailMiddleware, policy=POLICY)
    return app


server.build_server = guarded_server  # the command has no flag for middleware; it looks this up when it starts

if __name__ == "__main__":
    command()
