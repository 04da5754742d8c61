"""The JSON Schema that ships: the models' own, and what editors make of it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from guardrail_mw.errors import PolicyError
from guardrail_mw.policy import load
from guardrail_mw.policy.merge import builtins, read
from guardrail_mw.policy.schema import json_schema, render


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_schema())
    return Draft202012Validator(json_schema())


def test_the_file_that_ships_is_the_models_own() -> None:
    shipped = (files("guardrail_mw.policy") / "schema.json").read_text(encoding="utf-8")
    assert shipped == render(), "run: python -m guardrail_mw.policy.schema > src/guardrail_mw/policy/schema.json"


def test_the_example_is_valid(validator: Draft202012Validator, example: bytes) -> None:
    validator.validate(yaml.safe_load(example))


@pytest.mark.parametrize("name", builtins())
def test_what_ships_is_valid(validator: Draft202012Validator, name: str) -> None:
    validator.validate(yaml.safe_load(read(name)))


@pytest.mark.parametrize(
    "document",
    [
        {"version": 1, "extends": "guardrail:balanced", "mode": "shadow"},
        {"version": 1, "mode": "${GUARDRAIL_MODE:-shadow}", "store": {"processes": "${N:-4}", "deadline": "${D}"}},
        {"version": 1, "extends": "base.yaml", "limits": [{"name": "requests", "shadow": True}]},
        {"version": 1, "extends": "base.yaml", "models": {"large": {"usd_per_million": {"cached": 1}}}},
        {
            "version": 1,
            "limits": [{"name": "a", "per": [], "rate": "10 PER Minute", "when": {"tier": "x", "verdict": ["none"]}}],
        },
        {"version": 1, "routes": [{"path": "/a", "methods": ["GET"], "limits": []}], "headers": []},
        {"version": 1, "clusters": {}},
        {
            "version": 1,
            "clusters": {
                "every": "${EVERY:-10m}",
                "content": False,
                "shared_networks": ["100.64.0.0/10", "2001:db8::/32"],
                "kinds": {"badge": {"family": "reputation", "bound": True, "code": 40}},
                "material": {"accounts": 50, "tokens": "1%"},
            },
        },
    ],
)
def test_valid_documents(validator: Draft202012Validator, document: dict[str, Any]) -> None:
    validator.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        {"version": 1, "mode": "on"},
        {"version": 1, "stor": {}},
        {"version": 1, "audit": {}},
        {"version": 1, "clusters": {"every": 600}},
        {"version": 1, "clusters": {"kinds": {"Badge": {"family": "reputation"}}}},
        {"version": 1, "clusters": {"kinds": {"badge": {"family": "badges"}}}},
        {"version": 1, "store": {"deadline": "25"}},
        {"version": 1, "store": {"deadline": 25}},
        {"version": 1, "store": {"processes": 0}},
        {"version": 1, "store": {"processes": "4"}},
        {"version": 1, "inspect": {"max_body": "32mb"}},
        {"version": 1, "reserve": {"strict": "yes"}},
        {"version": 1, "headers": ["ietf", "other"]},
        {"version": 1, "routes": [{"dialect": "openai"}]},
        {"version": 1, "routes": [{"path": "/x", "dialect": "cohere"}]},
        {"version": 1, "models": {"a b": {}}},
        {"version": 1, "models": {"large": {"usd_per_million": {"input": 3}}}},
        {"version": 1, "models": {"large": {"usd_per_million": {"input": -3, "output": 1}}}},
        {"version": 1, "limits": [{"name": "a", "rate": "60/minute"}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"]}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": "1/minute", "window": "1/minute"}]},
        {"version": 1, "limits": [{"name": "a", "per": ["gadget"], "rate": "60/minute"}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": "60/fortnight"}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": 60}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "budget": "60/second"}]},
        {"version": 1, "limits": [{"name": "A", "per": ["account"], "rate": "60/minute"}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": "60/minute", "burst": 0}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": "60/minute", "when": {"verdict": "guilty"}}]},
        {"version": 1, "limits": [{"name": "a", "per": ["account"], "rate": "60/minute", "when": None}]},
        {"version": 1, "identity": {"network": {"ipv4_prefix": 33}}},
    ],
)
def test_what_the_schema_refuses_the_loader_does_too(validator: Draft202012Validator, document: dict[str, Any]) -> None:
    assert not validator.is_valid(document)
    if document.get("limits", [{}])[0].get("when", {}) is not None:  # in a mapping of Python None is a key left out
        with pytest.raises(PolicyError):
            load(document)


def test_every_setting_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, model in json_schema()["$defs"].items()
        if name in {"StoreSettings", "RouteSettings", "InspectSettings", "LimitSettings", "ReserveSettings"}
        for key, field in model["properties"].items()
        if "description" not in field
    ]
    assert undescribed == []
