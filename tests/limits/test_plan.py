"""Limits compiled: which hold, where they are counted, and what a request costs on each."""

from __future__ import annotations

from typing import Any

import pytest

from guardrail_mw.conditions import Traits
from guardrail_mw.limits.models import Models
from guardrail_mw.limits.plan import Planner
from guardrail_mw.limits.settings import LimitSettings, ModelSettings
from guardrail_mw.limits.tariff import Place, Tariff
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Budget, Entry, Gcra, Lease, Reading, Share, Window
from guardrail_mw.values import Estimate, Usage

PLACE = Place("a:1", "n:1", "n:p", "o:1", "c:1", authenticated=True)
STRANGER = Place("n:1", "n:1", "n:p")


def read(limits: list[dict[str, Any]], models: dict[str, Any]) -> tuple[list[LimitSettings], dict[str, ModelSettings]]:
    """As a policy reads them."""
    document = {
        "version": 1,
        "limits": [{"per": ["account"], **limit} for limit in limits],
        "models": models,
        "reserve": {"output": 1},
    }
    found = load(document)
    return found.limits, found.models


def prices(document: dict[str, Any]) -> Models:
    return Models(read([], document)[1])


def planner(*limits: dict[str, Any], models: dict[str, Any] | None = None, **rest: Any) -> Planner:
    return Planner(*read(list(limits), models or {}), **rest)


def names(of: Planner, **traits: Any) -> list[str]:
    every = frozenset(limit.name for limit in of.limits)
    plan = of.plan(every, Traits(**traits), metered=False)
    return [slot.limit.name for slot in plan.tariff(PLACE, "other", "r").slots]


def tariff(of: Planner, place: Place = PLACE, *, metered: bool = True, model: str = "other", route: str = "r") -> Tariff:
    every = frozenset(limit.name for limit in of.limits)
    return of.plan(every, Traits(authenticated=place.authenticated), metered=metered).tariff(place, model, route)


def steps(entries: tuple[Entry, ...]) -> dict[str, list[Any]]:
    return {entry.home: list(entry.steps) for entry in entries}


# Models and prices


def test_names_find_their_model_and_whatever_is_not_listed_is_other() -> None:
    found = prices({"large": {"names": ["large-*", "xl"]}, "small": {}, "other": {}})
    assert [found.key(name) for name in ("large-1", "large-", "large", "xl", "small", "Small", "", "other", "x" * 300)] == [
        "large", "large", "other", "large", "small", "other", "other", "other", "other",
    ]  # fmt: skip


def test_invented_names_are_not_kept_for_ever() -> None:
    found = prices({"small": {}})
    for number in range(3000):
        found.key(f"invented-{number}")
    found.key("x" * 257)
    assert len(found._known) <= 1024
    assert "x" * 257 not in found._known


def test_dollars() -> None:
    """Per million: input 3, cached 0.3, output 15. 1,000 × 3 + 10,000 × 0.3 + 10 × 3 + 100 × 15 = 7,530 micro-dollars."""
    found = prices({"large": {"usd_per_million": {"input": 3, "cached": 0.3, "output": 15}},
                    "free": {"usd_per_million": {"input": 0, "output": 0}}})  # fmt: skip
    used = Usage(input=1000, cached=10_000, cache_write=10, output=100)
    assert found.cost("large", used) == 7530
    assert found.cost("free", used) == 0
    assert found.cost("other", used) == 7530, "no name is free that has no price"
    assert found.cost("large", Usage(cached=1)) == 1
    assert found.cost("large", Usage(cached=4)) == 2
    assert Models({}).cost("other", used) == 0


# What holds


def test_conditions() -> None:
    of = planner(
        {"name": "any", "rate": "9/minute"},
        {"name": "strangers", "when": {"authenticated": False}, "rate": "9/minute"},
        {"name": "verified", "when": {"verified": True}, "rate": "9/minute"},
        {"name": "tiers", "when": {"tier": ["gold", "tin"], "organisation": "acme"}, "rate": "9/minute"},
        {"name": "suspect", "when": {"verdict": "suspect"}, "rate": "9/minute"},
        {"name": "just-suspect", "when": {"verdict": ["suspect"]}, "rate": "9/minute"},
        {"name": "posts", "when": {"method": "POST"}, "rate": "9/minute"},
        {"name": "large", "when": {"model": "large"}, "rate": "9/minute"},
        {"name": "nobodies", "when": {"source": "anonymous"}, "rate": "9/minute"},
        models={"large": {}},
    )
    known = {"authenticated": True, "source": "api_key"}
    assert names(of) == ["any", "strangers", "nobodies"]
    assert names(of, **known, verified=True) == ["any", "verified"]
    assert names(of, **known, tier="tin", organisation="acme") == ["any", "tiers"]
    assert names(of, **known, tier="tin") == ["any"]
    assert names(of, **known, verdict="watched") == ["any"]
    assert names(of, **known, verdict="suspect") == ["any", "suspect", "just-suspect"]
    assert names(of, **known, verdict="confirmed") == ["any", "suspect"]
    assert names(of, **known, method="POST") == ["any", "posts"]
    assert names(of, **known, model="large") == ["any", "large"]


def test_assurance_is_ordered_as_the_policy_says() -> None:
    of = planner(
        {"name": "kyc", "when": {"acr": "urn:kyc"}, "rate": "9/minute"},
        {"name": "basic", "when": {"acr": "urn:basic"}, "rate": "9/minute"},
        {"name": "odd", "when": {"acr": "urn:odd"}, "rate": "9/minute"},
        {"name": "two", "when": {"ial": "2"}, "rate": "9/minute"},
        {"name": "one-of", "when": {"ial": ["1"]}, "rate": "9/minute"},
        assurance=["urn:basic", "urn:kyc"],
    )
    assert names(of, acr="urn:basic") == ["basic"]
    assert names(of, acr="urn:kyc") == ["kyc", "basic"]
    assert names(of, acr="urn:odd") == ["odd"]
    assert names(of, acr="urn:other") == names(of) == []
    assert names(of, ial="1") == ["one-of"]
    assert names(of, ial="ial2") == ["two"]
    assert names(of, ial="3") == ["two"]
    assert names(of, ial="high") == []


def test_one_that_replaces_stands_in_only_where_it_holds() -> None:
    of = planner(
        {"name": "a", "rate": "1/minute"},
        {"name": "b", "replaces": "a", "when": {"tier": ["gold", "best"]}, "rate": "2/minute"},
        {"name": "c", "replaces": "b", "when": {"tier": "best"}, "rate": "3/minute"},
    )
    assert names(of) == ["a"]
    assert names(of, tier="gold") == ["b"]
    assert names(of, tier="best") == ["c"]


def test_what_must_be_read_before_it_can_be_charged() -> None:
    of = planner(
        {"name": "requests", "rate": "9/minute"},
        {"name": "tokens", "unit": "tokens", "rate": "9000/minute"},
        {"name": "by-model", "per": ["account", "model"], "rate": "9/minute"},
        {"name": "for-model", "when": {"model": "large"}, "rate": "9/minute"},
        {"name": "slots", "concurrency": 1},
        models={"large": {}},
    )
    assert [name for name in ("requests", "tokens", "by-model", "for-model", "slots") if of.reads(frozenset([name]))] == [
        "tokens", "by-model", "for-model",
    ]  # fmt: skip


def test_plans_are_made_once_and_their_number_is_bounded() -> None:
    of = planner({"name": "a", "when": {"organisation": "acme"}, "rate": "9/minute"})
    every = frozenset(["a"])
    plan = of.plan(every, Traits(), metered=False)
    assert of.plan(every, Traits(tier="what no condition looks at"), metered=False) is plan
    assert of.plan(every, Traits(organisation="acme"), metered=False) is not plan
    for number in range(5000):
        of.plan(every, Traits(organisation=str(number)), metered=False)
    assert len(of._plans) <= 4096


def test_subjects_of_one_kind_share_what_is_the_same_for_them() -> None:
    """And those of another kind do not: who has no organisation is counted by itself, in one home."""
    of = planner({"name": "own", "rate": "9/minute"}, {"name": "org", "per": ["organisation"], "rate": "9/minute"})
    first, second = tariff(of, Place("a:1", "n:1", "n:p", "o:1")), tariff(of, Place("a:2", "n:2", "n:q", "o:2"))
    assert first.shape is second.shape
    assert [entry.home for entry in first.fixed or ()] == ["a:1", "o:1"]
    assert [entry.home for entry in second.fixed or ()] == ["a:2", "o:2"]
    assert [entry.home for entry in tariff(of, Place("a:3", "n:3")).fixed or ()] == ["a:3"]
    assert tariff(of, Place("a:3", "n:3")).shape is not first.shape
    assert tariff(of, Place("a:1", "n:1", organisation="o:1"), model="m").shape is not first.shape


def test_what_names_a_subject_in_a_field_is_never_shared() -> None:
    of = planner({"name": "a", "per": ["organisation", "account"], "rate": "9/minute"})
    fields = set()
    for account in ("a:1", "a:2"):
        (entry,) = tariff(of, Place(account, "n:1", "n:p", "o:1")).fixed or ()
        fields.add((entry.home, entry.steps[0].field))
    assert len(fields) == 2


# Where it is counted


def test_homes_and_what_stands_in_for_a_missing_one() -> None:
    homes = ("account", "network", "organisation", "cluster")
    everyone = {"name": "all", "per": [], "rate": "9/minute"}
    of = planner(*({"name": home, "per": [home], "rate": "9/minute"} for home in homes), everyone)
    entries = tariff(of).fixed
    assert entries is not None
    assert [(entry.home, entry.parent) for entry in entries] == [
        ("a:1", "e"),
        ("n:1", "n:p"),
        ("o:1", "e"),
        ("c:1", "e"),
        ("e", "e"),
    ]
    entries = tariff(of, Place("a:1", "n:1", authenticated=True)).fixed
    assert entries is not None
    assert [(entry.home, len(entry.steps)) for entry in entries] == [("a:1", 3), ("n:1", 1), ("e", 1)]
    entries = tariff(of, STRANGER).fixed
    assert entries is not None
    assert [(entry.home, entry.parent, len(entry.steps)) for entry in entries] == [("n:1", "n:p", 4), ("e", "e", 1)]


def test_fields_never_mean_the_same() -> None:
    """Whatever the values are called: each dimension is a digest of fixed length behind the limit's own code."""
    of = planner(
        {"name": "a", "per": ["account", "model", "route"], "rate": "9/minute"},
        {"name": "b", "per": ["account", "model", "route"], "rate": "9/minute"},
        {"name": "c", "per": ["account", "network", "organisation", "cluster"], "rate": "9/minute"},
    )
    fields = set()
    for model, route in (("x.y", "z"), ("x", "y.z"), ("", "x.y.z"), ("x.y.z", ""), ("é" * 40, "/" * 256)):
        entries = tariff(of, model=model, route=route).fixed
        assert entries is not None
        fields |= {step.field for step in entries[0].steps}
    assert len(fields) == 5 * 2 + 1
    assert all(len(field) <= 64 and field.isascii() for field in fields)


def test_a_changed_limit_starts_anew_and_others_go_on() -> None:
    def field(**limit: Any) -> str:
        entries = tariff(planner({"name": "a", **limit})).entries(Estimate(), lambda *_: 1)
        return str(entries[0].steps[0].field)

    same = field(rate="9/minute")
    assert field(rate="9/minute", burst=20) == same
    assert field(rate="9/minute", shadow=True) == same
    assert len({same, field(rate="8/minute"), field(rate="9/hour"), field(window="9/minute"),
                field(rate="9/minute", unit="tokens"), field(rate="9/minute", per=["network"])}) == 6  # fmt: skip


# What it costs


def test_each_kind_is_a_step() -> None:
    of = planner(
        {"name": "bucket", "rate": "120/minute", "burst": 5},
        {"name": "window", "window": "9/hour"},
        {"name": "budget", "budget": "7/day"},
        {"name": "slots", "concurrency": 3},
        {"name": "trial", "rate": "1/second", "shadow": True},
        {"name": "switched", "rate": "1/second"},
        shadowed=["switched"],
    )
    entries = tariff(of).fixed
    assert entries is not None
    bucket, window, budget, slots, trial, switched = entries[0].steps
    assert bucket == Gcra(bucket.field, 1, 1, 500_000, 5)
    assert window == Window(window.field, 1, 9, 3_600_000_000)
    assert budget == Budget(budget.field, 1, 7, "day")
    assert slots == Lease(slots.field, 3)
    assert trial == Gcra(trial.field, 1, 1, 1_000_000, 1, shadow=True)
    assert switched == Gcra(switched.field, 1, 1, 1_000_000, 1, shadow=True)
    assert entries[0].opens


def test_a_request_is_billed_without_computing_where_its_costs_are_constant() -> None:
    of = planner({"name": "a", "rate": "9/minute"}, {"name": "slots", "concurrency": 3})
    charged = tariff(of)
    assert charged.entries(Estimate(input=9), of.cost) is charged.fixed
    batch = charged.entries(Estimate(items=4), of.cost)
    assert [getattr(step, "cost", None) for step in batch[0].steps] == [4, None]


def test_costs_by_unit() -> None:
    """1,000 in, 200 out: in tokens, and at 3 and 15 dollars a million 6,000 micro-dollars."""
    of = planner(
        {"name": "requests", "rate": "9/minute"},
        *(
            {"name": unit.replace("_", "-"), "unit": unit, "rate": "90000/minute"}
            for unit in ("tokens", "input_tokens", "output_tokens")
        ),
        {"name": "usd", "unit": "usd", "rate": "1/minute"},
        {"name": "strict", "unit": "tokens", "rate": "90000/minute", "strict": True},
        models={"large": {"usd_per_million": {"input": 3, "output": 15}}},
    )
    estimate = Estimate("large", 1000, 200, items=2, most=8000)
    assert [of.cost(limit, estimate) for limit in of.limits] == [2, 1200, 1000, 200, 6000, 9000]
    usage = Usage(input=10, cached=20, cache_write=30, output=40)
    assert [of.used(limit, usage, "large") for limit in of.limits] == [None, 100, 60, 40, 780, 100]


def test_an_estimate_reserves_no_more_than_the_depth_unless_it_is_strict() -> None:
    def cost(estimate: int, place: Place = PLACE, **limit: Any) -> int:
        of = planner({"name": "a", "unit": "tokens", **limit})
        step: Any = tariff(of, place).entries(Estimate(input=estimate), of.cost)[0].steps[0]
        return int(step.cost)

    assert cost(700, rate="1000/minute") == 700
    assert cost(1700, rate="1000/minute") == 1000
    assert cost(1700, rate="1000/minute", burst=2000) == 1700
    assert cost(1700, window="1000/minute") == 1000
    assert cost(1700, budget="1000/day") == 1000
    assert cost(1700, rate="1000/minute", strict=True) == 1700


def test_what_belongs_to_everyone_is_shared_out() -> None:
    """10,000 deep: 1,000 an account. The share is held beside the account's receipt, the bucket is everyone's."""
    of = planner(
        {"name": "all", "per": [], "unit": "tokens", "rate": "10000/minute", "keep": "20%"},
        {"name": "own", "rate": "9/minute"},
    )
    charged = tariff(of)
    found = steps(charged.entries(Estimate(input=700), of.cost))
    own, share = found["a:1"]
    assert own.cost == 1
    assert share == Share(share.field, 700, 1000)
    assert found["e"] == [Gcra(found["e"][0].field, 700, 1, 6000, 10_000, 0, reserved=True)]
    assert share.field == f"o.{found['e'][0].field}"
    found = steps(charged.entries(Estimate(input=7000), of.cost))
    assert (found["a:1"][1].cost, found["e"][0].cost) == (1000, 1000)
    found = steps(tariff(of, STRANGER).entries(Estimate(input=7000), of.cost))
    assert found["e"][0].kept == 2000
    assert [(slot.limit.name, slot.share) for slot in charged.slots] == [("all", False), ("own", False), ("all", True)]


def test_unmetered_limits_hold_at_no_cost() -> None:
    tokens = {"unit": "tokens", "rate": "9000/minute"}
    charged = tariff(planner({"name": "tokens", **tokens}, {"name": "all", "per": [], **tokens}), metered=False)
    assert not charged.measured
    assert charged.fixed is not None
    every: list[Any] = [step for entry in charged.fixed for step in entry.steps]
    assert [step.cost for step in every] == [0, 0]
    assert not any(entry.opens for entry in charged.fixed)
    assert not any(slot.share for slot in charged.slots)


def test_what_can_never_fit() -> None:
    def refused(estimate: Estimate, place: Place = PLACE, **limit: Any) -> bool:
        of = planner({"name": "a", **limit})
        return tariff(of, place).shape.too_large(estimate, of.cost) is not None

    assert refused(Estimate(items=10), rate="9/minute")
    assert not refused(Estimate(items=9), rate="9/minute")
    assert not refused(Estimate(items=10), rate="9/minute", shadow=True)
    assert not refused(Estimate(items=10), concurrency=1)
    assert not refused(Estimate(input=10_000), unit="tokens", rate="9000/minute")
    assert refused(Estimate(input=10_000), unit="tokens", rate="9000/minute", strict=True)
    assert refused(Estimate(items=8), STRANGER, per=[], rate="10/minute", keep="30%")
    assert not refused(Estimate(items=8), per=[], rate="10/minute", keep="30%")


def test_turns_leave_the_slots_alone() -> None:
    of = planner(
        {"name": "slots", "concurrency": 3},
        {"name": "a", "rate": "9/minute"},
        {"name": "net", "per": ["network"], "concurrency": 9},
    )
    whole = tariff(of)
    turns = whole.turns()
    assert turns is whole.turns()
    assert turns.fixed is not None
    assert [slot.limit.name for slot in turns.slots] == ["a"]
    assert [(entry.home, len(entry.steps)) for entry in turns.fixed] == [("a:1", 1)]
    assert whole.fixed is not None
    assert sum(len(entry.steps) for entry in whole.fixed) == 3


@pytest.mark.parametrize("metered", [True, False])
def test_slots_run_parallel_to_the_steps(metered: bool) -> None:
    of = planner(
        {"name": "all", "per": [], "unit": "tokens", "rate": "90000/minute"},
        {"name": "net", "per": ["network"], "rate": "9/minute"},
        {"name": "a", "rate": "8/minute"},
        {"name": "slots", "concurrency": 7},
        {"name": "tokens", "unit": "tokens", "rate": "5000/minute"},
    )
    charged = tariff(of, metered=metered)
    for entries in (charged.entries(Estimate(), of.cost), charged.entries(Estimate(items=3), of.cost)):
        every = [step for entry in entries for step in entry.steps]
        assert len(every) == len(charged.slots)
        for slot, step in zip(charged.slots, every, strict=True):
            assert isinstance(step, Share) == slot.share
            assert slot.share or slot.limit.code == step.field.split(".")[0]


def test_who_refused() -> None:
    of = planner(
        {"name": "short", "rate": "9/minute"},
        {"name": "long", "rate": "9/hour"},
        {"name": "all", "per": [], "rate": "9/day"},
        {"name": "trial", "rate": "1/day", "shadow": True},
    )
    charged = tariff(of)
    order = [slot.limit.name for slot in charged.slots]

    def refusing(**waits: int) -> str | None:
        readings = [Reading(name not in waits, 0, 0, waits.get(name, 0)) for name in order]
        found = charged.shape.refusal(readings)
        return found.limit if found else None

    assert refusing() is None
    assert refusing(trial=9) is None
    assert refusing(short=5, long=4) == "short"
    assert refusing(short=5, long=6) == "long"
    assert refusing(short=5, all=9) == "short"
    assert refusing(all=9) == "all"


def test_how_long_a_limit_takes_to_give_out_what_it_holds() -> None:
    of = planner(
        {"name": "rate", "rate": "7/minute", "burst": 10},
        {"name": "window", "window": "7/hour"},
    )
    # Ten at seven a minute: 10 x 60e6 / 7 = 85,714,285.7 µs, rounded up.
    assert [limit.span for limit in of.limits] == [85_714_286, 3_600_000_000]


def test_a_share_is_whole_and_never_nothing() -> None:
    tokens = {"per": [], "unit": "tokens"}
    of = planner({"name": "nine", **tokens, "rate": "9/minute"}, {"name": "more", **tokens, "rate": "29/minute"})
    charged = tariff(of).entries(Estimate(input=7), of.cost)
    shares = [step for entry in charged for step in entry.steps if isinstance(step, Share)]
    assert [(step.cost, step.cap) for step in shares] == [(1, 1), (2, 2)]  # a tenth of 29, rounded down


def test_a_stranger_reserves_no_more_than_strangers_may_have() -> None:
    """Of 10,000, 9,500 are kept: 500 are left, less than the tenth that one account may hold."""
    of = planner({"name": "all", "per": [], "unit": "tokens", "rate": "10000/minute", "keep": "95%"})
    found = steps(tariff(of, STRANGER).entries(Estimate(input=7000), of.cost))
    assert found["e"][0].cost == 500


def test_a_million_tokens_cost_what_a_million_cost() -> None:
    found = prices({"large": {"usd_per_million": {"input": 3, "output": 15}}})
    assert found.cost("large", Usage(input=1_000_000, output=2_000_000)) == 33_000_000


def test_a_refusal_says_which_figure_was_reached() -> None:
    of = planner({"name": "a", "rate": "9/minute"}, {"name": "slots", "concurrency": 3})
    rate, slots = of.limits
    assert rate.refusal(5_000_000, share=False)[:5] == ("a", "token_bucket", "requests", "9/minute", 5_000_000)
    assert slots.refusal(30_000_000, share=False)[:5] == ("slots", "concurrency", "requests", "3", 1_000_000)


def test_what_cannot_fit_is_found_behind_limits_that_refuse_nobody() -> None:
    tokens = {"unit": "tokens", "strict": True}
    of = planner(
        {"name": "trial", **tokens, "rate": "5/minute", "shadow": True},
        {"name": "held", **tokens, "rate": "90/minute"},
    )
    found = tariff(of).shape.too_large(Estimate(input=100), of.cost)
    assert found is not None
    assert found.name == "held"


def test_turns_are_measured_as_the_connection_is() -> None:
    of = planner({"name": "tokens", "unit": "tokens", "rate": "9000/minute"}, {"name": "slots", "concurrency": 3})
    assert tariff(of).turns().measured is True
    assert tariff(of, metered=False).turns().measured is False


def test_subjects_of_two_clusters_are_of_one_kind() -> None:
    of = planner({"name": "a", "rate": "9/minute"}, {"name": "together", "per": ["cluster"], "rate": "9/minute"})
    plan = of.plan(frozenset(["a", "together"]), Traits(), metered=False)
    one, two, alone = [plan.tariff(PLACE._replace(cluster=cluster), "other", "r") for cluster in ("c:1", "c:2", "")]
    assert one.shape is two.shape
    assert one.shape is not alone.shape
    assert one.fixed is not None
    assert two.fixed is not None
    assert [(a.home, b.home) for a, b in zip(one.fixed, two.fixed, strict=True)] == [("a:1", "a:1"), ("c:1", "c:2")]


def test_a_field_begins_with_the_code_of_its_limit() -> None:
    """`refill` finds by it all that a limit counts of an account."""
    of = planner({"name": "a", "per": ["account", "model", "route"], "rate": "9/minute"})
    entries = tariff(of).fixed
    assert entries is not None
    code, model, route = entries[0].steps[0].field.split(".")
    assert code == of.limits[0].code
    assert len(model) == len(route) == 8  # six bytes in base64


def test_what_reserves_has_the_same_homes_and_stand_ins() -> None:
    tokens = {"unit": "tokens", "rate": "9000/minute"}
    of = planner({"name": "a", **tokens}, {"name": "net", "per": ["network"], **tokens})
    charged = tariff(of).entries(Estimate(input=7), of.cost)
    assert [(entry.home, entry.parent) for entry in charged] == [("a:1", "e"), ("n:1", "n:p")]
