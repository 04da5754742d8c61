"""The store on Redis and Valkey: what it says (`codec.py`, `lua/`) and how it gets there (everything else)."""

from __future__ import annotations

from guardrail_mw.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
