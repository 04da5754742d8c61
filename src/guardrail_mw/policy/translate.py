"""pydantic's findings in our own voice: what is wrong, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, RootModel
from pydantic_core import ErrorDetails

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError, Problem
from guardrail_mw.policy import units
from guardrail_mw.policy.checks import nearest
from guardrail_mw.policy.document import LATER, Policy
from guardrail_mw.policy.environment import hide
from guardrail_mw.policy.nodes import Node, Path, scalar
from guardrail_mw.quantities import Budget, Duration, QuantityError, Rate

__all__ = ["Found", "translate"]

_WANTED: Final = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a map of names to values",
    "model": "a map of keys to values",
}
_KINDS: Final = {"identity": "identities", "risk": "scorers", "telemetry": "sinks"}
"""The plugins that a section's `use` names."""
_PATTERNS: Final = {
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "lower-case letters, digits and single hyphens, such as in-flight",
    r"^[A-Z]{1,20}$": "an HTTP method in capitals, such as POST",
    r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,39}$": "up to 40 letters, digits, dots, colons, hyphens and underscores",
}
_MEANT: Final = dict.fromkeys(("user", "user_id", "key", "api_key", "customer", "client"), "account") | {
    **dict.fromkeys(("ip", "ip_address", "address"), "network"),
    **dict.fromkeys(("org", "organization", "tenant", "team", "company"), "organisation"),
}
"""What other libraries call the subjects of limits."""
_BOUNDS: Final = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


class Found(NamedTuple):
    """One problem and where it stands. `keyed`: it is about the key, not about what stands there."""

    path: Path
    message: str
    hint: str
    keyed: bool = False


def translate(error: ErrorDetails, root: Node) -> Iterator[Found]:
    """What one of pydantic's findings means for the document in `root`."""
    path, node = _locate(error["loc"], root)
    context: dict[str, Any] = error.get("ctx") or {}
    if error["type"] == "problems":
        for problem in context["problems"]:
            yield _relative(path, problem, root)
        return
    if error["type"] in {"extra_forbidden", "missing"}:
        yield _key(error, path, root)
        return
    if error["loc"][-1:] == ("[key]",):
        wanted = _PATTERNS.get(context.get("pattern", ""), "a shorter or longer one")
        yield Found(path, f"is not a name; expected {wanted}.", "", keyed=True)
        return
    message, hint = _message(error["type"], context, error["msg"], node)
    if path[-1:] == ("seconds",) and not node.variables:
        hint = units.seconds(node.value) or hint
    yield Found(path, message, hint)


def _locate(loc: tuple[int | str, ...], root: Node) -> tuple[Path, Node]:
    """The place in the document: pydantic's, less the tags of unions and whatever else is not in the document."""
    path: Path = ()
    node = root
    for part in loc:
        found = node.at((part,))
        if found is not None:
            path, node = (*path, part), found
        elif part == "with":  # left out: what stands below it stands nowhere, and not in what it was left out of
            break
    return path, node


def _relative(path: Path, problem: Problem, root: Node) -> Found:
    """A problem of our own, at its place. Where a variable brought the text, it is named: it is what has to be changed."""
    below = [int(part) if part.isdigit() else part for part in problem.path.split(".")] if problem.path else []
    where = (*path, *below)
    node = root.at(where)
    held = " and ".join(f"${{{name}}}" for name in node.variables) if node is not None else ""
    return Found(where, f"is what {held} holds, and {problem.message}" if held else problem.message, problem.hint)


def _key(error: ErrorDetails, path: Path, root: Node) -> Found:
    if error["type"] == "missing":
        *above, key = [str(part) for part in error["loc"]]
        hint = "Write `version: 1`." if (path, key) == ((), "version") else f"Add `{key}: …`."
        if above[-1:] == ["with"] and path[-1:] != ("with",):
            path, hint = (*path, "with"), f"Add `with: {{{key}: …}}`."
        return Found((*path, key), "is missing.", hint, keyed=True)
    key = str(path[-1]) if path else ""
    if len(path) == 1 and key in LATER:
        return Found(path, f"`{key}` is not available in this version.", "Leave this section out.", keyed=True)
    names = _keys(path[:-1], root)
    if "with" in names and key in _keys((*path[:-1], "with"), root):
        return Found(path, "is not a known key here.", f"Put it into `with`: `with: {{{key}: …}}`.", keyed=True)
    near = get_close_matches(key, LATER, n=1, cutoff=0.8) if len(path) == 1 else []
    if near and not get_close_matches(key, names, n=1, cutoff=0.8):
        hint = f"Did you mean `{near[0]}`? It is not available in this version."
        return Found(path, "is not a known key.", hint, keyed=True)
    return Found(path, "is not a known key.", nearest(key, names), keyed=True)


def _keys(path: Path, root: Node) -> set[str]:
    """The keys that may stand in the map at `path`."""
    models: dict[type[BaseModel], None] = {Policy: None}
    for depth, part in enumerate(path):
        found: dict[type[BaseModel], None] = {}
        for model in models:
            for name, info in model.model_fields.items():
                if part == (info.alias or name) or issubclass(model, RootModel):
                    found |= dict.fromkeys(_models(info.annotation))
        if part == "with" and str(path[0]) in _KINDS:
            found = dict.fromkeys(_plugin(str(path[0]), root.at((*path[:depth], "use"))))
        models = found or models
    return {info.alias or name for model in models for name, info in model.model_fields.items()}


def _plugin(section: str, use: Node | None) -> Iterator[type[BaseModel]]:
    """The settings of the plugin that a `use` names."""
    with suppress(PluginError):
        if use is not None and section in _KINDS:
            yield plugins.load(_KINDS[section], str(use.value)).Settings


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _message(kind: str, context: dict[str, Any], said: str, node: Node) -> tuple[str, str]:
    stands = _stands(node)
    cause = context.get("error")
    if isinstance(cause, QuantityError):
        return f"{_stands(node, cause.wrong)}; expected {cause.expected}.", _rewritten(node, cause.expected)
    if kind == "literal_error":
        return _choice(context["expected"], node)
    wanted = _wanted(kind, context)
    if wanted:
        return f"{stands}; expected {wanted}.", _cure(wanted, node.value)
    other = _SAID.get(kind)
    if other is not None:
        return other(context), ""
    return hide(_detail(cause, said), node, "is not valid; it comes from the environment and is not shown."), ""


def _rewritten(node: Node, expected: str) -> str:
    """What was meant, where that is plain; never what a variable holds."""
    kind = next((each for each in (Rate, Budget, Duration) if each.expected == expected), None)
    if kind is None or node.variables or not isinstance(node.value, str):
        return ""
    return units.meant(kind, node.value)


def _detail(cause: object, said: str) -> str:
    """What a validator that is not ours said, as a sentence."""
    detail = str(cause) if isinstance(cause, Exception) else said
    return f"is not valid: {detail}" if detail.endswith((".", "?")) else f"is not valid: {detail}."


_SAID: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "too_short": lambda context: f"has too few items; expected at least {context['min_length']}.",
    "too_long": lambda context: f"has too many items; expected at most {context['max_length']}.",
    "string_too_short": lambda context: f"is too short; expected {context['min_length']} character or more.",
    "string_too_long": lambda context: f"is too long; expected at most {context['max_length']} characters.",
    "decimal_max_places": lambda context: f"has too many decimals; expected at most {context['decimal_places']}.",
    "decimal_max_digits": lambda context: f"has too many digits; expected at most {context['max_digits']}.",
}


def _wanted(kind: str, context: dict[str, Any]) -> str:
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        return f"{word} {context[name]}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"what matches {context['pattern']}")
    if kind == "finite_number" or (kind == "is_instance_of" and context.get("class") == "Decimal"):
        return "a finite number"
    head, _, tail = kind.rpartition("_")
    return _WANTED.get(head, "") if tail in {"type", "parsing"} else ""


def _stands(node: Node, wrong: str = "") -> str:
    """What stands there, in words; never a variable's value."""
    value, shown = node.value, ""
    if node.variables:
        what = shown = "is what " + " and ".join(f"${{{name}}}" for name in node.variables) + " holds"
    elif isinstance(value, dict | list):
        what = "is a map" if isinstance(value, dict) else "is a list"
    elif value is None:
        what = "is empty"
    elif isinstance(value, bool):
        what = f"is {str(value).lower()}"
    elif isinstance(value, int | float | Decimal):
        what = shown = f"is the number {value}"
    else:
        text = str(value) if isinstance(value, str) else type(value).__name__
        what = shown = f"is {text[:64]!r}{'…' if len(text) > 64 else ''}"  # noqa: PLR2004
    if not wrong:
        return what
    return f"{shown}, which {wrong}" if shown and not wrong.startswith("is a bare") else f"{what}, not a text with its unit"


def _choice(expected: str, node: Node) -> tuple[str, str]:
    """`expected` as pydantic lists it: 'a', 'b' or 'c'."""
    names = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
    listed = " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
    text = str(node.value) if isinstance(node.value, str) else ""
    meant = _MEANT.get(text.lower().replace("-", "_"), "")
    near = [meant] if meant in names else get_close_matches(text.lower(), names, n=1, cutoff=0.6)
    hint = f"Did you mean `{near[0]}`?" if near and not node.variables else ""
    if names == ["1"]:
        hint = "Write `version: 1`."
    return f"{_stands(node)}; expected {listed}.", hint


def _cure(wanted: str, value: Any) -> str:
    if wanted == "true or false" and isinstance(value, str):
        return "Only true and false, in lower case and without quotes, are booleans."
    if wanted.endswith("number") and isinstance(value, str):
        return "Write it without quotes." if not isinstance(scalar(value), str) else "Write it in decimal digits."
    if wanted == "a text" and isinstance(value, bool | int | float):
        return "Put it in quotes."
    return "Put it in [ ]." if wanted == "a list" else ""
