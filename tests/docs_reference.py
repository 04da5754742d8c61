"""The parts of docs/reference that are made from the code: `python -m tests.docs_reference` writes them anew.

A page holds them between two comments, `<!-- made: policy StoreSettings -->` and `<!-- made -->`; what stands around them is
written by hand. `test_docs_reference.py` fails where a page says anything else than this makes, and where a key has no words.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from guardrail_mw.cli import main
from guardrail_mw.clusters.settings import (
    ApprovalSettings,
    ClustersSettings,
    FloorSettings,
    KindSettings,
    MaterialSettings,
    OrganisationSettings,
    VerdictSettings,
)
from guardrail_mw.conditions import WhenSettings
from guardrail_mw.friction.challenges.altcha import AltchaSettings
from guardrail_mw.friction.challenges.services import ServiceSettings
from guardrail_mw.friction.rungs import RungSettings, WaitSettings
from guardrail_mw.friction.settings import CapSettings, DelaysSettings, FrictionSettings
from guardrail_mw.friction.trim import TrimSettings
from guardrail_mw.friction.verification.identity import IdentitySettings as IdentityRungSettings
from guardrail_mw.friction.verification.providers.base import Worth
from guardrail_mw.friction.verification.providers.manual import ManualSettings
from guardrail_mw.friction.verification.providers.persona import PersonaLevel, PersonaSettings
from guardrail_mw.friction.verification.providers.simulated import SimulatedSettings
from guardrail_mw.friction.verification.providers.standard_webhooks import StandardWebhooksSettings
from guardrail_mw.friction.verification.providers.stripe_identity import StripeIdentitySettings, StripeLevel
from guardrail_mw.friction.verification.providers.sumsub import SumsubLevel, SumsubSettings
from guardrail_mw.friction.verification.providers.veriff import VeriffSettings
from guardrail_mw.friction.verification.settings import AppealsSettings, ProvidedSettings, VerificationSettings
from guardrail_mw.friction.verification.step_up import StepUpSettings
from guardrail_mw.identity.api_key_settings import ApiKeySettings, ListedKey
from guardrail_mw.identity.device_settings import DeviceSettings
from guardrail_mw.identity.header import HeaderSettings
from guardrail_mw.identity.jwt_settings import ClaimNames, JwtSettings
from guardrail_mw.identity.settings import AnonymousSettings, IdentitySettings, NetworkSettings, SourceSettings
from guardrail_mw.limits.settings import LimitSettings, ModelSettings, PriceSettings, ReserveSettings
from guardrail_mw.limits.velocity import VelocitySettings
from guardrail_mw.policy import InspectSettings, Policy, RouteSettings, StoreSettings
from guardrail_mw.policy.console import ConsoleSettings
from guardrail_mw.policy.endpoints import EndpointsSettings
from guardrail_mw.quantities import Budget, Duration, Quantity, Rate, Share, Size
from guardrail_mw.risk.automation import AutomationSettings
from guardrail_mw.risk.cluster import ClusterSettings
from guardrail_mw.risk.settings import RiskSettings, ScorerSettings
from guardrail_mw.risk.velocity import Ramp
from guardrail_mw.telemetry.jsonl import JsonlSettings
from guardrail_mw.telemetry.log import LogSettings
from guardrail_mw.telemetry.parquet import ParquetSettings
from guardrail_mw.telemetry.settings import SinkSettings, TelemetrySettings

from .console import reference as port

__all__ = ["MODELS", "PAGES", "WORDS", "commands", "make", "remade", "strays", "words"]

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PAGES = (REFERENCE / "policy.md", REFERENCE / "command-line.md", REFERENCE / "operators-port.md")
MADE = re.compile(r"(<!-- made: (?P<kind>\w+) (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- made -->)", re.DOTALL)
WIDTH = 100
QUANTITIES = {kind.pattern: kind.__name__.lower() for kind in (Budget, Duration, Rate, Share, Size)}

MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        Policy, StoreSettings, IdentitySettings, NetworkSettings, AnonymousSettings, SourceSettings, ApiKeySettings, ListedKey,
        JwtSettings, ClaimNames, HeaderSettings, RouteSettings, ReserveSettings, InspectSettings, ModelSettings, PriceSettings,
        LimitSettings, WhenSettings, DeviceSettings, VelocitySettings, RiskSettings, ScorerSettings, AutomationSettings,
        ClusterSettings, Ramp, AltchaSettings, ServiceSettings, StepUpSettings, EndpointsSettings,
        FrictionSettings, DelaysSettings, CapSettings, RungSettings, WaitSettings, TrimSettings,
        ClustersSettings, KindSettings, FloorSettings, MaterialSettings, OrganisationSettings, ApprovalSettings, VerdictSettings,
        TelemetrySettings, ConsoleSettings, SinkSettings, LogSettings, JsonlSettings, ParquetSettings,
        VerificationSettings, ProvidedSettings, AppealsSettings, Worth, ManualSettings, SimulatedSettings, PersonaLevel,
        PersonaSettings, StandardWebhooksSettings, StripeIdentitySettings, StripeLevel, SumsubLevel, SumsubSettings,
        VeriffSettings,
    )
} | {"IdentityRungSettings": IdentityRungSettings}  # fmt: skip
"""The sections of a policy, by the names that the pages call them."""

SPELLED_OUT = {
    "Hops", "OutputCap", "NoSettings", "PluginSettings",
    "DelaySettings", "TrimRungSettings", "ChallengeSettings", "VerifySettings", "DenySettings",
}  # fmt: skip
"""Sections that their page says in words, and rungs, which have the same keys."""

WORDS = {
    "Policy.store": "Where counters live: [store](#store).",
    "Policy.identity": "Whose a request is: [identity](#identity).",
    "Policy.routes": "How paths are treated: [routes](#routes). The first that matches wins whole.",
    "Policy.reserve": "What a request is assumed to use: [reserve](#reserve).",
    "Policy.inspect": "How much of bodies is read: [inspect](#inspect).",
    "Policy.limits": "What is limited: [limits](#limits).",
    "Policy.risk": "How suspicious requests are: [risk](#risk).",
    "Policy.friction": "What is done about it: [friction](#friction).",
    "Policy.endpoints": "Where the middleware's own paths are: [endpoints](#endpoints).",
    "Policy.telemetry": "Where events go: [telemetry](#telemetry).",
    "ClusterSettings.watched": "What the verdict `watched` is worth.",
    "ClusterSettings.suspect": "What `suspect` is worth.",
    "ClusterSettings.confirmed": "What `confirmed` is worth.",
    "FrictionSettings.delays": "How much waiting a process takes upon itself: [delays](#delays).",
    "CapSettings.when": "Who they are: [when](#when).",
    "ClustersSettings.floor": "Below what no cluster is judged: [floor](#floor).",
    "ClustersSettings.material": "From what on a cluster shares one budget: [material](#material).",
    "ClustersSettings.approval": "How much a verdict may do unseen: [approval](#approval).",
    "ClustersSettings.verdict": "From what on a cluster is suspect: [verdict](#verdict).",
    "IdentitySettings.network": "How addresses become networks: [network](#network).",
    "IdentitySettings.anonymous": "Who pays where no credential is presented: [anonymous](#anonymous).",
    "ListedKey.organisation": "The organisation that it belongs to.",
    "ListedKey.tier": "What `when: {tier: …}` matches.",
    "JwtSettings.claims": "Which claim tells what: [claims](#jwt-claims).",
    "JwtSettings.headers": "Headers that may hold a token; in `authorization` behind `Bearer`.",
    "ClaimNames.organisation": "The organisation that the account belongs to.",
    "ClaimNames.tier": "What `when: {tier: …}` matches.",
    "ClaimNames.acr": "The authentication context, which `identity.assurance` orders.",
    "ClaimNames.ial": "The identity assurance level (NIST SP 800-63), `2` or `ial2`.",
    "HeaderSettings.organisation": "The header that names the organisation.",
    "HeaderSettings.tier": "The header that names the tier.",
    "HeaderSettings.payment": "The header with a fingerprint of the payment method; only its keyed digest is kept.",
    "HeaderSettings.acr": "The header with the authentication context.",
    "HeaderSettings.ial": "The header with the identity assurance level.",
    "VerificationSettings.appeals": "Whether, and how, whoever is refused for risk may object: [appeals](#appeals).",
    "ModelSettings.usd_per_million": "Its price: [usd_per_million](#usd_per_million).",
    "PriceSettings.input": "Input that no cache spared.",
    "PriceSettings.output": "Output.",
    "WhenSettings.tier": "The account's tier, as its credential says.",
    "WhenSettings.verdict": "Of the account's cluster: [clusters](#clusters) makes it.",
    "WhenSettings.ial": "The identity assurance level.",
    "WhenSettings.method": "HTTP methods in capitals.",
}
"""What the models' own docstrings leave out."""


class _Schema(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Quantities as they are written; a section's default is its keys'."""
        if isinstance(dft, BaseModel):
            return {}
        if isinstance(dft, list):
            return [self.encode_default(each) for each in dft]
        return str(dft) if isinstance(dft, Quantity) else super().encode_default(dft)


def strays() -> set[str]:
    """Sections that a documented one refers to and that are not documented themselves."""
    below: set[str] = set()
    for model in MODELS.values():
        schema = model.model_json_schema(by_alias=True, schema_generator=_Schema)
        below |= {name for name, each in schema.get("$defs", {}).items() if each.get("type") == "object"}
    return below - MODELS.keys() - SPELLED_OUT


def words(model: type[BaseModel]) -> dict[str, str]:
    """What each key means, by the key: its docstring, inherited ones too, or `WORDS`; empty where nothing says it."""
    said: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, BaseModel) and each is not BaseModel:
            said |= _docstrings(each)
    return {
        info.alias or name: said.get(name) or WORDS.get(f"{model.__name__}.{name}", "")
        for name, info in model.model_fields.items()
    }


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    said: dict[str, str] = {}
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for line, following in pairwise(body.body):
        text = getattr(following.value, "value", None) if isinstance(following, ast.Expr) else None
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(text, str):
            said[line.target.id] = " ".join(text.split())
    return said


def make(kind: str, name: str) -> str:
    """The text between two comments."""
    return {"policy": lambda: _table(MODELS[name]), "help": lambda: _help(name), "port": lambda: port.make(name)}[kind]()


def remade(text: str) -> str:
    """A page with all that is made made anew."""
    return MADE.sub(lambda found: f"{found[1]}\n{make(found['kind'], found['name'])}\n{found[5]}", text)


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True, schema_generator=_Schema)
    required = schema.get("required", ())
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for key, meaning in words(model).items():
        said = schema["properties"][key]
        default = "required" if key in required else _default(said)
        lines.append(f"| `{key}` | {_value(said, schema)} | {default} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _default(said: dict[str, Any]) -> str:
    value = said.get("default")
    if value is None or value in ([], {}, "") or isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _value(said: dict[str, Any], schema: dict[str, Any]) -> str:  # noqa: PLR0911 - a form, a line
    if "$ref" in said:
        return "map" if said["$ref"].rpartition("/")[2] in MODELS else _value(_definition(said["$ref"], schema), schema)
    options = [each for each in said.get("anyOf", said.get("oneOf", ())) if each != {"type": "null"}]
    if options:
        return " or ".join(dict.fromkeys(_value(each, schema) for each in options))
    if "enum" in said or "const" in said:
        choices = said.get("enum", [said.get("const")])
        return ", ".join(f"`{str(each).lower() if isinstance(each, bool) else each}`" for each in choices)
    match said.get("type"):
        case "array":
            return f"list of {_value(said.get('items', {}), schema)}"
        case "boolean":
            return "`true`, `false`"
        case "integer" | "number" as number:
            return _number(said, "whole number" if number == "integer" else "number")
        case "string":
            return QUANTITIES.get(said.get("pattern", ""), "text")
    return "map"


def _definition(reference: str, schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found


def _number(said: dict[str, Any], word: str) -> str:
    low, high = said.get("minimum"), said.get("maximum")
    if "exclusiveMinimum" in said:
        return f"{word} above {said['exclusiveMinimum']}"
    if low is None:
        return word
    return f"{word}, {low} to {high}" if high is not None else f"{word} from {low}"


def commands() -> dict[str, click.Command]:
    """All commands in order, those of a group after it, by what a page calls them: `accounts`, `accounts-show`."""
    found: dict[str, click.Command] = {"guardrail-mw": main}
    for name, command in main.commands.items():
        found[name] = command
        below = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name}-{each}": one for each, one in below.items()}
    return found


def _help(name: str) -> str:
    command = commands()[name]
    title = "guardrail-mw" if command is main else f"guardrail-mw {name.replace('-', ' ')}"
    context = click.Context(command, info_name=title, terminal_width=WIDTH, help_option_names=["-h", "--help"])
    return f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(remade(page.read_text()))
