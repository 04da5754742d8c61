"""Everything guardrail_mw raises.

    GuardrailError
    ├── PolicyError      a policy that cannot be run: every problem at once, each with its place
    ├── PluginError      an entry point that is missing, doubled or broken
    ├── StoreError       the store did not answer, or answered with an error
    │   └── StoreTimeout     no answer by the deadline
    └── TokenError       a credential or request that was recognised and is bad: the client's fault

`public` is constant text, safe to send to a client; `detail` goes only to logs, where whoever writes it cuts and escapes it.
Exceptions mean breakage or bad input; what a policy decides is a value (see `guardrail_mw.values`).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GuardrailError", "PluginError", "PolicyError", "Problem", "StoreError", "StoreTimeout", "TokenError"]


class GuardrailError(Exception):
    """The root of the tree.

    Args:
        public: constant text that a client may read.
        detail: what a log may read in addition; may hold untrusted text.
    """

    def __init__(self, public: str, detail: str = "") -> None:
        between = "" if detail.startswith("\n") else " "
        super().__init__(f"{public}{between}{detail}".rstrip())
        self.public = public
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a policy: where, what, and what to do."""

    path: str
    """Dotted place in the document, `limits[2].rate`; empty for the whole document."""
    message: str
    """What is wrong and what was expected."""
    hint: str = ""
    """What to do; the nearest known name where one is near."""
    source: str = ""
    """The file, or `guardrail:balanced`, or `<mapping>`."""
    line: int | None = None
    """1-based; None where the policy did not come from text."""

    def __str__(self) -> str:
        place = self.source or "policy"
        if self.line is not None:
            place += f":{self.line}"
        where = f" {self.path}:" if self.path else ""
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}:{where} {self.message}{hint}"


class PolicyError(GuardrailError):
    """A policy cannot be run. `problems` holds every one that was found, in the order of the document."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = len(problems)
        head = "1 problem in the policy:" if count == 1 else f"{count} problems in the policy:"
        super().__init__(head, "\n" + "\n".join(f"  {problem}" for problem in problems))


class PluginError(GuardrailError):
    """An entry point could not be found or loaded; the text names the cure."""


class StoreError(GuardrailError):
    """The store failed. Raised `from` its cause."""


class StoreTimeout(StoreError):  # noqa: N818 - the field says timeout
    """The store did not answer by the deadline. Whatever it may still answer is given back by the store itself."""


class TokenError(GuardrailError):
    """A client's credential or request was recognised and is bad.

    Args:
        public: constant text for the client.
        detail: for logs.
        status: the HTTP status it is answered with: 400, 401, 413, 415, 422 or 431.
        code: a stable machine-readable reason, `invalid_token`.
    """

    def __init__(self, public: str, detail: str = "", *, status: int = 401, code: str = "invalid_credential") -> None:
        super().__init__(public, detail)
        self.status = status
        self.code = code
