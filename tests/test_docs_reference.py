"""What docs/reference lists is what there is: keys, commands, codes, fields, variables, counts, names."""

from __future__ import annotations

import ast
import pydoc
import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import anthropic
import httpx2
import openai
import pytest

import guardrail_mw
from guardrail_mw.asgi.dialects.openai import OPENAI
from guardrail_mw.asgi.http import OURS
from guardrail_mw.asgi.respond import refusal
from guardrail_mw.cli import main
from guardrail_mw.engine import Exchange, notices
from guardrail_mw.engine.clearing import Said
from guardrail_mw.errors import TokenError
from guardrail_mw.friction.verification.providers.base import Refusal
from guardrail_mw.identity.jwt import JwtSource
from guardrail_mw.plugins import KINDS
from guardrail_mw.policy import StoreSettings
from guardrail_mw.stores.redis.batches import REPLAYS
from guardrail_mw.testing import plugin
from guardrail_mw.values import Deny

from . import docs_reference

ROOT = Path(__file__).parent.parent


def listed(page: str, *, section: str = "") -> list[str]:
    """What stands as code in the first cells of a page's tables, or of one section's."""
    text = (ROOT / "docs/reference" / page).read_text()
    if section:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [name for cell in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)]


def calls(*folders: str) -> Iterator[tuple[str, ast.Call]]:
    """The calls in the package's source, by the last part of what is called."""
    for folder in folders or ("",):
        for file in sorted((ROOT / "src/guardrail_mw" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    yield getattr(node.func, "attr", getattr(node.func, "id", "")), node


def text_of(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_fixture_is_documented() -> None:
    assert sorted(listed("testing.md", section="Fixtures")) == plugin.__all__


@pytest.mark.parametrize("page", docs_reference.PAGES, ids=lambda page: page.name)
def test_what_is_made_from_the_code_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert text == docs_reference.remade(text), f"run: python -m {docs_reference.__name__}"


def test_every_key_of_a_policy_is_documented() -> None:
    text = (ROOT / "docs/reference/policy.md").read_text()
    made = re.findall(r"<!-- made: policy (\w+) -->", text)
    assert sorted(made) == sorted(docs_reference.MODELS)
    for name, model in docs_reference.MODELS.items():
        assert [f"{name}.{key}" for key, meaning in docs_reference.words(model).items() if not meaning] == []
    assert docs_reference.strays() == set()


def test_every_command_is_documented() -> None:
    made = re.findall(r"<!-- made: help ([\w-]+) -->", (ROOT / "docs/reference/command-line.md").read_text())
    assert made == [*docs_reference.commands()]
    assert set(main.commands) < set(made)


def test_every_error_code_is_documented() -> None:
    codes = {signature(TokenError).parameters["code"].default}
    for name, call in calls("asgi", "engine", "identity"):
        if name == "TokenError":
            codes |= {text_of(keyword.value) for keyword in call.keywords if keyword.arg == "code"}
        elif name in {"Deny", "_bad"} and call.args:
            codes.add(text_of(call.args[1 if name == "Deny" else 0]))
    for node in ast.walk(ast.parse((ROOT / "src/guardrail_mw/asgi/dialects/openai.py").read_text())):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "code":
            codes |= {text_of(each) for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    assert sorted(listed("answers.md", section="Error codes")[3:]) == sorted(codes - {""})


def test_every_code_of_verification_is_documented() -> None:
    """They stand in calls of `problem`, and in tables: status, code and words, or what, status and code."""
    codes = set()
    for name in ("appealing", "endpoints", "reporting", "verifying", "visiting"):
        for node in ast.walk(ast.parse((ROOT / f"src/guardrail_mw/asgi/{name}.py").read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "problem" and len(node.args) > 1:
                codes.add(text_of(node.args[1]))
            elif isinstance(node, ast.Tuple) and len(node.elts) == 3:
                numbers = [isinstance(getattr(each, "value", None), int) for each in node.elts]
                if any(numbers[:2]):
                    codes.add(text_of(node.elts[numbers.index(True) + 1]))
    section = (ROOT / "docs/reference/answers.md").read_text().partition("\n## Verification\n")[2].partition("\n## ")[0]
    rows = section.partition("| code | status | meaning |")[2]
    assert sorted(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)) == sorted(codes - {""})


def test_every_header_field_is_documented() -> None:
    fields = {name.decode() for name in OURS} | {"set-cookie"}
    for code, status in (("invalid_token", 401), ("rate_limited", 429)):
        deny = Deny("0" * 24, code, status, "No.", retry=True, wait=1_000_000)
        fields |= {name.decode() for name, _ in refusal(deny, OPENAI).headers}
    assert sorted(listed("answers.md", section="Header fields")) == sorted(fields)


@pytest.mark.parametrize(("sdk", "client", "column"), [(openai, openai.OpenAI, 0), (anthropic, anthropic.Anthropic, 1)])
def test_the_sdks_raise_what_is_documented(sdk: Any, client: Any, column: int) -> None:
    text = (ROOT / "docs/reference/answers.md").read_text()
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|$", text, re.MULTILINE)
    assert len(rows) == 9
    for status, *names in rows:
        transport = httpx2.MockTransport(lambda _, status=int(status): httpx2.Response(status, json={}))
        with httpx2.Client(transport=transport) as http:
            caller = client(api_key="k", base_url="http://t", http_client=http, max_retries=0)
            with pytest.raises(sdk.APIStatusError) as raised:
                caller.models.list()
        assert type(raised.value).__name__ == names[column]


def test_every_environment_variable_is_documented() -> None:
    names = set()
    for file in (ROOT / "src").rglob("*.py"):
        names |= set(re.findall(r"GUARDRAIL_[A-Z_]+", file.read_text()))
    documented = {*listed("environment.md"), *listed("testing.md", section="Environment")} - {"WEB_CONCURRENCY", "CI"}
    assert sorted(documented) == sorted(names)


def test_everything_that_is_counted_is_documented() -> None:
    several = {
        "challenges.": {*get_args(Said)} - {"unreadable"},  # that is no answer to any
        "on_error.": get_args(StoreSettings.model_fields["on_error"].annotation),
        "store.": [*map(str.lower, REPLAYS)],
        "verification.": notices._ALL,
        "verification.webhook_": get_args(Refusal),
    }
    counted, passed_on = set(), set()
    for name, call in calls():
        first = call.args[0] if call.args else None
        if name in {"count", "_count"} and isinstance(first, ast.JoinedStr):
            start = text_of(first.values[0])
            counted |= {start + rest for rest in several[start]}
        elif name in {"count", "_count"}:
            counted.add(text_of(first))
        elif name == "_refusal":
            passed_on |= {text_of(each) for each in call.args}
    passed_on.add(signature(JwtSource._refusal).parameters["event"].default)
    counted = {name for name in counted | passed_on if re.fullmatch(r"\w+\.\w+", name)} - {"store.late"}  # no server's word
    assert sorted(listed("counts.md")) == sorted(counted)


def test_the_public_names_are_documented() -> None:
    assert sorted(listed("python.md", section="`guardrail_mw`")) == sorted(guardrail_mw.__all__)
    members = [re.sub(r"^await |\(.*", "", name) for name in listed("python.md", section="`Guardrail`")]
    guardrail = guardrail_mw.Guardrail({"version": 1}, environ={})
    assert sorted(members) == [name for name in dir(guardrail) if not name.startswith("_")]
    members = [re.sub(r"^await |\(.*", "", name) for name in listed("python.md", section="The exchange")]
    assert [name for name in members if not hasattr(Exchange, name)] == []


def test_every_dotted_name_of_the_python_reference_is_there() -> None:
    for name in set(re.findall(r"`(guardrail_mw\.[\w.]+)", (ROOT / "docs/reference/python.md").read_text())):
        kind = name.removeprefix("guardrail_mw.")
        assert kind in KINDS or pydoc.locate(name) is not None, name
