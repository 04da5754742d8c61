"""Field types that the settings of several sources share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

__all__ = ["HeaderName", "Name"]


def _header(value: str) -> str:
    if value.startswith("x-guardrail-"):
        raise ValueError(f"{value!r} never arrives: what clients send under x-guardrail- is stripped")
    return value


HeaderName: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$", json_schema_extra={"examples": ["x-api-key"]}),
    AfterValidator(_header),
]
"""A header's name in lower case, as ASGI gives it."""

Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
"""Text that names something."""
