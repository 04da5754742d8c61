"""One rung, compiled: what it does, whom it may act on, and where its threshold lies for each account."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Literal, TypeAlias

from guardrail_mw.friction.delays import jittered
from guardrail_mw.friction.rungs import (
    KINDS,
    NEEDS,
    DelaySettings,
    PluginSettings,
    RungSettings,
    TrimRungSettings,
    WaitSettings,
)
from guardrail_mw.friction.trim import Trimmer, TrimSettings
from guardrail_mw.plugins import load
from guardrail_mw.quantities import Budget, Share

__all__ = ["SEVERITY", "SPREAD", "Act", "Rung", "margin", "operators"]

Act: TypeAlias = Literal["allow", "delay", "trim", "challenge", "verify", "deny"]
SEVERITY: Final[Mapping[str, int]] = {"allow": 0} | {kind: place for place, kind in enumerate(KINDS, 1)}
"""Mildest first."""
SPREAD: Final = 0.1
_WHOLE: Final = 1 << 64


def margin(at: int) -> float:
    """By how much, at most, an account's threshold differs from `at`."""
    return SPREAD * min(at, 100 - at)


class Rung:
    """One rung of a ladder.

    Args:
        settings: what the policy says of it.
        index: its place, 0 for the lowest.
        key: what thresholds and rollouts of accounts are worked out with.
        rollout: the share of accounts it acts on, where it names none itself.
        budget: of established accounts that it may newly touch, likewise.
    """

    __slots__ = (
        "_rolled", "_rollout", "_threshold", "at", "budget", "code", "do", "index", "name", "needs", "otherwise", "shadow",
        "trim", "up", "use", "wait", "with_",
    )  # fmt: skip

    def __init__(
        self,
        settings: RungSettings,
        index: int,
        *,
        key: bytes,
        rollout: Share,
        budget: Budget | None = None,
        shadowed: frozenset[str] = frozenset(),
    ) -> None:
        self.name = settings.label
        self.index = index
        self.at = settings.at
        self.do: Act = settings.do
        self.needs = NEEDS.get(settings.do, 0)
        """Families of evidence without which nobody enters it."""
        self.shadow = settings.shadow or self.name in shadowed
        self.up = settings.up or 0
        """Requests that it meets before the next rung up acts; 0 is never."""
        self.code = settings.fingerprint()
        """What a clearance of it is bound to."""
        self.budget = settings.false_positives or budget
        self.with_: Any = settings.with_
        """The settings of its kind."""
        self.use = settings.with_.use if isinstance(settings.with_, PluginSettings) else ""
        """The plugin that serves a challenge or verification; else empty."""
        self.trim = Trimmer(settings.with_ if isinstance(settings, TrimRungSettings) else TrimSettings())
        """What a trim takes; the usual where this is another kind of rung."""
        self.otherwise: Rung | None = None
        """What callers meet who cannot solve it: under its name and place, another thing done."""
        self.wait = settings.with_ if isinstance(settings, DelaySettings) else WaitSettings()
        """How long a delay waits, and its jitter; the usual where this is another kind of rung."""
        self._rollout = (settings.rollout or rollout).of(_WHOLE)
        self._threshold = _keyed(key, b"threshold", self.name)
        self._rolled = _keyed(key, b"rollout", self.code)

    def __repr__(self) -> str:
        """Name, place and what it does."""
        return f"<Rung {self.name} at {self.at}: {self.do}>"

    def instead(self, do: Act, like: Rung | None) -> Rung:
        """The same rung, doing something else, as `like` does it where the ladder has such a rung."""
        other = Rung.__new__(Rung)
        for slot in Rung.__slots__:
            setattr(other, slot, getattr(self, slot))
        other.do, other.needs, other.otherwise, other.use = do, NEEDS.get(do, 0), None, ""
        other.trim, other.wait = (like.trim, like.wait) if like is not None else (Trimmer(TrimSettings()), WaitSettings())
        return other

    def plugin(self, kind: str) -> tuple[Any, Any]:
        """The plugin that serves it, and the plugin's settings as the policy has them.

        Args:
            kind: `challenges` or `verifiers`.
        """
        made = load(kind, self.use)
        return made, made.Settings.model_validate(self.with_.own)

    def threshold(self, account: str) -> float:
        """The risk that reaches it, for one account: always the same, and nobody can tell it from another's."""
        part = _draw(self._threshold, account) / _WHOLE
        return self.at + (2 * part - 1) * margin(self.at)

    def rolled_out(self, account: str) -> bool:
        """Whether it acts on an account yet. A larger share holds every account of a smaller one."""
        return self._rollout == _WHOLE or _draw(self._rolled, account) < self._rollout

    def seconds(self, draw: float) -> float:
        """How long a delay waits; `draw`, from 0 to 1, says where in its jitter."""
        return jittered(self.wait.seconds, float(self.wait.jitter.percent) / 100, draw)


def operators(do: Act, key: bytes) -> Rung:
    """A rung that an override names and no ladder has."""
    settings = RungSettings.model_construct(at=100, do=do, with_=None, name=None)
    return Rung(settings, -1, key=key, rollout=Share.parse("100%"))


def _keyed(key: bytes, purpose: bytes, text: str) -> blake2b:
    """The state behind what all accounts have in common; whose account it is comes last, so that no two texts are one."""
    state = blake2b(digest_size=8, key=key, person=purpose)
    state.update(len(text).to_bytes(4, "big") + text.encode())
    return state


def _draw(begun: blake2b, account: str) -> int:
    """64 bits, evenly spread over accounts."""
    state = begun.copy()
    state.update(account.encode())
    return int.from_bytes(state.digest(), "big")
