"""What the sections of a policy are made of: their common base, and the types of their fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, NoReturn, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PrivateAttr,
    StringConstraints,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from guardrail_mw import plugins
from guardrail_mw.errors import PluginError, Problem

__all__ = ["MICRO", "Amount", "Dollars", "OneOrMany", "OneOrMore", "PluginItem", "Settings", "Slug", "Word", "refuse"]

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


class PluginItem(BaseModel):
    """What items `{use: NAME, with: {…}}` have in common, whatever kind of plugin they name.

    A subclass declares `use` and `with_`, whose alias is `with`, and says which plugins it means.
    """

    kind: ClassVar[str]
    """The plugins: `scorers`."""
    noun: ClassVar[str]
    """What one of them is, for people: `a scorer`."""

    _built: Any = PrivateAttr(default=None)
    """What Python made itself, in place of a plugin by its name."""

    @model_validator(mode="before")
    @classmethod
    def _always_settings(cls, value: object) -> object:
        """Without `with` a plugin still says which settings it misses."""
        if isinstance(value, Mapping) and not {"with", "with_"} & value.keys():
            return {**value, "with": {}}
        return value

    @field_validator("use", check_fields=False)
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            found = plugins.load(cls.kind, value)
        except PluginError as error:
            raise ValueError(f"{error.public} {error.detail}".rstrip()) from error
        if not hasattr(found, "Settings"):
            raise ValueError(f"the plugin {value!r} is not {cls.noun}: it has no Settings")
        return value

    @field_validator("with_", mode="plain", check_fields=False)
    @classmethod
    def _its_own(cls, value: object, info: ValidationInfo) -> object:
        """Its errors keep their places, below `with`."""
        if "use" not in info.data:
            return value
        return plugins.load(cls.kind, info.data["use"]).Settings.model_validate(value)

    def _make(self, use: str, settings: object, scope: object) -> Any:
        """What Python made itself, or the plugin `use` with its settings."""
        return self._built if self._built is not None else plugins.load(self.kind, use)(settings, scope)


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
