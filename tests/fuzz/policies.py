"""Policies: any text is a policy, or every problem of it with its line; and a policy that was read can be used.

Input: YAML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml

from guardrail_mw.conditions import VERDICTS, Traits, compile_when
from guardrail_mw.engine import Guardrail
from guardrail_mw.errors import GuardrailError, PluginError, PolicyError, Problem
from guardrail_mw.policy import Policy, load, loads
from guardrail_mw.policy.describe import describe
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from .base import Target, within

SECRET: Final = "Zq9-a-secret-of-the-environment-7Xw"  # noqa: S105 - made up
ENVIRON: Final = {"X": "5", "SECRET": SECRET, "EMPTY": "", "MODE": "enforce"}
UNPLACED: Final = ("is larger than", "is empty.")
"""What a whole file can be, on no line."""
_MASK: Final = "**********"
_TESTS: Final = Path(__file__).parents[1]


def check(data: bytes) -> None:
    """One text, as YAML, as the mapping that PyYAML makes of it, and what came of it once more."""
    with within(5):
        found = read(lambda: loads(data, environ=ENVIRON))
        if isinstance(found, Policy):
            used(found)
        else:
            complained(found, data)
        if b"&" not in data and len(data) < 4000:
            mapped(data)


def read(attempt: Any) -> Policy | PolicyError:
    """A policy or its problems; nothing else may come."""
    try:
        policy: Policy = attempt()
    except PolicyError as error:
        return error
    assert isinstance(policy, Policy)
    return policy


def complained(error: PolicyError, text: bytes) -> None:
    """Every problem says what is wrong, and where; together they give nothing of the environment away."""
    assert error.problems
    lines = len(text.decode("utf-8", "replace").splitlines()) + 1
    for problem in error.problems:
        sound(problem)
        if problem.source == "<text>":
            assert problem.line is not None or problem.message.startswith(UNPLACED), f"on no line: {problem}"
            assert problem.line is None or 1 <= problem.line <= lines, f"line {problem.line} of {lines}"
    assert SECRET not in str(error) or SECRET.encode() in text, "a variable's value"


def sound(problem: Problem) -> None:
    """A problem that can be shown."""
    assert problem.message.strip()
    assert len(problem.message) < 2_000, "a long message"
    assert len(problem.hint) < 4_000, "a long hint"
    assert "\n" not in problem.message or problem.message.isprintable(), "a message of several lines"
    str(problem).encode()


def used(policy: Policy) -> None:
    """It can be described, hashed, written down and read again, and run; its conditions answer."""
    assert describe(policy).startswith("Mode ")
    assert len(policy.hash) == 16
    for limit in policy.limits:
        if limit.when is not None:
            asked(compile_when(limit.when, policy.identity.assurance))
    again(policy)
    runs(policy)


def asked(holds: Any) -> None:
    """A condition says yes or no of anybody, and of a higher verdict yes wherever it does of a lower one alone."""
    for verdict in VERDICTS:
        for traits in (
            Traits((), "POST", "other", verdict=verdict),
            Traits(("/v1/**",), "GET", "large", acr="x", ial="2", verdict=verdict),
        ):
            assert holds(traits) in {True, False}


def again(policy: Policy) -> None:
    """What was written loads to the same policy; written out as YAML, too."""
    said = policy.written()
    text = json.dumps(said)
    if _MASK in text:  # a secret is not written out
        return
    copy = load(said, environ={})
    assert copy.hash == policy.hash, "written and read it is another"
    assert copy.written() == said
    assert loads(yaml.safe_dump(said, allow_unicode=True), environ={}).hash == policy.hash, "as YAML it is another"


def runs(policy: Policy) -> None:
    """An engine can be made of it, or says why not."""
    if policy.console is not None or policy.telemetry.events:  # a port, files: not here
        return
    clock = FakeClock()
    try:
        guardrail = Guardrail(policy, store=MemoryStore(clock=clock), clock=clock, environ={})
    except (PolicyError, PluginError):  # what only building it tells
        return
    for path, method in (("/v1/chat/completions", "POST"), ("/health", "GET"), ("/", "QUERY")):
        guardrail.engine.router.find(path, method)


def mapped(data: bytes) -> None:
    """As a mapping of Python it is a policy, or not one, as well."""
    try:
        value = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, AttributeError, KeyError, IndexError, TypeError):
        return  # PyYAML's own troubles
    if not isinstance(value, Mapping):
        return
    try:
        found = read(lambda: load(value, environ=ENVIRON))
    except GuardrailError as error:
        raise AssertionError(f"{type(error).__name__} of a mapping") from error
    if isinstance(found, PolicyError):
        for problem in found.problems:
            sound(problem)
            assert problem.line is None or problem.source != "<mapping>"


SMALL: Final = r"""
version: 1
=====
version: 1
extends: guardrail:balanced
mode: shadow
=====
version: 1
extends: guardrail:watch
limits:
  - {name: requests, rate: 5/minute}
=====
version: 1
mode: ${MODE}
store: {url: 'redis://:${SECRET}@host:6379/0', processes: ${X}}
=====
version: 1
limits: &a
  - &b {name: a, per: [account], rate: 5/minute}
routes: *b
=====
version: 1
limits:
  - {name: a, per: [], rate: 5/minute, when: {tier: [x], acr: high, ial: 2, verdict: suspect, route: /v1/**}}
=====
version: 1
limits:
  - {name: a, unit: usd, per: [account], budget: 12.5/month, shadow: true}
  - {name: b, unit: tokens, per: [account, model], window: 100/hour, keep: 30%}
  - {name: c, replaces: a, per: [organisation], concurrency: 3, when: {tier: pro, model: m, method: POST}}
models: {m: {names: [m-*], usd_per_million: {input: 3}}}
=====
version: 1
velocity: [{name: v, distinct: network, per: account, over: 24h, approximate: true}]
risk: {scorers: [{use: velocity, with: {v: {from: 1, full: 9}}}, {use: automation}]}
friction:
  rollout: 5%
  false_positives: 20/day
  ladder:
    - {at: 30, do: delay, with: {seconds: 0.5}}
    - {at: 50, do: trim, with: {rewrite: [n, {max_tokens: 9}]}, shadow: true}
    - {at: 90, do: deny}
  allow: [{organisation: internal}]
=====
version: 1
identity:
  trusted_proxies: [10.0.0.0/8, unix, {hops: 2}]
  network: {header: forwarded, ipv4_prefix: 24}
  sources:
    - {use: header, with: {account: x-user}}
    - {use: jwt, with: {issuer: i, audience: null, algorithms: [HS256], secret: '${SECRET}'}}
    - {use: api_key, with: {headers: [x-api-key], trust: app}}
  device: {tls_header: x-ja4}
  assurance: [low, high]
=====
version: 1
identity:
  sources:
    - use: jwt
      with:
        issuer: i
        audience: [a]
        algorithms: [ES256, EdDSA]
        leeway: 1m
        jwks:
          keys:
            - {kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo, kid: k, use: sig, key_ops: [verify]}
    - use: jwt
      with:
        issuer: j
        audience: a
        algorithms: [HS256]
        jwks: {keys: [{kty: oct, k: c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0, alg: HS256}]}
    - {use: api_key, with: {trust: keys, keys: [{sha256: ${EMPTY}, account: a}]}}
=====
%YAML 1.1
---
version: !!int 1
<<: {}
? [a]
: b
=====
version: 1
routes:
  - path: [/a/*/b, /x/**]
    methods: [GET]
    exempt: true
  - {path: /**, dialect: openai, limits: [a]}
=====
version: 1
telemetry: {metrics: true, events: [{use: log}]}
console: {listen: '127.0.0.1:9000', token: '${SECRET}'}
inspect: {max_body: 1MiB, budget: 2MiB}
reserve: {output: 10, media: 5}
=====
version: 1.0
mode: yes
limits: ~
store: "\ud800"
=====
version: 1
store: {url: "\x00", deadline: 5}
=====
version: 1
store: {url: '$${X}'}
mode: ${NONE:-enforce}
extends: ${EMPTY}
"""
"""Of every section something, and of every mistake."""
BOMB: Final = b"version: 1\na: &a [x, x]\n" + b"".join(
    b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122)
)
ODD: Final = (
    b"{" * 40, b"- " * 40 + b"a", b"a: *a\n", b"a: &a [*a]\n", b"\x00", b"\xef\xbb\xbfversion: 1\n", b"a:\n\t- b\n",
    b"---\n---\n",
    b"", b"version: 1\nmode: \xff", BOMB,
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """The policies that ship, those of the tests, and small ones for each section and each mistake."""
    for text in SMALL.strip("\n").split("\n=====\n"):
        yield text.encode()
    yield from ODD
    for item in sorted((files("guardrail_mw.policy") / "builtin").iterdir(), key=lambda each: each.name):
        if item.name.endswith(".yaml"):
            yield item.read_bytes()
    yield (_TESTS / "policy/example.yaml").read_bytes()
    for page in sorted((_TESTS.parent / "docs").rglob("*.md")):
        for block in re.findall(r"^```yaml[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            yield (block if "version:" in block else f"version: 1\n{block}").encode()


WORDS: Final = (
    b"version: 1\n", b"mode: enforce", b"extends: guardrail:watch", b"store:", b"url: memory://", b"deadline: 25ms",
    b"on_error: deny", b"identity:", b"trusted_proxies: [", b"sources: [{use: ", b"api_key", b"jwt", b"with: {",
    b"audience: null", b"algorithms: [ES256]", b"routes:\n- path: ", b"/v1/**", b"exempt: true", b"dialect: openai",
    b"methods: [", b"limits:\n- {name: a, ", b"per: [account]", b"rate: 5/minute", b"window: 5/hour", b"budget: 5/month",
    b"concurrency: 3", b"burst: 9", b"keep: 30%", b"unit: usd", b"replaces: ", b"when: {", b"tier: x",
    b"verdict: suspect", b"acr: ", b"ial: ", b"route: ", b"model: other", b"models:", b"usd_per_million: {input: 1",
    b"velocity:", b"distinct: ", b"count: attempts", b"over: 10m", b"risk:", b"scorers: [", b"friction:",
    b"ladder: [{at: 30, do: ", b"delay", b"trim", b"deny", b"false_positives: 20/day", b"rollout: 5%", b"allow: [{",
    b"telemetry:", b"events: [{use: log", b"console:", b"${X}", b"${SECRET}", b"${", b":-", b"$${", b"&a ", b"*a",
    b"<<: ", b"!!str ", b"? ", b"|\n", b">-\n", b"'", b'"', b"\\ud800", b"---\n", b"%YAML 1.1\n", b"null", b"~", b"true",
    b"1e9", b"0x10", b"-1", b"inspect: {max_body: 1MiB}", b"reserve: {output: 1", b"strict: true", b"headers: [ietf]",
)  # fmt: skip

TARGET: Final = Target("policy", check, seeds, WORDS, 3072)
