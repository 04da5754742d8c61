"""Organisations behind clusters: approvals that hold no more, and accounts that would undo the others'."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from guardrail_mw.clusters.binding import changes, standing
from guardrail_mw.clusters.state import STATE, State

from ..asgi.test_vouching import THIRD, suspect  # noqa: TID252
from ..asgi.verifying import (  # noqa: TID252
    HTML,
    NOW,
    OTHER_KEY,
    SAME,
    SECOND,
    Guarded,
    Own,
    ask,
    begin,
    event,
    look,
    path_of,
    report,
    said,
    text_of,
)
from ..friction.verification.providers.standin import serving  # noqa: TID252

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


async def state(site: Guarded) -> State:
    return State.unpack(await site.store.recall(STATE))


async def way(site: Guarded, **more: Any) -> str:
    return path_of(said(await ask(site, **more))["verification_url"])


async def test_who_is_asked_though_its_organisation_was_approved_may_begin_again(service: Own) -> None:
    site, accounts = await suspect(service)
    path = await way(site)
    await begin(site, path)
    await report(site, event(service, "approved", document="P1"))
    assert (await ask(site, key=OTHER_KEY)).status == 200
    # the next rebuild finds it too different from what was verified: it is another that has its name
    found = await state(site)
    site.clock.jump(600)
    (cluster,) = found.clusters
    other = replace(cluster, heir=site.clock.now())
    await site.store.keep(STATE, replace(found, clusters=(other,)).pack())
    for account in accounts[:2]:
        await site.store.remember(account, changes(standing(other)))
    assert (await look(site, path)).json["state"] == "approved"
    again = await way(site, key=OTHER_KEY)
    assert (await look(site, again)).json["state"] == "asked"
    assert "organisation" in text_of(await look(site, again, HTML))
    assert (await begin(site, again)).status == 303
    raw = event(service, "approved", "2026-01-01T00:11:00Z", which="v2", document="P1")
    assert (await report(site, raw, "m-2", stamp=NOW + 600)).json == {"heard": ["noted"]}
    assert (await ask(site, key=OTHER_KEY)).status == 200


async def test_an_approval_that_came_when_there_was_no_cluster_keeps_nobody_from_another(service: Own) -> None:
    site, _ = await suspect(service)
    path = await way(site)
    await begin(site, path)
    found = await state(site)
    await site.store.keep(STATE, State(NOW * SECOND, (NOW - 86_400) * SECOND, ()).pack())
    await report(site, event(service, "approved", document="P1"))
    await site.store.keep(STATE, found.pack())
    assert (await begin(site, path, SAME)).status == 303
    raw = event(service, "approved", "2026-01-01T00:02:00Z", which="v2", document="P1")
    await report(site, raw, "m-2")
    assert (await ask(site, key=OTHER_KEY)).status == 200


async def test_an_account_of_the_cluster_ends_no_approval_of_another(service: Own) -> None:
    site, _ = await suspect(service)
    await begin(site, await way(site, key=OTHER_KEY))
    await report(site, event(service, "declined", "2026-01-01T00:01:00Z", "v1"), "m-1")
    await begin(site, await way(site))
    await report(site, event(service, "approved", "2026-01-01T00:02:00Z", "v2", document="P1"), "m-2")
    await report(site, event(service, "declined", "2026-01-01T00:03:00Z", "v1"), "m-3")
    assert [(await ask(site, key=key)).status for key in (OTHER_KEY, THIRD)] == [200, 403]


async def test_who_begins_again_keeps_no_approval_that_is_taken_back_nor_ends_it(service: Own) -> None:
    site, accounts = await suspect(service)
    await begin(site, await way(site))
    await report(site, event(service, "approved", document="P1"))
    site.clock.jump(60)
    stamp = NOW + 60
    await site.store.remember(accounts[0], changes({"budget": "", "verdict": "suspect"}))  # this one is asked again
    await begin(site, await way(site))
    await report(site, event(service, "declined", "2026-01-01T00:02:00Z", which="v2"), "m-2", stamp=stamp)
    assert (await ask(site, key=OTHER_KEY)).status == 200
    await report(site, event(service, "withdrawn", "2026-01-01T00:03:00Z"), "m-3", stamp=stamp)
    assert (await ask(site, key=OTHER_KEY)).status == 403


async def test_nobody_goes_on_with_what_another_account_began(service: Own) -> None:
    site, _ = await suspect(service)
    mine, other = await way(site), await way(site, key=OTHER_KEY)
    assert (await begin(site, mine)).field("location") == "https://id.example/v1"
    # whoever goes on sees what was written there
    assert (await begin(site, other)).field("location") == "https://id.example/v2"
    assert (await begin(site, other)).field("location") == "https://id.example/v2/again"
    await report(site, event(service, "approved", which="v1", document="P1"))
    assert [(await ask(site, key=key)).status for key in (OTHER_KEY, THIRD)] == [200, 403]


async def test_an_account_uses_up_its_own_tries_and_not_its_clusters(service: Own) -> None:
    site, _ = await suspect(service)
    mine, other = await way(site), await way(site, key=OTHER_KEY)
    for number in range(1, 6):
        assert (await begin(site, other)).status == 303
        raw = event(service, "declined", f"2026-01-01T00:0{number}:00Z", f"v{number}")
        site.clock.advance(200)
        await report(site, raw, f"m-{number}", stamp=NOW + number * 200)
    assert (await begin(site, other, SAME)).json["code"] == "tries_used_up"
    assert (await begin(site, mine)).status == 303
