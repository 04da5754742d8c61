"""An organisation behind a cluster is verified once: its accounts go on, up to what it has together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.clusters.binding import changes, standing
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.clusters.state import STATE, Cluster, State
from guardrail_mw.stores.base import Change
from guardrail_mw.worker.desk import Desk

from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves
from .kit import chat
from .verifying import (
    CHAT,
    HTML,
    JSON,
    KEY,
    NOW,
    OTHER_KEY,
    SECOND,
    Guarded,
    Own,
    ask,
    begin,
    event,
    guarded,
    look,
    path_of,
    report,
    said,
    text_of,
)

pytestmark = pytest.mark.anyio
THIRD = (b"authorization", b"Bearer sk-0123456789-5e6f")
ID = "c" * 12
RUNG = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id", "whose": "organisation"}}


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


async def suspect(service: Own, *, worth: int = 5_000, budget: int = 0) -> tuple[Guarded, list[str]]:
    """Three accounts, of which two are found to be one's, who is suspect."""
    site = guarded(service, ladder=[RUNG], clusters={"rebuild": "apart"})
    accounts = []
    for key in (KEY, OTHER_KEY, THIRD):
        assert (await ask(site, key=key)).status == 200
        accounts.append(site.guardrail.recorder.latest(1)[0]["candidate"])
    first = (NOW - 60 * 86_400) * SECOND
    members = tuple(sorted(accounts[:2]))
    more: dict[str, Any] = {"material": first, "budget": budget} if budget else {}
    cluster = Cluster(ID, members, "suspect", 9_000, first, exchanges=900, lineage=(ID,), worth=worth, **more)
    await site.store.keep(STATE, State(NOW * SECOND, first, (cluster,)).pack())
    for account in members:
        await site.store.remember(account, changes(standing(cluster)))
    return site, accounts


async def test_one_verification_frees_all_of_it_up_to_its_budget(service: Own) -> None:
    site, accounts = await suspect(service)
    answers = [await ask(site, key=key) for key in (KEY, OTHER_KEY, THIRD)]
    assert [answer.status for answer in answers] == [403, 403, 403]
    paths = [path_of(said(answer)["verification_url"]) for answer in answers]
    assert "organisation" in text_of(await look(site, paths[0], HTML))
    assert "organisation" not in text_of(await look(site, paths[2], HTML))  # in no cluster, verified alone
    assert (await begin(site, paths[0])).status == 303
    assert [(await look(site, path)).json["state"] for path in paths] == ["pending", "pending", "asked"]
    assert (await report(site, event(service, "approved", document="P1"))).json == {"heard": ["noted"]}
    assert [(await ask(site, key=key)).status for key in (KEY, OTHER_KEY, THIRD)] == [200, 200, 403]
    fields = (await site.store.export(accounts[0]))["standing"]["fields"]
    assert (fields["verdict"], fields["budget"]) == ("none", "5000 vouched")


async def test_beyond_its_budget_it_is_refused(service: Own) -> None:
    site, _ = await suspect(service, worth=1_500)
    path = path_of(said(await ask(site))["verification_url"])
    await begin(site, path)
    await report(site, event(service, "approved", document="P1"))
    codes = [(await ask(site, key=key)).json.get("error", {}).get("code") for key in (KEY, OTHER_KEY) * 3]
    # each asks for 100 + 1,024 tokens, and uses 100: before the fifth 1,100 are left
    assert codes == [None] * 4 + ["insufficient_quota"] * 2
    site.clock.advance(86_400)
    assert (await ask(site)).status == 200


async def test_what_is_taken_back_binds_all_again(service: Own) -> None:
    site, _ = await suspect(service)
    path = path_of(said(await ask(site))["verification_url"])
    await begin(site, path)
    await report(site, event(service, "approved", document="P1"))
    assert (await ask(site, key=OTHER_KEY)).status == 200
    await report(site, event(service, "withdrawn", "2026-01-01T00:02:00Z"), "m-2")
    assert (await ask(site, key=OTHER_KEY)).status == 403


async def test_a_document_vouches_for_one_organisation_and_nobody_else(service: Own) -> None:
    site, _ = await suspect(service)
    await begin(site, path_of(said(await ask(site))["verification_url"]))
    await report(site, event(service, "approved", document="P1"))
    await begin(site, path_of(said(await ask(site, key=THIRD))["verification_url"]))
    await report(site, event(service, "approved", which="v2", document="P1"), "m-2")
    assert (await ask(site, key=THIRD)).status == 403


async def test_a_document_that_vouched_for_an_account_vouches_for_no_organisation(service: Own) -> None:
    site, _ = await suspect(service)
    await begin(site, path_of(said(await ask(site, key=THIRD))["verification_url"]))
    await report(site, event(service, "approved", document="P1"))
    assert (await ask(site, key=THIRD)).status == 200
    await begin(site, path_of(said(await ask(site))["verification_url"]))
    await report(site, event(service, "approved", which="v2", document="P1"), "m-2")
    assert (await ask(site)).status == 403


async def test_an_operators_word_is_not_overruled(service: Own) -> None:
    site, _ = await suspect(service)
    path = path_of(said(await ask(site))["verification_url"])
    desk = Desk(site.store, ClustersSettings(), clock=site.clock)
    await desk.order(ID, "verdict", "confirmed", "we know them")
    await begin(site, path)
    await report(site, event(service, "approved", document="P1"))
    after = (await desk.state()).clusters[0]
    assert (after.verdict, after.vouched) == ("confirmed", True)


async def test_a_cluster_that_is_no_more_frees_nobody(service: Own) -> None:
    site, _ = await suspect(service)
    path = path_of(said(await ask(site))["verification_url"])
    await begin(site, path)
    await site.store.keep(STATE, State(NOW * SECOND, (NOW - 86_400) * SECOND, ()).pack())
    assert (await report(site, event(service, "approved", document="P1"))).json == {"heard": ["noted"]}
    assert (await ask(site)).status == 403


async def test_what_was_used_before_is_not_counted_on_what_an_organisation_has(service: Own) -> None:
    """Of 1,200 a day 100 were used; a request asks for 1,124."""
    site, accounts = await suspect(service, worth=0, budget=1_200)
    for account in accounts[:2]:
        await site.store.remember(account, [Change("set", "verdict", "none")])
    plain = (b"authorization", OTHER_KEY[1])
    assert (await site.post(CHAT, chat(), plain, JSON)).status == 200
    (state,) = (await Desk(site.store, ClustersSettings(), clock=site.clock).state()).clusters
    for account in accounts[:2]:
        await site.store.remember(account, changes(standing(state)))
    await begin(site, path_of(said(await ask(site))["verification_url"]))
    await report(site, event(service, "approved", document="P1"))
    assert (await ask(site)).status == 200
    codes = [(await ask(site)).json.get("error", {}).get("code") for _ in range(2)]
    assert codes == ["insufficient_quota"] * 2
