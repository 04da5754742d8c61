"""docs/reference/operators-port.md says what there is: every endpoint, parameter, key, status and code, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from jsonschema import Draft202012Validator

from guardrail_mw import console
from guardrail_mw.console.api import MOST
from guardrail_mw.console.app import openapi
from guardrail_mw.console.asked import LONG, LONGEST
from guardrail_mw.engine.desk import ACTS, Operator
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.testing.clock import FakeClock

from . import reference
from .kit import BEARER, JSON, Operated
from .played import BODIES, QUERIES, play, printed
from .words import ERRORS, GENERAL, WORDS

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs/reference/operators-port.md").read_text()
OPERATIONS = reference.operations()
OBJECTS = ("Standing", "Limit", "Case", "Appeal", "Cluster", "Ordered")
ACCOUNT = "a:nobody-ever-called-me"
SOURCES = [ast.parse(file.read_text()) for file in sorted(Path(console.__path__[0]).glob("*.py"))]


def answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """The schemas of what is answered where it stands in the page, by what `WORDS` call them."""
    for operation in OPERATIONS.values():
        for status, answer in operation.answers.items():
            if status < 400:
                yield f"{operation.id}:{status}", next(iter(answer["content"].values()))["schema"]
    for name in OBJECTS:
        yield name, openapi()["components"]["schemas"][name]


def test_every_endpoint_is_there_once() -> None:
    made = re.findall(r"<!-- made: port ([\w-]+) -->", PAGE)
    assert made == ["errors", "endpoints", *OPERATIONS, *OBJECTS]


def test_every_parameter_and_key_has_words() -> None:
    wordless = [
        f"{operation.id}.{row.name}"
        for operation in OPERATIONS.values()
        for row in reference.rows(operation)
        if not row.meaning
    ]
    for of, schema in answers():
        wordless += [f"{of}.{row.name}" for row in reference.keys(of, schema) if not row.meaning]
    assert wordless == []


def test_no_words_are_left_of_what_is_gone() -> None:
    there = {f"{operation.id}.{row.name}" for operation in OPERATIONS.values() for row in reference.rows(operation)}
    for of, schema in answers():
        there |= {f"{of}.", *(f"{of}.{row.name}" for row in reference.keys(of, schema))}
    assert set(WORDS) - there == set()


def test_what_the_code_reads_of_a_query_is_documented() -> None:
    read = set()
    for node in (node for tree in SOURCES for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(node.func)
        if called.endswith("query_params.get") and isinstance(node.args[0], ast.Constant):
            read.add(node.args[0].value)
        elif called == "number" and isinstance(node.args[1], ast.Constant):
            read.add(node.args[1].value)
    written = {row.name for operation in OPERATIONS.values() for row in reference.rows(operation) if row.where == "query"}
    assert read == written == {"a", "account", "b", "n", "route", "skip", "state"}


@pytest.mark.parametrize("name", [*ACTS, "switch"])
def test_what_an_act_takes_is_documented(name: str) -> None:
    takes = {
        each.name: each.default is each.empty or (name, each.name) == ("switch", "mode")
        for each in signature(getattr(Operator, name)).parameters.values()
        if each.name not in {"self", "account"}
    }
    rows = [row for row in reference.rows(OPERATIONS[name]) if row.where == "body"]
    required = {row.name: row.usual == "required" for row in rows}
    if name == "switch":
        takes["rule"] = False  # over the port it may be left out
    assert required == takes


def test_every_code_of_an_error_is_documented_with_its_status() -> None:
    told: set[tuple[str, int]] = set()
    for tree in SOURCES:
        codes = [
            each.value for each in ast.walk(tree) if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "code"
        ]
        several = {each.value for code in codes for each in ast.walk(code) if isinstance(each, ast.Constant) and each.value}
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if ast.unparse(node.func) in {"problem", "ProblemError"} and isinstance(node.args[0], ast.Constant):
                code = node.args[1]
                words = {code.value} if isinstance(code, ast.Constant) else several
                told |= {(str(word), node.args[0].value) for word in words}  # type: ignore[misc]
    assert told == {(code, status) for code, (status, _) in ERRORS.items()}


def test_every_code_belongs_to_an_endpoint_or_to_none() -> None:
    found = {code for operation in OPERATIONS.values() for codes in reference.codes(operation).values() for code in codes}
    assert found | GENERAL == set(ERRORS)
    assert found & GENERAL == set()
    for operation in OPERATIONS.values():
        assert all(reference.codes(operation).values()), operation.id


def test_figures_of_the_page_are_those_of_the_code() -> None:
    assert f"{LONGEST // 1024} KiB at most, {LONG // 1024**2} MiB where" in PAGE
    assert reference.rows(OPERATIONS["decisions"])[1].value == f"whole number, 1 to {MOST}"


# The examples


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_example_is_as_the_document_says(name: str) -> None:
    operation, played = OPERATIONS[name], play()[name]
    assert played.status == 200
    assert (name in BODIES) is bool(operation.body)
    if operation.body:
        valid(played.sent, operation.body)
    assert set(re.findall(r"[?&](\w+)=", f"?{QUERIES.get(name, '')}")) <= {row.name for row in reference.rows(operation)}
    content = operation.answers[200]["content"]
    assert played.kind.partition(";")[0] in content
    if "application/json" in content:
        valid(played.said, content["application/json"]["schema"])


def test_examples_are_the_same_each_time() -> None:
    first = {name: printed(name, played.said) for name, played in play().items()}
    play.cache_clear()
    assert {name: printed(name, played.said) for name, played in play().items()} == first


def valid(instance: Any, schema: Any) -> None:
    Draft202012Validator({**schema, "components": openapi()["components"]}).validate(instance)


# What is answered is documented, and what is documented is answered


class Down(MemoryStore):
    """A store that is down, in everything that an operator needs of it."""

    async def _fails(self, *_: object) -> Any:
        raise StoreError("The store is unavailable.", "as the test wants it")

    peek = export = reset = erase = remember = link = unlink = read_switches = write_switch = _fails  # type: ignore[assignment]
    listed = pull = file = recall = _fails  # type: ignore[assignment]

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(clock=self.clock)


PARTNERS = {"name": "partners", "count": "attempts", "per": "account", "over": "1h", "when": {"tier": "partner"}}
"""A rule that asks for the tier of the example: else there would be none to give."""
TROUBLE: dict[str, dict[str, Any]] = {
    "no token": {"headers": [JSON]},
    "a wrong token": {"headers": [JSON, (b"authorization", b"Bearer no")]},
    "eleven wrong tokens": {"headers": [JSON, (b"authorization", b"Bearer no")], "times": 11},
    "no JSON": {"raw": b"{"},
    "a long body": {"raw": b" " * LONG + b"{}"},
    "plain text": {"headers": [BEARER, (b"content-type", b"text/plain")]},
    "nothing": {"raw": b"{}"},
    "no account": {"named": {"account": "me"}, "query": "account=me"},
    "no id": {"named": {"case": "mine", "appeal": "mine", "cluster": "mine"}},
    "no number": {"query": "n=0"},
    "no route": {"query": "route=nowhere"},
    "no rule": {"body": {"mode": "shadow", "rule": "nothing"}},
    "a store that is down": {"store": Down},
    "no clusters": {"clusters": None},
    "no numpy": {"absent": "guardrail_mw.clusterwork.work"},
    "ordinary": {},
}


async def asked(operation: reference.Operation, how: dict[str, Any]) -> tuple[int, str]:
    """Status and code of an answer."""
    operated = Operated(
        store=how["store"]() if "store" in how else None, velocity=[PARTNERS], clusters=how.get("clusters", {})
    )
    named = {"account": ACCOUNT, "decision": "0123456789abcdef", "case": "0" * 24, "appeal": "0" * 12, "cluster": "0" * 12}
    path = operation.path.format(**named | how.get("named", {}))
    body = how.get("raw", json.dumps(how.get("body", BODIES.get(operation.id, {}))).encode())
    headers = how.get("headers", [BEARER, JSON])
    usual = f"a={ACCOUNT}&b={ACCOUNT}" if operation.id == "explainCluster" else ""
    absent = {how["absent"]: None} if "absent" in how else {}
    for _ in range(how.get("times", 1)):
        with patch.dict(sys.modules, absent):
            answer = await operated.at(operation.method, f"{path}?{how.get('query', usual)}", None, *headers, raw=[body])
    return answer.status, answer.json["code"] if answer.status >= 400 else ""


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_error_is_documented_and_every_documented_one_can_be_met(name: str) -> None:
    operation = OPERATIONS[name]
    met = [await asked(operation, how) for how in TROUBLE.values()]
    documented = {(status, code) for status, codes in reference.codes(operation).items() for code in codes}
    assert {each for each in met if each[1]} == documented
