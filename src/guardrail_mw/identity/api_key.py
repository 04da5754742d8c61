"""Identity from API keys, and the four answers to who proves them.

| trust | who has checked the key | an invented key |
|---|---|---|
| `gateway` | something in front of this server | never arrives |
| `keys` | this source, against a list of digests | 401 |
| `lookup` | this source, by asking a plugin | 401 |
| `app` | nobody yet: the app behind will | is its network's request until a 2xx proves it |
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
from collections.abc import Awaitable, Mapping
from hashlib import sha256
from typing import ClassVar, cast

from pydantic import BaseModel

from guardrail_mw.errors import TokenError
from guardrail_mw.identity.api_key_settings import ApiKeySettings, ListedKey, Lookup
from guardrail_mw.identity.base import Context, Presented
from guardrail_mw.identity.failures import Failures
from guardrail_mw.recent import Recent
from guardrail_mw.values import Credential

__all__ = ["ApiKeySettings", "ApiKeySource", "Lookup"]

KEPT = 3_600_000_000
"""µs for which an answer stands in while the lookup fails."""

_ATTRIBUTES = ("account", "organisation", "tier", "payment", "acr", "ial")


class ApiKeySource:
    """Recognises whatever stands in its headers and begins as keys do here.

    Args:
        settings: which headers, and who proves the keys.
        context: name, clock, observer.
    """

    Settings: ClassVar[type[BaseModel]] = ApiKeySettings

    def __init__(self, settings: ApiKeySettings, context: Context) -> None:
        self.name = context.name
        self.credentials = tuple(name.encode() for name in settings.headers)
        self.attributes: tuple[bytes, ...] = ()
        self._context = context
        self._max_bytes = settings.max_size.bytes
        self._prefix = settings.prefix.encode()
        self._proved = True if settings.trust == "gateway" else None
        self._listed = {item.digest: item for item in settings.keys} if settings.trust == "keys" else None
        self._asked = _Asked(settings, context) if settings.trust == "lookup" else None

    def identify(self, presented: Presented) -> Credential | Awaitable[Credential] | None:
        """Whose key this is; an awaitable only where a lookup takes time."""
        key = presented.credential
        if not key or not key.startswith(self._prefix) or not any(name in self.credentials for name in presented.names):
            return None
        if len(key) > self._max_bytes:
            self._context.observer.count("identity.key_too_long")
            detail = f"a key of {len(key)} bytes; max_size is {self._max_bytes}"
            raise TokenError("The API key is too long.", detail, status=431, code="credential_too_large")
        if self._listed is not None:
            return self._credential(key, _find(self._listed, key) or self._refuse())
        if self._asked is not None:
            return self._ask(key, presented)
        return Credential(self.name, "", key, self._proved)

    async def start(self) -> None:
        """Nothing to get ready."""

    async def aclose(self) -> None:
        """Nothing in the background."""

    def _refuse(self) -> ListedKey:
        self._context.observer.count("identity.unknown_key")
        raise _unknown()

    def _ask(self, key: bytes, presented: Presented) -> Credential | Awaitable[Credential]:
        assert self._asked is not None  # noqa: S101 - only called with `trust: lookup`
        answer = self._asked.ask(key, presented)
        if isinstance(answer, tuple):
            return self._found(key, answer)
        return self._later(key, answer)

    async def _later(self, key: bytes, answer: Awaitable[_Answer]) -> Credential:
        return self._found(key, await answer)

    def _found(self, key: bytes, answer: _Answer) -> Credential:
        attributes, until = answer
        if attributes is None:
            self._refuse()
        return self._credential(key, attributes or {})._replace(expires=until)

    def _credential(self, key: bytes, found: ListedKey | Mapping[str, str]) -> Credential:
        said = found.attributes() if isinstance(found, ListedKey) else found
        return Credential(
            source=self.name,
            issuer="",
            value=said.get("account") or key,
            proved=True,
            organisation=said.get("organisation", ""),
            tier=said.get("tier", ""),
            payment=said.get("payment", ""),
            acr=said.get("acr", ""),
            ial=said.get("ial", ""),
        )


_Answer = tuple[Mapping[str, str] | None, int]
"""What is known of a key, None where nothing, and until when (µs since the epoch)."""
_Wanted = Awaitable[Mapping[str, str] | None]


class _Asked:
    """Asks the plugin, once for all who want to know at the same time, and remembers the answer."""

    def __init__(self, settings: ApiKeySettings, context: Context) -> None:
        self._lookup = cast("Lookup", settings.lookup)
        self._slow = inspect.iscoroutinefunction(self._lookup) or inspect.iscoroutinefunction(type(self._lookup).__call__)
        self._context = context
        self._deadline = settings.deadline.seconds
        self._fresh = settings.cache.us
        self._unknown_for = min(settings.cache.us, 10_000_000)
        self._answers: Recent[bytes, _Answer] = Recent(8192)
        self._kept: Recent[bytes, _Answer] = Recent(8192)
        self._failures = Failures(context.clock, settings.unknown_keys)
        self._running: dict[tuple[asyncio.AbstractEventLoop, bytes], asyncio.Task[_Answer]] = {}

    def ask(self, key: bytes, presented: Presented) -> _Answer | Awaitable[_Answer]:
        """An answer at once where it is known or the lookup is synchronous."""
        digest = sha256(key).digest()
        known = self._answers.get(digest)
        if known is not None and self._context.clock.now() < known[1]:
            return known
        if self._failures.spent(presented.network, presented.parent):
            self._context.observer.count("identity.failures_spent")
            raise _unknown("its network has sent too many unknown keys")
        if self._slow:
            return self._share(digest, key, presented)
        try:
            found = self._lookup(key)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not become a 500
            return self._fall_back(digest, error)
        if inspect.isawaitable(found):
            return self._await(digest, found, presented)
        return self._learn(digest, found, presented)

    async def _share(self, digest: bytes, key: bytes, presented: Presented) -> _Answer:
        """One lookup for all of this event loop who ask; a waiter that is cancelled leaves alone."""
        at = (asyncio.get_running_loop(), digest)
        task = self._running.get(at)
        if task is None:
            task = asyncio.ensure_future(self._await(digest, cast("_Wanted", self._lookup(key)), presented))
            self._running[at] = task
            task.add_done_callback(lambda done: self._ended(at, done))
        return await asyncio.shield(task)

    def _ended(self, at: tuple[asyncio.AbstractEventLoop, bytes], done: asyncio.Task[_Answer]) -> None:
        del self._running[at]
        if not done.cancelled():
            done.exception()  # counts as seen where every waiter has left

    async def _await(self, digest: bytes, wanted: _Wanted, presented: Presented) -> _Answer:
        try:
            async with asyncio.timeout(self._deadline):
                found = await wanted
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises must not become a 500
            return self._fall_back(digest, error)
        return self._learn(digest, found, presented)

    def _learn(self, digest: bytes, found: Mapping[str, str] | None, presented: Presented) -> _Answer:
        now = self._context.clock.now()
        if found is None:
            self._failures.add(presented.network, presented.parent)
            answer: _Answer = (None, now + self._unknown_for)
            self._kept.pop(digest)
        elif not _is_attributes(found):
            return self._fall_back(digest, TypeError(f"expected texts under {', '.join(_ATTRIBUTES)}"))
        else:
            answer = (dict(found), now + self._fresh)
            self._kept.put(digest, (answer[0], now + KEPT))
        self._answers.put(digest, answer)
        return answer

    def _fall_back(self, digest: bytes, error: Exception) -> _Answer:
        """The last answer, for a while; else a refusal, because an unproved key must not pass for a proved one."""
        self._context.observer.count("identity.lookup_failed")
        kept = self._kept.get(digest)
        now = self._context.clock.now()
        if kept is None or now >= kept[1]:
            detail = f"the lookup failed: {type(error).__name__}: {error}"
            raise TokenError("The API key could not be checked.", detail, code="credential_unavailable") from error
        return (kept[0], min(kept[1], now + self._unknown_for))


def _find(listed: Mapping[bytes, ListedKey], key: bytes) -> ListedKey | None:
    """Found by its digest, so that how long it takes tells nothing of the key; compared in constant time besides."""
    digest = sha256(key).digest()
    item = listed.get(digest)
    return item if item is not None and hmac.compare_digest(item.digest, digest) else None


def _is_attributes(found: object) -> bool:
    if not isinstance(found, Mapping):
        return False
    return all(name in _ATTRIBUTES and isinstance(value, str) for name, value in found.items())


def _unknown(detail: str = "a key that nobody knows") -> TokenError:
    return TokenError("The API key is not valid.", detail, code="invalid_api_key")
