"""The edge: ASGI messages in and out, bodies, usage, dialects."""
