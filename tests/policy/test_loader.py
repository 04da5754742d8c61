"""Loading: what is read, what is refused, where each problem stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guardrail_mw.errors import PolicyError, Problem
from guardrail_mw.policy import load, loads
from guardrail_mw.policy.document import LATER
from guardrail_mw.quantities import Rate

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


@pytest.mark.parametrize("tier", ["$${X}", "$$${X}", "$${", "a $${X:-b} $$ $c"])
def test_what_only_looks_like_a_variable_stays_so(tier: str) -> None:
    limit = {"name": "a", "per": ["account"], "rate": "5/minute", "when": {"tier": tier}}
    policy = load({"version": 1, "limits": [limit]}, environ={})
    assert policy.limits[0].when is not None
    assert policy.limits[0].when.tier == [tier.replace("$${", "${")]
    assert load(policy.written(), environ={"X": "other"}) == policy


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
            f"is '60/fortnight', which is not in seconds, minutes, hours, days, months or years; expected {Rate.expected}.",
            "",
        ),
        (19, "limits[2].name", "is missing.", "Add `name: …`."),
        (20, "limits[3].name", "`requests` is the name of limits[0] too.", "Name each limit once."),
        (20, "limits[3].replaces", "names `rquests`, which is no limit.", "Did you mean `requests`?"),
    ]
    assert {problem.source for problem in found} == {"p.yaml"}


def test_the_error_prints_all_of_it() -> None:
    with pytest.raises(PolicyError) as caught:
        loads("version: 1\nmode: on\nheaders: ietf\n", source="p.yaml", environ={})
    assert str(caught.value) == (
        "2 problems in the policy:\n"
        "  p.yaml:2: mode: is 'on'; expected shadow, enforce or off.\n"
        "  p.yaml:3: headers: is 'ietf'; expected a list. Put it in [ ]."
    )


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
    (problem,) = problems("version: 1\naudits: {}\n")
    assert problem.hint == "Did you mean `audit`? It is not available in this version."


@pytest.mark.parametrize(
    "rule",
    [
        "limits: [{name: a, per: [device], rate: 1/minute}]",
        "limits: [{name: a, per: [account, device], rate: 1/minute}]",
        "velocity: [{name: a, count: attempts, per: device, over: 1h}]",
        "velocity: [{name: a, distinct: device, per: account, over: 1h}]",
    ],
)
def test_a_rule_that_names_devices_has_them_told_apart_by_what_they_show(rule: str) -> None:
    """And sets no cookies that nobody asked for; what the policy says of devices stands."""
    policy = loads(f"version: 1\n{rule}\n")
    assert policy.identity.device is None
    used = policy.identity_in_use.device
    assert used is not None
    assert not used.cookie
    said = loads(f"version: 1\nidentity: {{device: {{}}}}\n{rule}\n")
    assert said.identity_in_use is said.identity
    assert loads("version: 1\n").identity_in_use.device is None


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
    odd: dict[Any, Any] = {3: 4}
    with pytest.raises(PolicyError) as caught:
        load(
            {
                "version": 1,
                "mode": "on",
                "limits": [{"name": "a", "per": ["account"], "rate": float("nan"), "when": None}],
                **odd,
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
        policy.mode = "off"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "friction: {ladder: [{at: 40, do: challenge}]}",
            [("friction.ladder[0].with.use", "is missing.", "Add `with: {use: …}`.")],
        ),
        (
            "friction: {ladder: [{at: 40, do: verify, use: x}]}",
            [
                ("friction.ladder[0].with.use", "is missing.", "Add `with: {use: …}`."),
                ("friction.ladder[0].use", "is not a known key here.", "Put it into `with`: `with: {use: …}`."),
            ],
        ),
        (
            "friction: {ladder: [{at: 40, do: delay, seconds: 2}]}",
            [("friction.ladder[0].seconds", "is not a known key here.", "Put it into `with`: `with: {seconds: …}`.")],
        ),
        (
            "identity: {sources: [{use: api_key}]}",
            [("identity.sources[0].with.trust", "is missing.", "Add `with: {trust: …}`.")],
        ),
        (
            "identity: {sources: [{use: api_key, with: {}}]}",
            [("identity.sources[0].with.trust", "is missing.", "Add `trust: …`.")],
        ),
        (
            "friction: {ladder: [{at: 40, do: delay, with: {seconds: 500ms}}]}",
            [("friction.ladder[0].with.seconds", "is '500ms'; expected a number.", "Write 0.5.")],
        ),
    ],
)
def test_what_belongs_into_with(problems: Problems, text: str, found: list[tuple[str, str, str]]) -> None:
    assert [(each.path, each.message, each.hint) for each in problems(f"version: 1\n{text}\n")] == found


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("per: [user], rate: 1/minute", "Did you mean `account`?"),
        ("per: [api-key], rate: 1/minute", "Did you mean `account`?"),
        ("per: [IP], rate: 1/minute", "Did you mean `network`?"),
        ("per: [organization], rate: 1/minute", "Did you mean `organisation`?"),
        ("per: [tenant], rate: 1/minute", "Did you mean `organisation`?"),
        ("per: [acount], rate: 1/minute", "Did you mean `account`?"),
        ("per: [account], rate: 60/m", "Write 60/minute."),
        ("per: [account], rate: '${RATE}'", ""),
        ("per: [account], window: 5 per 2 h", "Write 5 per 2 hours."),
        ("per: [account], rate: 1/minute, sha: 1", "Did you mean `shadow`?"),
    ],
)
def test_what_was_meant_is_proposed(problems: Problems, field: str, hint: str) -> None:
    """What a variable holds is not said, rewritten or not; a name that was begun is found before one that looks like it."""
    (problem,) = problems(f"version: 1\nlimits: [{{name: a, {field}}}]\n", RATE="60/m")
    assert problem.hint == hint


def test_sections_may_be_left_unread(tmp_path: Path) -> None:
    """In each file of a chain, whatever is wrong with them."""
    (tmp_path / "base.yaml").write_text("version: 1\nconsole: {token: '${B}'}\nreserve: {output: 7}\n")
    (tmp_path / "p.yaml").write_text("version: 1\nextends: base.yaml\nconsole: {token: '${A}', x: 1}\n")
    policy = load(tmp_path / "p.yaml", environ={}, without={"console"})
    assert (policy.console, policy.reserve.output) == (None, 7)
    given = {"version": 1, "console": {"token": "${A}"}}
    assert load(given, environ={}, without={"console"}).console is None
    assert given["console"] == {"token": "${A}"}
    with pytest.raises(PolicyError, match="the environment variable A"):
        load(given, environ={})
