"""What only the whole document tells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import load, loads

Problems = Callable[..., list[Problem]]


@pytest.mark.parametrize(
    ("limits", "path", "message"),
    [
        (
            "{name: t, per: [account], unit: tokens, rate: 1000/minute}",
            "limits[0].rate",
            "holds less than one request reserves (1024 tokens: `reserve.output` is 1024).",
        ),
        (
            "{name: t, per: [account], unit: output_tokens, rate: 5000/minute, burst: 1023}",
            "limits[0].burst",
            "holds less than one request reserves (1024 output_tokens: `reserve.output` is 1024).",
        ),
        (
            "{name: t, per: [account], unit: usd, budget: 0.01/day}",
            "limits[0].budget",
            "holds less than one request reserves ($0.015360: `reserve.output` is 1024).",
        ),
        (
            "{name: t, per: [], unit: tokens, rate: 1100/second, keep: 10%}",
            "limits[0].keep",
            "leaves strangers less than one request reserves (1024 tokens).",
        ),
        (
            "{name: t, per: [account], rate: 9/minute, when: {route: /v2}}",
            "limits[0].when.route",
            "names `/v2`, which is no route's name or path.",
        ),
        (
            "{name: t, per: [account], rate: 9/minute, when: {model: [lrge, other]}}",
            "limits[0].when.model",
            "names `lrge`, which is no key of `models`.",
        ),
        (
            "{name: t, per: [account], rate: 9/minute, when: {source: jwt}}",
            "limits[0].when.source",
            "names `jwt`, which is no source of `identity`.",
        ),
        (
            "{name: cluster-budget, per: [account], rate: 9/minute}",
            "limits[0].name",
            "`cluster-budget` is the name of material clusters' budgets.",
        ),
    ],
)
def test_what_only_the_whole_document_tells(problems: Problems, limits: str, path: str, message: str) -> None:
    """$15 a million tokens x 1024 = $0.01536."""
    (problem,) = problems(
        "version: 1\nroutes: [{path: /v1/**}]\n"
        f"models: {{large: {{usd_per_million: {{input: 3, output: 15}}}}}}\nlimits:\n  - {limits}\n"
    )
    assert (problem.line, problem.path, problem.message) == (5, path, message)


def test_a_limit_that_holds_just_one_request_is_sound() -> None:
    assert (
        loads("version: 1\nlimits: [{name: t, per: [account], unit: tokens, rate: 1024/minute}]\n").limits[0].burst_units()
        == 1024
    )


def test_replacements_go_in_no_circle(problems: Problems) -> None:
    found = problems(
        "version: 1\nlimits:\n"
        "  - {name: a, per: [account], rate: 9/minute, replaces: b}\n"
        "  - {name: b, per: [account], rate: 9/minute, replaces: c}\n"
        "  - {name: c, per: [account], rate: 9/minute, replaces: a}\n"
        "  - {name: d, per: [account], rate: 9/minute, replaces: a}\n"
    )
    assert [(problem.line, problem.message) for problem in found] == [
        (3, "goes in a circle: a → b → c → a."),
        (4, "goes in a circle: b → c → a → b."),
        (5, "goes in a circle: c → a → b → c."),
    ]


def test_dollars_need_prices(problems: Problems) -> None:
    spend = "limits: [{name: s, per: [account], unit: usd, budget: 500/month}]\n"
    (problem,) = problems("version: 1\n" + spend)
    assert (problem.path, problem.message) == ("limits[0].unit", "is usd, and no model has a price.")
    (problem,) = problems("version: 1\nmodels: {a: {usd_per_million: {input: 1, output: 1}}, b: {}}\n" + spend)
    assert (problem.path, problem.message) == ("models.b", "has no price, and `s` counts dollars.")


def test_models_that_never_match(problems: Problems) -> None:
    found = problems(
        "version: 1\nmodels:\n  all: {names: ['*']}\n  large: {names: [x, large-*]}\n  small: {}\n  other: {names: [z]}\n"
    )
    assert [(problem.line, problem.path) for problem in found] == [
        (4, "models.large.names[0]"),
        (4, "models.large.names[1]"),
        (5, "models.small"),
        (6, "models.other.names"),
    ]


def test_routes_that_are_never_reached(problems: Problems) -> None:
    found = problems(
        "version: 1\nroutes:\n"
        "  - {path: /v1/**, methods: [GET]}\n"
        "  - {path: /v1/**}\n"
        "  - {path: [/v2, /v1/models], name: m}\n"
        "  - {path: /v3, name: m}\n"
    )
    assert [(problem.line, problem.path) for problem in found] == [(5, "routes[2].path[1]"), (6, "routes[3].name")]
    assert found[0].message == "is never reached: routes[1] (/v1/**) matches first."


def test_an_exempt_route_has_nothing_to_limit(problems: Problems) -> None:
    found = problems("version: 1\nroutes: [{path: /h, exempt: true, limits: [], proves: false}]\n")
    assert [problem.path for problem in found] == ["routes[0].limits", "routes[0].proves"]


def test_a_budget_for_bodies_holds_one(problems: Problems) -> None:
    (problem,) = problems("version: 1\ninspect: {max_body: 1MB, budget: 999KB}\n")
    assert (problem.path, problem.message) == ("inspect.budget", "is smaller than one body (`max_body`).")


def test_more_models_than_a_subject_has_counters_for() -> None:
    models = {f"m{number}": {"names": [f"m{number}-*"]} for number in range(33)}
    limit = {"name": "tokens", "per": ["account", "model"], "unit": "tokens", "rate": "100000/minute"}
    with pytest.raises(PolicyError) as caught:
        load({"version": 1, "models": models, "limits": [limit]})
    [problem] = caught.value.problems
    assert problem.path == "models"
    assert problem.message == "lists 33 models, and `tokens` counts each apart for every subject."
    load({"version": 1, "models": models, "limits": [{**limit, "per": ["account"]}]})
