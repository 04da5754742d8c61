"""The operator's port: what an operator sees and does, over HTTP, in the guarded process and on a port of its own.

`app` makes the API of a guardrail (`api` answers, `gate` asks for the token, `openapi.yaml` says what there is); `server`
listens. It stands above the engine, which therefore does not import it: the entry point `console` of `guardrail_mw.services`
leads here, as a policy's dialects and stores are led to, and a policy without `console:` never loads any of it.
"""

from guardrail_mw.console.server import Console

__all__ = ["Console"]
