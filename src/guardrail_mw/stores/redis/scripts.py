"""The scripts, and commands as they go over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import NamedTuple

__all__ = ["SCRIPTS", "SHA", "Script", "command", "evalsha", "tag"]


class Script(NamedTuple):
    """A Lua script as the server knows it."""

    name: str
    source: bytes
    sha: str


def _script(name: str, *before: str) -> Script:
    folder = files("guardrail_mw.stores.redis") / "lua"
    source = b"".join([(folder / f"{part}.lua").read_bytes() for part in ("common", *before, name)])
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest())


SCRIPTS = (
    *[_script(name, "counting") for name in ("charge", "settle")],
    *[_script(name) for name in ("renew", "remember", "tally", "assign", "held", "elect", "filing")],
    *[_script(name, "epochs") for name in ("epoch", "spend")],
    *[_script(name, "evidence") for name in ("note", "value", "forget", "mark", "active")],
)
SHA = {script.name: script.sha.encode() for script in SCRIPTS}
"""Digests by name, as EVALSHA takes them."""


def command(*arguments: str | bytes) -> bytes:
    """A command as it goes over the wire (RESP)."""
    packed = [f"*{len(arguments)}\r\n".encode()]
    for argument in arguments:
        raw = argument.encode() if isinstance(argument, str) else argument
        packed.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(packed)


def evalsha(script: str, keys: Sequence[str], *arguments: str | bytes) -> bytes:
    """The command that runs a script."""
    return command("EVALSHA", SHA[script], str(len(keys)), *keys, *arguments)


def tag(prefix: str, home: str) -> str:
    """The key of a home's hash; its other keys begin with it, so that all share a slot."""
    return f"{prefix}{{{home}}}"
