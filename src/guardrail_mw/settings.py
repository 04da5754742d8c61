"""What the sections of a policy are made of: their common base, and the types of their fields."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Annotated, Any, Final, NoReturn, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    StringConstraints,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from guardrail_mw.errors import Problem

__all__ = ["MICRO", "Amount", "Dollars", "OneOrMany", "OneOrMore", "Settings", "Slug", "Word", "refuse"]

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""


class Settings(BaseModel):
    """What every section has in common: exact types, no unknown keys, no changes after it was read, no values in errors."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def refuse(problems: list[Problem]) -> NoReturn:
    """Fail a pydantic validator with several problems at once; their paths are relative to what is being validated."""
    text = "; ".join(f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems)
    raise PydanticCustomError("problems", "{text}", {"text": text, "problems": problems})


def _number(value: object) -> object:
    """Ints and floats to the Decimal that was written: 0.1 is a tenth."""
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else value
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _figure(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _form(value: object) -> str:
    return "many" if isinstance(value, list) else "one"


def _one_or_many(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


Slug: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]

Dollars: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(ge=0, le=MICRO, decimal_places=6),
    PlainSerializer(_figure, when_used="json"),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MICRO}),
]
"""A price: 0 is free; six decimals at most."""

Amount: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_number),
    Field(gt=0, le=10**15, decimal_places=6),
    PlainSerializer(_figure, when_used="json"),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 10**15}),
]

OneOrMany: TypeAlias = Annotated[
    list[Word],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=256),
    _one_or_many({"type": "string", "minLength": 1}),
]
"""One text or a list of them; once read, always a list."""

OneOrMore: TypeAlias = Annotated[
    Annotated[Word, Tag("one")] | Annotated[list[Word], Field(min_length=1), Tag("many")], Discriminator(_form)
]
"""One text or a list of them, kept apart: of what has an order, one means at least that, a list only what is in it."""
