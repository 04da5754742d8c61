"""The document: what a policy may say, put together from the stages' own settings."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from guardrail_mw import plugins
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.errors import Problem
from guardrail_mw.friction.settings import FrictionSettings
from guardrail_mw.friction.verification.settings import VerificationSettings
from guardrail_mw.identity.device_settings import DeviceSettings
from guardrail_mw.identity.settings import IdentitySettings
from guardrail_mw.limits.settings import LimitSettings, ModelSettings, ReserveSettings
from guardrail_mw.limits.velocity import VelocitySettings
from guardrail_mw.policy import checks, paths
from guardrail_mw.policy.console import ConsoleSettings
from guardrail_mw.policy.endpoints import EndpointsSettings
from guardrail_mw.policy.nodes import dotted
from guardrail_mw.quantities import Duration, Size
from guardrail_mw.risk.settings import RiskSettings
from guardrail_mw.settings import OneOrMany, Settings, Slug, Word, refuse
from guardrail_mw.telemetry.settings import TelemetrySettings
from guardrail_mw.values import Dialect, Mode

__all__ = ["LATER", "SCHEMES", "InspectSettings", "Policy", "RouteSettings", "StoreSettings", "url_trouble"]

LATER: Final = ("audit", "public_url")
"""Sections that are known and not available yet."""

_NETWORKED: Final = ("redis", "redis+sentinel", "redis+cluster", "rediss", "rediss+sentinel", "rediss+cluster")
SCHEMES: Final = ("memory", "unix", *_NETWORKED)
"""Of URLs that the stores which ship understand."""
_PLACE: Final = re.compile(r"(?:redis:/?)?([A-Za-z0-9.-]+:[0-9]{1,5})", re.ASCII)
"""What somebody writes who means `redis://host:port`."""
_MS: Final = 1_000

_Method: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
_ModelName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,39}$")]


class StoreSettings(Settings):
    """Where counters live, and what happens when that fails."""

    url: str = Field(default="memory://", min_length=1, max_length=2048, repr=False)
    """memory://, unix://, redis://, redis+sentinel:// or redis+cluster://, and with TLS rediss:// and so on."""
    deadline: Duration = Duration.parse("25ms")
    """How long a request waits for the store."""
    on_error: Literal["allow", "deny", "local"] = "local"
    """What decides when the store does not: `local` is each process's own share of every limit."""
    processes: int = Field(default=1, ge=1, le=10_000)
    """How many share a limit when each must decide alone."""
    max_subjects: int = Field(default=200_000, ge=1_000, le=100_000_000)
    """How many subjects the store in memory tells apart."""

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        problem = url_trouble(url)
        if problem is not None:
            refuse([Problem("", *problem)])
        return url

    @field_validator("deadline")
    @classmethod
    def _deadline(cls, deadline: Duration) -> Duration:
        if not _MS <= deadline.us <= 10_000 * _MS:
            refuse([Problem("", "is not between 1ms and 10s.", "25ms suits a store in the same data centre.")])
        return deadline

    @property
    def scheme(self) -> str:
        """`memory`, `redis` and so on."""
        return self.url.partition("://")[0]


def url_trouble(url: str) -> tuple[str, str] | None:
    """What is wrong with a store's URL, and what to do; None when it is sound. Never quotes a password."""
    example = "Write memory:// or redis://host:6379/0, for instance."
    scheme, separator, rest = url.partition("://")
    if not separator or any(character.isspace() for character in url):
        meant = _PLACE.fullmatch(url)
        return "is not a URL.", f"Write redis://{meant[1]}/0." if meant is not None else example
    if scheme not in SCHEMES:
        if scheme in plugins.installed("stores"):
            return None
        return f"has an unknown scheme; expected {', '.join(f'{known}://' for known in SCHEMES)}.", example
    if scheme == "memory":
        return ("is memory:// with something behind it.", "Write memory:// alone.") if rest else None
    return _place_trouble(scheme, url)


def _place_trouble(scheme: str, url: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(url)
        hosts = [urlsplit(f"//{host}") for host in parts.netloc.rpartition("@")[2].split(",")]
        named = all(host.hostname and (host.port is None or host.port > 0) for host in hosts)
    except ValueError:
        return "has a host or port that is none.", "Write host:port or [::1]:port; %-escape a password's special characters."
    if scheme == "unix":
        return None if parts.path.strip("/") else ("names no socket.", "Write unix:///run/redis/redis.sock.")
    if not named:
        return "names no host.", f"Write {scheme}://host:6379."
    if scheme.endswith("+sentinel") and not parts.path.strip("/"):
        return "names no service.", "Write redis+sentinel://host:26379,host:26379/mymaster."
    return None


class RouteSettings(Settings):
    """One item of `routes`. The first that matches wins whole; what matches none is guarded, in the problem dialect."""

    path: OneOrMany
    """`*` is anything within a segment, `**` any number of segments: `/v1/**` includes `/v1`."""
    name: Slug | None = None
    """How `when` and events call it; its first path unless set."""
    methods: list[_Method] | None = Field(default=None, min_length=1)
    """Only these HTTP methods; all unless set."""
    dialect: Dialect = "problem"
    """Whose error and header shapes it speaks."""
    exempt: bool = False
    """GET and HEAD pass unguarded: for health checks."""
    limits: list[Slug] | None = None
    """Only these limits hold here (and what replaces one of them); all unless set."""
    metered: bool | None = None
    """Whether its answers are read for tokens; by default POSTs in the openai and anthropic dialects are."""
    proves: bool | None = None
    """Whether a 2xx here proves the key that came with the request; as `metered` unless set."""

    @field_validator("path")
    @classmethod
    def _paths(cls, path: list[str]) -> list[str]:
        problems = [Problem("", *found) for each in path if (found := paths.trouble(each)) is not None]
        if problems:
            refuse(problems)
        return path

    @model_validator(mode="after")
    def _sound(self) -> Self:
        idle = [key for key in ("limits", "metered", "proves") if self.exempt and getattr(self, key) is not None]
        if idle:
            hint = "Leave it out, or leave `exempt` out."
            refuse([Problem(key, "has no effect on an exempt route.", hint) for key in idle])
        return self

    @property
    def label(self) -> str:
        """Its name, or its first path."""
        return self.name or self.path[0]

    def matches(self, path: str, method: str) -> bool:
        """Whether a request for `path` (less the root path) is this route's."""
        if self.methods is not None and method not in self.methods:
            return False
        return any(paths.compile_glob(each).fullmatch(path) is not None for each in self.path)

    def is_metered(self, method: str) -> bool:
        """Whether answers to `method` are read for tokens."""
        return self.metered if self.metered is not None else self.dialect != "problem" and method == "POST"

    def is_proof(self, method: str) -> bool:
        """Whether a 2xx to `method` proves a key."""
        return self.proves if self.proves is not None else self.is_metered(method)


class InspectSettings(Settings):
    """How much of requests' bodies is read where a rule needs it."""

    max_body: Size = Size.parse("32MiB")
    """A larger body is refused (413)."""
    budget: Size = Size.parse("256MiB")
    """What all bodies in a process may hold at once, those for its own endpoints too; beyond it requests are shed (503)."""

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.budget.bytes < self.max_body.bytes:
            refuse([Problem("budget", "is smaller than one body (`max_body`).", "Allow at least one; eight are usual.")])
        return self


class Policy(Settings):
    """A validated policy."""

    version: Literal[1]
    """Of the format: 1."""
    mode: Mode = "shadow"
    """shadow: decide and record, never act; enforce: act; off: pass everything untouched."""
    extends: Word | None = None
    """The policy that this one changes: guardrail:balanced, guardrail:campaign, guardrail:watch, or a file beside this one."""
    store: StoreSettings = StoreSettings()
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    routes: list[RouteSettings] = Field(default=[], max_length=256)
    reserve: ReserveSettings = ReserveSettings()
    inspect: InspectSettings = InspectSettings()
    headers: list[Literal["ietf", "dialect"]] = Field(default=["ietf", "dialect"])
    """Rate headers: the IETF's fields, the route's dialect's own, both or none."""
    models: dict[_ModelName, ModelSettings] = Field(default={}, max_length=256)
    """Models that are counted apart, and their prices; whatever is not listed counts as `other`."""
    limits: list[LimitSettings] = Field(default=[], max_length=64)
    velocity: list[VelocitySettings] = Field(default=[], max_length=32)
    """What is counted for scorers; it refuses nobody."""
    risk: RiskSettings = RiskSettings()
    friction: FrictionSettings = FrictionSettings()
    verification: VerificationSettings | None = None
    """Who verifies people, and how whoever is refused may appeal; off unless this section is there."""
    clusters: ClustersSettings | None = None
    """Finds accounts that act as one operator; off unless this section is there."""
    endpoints: EndpointsSettings = EndpointsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    console: ConsoleSettings | None = None
    """The operator's port; off unless this section is there."""

    @field_validator("version", mode="before")
    @classmethod
    def _whole(cls, version: object) -> object:
        return version if type(version) is int else str(version)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        found = [Problem(dotted(path), message, hint) for path, message, hint in checks.check(checks.Parts.of(self))]
        if found:
            refuse(found)
        return self

    @property
    def identity_in_use(self) -> IdentitySettings:
        """`identity`, with devices told apart by what they show where nothing is said of them and they count or are evidence."""
        dimensions = [each.per for each in self.limits] + [each.per for each in self.velocity]
        counted = any("device" in each for each in dimensions) or any(each.distinct == "device" for each in self.velocity)
        if not (counted or self.clusters is not None) or self.identity.device is not None:
            return self.identity
        return self.identity.model_copy(update={"device": DeviceSettings(cookie=False)})

    def limits_of(self, route: RouteSettings | None) -> list[LimitSettings]:
        """The limits that can hold on a route (None: on what matches no route), in the policy's order.

        A route that names limits has those, and whatever replaces one of them, directly or not. A limit whose `when` names
        other routes does not hold here.
        """
        named = None if route is None or route.limits is None else set(route.limits)
        while named is not None:
            more = {limit.name for limit in self.limits if limit.replaces in named} - named
            if not more:
                break
            named |= more
        here = set() if route is None else {route.label, *route.path}
        return [
            limit
            for limit in self.limits
            if (named is None or limit.name in named)
            and (limit.when is None or limit.when.route is None or here & set(limit.when.route))
        ]

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits of all that it says of requests, defaults included; the store's URL may hold a password."""
        left_out: Any = {"extends": True, "store": {"url"}, "console": True}
        said = self.model_dump(mode="json", by_alias=True, exclude=left_out, fallback=repr)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def identity_hash(self) -> str:
        """Eight hex digits of `identity`, defaults included."""
        said = self.identity.model_dump(mode="json", by_alias=True, fallback=repr)
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]

    def unwatched(self) -> Policy:
        """It without sinks, metrics, spans and the operator's port: for requests that are only tried."""
        return self.model_copy(update={"console": None, "telemetry": TelemetrySettings()})

    def written(self) -> dict[str, Any]:
        """What was set, as written, what it extends included: loads to the same policy."""
        said = self.model_dump(mode="json", by_alias=True, exclude={"extends"}, exclude_unset=True, fallback=repr)
        found: dict[str, Any] = _plain(said)
        return found


def _plain(value: Any) -> Any:
    """A text with `${` in it as a policy must write it: else it would be a reference to a variable once it is read again."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
