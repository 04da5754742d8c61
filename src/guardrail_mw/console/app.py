"""The API as an ASGI app, behind its gate."""

from __future__ import annotations

import logging
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from starlette.applications import Starlette

from guardrail_mw.clock import Clock, SystemClock
from guardrail_mw.console.api import Api
from guardrail_mw.console.gate import Gate
from guardrail_mw.console.problems import ProblemError, problem
from guardrail_mw.engine.desk import MisuseError
from guardrail_mw.engine.records import MissingError
from guardrail_mw.errors import StoreError

if TYPE_CHECKING:
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response

    from guardrail_mw.asgi.types import App
    from guardrail_mw.engine import Guardrail

__all__ = ["app", "openapi"]

logger = logging.getLogger("guardrail_mw.operators")


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document, as `openapi.yaml` has it. Nobody may change it."""
    document: dict[str, Any] = yaml.safe_load((files("guardrail_mw.console") / "openapi.yaml").read_text(encoding="utf-8"))
    return document


def app(guardrail: Guardrail, token: str, *, clock: Clock | None = None) -> App:
    """The operator's API of a guardrail, to be served apart from the app that it guards: never mount it in there.

    Args:
        guardrail: whose accounts, policy and store these are.
        token: what operators show.
        clock: in place of the machine's; for tests.
    """
    handlers: dict[Any, Any] = {
        ProblemError: _problem,
        MissingError: _missing,
        MisuseError: _misuse,
        StoreError: _store,
        404: _http,
        405: _http,
        500: _broken,
    }
    inner = Starlette(routes=Api(guardrail, openapi()).routes(), exception_handlers=handlers)
    inner.router.redirect_slashes = False
    return Gate(inner, token, clock=clock or SystemClock(), observer=guardrail.counts)


async def _problem(_request: Request, error: ProblemError) -> Response:
    return error.response()


async def _misuse(_request: Request, error: MisuseError) -> Response:
    return problem(422, "misuse", f"`{error.argument}` {error.text}", argument=error.argument)


async def _missing(_request: Request, error: MissingError) -> Response:
    detail = f"`{error.argument}` {error.text}"
    if error.argument == "case":
        return problem(404, "unknown_case", detail, argument=error.argument)
    return problem(404, "unknown_appeal", detail, argument=error.argument)


async def _store(_request: Request, error: StoreError) -> Response:
    logger.warning("An operator's request failed: %s", error)
    return problem(503, "store_failed", error.public)


async def _http(_request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:  # noqa: PLR2004
        return problem(405, "method_not_allowed", "Not with this method.", error.headers)
    return problem(404, "not_found", "There is nothing here; /openapi.json says what there is.")


async def _broken(_request: Request, _error: Exception) -> Response:
    """Starlette raises it again for the server, which logs it."""
    return problem(500, "internal_error", "It broke; the log says why.")
