"""Which route a request takes."""

from __future__ import annotations

from collections.abc import Callable
from posixpath import normpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy, RouteSettings
    from guardrail_mw.values import Dialect

__all__ = ["Route", "Router"]

_KEPT = 2048
_SAFE = frozenset({"GET", "HEAD"})


class Route:
    """One route of the policy for one method, with what a request needs of it computed."""

    __slots__ = ("dialect", "exempt", "index", "label", "limits", "measured", "metered", "names", "proves")

    def __init__(self, index: int, settings: RouteSettings | None, limits: frozenset[str], method: str, *, exempt: bool) -> None:
        self.index = index
        self.limits = limits
        """Names of the limits that can hold here."""
        self.exempt = exempt
        self.dialect: Dialect = settings.dialect if settings is not None else "problem"
        self.label = settings.label if settings is not None else ""
        self.names = (settings.label, *settings.path) if settings is not None else ()
        self.metered = settings is not None and settings.is_metered(method)
        self.measured = False
        """Whether requests are read before they are charged: some limit here is in tokens or dollars, or looks at the model."""
        self.proves = settings is not None and settings.is_proof(method)


class Router:
    """The routes of a policy, in order; remembers what it found."""

    def __init__(self, policy: Policy, measured: Callable[[frozenset[str]], bool]) -> None:
        self._measured = measured
        self._routes = [(each, frozenset(limit.name for limit in policy.limits_of(each))) for each in policy.routes]
        self._rest = frozenset(limit.name for limit in policy.limits_of(None))
        self._known: dict[tuple[str, str], Route] = {}

    def find(self, path: str, method: str) -> Route:
        """The first route that matches.

        A path is looked up as an app would read it that tidies paths up (`//`, `/./`, `/../`, a slash at the end), so that
        writing it otherwise does not lead to a lesser route; exempt is only what is written as the policy writes it.
        """
        key = (path, method)
        found = self._known.get(key)
        if found is None:
            found = self._find(path, method)
            if len(self._known) >= _KEPT:
                self._known.clear()
            if len(path) <= _KEPT:
                self._known[key] = found
        return found

    def _find(self, path: str, method: str) -> Route:
        tidy = "/" + normpath(path).lstrip("/.") if path else "/"
        for index, (settings, limits) in enumerate(self._routes):
            if settings.matches(tidy, method):
                exempt = settings.exempt and method in _SAFE and (path == tidy or path == tidy + "/")
                route = Route(index, settings, limits, method, exempt=exempt)
                route.measured = route.metered and self._measured(limits)
                return route
        return Route(-1, None, self._rest, method, exempt=False)
