"""Would a server start here with this policy? What stands in its way, all at once, and where its events would go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from guardrail_mw import plugins
from guardrail_mw.cli.extras import loading
from guardrail_mw.clock import SystemClock
from guardrail_mw.engine import Guardrail
from guardrail_mw.engine.counts import Counts
from guardrail_mw.errors import PluginError, PolicyError, Problem
from guardrail_mw.identity.keys import Secrets
from guardrail_mw.policy import Policy
from guardrail_mw.policy.document import SCHEMES, url_trouble
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.telemetry.jsonl import JsonlFile, JsonlSettings

__all__ = ["deaf", "obstacles"]

_HERE = "environment"


def obstacles(policy: Policy, environ: Mapping[str, str]) -> list[Problem]:
    """What keeps a server from starting, as it stands here: the store, the secrets, and what only building it tells."""
    found = [*_store(policy, environ), *_secrets(policy, environ), *_built(policy, environ)]
    return list(dict.fromkeys(found))


def deaf(policy: Policy) -> Iterator[str]:
    """Files of events that could not be written here, and why: a server starts all the same, and loses its events."""
    for item in policy.telemetry.events:
        if isinstance(item.with_, JsonlSettings):
            try:
                JsonlFile(item.with_, SystemClock()).trial()
            except OSError as error:
                path = item.with_.path
                at = f" ({error.filename})" if error.filename not in {None, path} else ""
                yield f"No event could be written to {path} from here: {(error.strerror or 'unknown error').lower()}{at}."


def _store(policy: Policy, environ: Mapping[str, str]) -> Iterator[Problem]:
    """The store of the environment, or else the policy's: whether its URL is one, and opens one. Nothing is connected."""
    given = environ.get("GUARDRAIL_STORE", "").strip()
    url, path, source = (given, "GUARDRAIL_STORE", _HERE) if given else (policy.store.url, "store.url", "")
    trouble = url_trouble(url)
    if trouble is not None:
        yield Problem(path, *trouble, source=source)
        return
    scheme = url.partition("://")[0]
    name = "redis" if scheme in SCHEMES and scheme != "memory" else scheme
    reason, cure = loading("stores", name)
    if cure:
        yield Problem(path, "names a store whose package is not installed.", f"Install it with: {cure}", source=source)
        return
    if reason:
        yield Problem(path, f"names a store that cannot be used here: {reason}", source=source)
        return
    try:
        kind = plugins.load("stores", name)
        kind.from_url(
            url, deadline=policy.store.deadline.us, max_subjects=policy.store.max_subjects, clock=None, observer=Counts()
        )
    except ValueError as error:
        yield Problem(path, f"{str(error).rstrip('.')}.", source=source)
    except ImportError as error:
        yield Problem(path, f"names a store that cannot be used here: it needs {error.name}.", source=source)


def _secrets(policy: Policy, environ: Mapping[str, str]) -> Iterator[Problem]:
    url = environ.get("GUARDRAIL_STORE", "").strip() or policy.store.url
    try:
        Secrets.read(environ, shared=url.partition("://")[0] != "memory")
    except PolicyError as error:
        yield from error.problems


def _built(policy: Policy, environ: Mapping[str, str]) -> Iterator[Problem]:
    """What else building it tells; its store, and the secrets that one needs, are looked at above."""
    try:
        Guardrail(policy, store=MemoryStore(), environ=environ)
    except PolicyError as error:
        yield from error.problems
    except PluginError as error:
        yield Problem("", str(error))
