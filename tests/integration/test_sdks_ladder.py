"""The official Python clients on each rung of the ladder: what slows or trims them succeeds, what refuses is an error of theirs.

Challenges that are solved are in `test_challenges`, identity verification in `test_verification`. No time passes but on the
server's clock, which a delay moves on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from inspect import isawaitable
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.cli.demo.model import answer

from ..asgi.kit import left, policy  # noqa: TID252 - the kit of the pipeline's tests
from ..identity.kit import NOW, jwt_source, token  # noqa: TID252 - an issuer with real keys
from .serving import Stage
from .test_sdks import KEY, KINDS, PROMPT, TOKENS, WHOLE, Caller, code, decision
from .verifying import ROBOT

pytestmark = pytest.mark.anyio

ALTCHA = {"use": "altcha", "cost": 5, "prefix": "0"}
STEP_UP = {"use": "step_up", "acr": "urn:example:kyc", "max_age": "5m", "url": "https://account.example/verify"}
SIGN_IN = "Sign in again, as strongly and as lately as is asked for"
CUT = answer("demo-small", PROMPT, 16)
"""The first 16 tokens of the answer."""


def document(**rung: Any) -> dict[str, Any]:
    """A robot's every request is suspicious by two families: what it says of itself, and that it asks at all."""
    found = policy(
        TOKENS,
        velocity=[{"name": "attempts", "count": "attempts", "per": "account", "over": "10m"}],
        risk={
            "scorers": [
                {"use": "automation", "with": {"headless": 80}},
                {"use": "velocity", "with": {"attempts": {"from": 0, "full": 1}}},
            ]
        },
        friction={"ladder": [{"at": 75, **rung}], "hysteresis": 0, "decay": "1s"},
    )
    found["identity"]["sources"].insert(0, jwt_source())
    found["identity"]["assurance"] = ["urn:example:basic", "urn:example:kyc"]
    return found


class Model:
    """The example model server; notes what reached it, and when by the stage's clock."""

    def __init__(self, stage: Stage) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.at: list[int] = []
        self._stage = stage
        self._app = model_server(pace=0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.at.append(self._stage.clock.monotonic())
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        assert [value for name, value in scope["headers"] if name == b"content-length"] == [b"%d" % len(body)]
        self.bodies.append(json.loads(body))

        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            return next(messages, None) or await receive()

        await self._app(scope, again, send)


class Robot(Caller):
    """A client that says of itself what a browser without a screen says, and may try again twice."""

    def __init__(self, kind: str, url: str, credential: str = KEY) -> None:
        super().__init__(kind, url, retries=2)
        given = {"api_key": credential}
        if kind.startswith("anthropic") and credential != KEY:  # its keys have a header of their own
            self.client.api_key, given = None, {"auth_token": credential}
        self.client = self.client.with_options(default_headers={"user-agent": ROBOT}, **given)

    async def raw(self, **more: Any) -> tuple[Mapping[str, str], int]:
        """One question: the answer's headers, and the tokens that it says it is long."""
        resource = self.client.chat.completions if self.kind.startswith("openai") else self.client.messages
        found = await self._do(resource.with_raw_response.create, **self._asked(**more))
        parsed = found.parse()
        usage = (await parsed if isawaitable(parsed) else parsed).usage
        return found.headers, getattr(usage, "completion_tokens", 0) or usage.output_tokens


@pytest.mark.parametrize("kind", KINDS)
async def test_a_delay_is_waited_before_the_model_is_asked(kind: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of the jitter is what the policy says."""
    monkeypatch.setattr("guardrail_mw.engine.judgement.random", lambda: 0.5)
    model = Model(stage)
    guardrail = stage.guard(document(do="delay", **{"with": {"seconds": 2}}), model)
    async with Robot(kind, stage.url) as robot:
        assert await robot.ask() == (WHOLE.text, WHOLE.input, WHOLE.output)
        assert await robot.stream() == (WHOLE.text, WHOLE.input, WHOLE.output)
        headers, _ = await robot.raw()
        assert "x-guardrail-trimmed" not in headers
    assert model.at == [2_000_000, 4_000_000, 6_000_000]
    assert stage.hits == 3
    await stage.quiet()
    assert [(event["decision"], event["delay_ms"]) for event in guardrail.recorder.latest(9)] == [("delay", 2_000)] * 3


ASKED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "openai": (
        {"max_tokens": 2_048, "n": 2, "logprobs": True, "top_logprobs": 5, "temperature": 0.5},
        {"max_tokens": 16, "n": 1, "temperature": 0.5},
        "logprobs, n, max_tokens",
    ),
    "anthropic": (
        {"max_tokens": 2_048, "thinking": {"type": "enabled", "budget_tokens": 1_024}, "stop_sequences": ["END"]},
        {"max_tokens": 16, "thinking": {"type": "disabled"}, "stop_sequences": ["END"]},
        "reasoning, max_tokens",
    ),
}
"""By SDK: parameters of the client's, what the model is asked instead, and what the answer says of that."""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_trim_takes_parameters_and_the_answer_says_which(kind: str, stage: Stage) -> None:
    given, gone_on, named = ASKED[kind.partition(" ")[0]]
    model = Model(stage)
    rewrite = ["logprobs", "n", "reasoning", {"max_tokens": 16}]
    guardrail = stage.guard(document(do="trim", **{"with": {"rewrite": rewrite}}), model)
    async with Robot(kind, stage.url) as robot:
        headers, length = await robot.raw(**given)
        assert (headers["x-guardrail-trimmed"], length) == (named, 16)
        asked = {"model": "demo-small", "messages": [{"role": "user", "content": PROMPT}]}
        assert model.bodies == [{**asked, **gone_on}]
        assert await robot.stream() == (CUT.text, CUT.input, 16)
        headers, length = await robot.raw(max_tokens=8)
        assert ("x-guardrail-trimmed" in headers, length) == (False, 8)
        assert model.bodies[2] == {**asked, "max_tokens": 8}
    assert stage.hits == 3
    await stage.quiet()
    assert await left(guardrail) == {"tokens": 100_000 - 3 * CUT.input - 16 - 16 - 8}


class Refused(NamedTuple):
    """What a rung makes of a request, as its client is told."""

    rung: dict[str, Any]
    error: str
    """Of both SDKs, by its name."""
    status: int
    code: str
    message: str
    told: Mapping[str, Any] = MappingProxyType({})
    """Of the error's other members."""
    signed_in: bool = False
    """Whether its credential is a token; else it is a key."""
    asks: str | None = None
    """`www-authenticate`."""


REFUSED = {
    "deny": Refused(
        {"do": "deny"},
        "PermissionDeniedError",
        403,
        "denied",
        "The request was refused: it looks like part of an automated campaign.",
    ),
    "trim": Refused(
        {"do": "trim", "with": {"refuse": [{"max_tokens": 32}]}},
        "PermissionDeniedError",
        403,
        "parameters_refused",
        "These parameters are not available to this account at present: max_tokens.",
    ),
    "challenge": Refused(
        {"do": "challenge", "with": ALTCHA},
        "PermissionDeniedError",
        403,
        "challenge_required",
        "A challenge must be solved first. It takes a moment, and is for this account alone.",
        {"expires_at": "2026-01-01T00:05:00Z"},
    ),
    "step_up": Refused(
        {"do": "verify", "with": STEP_UP},
        "AuthenticationError",
        401,
        "verification_required",
        f"{SIGN_IN}.",
        {"acr_values": "urn:example:kyc", "max_age": 300, "verification_url": "https://account.example/verify"},
        signed_in=True,
        asks=f'Bearer error="insufficient_user_authentication", error_description="{SIGN_IN}", '
        'acr_values="urn:example:kyc", max_age="300"',
    ),
    "step_up of a key": Refused(
        {"do": "verify", "with": STEP_UP},
        "PermissionDeniedError",
        403,
        "verification_required",
        "The account must be verified first.",
        {"verification_url": "https://account.example/verify"},
    ),
}


@pytest.mark.parametrize("rung", REFUSED)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_rung_that_refuses_is_an_error_of_theirs_and_not_retried(kind: str, rung: str, stage: Stage) -> None:
    expected = REFUSED[rung]
    model = Model(stage)
    guardrail = stage.guard(document(**expected.rung), model)
    credential = token().decode() if expected.signed_in else KEY
    async with Robot(kind, stage.url, credential) as robot:
        with pytest.raises(getattr(robot.module, expected.error)) as caught:
            await robot.ask()
    error: Any = caught.value
    assert (error.status_code, code(error)) == (expected.status, expected.code)
    assert expected.message in str(error)
    headers = error.response.headers
    assert (headers["x-should-retry"], headers.get("www-authenticate")) == ("false", expected.asks)
    assert "retry-after" not in headers
    decision(error)
    body = error.body["error"]["details"] if kind.startswith("anthropic") else error.body
    assert {name: body[name] for name in expected.told} == expected.told
    assert ("challenge" in body) == (rung == "challenge")
    assert (stage.hits, model.bodies) == (1, [])
    await stage.quiet()
    assert await left(guardrail, [(b"authorization", f"Bearer {credential}".encode())]) == {"tokens": 100_000}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_with_what_was_asked_for_passes(kind: str, stage: Stage) -> None:
    stage.guard(document(do="verify", **{"with": STEP_UP}))
    async with Robot(kind, stage.url, token(acr="urn:example:kyc", auth_time=NOW).decode()) as robot:
        assert await robot.ask() == (WHOLE.text, WHOLE.input, WHOLE.output)
    async with Robot(kind, stage.url, token(acr="urn:example:basic", auth_time=NOW).decode()) as robot:
        with pytest.raises(robot.module.AuthenticationError):
            await robot.ask()
    assert stage.hits == 2
