"""`guardrail-mw check`: words, problems, the environment, and what the app says to an invented key."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from guardrail_mw.cli.extras import Loading

Run = Callable[..., Result]

check = importlib.import_module("guardrail_mw.cli.check")  # the package gives its name to the command

POLICY = """\
version: 1
mode: enforce
identity: {sources: [{use: api_key, with: {headers: [authorization, x-api-key], trust: app, prefix: sk-}}]}
routes:
  - {path: /health, exempt: true}
  - {path: /v1/tools, dialect: openai, proves: false}
  - {path: /v1/**, dialect: openai}
limits:
  - {name: requests, per: [account], rate: 60/minute}
"""
KEYS = POLICY.replace("trust: app", f"trust: keys, keys: [{'ab' * 32}]")
APP = """\
import contextlib
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from guardrail_mw import GuardrailMiddleware

seen = []

async def checks(request):
    key = request.headers.get("authorization", "").removeprefix("Bearer ") or request.headers.get("x-api-key", "")
    seen.append((request.method, request.url.path, key, await request.body(), request.state.ready))
    return PlainTextResponse("", 200 if key == "sk-good" else 401)

async def accepts(request):
    return PlainTextResponse("")

async def picky(request):
    return PlainTextResponse("", 422)

async def socket(websocket): ...

@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"ready": True}

routes = [
    Route("/health", accepts),
    Route("/v1/chat/completions", checks, methods=["POST"]),
    Route("/v1/embeddings", accepts, methods=["POST"]),
    Route("/v1/tools", accepts, methods=["POST"]),
    Route("/v1/picky/{id:int}", picky, methods=["POST", "DELETE"]),
    WebSocketRoute("/v1/live", socket),
    Mount("/admin", routes=[Route("/users", accepts)]),
]
app = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(GuardrailMiddleware, policy="policy.yaml")])
good = Starlette(routes=routes[:2], lifespan=lifespan)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes `served.py` and forgets it afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def written(text: str) -> None:
        (tmp_path / "served.py").write_text(text)

    yield written
    sys.modules.pop("served", None)


def test_what_a_policy_does_in_words(run: Run, policy: Callable[[str], str]) -> None:
    result = run("check", policy(POLICY))
    assert result.exit_code == 0
    assert result.stdout.startswith("policy.yaml is sound.\n\nMode enforce: what the limits refuse is refused.\n")
    assert "each account may use 60 requests per minute" in result.stdout
    assert "Environment" not in result.stdout


def test_a_policy_that_ships_and_one_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", "guardrail:balanced").exit_code == 0
    monkeypatch.setenv("GUARDRAIL_POLICY", "guardrail:watch")
    assert run("check").stdout.startswith("guardrail:watch is sound.")


def test_what_the_environment_lacks_or_overrules(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_STORE", "redis://:hunter2@localhost")
    monkeypatch.setenv("GUARDRAIL_MODE", "shadow")
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 0
    said = result.stdout.partition("\nEnvironment\n")[2]
    assert "GUARDRAIL_STORE is set" in said
    assert "the mode is shadow" in said
    assert "GUARDRAIL_ID_KEY is not set" in said
    assert "GUARDRAIL_KEYS is not set" in said
    assert "hunter2" not in result.output


def test_a_store_that_cannot_be_used_here_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Loading("ModuleNotFoundError: No module named 'redis'", "pip install 'guardrail-mw[redis]'")
    monkeypatch.setattr(check, "loading", lambda *_: lacking)
    monkeypatch.setenv("GUARDRAIL_STORE", "redis+cluster://localhost")
    said = " ".join(run("check", "guardrail:balanced").stdout.split())
    assert "The store of redis+cluster:// cannot be used here: ModuleNotFoundError: No module named 'redis'." in said
    assert "Install it with: pip install 'guardrail-mw[redis]'" in said


def test_what_only_building_it_tells_is_a_problem_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", "short")
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 1
    assert "GUARDRAIL_ID_KEY: is shorter than 32 characters" in result.stderr
    assert "  environment: GUARDRAIL_ID_KEY" in result.stderr


def test_routes_that_accept_an_invented_key_are_named(
    run: Run, policy: Callable[[str], str], app: Callable[[str], None]
) -> None:
    app(APP)
    result = run("check", policy(POLICY), "--app", "served:app")
    assert result.exit_code == 1
    said = result.stdout.partition("\nRoutes of served:app\n")[2]
    wrong = [line for line in said.splitlines() if "WRONG" in line]
    assert wrong == ["  WRONG: POST /v1/embeddings (key in authorization or x-api-key) accepts one."]
    assert "Unclear: POST /v1/picky/{id:int} said neither yes nor no, but: 422." in said
    assert "Accepted, but nothing is proved there: GET /health, POST /v1/tools, GET /admin/users." in said
    # GET /health, POST chat, embeddings, tools, picky, GET /admin/users, each with a key in either header
    assert "12 requests with one: 2 refused (401 or 403), 8 accepted, 2 neither." in said
    for line in ("    WebSocket /v1/live", "    DELETE/POST /v1/picky/{id:int}", "  /health: exempt for GET and HEAD"):
        assert f"{line}\n" in said


def test_the_key_is_invented_as_keys_look_here_and_the_app_runs_as_it_would(
    run: Run, policy: Callable[[str], str], app: Callable[[str], None]
) -> None:
    app(APP)
    run("check", policy(POLICY), "--app", "served:app")
    seen = sys.modules["served"].seen
    assert [(method, path, ready) for method, path, _, _, ready in seen] == [("POST", "/v1/chat/completions", True)] * 2
    assert all(key.startswith("sk-") and len(key) == 35 for _, _, key, _, _ in seen)
    assert b'"messages"' in seen[0][3]


def test_an_app_that_checks_its_keys_is_sound(run: Run, policy: Callable[[str], str], app: Callable[[str], None]) -> None:
    app(APP)
    result = run("check", policy(POLICY), "--app", "served:good")
    assert result.exit_code == 0
    assert "4 requests with one: 2 refused (401 or 403), 2 accepted, 0 neither." in result.stdout
    assert "  /v1/tools: a route of the policy, and none that the app lists\n" in result.stdout


def test_where_the_guard_proves_keys_the_app_need_not(
    run: Run, policy: Callable[[str], str], app: Callable[[str], None]
) -> None:
    app(APP)
    result = run("check", policy(KEYS), "--app", "served:app")
    assert result.exit_code == 0
    assert "in this policy it is not the app that proves keys" in result.stdout


def test_the_environment_is_left_as_it_was(
    run: Run, policy: Callable[[str], str], app: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    app(APP)
    run("check", policy(POLICY), "--app", "served:good")
    assert "GUARDRAIL_MODE" not in __import__("os").environ
    monkeypatch.setenv("GUARDRAIL_MODE", "shadow")
    run("check", policy(POLICY), "--app", "served:good")
    assert __import__("os").environ["GUARDRAIL_MODE"] == "shadow"


UNLISTED = """\
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200 if scope["path"] == "/v1" else 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})
"""


def test_an_app_that_lists_nothing_is_asked_for_the_policys_paths(
    run: Run, policy: Callable[[str], str], app: Callable[[str], None]
) -> None:
    app(UNLISTED)
    result = run("check", policy(POLICY), "--app", "served:app")
    assert result.exit_code == 1
    assert "Routes of served:app cannot be listed; the policy's own paths are asked\n" in result.stdout
    assert "WRONG: POST /v1 (key in authorization or x-api-key) accepts one." in result.stdout
    assert "Unclear" not in result.stdout


def test_an_app_that_does_not_start_is_2(run: Run, policy: Callable[[str], str], app: Callable[[str], None]) -> None:
    app(APP.replace('yield {"ready": True}', 'raise ValueError("no weights")\n    yield'))
    result = run("check", policy(POLICY), "--app", "served:good")
    assert result.exit_code == 2
    assert result.stderr.startswith("The app does not start: ")
    assert "ValueError: no weights" in result.stderr
    assert "Traceback" not in result.stderr
