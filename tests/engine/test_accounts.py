"""A standing in words and figures, and what an operator may write into one."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.engine import accounts
from guardrail_mw.engine.accounts import MisuseError, Ruled, decode, home_of, line_of, moment, ruled, slug_of, told_tier
from guardrail_mw.friction.verification.assurance import Terms
from guardrail_mw.quantities import Duration

from .kit import shown

NOW = 1_767_225_600_000_000
TERMS = Terms(providers=frozenset({"ids"}))
NOTHING: dict[str, Any] = {
    "proved": False,
    "since": None,
    "verified": False,
    "verdict": "none",
    "cluster": "",
    "tier": "",
    "tier_until": None,
    "tier_why": "",
    "acr": "",
    "ial": "",
    "verifications": [],
    "rung": None,
    "cleared": [],
    "override": None,
    "labels": [],
    "done": [],
}


def test_a_standing_of_which_all_is_known() -> None:
    fields = {
        "proved": "1",
        "since": "17",
        **shown("2", "silver", NOW + 9),
        "verdict": "suspect",
        "cluster": "abc",
        "tier": f"gold {NOW + 1}",
        "tier.why": "their launch",
        "rung": "slow 23 cut",
        "met": "4",
        "heat": "99",
        "override": f"deny {NOW + 2}",
        "override.why": "seen in a campaign",
        "label.vip": "0 by mail",
        "label.odd": f"{NOW + 3} a b c",
        "label.gone": f"{NOW} over",
        "label.bare": "",
        f"cleared.{'a' * 16}": f"{NOW + 5}",
        f"cleared.{'b' * 16}": f"{NOW}",
        f"cleared.{'c' * 16}": f"{NOW + 6}",
        f"cleared.{'d' * 16}": "nonsense",
        "did.5": "label vip by mail",
        "did.31": "reset everything",
        "did.7": "erase",
    }
    assert decode(fields, NOW, TERMS) == {
        "proved": True,
        "since": 17,
        "verified": True,
        "verdict": "suspect",
        "cluster": "abc",
        "tier": "gold",
        "tier_until": NOW + 1,
        "tier_why": "their launch",
        "acr": "silver",
        "ial": "2",
        "verifications": [{"case": "c1", "provider": "ids", "state": "approved", "at": 7, "until": NOW + 9, "counts": True}],
        "rung": {"name": "slow", "since": 23, "met": 4},
        "cleared": [
            {"rung": "", "code": "c" * 16, "until": NOW + 6},
            {"rung": "", "code": "a" * 16, "until": NOW + 5},
        ],
        "override": {"what": "deny", "until": NOW + 2, "why": "seen in a campaign"},
        "labels": [
            {"label": "bare", "until": None, "why": ""},
            {"label": "odd", "until": NOW + 3, "why": "a b c"},
            {"label": "vip", "until": None, "why": "by mail"},
        ],
        "done": [
            {"at": 31, "verb": "reset", "what": "everything", "why": ""},
            {"at": 7, "verb": "erase", "what": "", "why": ""},
            {"at": 5, "verb": "label", "what": "vip", "why": "by mail"},
        ],
    }


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({}, {}),
        ({"proved": "0", "cases": "1", "case.x.17": "[]", "case.x.y": "1", "since": "0", "heat": "5", "met": "3"}, {}),
        ({"since": "long ago"}, {}),
        ({"tier": f"gold {NOW}", "tier.why": "over"}, {}),
        ({"tier": "gold"}, {"tier": "gold"}),
        ({"tier": "gold 0", "tier.why": "ours"}, {"tier": "gold", "tier_why": "ours"}),
        ({"tier": "very gold"}, {"tier": "very gold"}),
        ({"tier": " 7"}, {"tier": " 7"}),
        ({"override": f"deny {NOW}", "override.why": "over"}, {}),
        ({"override": "allow 0"}, {"override": {"what": "allow", "until": None, "why": ""}}),
        ({"rung": "slow 5"}, {"rung": {"name": "slow", "since": 5, "met": 0}}),
    ],
)
def test_a_standing_of_which_little_is_known(fields: dict[str, str], more: dict[str, Any]) -> None:
    assert decode(fields, NOW, TERMS) == NOTHING | more


def test_a_tier_that_an_operator_has_given() -> None:
    assert ruled({"tier.why": "nothing"}, NOW) is None
    assert ruled({"tier": "gold"}, NOW) == Ruled("gold", 0)
    assert ruled({"tier": f"gold {NOW + 1}"}, NOW) == Ruled("gold", NOW + 1)
    assert ruled({"tier": f"gold {NOW}"}, NOW) is None
    assert ruled({"tier": "very gold"}, NOW) == Ruled("very gold", 0)
    assert ruled({"tier": f"very gold {NOW + 1}"}, NOW) == Ruled("very gold", NOW + 1)


def test_a_tier_that_only_an_operators_word_was_is_not_the_credentials() -> None:
    fields = {"did.5": "tier gold by mail", "did.6": "label silver by mail", "tier": "bronze 0", "said.7": "tier plus x"}
    told = [told_tier(fields, tier) for tier in ("gold", "silver", "bronze", "plus", "go", "")]
    assert told == ["", "silver", "bronze", "plus", "go", ""]


CURE = "Write `a:` and its digest, as events have it; `guardrail-mw accounts id` makes it from a credential."


def test_what_is_an_account() -> None:
    for good in ("a:12345678", "n:" + "x" * 64, "a:-_-_-_-_Zz09"):
        assert home_of(good) == good
    assert home_of("a:12345678", "a") == "a:12345678"
    refused: list[tuple[tuple[Any, ...], str]] = [
        (("a:1234567",), f"is not an account's digest. {CURE}"),
        (("a:" + "x" * 65,), f"is not an account's digest. {CURE}"),
        (("o:12345678",), f"is not an account's digest. {CURE}"),
        (("a:1234567é",), f"is not an account's digest. {CURE}"),
        ((7,), f"is not an account's digest. {CURE}"),
        (("n:12345678", "a"), f"is a network's, and this can only be done to an account's digest. {CURE}"),
    ]
    for given, text in refused:
        with pytest.raises(MisuseError) as caught:
            home_of(*given)
        assert (caught.value.argument, caught.value.text) == ("account", text)
        assert str(caught.value) == f"account: {text}"


def test_what_is_a_line() -> None:
    assert line_of("reason", "  said so \t") == "said so"
    assert line_of("reason", "x" * 256 + " ") == "x" * 256
    refused: list[tuple[Any, str]] = [
        (7, "is not text."),
        (None, "is not text."),
        (" \n ", "is empty. Say in a line why; whoever comes after you will ask."),
        ("x" * 257, "has 257 characters. At most 256 are kept."),
        ("a\nb", "holds a line break or a control character. Write one line."),
    ]
    for given, text in refused:
        with pytest.raises(MisuseError) as caught:
            line_of("reason", given)
        assert (caught.value.argument, caught.value.text) == ("reason", text)


def test_what_is_a_label() -> None:
    for good in ("a", "research-partner", "7", "x" * 40):
        assert slug_of(good) == good
    text = "is not a label: small letters, digits and hyphens, at most 40, such as `research-partner`."
    bad: Any
    for bad in ("", "-a", "A", "a b", "x" * 41, "é", 7, None):
        with pytest.raises(MisuseError) as caught:
            slug_of(bad)
        assert (caught.value.argument, caught.value.text) == ("slug", text)


def test_until_when() -> None:
    assert [moment(None, NOW), moment("1s", NOW), moment(Duration.parse("2s"), NOW)] == [0, NOW + 1_000_000, NOW + 2_000_000]
    with pytest.raises(MisuseError, match=r"^until: 'soon' does not begin with") as caught:
        moment("soon", NOW)
    assert caught.value.argument == "until"
    assert caught.value.__cause__ is not None


def test_how_much_is_kept() -> None:
    assert (accounts.KEPT, accounts.LONGEST) == (20, 256)
    assert line_of("reason", "x") == "x"
