"""What of a world's texts is evidence: read by the function that the edge reads bodies with, once for each template.

A run of sixteen million calls cannot write and read every text. What a message shows again is its template's fixed part; free
text shows nothing twice, and nothing is ever kept of what an account sends once. So the fixed part is read, from a few messages
that fill it in differently, and of each message no more is made up than a number that tells it from others. Where a template's
words are themselves replaced, call by call, every message is written and read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from guardrail_mw.clusters.shingles import KEPT
from guardrail_mw.simulate.world.arrays import mix
from guardrail_mw.values import Content

if TYPE_CHECKING:
    from guardrail_mw.simulate.world.batch import Batch
    from guardrail_mw.simulate.world.texts import Texts

__all__ = ["Contents", "Read"]

_SAMPLES: Final = 4
"""Messages that a template is known from; a shingle of two of them is the template's own."""
_SEEDS: Final = 64
"""Seeds tried for each message wanted."""
_MOST: Final = 262_144
"""Templates and system prompts that are kept, each."""
_MESSAGE: Final = 0xFFFF
"""Bits of the number that tells messages apart, as the collector has it."""

Read: TypeAlias = Callable[[str, str], Content | None]
"""See `clusters.collecting.Collector.read`."""


class Contents:
    """Makes the content of calls.

    Args:
        texts: the world's.
        read: the engine's.
    """

    def __init__(self, texts: Texts, read: Read) -> None:
        self._texts = texts
        self._read = read
        self._systems: dict[int, int] = {-1: 0}
        self._templates: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}

    def of(self, batch: Batch) -> list[Content]:
        """Of each call of a batch."""
        variants, replaced = _families(self._texts, batch.template)
        variant = np.where(variants > 0, mix(batch.words, 1) % np.maximum(variants, 1).astype(np.uint64), 0)
        number = np.maximum(batch.words & np.uint64(_MESSAGE), np.uint64(1)).tolist()
        columns = (batch.system, batch.template, batch.words, batch.input, variants, replaced, variant)
        rows = zip(*[each.tolist() for each in columns], number, strict=True)
        systems, templates, found = self._systems, self._templates, []
        for system, template, words, tokens, many, part, which, message in rows:
            whole = systems.get(system)
            if whole is None:
                whole = self._system(system)
            if many <= 0 or part > 1:
                found.append(Content(whole, (), message))
            elif part:
                found.append(self._written(whole, template, words, tokens))
            else:
                known = templates.get((template, which)) or self._template(template, words, many, which)
                found.append(Content(whole, known[0], known[1] or message))
        return found

    def _written(self, system: int, template: int, words: int, tokens: int) -> Content:
        found = self._read("", self._texts.message(template, words, tokens))
        return Content(system) if found is None else Content(system, found.shingles, found.message)

    def _system(self, system: int) -> int:
        if len(self._systems) >= _MOST:
            self._systems = {-1: 0}
        found = self._read(self._texts.prompt(system), "")
        known = self._systems[system] = 0 if found is None else found.system
        return known

    def _template(self, template: int, words: int, variants: int, which: int) -> tuple[tuple[int, ...], int]:
        """A template's own shingles, and its message's number where all its messages are the same."""
        tried = (np.uint64(words) + np.arange(_SEEDS * variants, dtype=np.uint64)) & np.uint64((1 << 63) - 1)
        seeds = tried[mix(tried, 1) % np.uint64(variants) == np.uint64(which)][:_SAMPLES].tolist()
        messages = [self._written(0, template, seed, 0) for seed in seeds]
        times: dict[int, int] = {}
        for each in messages:
            for key in each.shingles:
                times[key] = times.get(key, 0) + 1
        own = tuple(sorted(key for key, many in times.items() if many > 1)[:KEPT])
        numbers = {each.message for each in messages}
        if len(self._templates) >= _MOST:
            self._templates.clear()
        known = self._templates[template, which] = (own, numbers.pop() if len(numbers) == 1 else 0)
        return known


def _families(texts: Texts, template: Any) -> tuple[Any, Any]:
    """Of families: how many templates each has (-1: free text), and which share of the words is replaced (2: all)."""
    return texts._variants.all[template], texts._paraphrase.all[template]  # noqa: SLF001 - the world's own, and read only
