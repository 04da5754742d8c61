"""What is compared: each library as its documentation has it, in its best asyncio form, keyed by the API key.

All but fastapi-limiter wrap the same Starlette with one route; fastapi-limiter is a dependency of a FastAPI route and is
compared with that FastAPI bare. Where a library offers several algorithms it runs GCRA, as we do (within a tenth of its
cheapest), else its default, fixed windows.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmarks.byhand import LimitsByHand, PyrateByHand, ThrottledByHand
from benchmarks.reference import GCRA, GCRA_MANY, Pipeline, RawLimiter, command
from benchmarks.traffic import PATH, bare_fastapi, bare_starlette

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from benchmarks.rates import Rate

__all__ = ["BARE", "CANDIDATES", "Candidate", "Case", "available", "guarded", "policy"]

StoreName = Literal["memory", "redis"]


class Case(NamedTuple):
    """What a candidate is to enforce, and where it keeps its counters."""

    rates: tuple[Rate, ...]
    store: StoreName
    url: str = ""
    host: str = "127.0.0.1"
    port: int = 0


async def _nothing() -> None:
    return None


class Candidate(NamedTuple):
    """A guarded app. `drain` waits for what is settled after the answer; `base` is the app it is compared with."""

    app: ASGIApp
    base: Literal["starlette", "fastapi"] = "starlette"
    drain: Callable[[], Awaitable[None]] = _nothing
    close: Callable[[], Awaitable[None]] = _nothing


def _redis(case: Case) -> Any:
    from redis.asyncio import Redis

    return Redis.from_url(case.url)


def _guarded(middleware: Any, **options: Any) -> Starlette:
    app = bare_starlette()
    app.add_middleware(middleware, **options)
    return app


async def bare(_: Case) -> Candidate:
    """The app alone."""
    return Candidate(bare_starlette())


async def bare_fast(_: Case) -> Candidate:
    """fastapi-limiter's app alone."""
    return Candidate(bare_fastapi(), "fastapi")


def _account(request: Request) -> str:
    return request.headers["authorization"]


async def slowapi(case: Case) -> Candidate:
    """SlowAPIASGIMiddleware, headers on, its default strategy (fixed window). Its Redis client is synchronous."""
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from slowapi.middleware import SlowAPIASGIMiddleware

    limiter = Limiter(
        key_func=_account,
        default_limits=[";".join(rate.text for rate in case.rates)],
        headers_enabled=True,
        storage_uri="memory://" if case.store == "memory" else case.url,
    )
    app = _guarded(SlowAPIASGIMiddleware)
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
    return Candidate(app)


def _limits(case: Case, *, headers: bool) -> Candidate:
    from limits import parse
    from limits.aio.strategies import FixedWindowRateLimiter
    from limits.storage import storage_from_string

    if case.store == "memory":
        storage: Any = storage_from_string("async+memory://")
    else:  # of the two clients that it documents the cheaper: coredis, its default, took a third more
        storage = storage_from_string(f"async+{case.url}", implementation="redispy")
    limiter = FixedWindowRateLimiter(storage)
    items = [parse(rate.text) for rate in case.rates]
    return Candidate(_guarded(LimitsByHand, limiter=limiter, items=items, headers=headers, clock=time.time))


async def limits(case: Case) -> Candidate:
    """The limits library by hand with x-ratelimit headers, fixed window."""
    return _limits(case, headers=True)


async def limits_plain(case: Case) -> Candidate:
    """The limits library by hand without headers: one call less to its storage."""
    return _limits(case, headers=False)


async def throttled(case: Case) -> Candidate:
    """throttled-py by hand, GCRA, one object a limit with a key prefix of its own."""
    from throttled.asyncio import RateLimiterType, Throttled, store

    kept = (
        store.MemoryStore(options={"MAX_SIZE": 1_000_000}) if case.store == "memory" else store.RedisStore(server=case.url)
    )
    throttles = [
        Throttled(using=RateLimiterType.GCRA.value, quota=f"{rate.amount}/{rate.name[0]}", store=kept, key_prefix=rate.name)
        for rate in case.rates
    ]
    return Candidate(_guarded(ThrottledByHand, throttles=throttles))


def _pyrate(case: Case) -> tuple[Any, Callable[[], Awaitable[None]]]:
    from pyrate_limiter import BucketFactory, Limiter, MonotonicClock, RateItem, RedisStateStore, StateBucket, TokenBucket
    from pyrate_limiter import Rate as PyrateRate
    from pyrate_limiter.clocks import WallClock

    client = _redis(case) if case.store == "redis" else None
    rates = [PyrateRate(rate.amount, rate.seconds * 1000) for rate in case.rates]

    class ByKey(BucketFactory):  # type: ignore[misc]  # the library may be absent where types are checked
        def __init__(self) -> None:
            self.clock = WallClock() if client else MonotonicClock()
            self.buckets: dict[str, Any] = {}

        def wrap_item(self, name: str, weight: int = 1) -> Any:
            return RateItem(name, self.clock.now(), weight=weight)

        def get(self, item: Any) -> Any:
            bucket = self.buckets.get(item.name)
            if bucket is None:
                store = RedisStateStore(client, f"pyrate:{item.name}") if client else None
                bucket = self.buckets[item.name] = StateBucket(list(rates), algorithm=TokenBucket(), store=store)
            return bucket

    return Limiter(ByKey()), client.aclose if client else _nothing


async def pyrate(case: Case) -> Candidate:
    """pyrate-limiter by hand: TokenBucket, one bucket a key with all its rates."""
    limiter, close = _pyrate(case)
    return Candidate(_guarded(PyrateByHand, limiter=limiter), close=close)


async def _identify(request: Any) -> str:
    return str(request.headers["authorization"])


async def fastapi_limiter(case: Case) -> Candidate:
    """fastapi-limiter's dependency over the same pyrate-limiter; by itself all keys would share one bucket."""
    from fastapi import Depends
    from fastapi_limiter.depends import RateLimiter

    limiter, close = _pyrate(case)
    app = bare_fastapi([Depends(RateLimiter(limiter=limiter, identifier=_identify))])
    return Candidate(app, "fastapi", close=close)


async def _authenticate(scope: Any) -> tuple[str, str]:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return str(value, "latin-1"), "default"
    raise LookupError


async def asgi_ratelimit(case: Case) -> Candidate:
    """asgi-ratelimit: one rule with a field a limit (month stands for week). Headers only on a refusal."""
    from ratelimit import RateLimitMiddleware, Rule
    from ratelimit.backends.redis import RedisBackend
    from ratelimit.backends.simple import MemoryBackend

    client = _redis(case) if case.store == "redis" else None
    rule = Rule(**{"month" if rate.name == "week" else rate.name: rate.amount for rate in case.rates})
    app = _guarded(
        RateLimitMiddleware,
        authenticate=_authenticate,
        backend=RedisBackend(client) if client else MemoryBackend(),
        config={f"^{PATH}$": [rule]},
    )
    return Candidate(app, close=client.aclose if client else _nothing)


async def raw(case: Case) -> Candidate:
    """The upper reference: see `reference`. Redis only."""
    if case.store == "memory":
        raise NotImplementedError
    import asyncio

    _, pipeline = await asyncio.get_running_loop().create_connection(Pipeline, case.host, case.port)
    await pipeline.call(command(b"SCRIPT", b"LOAD", GCRA if len(case.rates) == 1 else GCRA_MANY))

    async def close() -> None:
        pipeline.transport.close()

    return Candidate(_guarded(RawLimiter, pipeline=pipeline, rates=case.rates), close=close)


def policy(case: Case, limits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A policy of ours: API keys that a gateway has checked, the openai dialect, all headers."""
    store: dict[str, Any] = {"url": "memory://"}
    if case.store == "redis":
        store = {"url": case.url, "deadline": "500ms", "on_error": "deny"}
    return {
        "version": 1,
        "mode": "enforce",
        "store": store,
        "identity": {"sources": [{"use": "api_key", "with": {"headers": ["authorization"], "trust": "gateway"}}]},
        "routes": [{"path": "/v1/**", "dialect": "openai"}],
        "reserve": {"output": 50},
        "headers": ["ietf", "dialect"],
        "limits": list(limits),
    }


def guarded(document: dict[str, Any]) -> Candidate:
    """guardrail_mw with this policy."""
    from guardrail_mw import Guardrail, GuardrailMiddleware

    guardrail = Guardrail(document)
    return Candidate(_guarded(GuardrailMiddleware, policy=guardrail), drain=guardrail.drain, close=guardrail.close)


async def ours(case: Case) -> Candidate:
    """guardrail_mw with the same request limits as everybody."""
    return guarded(policy(case, [{"name": rate.name, "per": ["account"], "rate": rate.text} for rate in case.rates]))


async def ours_settling(case: Case) -> Candidate:
    """guardrail_mw doing what no peer does: tokens reserved from the body, corrected from the answer's usage, slots lent.

    One limit: tokens. Four: tokens a minute, tokens a day, requests, concurrency. Denied: the tokens of a day are used up.
    """
    denied = case.rates[0].amount == 1
    tokens: list[dict[str, Any]] = [
        {"name": "tokens", "per": ["account"], "unit": "tokens", "rate": "75/day" if denied else "100000000/minute"},
        {"name": "tokens-a-day", "per": ["account"], "unit": "tokens", "rate": "80/day" if denied else "10000000000/day"},
        {"name": "requests", "per": ["account"], "rate": "1000000/minute"},
        {"name": "in-flight", "per": ["account"], "concurrency": 1000},
    ]
    return guarded(policy(case, tokens[: len(case.rates)]))


CANDIDATES: dict[str, Callable[[Case], Awaitable[Candidate]]] = {
    "bare app": bare,
    "bare FastAPI": bare_fast,
    "slowapi": slowapi,
    "fastapi-limiter": fastapi_limiter,
    "limits by hand": limits,
    "limits by hand, no headers": limits_plain,
    "throttled-py by hand": throttled,
    "pyrate-limiter by hand": pyrate,
    "asgi-ratelimit": asgi_ratelimit,
    "raw connection (reference)": raw,
    "guardrail_mw": ours,
    "guardrail_mw, settling": ours_settling,
}
BARE = {"starlette": "bare app", "fastapi": "bare FastAPI"}


async def available(name: str, case: Case) -> Candidate | str:
    """The candidate, or why there is none here."""
    try:
        return await CANDIDATES[name](case)
    except ImportError as error:
        return f"not installed: {error}"
    except NotImplementedError:
        return "has no such store"
