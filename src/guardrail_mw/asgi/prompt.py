"""How long a prompt is, in whatever shape an endpoint takes it, and what of it a person or a program has just said."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["LONGEST", "MEDIA", "Prompt", "items_of", "said"]

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
LONGEST: Final = 16_384
"""Characters that `said` gives of a longer text: half of them its beginning, half its end."""
_PARTS: Final = 64
"""Parts of a message that are looked at, likewise."""
_LEADING: Final = 16
"""Messages at either end of a conversation that are looked at."""
_INSTRUCTING = ("system", "developer")  # tuples: what is looked for in them may be anything
_TEXTS = ("text", "input_text")
_ANSWERS = ("tool_result", "tool_output", "function_call_output")

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


def said(document: dict[str, Any]) -> tuple[str, str]:
    """The system prompt, and the user's message that ends the conversation; each at most `LONGEST` characters, empty for none.

    A conversation is sent whole again with each turn, so what stands earlier in it was seen before. One that ends in a tool's
    answer goes on with what the user said before: then there is no new message. Reads the bodies of OpenAI's chat completions,
    completions and responses, and of Anthropic's messages.
    """
    system = [_text(document[name]) for name in ("system", "instructions") if name in document]
    last = ""
    talk = document.get("messages", document.get("input", document.get("prompt")))
    if type(talk) is str:
        last = _cut(talk)
    elif type(talk) is list and talk:
        if type(talk[0]) is str:  # several prompts at once: the first stands for them
            last = _cut(talk[0])
        else:
            system += _leading(talk)
            last = _ending(talk)
    return _cut("\n".join([text for text in system if text])), last


def _leading(talk: list[Any]) -> list[str]:
    """What a conversation's first messages instruct the model with."""
    found = []
    for message in talk[:_LEADING]:
        if type(message) is not dict or message.get("role") not in _INSTRUCTING:
            break
        found.append(_text(message.get("content")))
    return found


def _ending(talk: list[Any]) -> str:
    """What the user has just said; before it may only stand how an answer is to begin."""
    for message in talk[: -_LEADING - 1 : -1]:
        if type(message) is not dict:
            break
        role, content = message.get("role"), message.get("content")
        if role == "user":
            return "" if type(content) is list and _answers(content) else _text(content)
        if role != "assistant":
            break
    return ""


def _answers(parts: list[Any]) -> bool:
    return any([type(part) is dict and part.get("type") in _ANSWERS for part in parts[:_PARTS]])


def _text(content: Any) -> str:
    if type(content) is str:
        return _cut(content)
    if type(content) is not list:
        return ""
    if len(content) > _PARTS:
        content = [*content[: _PARTS // 2], *content[-_PARTS // 2 :]]
    texts = [_cut(text) for part in content if type(text := _written(part)) is str]
    return texts[0] if len(texts) == 1 else _cut("\n".join(texts))


def _written(part: Any) -> Any:
    if type(part) is not dict:
        return part
    return part.get("text") if part.get("type", "text") in _TEXTS else None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST // 2] + text[-LONGEST // 2 :]
