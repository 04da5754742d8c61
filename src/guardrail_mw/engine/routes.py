"""Which route a request takes."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from guardrail_mw.policy import Policy, RouteSettings
    from guardrail_mw.values import Dialect

__all__ = ["Route", "Router"]

_KEPT = 2048
_SAFE = frozenset({"GET", "HEAD"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = ""
"""Whatever method neither the policy names nor everybody knows: clients may invent as many as they like."""


class Route:
    """One route of the policy for one method, with what a request needs of it computed."""

    __slots__ = ("dialect", "exempt", "index", "label", "limits", "measured", "metered", "method", "names", "proves")

    def __init__(
        self, index: int, settings: RouteSettings | None, limits: frozenset[str], method: str, *, exempt: bool
    ) -> None:
        self.index: int | tuple[object, object] = index
        """Its place in the policy; -1 for what matches none, two for a path that can be read in two ways."""
        self.method = method
        """The request's, `OTHER` where nothing can depend on it."""
        self.limits = limits
        """Names of the limits that can hold here."""
        self.exempt = exempt
        self.dialect: Dialect = settings.dialect if settings is not None else "problem"
        self.label = settings.label if settings is not None else ""
        self.names = (settings.label, *settings.path) if settings is not None else ()
        self.metered = settings is not None and settings.is_metered(method)
        self.measured = False
        """Whether requests are read before they are charged: some limit here is in tokens or dollars, or looks at the model, or
        what they say is evidence."""
        self.proves = settings is not None and settings.is_proof(method)

    def together(self, other: Route) -> Route:
        """This route with what the other demands besides; exempt no more, for it is not as the policy writes it."""
        both = copy(self)
        both.exempt = False
        both.index = (self.index, other.index)
        both.limits = self.limits | other.limits
        both.names = (*self.names, *other.names)
        both.metered = self.metered or other.metered
        return both


class Router:
    """The routes of a policy, in order; remembers what it found."""

    def __init__(self, policy: Policy, measured: Callable[[frozenset[str]], bool]) -> None:
        self._measured = measured
        self._content = policy.clusters is not None and policy.clusters.content
        self._routes = [(each, frozenset(limit.name for limit in policy.limits_of(each))) for each in policy.routes]
        self._rest = frozenset(limit.name for limit in policy.limits_of(None))
        named = [method for each in policy.routes for method in each.methods or ()]
        named += [method for each in policy.limits if each.when is not None for method in each.when.method or ()]
        self._methods = _METHODS.union(named)
        self._known: dict[tuple[str, str], Route] = {}

    def find(self, path: str, method: str) -> Route:
        """The first route that matches.

        A path is looked up as an app would read it that tidies paths up (`//`, `/./`, `/../`, a slash at the end, a backslash,
        what was encoded twice). Where it leads elsewhere as it is written, the limits of both routes hold, for nobody knows how
        the app reads it: so no way of writing a path leads to a lesser route. Exempt is only what is written as the policy
        writes it.
        """
        if method not in self._methods:
            method = OTHER
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
        tidy = "/" + normpath("/" + unquote(path).replace("\\", "/")).lstrip("/")
        slashed = tidy.rstrip("/") + "/"
        bare = self._match(tidy, method)
        written = self._match(slashed, method) if path == slashed else None
        found = written or bare or self._unmatched(method)
        if written is not None and bare is not None and written.index != bare.index:  # apps differ about a slash at the end
            found = written.together(bare)
        if path not in {tidy, slashed}:
            as_written = self._match(path, method) or self._unmatched(method)
            if as_written.index != found.index:
                found = found.together(as_written)
            found.exempt = False
        found.measured = found.metered and (self._content or self._measured(found.limits))
        return found

    def _match(self, path: str, method: str) -> Route | None:
        for index, (settings, limits) in enumerate(self._routes):
            if settings.matches(path, method):
                return Route(index, settings, limits, method, exempt=settings.exempt and method in _SAFE)
        return None

    def _unmatched(self, method: str) -> Route:
        return Route(-1, None, self._rest, method, exempt=False)
