"""Finding an ASGI app by name, and its routes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from pathlib import Path
from traceback import extract_tb
from typing import Any, NamedTuple

from guardrail_mw.cli.output import Cannot

__all__ = ["AppRoute", "find", "routes_of"]

_PARAMETER = re.compile(r"\{[^{}]*\}")
_DEPTH = 8


class AppRoute(NamedTuple):
    """One path of an app."""

    path: str
    """As the app writes it: `/items/{id}`."""
    methods: tuple[str, ...]
    """Sorted; empty for a WebSocket or for what is mounted and cannot be looked into."""
    kind: str = "http"
    """`http`, `websocket`, `mount`, or `guess` for what the app did not list."""

    @property
    def example(self) -> str:
        """A path that it matches: parameters are `1`."""
        return _PARAMETER.sub("1", self.path)


def find(spec: str) -> Any:
    """The app that `module:attribute` names; `module:factory()` is called. Imported from the working directory first.

    Raises:
        Cannot: there is none, or importing it fails; says where.
    """
    module_name, colon, attribute = spec.partition(":")
    if module_name.endswith(".py") or "/" in module_name:
        name = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise Cannot(f"`{spec}` is a path. Write the module's name: {name}:{attribute or 'app'}")
    if not (module_name and colon and attribute):
        raise Cannot(f"`{spec}` names no app. Write module:attribute, such as main:app, or main:create_app() for a factory.")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    found: Any = _module(module_name)
    for name in attribute.removesuffix("()").split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, vars(found) if hasattr(found, "__dict__") else (), n=1)
            raise Cannot(f"`{module_name}` has no `{name}`.{f' Did you mean `{near[0]}`?' if near else ''}")
        found = getattr(found, name)
    if attribute.endswith("()"):
        found = _called(found, spec)
    if not callable(found):
        raise Cannot(f"`{spec}` is a {type(found).__name__}, not an ASGI app.")
    with suppress(ValueError):  # some callables have no signature
        _fits(found, spec)
    return found


def _fits(app: Any, spec: str) -> None:
    try:
        signature(app).bind({}, None, None)
    except TypeError as error:
        raise Cannot(f"`{spec}` does not take scope, receive and send. If it makes the app, write {spec}()") from error


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise Cannot(_failure(f"Importing `{name}` failed", error)) from error
        near = get_close_matches(name, (each.stem for each in Path().glob("*.py")), n=1)
        hint = f" Did you mean `{near[0]}`?" if near else " Run this where `python -c 'import …'` would find it."
        raise Cannot(f"There is no module `{error.name}`.{hint}") from error
    except (Exception, SystemExit) as error:
        raise Cannot(_failure(f"Importing `{name}` failed", error)) from error


def _called(factory: Any, spec: str) -> Any:
    try:
        return factory()
    except Exception as error:
        raise Cannot(_failure(f"`{spec}` failed", error)) from error


def _failure(what: str, error: BaseException) -> str:
    frames = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())] or frames
    place = f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
    said = next(iter(str(error).strip().splitlines()), "no reason given")[:300]
    return f"{what}{place}: {type(error).__name__}: {said}"


def routes_of(app: Any) -> list[AppRoute] | None:
    """An app's routes, in order; None where it cannot be looked into. Knows Starlette, FastAPI and Litestar by their shapes."""
    for _ in range(_DEPTH):
        routes = getattr(app, "routes", None)
        if routes is not None:
            return list(dict.fromkeys(_walk(routes, "", _DEPTH)))
        app = getattr(app, "app", None) or getattr(app, "asgi_handler", None)
    return None


def _walk(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[AppRoute]:
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is not None:  # FastAPI's included routers, since 0.13x
            yield from _walk([getattr(each, "starlette_route", None) or each for each in contexts()], prefix, depth)
            continue
        path, methods = getattr(route, "path", None), getattr(route, "methods", None)
        if not isinstance(path, str):
            yield from _walk(getattr(route, "routes", None) or (), prefix, depth - 1) if depth else ()
        elif methods:
            yield AppRoute(prefix + path, tuple(sorted(set(map(str, methods)) - {"HEAD", "OPTIONS"})))
        elif "WebSocket" in type(route).__name__:
            yield AppRoute(prefix + path, (), "websocket")
        elif (inner := getattr(route, "routes", None)) and depth:
            yield from _walk(inner, prefix + path, depth - 1)
        else:
            yield AppRoute(f"{prefix}{path}/", (), "mount")
