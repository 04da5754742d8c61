"""Verification on real things: the official clients, a provider that sends webhooks over HTTP, shared stores, two processes.

What comes to several at once is in `test_verification_races`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from guardrail_mw import Guardrail, GuardrailMiddleware
from guardrail_mw.cli.demo.app import model_server
from guardrail_mw.engine.ground import CASE, history
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.processes import HOST, free_port
from guardrail_mw.testing.servers import Server

from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .served import plain
from .serving import Stage, staged
from .test_sdks import KINDS, WHOLE, Caller, code
from .test_servers import Running
from .verifying import (
    OURS,
    PROVIDERS,
    ROBOT,
    SECRETS,
    SERVERS,
    Office,
    Own,
    Person,
    Sumsub,
    document,
    standard,
    sumsub,
)

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
DENIED = (openai.PermissionDeniedError, anthropic.PermissionDeniedError)


class Robot(Caller):
    """A client that says of itself what a browser without a screen says."""

    def __init__(self, kind: str, url: str, key: str = "sk-0123456789-1a2b") -> None:
        super().__init__(kind, url, retries=2)
        self.client = self.client.with_options(api_key=key, default_headers={"user-agent": ROBOT})

    async def refused(self) -> dict[str, Any]:
        """What the error says, where each client finds it."""
        with pytest.raises(DENIED, match="must be verified") as caught:
            await self.ask()
        assert code(caught.value) == "verification_required"
        error: Any = caught.value
        body = error.body
        found: dict[str, Any] = body["error"]["details"] if self.module is anthropic else body
        return found

    async def passes(self) -> None:
        """One question, answered."""
        assert await self.ask() == (WHOLE.text, WHOLE.input, WHOLE.output)


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    async with serving(Own()) as found:
        assert isinstance(found, Own)
        yield found


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", KINDS)
async def test_refused_verified_let_through_and_refused_again(kind: str, provider: str, stage: Stage) -> None:
    make, settings, onward = PROVIDERS[provider]
    async with serving(make()) as service, Robot(kind, stage.url) as robot:
        stage.guard(document(stage.url, settings(service.url)))
        await robot.passes()
        await stage.quiet()
        error = await robot.refused()
        assert stage.hits == 2  # no SDK tries again by itself
        assert error["expires_at"] == "2026-01-08T00:00:00Z"
        assert error["verification_url"].startswith(f"{stage.url}{OURS}/verify/")
        assert error["appeal_url"].startswith(f"{stage.url}{OURS}/appeal/")

        person, office = Person(error["verification_url"]), Office(service)
        page = await person.looks()
        assert page.status == 200
        assert all(text in page.text for text in ("Example AI", "…1a2b"))
        gone = await person.sends(consent="yes")
        assert (gone.status, gone.location.startswith(onward)) == (303, True)
        assert (await person.state())["state"] == "pending"
        await robot.refused()

        assert await office.says(stage.url, "approved") == ["noted"]
        await robot.passes()
        assert (await person.state())["state"] == "approved"
        async with Robot(kind, stage.url, "sk-0123456789-3c4d") as other:
            await other.passes()
            await stage.quiet()
            await other.refused()

        assert await office.says(stage.url, "withdrawn") == ["noted"]
        await robot.refused()
        assert (await person.state())["state"] == "withdrawn"


@pytest.mark.parametrize("kind", KINDS)
async def test_an_appeal_by_the_link_of_the_refusal(kind: str, stage: Stage, service: Own) -> None:
    guardrail = stage.guard(document(stage.url, standard(service.url)))
    async with Robot(kind, stage.url) as robot:
        await robot.passes()
        await stage.quiet()
        url = (await robot.refused())["appeal_url"]
        async with httpx.AsyncClient(timeout=20) as client:
            sent = await client.post(url, json={"text": "We are an office of twelve."})
            assert (sent.status_code, sent.json()["state"]) == (201, "open")
            appeals = guardrail.engine.appeals
            assert appeals is not None
            (item,) = await appeals.listed()
            await appeals.decide(item.id, granted=False, reason="The pattern is that of a campaign.")
            told = (await client.get(url)).json()
            status = (
                await client.get(f"{stage.url}{OURS}/status", headers={"authorization": "Bearer sk-0123456789-1a2b"})
            ).json()
        assert (told["state"], told["reason"]) == ("refused", "The pattern is that of a campaign.")
        assert status["appeal"] == {"state": "refused", "reason": "The pattern is that of a campaign."}


@pytest.mark.parametrize("fixture", SERVERS)
async def test_on_every_store(
    fixture: str, stage: Stage, service: Own, guardrail_prefix: str, request: pytest.FixtureRequest
) -> None:
    clock = FakeClock()
    url = request.getfixturevalue(f"guardrail_{fixture}").url
    store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
    guardrail = Guardrail(document(stage.url, standard(service.url)), store=store, clock=clock, environ=SECRETS)
    stage.app, stage.hits = GuardrailMiddleware(model_server(pace=0), guardrail), 0
    async with Robot("openai async", stage.url) as robot:
        await robot.passes()
        await stage.quiet()
        person, office = Person((await robot.refused())["verification_url"]), Office(service)
        assert (await person.sends(consent="yes")).location == "https://id.example/v1"
        assert (await person.sends(consent="yes")).location == "https://id.example/v1/again"
        assert await office.says(stage.url, "approved") == ["noted"]
        await robot.passes()
        await office.says(stage.url, "withdrawn")
        await robot.refused()


async def test_whoever_goes_on_is_the_same_applicant(stage: Stage) -> None:
    """Sumsub makes an applicant of every name that it is given: of a case it is given one."""
    async with serving(Sumsub()) as service, Robot("openai async", stage.url) as robot:
        stage.guard(document(stage.url, sumsub(service.url)))
        await robot.passes()
        await stage.quiet()
        for _ in range(3):
            person = Person((await robot.refused())["verification_url"])
            assert (await person.sends(consent="yes")).location.startswith("https://in.sumsub.com/")
        asked = [call.json["userId"] for call in service.calls if call.path.endswith("/websdkLink")]
        (applicant,) = service.things.values()
        assert asked == [applicant["externalUserId"]] * 3


# Two processes


@asynccontextmanager
async def process(folder: Path, port: int, **environ: str) -> AsyncIterator[Running]:
    """A server of its own, with the machine's clock."""
    command = ("-m", "uvicorn", "served_models:app", "--host", HOST, "--port", str(port), "--app-dir", str(HERE))
    environ = {
        **os.environ,
        "GUARDRAIL_POLICY": str(folder / "policy.yaml"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        **environ,
    }
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=HERE,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    found = Running(made, port)
    try:
        await asyncio.wait_for(found.ready(), 30)
        yield found
    finally:
        await found.stop()


async def clock_of(url: str) -> int:
    """Seconds since the epoch, by a server."""
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(f"{url}{OURS}/live")
    return int(parsedate_to_datetime(answer.headers["date"]).timestamp())


async def test_two_processes_share_what_became_of_it(
    service: Own, tmp_path: Path, guardrail_start: Callable[..., Server]
) -> None:
    """One takes the webhook; the other lets the very next request pass, and refuses it once that is taken back."""
    server = guardrail_start("redis")
    ports = [free_port() for _ in range(2)]
    one, other = (f"http://{HOST}:{port}" for port in ports)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document(one, standard(service.url))))
    environ = {**SECRETS, "GUARDRAIL_STORE": server.url}
    async with Robot("openai async", other) as robot:
        async with process(tmp_path, ports[0], **environ), process(tmp_path, ports[1], **environ):
            office = Office(service, await clock_of(one))
            await robot.passes()
            person = Person((await robot.refused())["verification_url"])
            assert person.origin == one
            assert (await person.sends(consent="yes")).location == "https://id.example/v1"
            assert await office.says(one, "approved") == ["noted"]
            await robot.passes()
            assert (await Person(person.link.replace(one, other)).state())["state"] == "approved"
            assert await office.says(other, "withdrawn") == ["noted"]
            await robot.refused()
            assert await office.says(one, "approved") == ["noted"]
            await robot.passes()
        async with process(tmp_path, ports[1], **environ):  # both have ended; this one is new
            await robot.passes()
            assert (await Person(person.link.replace(one, other)).state())["state"] == "approved"
    store = RedisStore(server.url, deadline=10_000_000)
    (name,) = await store.listed(CASE, 10)
    fields = await store.pull(CASE, name)
    await store.close()
    assert fields is not None
    said = [what for _, what, _ in history(fields)]
    assert sorted(said) == sorted(["reached", "asked", "started", "approved", "withdrawn", "reached", "asked", "approved"])


async def test_many_webhooks_at_once_are_all_taken(stage: Stage, service: Own) -> None:
    """A provider that has much to tell is no network that guesses, however slow we are."""
    stage.guard(document(stage.url, standard(service.url)))
    async with Robot("openai async", stage.url) as robot:
        await robot.passes()
        await stage.quiet()
        person = Person((await robot.refused())["verification_url"])
    await person.sends(consent="yes")
    office = Office(service)
    heard = await asyncio.gather(*[office.says(stage.url, "approved") for _ in range(100)])
    assert heard == [["noted"]] * 100


# Behind a proxy


class Proxy:
    """Passes on what comes below `/api`, and cuts that off."""

    def __init__(self, target: str) -> None:
        self.target = target

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if not scope["path"].startswith("/api/"):
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        query = scope["query_string"].decode()
        url = self.target + scope["path"].removeprefix("/api") + (f"?{query}" if query else "")
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.request(scope["method"], url, headers=headers, content=body)
        kept = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in {b"date", b"server"}]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        await send({"type": "http.response.body", "body": answer.content})


async def test_behind_a_proxy_that_cuts_a_prefix_off(stage: Stage, service: Own) -> None:
    with staged() as front:
        front.app = Proxy(stage.url)
        public = f"{front.url}/api"
        stage.guard(document(public, standard(service.url)))
        async with Robot("openai async", public) as robot:
            await robot.passes()
            await stage.quiet()
            error = await robot.refused()
            person, office = Person(error["verification_url"]), Office(service)
            assert person.link.startswith(f"{public}{OURS}/verify/")
            assert error["appeal_url"].startswith(f"{public}{OURS}/appeal/")
            assert f'action="{person.link}"' in (await person.looks()).text
            assert (await person.sends(consent="yes")).location == "https://id.example/v1"
            (call,) = service.calls
            assert call.json["return_url"] == person.link
            assert f'href="{person.link}?again"' in (await person.looks()).text
            assert await office.says(public, "approved") == ["noted"]
            await robot.passes()
            appeal = Person(error["appeal_url"])
            assert f'action="{appeal.link}"' in (await appeal.looks()).text
            assert (await appeal.sends(text="We are an office.")).status == 200
            assert (await appeal.state())["state"] == "open"


# Sockets


async def test_a_socket_that_is_refused_says_where_to_verify(stage: Stage, service: Own) -> None:
    """The refused upgrade has the body of any refusal. One that is open is closed; whoever opens it again learns where."""
    stage.guard(document(stage.url, standard(service.url)), plain)
    url = f"{stage.url.replace('http', 'ws')}/v1/talk"
    headers = {"authorization": "Bearer sk-0123456789-1a2b"}
    async with connect(url, additional_headers=headers, user_agent_header=ROBOT) as talk:
        await talk.send("a")
        with pytest.raises(ConnectionClosedError) as closed:
            await talk.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    with pytest.raises(InvalidStatus) as unopened:
        async with connect(url, additional_headers=headers, user_agent_header=ROBOT):
            pass
    response = unopened.value.response
    assert response.status_code == 403
    error = httpx.Response(403, content=bytes(response.body or b"")).json()["error"]
    assert error["code"] == "verification_required"
    person, office = Person(error["verification_url"]), Office(service)
    assert (await person.sends(consent="yes")).location == "https://id.example/v1"
    assert await office.says(stage.url, "approved") == ["noted"]
    async with connect(url, additional_headers=headers, user_agent_header=ROBOT) as talk:
        await talk.send("a")
        assert await talk.recv() == "A"
