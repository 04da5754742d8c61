"""Whatever a client sends: never an exception, never a 5xx of ours, never a way past the limits; in shadow never a change."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ..asgi.kit import Answer, Guarded, Upstream, policy, scope_of  # noqa: TID252 - the kit of the pipeline's tests

LIMITS = [
    {"name": "requests", "rate": "1000000/minute"},
    {"name": "tokens", "unit": "tokens", "per": ["account", "model"], "rate": "100000000/minute"},
    {"name": "slots", "concurrency": 5},
    {"name": "everyone", "per": [], "unit": "tokens", "rate": "100000000/minute"},
    {"name": "spend", "unit": "usd", "budget": "1000000/day"},
]
MODELS = {"small": {"usd_per_million": {"input": 2, "output": 10}}}
ROUTES = [
    {"path": "/free", "exempt": True},
    {"path": "/v1/messages/**", "dialect": "anthropic"},
    {"path": "/v1/**", "dialect": "openai"},
    {"path": "/**", "metered": True},
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["model", "messages", "input", "prompt", "max_tokens", "n", "stream", "requests", "tools", "best_of"]
)
documents = st.dictionaries(names | st.text(max_size=8), values, max_size=6)
bodies = st.binary(max_size=200) | documents.map(lambda document: json.dumps(document).encode())
header_names = st.sampled_from(
    [
        b"authorization",
        b"x-api-key",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"x-guardrail-decision",
        b"x-forwarded-for",
        b"transfer-encoding",
        b"access-control-request-method",
    ]
)
header_values = st.binary(max_size=60) | st.sampled_from([b"Bearer sk-one", b"application/json", b"gzip", b"-1", b"9" * 40])
headers = st.lists(st.tuples(header_names, header_values), max_size=6)
segments = st.sampled_from(["v1", "messages", "chat", "batches", "free", ".", "..", "", "%2e", "\x00", "é", "a" * 50])
paths = st.lists(segments, max_size=6).map(lambda each: "/" + "/".join(each)) | st.text(max_size=20)
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "get", "M-SEARCH"])
roots = st.sampled_from(["", "/v1", "/free", "/"])


def ask(guarded: Guarded, method: str, path: str, root: str, sent: Any, pieces: list[bytes]) -> Answer:
    return asyncio.run(guarded.ask(scope_of("/", method, sent, root_path=root) | {"path": path}, *pieces))


@settings(max_examples=300, deadline=None)
@given(methods, paths, roots, headers, st.lists(bodies, min_size=1, max_size=3))
def test_enforced_it_is_answered_by_the_app_or_with_a_4xx(
    method: str, path: str, root: str, sent: Any, pieces: list[bytes]
) -> None:
    app = Upstream()
    guarded = Guarded(app, policy(*LIMITS, models=MODELS, routes=ROUTES))
    answer = ask(guarded, method, path, root, sent, pieces)
    free = not guarded.bills
    if app.calls:
        assert answer.status == 200
        assert app.bodies == [b"".join(pieces)]
        if free:
            own = (
                path[len(root) :]
                if root and path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}
                else path
            )
            assert method == "OPTIONS" or (method in {"GET", "HEAD"} and own in {"/free", "/free/"})
    else:
        assert 400 <= answer.status < 500
        assert answer.decision in answer.body.decode() or method == "HEAD"
        assert len(guarded.bills) == (0 if b"credential" in answer.body else 1) or method == "HEAD"
    assert guarded.store._charges.open == {}
    assert guarded.middleware._budget.used == 0


@settings(max_examples=200, deadline=None)
@given(methods, paths, roots, headers, st.lists(bodies, min_size=1, max_size=3))
def test_in_shadow_nothing_is_refused_or_changed(method: str, path: str, root: str, sent: Any, pieces: list[bytes]) -> None:
    theirs = [(b"content-type", b"application/json"), (b"x-other", b"1")]
    app = Upstream(b"{", b"}", headers=theirs)
    guarded = Guarded(app, policy(*LIMITS, models=MODELS, routes=ROUTES, mode="shadow"))
    answer = ask(guarded, method, path, root, sent, pieces)
    assert (answer.status, answer.body) == (200, b"{}")
    assert app.bodies == [b"".join(pieces)]
    assert app.scopes[0]["headers"] == [each for each in sent if not each[0].startswith(b"x-guardrail")]
    assert app.scopes[0]["path"] == path
    assert [each for each in answer.headers if each[0] != b"x-guardrail-decision"] == theirs
    assert guarded.store._charges.open == {}
