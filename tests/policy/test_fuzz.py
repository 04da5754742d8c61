"""Whatever is read as a policy is read or refused, quickly: nothing else is ever raised."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import Policy, load, loads

Problems = Callable[..., list[Problem]]


YAML = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["60/minute", "account", "requests", "${X}", "${", "guardrail:watch", "/v1/**", "30%", "usd", "1d", "memory://"]
    ),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "version",
                    "mode",
                    "extends",
                    "store",
                    "identity",
                    "routes",
                    "models",
                    "reserve",
                    "inspect",
                    "headers",
                    "limits",
                    "name",
                    "per",
                    "rate",
                    "unit",
                    "when",
                    "keep",
                    "burst",
                    "replaces",
                    "path",
                    "url",
                    "sources",
                    "use",
                    "with",
                    "names",
                    "budget",
                    "usd_per_million",
                    "input",
                    "output",
                    "friction",
                    "verdict",
                    "model",
                    "route",
                ]
            )
            | st.text(max_size=5),
            children,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def _found(load_it: Callable[[], Policy]) -> Policy | list[Problem]:
    try:
        return load_it()
    except PolicyError as error:
        return error.problems


def refused_or_read(load_it: Callable[[], Policy]) -> None:
    started = time.process_time()
    found = _found(load_it)
    assert isinstance(found, Policy) or (found and all(problem.message for problem in found))
    assert time.process_time() - started < 2


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["version", "limits", "routes", "models", "store", "identity", "extends"]), YAML, max_size=5
    )
)
def test_any_mapping_is_read_or_refused(mapping: dict[str, Any]) -> None:
    refused_or_read(lambda: load({"version": 1, **mapping}, environ={"X": "5"}))


@settings(max_examples=150, deadline=None)
@given(YAML)
def test_any_yaml_is_read_or_refused(value: object) -> None:
    refused_or_read(lambda: loads(yaml.safe_dump({"version": 1, "limits": [value], "store": value}), environ={}))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="ab:{}[]-&*!|>'\"%@`#,? \n\t\\$<", max_size=120).map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    refused_or_read(lambda: loads(text, environ={}))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_policy_is_read_or_refused(example: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(example) - 1))
    cut = data.draw(st.integers(0, 12))
    refused_or_read(lambda: loads(example[:at] + data.draw(st.binary(max_size=4)) + example[at + cut :], environ={}))
