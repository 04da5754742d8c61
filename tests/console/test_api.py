"""What an operator sees and does over the port, from the request that a key made to the next that it makes."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guardrail_mw.algorithms import keys
from guardrail_mw.cli.reach import Near
from guardrail_mw.engine.desk import ACTS
from guardrail_mw.errors import StoreError
from guardrail_mw.stores.base import Bill, Change, Receipt
from guardrail_mw.stores.memory import MemoryStore
from guardrail_mw.telemetry.event import validate
from guardrail_mw.testing.clock import FakeClock

from .kit import BEARER, CHAT, JSON, KEY, LADDER, WHY, Operated, problem

pytestmark = pytest.mark.anyio

NOBODY = "a:nobody-ever-called-me"


# Decisions


async def test_a_decision_is_found_by_the_id_that_its_client_was_given() -> None:
    operated = Operated()
    answer = await operated.chats(4)
    assert answer.status == 429
    event = await operated.see(f"/v1/decisions/{answer.decision}")
    validate(event)
    assert (event["decision"], event["refusal"]["limit"]) == ("deny", "requests")


async def test_an_unknown_decision_is_a_404() -> None:
    assert problem(await Operated().at("GET", "/v1/decisions/0123456789abcdef")) == (404, "unknown_decision")


async def test_the_latest_decisions_the_newest_first() -> None:
    operated = Operated()
    await operated.chats(3)
    await operated.post(CHAT, {}, (b"authorization", b"Bearer sk-two"))
    every = (await operated.see("/v1/decisions"))["decisions"]
    assert [event["at"] for event in every] == sorted((event["at"] for event in every), reverse=True)
    assert len(every) == 4
    assert every[0]["account"] != every[1]["account"]
    mine = (await operated.see(f"/v1/decisions?account={every[1]['account']}"))["decisions"]
    assert mine == every[1:]
    assert (await operated.see(f"/v1/decisions?account={every[1]['account']}&n=2"))["decisions"] == every[1:3]
    assert (await operated.see(f"/v1/decisions?account={NOBODY}"))["decisions"] == []


@pytest.mark.parametrize("n", ["0", "201", "-1", "1.0", "x", "", "٣", "9" * 5000])
async def test_how_many_is_a_number_from_1_to_200(n: str) -> None:
    scoped = await Operated().at("GET", f"/v1/decisions?n={n}")
    assert problem(scoped) == (422, "misuse")
    assert scoped.json["argument"] == "n"


async def test_decisions_about_what_is_no_account_are_not_just_none() -> None:
    for account in ("", "me", "a:short"):
        answer = await Operated().at("GET", f"/v1/decisions?account={account}")
        assert problem(answer) == (422, "misuse")
        assert answer.json["argument"] == "account"


async def test_half_a_surrogate_pair_in_an_event_is_no_500() -> None:
    operated = Operated()
    await operated.chats()
    event = {**operated.guardrail.recorder.latest(1)[0], "id": "odd", "model": "\ud800"}
    operated.guardrail.recorder.emit(event)
    assert (await operated.see("/v1/decisions/odd"))["model"] == "\ud800"


async def test_a_decision_is_explained_with_the_policy_that_made_it() -> None:
    operated = Operated()
    refused = await operated.chats(4)
    told = await operated.see(f"/v1/decisions/{refused.decision}/explanation")
    assert told["decision"] == refused.decision
    text = "\n".join(told["lines"])
    assert refused.decision in text
    assert "requests" in text
    assert "3/minute" in text  # only the policy knows how much that limit is
    assert problem(await operated.at("GET", "/v1/decisions/0123456789/explanation")) == (404, "unknown_decision")


async def test_a_decision_without_an_account_is_explained_too() -> None:
    operated = Operated()
    bad = await operated.post(CHAT, {}, (b"authorization", b"Bearer a"), (b"authorization", b"Bearer b"))
    assert bad.status == 400
    told = await operated.see(f"/v1/decisions/{bad.decision}/explanation")
    assert told["lines"]


# Accounts


async def test_an_account_is_explained() -> None:
    operated = Operated()
    account = await operated.account()
    told = await operated.see(f"/v1/accounts/{account}/explanation")
    assert told["account"] == account
    assert any("requests" in line for line in told["lines"])


async def test_an_account_and_its_limits() -> None:
    operated = Operated()
    account = await operated.account()
    shown = await operated.see(f"/v1/accounts/{account}")
    assert (shown["account"], shown["known"], shown["risk"], shown["rung"]) == (account, True, 0, None)
    assert [rung["name"] for rung in shown["rungs"]] == ["delay", "shut"]
    assert [event["account"] for event in shown["decisions"]] == [account]
    limits = (await operated.see(f"/v1/accounts/{account}/limits"))["limits"]
    assert [(each["name"], each["amount"], each["remaining"]) for each in limits] == [
        ("requests", "3/minute", 2),
        ("daily", "100/day", 99),
    ]
    assert (await operated.see(f"/v1/accounts/{account}/limits?route=/v1/models"))["limits"] == []  # `limits: []` there


async def test_what_an_account_has_passed_and_until_when() -> None:
    """By the rung's name, where the policy still asks for that."""
    rung = {"at": 60, "do": "challenge", "name": "puzzle", "with": {"use": "altcha"}}
    operated = Operated(friction={"ladder": [LADDER[0], rung]})
    account = await operated.account()
    code = operated.guardrail.engine.judge.ladder.rungs[1].code
    now = operated.clock.now()
    changes = [Change("max", f"cleared.{code}", str(now + 60_000_000)), Change("max", "cleared.old", str(now + 90_000_000))]
    await operated.store.remember(account, [*changes, Change("max", "cleared.over", str(now))])
    shown = await operated.see(f"/v1/accounts/{account}")
    assert shown["cleared"] == [
        {"rung": "puzzle", "code": code, "until": now + 60_000_000},
        {"rung": "", "code": "old", "until": now + 90_000_000},
    ]
    told = (await operated.see(f"/v1/accounts/{account}/explanation"))["lines"]
    assert [line for line in told if line.startswith("Passed")] == [
        "Passed   puzzle, until 2026-01-01 00:01:00 UTC",
        "Passed   what the policy does not ask for now (old), until 2026-01-01 00:01:30 UTC",
    ]
    assert (await Near(operated.guardrail).show(account))["cleared"] == shown["cleared"]


async def test_who_never_called_is_shown_as_unknown() -> None:
    shown = await Operated().see(f"/v1/accounts/{NOBODY}")
    assert (shown["known"], shown["decisions"], shown["done"]) == (False, [], [])


@pytest.mark.parametrize("path", ["", "/limits", "/export"])
@pytest.mark.parametrize("account", ["me", "a:", "a:short", "b:0123456789", "a:0123456789%20", "a:" + "x" * 65, "%C3%A4"])
async def test_what_is_no_account_is_told_so(account: str, path: str) -> None:
    answer = await Operated().at("GET", f"/v1/accounts/{account}{path}")
    assert problem(answer) == (422, "misuse")
    assert answer.json["argument"] == "account"


async def test_reset_admits_again_and_keeps_the_reason() -> None:
    operated = Operated()
    account = await operated.account()
    assert (await operated.chats(3)).status == 429
    done = await operated.do(f"/v1/accounts/{account}/reset", reason=WHY)
    assert done["fields"] >= 1
    assert (await operated.chats(3)).status == 200
    [note] = (await operated.see(f"/v1/accounts/{account}"))["done"]
    assert (note["verb"], note["why"]) == ("reset", WHY)


async def test_refill_is_of_one_limit() -> None:
    operated = Operated()
    account = await operated.account()
    await operated.chats(3)
    assert await operated.do(f"/v1/accounts/{account}/refill", limit="requests", reason=WHY) == {"fields": 1}
    left = {each["name"]: each["remaining"] for each in (await operated.see(f"/v1/accounts/{account}/limits"))["limits"]}
    assert left == {"requests": 3, "daily": 97}  # three were admitted


async def test_labels_come_and_go() -> None:
    operated = Operated()
    account = await operated.account()
    done = await operated.do(f"/v1/accounts/{account}/label", slug="research-partner", reason=WHY, until="7d")
    shown = await operated.see(f"/v1/accounts/{account}")
    assert done == {"label": "research-partner", "until": shown["now"] + 7 * 86_400_000_000}
    assert shown["labels"] == [{"label": "research-partner", "until": done["until"], "why": WHY}]
    gone = await operated.do(f"/v1/accounts/{account}/unlabel", slug="research-partner", reason=WHY)
    assert gone == {"label": "research-partner", "there": True}
    assert (await operated.see(f"/v1/accounts/{account}"))["labels"] == []


async def test_an_override_holds_with_the_next_request() -> None:
    operated = Operated()
    account = await operated.account()
    assert await operated.do(f"/v1/accounts/{account}/override", what="deny", reason=WHY) == {
        "override": "deny",
        "until": None,
    }
    assert (await operated.chats()).status == 403
    await operated.do(f"/v1/accounts/{account}/override", what="none", reason=WHY)
    assert (await operated.chats()).status == 200


async def test_a_tier_holds_with_the_next_request() -> None:
    """Three a minute for everybody, thirty for partners."""
    operated = Operated()
    account = await operated.account()
    assert (await operated.chats(3)).status == 429
    told = await operated.do(f"/v1/accounts/{account}/tier", tier="partner", reason=WHY, until="1h")
    assert told == {"tier": "partner", "until": operated.clock.now() + 3_600_000_000}
    assert (await operated.chats(4)).status == 200
    seen = await operated.see(f"/v1/accounts/{account}")
    assert (seen["tier"], seen["tier_until"], seen["tier_why"]) == ("partner", told["until"], WHY)
    assert await operated.do(f"/v1/accounts/{account}/tier", tier="none", reason=WHY) == {"tier": "none", "until": None}
    assert (await operated.chats()).status == 429


async def test_a_credential_is_named_and_kept_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    operated = Operated()
    account = await operated.account()
    key = KEY[1].decode().removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        told = await operated.do("/v1/accounts/id", credential=f" {key}\n", source=None)
        assert told == {"account": account, "source": "api_key"}
        for bad in ({}, {"credential": ""}, {"credential": 5}, {"credential": "two words"}, {"credential": "\ud800"}):
            answer = await operated.at("POST", "/v1/accounts/id", bad)
            assert problem(answer) == (422, "misuse")
            assert answer.json["argument"] == "credential"
        for more in ({"source": "jwt"}, {"source": 5}, {"key": "x"}):
            answer = await operated.at("POST", "/v1/accounts/id", {"credential": key, **more})
            assert (problem(answer), answer.json["argument"]) == ((422, "misuse"), next(iter(more)))
    assert key not in caplog.text
    answer = await operated.at("GET", "/v1/accounts/id")  # nobody's account is called that
    assert (answer.status, answer.field("allow")) == (405, "POST")


async def test_export_and_erase() -> None:
    operated = Operated()
    account = await operated.account()
    kept = await operated.see(f"/v1/accounts/{account}/export")
    assert {"standing", "counters"} <= set(kept)
    assert await operated.do(f"/v1/accounts/{account}/erase", reason=WHY) == {"erased": True, "kept": [], "left": []}
    assert (await operated.do(f"/v1/accounts/{account}/erase", reason=WHY))["erased"] is False
    assert not (await operated.see(f"/v1/accounts/{account}/export"))["counters"]


@pytest.mark.parametrize("verb", ACTS)
@pytest.mark.parametrize(
    ("reason", "argument"),
    [({}, "reason"), ({"reason": ""}, "reason"), ({"reason": "a\nb"}, "reason"), ({"reason": 5}, "reason"),
     ({"reason": "x" * 257}, "reason"), ({"reason": WHY, "reasons": WHY}, "reasons"), ({"reason": "\ud800"}, "reason")],
)  # fmt: skip
async def test_every_act_needs_a_reason_and_nothing_unknown(verb: str, reason: dict[str, Any], argument: str) -> None:
    operated = Operated()
    account = await operated.account()
    before = await operated.see(f"/v1/accounts/{account}/export")
    needed = {"refill": {"limit": "requests"}, "override": {"what": "deny"}, "tier": {"tier": "none"}}.get(verb, {})
    needed = {"slug": "some"} if "label" in verb else needed
    answer = await operated.at("POST", f"/v1/accounts/{account}/{verb}", {**needed, **reason})
    assert problem(answer) == (422, "misuse")
    assert answer.json["argument"] == argument
    assert await operated.see(f"/v1/accounts/{account}/export") == before


@pytest.mark.parametrize(
    ("verb", "given", "argument", "near"),
    [
        ("refill", {"limit": "request"}, "limit", "requests"),
        ("override", {"what": "shutt"}, "what", "shut"),
        ("tier", {"tier": "partners", "until": "1d"}, "tier", "Its tiers are partner."),
        ("tier", {"tier": "partner"}, "until", "is missing"),
        ("label", {"slug": "Not One"}, "slug", ""),
        ("label", {"slug": "some", "until": "soon"}, "until", ""),
    ],
)
async def test_a_name_that_is_not_there_is_told_with_the_nearest(
    verb: str, given: dict[str, str], argument: str, near: str
) -> None:
    operated = Operated()
    account = await operated.account()
    answer = await operated.at("POST", f"/v1/accounts/{account}/{verb}", {"reason": WHY, **given})
    assert problem(answer) == (422, "misuse")
    assert answer.json["argument"] == argument
    assert near in answer.json["detail"]


# Mode


async def test_a_rule_and_everything_are_switched() -> None:
    operated = Operated()
    account = await operated.account()
    assert (await operated.see("/v1/mode"))["rules"] == ["requests", "daily", "more", "automation", "delay", "shut"]
    told = await operated.do("/v1/mode", "PUT", rule="requests", mode="shadow", reason=WHY)
    assert (told["mode"], told["switches"]) == ("enforce", {"requests": "shadow"})
    assert (await operated.chats(5)).status == 200
    told = await operated.do("/v1/mode", "PUT", rule="requests", mode=None)
    assert told["switches"] == {}
    await operated.do(f"/v1/accounts/{account}/reset", reason=WHY)
    assert (await operated.chats(4)).status == 429
    told = await operated.do("/v1/mode", "PUT", mode="shadow")
    assert (told["mode"], told["policy"], told["switches"]) == ("shadow", "enforce", {"": "shadow"})
    assert (await operated.chats()).status == 200


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        ({}, "mode"),
        ({"rule": "requests"}, "mode"),
        ({"mode": "sideways"}, "mode"),
        ({"mode": 5}, "mode"),
        ({"mode": "off", "rule": None}, "rule"),
        ({"mode": "off", "reason": 5}, "reason"),
        ({"mode": "off"}, "reason"),
        ({"mode": "shadow", "rule": "request"}, "rule"),
        ({"mode": "off", "rule": "requests"}, "mode"),
        ({"mode": "off", "rules": "requests"}, "rules"),
    ],
)
async def test_a_switch_that_cannot_be_is_not_thrown(body: dict[str, Any], argument: str) -> None:
    operated = Operated()
    answer = await operated.at("PUT", "/v1/mode", body)
    assert problem(answer) == (422, "misuse")
    assert answer.json["argument"] == argument
    assert (await operated.see("/v1/mode"))["switches"] == {}


# Metrics


async def test_metrics_are_prometheus_text() -> None:
    operated = Operated(telemetry={"metrics": True})
    await operated.chats(4)
    answer = await operated.at("GET", "/metrics")
    kind = answer.field("content-type")
    assert kind is not None
    assert kind.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    decided = {
        each.labels["decision"]: each.value for each in families["guardrail_decisions"].samples if "_total" in each.name
    }
    assert decided == {"allow": 3.0, "deny": 1.0}
    assert (
        b"# EOF" in (await operated.at("GET", "/metrics", None, BEARER, (b"accept", b"application/openmetrics-text"))).body
    )


async def test_without_metrics_that_is_said() -> None:
    assert problem(await Operated().at("GET", "/metrics")) == (404, "metrics_off")


# Requests that are none


@pytest.mark.parametrize(
    ("pieces", "status", "code"),
    [
        ([b""], 400, "invalid_json"),
        ([b"{"], 400, "invalid_json"),
        ([b'{"reason": "\xff"}'], 400, "invalid_json"),
        ([b"[" * 9000], 400, "invalid_json"),
        ([b"[]"], 422, "misuse"),
        ([b'"reason"'], 422, "misuse"),
        ([b'{"reason": NaN}'], 422, "misuse"),
        ([b'{"reason": "', b"x" * 16_384, b'"}'], 413, "too_long"),
    ],
)
async def test_bad_bodies(pieces: list[bytes], status: int, code: str) -> None:
    answer = await Operated().at("POST", f"/v1/accounts/{NOBODY}/reset", raw=pieces)
    assert problem(answer) == (status, code)


async def test_a_body_in_pieces_is_put_together() -> None:
    pieces = [b'{"rea', b'son": "as ', b'agreed"}']
    assert (await Operated().at("POST", f"/v1/accounts/{NOBODY}/reset", raw=pieces)).status == 200


@pytest.mark.parametrize("kind", [b"text/plain", b"application/x-www-form-urlencoded", b"", b"application/jsonp"])
async def test_a_body_says_that_it_is_json(kind: bytes) -> None:
    """A page in a browser cannot send it then without asking first."""
    path = f"/v1/accounts/{NOBODY}/reset"
    assert problem(await Operated().at("POST", path, {"reason": WHY}, BEARER, (b"content-type", kind))) == (415, "not_json")
    assert problem(await Operated().at("POST", path, {"reason": WHY}, BEARER)) == (415, "not_json")
    charset = (b"content-type", b"Application/JSON; charset=utf-8")
    assert (await Operated().at("POST", path, {"reason": WHY}, BEARER, charset)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/mode", {"GET", "HEAD", "PUT"}),
        ("POST", "/v1/mode", {"GET", "HEAD", "PUT"}),
        ("GET", f"/v1/accounts/{NOBODY}/erase", {"POST"}),
        ("POST", "/v1/decisions", {"GET", "HEAD"}),
    ],
)
async def test_other_methods_are_told_which_there_are(method: str, path: str, allowed: set[str]) -> None:
    answer = await Operated().at(method, path)
    assert problem(answer) == (405, "method_not_allowed")
    assert set(str(answer.field("allow")).split(", ")) == allowed


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/mode/", "/v1/accounts", f"/v1/accounts/{NOBODY}/forgive", "/docs", "/.guardrail/live"]
)
async def test_there_is_nothing_else(path: str) -> None:
    assert problem(await Operated().at("GET", path)) == (404, "not_found")


# What breaks


class Broken(MemoryStore):
    """A store that is down."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.failure: Exception = StoreError("The store is unavailable.", "at redis://user:secret@db.internal")
        super().__init__(clock=self.clock)

    async def peek(self, bill: Bill) -> Receipt:
        raise self.failure


async def test_a_store_that_is_down_is_a_503_without_its_address() -> None:
    answer = await Operated(store=Broken()).at("GET", f"/v1/accounts/{NOBODY}")
    assert problem(answer) == (503, "store_failed")
    assert answer.json["detail"] == "The store is unavailable."
    assert b"secret" not in answer.body


async def test_what_nobody_expected_is_a_500_without_its_reason() -> None:
    store = Broken()
    store.failure = RuntimeError("the secret inside")
    operated = Operated(store=store)
    with pytest.raises(RuntimeError, match="the secret inside"):  # for the server, which logs it
        await operated.at("GET", f"/v1/accounts/{NOBODY}")
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": f"/v1/accounts/{NOBODY}", "headers": [BEARER, JSON], "client": None}
    with pytest.raises(RuntimeError):
        await operated.port(scope | {"query_string": b""}, receive, send)
    assert said[0]["status"] == 500
    assert b"secret" not in said[1]["body"]


async def test_evidence_is_fed_in_and_taken_away() -> None:
    operated = Operated(clusters={})
    account = await operated.account()
    fed = {"account": account, "kind": "payment", "value": "fp_1", "created": "2025-11-24T16:00:00Z"}
    assert await operated.do("/v1/link", **fed) == {"account": account}
    kept = await operated.see(f"/v1/accounts/{account}/export")
    assert kept["standing"]["fields"]["created"] == "1764000000000000"
    digester = operated.guardrail.engine.resolver.digester
    shown = [each["key"] for each in kept["evidence"]["edges"]]
    assert f"{digester.key(keys.PAYMENT, 'fp_1'):016x}" in shown
    assert "fp_1" not in str(kept)
    del fed["created"]
    assert await operated.do("/v1/unlink", **fed) == {"account": account}
    left = (await operated.see(f"/v1/accounts/{account}/export"))["evidence"]["edges"]
    assert len(left) == len(shown) - 1
    for bad, named in (
        ({"kind": "payment", "value": "x"}, "account"),
        ({"account": account, "kind": "cards", "value": "x"}, "kind"),
        ({**fed, "why": 1}, "why"),
    ):
        answer = await operated.at("POST", "/v1/link", bad)
        assert (problem(answer), answer.json["argument"]) == ((422, "misuse"), named)


async def test_without_clusters_no_evidence_is_taken() -> None:
    operated = Operated()
    answer = await operated.at("POST", "/v1/link", {"account": await operated.account(), "kind": "payment", "value": "x"})
    assert problem(answer) == (422, "misuse")
