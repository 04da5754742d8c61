"""What the fuzzer begins with and what it found goes through the same invariants here, and each invariant can fail."""

from __future__ import annotations

import importlib.util
import json
import re
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any, Final

import pytest

from guardrail_mw import quantities
from guardrail_mw.asgi import counts, edge, inspect, sse
from guardrail_mw.engine.routes import Router
from guardrail_mw.friction import trim
from guardrail_mw.identity import device_cookie, jwt, network
from guardrail_mw.policy import nodes

from . import __main__ as command
from . import paths as fuzzed_paths
from .base import Target, cut
from .findings import Findings, fault, smaller
from .targets import TARGETS

REGRESSIONS: Final[dict[str, tuple[bytes, ...]]] = {
    "trim": (b'/v1/x rewrite=n\n{"a":1e999,"n":9}',),  # was written again as Infinity, which is not JSON
    "jwt": (b'keys\n{"keys":[{"kty":"OKP","crv":[]}]}',),  # a TypeError: no set could be read that held such a key
    "policy": (
        b"version: 1\nlimits: [{name: a, per: [], rate: 1/day, when: {tier: '$${X}'}}]",  # written and read again, a reference
        b"version: 1\nextends: guardrail:watch\nlimits: {e: 1}",  # a mapping's problem stood on a line of what it extends
    ),
}
"""By target: what was once found, cut down, and what it was."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_begins_with_holds(name: str) -> None:
    target = TARGETS[name]
    seeds = list(target.seeds())
    assert len(seeds) > 20
    for data in seeds:
        target.check(data)


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, each in REGRESSIONS.items() for data in each])
def test_what_was_found_holds(name: str, data: bytes) -> None:
    TARGETS[name].check(data)


def unverified(token: bytes, *_: Any) -> bytes:
    """The payload, whoever signed."""
    return urlsafe_b64decode(token.split(b".")[1] + b"==")


def unkept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice the last counts."""
    return dict(pairs)


class Exempting(Router):
    """Takes every path as it is written."""

    def _find(self, path: str, method: str) -> Any:
        return self._match(path, method) or self._unmatched(method)


BREAKS: Final[dict[str, tuple[str, Any, str, Any]]] = {
    "IPv4-mapped addresses are others": ("headers", network, "_unmapped", lambda address: address),
    "what pretends to come from us stays": ("headers", edge, "_STRIPPED", (b"x-none",)),
    "anybody signs a device": ("headers", device_cookie, "_sign", lambda _key, _text: b"A" * 22),
    "nobody's signature is looked at": ("jwt", jwt, "verify", unverified),
    "tokens never end": ("jwt", jwt, "check_claims", lambda claims, **_: claims.get("exp", 0)),
    "of two keys the last counts": ("body", inspect, "_DECODER", json.JSONDecoder(object_pairs_hook=unkept)),
    "as deep as it likes": ("body", inspect, "DEPTH", 1000),
    "one sample more": ("trim", trim, "_small", lambda value, most: value is None or value == most + 2),
    "prompts' logprobs stay": ("trim", trim, "_LOGPROBS", ("logprobs",)),
    "lines end in LF alone": ("answer", sse.Events, "_newlines", lambda _self, block: block),
    "whatever is reported is believed": ("answer", counts, "GREATEST", 10**15),
    "problems have no line": ("policy", nodes._Composer, "_place", staticmethod(lambda _event: 0)),
    "a minute has 59 seconds": ("quantity", quantities, "_DURATIONS", quantities._DURATIONS | {"m": 59_000_000}),
    "paths as they are written": ("path", fuzzed_paths, "Router", Exempting),
}
"""What would be wrong, and in which target it must show: the module or class, its name there, and what takes its place."""


@pytest.mark.parametrize("wrong", BREAKS)
def test_each_invariant_can_fail(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, place, attribute, other = BREAKS[wrong]
    monkeypatch.setattr(place, attribute, other)
    assert any(fault(TARGETS[name].check, data) for data in TARGETS[name].seeds())


def picky(data: bytes) -> None:
    """Fails in two places."""
    assert b"a" not in data
    if b"b" in data and b"c" in data:
        raise ValueError("both")


def test_an_input_is_cut_down_to_what_matters() -> None:
    data = b"xxbxxxxxxxcxxxx"
    assert smaller(picky, data, fault(picky, data)) == b"bc"
    assert fault(picky, b"b") == ""


def test_each_fault_is_written_down_once(tmp_path: Path) -> None:
    findings = Findings(Target("some", picky, lambda: ()), tmp_path)
    for data in (b"zzaz", b"za", b"xbxcx", b"fine"):
        findings.check(data)
    told = sorted(path.read_bytes() for path in tmp_path.iterdir() if not path.suffix)
    assert told == [b"a", b"bc"]
    texts = [path.read_text() for path in tmp_path.glob("*.txt")]
    assert any("ValueError: both" in text for text in texts)


def test_pieces_are_the_whole() -> None:
    assert cut(b"abcdefg", [3, 0]) == [b"abc", b"d", b"efg"]
    assert cut(b"ab", []) == [b"ab"]
    assert cut(b"", [1]) == []


def test_the_command_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert command.main(["path"]) == 2
    assert "pip install atheris" in capsys.readouterr().err


def test_the_command_knows_its_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(command.NAMES) == set(TARGETS)
    with pytest.raises(SystemExit):
        command.arguments(["pathe"])
    assert "no such target: pathe" in capsys.readouterr().err


def test_seeds_and_words_are_written_for_libfuzzer(tmp_path: Path) -> None:
    command.seed("path", tmp_path)
    assert {path.read_bytes() for path in (tmp_path / "seeds").iterdir()} == set(TARGETS["path"].seeds())
    words = (tmp_path / "words").read_text().splitlines()
    assert len(words) == len(TARGETS["path"].words)
    assert all(re.fullmatch(r'"(\\x[0-9a-f]{2})+"', word) for word in words)


def test_progress_is_added_up_over_processes(capsys: pytest.CaptureFixture[str]) -> None:
    said = command.Said()
    heard = [
        "INFO: Seed: 1",
        "#9	INITED cov: 5 ft: 7 corp: 2/9b exec/s: 0 rss: 60Mb",
        "FOUND path: AssertionError: (x) (findings/path-1)",
        "#100	NEW    cov: 6 ft: 8 corp: 3/9b lim: 4 exec/s: 0 rss: 60Mb L: 2/2 MS: 1 CopyPart-",
        "==1== ERROR: libFuzzer: timeout after 30 seconds",
    ]
    assert [said.line(f"{line}\n") for line in heard] == [False, True, False, True, False]
    said.over()
    assert said.line("#40	DONE   cov: 6 ft: 9 corp: 4/9b exec/s: 0 rss: 60Mb\n")
    said.over()
    assert (said.runs, said.before, said.after, said.corpus, said.found) == (140, (5, 7), (6, 9), 4, {"findings/path-1"})
    assert "timeout" in capsys.readouterr().err
