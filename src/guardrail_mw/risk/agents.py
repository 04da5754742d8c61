"""What kind of program a `User-Agent` says that it comes from.

Four kinds. A *tool* names itself (an SDK, `curl`, somebody's own client): whatever does not begin as browsers do. A *crawler*
collects the web: known by name, by its own words, or dressed as a browser with somebody's address sewn in. A *headless*
browser has no person in front of it. The rest look like *browsers*, and may be asked whether the other headers agree.

Browsers are told apart by ua-parser in its `regex` backend, asked directly: `user-agents` 2.2 goes through ua-parser's old
interface, which never uses that backend (569 µs a string, where this takes 11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Final, Literal, NamedTuple, TypeAlias

from ua_parser import BestAvailableResolver, Domain, Resolver, load_lazy_builtins

from guardrail_mw.risk.agent_names import BROWSERS, CRAWLERS, HEADLESS, TOOLS, TOOLS_WITHIN

__all__ = ["LONGEST", "Agent", "Engine", "Kind", "prepare", "read_agent"]

LONGEST: Final = 512
"""Bytes of an agent that are looked at: some patterns take time that grows with the square of the length (8 KB: 7 ms)."""
REMEMBERED: Final = 4096
"""Agents kept; with their keys at most about 4 MB."""

Kind: TypeAlias = Literal["none", "tool", "crawler", "headless", "browser"]
Engine: TypeAlias = Literal["", "chromium", "firefox", "safari"]


class Agent(NamedTuple):
    """What one `User-Agent` says."""

    kind: Kind
    name: str = ""
    """From our own lists, or empty: never the client's text."""
    engine: Engine = ""
    """Whose headers a browser of this name would send."""
    major: int = 0
    """Of Chromium; 0 where it is not Chromium."""
    system: str = ""
    """As `Sec-CH-UA-Platform` would name it: `Windows`, `macOS`, `Linux`, `Android`, `Chrome OS`, `iOS`."""
    embedded: bool = False
    """Whether it is an app's (Electron, a WebView), which sends less than a browser does."""
    hollow: bool = False
    """Whether it begins as a browser and names no engine: no browser since the first ones did."""


def _any_of(marks: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)))


def _beginning(marks: Iterable[str]) -> re.Pattern[str]:
    """Any of the marks; what ends in a letter is a whole word, unless a star follows it."""
    ordered = sorted(marks, key=len, reverse=True)
    return re.compile(
        "|".join(re.escape(mark.rstrip("*")) + ("" if mark[-1] in "*/ " else r"(?![a-z])") for mark in ordered)
    )


_TOOL = _beginning(TOOLS)
_TOOL_NAMES = {mark.rstrip("*"): name for mark, name in TOOLS.items()}
_ANYWHERE: Final[tuple[tuple[Kind, re.Pattern[str], Mapping[str, str]], ...]] = (
    ("headless", _any_of(HEADLESS), HEADLESS),
    ("tool", _any_of(TOOLS_WITHIN), TOOLS_WITHIN),
    ("crawler", _any_of(CRAWLERS), CRAWLERS),
)
_SAYS_SO = re.compile(r"crawl|spider|scrap(?:e|ing)|slurp|harvest|wpull|heritrix|nutch|httrack|bot\b.*\+https?:")
"""By which whatever collects the web says so: such a word, or a bot's address behind the plus that crawlers put there."""
_SEWN_IN = re.compile(
    r"https?:/|www\.|\w\.(?:com|org|io)(?![\w.])|[\w.-]@[\w-]|(?<!cu)bot(?![a-z])|crawl|spider|scrap(?:e|ing)|slurp|archiv|"
    r"monitor|uptime|checker|validator|fetcher|lighthouse|pagespeed|pingdom|synthetic"
)
"""What no browser's own agent holds: an address to complain to, or such a word. Cubot makes telephones."""
_COMPATIBLE = re.compile(r"[(;] ?compatible;(?!.*(?:msie|trident|konqueror|opera))")
_CHROMIUM = re.compile(r" (?:headless)?chrom(?:e|ium)/(\d{1,4})\.")
_ENGINE = re.compile(r"applewebkit/|gecko/|trident/|presto/|msie |khtml/")
_SYSTEMS = (
    ("windows nt", "Windows"),
    ("android", "Android"),
    ("iphone", "iOS"),
    ("ipad", "iOS"),
    ("ipod", "iOS"),
    ("cros ", "Chrome OS"),
    ("macintosh", "macOS"),
    ("linux", "Linux"),
)


@cache
def prepare() -> Resolver:
    """The parser; made once a process, which takes a tenth of a second: so before requests come."""
    return BestAvailableResolver(load_lazy_builtins())


@lru_cache(REMEMBERED)
def read_agent(raw: bytes) -> Agent:
    """What an agent of at most `LONGEST` bytes says. 2 to 20 µs, for a crafted one 80; remembered."""
    text = raw.decode("latin-1").strip()
    low = text.lower()
    if not low:
        return Agent("none")
    for kind, marks, names in _ANYWHERE:
        found = marks.search(low)
        if found is not None:
            return Agent(kind, names[found[0]])
    return _dressed(text, low) if low.startswith(("mozilla/", "opera/")) else _named(low)


def _named(low: str) -> Agent:
    """What does not begin as browsers do has named itself. A chat bot that calls a model is no crawler."""
    found = _TOOL.match(low)
    if found is not None:
        return Agent("tool", _TOOL_NAMES[found[0]])
    return Agent("crawler" if _SAYS_SO.search(low) is not None else "tool")


def _dressed(text: str, low: str) -> Agent:
    """A browser, or a crawler dressed as one."""
    if _SEWN_IN.search(low) is not None or _COMPATIBLE.search(low) is not None:
        return Agent("crawler")
    parsed = prepare()(text, Domain.USER_AGENT | Domain.DEVICE)
    if parsed.device is not None and parsed.device.family == "Spider":
        return Agent("crawler")
    name = BROWSERS.get(parsed.user_agent.family, "") if parsed.user_agent is not None else ""
    if _ENGINE.search(low) is None:
        return Agent("browser", name, hollow=True)
    system = next((system for mark, system in _SYSTEMS if mark in low), "")
    engine, major = _engine(low, name, system)
    return Agent("browser", name, engine, major, system, embedded="electron/" in low or "; wv)" in low)


def _engine(low: str, name: str, system: str) -> tuple[Engine, int]:
    """Whose engine, and Chromium's version. On iOS every browser is Safari beneath."""
    chromium = _CHROMIUM.search(low)
    if chromium is not None and system != "iOS":
        return "chromium", int(chromium[1])
    if name in {"Firefox", "Firefox Mobile"} and "gecko/" in low:
        return "firefox", 0
    return ("safari", 0) if name in {"Safari", "Mobile Safari", "Chrome iOS", "Firefox iOS"} else ("", 0)
