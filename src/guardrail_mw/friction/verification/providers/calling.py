"""Calls to providers: https, no redirects, a deadline over all of it, answers of bounded length, errors without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from guardrail_mw.fetching import Fetched, NoAnswerError, UnfitAnswerError, fetch
from guardrail_mw.friction.verification.providers.base import Means, ProviderError, ProviderSettings, Started, Trouble
from guardrail_mw.friction.verification.providers.places import way
from guardrail_mw.friction.verification.providers.reading import LONGEST, is_id, moment

__all__ = ["Answer", "Caller", "known", "started"]

logger = logging.getLogger("guardrail_mw")

TRIES: Final = 2
"""Calls, where the service knows that they are one."""
_NONE: Final[Trouble] = "unavailable"
_TROUBLE: Final[Mapping[int, Trouble]] = {
    400: "rejected", 401: "refused", 402: "refused", 403: "refused", 404: "unknown", 408: "unavailable", 409: "rejected",
    410: "unknown", 422: "rejected", 429: "unavailable",
}  # fmt: skip


class Answer(NamedTuple):
    """What a service answered."""

    body: Mapping[str, Any]
    """Empty where there is none."""
    at: int
    """µs by the service's clock, as its `Date` says; by ours where it has none."""


class Caller:
    """Calls one service.

    Args:
        name: for logs.
        place: where it is unless the settings say otherwise.
        settings: where it is, and how long it may take.
        means: the clock.
    """

    __slots__ = ("_deadline", "_means", "name", "place")

    def __init__(self, name: str, place: str, settings: ProviderSettings, means: Means) -> None:
        self.name = name
        self.place = settings.url or place
        self._deadline = settings.deadline.us / 1_000_000
        self._means = means

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        kind: str = "json",
        again: bool = True,
    ) -> Answer:
        """One call, repeated where no answer came and `again` says that this is no second wish.

        Raises:
            ProviderError: nothing came of it.
        """
        typed = {"content-type": f"application/{kind}"} if body else {}
        for attempt in range(TRIES if again else 1):
            try:
                said = await fetch(
                    method,
                    self.place + path,
                    deadline=self._deadline,
                    longest=LONGEST,
                    headers={**headers, **typed},
                    content=body,
                )
            except UnfitAnswerError as error:
                raise ProviderError("unreadable", str(error)) from None
            except NoAnswerError as error:
                trouble, detail = _NONE, error.kind
            else:
                if said.ok:
                    return Answer(_object(said.body), self._date(said))
                trouble, detail = _trouble(said.status), str(said.status)
            logger.warning("%s did not answer a %s (try %d): %s", self.name, method, attempt + 1, detail)
            if trouble != "unavailable":
                break
        if trouble == "refused":
            logger.error("%s refuses our keys (%s). Nobody can be verified there.", self.name, detail)
        raise ProviderError(trouble, detail)

    def _date(self, response: Fetched) -> int:
        """When it was answered: what it says was so then."""
        now = self._means.clock.now()
        try:
            found = parsedate_to_datetime(response.headers.get("date", ""))
        except (ValueError, TypeError):
            return now
        read = moment(found.astimezone(UTC).isoformat(), now)
        return read if read is not None else now


def known(which: str, prefix: str = "") -> str:
    """An id that may stand in a path.

    Raises:
        ProviderError: it may not.
    """
    if not is_id(which, prefix):
        raise ProviderError("unknown", "an id that is none")
    return which


def started(found: str, url: str, hosts: tuple[str, ...]) -> Started:
    """What a service started.

    Raises:
        ProviderError: its which is none, or nobody may be sent where it says.
    """
    if not is_id(found) or not way(url, hosts):
        raise ProviderError("unreadable", "an which or a URL that is none of the service's")
    return Started(found, url)


def _trouble(status: int) -> Trouble:
    return _TROUBLE.get(status, "unavailable" if status >= 500 else "unreadable")  # noqa: PLR2004 - servers' errors


def _object(said: bytes) -> Mapping[str, Any]:
    """The answer's JSON object.

    Raises:
        ProviderError: it is none.
    """
    try:
        found = json.loads(said) if said else {}
    except (ValueError, RecursionError):
        raise ProviderError("unreadable", "no JSON") from None
    if not isinstance(found, dict):
        raise ProviderError("unreadable", "no object")
    return found
