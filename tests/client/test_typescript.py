"""The TypeScript example, compiled, with the official JavaScript clients from npm by their names."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .server import MESSAGE, SLOW, Guarded
from .typescript import compiled

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("typescript.mjs")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenarios beside the example."""
    return compiled(SCRIPT, tmp_path_factory.mktemp("npm"))


def run(script: Path, server: Guarded, scenario: str, **options: Any) -> Any:
    """What came of it."""
    command = ["node", str(script), server.url, scenario, json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def counts(server: Guarded) -> tuple[int, int]:
    """Requests to the model, and answers."""
    return len(server.asked), len(server.answered)


@pytest.mark.parametrize(
    ("scenario", "found"), [("openai", "Hello."), ("anthropic", "Hello."), ("stream", ["Hel", "lo."]), ("get", None)]
)
def test_it_solves_and_sends_again_once(script: Path, server: Guarded, scenario: str, found: Any) -> None:
    ran = run(script, server, scenario)
    assert (ran["status"] if found is None else ran) == (found or 200)
    assert counts(server) == (2, 1)
    assert server.bodies[0] == server.bodies[1]
    assert not {"authorization", "x-api-key", "cookie"} & set(server.answered[0].headers)


def test_an_upload_is_sent_again(script: Path, server: Guarded) -> None:
    assert int(run(script, server, "upload")) > 20_000
    assert counts(server) == (2, 1)


def test_a_refused_answer_is_the_server_s_403(script: Path, server: Guarded) -> None:
    server.satisfied = False
    found = run(script, server, "refused")
    assert MESSAGE in found.pop("message")
    assert found == {"known": True, "code": "challenge_required", "type": "altcha", "warnings": []}
    assert counts(server) == (1, 1)


def test_one_more_in_the_place_of_one_that_was_spent(script: Path, server: Guarded) -> None:
    server.spent = 1
    assert run(script, server, "get")["status"] == 200
    assert counts(server) == (2, 2)
    server.reset()
    server.spent = 2
    assert run(script, server, "get")["status"] == 403
    assert counts(server) == (1, 2)


def test_cookies_of_answers_are_kept(script: Path, server: Guarded) -> None:
    server.device = True
    for found in run(script, server, "cookies"):
        assert sorted(each.partition("=")[0] for each in found["body"]["cookie"].split("; ")) == [
            "clearance",
            "device",
            "mine",
        ]
    assert counts(server) == (3, 1)


def test_another_server_gets_nothing(script: Path, server: Guarded) -> None:
    port = server.url.rpartition(":")[2]
    for endpoint in (
        f"http://localhost:{port}/.guardrail/challenge",
        f"//localhost:{port}/",
        "javascript:alert(1)",
        "http://[",
    ):
        server.endpoint = endpoint
        found = run(script, server, "get")
        assert found["status"] == 403
        assert found["warnings"][0].startswith("a challenge was not solved: the answer is wanted at another server, "), (
            endpoint
        )
    assert counts(server) == (4, 0)
    server.endpoint = f"http://localhost:{port}/.guardrail/challenge"
    assert run(script, server, "get", origins=[f"http://localhost:{port}"])["status"] == 200


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cost": 10**9}, "it is too hard: 16000000000 rounds of hashing on average"),
        ({"keyPrefix": "00000"}, "it is too hard"),
        ({"algorithm": "SCRYPT"}, "its algorithm is not known"),
        ({"nonce": "zz"}, "it cannot be read"),
        ({"cost": "50"}, "it cannot be read"),
    ],
)
def test_absurd_work_is_not_begun(script: Path, server: Guarded, changed: dict[str, Any], said: str) -> None:
    server.change = lambda challenge: challenge["parameters"].update(changed)
    found = run(script, server, "get")
    assert found["status"] == 403
    assert found["warnings"][0].startswith(f"a challenge was not solved: {said}")
    assert counts(server) == (1, 0)


def test_its_time_is_bounded(script: Path, server: Guarded) -> None:
    server.change = lambda challenge: challenge.update(parameters=dict(SLOW))
    found = run(script, server, "get", longest=0.05)
    assert (found["status"], found["warnings"]) == (403, ["a challenge was not solved: its time was up"])
    assert run(script, server, "aborted") == "AbortError"
    assert counts(server) == (2, 0)


def test_twenty_at_once_solve_one(script: Path, server: Guarded) -> None:
    server.meeting = 20
    assert run(script, server, "together") == [200] * 20
    assert counts(server) == (40, 1)


def test_whoever_relied_in_vain_solves(script: Path, server: Guarded) -> None:
    server.meeting = 2
    assert run(script, server, "relied") == [200, 200]
    assert counts(server) == (5, 2)


def test_a_stream_is_not_sent_again(script: Path, server: Guarded) -> None:
    found = run(script, server, "body")
    assert (found["status"], counts(server)) == (403, (1, 0))
    assert found["warnings"] == ["a challenge was not solved: the request's body is a stream that cannot be sent again"]
