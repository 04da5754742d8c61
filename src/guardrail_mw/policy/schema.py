"""The JSON Schema of a policy, for editors and for whoever writes policies by program.

Made from the models; `schema.json` is the copy that ships, and a test holds the two equal. It says of a *file* what can be
said of one: wherever a value is expected `${NAME}` may stand, and a file that extends another may leave out what that says.
"""

from __future__ import annotations

import json
import sys
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from guardrail_mw.limits.settings import FIGURES
from guardrail_mw.policy.document import Policy
from guardrail_mw.quantities import Quantity

__all__ = ["json_schema", "render"]

_ENVIRONMENT: Final = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "An environment variable, ${NAME} or ${NAME:-default}.",
}
_NOTES: Final = ("title", "description", "default")


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Quantities as they are written."""
        return str(dft) if isinstance(dft, Quantity) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    schema = Policy.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions = schema.pop("$defs")
    schema = _tidy(schema)
    definitions = {name: _tidy(each) for name, each in sorted(definitions.items())}
    limits, prices = definitions["LimitSettings"], definitions["PriceSettings"]
    whole = {
        "limits": {"items": {"required": limits.pop("required"), "oneOf": [{"required": [key]} for key in FIGURES]}},
        "models": {"additionalProperties": {"properties": {"usd_per_million": {"required": prices.pop("required")}}}},
    }
    limits["required"] = ["name"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "A policy of guardrail_mw",
        "if": {"not": {"required": ["extends"]}},
        "then": {"properties": whole},
        "$defs": {**definitions, "environment": _ENVIRONMENT},
    }


def render() -> str:
    """The schema as the file that ships holds it."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Without titles and nulls; keys that must fit a pattern are the only ones; values may come from the environment."""
    schema = {key: value for key, value in schema.items() if key != "title" and not (key == "default" and value is None)}
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"type": "null"}]
        if len(options) == 1:
            return _tidy({**{key: value for key, value in schema.items() if key != "anyOf"}, **options[0]})
        return {**schema, "anyOf": [_tidy(option) for option in options]}
    for key in ("properties", "patternProperties"):
        if key in schema:
            schema[key] = {name: _tidy(each) for name, each in schema[key].items()}
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        schema["items"] = _tidy(schema["items"])
    for key in ("oneOf",):
        if key in schema:
            schema["anyOf"] = [_tidy(each) for each in schema.pop(key)]
    return _open(schema)


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Let a leaf come from the environment."""
    leaf = {"enum", "const", "pattern"} & schema.keys() or schema.get("type") in {"integer", "number", "boolean"}
    if not leaf:
        return schema
    notes: dict[str, Any] = {key: schema[key] for key in _NOTES if key in schema}
    rest = {key: value for key, value in schema.items() if key not in notes}
    return {**notes, "anyOf": [rest, {"$ref": "#/$defs/environment"}]}


if __name__ == "__main__":
    sys.stdout.write(render())
