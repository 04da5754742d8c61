"""What the example model says: sentences chosen by a digest of the prompt, the same each time, and the tokens they cost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["MODELS", "Reply", "answer", "texts", "tokens_of", "vector"]

MODELS: Final = {"demo-small": 3, "demo-large": 8}
"""The models, and how many sentences each answers with."""

_SENTENCES: Final = (
    "A bucket that fills slowly is patient with people and firm with pipelines.",
    "Every answer begins with a question that somebody took the time to ask.",
    "Rivers do not hurry, and yet they arrive with all of their water.",
    "The same prompt will bring you the same sentences tomorrow.",
    "Counting is easy until two people count at the same moment.",
    "A good refusal says why, and when it is worth coming back.",
    "Small models are cheerful and large models take their time.",
    "Nothing here was learned, so there is nothing here to copy.",
    "An office shares one address, and a crowd can share one purpose.",
    "Money is a measure that both sides of a counter understand.",
    "What is reserved and not used is given back, to the last token.",
    "Clocks disagree, so only one of them should be asked.",
    "A lease that nobody renews is over, whatever its holder says.",
)
_CHARACTERS = 4
"""To a token, as a rule of thumb."""
_DIMENSIONS = 8


class Reply(NamedTuple):
    """A whole answer, piece by piece."""

    pieces: tuple[str, ...]
    """Words with the space before them; each is one token."""
    input: int
    """Tokens of the prompt."""
    cut: bool
    """Whether the request's cap ended it."""

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    @property
    def output(self) -> int:
        """Tokens of the answer."""
        return len(self.pieces)


def answer(model: str, prompt: str, cap: int | None = None) -> Reply:
    """What `model` says to `prompt`, in at most `cap` tokens.

    Raises:
        KeyError: there is no such model.
    """
    digest = hashlib.sha256(prompt.encode("utf-8", "replace")).digest()
    chosen = [_SENTENCES[byte % len(_SENTENCES)] for byte in digest[: MODELS[model]]]
    words = " ".join(dict.fromkeys(chosen)).split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    kept = pieces if cap is None else pieces[:cap]
    return Reply(tuple(kept), tokens_of(prompt), len(kept) < len(pieces))


def tokens_of(text: str) -> int:
    """Tokens of a text: its characters / 4, rounded up."""
    return -(-len(text) // _CHARACTERS)


def vector(text: str) -> list[float]:
    """An embedding of eight numbers between -1 and 1."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return [round(byte / 127.5 - 1, 6) for byte in digest[:_DIMENSIONS]]


def texts(value: Any) -> Iterator[str]:
    """The texts in a prompt, a message's content or a list of either, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Sequence):
        for each in value:
            yield from texts(each)
    elif isinstance(value, Mapping):
        for key in ("content", "text", "input"):
            yield from texts(value.get(key))
