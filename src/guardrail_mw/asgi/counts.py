"""What servers report of tokens, in every vendor's words.

OpenAI's `prompt_tokens` and `input_tokens` include what was read from or written to a cache; Anthropic's `input_tokens`
leave it out. `completion_tokens` and `output_tokens` include reasoning in both. Where `prompt_tokens` stand beside
Anthropic's names (gateways do that) they are inclusive.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from guardrail_mw.values import Usage

__all__ = ["GREATEST", "Counts", "loads", "written"]

GREATEST = 1_000_000_000
"""Tokens of one exchange; a server that reports more is not believed."""

_PLAIN = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "prompt_cache_hit_tokens",
)
_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_DETAILED = ("cached_tokens", "cache_write_tokens")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TEXTS = (
    "content",
    "text",
    "reasoning_content",
    "reasoning",
    "refusal",
    "thinking",
    "partial_json",
    "arguments",
    "transcript",
)


class Counts:
    """The last good value of each figure, over all usage objects of one answer."""

    __slots__ = ("_figures", "_inclusive", "seconds")

    def __init__(self) -> None:
        self._figures: dict[str, int] = {}
        self._inclusive = False
        self.seconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._figures) or self.seconds > 0

    def take(self, usage: Any) -> bool:
        """Note one usage object; nulls, negatives, floats, text and the impossible are passed over. True if any was good."""
        if type(usage) is not dict:
            return False
        figures, before = self._figures, len(self._figures)
        good = False
        for name in _PLAIN:
            value = usage.get(name)
            if type(value) is int and 0 <= value <= GREATEST:
                figures[name] = value
                good = True
        for name in _DETAILS:
            details = usage.get(name)
            if type(details) is dict:
                self._inclusive = True
                for detail in _DETAILED:
                    value = details.get(detail)
                    if type(value) is int and 0 <= value <= GREATEST:
                        figures[detail] = value
        if usage.get("type") == "duration":
            good = self.duration(usage.get("seconds")) or good
        return good or len(figures) > before

    def duration(self, seconds: Any) -> bool:
        """Note how long the audio was."""
        if type(seconds) is str and _SECONDS.fullmatch(seconds):  # vLLM writes them as text
            seconds = float(seconds)
        if type(seconds) in (int, float) and 0 <= seconds <= GREATEST:
            self.seconds = float(seconds)
            return True
        return False

    def read(self) -> tuple[int | None, int, int, int | None]:
        """Input without cached, cached, cache-write, output; None where the server never said."""
        get = self._figures.get
        cached = _first(get("cached_tokens"), get("cache_read_input_tokens"), get("prompt_cache_hit_tokens"))
        write = _first(get("cache_write_tokens"), get("cache_creation_input_tokens"))
        total = get("total_tokens")
        prompt, output = get("prompt_tokens"), get("completion_tokens")
        inclusive = prompt is not None or self._inclusive
        if prompt is None:
            prompt = get("input_tokens")
        if output is None:
            output = get("output_tokens")
        if output is None and prompt is not None and total is not None:
            output = max(0, total - prompt)  # embeddings have no completion
        if self.seconds and output is None:
            prompt, output = prompt or 0, 0
        if inclusive and prompt is not None:
            cached = min(cached, prompt)
            write = min(write, prompt - cached)
            prompt -= cached + write
        return prompt, cached, write, output

    def usage(self, images: int, *, input_guess: int, output_guess: int, final: bool) -> Usage:
        """All of it; what the server did not say is guessed, what it had not finished saying is at least what was seen.

        Nothing is no report of a text that was seen: LiteLLM puts zeros into every event of a streamed text completion that
        was not asked for its usage, and servers that had the prompt in a cache have left it out.
        """
        prompt, cached, write, output = self.read()
        if output_guess and not self.seconds:
            output = output or None
            if input_guess and not (prompt or cached or write):
                prompt = None
        complete = final and prompt is not None and output is not None
        if output is None or not final:
            output = max(output or 0, output_guess)
        return Usage(input_guess if prompt is None else prompt, cached, write, output, images, self.seconds, complete)


def _first(*values: int | None) -> int:
    return next((value for value in values if value), 0)


def loads(text: bytes) -> dict[str, Any]:
    """A JSON object, or an empty one for whatever is not."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if type(value) is dict else {}


def written(event: dict[str, Any]) -> list[str]:
    """The texts that the model wrote, in one event of a stream or in a whole answer; each is one delta event's worth.

    Reasoning and arguments of tools count, they are paid for; signatures do not; audio in base64 counts as one empty text.
    """
    try:
        return list(_written(event))
    except RecursionError:
        return []


def _written(event: dict[str, Any]) -> Iterator[str]:
    choices = event.get("choices")
    if type(choices) is list:
        for choice in choices:
            if type(choice) is dict:
                yield from _texts(choice)
                for part in ("delta", "message"):
                    yield from _texts(choice.get(part))
        return
    kind, delta = event.get("type"), event.get("delta")
    if type(delta) is str:
        yield "" if type(kind) is str and kind.endswith("audio.delta") else delta
        return
    yield from _texts(delta)
    for part in ("content", "output"):
        yield from _listed(event.get(part))


def _texts(part: Any) -> Iterator[str]:
    """The texts of a delta, a message or a content block."""
    if type(part) is not dict:
        return
    for name in _TEXTS:
        value = part.get(name)
        if type(value) is str and value:
            yield value
    function = part.get("function_call") or part.get("function")
    if function:
        yield from _texts(function)
    for name in ("tool_calls", "content", "summary"):
        yield from _listed(part.get(name))
    if type(part.get("input")) is dict:
        yield json.dumps(part["input"])


def _listed(parts: Any) -> Iterator[str]:
    if type(parts) is list:
        for part in parts:
            yield from _texts(part)
