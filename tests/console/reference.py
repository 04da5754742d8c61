"""The parts of docs/reference/operators-port.md, made from the OpenAPI document; `python -m tests.docs_reference` writes them.

`<!-- made: port endpoints -->`, `errors` and the names of schemas are tables; the id of an operation is all about it, with an
example that `played.py` has asked for. `test_reference.py` fails where something has no words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from guardrail_mw.console.app import openapi

from .played import METHODS, play, printed
from .words import ERRORS, GENERAL, MISSING, WORDS

__all__ = ["OBJECTS", "Operation", "Row", "codes", "keys", "make", "operations", "rows", "slug"]

OBJECTS: Final = {
    "Standing": "#standing",
    "Limit": "#limit",
    "Case": "#case",
    "Appeal": "#appeal",
    "Cluster": "#cluster",
    "Ordered": "#ordered",
    "Event": "events.md#fields",
}
"""Where schemas that have a table of their own are found."""

_REASONS: Final = {
    "erase": "required, kept in the log alone",
    "switch": "may be given, must be for `off`; kept in the log",
}
_KEPT: Final = "required, kept with the account and in the log"


class Operation(NamedTuple):
    """One method of a path."""

    id: str
    method: str
    """In capitals."""
    path: str
    parameters: tuple[Mapping[str, Any], ...]
    """The path's and its own."""
    said: Mapping[str, Any]
    """What the document says of it."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The schema of its body; empty for none."""
        if "requestBody" not in self.said:
            return {}
        schema: Mapping[str, Any] = self.said["requestBody"]["content"]["application/json"]["schema"]
        return schema

    @property
    def answers(self) -> dict[int, Mapping[str, Any]]:
        """What it may answer, by status."""
        return {int(status): _resolved(each) for status, each in self.said["responses"].items()}

    @property
    def reason(self) -> str:
        """What it wants of a reason; empty where it takes none."""
        return _REASONS.get(self.id, _KEPT) if "reason" in self.body.get("properties", {}) else ""


class Row(NamedTuple):
    """Something with a name: a parameter, a key of a body or of an answer."""

    name: str
    where: str
    value: str
    usual: str
    """Its default, or that it is required."""
    meaning: str


def operations() -> dict[str, Operation]:
    """All of the document, in its order, by id."""
    found = {}
    for path, item in openapi()["paths"].items():
        for method in [each for each in METHODS if each in item]:
            said = item[method]
            parameters = [_resolved(each) for each in (*item.get("parameters", ()), *said.get("parameters", ()))]
            found[said["operationId"]] = Operation(said["operationId"], method.upper(), path, tuple(parameters), said)
    return found


def codes(operation: Operation) -> dict[int, tuple[str, ...]]:
    """The codes of the errors that it may answer, by status."""
    others = {code for each in MISSING.values() for code in each}.difference(MISSING.get(operation.id, ())) | GENERAL
    mine = {code: status for code, (status, _) in ERRORS.items() if code not in others}
    return {
        status: tuple(code for code, its in mine.items() if its == status) for status in operation.answers if status >= 400
    }


def rows(operation: Operation) -> list[Row]:
    """What a request may hold."""
    found = []
    for each in operation.parameters:
        said, required = each.get("description", ""), each.get("required", False)
        found.append(_row(operation.id, each["name"], each["in"], each["schema"], said, required=required))
    required = operation.body.get("required", ())
    for name, schema in operation.body.get("properties", {}).items():
        found.append(_row(operation.id, name, "body", schema, required=name in required))
    return found


def keys(of: str, schema: Mapping[str, Any]) -> list[Row]:
    """What an answer or an object holds; `of` is what `WORDS` call it."""
    return [_row(of, name, "", each) for name, each in schema.get("properties", {}).items()]


def make(name: str) -> str:
    """The text between two comments."""
    if name == "endpoints":
        return _endpoints()
    if name == "errors":
        return _errors()
    if name in OBJECTS:
        return _keys(name, openapi()["components"]["schemas"][name])
    return _endpoint(operations()[name])


def slug(operation: Operation) -> str:
    """The anchor of its heading."""
    return re.sub(r"[^a-z0-9 _-]", "", f"{operation.method} {operation.path}".lower()).replace(" ", "-")


def _endpoints() -> str:
    lines = ["| request | | reason |", "|---|---|---|"]
    lines += [
        f"| [`{each.method} {each.path}`](#{slug(each)}) | {each.said['summary']} | {each.reason} |"
        for each in operations().values()
    ]
    return "\n".join(lines) + "\n"


def _errors() -> str:
    lines = ["| status | code | |", "|---|---|---|"]
    lines += [f"| {status} | `{code}` | {meaning} |" for code, (status, meaning) in ERRORS.items()]
    return "\n".join(lines) + "\n"


def _endpoint(operation: Operation) -> str:
    said = operation.said
    text = f"{said['summary']}. {said.get('description', '')}".strip()
    parts = [f"### {operation.method} {operation.path}", text]
    if operation.reason:
        parts.append(f"Reason: {operation.reason}.")
    if wanted := rows(operation):
        lines = [f"| `{row.name}` | {row.where} | {row.value} | {row.usual} | {row.meaning} |" for row in wanted]
        parts.append("\n".join(["| | in | value | default | |", "|---|---|---|---|---|", *lines]))
    for status, answer in operation.answers.items():
        if status < 400:
            parts.append(_answer(operation, status, answer))
    wrong = [f"{status} {' or '.join(f'`{code}`' for code in each)}" for status, each in codes(operation).items()]
    parts.append(f"[Errors](#errors): {', '.join(wrong) or 'none'}.")
    return "\n\n".join([*parts, *_example(operation)]) + "\n"


def _answer(operation: Operation, status: int, answer: Mapping[str, Any]) -> str:
    described = answer["description"].rstrip(".")
    described = f"{described[0].lower()}{described[1:]}."
    kinds, of = answer["content"], f"{operation.id}:{status}"
    schema = next(iter(kinds.values()))["schema"]
    if "$ref" in schema:
        return f"Answers {status} with {_value(schema)}: {described}"
    if "properties" in schema:
        return f"Answers {status}: {described}\n\n{_keys(of, schema).rstrip()}"
    more = [WORDS[f"{of}."]] if f"{of}." in WORDS else []
    return " ".join([f"Answers {status}, {' or '.join(f'`{kind}`' for kind in kinds)}: {described}", *more])


def _keys(of: str, schema: Mapping[str, Any]) -> str:
    lines = ["| key | value | |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {row.value} | {row.meaning} |" for row in keys(of, schema)]
    return "\n".join(lines) + "\n"


def _example(operation: Operation) -> Iterator[str]:
    played = play()[operation.id]
    head = [f"{played.method} {played.target} HTTP/1.1"]
    if operation.said.get("security") != []:
        head.append("Authorization: Bearer …")
    if played.sent is not None:
        head += ["Content-Type: application/json", "", json.dumps(played.sent, ensure_ascii=False)]
    yield "```http\n" + "\n".join(head) + "\n```"
    yield f"```{'json' if played.kind == 'application/json' else 'text'}\n{printed(operation.id, played.said)}\n```"


def _row(of: str, name: str, where: str, schema: Mapping[str, Any], said: str = "", *, required: bool = False) -> Row:
    whole = _resolved(schema)
    usual = "required" if required else f"`{json.dumps(whole['default'])}`" if "default" in whole else ""
    meaning = WORDS.get(f"{of}.{name}") or said or whole.get("description", "")
    return Row(name, where, _value(schema), usual, meaning.replace("|", "\\|"))


def _resolved(said: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = said
    while "$ref" in found:
        at: Any = openapi()
        for step in found["$ref"].removeprefix("#/").split("/"):
            at = at[step]
        found = at
    return found  # type: ignore[no-any-return]


def _value(schema: Mapping[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    if name in OBJECTS:
        return f"{'an' if name[0] in 'AEIOU' else 'a'} [{name.lower()}]({OBJECTS[name]})"
    said = _resolved(schema)
    if "oneOf" in said:
        return " or ".join(_value(each) for each in said["oneOf"])
    if "enum" in said or "const" in said:
        return ", ".join(f"`{each if isinstance(each, str) and each else json.dumps(each)}`" for each in _choices(said))
    kinds = said["type"] if isinstance(said["type"], list) else [said["type"]]
    return " or ".join(_kind(kind, said) for kind in kinds)


def _choices(said: Mapping[str, Any]) -> list[Any]:
    return list(said.get("enum", [said.get("const")]))


def _several(schema: Mapping[str, Any]) -> str:
    one = _value(schema)
    return re.sub(r"^an? \[(\w+)]", r"[\1s]", one) if "[" in one else one.replace("object", "objects")


def _kind(kind: str, said: Mapping[str, Any]) -> str:
    match kind:
        case "array":
            return f"list of {_several(said['items'])}"
        case "object":
            return "object"
        case "integer" | "number":
            word = "whole number" if kind == "integer" else "number"
            low, high = said.get("minimum"), said.get("maximum")
            return word if low is None else f"{word} from {low}" if high is None else f"{word}, {low} to {high}"
        case "string":
            return f"text: `{said['examples'][0]}`" if "examples" in said else "text"
        case "boolean":
            return "`true`, `false`"
    return "`null`"
