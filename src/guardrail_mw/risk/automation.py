"""What a request's headers say of the program behind it.

Declared automation is not guilt on an API; a browser that is not one is. So an SDK, `curl` or somebody's own client gives no
finding, and what looks like a browser is asked whether its other headers agree. Only what browsers do without exception
counts: each rule says which. Sources: W3C Fetch Metadata, WICG User-Agent Client Hints (both in secure contexts only, and
hints never on WebSocket handshakes), the `x-stainless-*` that the vendors' SDKs send (`browser:…` where they run in one).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from pydantic import BaseModel, Field

from guardrail_mw.quantities import Share
from guardrail_mw.risk.agents import LONGEST, Agent, prepare, read_agent
from guardrail_mw.risk.base import Finding, RiskContext, Scope
from guardrail_mw.settings import Settings

__all__ = ["AutomationScorer", "AutomationSettings"]

REMEMBERED: Final = 2048
"""Sets of headers in a generation of the memory, of which there are two."""
HEAVIEST: Final = 1536
"""Bytes of headers beyond which they are looked at each time. A browser's weigh about 700."""
PER_HEADER: Final = 32
"""Bytes that a header weighs beside its value."""
HINTS_SINCE: Final = 100
"""The version from which every Chromium sends its hints; they came with 89, by and by."""

_READ: Final = frozenset(
    {
        b"accept",
        b"accept-language",
        b"sec-ch-ua",
        b"sec-ch-ua-platform",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"user-agent",
        b"x-forwarded-proto",
        b"x-stainless-lang",
        b"x-stainless-runtime",
    }
)
_CHROMIUM_BRAND = re.compile(rb'"Chromium"; ?v="(\d{1,4})')
_PLATFORMS: Final[Mapping[str, frozenset[bytes]]] = {
    "Windows": frozenset({b"Windows"}),
    "macOS": frozenset({b"macOS"}),
    "Linux": frozenset({b"Linux", b"Android", b"Chrome OS", b"Chromium OS"}),  # a telephone that asks for a desktop's page
    "Android": frozenset({b"Android", b"Chrome OS", b"Chromium OS", b"Linux"}),
    "Chrome OS": frozenset({b"Chrome OS", b"Chromium OS", b"Linux"}),
}
"""What may stand in `sec-ch-ua-platform` beside a system that the agent names."""
_ALL_PLATFORMS: Final = frozenset().union(*_PLATFORMS.values())
_RUNTIMES: Final = frozenset({b"cpython", b"pypy", b"node", b"deno", b"bun"})
"""Where an SDK runs outside browsers."""
_LANGUAGES: Final = frozenset({b"python", b"java", b"kotlin", b"go", b"ruby", b"csharp", b"php"})
"""What no browser runs."""

_Read = tuple[tuple[bytes, bytes], ...]
_Fields = Mapping[bytes, bytes]


class AutomationSettings(Settings):
    """`with` of `use: automation`: what each sign is worth, 0 to 100; 0 says nothing of it."""

    headless: int = Field(default=80, ge=0, le=100)
    """A browser that says it has no screen, or is steered by a program."""
    crawler: int = Field(default=60, ge=0, le=100)
    """A program that collects the web."""
    inconsistent: int = Field(default=40, ge=0, le=100)
    """A browser's name over headers that no such browser sends. Honest people do it too, to get past a firewall, so alone it
    should slow and not challenge."""
    missing: int = Field(default=20, ge=0, le=100)
    """A browser's name without what every browser sends; a proxy in between may have taken it."""
    declared: int = Field(default=0, ge=0, le=100)
    """A program that names itself: an SDK, a command-line client."""
    unnamed: int = Field(default=0, ge=0, le=100)
    """No `User-Agent` at all, as several HTTP libraries have it."""
    solved: Share = Share.parse("50%")
    """What is left of a sign for who has solved a challenge that still holds. Not less: farms solve, too."""
    https: bool = False
    """Whether browsers reach this server over HTTPS only, so that their hints may be missed. Else it is taken from the
    request: `x-forwarded-proto`, or what only secure contexts send."""


class AutomationScorer:
    """Finds headless browsers, crawlers, and browsers that are none.

    The same headers give the same findings, so they are remembered by them: about 1 µs, else 5 to 50.
    """

    Settings: ClassVar[type[BaseModel]] = AutomationSettings

    def __init__(self, settings: AutomationSettings, scope: Scope) -> None:
        self.name = scope.name
        self._settings = settings
        self._new: dict[tuple[str, _Read], tuple[Finding, ...]] = {}
        self._old: dict[tuple[str, _Read], tuple[Finding, ...]] = {}
        prepare()

    def score(self, context: RiskContext, /) -> tuple[Finding, ...]:
        """What its headers say; the strongest sign counts, for all are of one family or say nothing of a person."""
        facts = context.facts
        read = tuple([(name, value[:LONGEST]) for name, value in facts.headers if name in _READ])
        key = (facts.kind, read)
        found = self._new.get(key)
        if found is None:
            found = self._recall(key)
        return self._eased(found) if found and context.standing.cleared(context.now) else found

    def _eased(self, found: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """What is left of signs of automation once a challenge was solved; what names a program is no sign of it."""
        left = float(self._settings.solved.percent) / 100
        return tuple(
            [each._replace(score=round(each.score * left)) if each.family == "automation" else each for each in found]
        )

    def _recall(self, key: tuple[str, _Read]) -> tuple[Finding, ...]:
        """From the older generation, or worked out. From several threads at once the worst is work done twice."""
        found = self._old.get(key)
        kind, read = key
        if found is None:
            found = self._judge(kind, read)
        if sum([len(value) + PER_HEADER for _, value in read]) <= HEAVIEST:
            if len(self._new) >= REMEMBERED:
                self._old, self._new = self._new, {}
            self._new[key] = found
        return found

    def _judge(self, kind: str, read: _Read) -> tuple[Finding, ...]:
        fields: dict[bytes, bytes] = {}
        for name, value in read:
            fields.setdefault(name, value.strip())
        settings = self._settings
        agent = read_agent(fields.get(b"user-agent", b""))
        match agent.kind:
            case "none":
                return _say(settings.unnamed, "no-user-agent", agent, program=True)
            case "tool":
                return _say(settings.declared, "declared-program", agent, program=True)
            case "headless":
                return _say(settings.headless, "headless-browser", agent)
            case "crawler":
                return _say(settings.crawler, "crawler", agent)
            case "browser":
                return self._question(kind, agent, fields)

    def _question(self, kind: str, agent: Agent, fields: _Fields) -> tuple[Finding, ...]:
        """Whether what looks like a browser sends what such a browser does."""
        settings = self._settings
        if b"headless" in fields.get(b"sec-ch-ua", b"").lower():
            return _say(settings.headless, "headless-browser", agent)
        for reason, contradicts in _CONTRADICTIONS.items():
            if contradicts(agent, fields):
                return _say(settings.inconsistent, reason, agent)
        if b"accept-language" not in fields and not agent.embedded:
            return _say(settings.missing, "browser-without-language", agent)
        if kind == "http" and self._hints_missing(agent, fields):
            return _say(settings.missing, "browser-without-hints", agent)
        return ()

    def _hints_missing(self, agent: Agent, fields: _Fields) -> bool:
        """Chromium sends `sec-ch-ua` with every request to where it may; WebViews came to it late."""
        if agent.engine != "chromium" or agent.major < HINTS_SINCE or agent.embedded or b"sec-ch-ua" in fields:
            return False
        secure = self._settings.https or b"sec-fetch-site" in fields
        return secure or fields.get(b"x-forwarded-proto", b"").lower() == b"https"


def _say(score: int, reason: str, agent: Agent, *, program: bool = False) -> tuple[Finding, ...]:
    if not score:
        return ()
    figures = {name: value for name, value in (("agent", agent.name), ("system", agent.system)) if value}
    return (Finding("client" if program else "automation", score, reason, figures),)


def _hollow(agent: Agent, fields: _Fields) -> bool:  # noqa: ARG001 - one of several
    """`Mozilla/5.0` and no engine: what a script says that was told to say something."""
    return agent.hollow


def _over_sdk(agent: Agent, fields: _Fields) -> bool:
    """An SDK that runs outside browsers was told to send a browser's name. Desktop apps do both, and say `sec-fetch-site`."""
    if agent.embedded or b"sec-fetch-site" in fields:
        return False
    runtime = fields.get(b"x-stainless-runtime", b"").lower()
    return runtime in _RUNTIMES or fields.get(b"x-stainless-lang", b"").lower() in _LANGUAGES


def _any_language(agent: Agent, fields: _Fields) -> bool:  # noqa: ARG001 - one of several
    """Every person reads some language. `*` is what Node's `fetch` sends."""
    return fields.get(b"accept-language") == b"*"


def _foreign_hints(agent: Agent, fields: _Fields) -> bool:
    """Client hints are Chromium's; Firefox and Safari have none."""
    return agent.engine in {"firefox", "safari"} and b"sec-ch-ua" in fields


def _other_version(agent: Agent, fields: _Fields) -> bool:
    """The brand `Chromium` has the version that the agent gives behind `Chrome/`, whatever the browser is called."""
    if agent.engine != "chromium":
        return False
    brand = _CHROMIUM_BRAND.search(fields.get(b"sec-ch-ua", b""))
    return brand is not None and int(brand[1]) != agent.major


def _other_system(agent: Agent, fields: _Fields) -> bool:
    """The hint names another system than the agent. A system that we do not know contradicts nothing."""
    platform = fields.get(b"sec-ch-ua-platform", b"").strip(b'"')
    allowed = _PLATFORMS.get(agent.system)
    return allowed is not None and platform in _ALL_PLATFORMS and platform not in allowed


def _blind_navigation(agent: Agent, fields: _Fields) -> bool:  # noqa: ARG001 - one of several
    """A browser that goes to a page accepts HTML."""
    return fields.get(b"sec-fetch-mode") == b"navigate" and b"html" not in fields.get(b"accept", b"html").lower()


_CONTRADICTIONS: Final[Mapping[str, Callable[[Agent, _Fields], bool]]] = {
    "browser-over-sdk": _over_sdk,
    "hollow-browser": _hollow,
    "any-language": _any_language,
    "foreign-hints": _foreign_hints,
    "other-version": _other_version,
    "other-system": _other_system,
    "navigation-without-html": _blind_navigation,
}
"""By reason, in the order in which they are asked; the first speaks."""
