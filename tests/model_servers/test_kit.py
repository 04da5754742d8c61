"""What the parts say fits the examples they mount."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from guardrail_mw.policy import load

from .kit import KINDS, ROOT, Part, Place, amended, api_of

HERE = Path(__file__).parent
NAMES = sorted(
    file.stem for file in HERE.glob("*.py") if "\nPART = " in file.read_text() and not file.stem.startswith("test_")
)
PARTS: list[Part] = [importlib.import_module(f".{name}", __package__).PART for name in NAMES]
PATHS = {
    "models": ("GET", "/v1/models"),
    "chat": ("POST", "/v1/chat/completions"),
    "completions": ("POST", "/v1/completions"),
    "embeddings": ("POST", "/v1/embeddings"),
    "responses": ("POST", "/v1/responses"),
    "messages": ("POST", "/v1/messages"),
}
parts = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)


def document(part: Part) -> dict[str, Any]:
    """The policy of the example that a part mounts."""
    policy: dict[str, Any] = yaml.safe_load((ROOT / "examples" / part.example / "policy.yaml").read_text())
    return policy


def test_there_are_parts() -> None:
    assert {"litellm_proxy", "llama_cpp", "transformers_serve"} <= {*NAMES}
    assert [part.name for part in PARTS] == NAMES
    assert {api_of(kind) for kind in KINDS} == PATHS.keys()


@parts
def test_requirements_are_pinned(part: Part) -> None:
    assert all("==" in each for each in (*part.first, *part.requirements))
    assert any(each.partition("==")[0].partition("[")[0] == part.package for each in part.requirements)


@parts
def test_the_example_is_complete(part: Part) -> None:
    folder = ROOT / "examples" / part.example
    assert (folder / "policy.yaml").exists()
    assert list(folder.glob("*.py"))


@parts
def test_the_policy_of_a_run_loads_and_guards_what_is_called(part: Part, tmp_path: Path) -> None:
    """Where no route takes them out, the three limits hold wherever chat is called, and requests wherever models are."""
    policy = load(amended(document(part), tmp_path / "events.jsonl"))
    assert policy.mode == "enforce"
    assert {"requests", "tokens", "spend"} <= {limit.name for limit in policy.limits}
    for api in {api_of(kind) for kind in part.calls}:
        named = next((route.limits for route in policy.routes if any(_holds(str(path), api) for path in route.path)), None)
        assert named is None or {*named} >= ({"requests"} if api == "models" else {"requests", "tokens", "spend"})


def _holds(pattern: str, api: str) -> bool:
    path = PATHS[api][1]
    return path == pattern or (pattern.endswith("/**") and (path + "/").startswith(pattern[:-2]))


@parts
def test_the_key_is_one_of_the_policys_or_the_servers(part: Part) -> None:
    for source in document(part)["identity"]["sources"]:
        settings = source["with"]
        digests = {key["sha256"] for key in settings.get("keys", ())}
        assert settings["trust"] == "app" or hashlib.sha256(part.key.encode()).hexdigest() in digests


def test_amended_keeps_the_rest_of_a_policy(tmp_path: Path) -> None:
    mine = {
        "version": 1,
        "mode": "shadow",
        "routes": [{"path": "/v1/**"}],
        "limits": [{"name": "requests", "rate": "1/hour"}, {"name": "slots", "concurrency": 2}],
    }
    made = amended(mine, tmp_path / "events.jsonl")
    assert made["mode"] == "enforce"
    assert made["routes"] == mine["routes"]
    assert [limit["name"] for limit in made["limits"]] == ["requests", "tokens", "spend", "slots"]
    assert made["limits"][0]["rate"] == "90/hour"
    assert made["telemetry"] == {"events": [{"use": "jsonl", "with": {"path": str(tmp_path / "events.jsonl")}}]}


def test_fields_are_filled_in_and_other_braces_stay(tmp_path: Path) -> None:
    place = Place(tmp_path / "bin" / "python", tmp_path / "bin", tmp_path, HERE, 20_001)
    assert place.fill("{bin}/serve {port} {url}/v1") == f"{tmp_path}/bin/serve 20001 http://127.0.0.1:20001/v1"
    assert place.fill('{"folder": "{folder}", "{other}": {}}') == f'{{"folder": "{tmp_path}", "{{other}}": {{}}}}'


def test_a_part_that_cannot_be() -> None:
    part = PARTS[0]
    values = {name: getattr(part, name) for name in Part.__slots__}
    with pytest.raises(ValueError, match="no such call: chat_slowly"):
        Part(**{**values, "calls": ("chat", "chat_slowly")})
    with pytest.raises(ValueError, match="of silent"):
        Part(**{**values, "calls": ("chat",), "silent": ("chat_stream",)})
