"""The programs that call: user agents, the headers of their SDKs, their TLS, their dialect, and their own system prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from guardrail_mw.simulate.world.arrays import Ints, Rng, Shorts

__all__ = ["POPULAR", "Program", "Programs"]

POPULAR: Final = "openterminal"
"""The popular open-source client, which is invented as are all programs with a system prompt of their own."""
_SYSTEMS: Final = ("Linux", "MacOS", "Windows")
_PYTHONS: Final = ("3.10.12", "3.11.9", "3.12.3", "3.12.7", "3.13.1")
_NODES: Final = ("v18.20.4", "v20.17.0", "v22.9.0")


@dataclass(frozen=True, slots=True)
class Program:
    """One version of a program on one kind of machine: what all who run it show alike."""

    family: str
    agent: str
    headers: tuple[tuple[str, str], ...] = ()
    tls: str = ""
    """A JA4-like name of its handshake."""
    dialect: str = "openai"
    system: int = -1
    """Its own system prompt, or -1."""


@dataclass(slots=True)
class _Family:
    weight: float
    members: list[int] = field(default_factory=list)
    odds: list[float] = field(default_factory=list)


def _stainless(language: str, version: str, machine: str, runtime: str) -> tuple[tuple[str, str], ...]:
    """What SDKs made by Stainless send, the official ones among them."""
    return (
        ("x-stainless-lang", language),
        ("x-stainless-package-version", version),
        ("x-stainless-os", machine),
        ("x-stainless-arch", "arm64" if machine == "MacOS" else "x64"),
        ("x-stainless-runtime", "CPython" if language == "python" else "node"),
        ("x-stainless-runtime-version", runtime),
    )


def _sdks() -> list[tuple[str, Program]]:
    """Official SDKs: every version on every machine and runtime, as people have them."""
    made: list[tuple[str, Program]] = []
    for name, dialect, agent, versions in (
        ("openai-python", "openai", "OpenAI/Python", ["1.97.0", "1.109.1", "2.3.0", "2.8.1"]),
        ("openai-async", "openai", "AsyncOpenAI/Python", ["1.97.0", "1.109.1", "2.8.1"]),
        ("anthropic-python", "anthropic", "Anthropic/Python", ["0.60.0", "0.68.1", "0.72.0"]),
    ):
        for version in versions:
            for machine in _SYSTEMS:
                for runtime in _PYTHONS:
                    extra = _stainless("python", version, machine, runtime)
                    tls = f"t13d{17 + _PYTHONS.index(runtime)}12h1"
                    made.append((name, Program(name, f"{agent} {version}", extra, tls, dialect)))
    for name, dialect, agent, versions in (
        ("openai-js", "openai", "OpenAI/JS", ["5.12.0", "6.1.0"]),
        ("anthropic-js", "anthropic", "Anthropic/JS", ["0.60.0", "0.66.0"]),
    ):
        for version in versions:
            for machine in _SYSTEMS:
                for runtime in _NODES:
                    extra = _stainless("js", version, machine, runtime)
                    made.append((name, Program(name, f"{agent} {version}", extra, f"t13d59{runtime[1:3]}h2", dialect)))
    return made


def _plain() -> list[tuple[str, Program]]:
    """Programs without an SDK: HTTP libraries and browsers."""
    made = [("curl", Program("curl", f"curl/{v}", (), "t13d31h2")) for v in ("7.88.1", "8.5.0", "8.9.1")]
    made += [("requests", Program("requests", f"python-requests/{v}", (), "t13d17h1")) for v in ("2.31.0", "2.32.3")]
    made += [("httpx", Program("httpx", f"python-httpx/{v}", (), "t13d18h1")) for v in ("0.27.2", "0.28.1")]
    made += [("axios", Program("axios", f"axios/{v}", (), "t13d59h1")) for v in ("1.7.7", "1.8.4")]
    made += [("go", Program("go", "Go-http-client/2.0", (), "t13d13h2"))]
    for machine in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "X11; Linux x86_64"):
        for version in range(134, 142):
            agent = f"Mozilla/5.0 ({machine}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
            extra = (("accept-language", "en-US,en;q=0.9"), ("sec-ch-ua", f'"Chromium";v="{version}"'))
            made.append(("browser", Program("browser", agent, extra, f"t13d1516h2_{version // 3}")))
    return made


_WEIGHTS: Final = {
    "openai-python": 0.2,
    "openai-async": 0.06,
    "anthropic-python": 0.12,
    "openai-js": 0.1,
    "anthropic-js": 0.05,
    "browser": 0.35,
    "curl": 0.02,
    "requests": 0.04,
    "httpx": 0.03,
    "axios": 0.02,
    "go": 0.01,
}
"""Shares of accounts by the program they use: assumptions."""


class Programs:
    """All programs of a world; an index is a batch's `client`."""

    def __init__(self) -> None:
        self.all: list[Program] = []
        self._families: dict[str, _Family] = {}
        for family, program in _sdks() + _plain():
            self._add(program, _WEIGHTS[family])

    def _add(self, program: Program, weight: float) -> int:
        family = self._families.setdefault(program.family, _Family(weight))
        self.all.append(program)
        family.members.append(len(self.all) - 1)
        family.odds.append(1 / len(family.members))  # Zipf: later versions are rarer
        return len(self.all) - 1

    def __getitem__(self, index: int) -> Program:
        return self.all[index]

    def __contains__(self, family: str) -> bool:
        return family in self._families

    def found(self, name: str, system: int, rng: Rng, versions: int = 4) -> None:
        """A client with a name and a system prompt of its own, in a few versions that people use side by side."""
        if name in self._families:
            return
        base = self.all[int(rng.choice(len(self.all) - 30))]
        for minor in range(versions):
            agent = f"{name}/1.{versions - minor}.0"
            self._add(Program(name, agent, base.headers[:2], base.tls, base.dialect, system), 0.0)

    def systems(self) -> Ints:
        """Each program's own system prompt, or -1."""
        return np.array([program.system for program in self.all], np.int32)

    def draw(self, name: str, rng: Rng, n: int) -> Shorts:
        """Programs of `n` accounts: of a family, or `any`, or `sdk` (what is not a browser).

        Raises:
            KeyError: no such family.
        """
        if name in self._families:
            family = self._families[name]
            odds = np.array(family.odds)
            return rng.choice(np.array(family.members, np.int16), n, p=odds / odds.sum())
        if name not in {"any", "sdk"}:
            raise KeyError(name)
        names = [each for each, family in self._families.items() if family.weight and (name == "any" or each != "browser")]
        weights = np.array([self._families[each].weight for each in names])
        chosen = rng.choice(len(names), n, p=weights / weights.sum())
        drawn = np.empty(n, np.int16)
        for code, each in enumerate(names):
            rows = np.flatnonzero(chosen == code)
            drawn[rows] = self.draw(each, rng, len(rows))
        return drawn
