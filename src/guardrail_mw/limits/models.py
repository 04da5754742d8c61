"""Which model a name is, and what its tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from guardrail_mw.conditions import OTHER
from guardrail_mw.limits.settings import ModelSettings
from guardrail_mw.values import Usage

__all__ = ["Models"]

_REMEMBERED = 1024
_LONGEST = 256


class Models:
    """Which of the policy's models a name is, and what it costs. Whatever is not listed is `other`."""

    def __init__(self, settings: Mapping[str, ModelSettings]) -> None:
        self._globs = [(key, glob) for key, each in settings.items() if key != OTHER for glob in each.names or [key]]
        self._prices = {
            key: each.usd_per_million.picodollars() for key, each in settings.items() if each.usd_per_million is not None
        }
        self._dearest: tuple[int, int, int, int] = tuple(
            max((price[index] for price in self._prices.values()), default=0) for index in range(4)
        )  # type: ignore[assignment]
        self._known: dict[str, str] = {}

    def key(self, name: str) -> str:
        """The key of `models` that a client's name means."""
        found = self._known.get(name)
        if found is None:
            found = next((key for key, glob in self._globs if fnmatchcase(name, glob)), OTHER)
            if len(self._known) >= _REMEMBERED:  # clients write what they like
                self._known.clear()
            if len(name) <= _LONGEST:
                self._known[name] = found
        return found

    def cost(self, key: str, usage: Usage) -> int:
        """Micro-dollars, rounded up once. A model without a price costs as much as the dearest: nothing is free by its name."""
        price = self._prices.get(key, self._dearest)
        used = (usage.input, usage.cached, usage.cache_write, usage.output)
        return -(-sum(each * tokens for each, tokens in zip(price, used, strict=True)) // 1_000_000)
