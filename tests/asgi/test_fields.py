"""Rate fields: what we write is what RFC 9651, the draft and the vendors' clients read."""

from __future__ import annotations

import json
import os
from base64 import b32decode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.asgi.fields import GREATEST, Limit, Template, duration, rfc3339, sf_item, sf_list, whole_seconds
from guardrail_mw.stores.base import Reading

SECOND = 1_000_000
NOW = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
SHARED = Path(os.environ.get("GUARDRAIL_SHARED", Path(__file__).parents[3] / "shared"))
VECTORS = SHARED / "data" / "structured-field-tests"

LIMITS = [
    Limit("requests", "token_bucket", "requests", 120, 60 * SECOND),
    Limit("tokens", "token_bucket", "tokens", 400_000, 60 * SECOND),
    Limit("in-flight", "concurrency", "requests", 16),
    Limit("spend", "budget", "usd", 500_000_000),
]
READINGS = [
    Reading(True, 119, 500_000, 0),
    Reading(True, 399_000, 150_001, 0),
    Reading(True, 15, 30 * SECOND, 0),
    Reading(True, 499_000_000, 86_400 * SECOND, 0),
]


def rendered(limits: list[Limit], readings: list[Reading], **how: Any) -> dict[str, str]:
    """Fields by name; none may stand twice."""
    fields = Template(limits, **how).render(readings, NOW)
    named = {name.decode(): value.decode() for name, value in fields}
    assert len(named) == len(fields)
    return named


def test_ietf_fields_by_hand() -> None:
    assert rendered(LIMITS, READINGS) == {
        "ratelimit-policy": '"requests";q=120;w=60, "tokens";q=400000;qu="tokens";w=60, '
        '"in-flight";q=16;qu="concurrent-requests", "spend";q=500000000;qu="micro-usd"',
        "ratelimit": '"requests";r=119;t=1, "tokens";r=399000;t=1, "in-flight";r=15, "spend";r=499000000;t=86400',
    }


def test_openai_fields_by_hand() -> None:
    assert rendered(LIMITS, READINGS, dialect="openai", families=["dialect"]) == {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "119",
        "x-ratelimit-reset-requests": "500ms",
        "x-ratelimit-limit-tokens": "400000",
        "x-ratelimit-remaining-tokens": "399000",
        "x-ratelimit-reset-tokens": "151ms",
    }


def test_anthropic_fields_by_hand() -> None:
    limits = [*LIMITS, Limit("in", "token_bucket", "input_tokens", 50, SECOND), Limit("out", "budget", "output_tokens", 60)]
    readings = [*READINGS, Reading(True, 49, 20_000, 0), Reading(True, 59, 3600 * SECOND, 0)]
    assert rendered(limits, readings, dialect="anthropic", families=["dialect"]) == {
        "anthropic-ratelimit-requests-limit": "120",
        "anthropic-ratelimit-requests-remaining": "119",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:01Z",
        "anthropic-ratelimit-tokens-limit": "400000",
        "anthropic-ratelimit-tokens-remaining": "399000",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:01Z",
        "anthropic-ratelimit-input-tokens-limit": "50",
        "anthropic-ratelimit-input-tokens-remaining": "49",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:01Z",
        "anthropic-ratelimit-output-tokens-limit": "60",
        "anthropic-ratelimit-output-tokens-remaining": "59",
        "anthropic-ratelimit-output-tokens-reset": "2026-01-01T01:00:00Z",
    }


def test_families_are_those_asked_for() -> None:
    ietf, dialect, both = (
        Template(LIMITS, "openai", families).render(READINGS, NOW)
        for families in (["ietf"], ["dialect"], ["dialect", "ietf"])
    )
    assert both == ietf + dialect
    assert len(ietf) == 2
    assert len(dialect) == 6
    assert Template(LIMITS, "problem", ["dialect"]).render(READINGS, NOW) == []
    assert Template([], "openai").render([], NOW) == []
    assert Template(LIMITS, "openai", []).render(READINGS, NOW) == []


def test_the_tightest_limit_of_a_unit_speaks() -> None:
    limits = [Limit("minute", "token_bucket", "requests", 60), Limit("day", "budget", "requests", 1000)]
    for left, expected in (((10, 900), "60"), ((50, 3), "1000")):
        readings = [Reading(True, each, SECOND, 0) for each in left]
        named = rendered(limits, readings, dialect="openai", families=["dialect"])
        assert named["x-ratelimit-limit-requests"] == expected
        assert named["x-ratelimit-remaining-requests"] == str(min(left))


def test_a_limit_that_refused_shows_its_wait() -> None:
    readings = [Reading(False, 0, 60 * SECOND, 400_000)]
    assert rendered(LIMITS[:1], readings)["ratelimit"] == '"requests";r=0;t=1'
    assert rendered(LIMITS[:1], readings, dialect="openai", families=["dialect"])["x-ratelimit-reset-requests"] == "400ms"


def test_places_pick_among_a_receipts_readings() -> None:
    limits = [Limit("a", "budget", "requests", 9, place=2), Limit("b", "budget", "requests", 8, place=0)]
    readings = [Reading(True, 1, SECOND, 0), Reading(True, 2, SECOND, 0), Reading(True, 3, SECOND, 0)]
    assert rendered(limits, readings)["ratelimit"] == '"a";r=3;t=1, "b";r=1;t=1'


def test_partitions_are_byte_sequences() -> None:
    named = rendered([Limit("m", "token_bucket", "requests", 1, SECOND, b"large")], READINGS)
    assert named["ratelimit-policy"] == '"m";q=1;w=1;pk=:bGFyZ2U=:'
    assert named["ratelimit"] == '"m";r=119;t=1;pk=:bGFyZ2U=:'


@pytest.mark.parametrize("name", ["line\nbreak", "\u00e9", "\x7f", "a\0"])
def test_names_that_cannot_be_written_are_refused_when_a_plan_is_made(name: str) -> None:
    with pytest.raises(ValueError, match="disallowed"):
        Template([Limit(name, "budget", "requests", 1)])


NAMES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
FIGURES = st.integers(-(10**18), 10**18)


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.sampled_from(["token_bucket", "sliding_window", "budget", "concurrency"]),
            st.sampled_from(["requests", "tokens", "input_tokens", "output_tokens", "usd"]),
            st.integers(0, 10**18),
            st.integers(0, 10**14),
            st.none() | st.binary(max_size=9),
            FIGURES,
            st.integers(0, 10**14),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_we_emit_parses_and_is_canonical(rows: list[Any]) -> None:
    limits = [Limit(*row[:6]) for row in rows]
    readings = [Reading(True, remaining, reset, 0) for *_, remaining, reset in rows]
    named = rendered(limits, readings, families=["ietf"])
    for value in named.values():
        parsed = http_sf.parse(value.encode(), tltype="list")
        assert http_sf.ser(parsed) == value
    policies: Any = http_sf.parse(named["ratelimit-policy"].encode(), tltype="list")
    services: Any = http_sf.parse(named["ratelimit"].encode(), tltype="list")
    assert [name for name, _ in policies] == [name for name, _ in services] == [limit.name for limit in limits]
    for limit, reading, (_, policy), (_, service) in zip(limits, readings, policies, services, strict=True):
        assert policy["q"] == min(limit.amount, GREATEST)
        assert policy.get("w") == (-(-limit.window // SECOND) or None)
        assert service["r"] == max(0, min(reading.remaining, GREATEST))
        assert service.get("t") == (None if limit.kind == "concurrency" else -(-reading.reset // SECOND))
        assert policy.get("pk") == service.get("pk") == limit.partition


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0ms"), (1, "1ms"), (17_000, "17ms"), (999_001, "1s"), (SECOND, "1s"), (SECOND + 1, "2s"), (59 * SECOND, "59s"),
        (60 * SECOND, "1m0s"), (360 * SECOND, "6m0s"), (3600 * SECOND, "1h0m0s"), (86_399_000_001, "24h0m0s"),
    ],
)  # fmt: skip
def test_durations(us: int, text: str) -> None:
    assert duration(us) == text


@given(st.integers(0, 10**15))
def test_durations_are_never_short_and_times_never_early(us: int) -> None:
    text, total = duration(us), 0
    if text.endswith("ms"):
        total = int(text[:-2]) * 1000
    else:
        for factor, unit in ((3600, "h"), (60, "m"), (1, "s")):
            figure, found, rest = text.partition(unit)
            if found:
                total += int(figure) * factor * SECOND
                text = rest
    assert us <= total < us + SECOND
    at = datetime.fromisoformat(rfc3339(us))
    assert at.tzinfo == UTC
    assert us <= at.timestamp() * SECOND < us + SECOND
    assert us <= whole_seconds(us) * SECOND < us + SECOND


def test_times_beyond_the_calendar_are_cut() -> None:
    assert rfc3339(10**30) == "9999-12-31T23:59:59Z"


class TestVectors:
    """httpwg/structured-field-tests, as far as strings, integers, byte sequences and parameters of those go."""

    @staticmethod
    def cases() -> list[dict[str, Any]]:
        files = [*VECTORS.glob("*.json"), *(VECTORS / "serialisation-tests").glob("*.json")]
        assert len(files) == 23
        return [case for file in sorted(files) for case in json.loads(file.read_text())]

    @staticmethod
    def ours(item: Any) -> tuple[Any, dict[str, Any]]:
        """An expected item, or KeyError where it holds a kind that we never write."""

        def bare(value: Any) -> Any:
            if isinstance(value, dict):
                if value["__type"] != "binary":
                    raise KeyError(value["__type"])
                return b32decode(value["value"])
            if type(value) not in (str, int):
                raise KeyError(type(value))
            return value

        value, parameters = item
        if isinstance(value, list):
            raise KeyError("inner list")
        return bare(value), {key: bare(each) for key, each in parameters}

    def test_every_case_that_we_could_write(self) -> None:
        wrote = refused = 0
        for case in self.cases():
            if "expected" not in case or case["header_type"] not in ("item", "list"):
                continue
            try:
                expected = [case["expected"]] if case["header_type"] == "item" else case["expected"]
                items = [self.ours(item) for item in expected]
            except KeyError:
                continue
            if case.get("must_fail"):
                with pytest.raises(ValueError, match=r"."):
                    sf_list([sf_item(value, parameters) for value, parameters in items])
                refused += 1
                continue
            text = sf_list([sf_item(value, parameters) for value, parameters in items])
            assert ([text] if text else []) == case.get("canonical", case.get("raw")), case["name"]
            wrote += 1
        assert (wrote, refused) == (self.WROTE, self.REFUSED)

    WROTE, REFUSED = 177, 35

    def test_every_case_parses_as_declared(self) -> None:
        """The parser that checks our fields in these tests is itself right."""
        for case in self.cases():
            if "raw" not in case:
                continue
            text = ", ".join(case["raw"]).encode()
            try:
                parsed = http_sf.parse(text, tltype=case["header_type"])
            except (http_sf.StructuredFieldError, ValueError):
                assert case.get("must_fail") or case.get("can_fail"), case["name"]
                continue
            assert not case.get("must_fail"), case["name"]
            canonical = ", ".join(case.get("canonical", case["raw"]))
            if case.get("canonical") != [] and not case.get("can_fail"):
                assert http_sf.ser(parsed) == canonical, case["name"]
