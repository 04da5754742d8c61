"""What happens to cases and appeals, for whoever must hear of it: a log, a count, and whatever the app has subscribed.

A notice is a mapping of texts and numbers: `what`, `at` (µs), `case` or `appeal`, `account`, and what else belongs to it. There
is no secret in it, no document, and nothing that an applicant wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from guardrail_mw.values import Observer

__all__ = ["Notice", "Notices", "Subscriber"]

logger = logging.getLogger("guardrail_mw.cases")

Notice: TypeAlias = Mapping[str, str | int]
Subscriber: TypeAlias = Callable[[Notice], None]
_ALL: Final = frozenset(
    {"asked", "started", "pending", "approved", "declined", "expired", "withdrawn", "duplicate", "reminder", "overdue"}
    | {"appealed", "granted", "refused"}
)


class Notices:
    """Tells what happens.

    Args:
        observer: hears `verification.<what>`.
    """

    __slots__ = ("_observer", "_subscribers")

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have every notice from now on. It is called in the event loop of whatever happened, and must not wait."""
        self._subscribers.append(subscriber)

    def tell(self, what: str, at: int, **facts: str | int) -> None:
        """Something happened; a subscriber that fails is logged."""
        assert what in _ALL, what  # noqa: S101 - ours
        self._observer.count(f"verification.{what}")
        notice: Notice = {"what": what, "at": at, **facts}
        logger.info("%s", json.dumps(notice))
        for subscriber in self._subscribers:
            try:
                subscriber(notice)
            except Exception:
                logger.exception("A subscriber to notices failed at %s.", what)
