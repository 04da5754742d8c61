"""What the pages say, in the languages that there are files for, and which of them a browser is answered in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from guardrail_mw.errors import PolicyError, Problem

__all__ = ["Language", "Words"]

_LONGEST: Final = 512
"""Characters of `Accept-Language` that are looked at."""
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_RANGE: Final = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")
_SLOT: Final = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Language:
    """One language's words."""

    tag: str
    """BCP 47, as the file is named: `de`, `pt-BR`."""
    dir: str
    """`ltr` or `rtl`."""
    words: Mapping[str, str]
    """By name: every name that English has."""
    own: frozenset[str]
    """The names of those that are in this language; the rest is English."""


class Words:
    """Every language that there is, read once.

    Args:
        folder: an operator's own files, `<tag>.toml`. A language that the package has too takes from it what the file leaves out;
            a new one takes that from English.
        default: the tag that is used where a browser wants none of them.

    What an older folder lacks, the pages of verification and appeals for one, is in no language of its own; see `choose`.

    Raises:
        PolicyError: with everything that is wrong in the folder.
    """

    __slots__ = ("_default", "_languages")

    def __init__(self, folder: Path | None = None, default: str = "en") -> None:
        ours = files("guardrail_mw.asgi.pages") / "words"
        english = tomllib.loads((ours / "en.toml").read_text("utf-8"))
        texts = {"en": ("en", english, frozenset(english))}
        problems: list[Problem] = []
        for file in [*_files(ours), *(_files(folder) if folder is not None else ())]:
            tag = file.name.removesuffix(".toml")
            _, known, own = texts.get(tag.lower(), ("", english, frozenset()))
            read = _read(file, tag, english, problems)
            texts[tag.lower()] = tag, {**known, **read}, own | read.keys()
        if folder is not None and not folder.is_dir():
            problems.append(Problem("", "is no folder", "It should hold files such as `pt-BR.toml`.", str(folder)))
        if default.lower() not in texts:
            problems.append(Problem("default", f"`{default}` has no file", f"There are: {', '.join(sorted(texts))}."))
        if problems:
            raise PolicyError(problems)
        self._languages = {
            lower: Language(tag, found["dir"], MappingProxyType({key: found[key] for key in found if key != "dir"}), own)
            for lower, (tag, found, own) in texts.items()
        }
        self._default = self._languages[default.lower()]

    @property
    def tags(self) -> list[str]:
        """Of every language, sorted."""
        return sorted(each.tag for each in self._languages.values())

    def choose(self, accept_language: str = "", wholly: tuple[str, ...] = ()) -> Language:
        """The language for a browser, by the lookup of RFC 4647 (section 3.4) over the ranges of `Accept-Language`.

        Ranges are tried from the most wanted on, equal ones in their order, each cut from its end until a file has that name.

        Args:
            accept_language: the header.
            wholly: what names begin with that must all be in the language itself. One that leaves out any is passed over, the
                default too, and then it is English: nobody consents to what is half in another language.
        """
        needed = {name for name in self._languages["en"].words if wholly and name.startswith(wholly)}
        for wanted in _ranges(accept_language[:_LONGEST]):
            parts = wanted.lower().split("-")
            while parts:
                found = self._languages.get("-".join(parts))
                if found is not None and needed <= found.own:
                    return found
                parts.pop()
                if parts and len(parts[-1]) == 1:  # what introduces an extension says nothing without it
                    parts.pop()
        return self._default if needed <= self._default.own else self._languages["en"]


def _ranges(header: str) -> list[str]:
    """What is wanted at all, the most wanted first; what cannot be read, and `*`, is passed over."""
    found = []
    for part in header.split(","):
        match = _RANGE.fullmatch(part)
        if match is not None and (weight := float(match[2] or 1)) > 0:
            found.append((weight, match[1]))
    return [wanted for _, wanted in sorted(found, key=lambda each: -each[0])]


def _files(folder: Traversable) -> Iterator[Traversable]:
    """In the order of their names."""
    if folder.is_dir():
        yield from sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)


def _read(file: Traversable, tag: str, english: Mapping[str, str], problems: list[Problem]) -> dict[str, str]:
    """What of a file can be used; the rest becomes problems."""
    source = str(file)

    def wrong(path: str, message: str, hint: str = "") -> None:
        problems.append(Problem(path, message, hint, source))

    if not _TAG.fullmatch(tag):
        wrong("", f"`{tag}` is no language tag", "Name the file as `de.toml` or `pt-BR.toml` are.")
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        wrong("", f"cannot be read as TOML: {error}")
        return {}
    good = {}
    for key, value in found.items():
        if key not in english:
            near = get_close_matches(key, english, n=1)
            wrong(key, "is none of the texts", f"Did you mean `{near[0]}`?" if near else "`en.toml` has their names.")
        elif not isinstance(value, str) or not value.strip():
            wrong(key, "should be a text", "Leave the line out to keep what there is.")
        elif key == "dir" and value not in {"ltr", "rtl"}:
            wrong(key, f"should be `ltr` or `rtl`, not `{value}`")
        elif extra := sorted(set(_SLOT.findall(value)) ^ set(_SLOT.findall(english[key]))):
            wrong(key, f"{' and '.join(extra)} should stand in it as in the English text, no more and no less")
        else:
            good[key] = value
    return good
