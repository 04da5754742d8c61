"""`use: sumsub`: Sumsub's applicants, sent to its WebSDK by a link.

An applicant is made for each case, which goes along as `externalUserId`: made twice, it is the first that counts. Calls are
signed: an HMAC-SHA256 of the seconds, the method, the path with its query, and the body. Webhooks carry an undated HMAC of
their body; which hash `X-Payload-Digest-Alg` says, and SHA-1, which Sumsub no longer offers, is not taken. So a copy of an
old one passes: it is known by its digest, and by its date it changes nothing.

`applicantReviewed` decides: GREEN approves; RED declines, except `RETRY`, after which the person may try again. Sumsub may
send a second one later that says otherwise. A reset or deactivated applicant has no approval any more. An approval is worth
what the level says that was really reviewed: applicants can be moved to another. Documents' numbers are in no webhook:
`fetch` has them.

Sumsub documents no call that erases an applicant's data: `redact` is `unsupported`, and its dashboard does it.

Sources: Sumsub, API reference: "Authentication", "Create applicant", "Generate external WebSDK link", "Get applicant data",
"Get applicant review status", "Deactivate applicant profile"; "User verification webhooks", "Webhook manager", "Receive
results via API". Run against a stand-in only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from pydantic import BaseModel, Field, model_validator

from guardrail_mw.errors import Problem
from guardrail_mw.friction.verification.providers.base import (
    Begin,
    Means,
    ProviderError,
    ProviderSettings,
    Report,
    Started,
    State,
    WebhookError,
    Worth,
)
from guardrail_mw.friction.verification.providers.calling import Answer, Caller, known, started
from guardrail_mw.friction.verification.providers.reading import (
    LONGEST,
    below,
    case,
    digest,
    is_id,
    moment,
    number,
    payload,
    report,
    tested,
    text,
)
from guardrail_mw.friction.verification.providers.signing import LONGEST_HEADER, mac, matches
from guardrail_mw.settings import refuse

__all__ = ["SumsubLevel", "SumsubProvider", "SumsubSettings"]

HOSTS: Final = ("sumsub.com",)
LASTS: Final = 3_600
"""Seconds that a link is good for."""
_HASHES: Final = {"HMAC_SHA256_HEX": "sha256", "HMAC_SHA512_HEX": "sha512"}
_ALSO: Final[Mapping[str, State]] = {
    "applicantCreated": "pending",
    "applicantPending": "pending",
    "applicantOnHold": "pending",
    "applicantPrechecked": "pending",
    "applicantAwaitingUser": "pending",
    "applicantAwaitingService": "pending",
    "applicantReset": "withdrawn",
    "applicantDeactivated": "withdrawn",
}
"""Webhooks that tell a state, besides `applicantReviewed`. Those of actions, tags and the like tell none."""


class SumsubLevel(Worth):
    """A level, and what Sumsub is to check for it."""

    name: str = Field(min_length=1, max_length=255)
    """The verification level, as Sumsub's dashboard has it: small and capital letters count."""


class SumsubSettings(ProviderSettings):
    """`with` of `use: sumsub`."""

    token: str = Field(max_length=255, pattern=r"^[A-Za-z0-9:._-]+$", repr=False)
    """The app token. Write ${NAME}, and set it in the environment."""
    key: str = Field(min_length=8, max_length=255, repr=False)
    """The secret key that came with it."""
    levels: dict[str, SumsubLevel] = Field(min_length=1, max_length=64)
    """The policy's levels, each one of Sumsub's."""
    test: bool = False
    """Whether what the sandbox approves counts."""

    @model_validator(mode="after")
    def _apart(self) -> SumsubSettings:
        names = [level.name for level in self.levels.values()]
        if len(set(names)) < len(names):
            refuse(
                [
                    Problem(
                        "levels", "has a level of Sumsub twice.", "An approval could not be told to be of one or the other."
                    )
                ]
            )
        if self.token.startswith("sbx:") and not self.test:
            refuse([Problem("token", "is of the sandbox, where nobody is verified.", "Say `test: true` if that is meant.")])
        return self


class SumsubProvider:
    """Sumsub.

    Args:
        settings: keys and levels.
        means: clock and digests.
    """

    Settings: ClassVar[type[BaseModel]] = SumsubSettings
    webhook: ClassVar[bool] = True
    hosts: ClassVar[Sequence[str]] = HOSTS

    __slots__ = ("_caller", "_key", "_levels", "_means", "_secrets", "settings")

    def __init__(self, settings: SumsubSettings, means: Means, /) -> None:
        self.settings = settings
        self._means = means
        self._caller = Caller("Sumsub", "https://api.sumsub.com", settings, means)
        self._key = settings.key.encode()
        self._secrets = tuple(secret.encode() for secret in settings.secrets)
        self._levels = {level.name: name for name, level in settings.levels.items()}

    async def start(self, begin: Begin, /) -> Started:
        """Create the applicant, unless there is one, and a link."""
        level = self._level(begin)
        path = f"/resources/applicants?levelName={quote(level.name, safe='')}"
        try:
            answer = await self._ask("POST", path, {"externalUserId": begin.case})
        except ProviderError as error:
            if error.code != "rejected":
                raise
            answer = await self._ask("GET", f"/resources/applicants/-;externalUserId={quote(begin.case, safe='')}/one")
        return await self._link(text(answer.body, "id"), begin)

    async def resume(self, which: str, begin: Begin, /) -> Started:
        """Another link."""
        return await self._link(known(which), begin)

    def parse_webhook(self, raw: bytes, headers: Mapping[str, str], /) -> Sequence[Report]:
        """One event."""
        if len(raw) > LONGEST:
            raise WebhookError("unreadable")
        given, algorithm = headers.get("x-payload-digest", ""), _HASHES.get(headers.get("x-payload-digest-alg", ""))
        if not given or len(given) > LONGEST_HEADER or not given.isascii() or algorithm is None:
            raise WebhookError("unsigned")
        expected = [mac(secret, raw, algorithm=algorithm).hex().encode() for secret in self._secrets]
        if not matches(expected, [given.lower().encode()]):
            raise WebhookError("signature")
        found = payload(raw)
        kind = text(found, "type")
        if kind != "applicantReviewed" and kind not in _ALSO:
            return ()
        at = moment(text(found, "createdAtMs") or text(found, "createdAt"), self._means.clock.now())
        which = text(found, "applicantId")
        if at is None or not is_id(which):
            raise WebhookError("unreadable")
        state = _reviewed(found) if kind == "applicantReviewed" else _ALSO[kind]
        state = tested(state, below(found, "sandboxMode") is True, self.settings.test)
        read = Report(case(text(found, "externalUserId")), which, digest(raw), state, at)
        level = self._levels.get(text(found, "levelName"), "")
        return (report(read, self.settings.levels.get(level), level=level),)

    async def fetch(self, which: str, /) -> Report | None:
        """The applicant's review, and the number of the first document that has one."""
        answer = await self._ask("GET", f"/resources/applicants/{known(which)}/one")
        if text(answer.body, "id") != which:
            raise ProviderError("unreadable", "no applicant of this id")
        review = below(answer.body, "review")
        state: State = "withdrawn" if below(answer.body, "deleted") is True else _reviewed(review)
        state = tested(state, below(answer.body, "sandboxMode") is True, self.settings.test)
        shown = below(answer.body, "info", "idDocs")
        tokens = (
            number(self._means, "document", text(each, "country"), text(each, "number"))
            for each in (shown if isinstance(shown, list) else [])[:16]
        )
        read = Report(
            case(text(answer.body, "externalUserId")),
            which,
            f"{which}:{state}:{answer.at}",
            state,
            answer.at,
            document=next(filter(None, tokens), ""),
        )
        level = self._levels.get(text(review, "levelName"), "")
        since = moment(text(review, "reviewDate"), answer.at)
        return report(read, self.settings.levels.get(level), since, level=level)

    async def cancel(self, which: str, /) -> None:
        """Deactivate the applicant; not while it is being checked."""
        await self._ask("PATCH", f"/resources/applicants/{known(which)}/presence/deactivated")

    async def redact(self, which: str, /) -> None:
        """There is no such call.

        Raises:
            ProviderError: always.
        """
        raise ProviderError("unsupported", "erase the applicant in Sumsub's dashboard")

    async def _link(self, which: str, begin: Begin) -> Started:
        """A link: a second is no harm."""
        wanted = {
            "levelName": self._level(begin).name,
            "userId": begin.case,
            "ttlInSecs": LASTS,
            "redirect": {"successUrl": begin.return_url, "rejectUrl": begin.return_url},
        }
        answer = await self._ask("POST", "/resources/sdkIntegrations/levels/-/websdkLink", wanted)
        return started(which, text(answer.body, "url"), HOSTS)

    def _level(self, begin: Begin) -> SumsubLevel:
        """What is to be checked.

        Raises:
            ProviderError: the settings do not have it.
        """
        level = self.settings.levels.get(begin.level)
        if level is None:
            raise ProviderError("refused", "a level that the settings do not have")
        return level

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One signed call. All that are made here may be made twice."""
        sent = json.dumps(body).encode() if body is not None else b""
        stamp = str(self._means.clock.now() // 1_000_000)
        headers = {
            "x-app-token": self.settings.token,
            "x-app-access-ts": stamp,
            "x-app-access-sig": mac(self._key, stamp.encode(), method.encode(), path.encode(), sent).hex(),
        }
        return await self._caller.ask(method, path, headers, sent)


def _reviewed(said: object) -> State:
    """What a review comes to."""
    if text(said, "reviewStatus") != "completed":
        return "pending"
    answer, kind = text(said, "reviewResult", "reviewAnswer"), text(said, "reviewResult", "reviewRejectType")
    if answer == "GREEN":
        return "approved"
    return "declined" if answer == "RED" and kind != "RETRY" else "pending"
