"""LiteLLM's proxy, guarded. Run it from this folder: CONFIG_FILE_PATH=config.yaml uvicorn app:app --port 4000."""

from __future__ import annotations

from pathlib import Path

from litellm.proxy.proxy_server import app  # type: ignore[import-not-found,unused-ignore]

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")

app.add_middleware(GuardrailMiddleware, policy=POLICY)
