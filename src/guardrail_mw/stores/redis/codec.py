"""The words that the store and its scripts exchange, all in one place for whoever sends them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from guardrail_mw.stores.base import Change
from guardrail_mw.stores.redis.charging import charge_command, merge, parse_charge
from guardrail_mw.stores.redis.parts import Part, key_slot, parts, whole
from guardrail_mw.stores.redis.scripts import SCRIPTS, Script, command, evalsha, tag
from guardrail_mw.stores.redis.settling import Became, parse_renew, parse_settle, renew_command, settle_command

__all__ = [
    "SCRIPTS",
    "SHARDS",
    "Became",
    "Part",
    "Script",
    "charge_command",
    "command",
    "epoch_command",
    "key_slot",
    "merge",
    "parse_charge",
    "parse_epoch",
    "parse_remember",
    "parse_renew",
    "parse_settle",
    "parse_spend",
    "parse_switches",
    "parts",
    "remember_command",
    "renew_command",
    "settle_command",
    "shard_of",
    "spend_command",
    "switch_command",
    "switches_command",
    "tally_command",
    "whole",
]

SHARDS = 64
"""Of spent tokens: so many places a cluster has for them, each with an epoch."""


def remember_command(account: str, changes: Sequence[Change], prefix: str, now: int | None = None) -> bytes:
    """The command that changes a standing."""
    return evalsha(
        "remember", [f"{tag(prefix, account)}:s"], str(now or 0), *[each for change in changes for each in change]
    )


def parse_remember(reply: bytes) -> int:
    """The standing's version."""
    return int(reply)


def shard_of(token: str) -> str:
    """The home of spent tokens that has `token`."""
    return f"x:{sha256(token.encode()).digest()[0] % SHARDS:02}"


def epoch_command(token: str, random: str, prefix: str) -> bytes:
    """The command that tells a token's epoch; `random` is made part of it where its shard has nothing random yet."""
    return evalsha("epoch", [tag(prefix, shard_of(token))], random)


def parse_epoch(reply: bytes) -> str:
    """A text of 64 characters."""
    return reply.decode()


def spend_command(token: str, ttl: int, epoch: str, prefix: str, now: int | None = None) -> bytes:
    """The command that spends a token once within `ttl` µs, where its epoch is still `epoch`."""
    shard = tag(prefix, shard_of(token))
    return evalsha("spend", [shard, f"{shard}:{token}"], f"{now or 0} {ttl}", epoch)


def parse_spend(reply: Any) -> bool:
    """True the first time."""
    return bool(reply == 1)


def tally_command(budget: str, member: str, most: int, until: int, prefix: str, now: int | None = None) -> bytes:
    """The command that takes from a budget; it answers 1 as spending does, or 0."""
    return evalsha("tally", [f"{prefix}{{t:{budget}}}"], f"{now or 0} {most} {until}", member)


def switches_command(prefix: str) -> bytes:
    """The command that reads the switches."""
    return command("HGETALL", f"{prefix}switches")


def parse_switches(reply: Any) -> dict[str, str]:
    """Rule name, empty for everything, to mode."""
    if isinstance(reply, dict):
        return {key.decode(): value.decode() for key, value in reply.items()}
    flat = [each.decode() for each in reply]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def switch_command(rule: str, mode: str | None, prefix: str) -> bytes:
    """The command that sets a switch, or takes it away."""
    if mode is None:
        return command("HDEL", f"{prefix}switches", rule)
    return command("HSET", f"{prefix}switches", rule, mode)
