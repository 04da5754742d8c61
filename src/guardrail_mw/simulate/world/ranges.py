"""What a sort of people, or of attackers, is drawn from: read from `ranges.yaml`, which is frozen.

The same `Traits` describe an office and a campaign's accounts: how many share an address, a device, a card, what they send
and when they came. Only `Conduct`, what an operator does with its accounts, is the attackers' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guardrail_mw.simulate.world.figures import Per, Range
from guardrail_mw.simulate.world.volumes import PROFILES, RHYTHMS

__all__ = [
    "Ages",
    "Cohort",
    "Conduct",
    "Mail",
    "Means",
    "Part",
    "Places",
    "Prompts",
    "Ranges",
    "Sharing",
    "Traits",
    "merged",
    "ranges",
    "ranges_hash",
]

_FILE: Final = Path(__file__).with_name("ranges.yaml")


class Part(BaseModel):
    """A piece of a scenario or of the ranges: exact names, no changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Sharing(Part):
    """Values that accounts may have in common: cards, devices, system prompts."""

    per: Per = (1.0, 1.0)
    """How many accounts hold one value."""
    each: Range = (1.0, 1.0)
    """How many values an account uses, one a call."""
    have: Range = (1.0, 1.0)
    """The share of a group's accounts that have one."""
    session: bool = False
    """A new value in every hour that the account calls."""


class Places(Part):
    """Where accounts call from."""

    kind: Literal["home", "cgnat", "office", "campus", "relay", "cloud", "proxy"] = "home"
    per: Per = (1.0, 1.0)
    each: Range = (1.0, 1.0)
    """How many addresses of its block an account moves about in."""
    pool: Range = (1.0, 1.0)
    """How many addresses a block has; those who share one use any of them."""
    roam: Range = (0.0, 0.0)
    """The share of an account's calls that come from elsewhere: a mobile network that many share, or home."""
    lease: Range = (0.0, 0.0)
    """Days after which homes of a provider's block of 256 get one another's addresses; 0: they keep theirs."""
    taken: bool = False
    """Addresses of ordinary people's homes (a residential proxy), in place of the operator's own."""
    vendor: str = ""
    """Addresses of a vendor's pool, which all who name it share."""


class Mail(Part):
    """The domain of accounts' e-mail addresses."""

    domain: Literal["free", "own", "group", "organisation"] = "free"
    verified: Range = (0.6, 0.95)
    """The share whose address the issuer has verified."""


class Ages(Part):
    """When accounts were made."""

    before: Range = (30.0, 900.0)
    """Days before the beginning (of the run, or of the campaign)."""
    during: Range = (0.0, 0.0)
    """The share that comes while it runs, evenly."""
    within: Range | None = None
    """Hours in which a whole group is made, from one moment of it on."""


class Prompts(Part):
    """What accounts' last user messages are like."""

    share: Range = (0.0, 0.0)
    """The share of an account's calls that fill in a template; the others are free text."""
    per: Per = "group"
    variants: Range = (1.0, 1.0)
    """How many templates a family has."""
    fixed: Range = (20.0, 80.0)
    """Words of a template that stay."""
    slots: Range = (1.0, 3.0)
    words: Range = (5.0, 60.0)
    """Words that are filled in."""
    paraphrase: Range = (0.0, 0.0)
    """The share of a template's words that is replaced, call by call."""
    rewrite: bool = False
    """Every message is written anew: no six words in a row are shared beyond chance."""
    bank: str = ""
    """A public collection of prompts, which all who name it share."""


class Traits(Part):
    """One group's accounts; every range is drawn once a group or once an account, as it says."""

    size: Range = (1.0, 1.0)
    """Accounts a group."""
    address: Places = Places()
    device: Sharing = Sharing(have=(0.5, 0.9), each=(1, 2))
    card: Sharing = Sharing(have=(0.3, 0.6))
    mail: Mail = Mail()
    organisation: Literal["none", "group", "own"] | Annotated[int, Field(ge=1)] = "none"
    """The group's, each account's, or so many over which a group is spread."""
    mixing: Range = (0.0, 1.0)
    """The share of a group's accounts whose address, device and card are shuffled apart from one another."""
    ages: Ages = Ages()
    stay: Range | None = None
    """Days from an account's first call to its last; none: to the end."""
    program: str = "any"
    """A program's name, `any`, `sdk`, `browser`, or `group`: one that only this group uses."""
    system: Sharing = Sharing(per="program")
    prompts: Prompts = Prompts()
    length: Literal["conversation", "completion", "agent", "short", "exchange"] = "conversation"
    rhythm: str = "people"
    zones: Range = (-8.0, 9.0)
    """Hours from UTC, drawn once a group."""
    languages: dict[str, float] = {"en": 0.53, "zh": 0.13, "ru": 0.12, "es": 0.1, "ar": 0.06, "hi": 0.06}
    """Weights. WildChat (Zhao et al., ICLR 2024) counts 53% English, 13% Chinese and 12% Russian of its turns."""
    rate: Range = (2.0, 12.0)
    """Calls of the group's median account on a median day on which it calls at all."""
    spread: Range = (0.3, 0.6)
    """How much of the spread between clients of real services: see `volumes.between`."""
    active: Range = (0.1, 0.6)
    """The share of days on which an account calls, drawn once an account."""
    most: Annotated[int, Field(ge=1)] = 2000
    """Calls a day that an account never passes."""
    launch: Range = (0.2, 0.4)
    """The share of calls that move to a new model on the day of its release, drawn once a group and release."""
    settle: Range = (0.3, 0.8)
    """The share that has moved once a month has passed."""
    turns: bool = False
    """The group's program changes its system prompt when a model is released."""

    def model_post_init(self, _context: object, /) -> None:
        """Names that other modules give."""
        if self.rhythm not in RHYTHMS:
            raise ValueError(f"no rhythm {self.rhythm!r}: there are {', '.join(RHYTHMS)}")
        if self.length not in PROFILES:  # pragma: no cover (the type says so)
            raise ValueError(f"no length {self.length!r}")


class Conduct(Part):
    """What an operator does with its accounts."""

    per_day: Annotated[int, Field(ge=1)] | None = None
    """Calls a day that an account makes at most; there are then as many accounts as the goal needs."""
    cover: Range = (0.0, 0.0)
    """The share of all its calls that is cover."""
    evenness: Range = (0.0, 0.3)
    """Sigma of the logarithm of accounts' shares of the work."""
    hours: Range = (12.0, 24.0)
    """Hours of a day in which it works."""
    beat: Range | None = (1.0, 10.0)
    """Seconds between the moments at which calls start; none: at any moment."""
    jitter: Range = (0.0, 2.0)
    """Seconds after such a moment."""
    rhythm: str = "flat"
    burnt: Annotated[int, Field(ge=1)] | None = None
    """Refusals after which an account is given up; none: it goes on as if nothing were."""
    replace: Range | None = None
    """Minutes from a ban to the next account; none: it is not replaced."""
    spares: Range = (0.0, 0.0)
    """Accounts aged before, as a share of its accounts; fresh ones come once they are used up."""
    most: Annotated[float, Field(ge=1)] = 4.0
    """Accounts in all, over those that it begins with."""
    again: Annotated[int, Field(ge=1)] = 1
    """Attempts that it makes for each exchange still owed, where it was refused: above 1, a storm."""
    source: Literal["made", "bought", "hijacked"] = "made"
    """Accounts that it makes, buys from people who have used them, or uses beside their owners."""
    inside: str = ""
    """The cohort of whose largest group some of its accounts are customers, 5% of them."""
    drawn: str = ""
    """The cohort whose traits and days its accounts have, all of them, whatever the goal: a control."""
    victim: Literal["", "evidence", "address"] = ""
    """It plants a victim's evidence; with `address`, it calls from the victim's address as well."""
    pollute: bool = False
    """It uses what is popular: the popular client's system prompt, the viral template, free mail, addresses of relays."""


class Cohort(Part):
    """A sort of ordinary people."""

    share: Annotated[float, Field(gt=0, le=1)]
    """Of all ordinary accounts, before cohorts that are held out are left out."""
    grouped: bool = False
    """People who have something in common though nobody is behind them."""
    large: bool = False
    """Its groups are divided by the scale."""
    held_out: bool = False
    special: Literal["", "migration", "viral", "lesson", "hackathon", "startup", "mixed"] = ""
    """What `cohorts.special` does to its groups."""
    traits: Traits = Traits()


class Means(Part):
    """One thing that an attacker may do, laid over others: later ones win."""

    held_out: bool = False
    traits: dict[str, Any] = {}
    conduct: dict[str, Any] = {}


class Ranges(Part):
    """The whole file."""

    version: int
    cohorts: dict[str, Cohort]
    attackers: dict[str, Means]
    """What a campaign starts from."""
    means: dict[str, Means]
    held_out_ratios: list[float] = []


@cache
def ranges() -> Ranges:
    """The file, read once.

    Raises:
        ValueError: it is not as it should be, with every problem.
    """
    try:
        return Ranges.model_validate(yaml.safe_load(_FILE.read_text("utf-8")))
    except ValidationError as error:
        raise ValueError(f"{_FILE.name}: {error}") from error


def ranges_hash() -> str:
    """The file's SHA-256, 16 digits of it: tables print it, so that nobody tunes the ranges unseen."""
    return sha256(_FILE.read_bytes()).hexdigest()[:16]


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, mapping by mapping."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return result
