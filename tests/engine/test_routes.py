"""Which route a request takes, and what is known of it: tables worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine import routes
from guardrail_mw.engine.routes import OTHER, Router
from guardrail_mw.policy import load

LIMITS = [
    {"name": "all", "per": ["account"], "rate": "9/minute", "when": {"method": "OWN"}},
    {"name": "chat", "per": ["account"], "rate": "9/minute"},
    {"name": "tokens", "per": ["account"], "unit": "tokens", "rate": "9000/minute"},
]
ROUTES: list[dict[str, Any]] = [
    {"path": ["/health", "/ping"], "exempt": True, "name": "alive"},
    {"path": "/v1/chat", "methods": ["POST"], "dialect": "openai", "name": "chat", "limits": ["chat", "tokens"]},
    {"path": "/v1/files/", "name": "files", "limits": ["chat"]},
    {"path": "/v1/**", "methods": ["POST", "BREW"], "dialect": "anthropic", "limits": ["all"]},
    {"path": "/free/**", "limits": [], "name": "free"},
]


def router(*found: dict[str, Any], measured: Any = None) -> Router:
    """Of these routes, or the usual; reads bodies where there are tokens."""
    document = {"version": 1, "routes": list(found or ROUTES), "limits": LIMITS}
    return Router(load(document), measured or (lambda limits: "tokens" in limits))


def told(of: Router, path: str, method: str) -> dict[str, Any]:
    """All of a route."""
    route = of.find(path, method)
    return {name: getattr(route, name) for name in route.__slots__}


EVERY = frozenset({"all", "chat", "tokens"})


def test_all_that_is_known_of_a_route() -> None:
    usual = {"exempt": False, "measured": False, "metered": False, "proves": False, "dialect": "problem"}
    chat = {
        **usual, "index": 1, "label": "chat", "names": ("chat", "/v1/chat"), "dialect": "openai", "method": "POST",
        "limits": frozenset({"chat", "tokens"}), "measured": True, "metered": True, "proves": True,
    }  # fmt: skip
    of = router()
    assert told(of, "/v1/chat", "POST") == chat
    assert told(of, "/health", "GET") == {
        **usual, "index": 0, "label": "alive", "names": ("alive", "/health", "/ping"), "method": "GET", "limits": EVERY,
        "exempt": True,
    }  # fmt: skip
    assert told(of, "/v1/x", "BREW") == {
        **usual, "index": 3, "label": "/v1/**", "names": ("/v1/**", "/v1/**"), "dialect": "anthropic", "method": "BREW",
        "limits": frozenset({"all"}), "metered": told(of, "/v1/x", "BREW")["metered"],
        "proves": told(of, "/v1/x", "BREW")["proves"],
    }  # fmt: skip
    assert told(of, "/nowhere", "DELETE") == {
        **usual, "index": -1, "label": "", "names": (), "method": "DELETE", "limits": EVERY,
    }  # fmt: skip
    assert told(of, "/free/x", "GET")["limits"] == frozenset()
    assert of.find("/nowhere", "GET").exempt is False
    assert of.find("/nowhere", "GET").measured is False


@pytest.mark.parametrize(
    ("path", "method", "index", "exempt"),
    [
        ("/health", "GET", 0, True),
        ("/health", "HEAD", 0, True),
        ("/health", "POST", 0, False),
        ("//health", "GET", (0, -1), False),
        ("/v1/../health", "GET", (0, -1), False),
        ("/%68ealth", "GET", (0, -1), False),
        ("/v1/chat", "POST", 1, False),
        ("/v1/chat", "GET", -1, False),
        ("/v1\\chat", "POST", (1, -1), False),
        ("/v1//chat", "POST", (1, 3), False),
        ("/v1/./chat", "BREW", 3, False),
        ("/v1/files/", "GET", 2, False),
        ("/v1/files", "GET", -1, False),
        ("/v1/files", "POST", 3, False),
        ("/free/../v1/chat", "POST", (1, 4), False),
        ("/v1/../free/x", "POST", (4, 3), False),
        ("/v1/../free/x", "GET", (4, -1), False),
        ("", "GET", -1, False),
        ("/", "GET", -1, False),
    ],
)
def test_where_a_path_leads(path: str, method: str, index: Any, exempt: bool) -> None:
    route = router().find(path, method)
    assert (route.index, route.exempt, route.method) == (index, exempt, method)


def test_a_path_that_can_be_read_in_two_ways_has_all_of_both() -> None:
    route = router().find("/v1//chat", "POST")
    assert route.limits == EVERY
    assert route.names == ("chat", "/v1/chat", "/v1/**", "/v1/**")
    assert (route.metered, route.measured, route.label, route.dialect) == (True, True, "chat", "openai")
    other = router().find("/free/../v1/chat", "POST")
    assert (other.limits, other.metered) == (frozenset({"chat", "tokens"}), True)
    back = router().find("/v1/../free/x", "POST")
    assert (back.limits, back.metered, back.label) == (frozenset({"all"}), router().find("/v1/y", "POST").metered, "free")


def test_a_slash_at_the_end_gets_round_no_stricter_route() -> None:
    of = router(
        {"path": "/v1/chat", "limits": ["chat"]},
        {"path": "/v1/**", "limits": []},
        {"path": "/health", "exempt": True},
        {"path": "/**", "limits": ["tokens"]},
    )
    found = {path: of.find(path, "POST").limits for path in ("/v1/chat", "/v1/chat/", "/v1/chat//", "/v1//chat", "/v1/x/")}
    assert {path: sorted(limits) for path, limits in found.items()} == {
        "/v1/chat": ["chat"], "/v1/chat/": ["chat"], "/v1/chat//": ["chat"], "/v1//chat": ["chat"], "/v1/x/": [],
    }  # fmt: skip
    assert [of.find(path, "GET").exempt for path in ("/health", "/health/")] == [True, False]
    assert "tokens" in of.find("/health/", "GET").limits


def test_what_no_route_names_is_the_route_without_its_slash() -> None:
    of = router({"path": "/only", "methods": ["POST"]}, {"path": "/both/", "methods": ["POST"]})
    found = [of.find(path, method) for path in ("/only/", "/both/", "/both") for method in ("POST", "GET")]
    assert [route.index for route in found] == [0, -1, 1, -1, -1, -1]
    assert [route.method for route in found] == ["POST", "GET"] * 3


def test_methods_are_those_that_something_depends_on() -> None:
    of = router()
    known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW", "OWN"]
    assert [of.find("/v1/x", method).method for method in known] == known
    assert [of.find("/v1/x", method).method for method in ("TRACE", "get", "")] == [OTHER] * 3 == [""] * 3


def test_what_was_found_is_remembered_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_KEPT", 20)
    asked: list[frozenset[str]] = []

    def measured(limits: frozenset[str]) -> bool:
        asked.append(limits)
        return True

    of = router({"path": "/**", "dialect": "openai", "limits": ["tokens"]}, measured=measured)
    first = of.find("/1", "POST")
    assert of.find("/1", "POST") is first
    assert of.find("/1", "PUT") is not first
    assert asked == [frozenset({"tokens"})] * len(asked)
    for number in range(2, 20):
        of.find(f"/{number}", "POST")
    assert of.find("/1", "POST") is first
    long = "/" + "x" * 19
    assert of.find(long, "POST") is of.find(long, "POST"), "which makes room by forgetting the others"
    assert of.find("/1", "POST") is not first
    longer = long + "x"
    assert of.find(longer, "POST") is not of.find(longer, "POST")
