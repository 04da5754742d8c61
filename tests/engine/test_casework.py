"""What an operator sees and does of cases and appeals, on the store in memory and on real ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from guardrail_mw.engine.appeals import APPEAL
from guardrail_mw.engine.desk import MisuseError, Operator
from guardrail_mw.engine.ground import CASE, REFERENCE
from guardrail_mw.engine.records import MissingError
from guardrail_mw.errors import StoreError
from guardrail_mw.policy import load
from guardrail_mw.stores.base import Change
from guardrail_mw.stores.redis import RedisStore
from guardrail_mw.testing.clock import FakeClock

from ..asgi.kit import Upstream  # noqa: TID252 - the kit of the pipeline's tests
from ..asgi.verifying import (  # noqa: TID252 - likewise
    JSON,
    KEY,
    NOW,
    OTHER_KEY,
    SECOND,
    Answer,
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
)
from ..friction.verification.providers.standin import serving  # noqa: TID252 - a service that serves

pytestmark = pytest.mark.anyio

DAY = 86_400
SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32, "GUARDRAIL_KEYS": "k" * 32}
AT = NOW * SECOND


async def barred(site: Guarded, key: Any = KEY) -> Answer:
    """The answer to a request that is refused: the first that is, of two."""
    answer = await ask(site, key=key)
    answer = await ask(site, key=key) if answer.status == 200 else answer
    assert answer.status == 403
    return answer


class Kit:
    """A guarded app that asks robots for an identity, and its operator."""

    def __init__(self, site: Guarded) -> None:
        self.site = site
        self.operator = Operator(site.guardrail)
        self.work = self.operator.casework

    async def asked(self, key: Any = KEY) -> tuple[str, str]:
        """Have a key asked for its identity: the path, and the id of its case."""
        path = path_of(said(await barred(self.site, key))["verification_url"])
        account = (await look(self.site, path)).json["account"]
        cases = self.site.guardrail.engine.cases
        assert cases is not None
        return path, cases.name(account, "ids", "id")

    async def appealed(self, text: str = "We are an office.", key: Any = KEY) -> str:
        """Have a key appeal; the id of its item."""
        path = path_of(said(await barred(self.site, key))["appeal_url"])
        assert (await self.site.post(path, {"text": text}, JSON)).status == 201
        account = (await look(self.site, path)).json["account"]
        appeals = self.site.guardrail.engine.appeals
        assert appeals is not None
        return appeals.name(account)


Make = Callable[..., Kit]


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest, guardrail_prefix: str) -> AsyncIterator[Make]:
    """Puts an app behind a policy, on each kind of store."""
    made: list[Kit] = []

    def makes(service: Own | None = None, **more: Any) -> Kit:
        site = guarded(service, **{"use": "manual" if service is None else "standard_webhooks", **more})
        if request.param != "memory":
            url, clock = request.getfixturevalue(f"guardrail_{request.param}").url, FakeClock()
            store = RedisStore(url, deadline=10_000_000, prefix=guardrail_prefix, clock=clock)
            site = Guarded(Upstream(), site.guardrail.policy.written(), store=store, clock=clock, environ=SECRETS)
        made.append(Kit(site))
        return made[-1]

    yield makes
    for kit in made:
        await kit.site.guardrail.close()


@pytest.fixture
def kit(make: Make) -> Kit:
    return make()


@pytest.fixture
async def service() -> AsyncIterator[Own]:
    found = Own()
    async with serving(found):
        yield found


# Cases


async def test_open_cases_come_first_and_the_first_due_before_others(kit: Kit) -> None:
    """The first is asked on day 0 and due on day 14, the second on day 1 and due on day 15."""
    _, first = await kit.asked()
    kit.site.clock.jump(DAY)
    _, second = await kit.asked(OTHER_KEY)
    kit.site.clock.jump(13 * DAY)
    found = await kit.work.cases()
    assert [(each["id"], each["state"], each["overdue"]) for each in found["cases"]] == [
        (first, "asked", True),
        (second, "asked", False),
    ]
    assert (found["now"], found["more"]) == (AT + 14 * DAY * SECOND, False)
    one = found["cases"][0]
    assert (one["provider"], one["level"], one["rung"], one["open"]) == ("ids", "id", "verify", True)
    assert (one["asked"], one["deadline"], one["decided"], one["until"]) == (AT, AT + 14 * DAY * SECOND, None, None)
    assert one["account"].startswith("a:")
    await kit.work.decide_case(first, "declined", "nobody came")
    assert [each["id"] for each in (await kit.work.cases())["cases"]] == [second, first]
    assert [each["id"] for each in (await kit.work.cases(state="declined"))["cases"]] == [first]
    assert [each["id"] for each in (await kit.work.cases(state="open"))["cases"]] == [second]
    some = await kit.work.cases(most=1)
    assert ([each["id"] for each in some["cases"]], some["more"]) == ([second], True)
    with pytest.raises(MisuseError, match=r"^state: is none of open, asked, started, "):
        await kit.work.cases(state="opened")


async def test_a_case_tells_its_history(make: Make, service: Own) -> None:
    kit = make(service)
    path, name = await kit.asked()
    kit.site.clock.jump(60)
    await begin(kit.site, path)
    assert (await kit.work.case(name))["state"] == "started"
    kit.site.clock.jump(60)
    await report(kit.site, event(service, "declined", "2026-01-01T00:02:00Z"), stamp=NOW + 120)
    kit.site.clock.jump(60)
    await kit.work.decide_case(name, "approved", "seen in a call", document="DE C01X00")
    found = await kit.work.case(name)
    assert (found["state"], found["open"], found["verification"], found["started"]) == (
        "approved",
        False,
        "v1",
        AT + 60 * SECOND,
    )
    assert (found["decided"], found["until"]) == (AT + 180 * SECOND, AT + (180 + 365 * DAY) * SECOND)
    assert (found["ial"], found["acr"], found["why"]) == ("2", "urn:example:kyc", "")
    decision = found["decision"]
    assert [((each["at"] - AT) // SECOND, each["what"], each["said"]) for each in found["history"]] == [
        (0, "reached", "the account came to the rung verify"),
        (0, "asked", f"it was asked to verify itself, by decision {decision}"),
        (60, "started", "a verification by ids began, which it calls v1"),
        (120, "declined", "ids declined"),
        (180, "decided", "an operator decided approved: seen in a call"),
        (180, "approved", "what the operator said: it approved"),
    ]


async def test_a_decision_holds_from_the_next_request_on_and_is_noted(kit: Kit) -> None:
    path, name = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    found = await kit.work.decide_case(name[:9].upper(), "approved", " seen in a call ")
    assert (found["id"], found["state"]) == (name, "approved")
    assert (await ask(kit.site)).status == 200
    await kit.work.decide_case(name, "withdrawn", "it was somebody else")
    assert (await ask(kit.site)).status == 403
    done = (await kit.operator.show(account))["done"]
    assert [(each["verb"], each["what"], each["why"]) for each in done] == [
        ("case", "withdrawn", "it was somebody else"),
        ("case", "approved", "seen in a call"),
    ]


async def test_who_is_asked_anew_has_a_new_deadline_and_is_reminded_again(kit: Kit) -> None:
    """Declined on day 2, asked anew on day 3: due on day 17, and overdue from then on, once."""
    told: list[tuple[str, int]] = []
    kit.site.guardrail.notices.subscribe(lambda notice: told.append((str(notice["what"]), int(notice["at"]))))
    _, name = await kit.asked()
    kit.site.clock.jump(2 * DAY)
    await kit.work.decide_case(name, "declined", "a photograph of a photograph")
    assert (await kit.work.case(name))["open"] is False
    kit.site.clock.jump(DAY)
    await barred(kit.site)
    found = await kit.work.case(name)
    assert (found["state"], found["open"], found["deadline"]) == ("asked", True, AT + 17 * DAY * SECOND)
    told.clear()
    kit.site.clock.jump(14 * DAY)
    for _ in range(2):
        await kit.site.guardrail.look()
    assert told == [("overdue", AT + 17 * DAY * SECOND)]
    assert (await kit.work.case(name))["overdue"] is True


async def test_what_is_pending_does_not_move_its_deadline(make: Make, service: Own) -> None:
    kit = make(service)
    path, name = await kit.asked()
    await begin(kit.site, path)
    kit.site.clock.jump(60)
    await report(kit.site, event(service, "pending"), stamp=NOW + 60)
    kit.site.clock.jump(60)
    await barred(kit.site)
    found = await kit.work.case(name)
    assert (found["state"], found["asked"], found["deadline"]) == ("pending", AT, AT + 14 * DAY * SECOND)


async def test_an_approval_that_has_run_out_is_expired(kit: Kit) -> None:
    _, name = await kit.asked()
    await kit.work.decide_case(name, "approved", "seen")
    kit.site.clock.jump(365 * DAY)
    found = await kit.work.case(name)
    assert (found["state"], found["open"], found["ial"]) == ("expired", False, "")
    await barred(kit.site)
    assert (await kit.work.case(name))["state"] == "asked"


@pytest.mark.parametrize("use", ["manual", "standard_webhooks"])
async def test_a_document_that_an_operator_notes_counts_whoever_the_provider_is(make: Make, use: str) -> None:
    kit = make(use=use, verification={"duplicates": 1})
    _, first = await kit.asked()
    _, second = await kit.asked(OTHER_KEY)
    assert (await kit.work.decide_case(first, "approved", "seen", "DE C01X00", "12 345"))["state"] == "approved"
    found = await kit.work.decide_case(second, "approved", "seen", "de c01-x00")
    assert (found["state"], found["why"]) == ("duplicate", "duplicate")
    assert found["history"][-1]["said"] == (
        "what the operator said: it approved, but the document or the person has verified too many accounts: declined"
    )
    assert (await ask(kit.site)).status == 200
    assert (await ask(kit.site, key=OTHER_KEY)).status == 403


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"state": "approve"}, r"^state: is none of approved, declined, withdrawn\.$"),
        ({"state": ""}, "^state: is none of"),
        ({"reason": " "}, "^reason: is empty"),
        ({"state": "declined", "document": "DE 1"}, "^document: is noted with what is approved only"),
        ({"person": "1\n2"}, "^person: holds a line break"),
        ({"case": "mine"}, "^case: is not the id of one"),
        ({"case": "0"}, "^case: '0' is not there. `guardrail-mw cases list` has them all"),
    ],
)
async def test_what_cannot_be_decided(given: dict[str, Any], text: str) -> None:
    kit = Kit(guarded(use="manual"))
    _, name = await kit.asked()
    before = await kit.work.case(name)
    if given.get("case") == "0":
        given = {"case": "0" * 24}
        text = text.replace("'0'", f"'{'0' * 24}'")
    with pytest.raises(MisuseError, match=text):
        await kit.work.decide_case(**{"case": name, "state": "approved", "reason": "x", **given})
    assert await kit.work.case(name) == before


async def test_what_the_policy_does_not_have_any_more_is_not_approved() -> None:
    kit = Kit(guarded(use="manual"))
    _, name = await kit.asked()
    document = kit.site.guardrail.policy.written()
    document["friction"]["ladder"] = []
    del document["verification"]["providers"]["ids"]["with"]["levels"]["id"]
    kit.site.guardrail.apply(load(document))
    with pytest.raises(MisuseError, match=r"^state: would be worth nothing: ids has no level id"):
        await kit.work.decide_case(name, "approved", "x")
    assert (await kit.work.decide_case(name, "declined", "x"))["state"] == "declined"
    del document["verification"]["providers"]
    kit.site.guardrail.apply(load(document))
    with pytest.raises(MisuseError, match=r"^case: cannot be decided: `verification.providers` has no ids"):
        await kit.work.decide_case(name, "declined", "x")
    del document["verification"]
    kit.site.guardrail.apply(load(document))
    with pytest.raises(MisuseError, match=r"^case: cannot be decided: the policy has no section `verification:`"):
        await kit.work.decide_case(name, "declined", "x")
    assert [each["id"] for each in (await kit.work.cases())["cases"]] == [name]


async def test_ids_by_as_much_as_no_other_begins_with(kit: Kit) -> None:
    files = kit.site.guardrail.store
    for name in ("ab1", "ab12", "ac2"):
        await files.file(CASE, name, [Change("set", "account", "a:x")], AT + DAY * SECOND)  # type: ignore[attr-defined]
    await files.file(CASE, "ad", [Change("set", "h.1.asked", "")], AT + DAY * SECOND)  # type: ignore[attr-defined]
    assert [(await kit.work.case(text))["id"] for text in ("ac", " AC2 ", "ab1", "ab12")] == ["ac2", "ac2", "ab1", "ab12"]
    with pytest.raises(MisuseError, match=r"^case: 'ab' is how several begin: ab12?, ab12?\. Write more of it\.$"):
        await kit.work.case("ab")
    for text in ("ad", "b", "ab123"):
        with pytest.raises(MissingError):
            await kit.work.case(text)
    assert {each["id"] for each in (await kit.work.cases())["cases"]} == {"ab1", "ab12", "ac2"}


# Appeals


async def test_an_appeal_that_is_granted_lets_through_until_then(kit: Kit) -> None:
    name = await kit.appealed("We are  an office of 40.")
    found = await kit.work.appeal(name)
    account = found["subject"]
    text = {"at": AT, "account": account, "decision": found["texts"][0]["decision"], "text": "We are an office of 40."}
    assert found == {
        "id": name, "subject": account, "cluster": "", "state": "open", "opened": AT, "times": 1, "accounts": [account],
        "reason": "", "decided": None, "texts": [text], "decisions": [],
    }  # fmt: skip
    assert (await kit.operator.show(account))["risk"] > 0
    done = await kit.work.decide_appeal(name[:7], granted=True, reason="known to us", until="2d")
    assert (done["state"], done["reason"], done["decided"]) == ("granted", "known to us", AT)
    assert (done["until"], done["touched"]) == (AT + 2 * DAY * SECOND, [account])
    assert done["decisions"] == [{"at": AT, "what": "granted", "reason": "known to us"}]
    shown = await kit.operator.show(account)
    assert (shown["risk"], shown["rung"]) == (0, None)
    assert shown["override"] == {"what": "allow", "until": AT + 2 * DAY * SECOND, "why": "known to us"}
    assert shown["labels"] == [{"label": "appeal-granted", "until": AT + 2 * DAY * SECOND, "why": "known to us"}]
    assert [(each["verb"], each["what"], each["why"]) for each in shown["done"]] == [("appeal", "granted", "known to us")]
    assert [(await ask(kit.site)).status for _ in range(3)] == [200] * 3
    kit.site.clock.jump(2 * DAY)
    await barred(kit.site)


async def test_an_appeal_that_is_refused_changes_nothing_but_a_label(kit: Kit) -> None:
    name = await kit.appealed()
    done = await kit.work.decide_appeal(name, granted=False, reason="a script")
    assert (done["state"], done["until"]) == ("refused", AT + 30 * DAY * SECOND)
    shown = await kit.operator.show(done["subject"])
    assert shown["override"] is None
    assert [each["label"] for each in shown["labels"]] == ["appeal-refused"]
    assert (await ask(kit.site)).status == 403


async def test_who_thinks_better_of_it_takes_back_what_was_granted_and_nothing_else(kit: Kit) -> None:
    name = await kit.appealed()
    account = (await kit.work.decide_appeal(name, granted=True, reason="known to us"))["subject"]
    await kit.work.decide_appeal(name, granted=False, reason="not to us")
    shown = await kit.operator.show(account)
    assert shown["override"] is None
    assert [each["label"] for each in shown["labels"]] == ["appeal-refused"]
    await kit.work.decide_appeal(name, granted=True, reason="to me", until=None)
    assert (await kit.operator.show(account))["override"] == {"what": "allow", "until": None, "why": "to me"}
    await kit.operator.override(account, "allow", "by contract")
    found = await kit.work.decide_appeal(name, granted=False, reason="no")
    shown = await kit.operator.show(account)
    assert shown["override"] == {"what": "allow", "until": None, "why": "by contract"}
    assert [each["what"] for each in found["decisions"]] == ["granted", "refused"]  # of the same µs the last of each


async def test_open_appeals_come_first_and_the_oldest_before_others(kit: Kit) -> None:
    first = await kit.appealed()
    kit.site.clock.jump(60)
    second = await kit.appealed(key=OTHER_KEY)
    assert [each["id"] for each in (await kit.work.appeals())["appeals"]] == [first, second]
    await kit.work.decide_appeal(first, granted=False, reason="no")
    assert [(each["id"], each["state"]) for each in (await kit.work.appeals())["appeals"]] == [
        (second, "open"),
        (first, "refused"),
    ]
    assert [each["id"] for each in (await kit.work.appeals(state="refused"))["appeals"]] == [first]
    some = await kit.work.appeals(most=1)
    assert ([each["id"] for each in some["appeals"]], some["more"]) == ([second], True)
    kit.site.clock.jump(60)
    await kit.appealed("Once more.")
    found = await kit.work.appeal(first)
    assert (found["state"], found["times"], found["reason"], len(found["texts"])) == ("open", 2, "", 2)


async def test_a_failed_act_leaves_the_appeal_open(monkeypatch: pytest.MonkeyPatch) -> None:
    kit = Kit(guarded(use="manual"))
    name = await kit.appealed()

    async def fails(*_: object) -> int:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(kit.site.store, "remember", fails)
        with pytest.raises(StoreError):
            await kit.work.decide_appeal(name, granted=True, reason="x")
    assert (await kit.work.appeal(name))["state"] == "open"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"granted": "yes"}, r"^granted: is neither true nor false\.$"),
        ({"reason": ""}, "^reason: is empty"),
        ({"until": "soon"}, "^until: "),
        ({"appeal": "x"}, "^appeal: is not the id of one"),
        ({"appeal": "0" * 12}, "^appeal: '0{12}' is not there"),
    ],
)
async def test_what_cannot_be_decided_of_an_appeal(given: dict[str, Any], text: str) -> None:
    kit = Kit(guarded(use="manual"))
    name = await kit.appealed()
    with pytest.raises(MisuseError, match=text):
        await kit.work.decide_appeal(**{"appeal": name, "granted": True, "reason": "x", **given})
    assert (await kit.work.appeal(name))["state"] == "open"
    document = kit.site.guardrail.policy.written()
    del document["verification"]
    document["friction"]["ladder"] = []
    kit.site.guardrail.apply(load(document))
    with pytest.raises(MisuseError, match=r"^appeal: cannot be decided: the policy has no section `verification:`"):
        await kit.work.decide_appeal(name, granted=True, reason="x")


# Export and erasure


async def test_export_has_cases_and_what_was_written(kit: Kit) -> None:
    path, case = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    assert "appeals" not in await kit.operator.export(account)
    appeal = await kit.appealed()
    await kit.asked(OTHER_KEY)
    found = await kit.operator.export(account)
    assert [(each["id"], each["account"], each["level"]) for each in found["cases"]] == [(case, account, "id")]
    assert [(each["id"], each["subject"], each["state"]) for each in found["appeals"]] == [(appeal, account, "open")]
    assert "cases" not in await kit.operator.export("a:" + "A" * 22)


async def test_what_is_erased_is_forgotten_by_the_provider_too(make: Make, service: Own) -> None:
    """Two verifications of one account were begun: both are cancelled and redacted, and none of it is known any more."""
    kit = make(service)
    path, name = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    for number in (1, 2):
        assert (await begin(kit.site, path)).status == 303
        kit.site.clock.jump(60)
        when = f"2026-01-01T00:0{number}:00Z"
        await report(kit.site, event(service, "declined", when, f"v{number}"), f"m-{number}", stamp=NOW + 60 * number)
    await kit.appealed()
    await kit.asked(OTHER_KEY)
    service.calls.clear()
    assert await kit.operator.erase(account, "they asked") == {"erased": True, "kept": [], "left": []}
    assert [(call.method, call.path) for call in service.calls] == [
        (method, f"/verifications/v{number}{rest}")
        for number in (1, 2)
        for method, rest in (("POST", "/cancel"), ("DELETE", ""))
    ]
    files: Any = kit.site.guardrail.store
    assert [await files.pull(CASE, name), await files.listed(REFERENCE, 9), await files.listed(APPEAL, 9)] == [None, [], []]
    assert len((await kit.work.cases())["cases"]) == 1
    assert await kit.operator.erase(account, "twice") == {"erased": False, "kept": [], "left": []}
    fresh, again = await kit.asked()
    assert again == name
    assert (await begin(kit.site, fresh)).status == 303


async def test_what_a_provider_does_not_forget_is_said(make: Make, service: Own) -> None:
    kit = make(service)
    path, name = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    await begin(kit.site, path)
    service.broken = [(200, b""), None, (503, b"")]
    found = await kit.operator.erase(account, "they asked")
    [left] = found["left"]
    assert (found["erased"], left["provider"], left["verification"]) == (True, "ids", "v1")
    assert left["why"].startswith("not redacted: ")
    assert await kit.site.guardrail.store.pull(CASE, name) is None  # type: ignore[attr-defined]


async def test_a_verification_that_may_go_on_is_said(make: Make, service: Own) -> None:
    kit = make(service)
    path, _ = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    await begin(kit.site, path)
    service.broken = [(503, b""), None]
    [left] = (await kit.operator.erase(account, "they asked"))["left"]
    assert left["why"].startswith("not cancelled: ")


async def test_a_provider_that_is_gone_is_said(service: Own) -> None:
    kit = Kit(guarded(service))
    path, name = await kit.asked()
    account = (await look(kit.site, path)).json["account"]
    await begin(kit.site, path)
    await report(kit.site, event(service, "declined"))
    document = kit.site.guardrail.policy.written()
    document["friction"]["ladder"] = []
    del document["verification"]
    kit.site.guardrail.apply(load(document))
    service.calls.clear()
    [left] = (await kit.operator.erase(account, "they asked"))["left"]
    assert left == {
        "provider": "ids", "verification": "v1", "why": "the policy does not have this provider any more",
    }  # fmt: skip
    assert service.calls == []
    assert await kit.site.store.pull(CASE, name) is None
