"""Loading: what is read, what is refused, where each problem stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import Policy, load, loads
from guardrail_mw.policy.document import LATER

Problems = Callable[..., list[Problem]]


def test_the_example_loads_as_it_stands(example: bytes) -> None:
    policy = loads(example, environ={})
    assert (policy.mode, policy.store.url, policy.store.deadline.us, policy.store.processes) == (
        "shadow",
        "memory://",
        25_000,
        4,
    )
    assert [limit.name for limit in policy.limits] == [
        "requests",
        "tokens",
        "in-flight",
        "strangers",
        "spend",
        "burst-spend",
        "campaign",
        "capacity",
        "enterprise",
    ]
    assert policy.inspect.max_body.bytes == 32 * 1024 * 1024
    assert policy.identity.sources[1].use == "api_key"


def test_the_smallest_policy() -> None:
    policy = loads("version: 1\nextends: guardrail:balanced\nmode: shadow\n", environ={})
    assert policy.mode == "shadow"
    assert {"requests", "tokens", "in-flight", "strangers", "capacity"} <= {limit.name for limit in policy.limits}


@pytest.mark.parametrize(("name", "mode"), [("guardrail:watch", "shadow"), ("guardrail:balanced", "enforce")])
def test_what_ships(name: str, mode: str) -> None:
    policy = load(name, environ={})
    assert (policy.mode, policy.store.url) == (mode, "memory://")
    assert policy.routes[0].exempt
    assert {"openai", "anthropic"} <= {route.dialect for route in policy.routes}


def test_a_policy_is_given_back_and_a_file_and_a_mapping_agree(tmp_path: Path, example: bytes) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(example)
    policy = load(path, environ={})
    assert load(policy) is policy
    again = load(policy.written())
    assert again == policy
    assert again.hash == policy.hash


def test_the_hash_is_of_what_it_says(example: bytes) -> None:
    base = loads(example, environ={}).hash
    assert base == loads(example.replace(b"# shadow", b"# other words"), environ={}).hash
    assert base == loads(example, environ={"GUARDRAIL_STORE": "redis://:password@host"}).hash
    assert base != loads(example.replace(b"120/minute", b"121/minute"), environ={}).hash
    assert len(base) == 16


def test_every_problem_at_once_in_order_with_its_line(problems: Problems) -> None:
    found = problems(
        "version: 1\n"
        "mode: enfore\n"
        "stor: {}\n"
        "store:\n"
        "  deadline:\n"
        "    25\n"
        "  processes: many\n"
        "routes:\n"
        "  - path: v1\n"
        "    exempt: yes\n"
        "  - {path: /v1/**, dialect: openai,\n"
        "     limits: [requests, tokns]}\n"
        "limits:\n"
        "  - name: requests\n"
        "    per: [account]\n"
        "    rate: 0/minute\n"
        "    brust: 3\n"
        "  - {name: tokens, per: [acount], rate: 60/fortnight}\n"
        "  - per: [account]\n"
        "  - {name: requests, per: [account], rate: 5/minute, replaces: rquests}\n"
    )
    assert [(problem.line, problem.path, problem.message, problem.hint) for problem in found] == [
        (2, "mode", "is 'enfore'; expected shadow, enforce or off.", "Did you mean `enforce`?"),
        (3, "stor", "is not a known key.", "Did you mean `store`?"),
        (
            6,
            "store.deadline",
            "is the number 25, not a text with its unit; expected a number and one of ms, s, m, h, d, such as 250ms or 30s.",
            "",
        ),
        (7, "store.processes", "is 'many'; expected a whole number.", "Write it in decimal digits."),
        (9, "routes[0].path", "does not begin with `/`.", "Write /v1."),
        (
            10,
            "routes[0].exempt",
            "is 'yes'; expected true or false.",
            "Only true and false, in lower case and without quotes, are booleans.",
        ),
        (12, "routes[1].limits[1]", "names `tokns`, which is no limit.", "Did you mean `tokens`?"),
        (
            16,
            "limits[0].rate",
            "is '0/minute', which is not above 0; expected an amount and a period, such as 60/minute or 5 per 2 hours.",
            "",
        ),
        (17, "limits[0].brust", "is not a known key.", "Did you mean `burst`?"),
        (
            18,
            "limits[1].per[0]",
            "is 'acount'; expected account, network, organisation, cluster, device, model or route.",
            "Did you mean `account`?",
        ),
        (
            18,
            "limits[1].rate",
            "is '60/fortnight', which is not in seconds, minutes, hours, days, months or years; expected an amount and a period, "
            "such as 60/minute or 5 per 2 hours.",
            "",
        ),
        (19, "limits[2].name", "is missing.", "Add `name: …`."),
        (20, "limits[3].name", "`requests` is the name of limits[0] too.", "Name each limit once."),
        (20, "limits[3].replaces", "names `rquests`, which is no limit.", "Did you mean `requests`?"),
    ]
    assert {problem.source for problem in found} == {"p.yaml"}


def test_the_error_prints_all_of_it(problems: Problems) -> None:
    with pytest.raises(PolicyError) as caught:
        loads("version: 1\nmode: on\nheaders: ietf\n", source="p.yaml", environ={})
    assert str(caught.value) == (
        "2 problems in the policy: \n"
        "  p.yaml:2: mode: is 'on'; expected shadow, enforce or off.\n"
        "  p.yaml:3: headers: is 'ietf'; expected a list. Put it in [ ]."
    )


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


@pytest.mark.parametrize("version", ["2", "'1'", "true", "1.0", "0"])
def test_the_version_is_one(problems: Problems, version: str) -> None:
    (problem,) = problems(f"version: {version}\n")
    assert (problem.path, problem.hint) == ("version", "Write `version: 1`.")
    assert problem.message.endswith("expected 1.")


def test_a_missing_version(problems: Problems) -> None:
    (problem,) = problems("mode: shadow\n")
    assert (problem.path, problem.message, problem.hint) == ("version", "is missing.", "Write `version: 1`.")


@pytest.mark.parametrize("section", LATER)
def test_sections_of_later_are_known_and_not_available(problems: Problems, section: str) -> None:
    (problem,) = problems(f"version: 1\n{section}: {{}}\n")
    assert (problem.line, problem.message) == (2, f"`{section}` is not available in this version.")


def test_a_misspelt_later_section_says_both(problems: Problems) -> None:
    (problem,) = problems("version: 1\nfrction: {}\n")
    assert problem.hint == "Did you mean `friction`? It is not available in this version."


def test_devices_are_refused_with_the_reason(problems: Problems) -> None:
    (problem,) = problems("version: 1\nlimits: [{name: a, per: [device], rate: 1/minute}]\n")
    assert (problem.path, problem.message) == (
        "limits[0].per",
        "names `device`, and device identity is not available in this version.",
    )


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


@pytest.mark.parametrize(
    "url",
    [
        "memory://",
        "redis://host",
        "redis://user:pass@host:6379/0?x=1",
        "rediss://host:1",
        "unix:///run/redis.sock",
        "redis+sentinel://a:26379,b:26379/mymaster",
        "redis+cluster://a:1,b:2",
        "redis://[::1]:6379",
    ],
)
def test_stores(url: str) -> None:
    assert load({"version": 1, "store": {"url": url}}).store.url == url


@pytest.mark.parametrize(
    "url",
    [
        "memory",
        "memory://x",
        "http://host",
        "redis://",
        "redis://host:port",
        "redis://host:99999",
        "unix://",
        "redis+sentinel://a",
        "redis ://h",
    ],
)
def test_places_that_are_no_store(problems: Problems, url: str) -> None:
    (problem,) = problems(f"version: 1\nstore:\n  url: '{url}'\n")
    assert (problem.path, problem.line) == ("store.url", 3)
    assert problem.hint


def test_plugins_own_settings_keep_their_places(problems: Problems) -> None:
    found = problems(
        "version: 1\nidentity:\n  sources:\n"
        "    - use: api_key\n      with:\n        trust: maybe\n        hedaers: [x-api-key]\n"
        "    - use: api_kye\n"
    )
    assert [(problem.line, problem.path) for problem in found] == [
        (6, "identity.sources[0].with.trust"),
        (7, "identity.sources[0].with.hedaers"),
        (8, "identity.sources[1].use"),
    ]
    assert found[1].hint == "Did you mean `headers`?"
    assert "Did you mean 'api_key'?" in found[2].message


def test_a_mapping_has_paths_and_no_lines() -> None:
    with pytest.raises(PolicyError) as caught:
        load(
            {
                "version": 1,
                "mode": "on",
                "limits": [{"name": "a", "per": ["account"], "rate": float("nan"), "when": None}],
                3: 4,
            }
        )
    assert [(problem.source, problem.line, problem.path) for problem in caught.value.problems] == [
        ("<mapping>", None, ""),
        ("<mapping>", None, "mode"),
        ("<mapping>", None, "limits[0].rate"),
    ]


def test_a_mapping_that_holds_itself() -> None:
    loop: dict[str, Any] = {"version": 1}
    loop["store"] = loop
    with pytest.raises(PolicyError, match="holds itself"):
        load(loop)


@pytest.mark.parametrize("name", ["/no/such/file.yaml", "guardrail:balancd", ".", "nul\0"])
def test_nothing_to_read(name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        load(name)
    (problem,) = caught.value.problems
    assert problem.source == name
    assert "guardrail:balanced" in problem.hint


def test_policies_do_not_change() -> None:
    policy = load({"version": 1})
    with pytest.raises(Exception, match="frozen"):
        policy.mode = "off"  # type: ignore[misc]


YAML = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["60/minute", "account", "requests", "${X}", "${", "guardrail:watch", "/v1/**", "30%", "usd", "1d", "memory://"]
    ),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "version",
                    "mode",
                    "extends",
                    "store",
                    "identity",
                    "routes",
                    "models",
                    "reserve",
                    "inspect",
                    "headers",
                    "limits",
                    "name",
                    "per",
                    "rate",
                    "unit",
                    "when",
                    "keep",
                    "burst",
                    "replaces",
                    "path",
                    "url",
                    "sources",
                    "use",
                    "with",
                    "names",
                    "budget",
                    "usd_per_million",
                    "input",
                    "output",
                    "friction",
                    "verdict",
                    "model",
                    "route",
                ]
            )
            | st.text(max_size=5),
            children,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def refused_or_read(load_it: Callable[[], Policy]) -> None:
    started = time.process_time()
    try:
        assert isinstance(load_it(), Policy)
    except PolicyError as error:
        assert error.problems
        assert all(isinstance(problem, Problem) and problem.message for problem in error.problems)
    assert time.process_time() - started < 2


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["version", "limits", "routes", "models", "store", "identity", "extends"]), YAML, max_size=5
    )
)
def test_any_mapping_is_read_or_refused(mapping: dict[str, Any]) -> None:
    refused_or_read(lambda: load({"version": 1, **mapping}, environ={"X": "5"}))


@settings(max_examples=150, deadline=None)
@given(YAML)
def test_any_yaml_is_read_or_refused(value: object) -> None:
    import yaml

    refused_or_read(lambda: loads(yaml.safe_dump({"version": 1, "limits": [value], "store": value}), environ={}))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet="ab:{}[]-&*!|>'\"%@`#,? \n\t\\$<", max_size=120).map(str.encode))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    refused_or_read(lambda: loads(text, environ={}))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_damaged_policy_is_read_or_refused(example: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(example) - 1))
    cut = data.draw(st.integers(0, 12))
    refused_or_read(lambda: loads(example[:at] + data.draw(st.binary(max_size=4)) + example[at + cut :], environ={}))
