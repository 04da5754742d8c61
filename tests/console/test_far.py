"""The command line, and the port that it speaks to, understand one another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guardrail_mw.cli.output import Cannot
from guardrail_mw.cli.reach import Far
from guardrail_mw.engine.desk import Operator

from .kit import WHY, Operated, client

pytestmark = pytest.mark.anyio


@pytest.fixture
def operated() -> Operated:
    return Operated()


@pytest.fixture
async def far(operated: Operated) -> AsyncIterator[Far]:
    async with client(operated) as made:
        yield Far(made)


async def test_it_sees_over_the_port_what_is_seen_in_the_process(operated: Operated, far: Far) -> None:
    near = Operator(operated.guardrail)
    account = await operated.account()
    decision = operated.guardrail.recorder.latest(1)[0]["id"]
    assert await far.show(account) == await near.show(account)
    assert await far.limits(account) == await near.limits(account)
    assert await far.limits(account, "/v1/models") == await near.limits(account, "/v1/models")
    assert await far.export(account) == await near.export(account)
    assert await far.modes() == await near.modes()
    assert await far.find(decision) == near.find(decision)
    assert await far.find("0" * 24) is None


async def test_it_does_over_the_port_what_is_done_in_the_process(operated: Operated, far: Far) -> None:
    account = await operated.account()
    await far.act("override", account, {"what": "deny", "reason": WHY, "until": "1h"})
    assert (await operated.chats()).status == 403
    await far.act("erase", account, {"reason": WHY})
    assert (await far.switch("requests", "shadow", WHY))["switches"] == {"requests": "shadow"}
    assert (await far.switch("requests", None))["switches"] == {}


async def test_it_is_told_why_something_cannot_be(operated: Operated, far: Far) -> None:
    account = await operated.account()
    with pytest.raises(Cannot, match=r"^--limit 'request' is no limit .* Did you mean `requests`\?$"):
        await far.act("refill", account, {"limit": "request", "reason": WHY})
    with pytest.raises(Cannot, match=r"^--rule 'request'"):
        await far.switch("request", "shadow")
