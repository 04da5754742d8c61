"""The values that pass between stages.

What every request makes is a NamedTuple or a plain slotted class (a frozen dataclass of nine fields takes 2.9 µs to make);
the rest are frozen, slotted dataclasses. Times are whole µs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

__all__ = [
    "CLEARED",
    "VOUCHED",
    "Allow",
    "Challenge",
    "Content",
    "Credential",
    "Decision",
    "Delay",
    "Deny",
    "Dialect",
    "Estimate",
    "Facts",
    "Family",
    "Headers",
    "Mode",
    "Observer",
    "Refusal",
    "Standing",
    "Subject",
    "Trim",
    "Usage",
    "Verify",
]

Dialect: TypeAlias = Literal["openai", "anthropic", "problem"]
Mode: TypeAlias = Literal["shadow", "enforce", "off"]
Family: TypeAlias = Literal[
    "volume", "timing", "content", "device", "network", "payment", "release", "reputation", "automation", "client"
]
"""The kind of evidence a finding rests on; `client` is whatever one program fixes: system prompt, user agent, TLS, SDK."""
Headers: TypeAlias = list[tuple[bytes, bytes]]


class Observer(Protocol):
    """Where lower layers report what happened; they know no telemetry."""

    def count(self, event: str, by: int = 1) -> None:
        """`event` (`store.timeout`, `identity.bad_signature`) happened `by` times. Must not raise."""
        ...


class Facts:
    """What the edge read from one request. `prompt_tokens`, `model` and the like are None until the body was inspected."""

    __slots__ = ("body", "client", "headers", "kind", "method", "path", "peer")

    def __init__(
        self,
        method: str,
        path: str,
        headers: Headers,
        *,
        peer: str = "",
        kind: Literal["http", "websocket"] = "http",
        body: Estimate | None = None,
    ) -> None:
        self.method = method
        self.path = path
        """`scope["path"]` less its `root_path`."""
        self.headers = headers
        """Raw ASGI headers: lower-cased names, in order, doubles kept."""
        self.peer = peer
        """The peer's address as the server gave it; `unix` where it has none."""
        self.kind = kind
        self.body = body


class Estimate(NamedTuple):
    """What a request is likely to use, read from its body before the answer is known."""

    model: str = ""
    """As the client wrote it; empty where the body names none."""
    input: int = 0
    """Tokens: characters of the prompt / 4, and a flat figure for each media part."""
    output: int = 0
    """Tokens: min(the largest cap given, `reserve.output`) × n; with `strict`, the cap itself × n."""
    stream: bool = False
    items: int = 1
    """Requests that this one stands for: a batch's items."""
    most: int = 0
    """Tokens: all the output that the request allows, for limits with `strict`."""
    content: Content | None = None
    """What of the body is evidence; None where the policy does not want it."""


class Usage(NamedTuple):
    """What an exchange really used, in tokens. The first four are disjoint; their sum is the unit `tokens`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    images: int = 0
    seconds: float = 0.0
    complete: bool = True
    """False where it was counted from delta events because no usage came (yet)."""

    @property
    def tokens(self) -> int:
        """Input, cached, cache-write and output together."""
        return self.input + self.cached + self.cache_write + self.output


class Credential(NamedTuple):
    """A credential that one source recognised and did not find bad."""

    source: str
    """The source's name in the policy: `jwt`, `api_key`, `header`."""
    issuer: str
    value: str | bytes
    """What names the account within its issuer, byte for byte: a `sub`, a key."""
    proved: bool | None
    """True: proved here or by whom the policy trusts. None: the app behind will prove it (`trust: app`)."""
    organisation: str = ""
    tier: str = ""
    payment: str = ""
    acr: str = ""
    ial: str = ""
    expires: int | None = None
    """µs since the epoch after which this must be looked at anew."""
    domain: str = ""
    """Of the e-mail address, in small letters; empty where there is none, or where anybody can have one there."""
    domain_verified: bool = False
    """Whether the issuer says that the address is the account's."""
    created: int | None = None
    """µs since the epoch at which the account was opened, as the issuer says."""
    signed_in: int | None = None
    """µs since the epoch at which its owner last signed in, as the issuer says (`auth_time`)."""


class Content:
    """What of a body is evidence: keyed digests, never the text."""

    __slots__ = ("message", "shingles", "system")

    def __init__(self, system: int = 0, shingles: tuple[int, ...] = (), message: int = 0) -> None:
        self.system = system
        """Key of the whole system prompt; 0 where there is none."""
        self.shingles = shingles
        """Keys of pieces of the last user message, the lowest first."""
        self.message = message
        """Tells this user message from others, in this process only: one that is sent again is not another."""


class Subject:
    """Whom a request is attributed to. Homes are `<letter>:<digest>` and name keys in the store."""

    __slots__ = (
        "account",
        "acr",
        "authenticated",
        "cache",
        "candidate",
        "created",
        "device",
        "device_due",
        "device_kind",
        "evidence",
        "ial",
        "memo",
        "network",
        "network_parent",
        "noted",
        "organisation",
        "organisation_name",
        "payment",
        "signed_in",
        "source",
        "tier",
        "until",
        "verified",
    )

    def __init__(  # noqa: PLR0913 - a value
        self,
        *,
        account: str,
        network: str,
        candidate: str = "",
        network_parent: str = "",
        authenticated: bool = False,
        verified: bool = False,
        organisation: str = "",
        organisation_name: str = "",
        tier: str = "",
        acr: str = "",
        ial: str = "",
        payment: str = "",
        source: str = "anonymous",
        device: str = "",
        device_kind: Literal["", "signed", "seen"] = "",
        created: int | None = None,
        evidence: tuple[int, ...] = (),
        signed_in: int | None = None,
    ) -> None:
        self.account = account
        """Home of who pays: `a:…`, or the network's `n:…` for the anonymous and for keys nobody has proved yet."""
        self.candidate = candidate
        """The account's own home where a credential names one, proved or not; empty for the anonymous."""
        self.network = network
        self.network_parent = network_parent
        """Home of the coarser network (/24, /48) that stands in where single ones cannot be told apart."""
        self.authenticated = authenticated
        self.verified = verified
        self.organisation = organisation
        """Home `o:…`, or empty."""
        self.organisation_name = organisation_name
        """As the claim wrote it, for rules to match; never stored."""
        self.tier = tier
        self.acr = acr
        self.ial = ial
        self.payment = payment
        """Digest of the payment fingerprint, or empty."""
        self.source = source
        self.device = device
        """Home `d:…`, or empty."""
        self.device_kind = device_kind
        """How the device is known: `signed`, by a cookie of ours; `seen`, by what anybody can show; empty where it is not."""
        self.created = created
        """µs since the epoch at which the account was opened, as its issuer says; None where nobody said."""
        self.evidence = evidence
        """Keys of what the account shows with this request, whatever is in its body; empty where the policy has no clusters,
        and for the anonymous."""
        self.signed_in = signed_in
        """µs since the epoch at which its owner last signed in, as the issuer says; None where nobody said."""
        self.noted = -1
        """For the collector: the last day (UTC, since the epoch) on which all of `evidence` was noted."""
        self.device_due = False
        """Whether the answer should set the device's cookie."""
        self.until: int | None = None
        """For the resolver: µs since the epoch after which it is worked out anew; None is never."""
        self.memo: tuple[Any, ...] | None = None
        """For the engine: what it last planned for this subject, behind the key that it is found by."""
        self.cache: dict[Any, Any] | None = None
        """For the engine: all of what it planned, once it is more than one thing."""


VOUCHED = " vouched "
"""Behind the budget, in a standing, of a cluster whose organisation was verified."""
CLEARED = "cleared."
"""What the fields of a standing begin with that say until when, µs, something is passed that was asked for."""
_WHOLE = re.compile(r"[0-9]{1,18}")


class Standing(NamedTuple):
    """What is remembered of an account between requests. `fields` holds all of it, as stored."""

    version: int = 0
    """The store's µs of the last change that a plan can depend on; 0 for an account nothing is known of."""
    fields: Mapping[str, str] = {}
    seen: int = 0
    """The store's µs of the last change of anything in it. Always grows."""

    def labels(self, now: int) -> dict[str, str]:
        """What operators have put on the account and has not run out at `now`, the store's µs: why, by label."""
        found = {}
        for name, text in self.fields.items():
            if name.startswith("label."):
                until, _, why = text.partition(" ")  # µs; 0 is for good
                if _WHOLE.fullmatch(until) and (until == "0" or now < int(until)):
                    found[name.removeprefix("label.")] = why
        return found

    def cleared(self, now: int) -> bool:
        """Whether a challenge was solved, or a verification passed, that still holds at `now`, the store's µs."""
        return any(
            [
                name.startswith(CLEARED) and _WHOLE.fullmatch(until) is not None and now < int(until)
                for name, until in self.fields.items()
            ]
        )


PLAN_FIELDS = frozenset({"proved", "cluster", "verdict", "tier", "override", "budget", "counters", "cases"})
"""Fields of a standing that a plan can depend on: changing one makes a new version."""


class Refusal(NamedTuple):
    """The limit that refused, and when to come back."""

    limit: str
    """The limit's name in the policy."""
    kind: Literal["token_bucket", "sliding_window", "budget", "concurrency", "share"]
    unit: str
    amount: str
    """As the policy wrote it: `120/minute`."""
    wait: int
    """µs until the same request would be admitted, if nothing else is charged meanwhile."""
    shared: bool
    """Whether it is a `per: []` limit: the server sheds load, the caller did nothing wrong."""


class Allow(NamedTuple):
    """The request goes to the app. The one decision that every request makes."""

    id: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delay:
    """The request waits `seconds`, then goes to the app."""

    id: str
    seconds: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trim:
    """Request parameters named in `parameters` are refused or rewritten."""

    id: str
    parameters: tuple[str, ...]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Challenge:
    """The caller must solve something first."""

    id: str
    challenge: Mapping[str, Any]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verify:
    """The account must verify who it is first."""

    id: str
    verification_url: str
    """Where a person begins; empty for nowhere."""
    acr: tuple[str, ...] = ()
    """Authentication contexts that are asked of a token; empty where there is none to ask."""
    max_age: int | None = None
    """Seconds since signing in, likewise."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deny:
    """The request is refused.

    `status` follows from `code`: `rate_limited` 429, `overloaded` 503 (529 in anthropic's dialect), `unavailable` 503,
    `denied` 403, and whatever a `TokenError` carries for bad input.
    """

    id: str
    code: str
    status: int
    message: str
    """Constant text for the client."""
    reasons: tuple[str, ...] = ()
    refusal: Refusal | None = None
    retry: bool = False
    """Whether trying again later can help; sets `x-should-retry`."""
    wait: int | None = None
    """µs until then, where it is known."""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())
    """What the status asks for besides, `www-authenticate`."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Members of the body besides, as JSON: `challenge`, what must be solved; `expires_at`, until when that can be."""


Decision: TypeAlias = Allow | Delay | Trim | Challenge | Verify | Deny
