"""`${NAME}` and `${NAME:-default}` in the texts of a policy.

Substituted after parsing, and in values only, so that a variable can never add structure. The default holds where the
variable is unset or empty. `$${` is a plain `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from guardrail_mw.policy.console import GENERATOR
from guardrail_mw.policy.nodes import Node, Path, Reader

__all__ = ["hide", "mask", "substitute"]

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?", re.ASCII)
_SECRETS: Final = {"KEY", "KEYS", "PASSWD", "PASSWORD", "SECRET", "SECRETS", "TOKEN"}
"""Words in a variable's name."""
_GIVEAWAY: Final = 4
"""Characters in a row of a variable's value that may not show."""


def substitute(root: Node, environ: Mapping[str, str], reader: Reader) -> None:
    """Put the environment into every text of the tree; what cannot be is a problem of the reader's."""
    seen: set[int] = set()
    for path, node in root.walk():
        if isinstance(node.value, str) and "${" in node.value and id(node) not in seen:
            seen.add(id(node))
            _substitute(node, path, environ, reader)


def _substitute(node: Node, path: Path, environ: Mapping[str, str], reader: Reader) -> None:
    def value(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            hint = "Write ${NAME} or ${NAME:-default}; $${ is a plain ${."
            reader.complain(node, path, "has a `${` that is no reference to a variable.", hint)
            node.broken = True
            return found[0]
        node.substituted = True
        text = environ.get(name, "")
        if default is not None and not text:
            return default
        if name not in environ:
            hint = _cure(name, path)
            reader.complain(node, path, f"needs the environment variable {name}, which is not set.", hint)
            node.broken = True
        elif text:
            node.variables[name] = text
        return text

    node.value = _REFERENCE.sub(value, node.value)


def _cure(name: str, path: Path) -> str:
    """What to do about a variable that is not set. A secret's default would put the secret into the file."""
    if path == ("console", "token"):
        return f"Set it. {GENERATOR}"
    if path[-1:] in {("secret",), ("token",), ("password",)} or _SECRETS & set(name.upper().split("_")):
        return "Set it: a secret does not belong in the file."
    return f"Set it, or write ${{{name}:-default}}."


def hide(text: str, node: Node, otherwise: str) -> str:
    """`text`, or `otherwise` where it would give away a piece of a variable's value that stands in `node` or below it."""
    for _, each in node.walk():
        for secret in each.variables.values():
            length = min(_GIVEAWAY, len(secret))
            if any(secret[start : start + length] in text for start in range(len(secret) - length + 1)):
                return otherwise
    return text


def mask(root: Node) -> Callable[[str], str]:
    """What puts every variable's value that stands in a text whole back to `${NAME}`."""
    held = [(secret, name) for _, node in root.walk() for name, secret in node.variables.items()]
    secrets = {secret: name for secret, name in held if len(secret) >= _GIVEAWAY}

    def masked(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, f"${{{secrets[secret]}}}")
        return text

    return masked
