"""llama-cpp-python's server, guarded. Run it from this folder: MODEL=model.gguf uvicorn app:app --port 8000."""

from __future__ import annotations

from pathlib import Path

from llama_cpp.server.app import create_app  # type: ignore[import-not-found,unused-ignore]  # the example's requirement

from guardrail_mw import GuardrailMiddleware

POLICY = Path(__file__).with_name("policy.yaml")

app = create_app()  # its settings are read from the environment: MODEL, N_CTX …
app.add_middleware(GuardrailMiddleware, policy=POLICY)
