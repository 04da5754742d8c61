"""What a rebuild goes by besides the evidence: it travels with an export, so that what is found there needs no policy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from guardrail_mw.clusters.kinds import BUILT_IN, Kind, Kinds
from guardrail_mw.clusters.sql.engine import needs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NAME", "Terms"]

NAME: Final = b"guardrail_mw"
"""The key of Parquet's metadata that has them."""
_FORMAT: Final = 1


class Terms(NamedTuple):
    """Of one export."""

    now: int
    """Hours since the epoch of edges: when it was made."""
    age: int = 30 * 24
    """Hours after which an account is established."""
    own: tuple[Kind, ...] = ()
    """The kinds of evidence that are the policy's own."""

    @classmethod
    def of(cls, now: int, kinds: Kinds, age: int) -> Self:
        """Of what a policy says, at `now` hours."""
        return cls(now, age, tuple(kind for kind in kinds.by_code.values() if kind not in BUILT_IN))

    @property
    def kinds(self) -> Kinds:
        """All kinds."""
        return Kinds(self.own)

    def packed(self) -> bytes:
        """For a file."""
        own = [each._asdict() for each in self.own]
        return json.dumps({"format": _FORMAT, "now": self.now, "age": self.age, "kinds": own}).encode()

    @classmethod
    def read(cls, accounts: Path) -> Self:
        """From an export's `accounts.parquet`.

        Raises:
            OSError: it cannot be read.
            ValueError: it is no Parquet, has no terms, or another version wrote them.
            ImportError: pyarrow is not installed.
        """
        needs("pyarrow", cure="pip install 'guardrail-mw[parquet]'")
        from pyarrow import parquet

        document = json.loads((parquet.read_schema(accounts).metadata or {}).get(NAME, b"{}"))
        if document.get("format") != _FORMAT:
            raise ValueError(f"{accounts} does not say when and by which rules it was written")
        return cls(document["now"], document["age"], tuple(Kind(**each) for each in document["kinds"]))
