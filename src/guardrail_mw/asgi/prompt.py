"""How long a prompt is, in whatever shape an endpoint takes it."""

from __future__ import annotations

from typing import Any

__all__ = ["MEDIA", "Prompt", "items_of"]

MEDIA = frozenset({
    "image", "image_url", "input_image", "image_embeds", "computer_screenshot", "audio", "audio_url", "input_audio", "video",
    "video_url", "input_video", "file", "input_file", "document", "container_upload",
})  # fmt: skip
"""Types of parts that cost a flat figure; the list is OpenAI's, Anthropic's and vLLM's."""

_MEDIA_KEYS = frozenset({"image_url", "input_audio", "audio_url", "video_url"})
_PROMPTS = (
    "messages",
    "system",
    "prompt",
    "input",
    "instructions",
    "suffix",
    "prediction",
    "documents",
    "query",
    "texts",
    "text_1",
    "text_2",
)
_NAMES_TOO = ("tools", "functions", "response_format", "text")
_NOT_PROMPT = frozenset({
    "role", "type", "id", "tool_call_id", "tool_use_id", "call_id", "cache_control", "status", "detail", "media_type",
    "format", "signature", "encrypted_content",
})  # fmt: skip
_LONG = frozenset({"signature", "encrypted_content"})
_WORD = 64
"""Characters that a role, an id and their like may have for nothing. What is longer is a prompt: chat templates write out a
role as it comes."""


class Prompt:
    """What was found: characters of text, tokens that came as numbers, media parts."""

    __slots__ = ("characters", "media", "tokens")

    def __init__(self) -> None:
        self.characters = 0
        self.tokens = 0
        self.media = 0

    def document(self, document: dict[str, Any]) -> None:
        """Count one request. Only its prompt counts, and the tools and schemas that go to the model with it."""
        for name in _PROMPTS:
            if name in document:
                self._count(document[name], names=False)
        for name in _NAMES_TOO:
            if name in document:
                self._count(document[name], names=True)

    def _count(self, start: Any, *, names: bool) -> None:
        waiting = [start]
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind is str:
                self.characters += len(value)
            elif kind is list:
                waiting.extend(value)
            elif kind is dict:
                self._part(value, waiting, names=names)
            elif kind is int and not names:
                self.tokens += 1

    def _part(self, part: dict[str, Any], waiting: list[Any], *, names: bool) -> None:
        if names:
            self.characters += sum(map(len, part))
            waiting.extend(part.values())
            return
        kind = part.get("type")
        if type(kind) is str and kind in MEDIA:
            source = part.get("source")
            if type(source) is not dict or source.get("type") not in ("text", "content"):
                self.media += 1
                return
            waiting.extend((source.get("data"), source.get("content"), part.get("title"), part.get("context")))
            return
        if not _MEDIA_KEYS.isdisjoint(part):  # and its text besides: apps go by `type`
            self.media += 1
            part = {key: value for key, value in part.items() if key not in _MEDIA_KEYS}
        for key, value in part.items():
            if key not in _NOT_PROMPT:
                if type(value) is not int:
                    waiting.append(value)
            elif type(value) is str and len(value) > _WORD and key not in _LONG:
                self.characters += len(value)


def items_of(document: dict[str, Any]) -> int:
    """How many requests a body stands for: the prompts of a completion, the inputs of an embedding.

    A list of numbers is one prompt in tokens; a list of objects (messages, the items of a response) is one request.
    """
    for name in ("prompt", "input"):
        value = document.get(name)
        if type(value) is list and len(value) > 1 and all(type(each) is str or type(each) is list for each in value):
            return len(value)
    return 1
