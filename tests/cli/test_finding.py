"""Finding an app by name, and its routes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, get
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from guardrail_mw import GuardrailMiddleware
from guardrail_mw.cli.finding import AppRoute, find, routes_of
from guardrail_mw.cli.output import Cannot

MODULE = """\
import sys
class Holder: ...
holder = Holder()
async def app(scope, receive, send): ...
holder.inner = app
def make(): return app
def fails():
    raise ValueError("no weights\\nsecond line")
text = "app"
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "found.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("x = 1\nraise SystemExit('stop')\n")
    (tmp_path / "lacking.py").write_text("import no_such_package\n")
    yield
    for name in ("found", "broken", "lacking"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("spec", ["found:app", "found:holder.inner", "found:make()"])
def test_an_app_is_found(spec: str) -> None:
    assert find(spec).__name__ == "app"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("found", "`found` names no app. Write module:attribute, such as main:app, or main:create_app() for a factory."),
        ("found.py:app", "`found.py:app` is a path. Write the module's name: found:app"),
        ("./pkg/found.py", "`./pkg/found.py` is a path. Write the module's name: pkg.found:app"),
        ("foudn:app", "There is no module `foudn`. Did you mean `found`?"),
        ("found:ap", "`found` has no `ap`. Did you mean `app`?"),
        ("found:text", "`found:text` is a str, not an ASGI app."),
        ("found:make", "`found:make` does not take scope, receive and send. If it makes the app, write found:make()"),
        ("found:fails()", "`found:fails()` failed (found.py:8): ValueError: no weights"),
        ("broken:app", "Importing `broken` failed (broken.py:2): SystemExit: stop"),
        ("lacking:app", "Importing `lacking` failed (lacking.py:1): ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_what_is_no_app_is_said_with_the_cure(spec: str, said: str) -> None:
    with pytest.raises(Cannot) as caught:
        find(spec)
    assert caught.value.message == said
    assert caught.value.exit_code == 2


async def endpoint(request: Any) -> Any: ...


@get("/items")
async def items() -> None: ...


def test_starlettes_routes_mounts_included_and_wrapped() -> None:
    app = Starlette(
        routes=[
            Route("/a/{id:int}", endpoint, methods=["GET", "POST"]),
            Mount("/b", routes=[Route("/c", endpoint)]),
            Mount("/files", app=StaticFiles(directory=".")),
        ]
    )
    found = routes_of(GuardrailMiddleware(app, {"version": 1}))
    assert found == [AppRoute("/a/{id:int}", ("GET", "POST")), AppRoute("/b/c", ("GET",)), AppRoute("/files/", (), "mount")]
    assert found[0].example == "/a/1"


def test_fastapis_included_routers() -> None:
    inner = APIRouter(prefix="/inner")
    inner.add_api_route("/x", endpoint, methods=["POST"], response_model=None)
    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    app = FastAPI(openapi_url=None)
    app.include_router(outer)
    assert routes_of(app) == [AppRoute("/outer/inner/x", ("POST",))]


def test_litestars_routes() -> None:
    assert routes_of(Litestar([items], openapi_config=None)) == [AppRoute("/items", ("GET",))]


def test_what_tells_no_routes() -> None:
    assert routes_of(endpoint) is None
