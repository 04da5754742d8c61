"""Text that is no policy: broken YAML, bombs, words and numbers that other readers bend."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from guardrail_mw.errors import Problem
from guardrail_mw.policy import loads

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("text", "line", "path", "message"),
    [
        ("", None, "", "is empty."),
        ("# nothing\n", None, "", "is empty."),
        ("- 1\n", 1, "", "is not a map of keys to values."),
        ("just words\n", 1, "", "is not a map of keys to values."),
        ("version: 1\nversion: 1\n", 2, "version", "is given twice, first on line 1."),
        ("version: 1\nstore: {url: 'memory://', url: 'memory://'}\n", 2, "store.url", "is given twice, first on line 2."),
        ("version: 1\n---\nversion: 1\n", 2, "", "begins a second document."),
        (
            "version: 1\nmode: [shadow\n",
            3,
            "",
            "is not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'.",
        ),
        (
            "version: 1\nmode: 'shadow\n\n",
            4,
            "",
            "is not YAML: while scanning a quoted scalar, found unexpected end of stream.",
        ),
        (
            "version: 1\n\tmode: off\n",
            2,
            "",
            "is not YAML: while scanning for the next token, found character '\\t' that cannot start any token.",
        ),
        ("version: 1\nmode: \x07\n", 1, "", "is not YAML: it holds a control character."),
        ("version: 1\nmode: !!python/name:os.system x\n", 2, "mode", "has a tag, and tags mean nothing here."),
        ("version: 1\n<<: {mode: off}\n", 2, "", "has a merge key `<<`, which means nothing here."),
        ("version: 1\n? [a, b]\n: c\n", 2, "", "has a key that is not a text."),
        ("version: 1\nlimits: &a [*a]\n", 2, "", "has an alias that stands inside what it refers to."),
        ("version: 1\nlimits: *a\n", 2, "", "refers to nothing"),
        ('version: 1\nmode: "\\ud800"\n', 2, "", "is not YAML: a number or escape in it is out of range."),
        ("version: 1\nmode:\n", 2, "mode", "is empty."),
        ("version: 1\nlimits:\n  - {name: a, per: [account], rate: 1/minute, when: }\n", 3, "limits[0].when", "is empty."),
    ],
)
def test_text_that_is_no_policy(problems: Problems, text: str, line: int | None, path: str, message: str) -> None:
    first = problems(text)[0]
    assert (first.line, first.path) == (line, path)
    assert message in first.message
    assert first.hint


def test_bytes_that_are_no_text(problems: Problems) -> None:
    (problem,) = problems(b"version: 1\nmode: \xff\n")
    assert (problem.line, problem.message) == (2, "is not UTF-8.")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(10))}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "has more than 20000 values once its aliases are written out."),
        (
            "a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 1_000 + "]\n",
            "has more than 20000 values once its aliases are written out.",
        ),
        ("".join(f"a{n}: b\n" for n in range(22_000)), "has more than 20000 values once its aliases are written out."),
        ("[" * 100_000, "is nested deeper than 32 levels."),
        ("{a: " * 50_000, "is nested deeper than 32 levels."),
        ("- " * 100_000, "is nested deeper than 32 levels."),
        ("x" * 300_000, "is larger than 256 KiB."),
        ("%YAML 1." + "9" * 5_000 + "\n---\na: 1\n", "is not YAML: a number or escape in it is out of range."),
    ],
    ids=["aliases", "long-alias", "many", "deep", "deep-map", "deep-block", "large", "long-number"],
)
def test_bombs_are_refused_quickly(problems: Problems, text: str, message: str) -> None:
    started = time.process_time()
    (problem,) = problems(text)
    assert problem.message == message
    assert time.process_time() - started < 5  # measured: under a second; without the guards, minutes or the memory


@pytest.mark.parametrize(
    "text",
    ["a: b\n" * 40_000, "limits: [" + "{a: 1, b: 2}, " * 64 + "]\n", "".join(f"k{n}: ${{NO}}\n" for n in range(9_000))],
)
def test_so_many_problems_that_nobody_reads_them(problems: Problems, text: str) -> None:
    started = time.process_time()
    found = problems(text)
    assert 100 <= len(found) <= 102
    assert time.process_time() - started < 5


def test_aliases_in_reason_are_read() -> None:
    policy = loads("version: 1\nroutes:\n  - {path: &p [/a, /b], methods: [GET]}\n  - {path: *p}\n", environ={})
    assert policy.routes[1].path == ["/a", "/b"]


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "y", "True", "FALSE", "'true'", "1", "0"])
def test_only_true_and_false_are_booleans(problems: Problems, word: str) -> None:
    (problem,) = problems(f"version: 1\nreserve: {{strict: {word}}}\n")
    assert problem.message.endswith("expected true or false.")
    assert loads("version: 1\nreserve: {strict: true}\n").reserve.strict is True


@pytest.mark.parametrize(
    "word", ["0o7", "010", "0x10", "1_000", "12:30", "1e3", ".5", "1.0", "'4'", "2024-01-01", ".nan", ".inf", "-3", "0"]
)
def test_only_plain_decimals_are_numbers(problems: Problems, word: str) -> None:
    (problem,) = problems(f"version: 1\nstore: {{processes: {word}}}\n")
    assert (problem.path, problem.line) == ("store.processes", 2)
    assert "expected a whole number" in problem.message or "expected at least 1" in problem.message


def test_off_is_a_mode() -> None:
    assert loads("version: 1\nmode: off\n").mode == "off"
