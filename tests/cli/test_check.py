"""`guardrail-mw check`: words, problems, the environment, and what the app says to an invented key."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from guardrail_mw.cli import starting
from guardrail_mw.cli.extras import Loading

Run = Callable[..., Result]

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
  - {name: strangers, per: [network], when: {authenticated: false}, rate: 60/minute}
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
    assert "To be minded" not in result.stdout


def test_a_policy_that_ships_and_one_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", "guardrail:balanced").exit_code == 0
    monkeypatch.setenv("GUARDRAIL_POLICY", "guardrail:watch")
    assert run("check").stdout.startswith("guardrail:watch is sound.")


def test_without_a_policy_both_ways_to_name_one_are_said(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 2
    assert result.stderr.endswith(
        "Error: Name a policy: a file, or guardrail:balanced, which ships; or set GUARDRAIL_POLICY.\n"
    )


def test_a_file_that_is_not_there_is_named_in_full(run: Run, tmp_path: Path) -> None:
    result = run("check", "Policy.yaml")
    assert result.exit_code == 1
    assert (
        f"  Policy.yaml: cannot be read: no such file or directory; looked for {tmp_path / 'Policy.yaml'}. " in result.stderr
    )


def test_what_the_environment_lacks_comes_first_and_is_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_STORE", "redis://:hunter2@localhost")
    monkeypatch.setenv("GUARDRAIL_MODE", "shadow")
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 1
    head, *problems = result.stderr.splitlines()
    assert head == "guardrail:balanced can be read, and no server starts with it here:"
    assert [problem.partition(" and ")[0] for problem in problems] == [
        f"  environment: {name}: is not set," for name in ("GUARDRAIL_ID_KEY", "GUARDRAIL_KEYS")
    ]
    assert result.stdout.startswith("The policy itself is sound.\n\nMode shadow, from GUARDRAIL_MODE: ")
    assert "Counters are in Redis (redis://localhost, from GUARDRAIL_STORE); when it does not answer" in result.stdout
    assert "hunter2" not in result.output
    pipeline = run("check", "guardrail:balanced", "--elsewhere")
    assert (pipeline.exit_code, pipeline.stderr) == (0, "")


def test_what_a_server_would_start_with_is_sound(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server listens there: nothing is connected."""
    for name, value in (("STORE", "redis://127.0.0.1:1"), ("ID_KEY", "0" * 32), ("KEYS", "0" * 32)):
        monkeypatch.setenv(f"GUARDRAIL_{name}", value)
    result = run("check", "guardrail:balanced")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("guardrail:balanced is sound.\n")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis:/localhost", "is not a URL. Write memory:// or redis://host:6379/0, for instance."),
        ("localhost:18379", "is not a URL. Write redis://localhost:18379/0."),
        ("redis:localhost:18379", "is not a URL. Write redis://localhost:18379/0."),
        ("redis://localhost:abc", "has a host or port that is none. Write host:port or [::1]:port; "),
        ("redis+sentinel://localhost", "names no service. "),
        ("mongodb://localhost", "has an unknown scheme; expected memory://, "),
        ("redis://localhost?colour=red", "redis-py refuses an option: "),
    ],
)
def test_a_url_that_is_none(
    run: Run, policy: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("GUARDRAIL_STORE", url)
    monkeypatch.setenv("GUARDRAIL_ID_KEY", "0" * 32)
    monkeypatch.setenv("GUARDRAIL_KEYS", "0" * 32)
    result = run("check", policy(POLICY))
    assert result.exit_code == 1
    (problem,) = result.stderr.splitlines()[1:]
    assert problem.startswith("  environment: GUARDRAIL_STORE: ")
    assert said in problem


def test_a_url_that_is_none_where_the_policy_names_the_variable_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDRAIL_STORE", "redis:/localhost")
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 1
    assert ": store.url: is what ${GUARDRAIL_STORE} holds, and is not a URL. " in result.stderr


def test_the_policys_own_url_is_looked_at_where_the_environment_names_none(run: Run, policy: Callable[[str], str]) -> None:
    result = run("check", policy("version: 1\nstore: {url: 'redis://localhost?colour=red'}\n"))
    assert result.exit_code == 1
    assert "  policy: store.url: " in result.stderr
    assert "redis-py refuses an option: " in result.stderr


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        (
            Loading("pip install 'guardrail-mw[redis]'", "pip install 'guardrail-mw[redis]'"),
            "names a store whose package is not installed. Install it with: pip install 'guardrail-mw[redis]'",
        ),
        (Loading("ImportError: broken"), "names a store that cannot be used here: ImportError: broken"),
    ],
)
def test_a_store_that_cannot_be_used_here_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch, lacking: Loading, said: str
) -> None:
    monkeypatch.setattr(starting, "loading", lambda *_: lacking)
    monkeypatch.setenv("GUARDRAIL_STORE", "redis+cluster://localhost")
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1] == f"  environment: GUARDRAIL_STORE: {said}"


@pytest.mark.parametrize(("name", "value"), [("ID_KEY", "short"), ("MODE", "on")])
def test_what_only_building_it_tells_is_a_problem_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Said once, whoever finds it."""
    monkeypatch.setenv(f"GUARDRAIL_{name}", value)
    result = run("check", "guardrail:balanced")
    assert result.exit_code == 1
    (problem,) = result.stderr.splitlines()[1:]
    said = {"ID_KEY": "is shorter than 32 characters.", "MODE": "is not a mode."}
    assert problem.startswith(f"  environment: GUARDRAIL_{name}: {said[name]}")


TIER = POLICY + "  - {name: pro, per: [account], when: {tier: pro}, rate: 600/minute}\n"


def test_what_is_to_be_minded_is_said_and_only_strict_minds_it(run: Run, policy: Callable[[str], str]) -> None:
    name = policy(TIER)
    result = run("check", name)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "policy.yaml is sound.\n\nTo be minded\n"
        "  - The limit `pro` asks for `tier`, which no source of identity tells: it holds for nobody unless\n"
        "    an operator gave the account one.\n\nMode enforce: "
    )
    strict = run("check", name, "--strict")
    assert (strict.exit_code, strict.stdout) == (1, result.stdout)
    assert run("check", policy(POLICY), "--strict").exit_code == 0


def test_a_file_of_events_that_cannot_be_written(run: Run, policy: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sinks = "telemetry: {events: [{use: log}, {use: jsonl, with: {path: file/events.jsonl}}]}\n"
    result = run("check", policy(POLICY + sinks))
    assert result.exit_code == 0
    assert "  - No event could be written to file/events.jsonl from here: " in result.stdout
    fine = sinks.replace("file/", "new/")
    assert "No event" not in run("check", policy(POLICY + fine)).stdout
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "policy.yaml"]


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
