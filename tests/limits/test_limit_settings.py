"""Settings of limits, models and reservations: the integers they come to, and what they refuse by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from guardrail_mw.conditions import WhenSettings
from guardrail_mw.limits.settings import LARGEST, LimitSettings, PriceSettings, ReserveSettings


def limit(**settings: Any) -> LimitSettings:
    return LimitSettings.model_validate({"name": "x", "per": ["account"], **settings})


def refusals(**settings: Any) -> list[tuple[str, str]]:
    """(place, message) of everything that is wrong with a limit."""
    with pytest.raises(ValidationError) as caught:
        limit(**settings)
    found = []
    for error in caught.value.errors():
        problems = error.get("ctx", {}).get("problems")
        if problems is None:
            found.append((".".join(map(str, error["loc"])), error["type"]))
        else:
            found += [(problem.path, problem.message) for problem in problems]
    return found


def test_a_rate_in_dollars_is_in_micro_dollars() -> None:
    spend = limit(unit="usd", rate="12.50/hour", burst=0.25)
    assert spend.kind == "token_bucket"
    assert (spend.amount_units(), spend.burst_units(), spend.period) == (12_500_000, 250_000, 3_600_000_000)
    assert spend.reduced() == (1, 288)  # 12.5e6 divides 3.6e9 288 times
    assert spend.figure == "12.50/hour"


def test_burst_is_the_amount_unless_set() -> None:
    assert limit(rate="120/minute").burst_units() == 120
    assert limit(rate="120/minute", burst=7).burst_units() == 7


def test_a_budget_a_window_and_slots() -> None:
    budget, window, slots = limit(budget="500/month", unit="usd"), limit(window="9/hour"), limit(concurrency=16)
    assert (budget.kind, budget.amount_units(), budget.calendar, budget.period) == ("budget", 500_000_000, "month", 0)
    assert (window.kind, window.amount_units(), window.calendar, window.period) == ("sliding_window", 9, None, 3_600_000_000)
    assert (slots.kind, slots.amount_units(), slots.figure, slots.period) == ("concurrency", 16, "16", 0)


def test_keep_is_rounded_down() -> None:
    assert limit(per=[], rate="2000/second", keep="30%").kept_units() == 600
    assert limit(per=[], rate="9/second", keep="30%").kept_units() == 2
    assert limit(per=[], rate="9/second").kept_units() == 0


def test_fingerprint_changes_with_what_counters_mean() -> None:
    base = limit(rate="60/minute")
    same = [limit(rate="60 per 60 seconds"), limit(rate="60/minute", burst=5), limit(rate="60/minute", shadow=True)]
    other = [
        limit(rate="61/minute"),
        limit(rate="60/hour"),
        limit(window="60/minute"),
        limit(rate="60/minute", per=["network"]),
        limit(rate="60/minute", unit="tokens"),
        limit(budget="60/minute"),
    ]
    assert {each.fingerprint() for each in same} == {base.fingerprint()}
    assert len({each.fingerprint() for each in [base, *other]}) == 7


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, ("", "says no figure.")),
        ({"rate": "1/minute", "window": "1/minute"}, ("window", "stands beside `rate`, and a limit has one figure.")),
        (
            {"concurrency": 3, "unit": "requests"},
            ("unit", "does not go with `concurrency`, which counts requests in flight."),
        ),
        ({"concurrency": 0}, ("concurrency", "greater_than_equal")),
        ({"concurrency": True}, ("concurrency", "int_type")),
        ({"concurrency": 2.0}, ("concurrency", "int_type")),
        ({"concurrency": 3, "burst": 3}, ("burst", "goes only with `rate`: it is how deep the bucket is.")),
        ({"rate": "5/minute", "burst": 0}, ("burst", "greater_than")),
        ({"rate": "5/minute", "burst": -1}, ("burst", "greater_than")),
        ({"rate": "5/minute", "burst": float("nan")}, ("burst", "is_instance_of")),
        ({"rate": "5/minute", "burst": "7"}, ("burst", "is_instance_of")),
        ({"rate": "5/minute", "burst": True}, ("burst", "is_instance_of")),
        ({"rate": "5/minute", "burst": 0.5}, ("burst", "has decimals, and requests are whole.")),
        ({"rate": "1.5/minute"}, ("rate", "has decimals, and requests are whole.")),
        ({"rate": "1.5/minute", "unit": "tokens"}, ("rate", "has decimals, and tokens are whole.")),
        (
            {"rate": "1/minute", "per": ["model"]},
            ("per", "begins with `model`, which is nobody: the first dimension is whose usage is counted."),
        ),
        ({"rate": "1/minute", "per": ["account", "model", "account"]}, ("per", "names a dimension twice.")),
        ({"rate": "1/minute", "per": ["acount"]}, ("per.0", "literal_error")),
        ({"rate": "1/minute", "keep": "30%"}, ("keep", "goes only with `per: []`: it shares out what belongs to everyone.")),
        ({"window": "1/minute", "per": [], "keep": "30%"}, ("keep", "goes only with `rate`.")),
        ({"rate": "9/minute", "per": [], "keep": "100%"}, ("keep", "leaves strangers nothing.")),
        ({"rate": "9/minute", "per": [], "keep": "10%"}, ("keep", "is less than one of the depth, so it keeps nothing.")),
        ({"rate": "9/minute", "strict": True}, ("strict", "has no effect on requests: only output is reserved.")),
        ({"rate": "9/minute", "replaces": "x"}, ("replaces", "names the limit itself.")),
        ({"rate": "9/minute", "when": {}}, ("", "is empty, which holds for everybody.")),
        ({"rate": "9/minute", "when": {"verdict": "guilty"}}, ("when.verdict.one", "literal_error")),
        ({"rate": "9/minute", "when": {"verdict": []}}, ("when.verdict.many", "too_short")),
        ({"rate": "9/minute", "when": {"method": "post"}}, ("method", "is not an HTTP method in capitals.")),
        ({"rate": "9/minute", "when": {"authenticated": "yes"}}, ("when.authenticated", "bool_type")),
        ({"rate": "9/minute", "when": {"account": "me"}}, ("when.account", "extra_forbidden")),
        ({"rate": "9/minute", "shadow": "true"}, ("shadow", "bool_type")),
        ({"rate": "9/minute", "name": "Not a slug"}, ("name", "string_pattern_mismatch")),
    ],
)
def test_refused_by_itself(settings: dict[str, Any], found: tuple[str, str]) -> None:
    assert refusals(**settings) == [found]


def test_several_refusals_at_once() -> None:
    assert [
        place for place, _ in refusals(rate="1/minute", window="1/minute", budget="1/day", per=["route"], keep="3%")
    ] == [
        "window",
        "budget",
        "per",
        "keep",
    ]


def test_arithmetic_stays_exact() -> None:
    """1,000,003 a day share no factor with 86.4e9 µs: 1000003 x 86.4e9 is 8.6e16, beyond 2^51 = 2.25e15."""
    ((place, message),) = refusals(unit="tokens", rate="1000003/day")
    assert (place, message) == ("rate", "is out of the range in which counting is exact (2^51 unit microseconds).")
    with pytest.raises(ValidationError) as caught:
        limit(unit="tokens", rate="1000003/day")
    (problem,) = caught.value.errors()[0]["ctx"]["problems"]
    assert problem.hint == "A rounder amount works: 1010000."
    assert limit(unit="tokens", rate="1010000/day").reduced() == (101, 8_640_000)


def test_the_bound_is_where_it_says() -> None:
    """1/second is 1 per 10^6 µs: a bucket of 2^51 / 10^6 = 2251799813 fits, one more does not."""
    fits = limit(rate="1/second", burst=2_251_799_813)
    assert fits.burst_units() * fits.reduced()[1] <= LARGEST
    assert fits.largest_cost() == 2_251_799_813
    assert refusals(rate="1/second", burst=2_251_799_814)[0][0] == "burst"


def test_one_value_and_a_list_are_kept_apart_where_there_is_an_order() -> None:
    when = WhenSettings.model_validate({"verdict": "suspect", "acr": ["a", "b"], "tier": "free", "source": ["jwt"]})
    assert (when.verdict, when.acr, when.tier, when.source) == ("suspect", ["a", "b"], ["free"], ["jwt"])


def test_prices_in_pico_dollars() -> None:
    """$3 a million tokens is 3 µ$ a token: 3,000,000 p$."""
    price = PriceSettings.model_validate({"input": 3, "cached": 0.3, "output": 15})
    assert price.picodollars() == (3_000_000, 300_000, 3_000_000, 15_000_000)


@pytest.mark.parametrize("value", [-1, float("inf"), "3", True, 0.1234567, 2_000_000])
def test_impossible_prices(value: object) -> None:
    with pytest.raises(ValidationError):
        PriceSettings.model_validate({"input": value, "output": 1})


def test_reservations_default_as_documented() -> None:
    reserve = ReserveSettings()
    assert (reserve.output, reserve.media, reserve.strict) == (1024, 1500, False)


def hints(**settings: Any) -> list[str]:
    """What each problem of a limit says to do."""
    with pytest.raises(ValidationError) as caught:
        limit(**settings)
    return [problem.hint for error in caught.value.errors() for problem in error["ctx"]["problems"]]


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "Give one of rate, window, budget, concurrency, such as `rate: 60/minute`."),
        ({"rate": "1/minute", "window": "1/minute"}, "Write two limits."),
        ({"concurrency": 3, "unit": "requests"}, "Leave it out."),
        (
            {"rate": "1/minute", "per": ["model"]},
            "Begin with account, network, organisation, cluster or device, such as `per: [account, model]`.",
        ),
        ({"rate": "1/minute", "per": ["account", "model", "account"]}, "Name each once."),
        ({"concurrency": 3, "burst": 3}, "Leave it out."),
        ({"rate": "9/minute", "strict": True}, "Leave it out."),
        ({"rate": "9/minute", "replaces": "x"}, "Name the limit that this one stands in for."),
        ({"rate": "1/minute", "keep": "30%"}, "Leave it out."),
        ({"window": "1/minute", "per": [], "keep": "30%"}, "Leave it out, or make this limit a rate."),
        ({"rate": "9/minute", "per": [], "keep": "100%"}, "Keep less than 100%, or add a limit for strangers."),
        ({"rate": "1.5/minute"}, "Write a whole number."),
        ({"rate": "9/minute", "per": [], "keep": "10%"}, "Keep more."),
    ],
)
def test_each_refusal_says_what_to_do(settings: dict[str, Any], hint: str) -> None:
    assert hints(**settings) == [hint]


SMALLER = "Use a smaller or rounder amount, or a shorter period."


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        # A minute is 60 x 10^6 µs. An amount of so many zeros and the minute have an lcm of three times the amount, unless 3
        # divides it; above 2^51 / 3 = 7.5e14 it must. 8.33e14 does not do, 8.4e14 does.
        ({"rate": "832000000000001/minute"}, "A rounder amount works: 840000000000000."),
        ({"unit": "usd", "rate": "832000000.000001/minute"}, "A rounder amount works: 840000000."),
        # 7.64e14, 7.7e14 and 8e14: 3 divides none.
        ({"rate": "763000000000001/minute"}, SMALLER),
        # Of 6.12e14, 6.2e14 and 7e14 in seven seconds, 7 divides the last.
        ({"rate": "611000000000001 per 7 seconds"}, "A rounder amount works: 700000000000000."),
        # A rounder rate would not make the bucket any less deep.
        ({"rate": "1000003/day", "burst": 1_000_003}, SMALLER),
        ({"unit": "usd", "budget": "3000000000/day"}, SMALLER),
    ],
)
def test_what_is_out_of_range_is_told_the_nearest_that_is_not(settings: dict[str, Any], hint: str) -> None:
    assert hints(**{"unit": "tokens", **settings}) == [hint]


def test_what_is_no_rate_has_no_period_to_divide_by() -> None:
    assert limit(window="9/hour").reduced() == (9, 1)
    assert limit(budget="9/hour").largest_cost() == 2**51


@pytest.mark.parametrize(
    ("settings", "figure"),
    [
        ({"rate": "5 per 2 hours"}, "5 per 2 hours"),
        ({"window": "9/hour"}, "9/hour"),
        ({"budget": "500/month"}, "500/month"),
        ({"concurrency": 16}, "16"),
    ],
)
def test_a_figure_is_told_as_it_was_written(settings: dict[str, Any], figure: str) -> None:
    assert limit(**settings).figure == figure
