"""Trimming: taking from a request what whoever copies a model wants most of its answers.

Parameters are known by their names, wherever they stand: gateways take one vendor's on another's routes, and none of these
means anything else anywhere. What is taken is taken out, so that what the app does by itself holds; values are put in only
where an app that is told nothing does the opposite: the cap on output where a chat names none, and `include_reasoning: false`
where the policy says that the app understands it.

- `logprobs`: of answers and of prompts, under the names of OpenAI, vLLM, SGLang and llama.cpp.
- `reasoning`: its traces (summaries, encrypted content, `include_reasoning`), never its effort. Anthropic's `thinking` is
  disabled: `display: omitted` would keep the ability, but servers of that dialect that do not know it would send the traces.
- `n`: and `best_of`; above 1 they become 1.
- `stream`: becomes false. Clients that wait for events may fail, so refusing may be kinder.
- `max_tokens`: whatever caps the output, under every name; a thinking budget shrinks with it.
- `batch`: several prompts in one request, and batch endpoints; can only be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.settings import Settings, refuse

__all__ = ["KEYS", "OutputCap", "Parameter", "TrimSettings", "Trimmed", "Trimmer"]

Parameter: TypeAlias = Literal["logprobs", "reasoning", "n", "batch", "stream"]

DEFAULT: Final[tuple[Parameter, ...]] = ("logprobs", "n", "reasoning")
"""What is rewritten where a rung says nothing: what hardly any app needs, and every copy is better for."""


class OutputCap(Settings):
    """The most output that a request may ask for."""

    max_tokens: int = Field(ge=1, le=10_000_000)
    """Tokens, whatever the endpoint calls the parameter."""


def _form(value: object) -> str:
    return "cap" if isinstance(value, Mapping | OutputCap) else "name"


Item: TypeAlias = Annotated[Annotated[Parameter, Tag("name")] | Annotated[OutputCap, Tag("cap")], Discriminator(_form)]


class TrimSettings(Settings):
    """`with` of a `trim`: what is taken out of requests, and which requests are refused for what they ask.

    `logprobs` (prompt ones too), `reasoning` (its traces, not its effort), `n` (and `best_of`) above 1, `batch` (several
    prompts in one, and batch endpoints), `stream`, and `{max_tokens: 1024}`, a cap on the output; where
    an answer has no end of its own (chat, responses), a request that names no cap asks for more than any.
    """

    rewrite: list[Item] | None = Field(default=None, min_length=1, max_length=16)
    """Taken out; the request goes on without. `[logprobs, n, reasoning]` where neither is set."""
    refuse: list[Item] | None = Field(default=None, min_length=1, max_length=16)
    """Whoever asks for one of these is refused, and told which."""

    include_reasoning: Literal[False] | None = None
    """Say `include_reasoning: false` to chat endpoints that are told nothing: vLLM sends traces unless told not to. Others may
    refuse a parameter that they do not know."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        problems = []
        seen: set[str] = set()
        for place, items in (("rewrite", self.rewrite), ("refuse", self.refuse)):
            for index, item in enumerate(items or ()):
                name = item if isinstance(item, str) else "max_tokens"
                if name in seen:
                    problems.append(
                        Problem(f"{place}.{index}", f"names `{name}` again.", "Name it once, in one of the lists.")
                    )
                seen.add(name)
                if place == "rewrite" and name == "batch":
                    hint = "Name it under `refuse`."
                    problems.append(Problem(f"{place}.{index}", "cannot be rewritten: a batch has no smaller form.", hint))
        if problems:
            refuse(problems)
        return self

    @property
    def quiet(self) -> bool:
        """Whether chat endpoints are told to keep traces to themselves."""
        return self.include_reasoning is False

    def actions(self) -> dict[str, tuple[bool, int]]:
        """By parameter: whether a request with it is refused, and the cap in tokens, 0 where it is none."""
        found: dict[str, tuple[bool, int]] = {}
        rewrite = DEFAULT if self.rewrite is None and self.refuse is None else self.rewrite or ()
        for refused, items in ((False, rewrite), (True, self.refuse or ())):
            for item in items:
                found[item if isinstance(item, str) else "max_tokens"] = (
                    refused,
                    0 if isinstance(item, str) else item.max_tokens,
                )
        return found


class Trimmed(NamedTuple):
    """What became of a request."""

    body: dict[str, Any] | None
    """The body that goes to the app instead; None where it goes as it came, or not at all."""
    names: tuple[str, ...] = ()
    """What was taken out."""
    refused: tuple[str, ...] = ()
    """What the request would have to go without; if there is anything, it is refused."""


_Edit: TypeAlias = Callable[[dict[str, Any], str, int], bool]
"""Takes something out of a body (its own copy; what lies deeper is not), given the path and the cap; whether it was there."""

_LOGPROBS: Final = ("logprobs", "prompt_logprobs", "return_logprob")
"""Here 0 asks for the chosen token's."""
_COUNTED: Final = ("top_logprobs", "top_logprobs_num", "n_probs")
_BESIDE: Final = ("logprob_start_len", "token_ids_logprob", "post_sampling_probs")
_CAPS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict")
_CAPPED_BY: Final = {"/chat/completions": "max_completion_tokens", "/responses": "max_output_tokens"}
"""Where an answer is as long as it likes unless told, and the parameter that tells. `/completions` stops at 16 by itself."""
_LEAST_THINKING: Final = 1024
"""Tokens: the smallest budget that Anthropic's endpoint takes; it must be below `max_tokens`."""

_WITHIN: Final = ("extra_body", "parameters", "sampling_params")
"""Objects that servers read as if they stood in the body: LiteLLM, TGI, SGLang."""

KEYS: Final = frozenset({
    *_WITHIN,
    *_LOGPROBS, *_COUNTED, *_BESIDE, *_CAPS, "min_tokens", "n", "best_of", "stream", "stream_options", "prompt", "input",
    "requests", "params", "include", "include_reasoning", "reasoning", "reasoning_effort", "summary", "generate_summary",
    "thinking", "type", "budget_tokens",
})  # fmt: skip
"""Keys that decide what is trimmed: a body in which one stands twice may mean one thing here and another to the app."""


def _idle(value: object) -> bool:
    return value is None or value is False


def _logprobs(body: dict[str, Any], _path: str, _cap: int) -> bool:
    asked = any([not _idle(body.get(name)) for name in _LOGPROBS]) or any([bool(body.get(name)) for name in _COUNTED])
    if asked:
        for name in (*_LOGPROBS, *_COUNTED, *_BESIDE):
            body.pop(name, None)
    return _exclude(body, "message.output_text.logprobs") or asked


def _reasoning(body: dict[str, Any], _path: str, _cap: int) -> bool:
    found = _exclude(body, "reasoning.encrypted_content")
    thinking = body.get("thinking")
    if not _idle(thinking) and not (isinstance(thinking, dict) and thinking.get("type") == "disabled"):
        _disable(body)
        found = True
    if not _idle(body.get("include_reasoning")):
        body["include_reasoning"] = False
        found = True
    for name in ("reasoning", "reasoning_effort"):  # a gateway takes {effort, summary} under either
        given = body.get(name)
        if isinstance(given, dict) and (given.get("summary") is not None or given.get("generate_summary") is not None):
            body[name] = {key: value for key, value in given.items() if key not in {"summary", "generate_summary"}}
            if not body[name]:
                del body[name]
            found = True
    return found


def _disable(body: dict[str, Any]) -> None:
    """Turn thinking off, and what is an error without it."""
    body["thinking"] = {"type": "disabled"}
    managed = body.get("context_management")
    edits = managed.get("edits") if isinstance(managed, dict) else None
    if isinstance(managed, dict) and isinstance(edits, list):
        kept = [
            edit for edit in edits if not (isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking"))
        ]
        if len(kept) != len(edits):
            body["context_management"] = {**managed, "edits": kept}


def _exclude(body: dict[str, Any], what: str) -> bool:
    """Take one item out of `include`, and an empty `include` out of the body."""
    include = body.get("include")
    if not isinstance(include, list) or what not in include:
        return False
    body["include"] = [item for item in include if item != what]
    if not body["include"]:
        del body["include"]
    return True


def _samples(body: dict[str, Any], _path: str, _cap: int) -> bool:
    many = [name for name in ("n", "best_of") if not _small(body.get(name), 1)]
    for name in many:
        body[name] = 1
    return bool(many)


def _stream(body: dict[str, Any], _path: str, _cap: int) -> bool:
    if _idle(body.get("stream")):
        return False
    body["stream"] = False
    body.pop("stream_options", None)
    return True


def _batch(body: dict[str, Any], path: str, _cap: int) -> bool:
    """Several prompts in one request; one that comes as a list of token numbers, or of messages, is one."""
    several = [body.get(name) for name in ("prompt", "input")]
    lists = [each for each in several if isinstance(each, list) and len(each) > 1]
    return path.endswith("/batches") or any([isinstance(each[0], str | list) for each in lists])


def _cap(body: dict[str, Any], _path: str, cap: int) -> bool:
    above = [name for name in (*_CAPS, "min_tokens") if not _small(body.get(name), cap)]
    for name in above:
        body[name] = cap
    thinking = body.get("thinking")
    if above and isinstance(thinking, dict) and not _small(thinking.get("budget_tokens"), cap - 1):
        if cap > _LEAST_THINKING:
            body["thinking"] = {**thinking, "budget_tokens": cap - 1}
        else:
            _disable(body)
    return bool(above)


def _small(value: object, most: int) -> bool:
    """Whether a parameter is left out, or a whole number from 0 to `most`. What apps may read otherwise ("9", -1) is not."""
    return value is None or (type(value) is int and 0 <= value <= most)


_EDITS: Final[Mapping[str, _Edit]] = {
    "logprobs": _logprobs,
    "reasoning": _reasoning,
    "n": _samples,
    "stream": _stream,
    "batch": _batch,
    "max_tokens": _cap,
}


class Trimmer:
    """What one rung takes out of requests. Pure: the body that it is given stays as it is."""

    __slots__ = ("_quiet", "_refuse", "_rewrite", "settings")

    def __init__(self, settings: TrimSettings) -> None:
        self.settings = settings
        actions = settings.actions()
        self._rewrite = [(name, cap) for name, (refused, cap) in actions.items() if not refused]
        self._refuse = [(name, cap) for name, (refused, cap) in actions.items() if refused]
        self._quiet = settings.quiet

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it looks for."""
        return tuple(name for name, _ in (*self._rewrite, *self._refuse))

    def trim(self, body: Mapping[str, Any], path: str) -> Trimmed:
        """What becomes of a request.

        Args:
            body: its JSON object, parsed.
            path: of the route, less the root path; its end tells endpoints apart.
        """
        path = path.rstrip("/")
        _, scratch = _copied(body)
        refused = [name for name, cap in self._refuse if any([self._asks(name, *part, path, cap) for part in scratch])]
        if refused:
            return Trimmed(None, (), tuple(refused))
        whole, parts = _copied(body)
        names = [name for name, cap in self._rewrite if any([self._edit(name, *part, path, cap) for part in parts])]
        return Trimmed(whole, tuple(names)) if names else Trimmed(None)

    @staticmethod
    def _asks(name: str, part: dict[str, Any], whole: bool, path: str, cap: int) -> bool:  # noqa: FBT001 - see `_copied`
        """Whether a request asks for something: for more output than a cap also by naming none."""
        return _EDITS[name](part, path, cap) or (name == "max_tokens" and bool(_endless(part, whole, path)))

    def _edit(self, name: str, part: dict[str, Any], whole: bool, path: str, cap: int) -> bool:  # noqa: FBT001 - see `_copied`
        """Take one thing out, and put into a whole request what keeps the app from doing it unasked."""
        found = _EDITS[name](part, path, cap)
        if not whole:
            return found
        chat = path.endswith("/chat/completions")
        if name == "reasoning" and self._quiet and chat and part.get("include_reasoning") is not False:
            part["include_reasoning"] = False
            return True
        told = _endless(part, whole, path) if name == "max_tokens" else ""
        if told:
            part[told] = cap
        return found or bool(told)


def _endless(part: Mapping[str, Any], whole: bool, path: str) -> str:  # noqa: FBT001 - see `_copied`
    """The parameter that would cap the output, where a request names no cap and its endpoint has none of its own."""
    if not whole or any([part.get(each) is not None for each in _CAPS]):
        return ""
    return next((parameter for end, parameter in _CAPPED_BY.items() if path.endswith(end)), "")


def _copied(body: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[dict[str, Any], bool]]]:
    """The body, to be changed, and every object in it that servers read parameters from, with whether it is a whole request.

    These are itself, the requests of a batch (`requests[].params`), and what some servers unpack.
    """
    whole = dict(body)
    parts = [(whole, True), *_unpacked(whole)]
    requests = whole.get("requests")
    if isinstance(requests, list):
        whole["requests"] = batch = list(requests)
        for index, each in enumerate(batch):
            if isinstance(each, dict) and isinstance(each.get("params"), dict):
                params = dict(each["params"])
                batch[index] = {**each, "params": params}
                parts += [(params, True), *_unpacked(params)]
    return whole, parts


def _unpacked(part: dict[str, Any]) -> list[tuple[dict[str, Any], bool]]:
    found = []
    for name in _WITHIN:
        inner = part.get(name)
        if isinstance(inner, dict):
            part[name] = mine = dict(inner)
            found.append((mine, False))
    return found
