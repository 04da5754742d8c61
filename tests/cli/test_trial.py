"""`guardrail-mw try`: route, caller, cost, limits and answer, of one request or many."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from guardrail_mw.clock import SystemClock

Run = Callable[..., Result]

KEY = "sk-secret-of-alice"
POLICY = """\
version: 1
mode: enforce
identity:
  sources:
    - use: api_key
      with: {trust: keys, keys: [{sha256: SHA, account: alice, tier: paid}]}
routes:
  - {path: /health, exempt: true}
  - {path: /v1/messages/**, dialect: anthropic}
  - {path: /v1/**, dialect: openai}
reserve: {output: 100}
models:
  large: {names: [large-*], usd_per_million: {input: 3, output: 15}}
limits:
  - {name: requests, per: [account], rate: 60/minute, burst: 3}
  - {name: tokens, per: [account, model], unit: tokens, rate: 6000/minute}
  - {name: in-flight, per: [account], concurrency: 2}
  - {name: spend, per: [account], unit: usd, budget: 0.01/day}
  - {name: watched, per: [account], unit: output_tokens, window: 150/hour, shadow: true}
  - {name: capacity, per: [], rate: 100/second}
"""
CHAT = {"model": "large-1", "messages": [{"role": "user", "content": "x" * 40}], "max_tokens": 50}


@pytest.fixture(autouse=True)
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock that `try` starts from, far from the end of a day."""
    monkeypatch.setattr(SystemClock, "now", lambda _: 1_767_268_800_000_000)


@pytest.fixture
def attempt(run: Run, policy: Callable[[str], str]) -> Callable[..., Result]:
    name = policy(POLICY.replace("SHA", sha256(KEY.encode()).hexdigest()))

    def attempts(request: Any, *options: str) -> Result:
        return run("try", name, "-", *options, text=json.dumps(request))

    return attempts


def ask(**rest: Any) -> dict[str, Any]:
    return {"path": "/v1/chat/completions", "headers": {"Authorization": f"Bearer {KEY}"}, "body": CHAT, **rest}


def test_a_request_that_passes(attempt: Callable[..., Result]) -> None:
    result = attempt(ask())
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "POST /v1/chat/completions"
    assert lines[1] == "Route /v1/**, in the openai dialect"
    assert lines[2].startswith("Caller account a:")
    assert lines[2].endswith("proved by api_key, tier paid")
    assert lines[3] == "(the digest is this run's: GUARDRAIL_ID_KEY is not set)"
    assert lines[4] == "Model large-1 (counts as large); likely to use 10 tokens of input, 50 of output"
    limits = lines[lines.index("Limits") + 1 : lines.index("Answer the app's, with these fields")]
    assert limits == [
        "requests 1 request of 60/minute; then 2 left",
        "tokens 60 tokens of 6000/minute; then 5940 left",
        "in-flight 1 slot of 2; then 1 left",
        "spend $0.000780 of 0.01/day; then $0.009220 left",  # 10 × $3 + 50 × $15 a million
        "watched 50 output tokens of 150/hour; then 100 left",
        "capacity 1 request of 100/second; then 99 left",
    ]
    assert any(line.startswith('ratelimit: "requests";r=2;') for line in lines)
    assert KEY not in result.output


def test_the_digest_is_everybodys_where_its_key_is_set(
    attempt: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDRAIL_ID_KEY", "0" * 32)
    first, second = attempt(ask()).stdout, attempt(ask()).stdout
    assert "the digest is this run's" not in first
    assert first.splitlines()[2] == second.splitlines()[2]


def test_repeated_it_is_refused_and_what_shadow_says_is_said(attempt: Callable[..., Result]) -> None:
    runs = attempt(ask(), "--repeat", "5").stdout.partition("Sent 5 times, one after another, in no time\n")[2]
    assert [" ".join(line.split()) for line in runs.splitlines()[:2]] == [
        "1 to 3 passed on",
        "4 to 5 refused: 429, beyond requests",
    ]


def test_time_may_pass_between(attempt: Callable[..., Result]) -> None:
    """A token a second: three at the start, then as many as come. $0.00078 each of $0.01: the thirteenth is too much."""
    runs = attempt(ask(), "--repeat", "14", "--every", "1s").stdout.partition("Sent 14 times, one every 1s\n")[2]
    assert [" ".join(line.split()) for line in runs.splitlines()[:2]] == [
        "1 to 12 passed on",
        "13 to 14 refused: 429, beyond spend",
    ]


def test_a_bad_duration_is_2(attempt: Callable[..., Result]) -> None:
    result = attempt(ask(), "--every", "soon")
    assert result.exit_code == 2
    assert "Invalid value for '--every'" in result.stderr


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_an_unknown_key(attempt: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("GUARDRAIL_MODE", mode)
    result = attempt(ask(headers={"x-api-key": "sk-invented-key"}))
    assert result.exit_code == 0
    assert "a key that nobody knows" in result.stdout
    assert "sk-invented-key" not in result.output
    if mode == "enforce":
        assert "Answer   401" in result.stdout
        assert '"code": "invalid_api_key"' in " ".join(result.stdout.split())
    else:
        assert "the app's, because the mode is shadow; in enforce 401: The API key is not valid." in result.stdout


def test_a_bad_body_in_the_routes_dialect(attempt: Callable[..., Result]) -> None:
    result = attempt({"path": "/v1/messages", "body": '{"model": "a", "model": "b"}'})
    assert "Caller   no credential: its network n:" in result.stdout
    assert "Answer   400" in result.stdout
    assert '"error_code": "duplicate_key"' in " ".join(result.stdout.split())


def test_what_is_never_guarded(attempt: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    assert attempt({"path": "/health"}).stdout == "GET /health\nPasses untouched: its route is exempt.\n"
    monkeypatch.setenv("GUARDRAIL_MODE", "off")
    assert attempt(ask()).stdout == "POST /v1/chat/completions\nPasses untouched: the mode is off.\n"


def test_what_matches_no_route_is_guarded(attempt: Callable[..., Result]) -> None:
    result = attempt({"path": "/else", "client": "2001:db8::1"})
    assert "Route    none of the policy's; errors are problem details" in result.stdout
    assert "requests                      1 request  of 60/minute; then 2 left" in result.stdout


def test_a_key_that_only_the_app_can_prove(run: Run) -> None:
    result = run("try", "guardrail:balanced", "-", text=json.dumps(ask()))
    assert "a key that nobody has proved yet (api_key): its network n:" in result.stdout


def test_a_file_that_cannot_be_read_is_2(run: Run) -> None:
    result = run("try", "guardrail:balanced", "nowhere.json")
    assert result.exit_code == 2
    assert result.stderr == "nowhere.json cannot be read: no such file or directory.\n"


def test_the_first_that_comes_out_otherwise_is_told_too(attempt: Callable[..., Result]) -> None:
    """Three go through; the fourth would be the fourth in the shadow window too: 50 output tokens each, of 150."""
    other = attempt(ask(), "--repeat", "4").stdout.partition("\nNumber 4\n")[2]
    lines = [" ".join(line.split()) for line in other.splitlines()]
    assert "requests 1 request of 60/minute: REFUSES, 0 left; room in 1 s" in lines
    assert "tokens 60 tokens of 6000/minute; 5820 left" in lines
    watched = next(line for line in lines if line.startswith("watched"))
    assert watched.startswith("watched 50 output tokens of 150/hour: REFUSES (shadow: recorded only), 0 left; room in ")
    assert "Answer 429, with these fields" in lines
    assert "x-should-retry: true" in lines


def test_nothing_is_written_to_the_policys_sinks(run: Run, policy: Callable[[str], str], tmp_path: Path) -> None:
    """Nor is its operator's port opened; what was tried is what would be told."""
    more = (
        "telemetry: {metrics: true, events: [{use: jsonl, with: {path: events.jsonl}}]}\n"
        "console: {token: Xb2-operators-token-for-this-test-0q9}\n"
    )
    result = run("try", policy(POLICY.replace("SHA", sha256(KEY.encode()).hexdigest()) + more), "-", text=json.dumps(ask()))
    assert result.exit_code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["policy.yaml"]


def test_columns_are_as_wide_as_what_stands_in_them(run: Run, policy: Callable[[str], str]) -> None:
    name = "a-name-as-long-as-a-name-of-a-limit-is"
    limits = (
        "version: 1\nmode: enforce\nroutes: [{path: /v1/**, dialect: openai}]\nlimits:\n"
        "  - {name: output, per: [network], unit: output_tokens, rate: 9000/minute}\n"
        f"  - {{name: {name}, per: [network], rate: 60/minute}}\n"
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    said = run("try", policy(limits), "-", text=json.dumps({"path": "/v1/chat/completions", "body": body})).stdout
    rows = said.partition("Limits\n")[2].splitlines()[:2]
    assert rows == [
        f"  {'output':<{len(name)}} 1024 output tokens  of 9000/minute; then 7976 left",
        f"  {name} {'1 request':>18}  of 60/minute; then 59 left",
    ]


def test_a_browser_that_is_asked_to_solve_something_gets_a_page(tmp_path: Path, run: Run) -> None:
    policy = tmp_path / "asks.yaml"
    policy.write_text(
        "{version: 1, mode: enforce, risk: {scorers: [{use: automation, with: {headless: 100}}]},"
        " friction: {ladder: [{at: 50, do: challenge, with: {use: altcha}}]}}"
    )
    headers = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36"}
    for accept, told in (("text/html", "  a page for browsers, of "), ("application/json", '"code": "challenge_required"')):
        request = {"path": "/", "method": "GET", "headers": {**headers, "accept": accept}}
        result = run("try", str(policy), "-", text=json.dumps(request))
        assert result.exit_code == 0, result.output
        assert "Answer   403" in result.stdout
        assert told in result.stdout
