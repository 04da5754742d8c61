"""Evidence from outside: what the provider's own systems know of accounts, and no request shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from guardrail_mw.algorithms import keys
from guardrail_mw.clusters.kinds import Declared
from guardrail_mw.engine import naming
from guardrail_mw.engine.accounts import MisuseError, home_of, line_of
from guardrail_mw.errors import StoreError
from guardrail_mw.quantities import Moment, QuantityError
from guardrail_mw.stores.base import Graph
from guardrail_mw.stores.resilient import behind

if TYPE_CHECKING:
    from guardrail_mw.engine.guardrail import Guardrail
    from guardrail_mw.identity.resolver import Resolver
    from guardrail_mw.policy import Policy

__all__ = ["Linked", "Linker", "When", "declared", "graph_of", "link", "moment_of", "unlink"]

When: TypeAlias = datetime | int | float | str | None
"""A time: with its zone, or in UTC; text such as 2026-11-24T16:00:00Z; a number of seconds, milliseconds or µs since 1970, told
apart by how large it is."""

_MILLISECONDS: Final = 10**11
_MICROSECONDS: Final = 10**14
_END: Final = 10**17
_NAMING: Final = frozenset({"header", "jwt"})
"""Sources that know accounts by a name which others know, too."""
_LONGEST: Final = 4_096
"""Characters of a value."""


class Linked(NamedTuple):
    """What is to be noted of an account."""

    account: str
    """Its home, `a:…`."""
    key: int | None
    """Of the value; None where only the account's age is told."""
    created: int | None
    """µs since the epoch at which it was opened."""


def graph_of(guardrail: Guardrail) -> Graph:
    """Where evidence lies.

    Raises:
        MisuseError: the policy has no clusters.
        StoreError: the store cannot keep any.
    """
    if guardrail.policy.clusters is None:
        raise MisuseError("policy", "has no section `clusters:`, so no evidence is kept.")
    store = guardrail.store
    inner = behind(store)
    if not isinstance(inner, Graph):
        raise StoreError("This store keeps no evidence.", f"{type(inner).__name__} has no link().")
    return store if isinstance(store, Graph) else inner


async def link(guardrail: Guardrail, account: str, kind: str = "", value: str = "", *, created: When = None) -> str:
    """Note that an account has a value, and when it was opened; noted before the next rebuild, it counts there.

    Returns the account's home.

    Args:
        guardrail: its policy knows the kinds, its secrets the key of digests.
        account: its home `a:…`, or a credential: a key, a token, a proxy's name for it.
        kind: its name; empty where only the account's age is told.
        value: what is digested; a domain or an e-mail address, an address, or the home of an organisation or a device, where
            the kind is one of those. A policy with one source takes an organisation's own name, too.
        created: when the account was opened; the first that is told stays.

    Raises:
        MisuseError: a `ValueError`: something of it cannot be; nothing was noted.
        StoreError: the store failed.
    """
    found = await Linker(guardrail).read(account, kind, value, created=created)
    await graph_of(guardrail).link(found.account, () if found.key is None else (found.key,), found.created)
    return found.account


async def unlink(guardrail: Guardrail, account: str, kind: str, value: str) -> str:
    """Take evidence away, wherever it came from; the next rebuild is without it. All else as `link`."""
    found = await Linker(guardrail).read(account, kind, value)
    if found.key is not None:
        await graph_of(guardrail).unlink(found.account, (found.key,))
    return found.account


class Linker:
    """Reads what is to be linked. It lasts as long as the policy that ran when it was made.

    Args:
        guardrail: its policy knows the kinds and the sources, its secrets the key of digests.

    Raises:
        MisuseError: the policy has no clusters.
    """

    def __init__(self, guardrail: Guardrail) -> None:
        settings, resolver = guardrail.policy.clusters, guardrail.engine.resolver
        if settings is None or resolver.evidence is None:
            raise MisuseError("policy", "has no section `clusters:`, so no evidence is kept.")
        self._guardrail = guardrail
        self._sources = guardrail.policy.identity.sources
        self._evidence = resolver.evidence
        self._digester = resolver.digester
        self._kinds = settings.known().by_name

    async def read(self, account: object, kind: object = "", value: object = "", *, created: object = None) -> Linked:
        """What `link` would note.

        Raises:
            MisuseError: something of it cannot be.
        """
        made = moment_of("created", created)
        if kind in ("", None) and value in ("", None):
            if made is None:
                raise MisuseError("kind", "is missing, and so is `created`: nothing is told of the account.")
            return Linked(await self.account(account), None, made)
        key = self._key(kind, value)
        return Linked(await self.account(account), key, made)

    async def account(self, account: object) -> str:
        """The home of an account: what looks like one is, whatever else is there is a credential.

        Raises:
            MisuseError: it is neither.
        """
        text = _text("account", account).strip()
        if text.startswith(("a:", "n:")):
            return home_of(text, only="a")
        try:
            return (await naming.name(self._guardrail, text, None)).account
        except MisuseError as error:
            raise MisuseError("account", f"is no `a:…`, and as a credential it {error.text}") from error

    def named(self, subject: object, issuer: object = "") -> str:
        """The home of the account that an issuer calls `subject`, for whoever has no token of it.

        Args:
            subject: as the claim, or the header, that names the account has it.
            issuer: as the policy has it; empty where the policy has but one source that knows accounts by name.

        Raises:
            MisuseError: no source of the policy is that issuer's.
        """
        name = _text("subject", subject)
        wanted = None if issuer in ("", None) else _text("issuer", issuer)
        every = [(each.use, each.issuer) for each in self._sources if each.use in _NAMING]
        fits = [each for each in every if wanted is None or each[1] == wanted]
        if len(fits) == 1:
            return self._digester.account(*fits[0], name)
        if not every:
            raise MisuseError(
                "subject", "is of no use: none of the policy's sources knows accounts by name. Write `account`."
            )
        known = ", ".join(f"{of or '-'} ({use})" for use, of in every)
        raise MisuseError("issuer", f"{'is missing' if wanted is None else 'is none that the policy has'}. It has {known}.")

    def _key(self, kind: object, value: object) -> int:
        name = line_of("kind", kind) if kind else ""
        found = self._kinds.get(name)
        if found is None:
            raise MisuseError(
                "kind", f"{name!r} is no kind of evidence. {_near(name, self._kinds)}" if name else "is missing."
            )
        text = _text("value", value)
        if found.code == keys.ORGANISATION and not text.startswith("o:"):
            text = self._organisation(text)
        try:
            return self._evidence.linked(found.code, text)
        except ValueError as error:
            raise MisuseError("value", f"cannot be a {name}: {error}.") from error

    def _organisation(self, value: str) -> str:
        """The home of an organisation by the name that the policy's one source has for it."""
        if len(self._sources) != 1:
            raise MisuseError(
                "value", "must be the organisation's home `o:…`: a policy with several sources has several names."
            )
        source = self._sources[0]
        return self._digester.organisation(source.use, source.issuer, value)


def declared(policy: Policy, resolver: Resolver) -> dict[int, Declared]:
    """The organisations that a policy's clusters know, by the evidence of belonging to them: a key for each source."""
    if policy.clusters is None or resolver.evidence is None:
        return {}
    named = resolver.digester.organisation
    return {
        resolver.evidence.linked(keys.ORGANISATION, named(source.use, source.issuer, each.name)): Declared(
            each.name, each.tokens
        )
        for each in policy.clusters.organisations
        for source in policy.identity.sources
        if each.issuer in {"", source.issuer}
    }


def moment_of(argument: str, when: object) -> int | None:
    """A time as µs since the epoch; None for none.

    Raises:
        MisuseError: it is none.
    """
    if when is None or when == "":
        return None
    if isinstance(when, datetime):
        return int((when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    if isinstance(when, str):
        try:
            return Moment.parse(when).us
        except QuantityError as error:
            raise MisuseError(argument, str(error)) from error
    if isinstance(when, bool) or not isinstance(when, int | float) or not 0 < when < _END:
        raise MisuseError(argument, "is no time: write 2026-11-24T16:00:00Z, or seconds since 1970.")
    times = 1_000_000 if when < _MILLISECONDS else 1_000 if when < _MICROSECONDS else 1
    return int(when * times)


def _text(argument: str, value: object) -> str:
    """A text that names something; never shown in an error."""
    if value is None or value == "":
        raise MisuseError(argument, "is missing.")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise MisuseError(argument, "is not text.")
    if len(value) > _LONGEST:
        raise MisuseError(argument, f"has {len(value)} characters; at most {_LONGEST} are taken.")
    return value


def _near(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(known)}."
