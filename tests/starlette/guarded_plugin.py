"""A pytest plugin that puts every app of Starlette's own tests behind the middleware.

`GUARDED` says where and how: `outside` wraps what a test client calls, `inside` what a Starlette app builds as its middleware
stack, so that apps which tests call by hand are guarded too; then the mode.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from starlette import testclient
from starlette.applications import Starlette

from guardrail_mw import Guardrail, GuardrailMiddleware

POLICY: dict[str, Any] = {
    "version": 1,
    "headers": [],
    "identity": {"sources": [{"use": "api_key", "with": {"headers": ["x-api-key"], "trust": "gateway"}}]},
    "limits": [
        {"name": "requests", "per": ["account"], "rate": "1000000/second"},
        {"name": "window", "per": ["network"], "window": "1000000/minute"},
        {"name": "slots", "per": ["account"], "concurrency": 100000},
        {"name": "all", "per": [], "rate": "1000000/second"},
    ],
}
METERED: dict[str, Any] = {
    "routes": [{"path": "/**", "dialect": "openai"}],
    "limits": [*POLICY["limits"], {"name": "tokens", "per": ["account"], "unit": "tokens", "rate": "1000000000/second"}],
}
"""For shadow, which lets bodies pass that are no model's."""


def _guardrail() -> Guardrail:
    mode = os.environ["GUARDED"].partition("-")[2]
    return Guardrail({**POLICY, **(METERED if mode == "shadow" else {}), "mode": mode}, environ={})


def _outside(patch: pytest.MonkeyPatch) -> None:
    initialise = testclient.TestClient.__init__

    def guarded(self: Any, app: Any, *arguments: Any, **options: Any) -> None:
        if testclient._is_asgi3(app):
            app = GuardrailMiddleware(app, _guardrail())
        else:
            app = GuardrailMiddleware(testclient._WrapASGI2(app), _guardrail())
        initialise(self, app, *arguments, **options)

    patch.setattr(testclient.TestClient, "__init__", guarded)


def _undecorated(app: Any) -> Any:
    """Takes the one field that we add off again: a test compares all that an app sends."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        async def going(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [header for header in message.get("headers", ()) if header[0] != b"x-guardrail-decision"]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, going)

    return call


def _inside(patch: pytest.MonkeyPatch) -> None:
    build = Starlette.build_middleware_stack

    def guarded(self: Starlette) -> Any:
        return _undecorated(GuardrailMiddleware(build(self), _guardrail()))

    patch.setattr(Starlette, "build_middleware_stack", guarded)


def pytest_configure() -> None:
    """Make one ahead: the first looks for plugins on disk, which Starlette's tests do not allow on a running loop."""
    if os.environ.get("GUARDED"):
        GuardrailMiddleware(Starlette(), _guardrail())


@pytest.fixture(autouse=True)
def _guard(monkeypatch: pytest.MonkeyPatch) -> None:
    where = os.environ.get("GUARDED", "").partition("-")[0]
    if where == "outside":
        _outside(monkeypatch)
    elif where == "inside":
        _inside(monkeypatch)
