"""The example model server behind the middleware, as servers import it: the environment names policy, store and keys."""

from __future__ import annotations

from guardrail_mw import GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server

app = GuardrailMiddleware(model_server(pace=0))
