"""The policy's `clusters:` section: what counts as evidence, and when a cluster is judged. Without it nothing is collected."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, field_validator, model_validator

from guardrail_mw.algorithms.keys import MOST, OWN
from guardrail_mw.clusters.kinds import BUILT_IN, Kind, Kinds, default_code
from guardrail_mw.errors import Problem
from guardrail_mw.quantities import Duration, Network, Share
from guardrail_mw.settings import Settings, refuse
from guardrail_mw.values import Family

__all__ = [
    "ApprovalSettings",
    "ClustersSettings",
    "FloorSettings",
    "KindSettings",
    "MaterialSettings",
    "OrganisationSettings",
    "VerdictSettings",
]

_MINUTE: Final = 60_000_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
MOST_TOKENS: Final = 10**12
"""A UTC day, of a cluster's budget that somebody sets."""
_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})+", re.ASCII)
_BUILT_IN: Final = {kind.name: kind for kind in BUILT_IN}

_KindName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Nats: TypeAlias = Annotated[float, Field(ge=-1_000, le=1_000)]


class KindSettings(Settings):
    """A kind of evidence that the provider's own systems feed in (`link`)."""

    family: Family
    """What it counts as: what kinds of one family say is added up, but only to a bound."""
    bound: bool = False
    """Whether it costs money or identity to share."""
    code: int | None = Field(default=None, ge=OWN, le=MOST)
    """The number that it is kept under, for good; made from its name unless set."""


class FloorSettings(Settings):
    """Below it no cluster is judged at all."""

    accounts: int = Field(default=20, ge=2, le=1_000_000)
    """Members."""
    exchanges: int = Field(default=300, ge=1, le=1_000_000_000)
    """Requests of all members together."""


class MaterialSettings(Settings):
    """From either figure on, a cluster that nobody has declared shares one budget."""

    accounts: int = Field(default=50, ge=2, le=1_000_000)
    """Members."""
    tokens: Share = Share.parse("1%")
    """Of a day's tokens of everybody."""


class OrganisationSettings(Settings):
    """An organisation that you know, and what all its members may use together."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """As tokens and keys name it, and `when: {organisation: …}` has it."""
    issuer: str = ""
    """Of the tokens that name it; whichever source of `identity` does, unless set."""
    tokens: int = Field(ge=1, le=MOST_TOKENS)
    """A UTC day, of the cluster that half of its members are this organisation's: in place of what would be worked out."""


class ApprovalSettings(Settings):
    """How much a verdict may do before somebody could have looked at it."""

    over: int = Field(default=1_000, ge=1, le=100_000_000)
    """A verdict that newly binds over so many accounts only trims at first."""
    wait: Duration = Duration.parse("30m")
    """How long, unless an operator approves or rejects it before."""

    @field_validator("wait")
    @classmethod
    def _bearable(cls, wait: Duration) -> Duration:
        if not _MINUTE <= wait.us <= _DAY:
            refuse([Problem("", "is not between 1m and 24h.", "30m is time to look, and little for a campaign.")])
        return wait


class VerdictSettings(Settings):
    """From which figure of the judging model on a cluster is worse than `watched`; the shipped model's own unless set."""

    suspect: _Nats | None = None
    """Nats."""
    confirmed: _Nats | None = None
    """Nats; above `suspect`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.suspect is not None and self.confirmed is not None and self.confirmed <= self.suspect:
            refuse([Problem("confirmed", f"is not above `suspect`, {self.suspect:g}.", "Three nats above it is usual.")])
        return self


class ClustersSettings(Settings):
    """All of `clusters:`."""

    every: Duration = Duration.parse("10m")
    """How often clusters are worked out anew."""
    rebuild: Literal["here", "apart"] = "here"
    """Who works them out: `here`, whichever of the serving processes is elected; `apart`, only `guardrail-mw worker`, so that
    none of them needs numpy and scipy, or has the work to do."""
    lookback: Duration = Duration.parse("90d")
    """How long evidence counts after it was last seen."""
    established: Duration = Duration.parse("30d")
    """From which age on an account is never drawn in by what it showed before the cluster was there."""
    content: bool = True
    """Whether the system prompt and what an account writes again and again are evidence, as keyed digests. Reads every body."""
    hours: bool = True
    """Whether working at the same hours of the day, at the same pace, is evidence: assertable, of the family `timing`. From the
    activity that is kept of each account anyhow."""
    shared_networks: list[Network] = Field(default=[], max_length=100_000)
    """Networks whose addresses many people share (carriers' NAT, relays, clouds): never bound evidence. Private addresses and
    100.64.0.0/10 never are."""
    free_mail: list[str] = Field(default=[], max_length=100_000)
    """Domains where anybody can have an e-mail address, besides those that are known: no evidence."""
    kinds: dict[_KindName, KindSettings] = Field(default={}, max_length=MOST + 1 - OWN)
    """Kinds of evidence of your own, by name."""
    floor: FloorSettings = FloorSettings()
    material: MaterialSettings = MaterialSettings()
    organisations: list[OrganisationSettings] = Field(default=[], max_length=10_000)
    """Organisations whose budget you set."""
    approval: ApprovalSettings = ApprovalSettings()
    verdict: VerdictSettings = VerdictSettings()

    @field_validator("every")
    @classmethod
    def _often(cls, every: Duration) -> Duration:
        if not _MINUTE <= every.us <= _DAY:
            refuse([Problem("", "is not between 1m and 24h.", "10m is usual; a campaign does much in a day.")])
        return every

    @field_validator("lookback")
    @classmethod
    def _remembered(cls, lookback: Duration) -> Duration:
        if not _DAY <= lookback.us <= 90 * _DAY:
            refuse([Problem("", "is not between 1d and 90d.", "Evidence last seen 90 days ago is forgotten.")])
        return lookback

    @field_validator("free_mail")
    @classmethod
    def _domains(cls, names: list[str]) -> list[str]:
        hint = "Write it in small letters, as DNS has it, without @: example.com."
        problems = [
            Problem(str(index), "is not a domain.", hint)
            for index, name in enumerate(names)
            if len(name) > 253 or _DOMAIN.fullmatch(name) is None  # noqa: PLR2004 - octets of a name in DNS
        ]
        if problems:
            refuse(problems)
        return names

    @field_validator("organisations")
    @classmethod
    def _once(cls, organisations: list[OrganisationSettings]) -> list[OrganisationSettings]:
        seen: dict[str, set[str]] = {}
        problems = []
        for index, each in enumerate(organisations):
            issuers = seen.setdefault(each.name, set())
            if issuers and (each.issuer in issuers or not each.issuer or "" in issuers):
                text = f"stands there twice: {each.name!r}."
                problems.append(Problem(f"{index}.name", text, "Give it one budget, or one with each `issuer`."))
            issuers.add(each.issuer)
        if problems:
            refuse(problems)
        return organisations

    @field_validator("kinds")
    @classmethod
    def _apart(cls, own: dict[str, KindSettings]) -> dict[str, KindSettings]:
        problems = [*_taken(own)]
        if problems:
            refuse(problems)
        return own

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.established.us >= self.lookback.us:
            hint = "Evidence must count for longer than it takes to be trusted: 30d and 90d are usual."
            refuse([Problem("established", f"is not below `lookback`, {self.lookback}.", hint)])
        return self

    @property
    def lookback_days(self) -> int:
        """`lookback` in whole days."""
        return self.lookback.us // _DAY

    def known(self) -> Kinds:
        """All kinds, with their codes."""
        return Kinds(Kind(_code(name, each), name, each.family, each.bound) for name, each in self.kinds.items())


def _code(name: str, kind: KindSettings) -> int:
    return kind.code if kind.code is not None else default_code(name)


def _taken(own: dict[str, KindSettings]) -> Iterator[Problem]:
    """Two kinds of one name or of one code would be one."""
    seen: dict[int, str] = {}
    codes = {_code(name, kind) for name, kind in own.items()}
    free = next((code for code in range(OWN, MOST + 1) if code not in codes), None)
    for name, kind in own.items():
        if name in _BUILT_IN:
            yield Problem(name, "is the name of a kind that is built in.", "Give it another name.")
            continue
        code = _code(name, kind)
        first = seen.setdefault(code, name)
        if first != name:
            place = name if kind.code is None else f"{name}.code"
            yield Problem(place, f"would be kept under {code}, as `{first}` is.", f"Set its `code` to {free}, for good.")
