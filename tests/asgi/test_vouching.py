"""An organisation behind a cluster is verified once: its accounts go on, up to what it has together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrail_mw.clusters.binding import changes, standing
from guardrail_mw.clusters.settings import ClustersSettings
from guardrail_mw.clusters.state import STATE, Cluster, State
from guardrail_mw.policy import load
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
CODE, BASIC = "403d1bd8e895", "9954c04dc112"
"""How the SHA-256 of `3 ids id` begins, and that of `3 ids basic`."""
RUNG = {"at": 60, "do": "verify", "with": {"use": "identity", "provider": "ids", "level": "id", "whose": "organisation"}}


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


async def suspect(service: Own, *, worth: int = 5_000, budget: int = 0, floor: int = 20) -> tuple[Guarded, list[str]]:
    """Three accounts, of which two are found to be one's, who is suspect."""
    site = guarded(service, ladder=[RUNG], clusters={"rebuild": "apart", "floor": {"accounts": floor, "exchanges": 300}})
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
    assert (fields["verdict"], fields["budget"]) == ("none", f"5000 vouched {CODE}")


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
    assert (after.verdict, after.vouched) == ("confirmed", (CODE,))


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


def ask_for(site: Guarded, level: str) -> None:
    """From now on its rung asks for this level."""
    document = site.guardrail.policy.written()
    document["friction"]["ladder"][0]["with"]["level"] = level
    site.guardrail.apply(load(document))


async def found(site: Guarded) -> Cluster:
    (cluster,) = (await Desk(site.store, ClustersSettings(), clock=site.clock).state()).clusters
    return cluster


async def verify(site: Guarded, service: Own, which: str, level: str, document: str, second: int) -> None:
    await begin(site, path_of(said(await ask(site))["verification_url"]))
    raw = event(service, "approved", f"2026-01-01T00:00:{second:02}Z", which, level=level, document=document)
    assert (await report(site, raw, f"m-{second}")).json == {"heard": ["noted"]}


async def test_a_lower_level_of_an_organisation_is_not_the_one_that_was_asked_for(service: Own) -> None:
    site, _ = await suspect(service)
    ask_for(site, "basic")
    await verify(site, service, "v1", "basic", "P1", 1)
    assert (await ask(site, key=OTHER_KEY)).status == 200
    ask_for(site, "id")
    assert (await ask(site, key=OTHER_KEY)).status == 403
    ask_for(site, "basic")
    assert (await ask(site, key=OTHER_KEY)).status == 200


async def test_of_two_cases_of_an_organisation_each_is_taken_back_by_itself(service: Own) -> None:
    site, accounts = await suspect(service)
    ask_for(site, "basic")
    await verify(site, service, "v1", "basic", "P1", 1)
    # before the next rebuild an operator has it judged again, so that it is asked for more
    ask_for(site, "id")
    for account in accounts[:2]:
        await site.store.remember(account, [Change("set", "verdict", "suspect")])
    await verify(site, service, "v2", "id", "P2", 2)
    assert (await found(site)).vouched == (CODE, BASIC)
    assert (await ask(site, key=OTHER_KEY)).status == 200
    await report(site, event(service, "withdrawn", "2026-01-01T00:00:03Z", "v2"), "m-3")
    after = await found(site)
    assert (after.vouched, after.verdict) == ((BASIC,), "none")
    assert (await ask(site, key=OTHER_KEY)).status == 403  # the level that is asked for is taken back
    ask_for(site, "basic")
    assert (await ask(site, key=OTHER_KEY)).status == 200


async def test_an_organisation_without_a_budget_passes_its_rung_and_stays_bound(service: Own) -> None:
    """No tokens were ever counted: a budget in them would bind nobody."""
    site, accounts = await suspect(service, worth=0, floor=2)
    await begin(site, path_of(said(await ask(site))["verification_url"]))
    await report(site, event(service, "approved", document="P1"))
    assert (await ask(site, key=OTHER_KEY)).status == 200
    fields = (await site.store.export(accounts[0]))["standing"]["fields"]
    assert (fields["verdict"], fields["budget"]) == ("confirmed", f"0 vouched {CODE}")
    settings = site.guardrail.policy.clusters
    assert settings is not None
    await Desk(site.store, settings, clock=site.clock).order(ID, "budget", "9000", "they are a school")
    fields = (await site.store.export(accounts[0]))["standing"]["fields"]
    assert (fields["verdict"], fields["budget"]) == ("none", f"9000 vouched {CODE}")
