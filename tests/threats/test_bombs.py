"""Small things that would cost much: each is refused, or costs time in proportion to its size."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from guardrail_mw.asgi import inspect
from guardrail_mw.errors import PolicyError, TokenError
from guardrail_mw.limits.models import Models
from guardrail_mw.limits.settings import ModelSettings
from guardrail_mw.policy import load
from guardrail_mw.policy.paths import compile_glob

from .kit import CHAT, JSON, KEY, Guarded, Upstream, policy

pytestmark = pytest.mark.anyio

TOKENS = {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "rate": "100000/minute"}
COUNT = 1_000_001


async def refused(body: bytes) -> str:
    guarded = Guarded(Upstream(), policy(TOKENS))
    answer = await guarded.post(CHAT, body, KEY, JSON)
    assert answer.status == 400
    assert guarded.app.calls == 0
    return str(answer.json["error"]["code"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
        (b'{"a":' + b"[" * 100_000, "too_deep"),
        (b'{"a":[' + b"{}," * COUNT + b"{}]}", "too_complex"),
        (b'{"a":[' + b"1," * (4 * COUNT) + b"1]}", "too_complex"),
        (b"{" + b",".join(b'"%x":1' % n for n in range(2 * COUNT)) + b"}", "too_complex"),
        (b'{"n":' + b"9" * 5000 + b"}", "invalid_json"),
        (b'{"model":"' + b"a" * 100_000 + b'"}', "invalid_parameter"),
        (b'{"n":[' + b"1.5," * 100_000 + b"1]}", "invalid_parameter"),
        (b'{"n":NaN}', "invalid_json"),
    ],
    ids=range(10),
)
async def test_json(body: bytes, code: str) -> None:
    assert await refused(body) == code


def test_what_is_too_complex_is_never_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take ten times its length in memory, and the process for a second."""
    monkeypatch.setattr(inspect._DECODER, "decode", lambda _: pytest.fail("parsed"))
    for body in (b"[" * COUNT, b"," * (4 * COUNT), b":" * (4 * COUNT)):
        with pytest.raises(TokenError):
            inspect.estimate(body)


async def test_a_figure_that_is_none_is_not_written_out() -> None:
    """A list of millions as `n` would be printed whole to log 64 characters of it, and they would be the client's."""
    with pytest.raises(TokenError) as caught:
        inspect.estimate(json.dumps({"n": ["my password"] * 3}).encode())
    assert caught.value.detail == "list"


# Patterns


GLOBS = ["/**/a/**/b", "/*a*b", "/**/*a/**/*b", "/**/*a*b", "/x*y*/**/z", "/**", "/v1/**", "/**/a*"]
HOSTILE = [
    lambda n: "/a" * n,
    lambda n: "/" + "a" * 2 * n,
    lambda n: "/" * 2 * n,
    lambda n: "/x" + "y" * n + "/z" * (n // 2),
    lambda n: "/aa/" * n,
]


@pytest.mark.parametrize("glob", GLOBS)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_megabyte_of_path_against_any_glob(glob: str, hostile: Any) -> None:
    """Quadratic matching would take hours here: the run's own time limit is the guard."""
    compile_glob(glob).fullmatch(hostile(500_000))


async def test_a_megabyte_of_path_through_the_whole_pipeline() -> None:
    routes = [{"path": each, "dialect": "openai"} for each in GLOBS[:4]]
    guarded = Guarded(Upstream(), {**policy({"name": "requests", "rate": "10/minute"}), "routes": routes})
    for hostile in HOSTILE:
        assert (await guarded.get(hostile(500_000), KEY)).status == 200
    assert not guarded.guardrail.engine.router._known


def test_a_long_model_against_many_globs() -> None:
    models = Models({f"m{n}": ModelSettings(names=[f"*a*b*c*{n}*"]) for n in range(20)})
    name = "ab" * 512
    assert models.key(name) == "other"
    for each in range(4000):
        models.key(f"{each}" + name[: each % 512])
    assert len(models._known) <= 1024
    assert sum(map(len, models._known)) <= 1024 * 256


def test_our_own_regular_expressions_on_what_they_hate() -> None:
    """Each on a megabyte made for it: a megabyte of anything takes well under a second where matching is linear."""
    from guardrail_mw.asgi import scan, usage

    megabyte = 1_000_000
    for ask, text in (
        (usage._TEXT.search, b'"content":"' * (megabyte // 11)),
        (usage._TEXT.search, b'"text": "' + b"a" * megabyte),
        (usage._USAGE.search, b'"usage"' + b" " * megabyte),
        (usage._DURATION.match, b"{" + b'"task":"a",' * (megabyte // 11)),
        (usage._DURATION.match, b"{" + b" " * megabyte),
        (scan._INSIDE.match, b"\\\\" * (megabyte // 2)),
    ):
        ask(text)


# Answers


async def test_an_answer_that_unpacks_to_a_gigabyte_is_read_a_block_at_a_time() -> None:
    import tracemalloc
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = (
        b"".join(packer.compress(b" " * 1_000_000) for _ in range(64))
        + packer.compress(b'{"usage":{"total_tokens":7}}')
        + packer.flush()
    )
    guarded = Guarded(Upstream(packed, headers=[JSON, (b"content-encoding", b"gzip")]), policy(TOKENS))
    tracemalloc.start()
    assert (await guarded.post(CHAT, {})).body == packed
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


# Policies


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
        "&a [*a]",
        "version: 1\nlimits: &l\n  - *l\n",
        "[" * 100_000,
        "version: 1\nmode: " + "x" * 10_000_000,
        "version: 1\n" + "".join(f"k{n}: 1\n" for n in range(100_000)),
        "version: !!python/object/apply:os.system ['true']",
        "version: 1" + "0" * 5000,
    ],
    ids=["laughs", "self", "cycle", "deep", "long", "many", "code", "digits"],
)
def test_yaml(text: str, tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(PolicyError) as caught:
        load(path, environ={})
    assert sys.getsizeof(str(caught.value)) < 2_000_000


# Headers


@pytest.mark.parametrize("size", [8_193, 1_000_000])
async def test_a_credential_of_any_size_is_refused_before_it_is_read(size: int) -> None:
    guarded = Guarded(Upstream(), policy(TOKENS))
    answer = await guarded.post(CHAT, {}, (b"authorization", b"Bearer " + b"a" * size))
    assert answer.status == 431
    assert len(guarded.guardrail._resolver._known) == 0


async def test_chains_and_cookies_of_any_size_are_not_kept() -> None:
    guarded = Guarded(Upstream(), {**policy(TOKENS), "identity": {"trusted_proxies": ["10.0.0.0/8"]}})
    for number in range(200):
        chain = b"192.0.2.%d, " % number + b"10.0.0.1, " * 6000
        await guarded.post(CHAT, {}, (b"x-forwarded-for", chain), (b"cookie", b"c" * 100_000), client=("10.0.0.9", 1))
    known = guarded.guardrail._resolver._known
    assert len(known) == 0
    assert len(guarded.guardrail._resolver._locator._found) == 0
