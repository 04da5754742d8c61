"""What a target is: bytes in, an `AssertionError` or any other exception where something is wrong, nothing where nothing is.

Inputs are texts as far as they can be: a first line that says what is asked, then what a stranger would send. So a finding can
be read, and what the fuzzer mutates are the parts that matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from guardrail_mw.errors import TokenError

T = TypeVar("T")

CODES: Final = {
    "invalid_token": 401,
    "invalid_api_key": 401,
    "ambiguous_credential": 400,
    "credential_too_large": 431,
    "body_too_large": 413,
    "encoded_body": 415,
    "content_type_twice": 400,
    "not_utf8": 400,
    "byte_order_mark": 400,
    "invalid_json": 400,
    "not_an_object": 400,
    "duplicate_key": 400,
    "too_deep": 400,
    "too_complex": 400,
    "lone_surrogate": 400,
    "invalid_parameter": 400,
}
"""What docs/reference/answers.md says of bad input, by code."""


class Target(NamedTuple):
    """One thing to fuzz."""

    name: str
    check: Callable[[bytes], None]
    """Raises where an invariant does not hold; what is no input for it is passed over."""
    seeds: Callable[[], Iterable[bytes]]
    """Where mutation begins: made by code, valid for the most part."""
    words: tuple[bytes, ...] = ()
    """A dictionary: what a mutation may put in whole."""
    longest: int = 4096
    """Bytes of an input."""


def said(error: TokenError, *codes: str) -> str:
    """The code of a refusal, which must be documented, with its status, and one of `codes` where they are given."""
    assert CODES.get(error.code) == error.status, f"{error.code} with {error.status} is not documented"
    assert not codes or error.code in codes, f"{error.code} has no business here"
    assert len(error.public) < 200, "a long text for the client"
    return error.code


def head(data: bytes) -> tuple[str, bytes]:
    """The first line as text, and what follows it."""
    line, _, rest = data.partition(b"\n")
    return line.decode("latin-1"), rest


def driven(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits for nothing comes to, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as over:
        value: T = over.value
        return value
    raise AssertionError("it waits for something")


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if what is done here takes more of the processor: far above what it needs, far below what an attack would."""
    started = time.process_time()
    yield
    took = time.process_time() - started
    assert took < seconds, f"took {took:.2f} s of the processor, may take {seconds:g}"


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """`data` in pieces of these sizes, over and over; every size counts as at least 1."""
    steps = [max(1, size) for size in sizes] or [len(data) or 1]
    pieces, at, index = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + steps[index % len(steps)]])
        at += len(pieces[-1])
        index += 1
    return pieces
