"""Devices: signed or seen, never alike, and not too many."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from guardrail_mw.errors import TokenError
from guardrail_mw.identity import IdentitySettings, Keyring, Resolver, device
from guardrail_mw.identity.device import AGAIN, APART, IDLE, Told
from guardrail_mw.identity.device_cookie import COOKIE, LIFE, RENEW, Signer
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Facts, Subject

from .kit import ID_KEY, NOW, Counts, at_once, facts, key_source

KEY = b"k" * 32
SIGNER = Signer(Keyring([KEY]))
SDK = (("user-agent", "OpenAI/Python 1.35.12"), ("accept-encoding", "gzip, deflate"), ("x-stainless-os", "Linux"))
MINE = ("authorization", "Bearer sk-mine")
PROXY = "10.0.0.1"


def resolver(
    clock: FakeClock | None = None, observer: Counts | None = None, keys: Keyring | None = None, **settings: Any
) -> Resolver:
    """One that tells devices apart, with `settings` of theirs."""
    section = {"sources": [key_source("gateway")], "trusted_proxies": ["10.0.0.0/8"], "device": settings}
    return Resolver(
        IdentitySettings.model_validate(section),
        id_key=ID_KEY,
        clock=clock or FakeClock(),
        observer=observer,
        keys=keys or Keyring([KEY]),
    )


def given_back(header: bytes | None) -> tuple[str, str | bytes]:
    """What a client sends after it got that `set-cookie`."""
    assert header is not None
    return ("cookie", b"theme=dark; " + header.partition(b";")[0])


def told(guarded: Resolver, *headers: tuple[str, str | bytes], peer: str = "203.0.113.9") -> Subject:
    return at_once(guarded.identify(facts(*headers, peer=peer)))


def test_without_the_setting_there_are_no_devices() -> None:
    section = {"sources": [key_source("gateway")]}
    guarded = Resolver(IdentitySettings.model_validate(section), id_key=ID_KEY, clock=FakeClock())
    one = told(guarded, MINE, *SDK)
    assert told(guarded, MINE, ("user-agent", "another")) is one
    assert (one.device, one.device_kind, one.device_due) == ("", "", False)
    assert guarded.device_cookie(facts(MINE)) is None


def test_what_a_client_shows_tells_it_apart() -> None:
    guarded = resolver()
    one = told(guarded, MINE, *SDK)
    assert (one.device[:2], len(one.device), one.device_kind, one.device_due) == ("d:", 24, "seen", True)
    assert told(guarded, MINE, *SDK) is one
    assert told(guarded, MINE, *SDK, ("accept", "text/event-stream"), ("x-stainless-retry-count", "1")) is one
    for name, _ in SDK:
        other = told(guarded, MINE, *[(each, value if each != name else "other") for each, value in SDK])
        assert other.device not in {"", one.device}
        assert other.account == one.account
        assert told(guarded, MINE, *[pair for pair in SDK if pair[0] != name]).device not in {"", one.device, other.device}


def test_a_device_is_the_same_whoever_uses_it_from_wherever() -> None:
    guarded = resolver()
    mine, theirs = told(guarded, MINE, *SDK), told(guarded, ("x-api-key", "sk-theirs"), *SDK[::-1], peer="203.0.113.77")
    assert mine.account != theirs.account
    assert mine.device == theirs.device


def test_who_shows_nothing_has_no_device() -> None:
    nobody = told(resolver(), MINE, ("accept", "*/*"))
    assert (nobody.device, nobody.device_kind, nobody.device_due) == ("", "", True)


def test_nothing_can_be_moved_from_one_header_to_the_next() -> None:
    guarded = resolver(headers=["x-a", "x-b"])
    shown = [[("x-a", "12"), ("x-b", "3")], [("x-a", "1"), ("x-b", "23")], [("x-a", "123")], [("x-b", "123")]]
    shown += [[("x-a", "123"), ("x-b", "")], [("x-a", "1x-b:2:23")], [("x-a", ""), ("x-b", "123")]]
    assert len({told(guarded, MINE, *headers).device for headers in shown}) == len(shown)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x-a": "bc"}, {"x-ab": "c"}),  # name and value, and nothing between
        ({"x-a": "1", "x-b": "2"}, {"x-a": "1x-b2"}),  # likewise
        ({"x-a": "1", "x-b": "2"}, {"x-a": "1x-b:2"}),  # a colon between, and no length
        ({"x-a": "abx-b5:cdefg"}, {"x-a1": "ab", "x-b": "cdefg"}),  # nothing between name and length: x-a, 12 or x-a1, 2
        ({"x-a": "x-b:7cdefghi"}, {"x-a": "2", "x-b": "cdefghi"}),  # nothing between length and value: 12 or 1, 2
    ],
)
def test_no_two_sets_of_headers_are_written_alike(one: dict[str, str], other: dict[str, str]) -> None:
    """Each pair is one text, and so one device, under a framing that leaves out what its comment says."""
    guarded = resolver(headers=["x-a", "x-a1", "x-ab", "x-b"])
    devices = {told(guarded, MINE, *each.items()).device for each in (one, other)}
    assert len(devices - {""}) == 2


def test_headers_are_cut_and_of_doubles_the_first_counts() -> None:
    guarded = resolver()
    long = told(guarded, MINE, ("user-agent", "x" * 512))
    assert told(guarded, MINE, ("user-agent", "x" * 8192)).device == long.device
    assert told(guarded, MINE, ("user-agent", "x" * 511)).device != long.device
    assert told(guarded, MINE, ("user-agent", "x" * 512), ("user-agent", "y")).device == long.device


def test_a_fingerprint_is_believed_from_trusted_proxies_only() -> None:
    guarded = resolver(tls_header="x-ja4")
    chain = ("x-forwarded-for", "203.0.113.9")
    prints = [("x-ja4", "t13d1516h2"), ("x-ja4", "t13d1715h1")]
    behind = [told(guarded, MINE, *SDK, chain, each, peer=PROXY).device for each in prints]
    before = [told(guarded, MINE, *SDK, each).device for each in prints]
    assert len(set(behind)) == 2
    assert len(set(before)) == 1
    assert before[0] == told(guarded, MINE, *SDK, chain, peer=PROXY).device


# The cookie


def test_who_sends_the_cookie_back_is_signed() -> None:
    guarded = resolver()
    first = told(guarded, MINE, *SDK)
    cookie = given_back(guarded.device_cookie(facts(MINE, *SDK)))
    signed = told(guarded, MINE, *SDK, cookie)
    assert (signed.device[:2], signed.device_kind, signed.device_due) == ("d:", "signed", False)
    assert signed.device != first.device
    assert told(guarded, MINE, ("user-agent", "another"), cookie).device == signed.device
    assert told(guarded, ("x-api-key", "sk-theirs"), cookie).device == signed.device
    assert told(guarded, MINE, *SDK).device == first.device


def test_a_cached_subject_is_for_that_cookie_only() -> None:
    guarded = resolver()
    cookies = [given_back(guarded.device_cookie(facts())) for _ in range(2)]
    one, two = (told(guarded, MINE, *SDK, cookie) for cookie in cookies)
    assert one.device != two.device
    assert told(guarded, MINE, *SDK, cookies[0]) is one
    assert told(guarded, MINE, *SDK, ("cookie", "theme=dark"), cookies[0]) is one  # whatever else there is


def test_a_made_up_cookie_is_seen_as_none_is() -> None:
    guarded = resolver()
    header = Signer(Keyring([b"x" * 32])).issue(NOW)
    made_up = told(guarded, MINE, *SDK, given_back(header))
    assert (made_up.device, made_up.device_kind, made_up.device_due) == (told(guarded, MINE, *SDK).device, "seen", True)


def test_showing_a_signed_devices_id_leads_nowhere() -> None:
    """Seen and signed digests are of different kinds, even of the same bytes."""
    guarded = resolver(headers=["user-agent"])
    header = SIGNER.issue(NOW, b"i" * 16)
    signed = told(guarded, MINE, given_back(header)).device
    assert all(
        told(guarded, MINE, ("user-agent", text)).device != signed for text in ("i" * 16, "user-agent:16:" + "i" * 16)
    )


def test_it_rotates_and_stays_the_same_device() -> None:
    clock = FakeClock()
    guarded = resolver(clock, keys=Keyring([b"n" * 32, KEY]))
    cookie = given_back(SIGNER.issue(NOW))
    young = told(guarded, MINE, *SDK, cookie)
    clock.advance(RENEW - 1)
    assert not told(guarded, MINE, *SDK, cookie).device_due
    clock.advance(1)
    old = told(guarded, MINE, *SDK, cookie)
    assert (old.device, old.device_kind, old.device_due) == (young.device, "signed", True)
    again = given_back(guarded.device_cookie(facts(MINE, cookie)))
    assert again != cookie
    renewed = told(guarded, MINE, *SDK, again)
    assert (renewed.device, renewed.device_due) == (young.device, False)
    clock.advance(LIFE - RENEW)
    assert told(guarded, MINE, *SDK, cookie).device_kind == "seen"
    assert told(guarded, MINE, *SDK, again).device == young.device


def test_a_key_that_is_listed_no_longer_makes_it_unknown() -> None:
    guarded = resolver(keys=Keyring([b"n" * 32]))
    unknown = told(guarded, MINE, *SDK, given_back(SIGNER.issue(NOW)))
    assert (unknown.device_kind, unknown.device_due) == ("seen", True)


def test_without_cookies_none_is_read_or_set() -> None:
    guarded = resolver(cookie=False)
    subject = told(guarded, MINE, *SDK, given_back(SIGNER.issue(NOW)))
    assert (subject.device_kind, subject.device_due) == ("seen", False)
    assert told(guarded, MINE, *SDK) is subject
    assert guarded.device_cookie(facts(MINE)) is None


def test_it_needs_keys() -> None:
    with pytest.raises(ValueError, match="no keys"):
        Resolver(IdentitySettings.model_validate({"device": {}}), id_key=ID_KEY, clock=FakeClock())


# How many


def test_sixty_four_devices_of_an_account_are_told_apart() -> None:
    counts = Counts()
    guarded = resolver(observer=counts)
    subjects = [told(guarded, MINE, ("user-agent", f"own/{number}")) for number in range(200)]
    assert len({subject.device for subject in subjects[:64]}) == 64
    assert {(subject.device, subject.device_kind, subject.device_due) for subject in subjects[64:]} == {("", "", True)}
    assert counts["identity.devices_full"] == 136
    assert told(guarded, MINE, ("user-agent", "own/3")).device == subjects[3].device
    assert told(guarded, ("x-api-key", "sk-theirs"), ("user-agent", "own/99")).device_kind == "seen"
    signed = told(guarded, MINE, given_back(SIGNER.issue(NOW)))
    assert (signed.device, signed.device_due) == ("", False)


def test_a_day_of_silence_makes_room_and_use_keeps_it() -> None:
    clock = FakeClock()
    guarded = resolver(clock)
    kept = told(guarded, MINE, ("user-agent", "own/0"))
    for number in range(1, APART):
        told(guarded, MINE, ("user-agent", f"own/{number}"))
    for _ in range(IDLE // AGAIN):
        clock.advance(AGAIN // 1_000_000)
        assert told(guarded, MINE, ("user-agent", "own/0")).device == kept.device
    newcomers = [told(guarded, MINE, ("user-agent", f"new/{number}")).device for number in range(APART)]
    assert "" not in newcomers[:63]
    assert newcomers[63] == ""


def test_who_calls_every_ninety_minutes_is_not_worked_out_each_time() -> None:
    """As an account does that asks sixteen times a day: the device is looked at anew twice a day, and never idle."""
    clock = FakeClock()
    guarded = resolver(clock)
    first = told(guarded, MINE, ("user-agent", "own/0"))
    again = []
    for _ in range(16):
        clock.advance(5_400)
        again.append(told(guarded, MINE, ("user-agent", "own/0")))
    assert [each is first for each in again[:8]] == [True] * 7 + [False]
    assert len({id(each) for each in again}) == 3
    assert {each.device for each in again} == {first.device}


def test_the_table_is_bounded_and_forgets_who_was_longest_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "MOST", 4)
    table = Told()
    for account in ("a:1", "a:2"):
        assert all(table.tell(account, f"d:{number}", 0) for number in range(2))
    table.tell("a:1", "d:0", 0)
    table.tell("a:3", "d:0", 0)
    assert (len(table), list(table._accounts)) == (3, ["a:1", "a:3"])
    for number in range(1000):
        table.tell(f"a:{number}", "d:0", 0)
    assert len(table) == sum(map(len, table._accounts.values())) == 4


def test_sweeping_keeps_the_count() -> None:
    table = Told()
    for number in range(APART):
        table.tell("a:1", f"d:{number}", number)
    assert not table.tell("a:1", "d:new", IDLE - 1)
    assert table.tell("a:1", "d:new", IDLE + 9)
    assert len(table) == len(table._accounts["a:1"]) == APART - 9


def test_the_fallback_has_its_device_too() -> None:
    guarded = resolver()
    bad = facts(("authorization", "Bearer a b"), *SDK)
    with pytest.raises(TokenError):
        guarded.identify(bad)
    subject = guarded.fallback(bad)
    assert (subject.device, subject.device_kind) == (told(guarded, *SDK).device, "seen")


names = st.sampled_from(["user-agent", "accept-language", "cookie", "x-ja4", "x-api-key", "x-forwarded-for"])
values = st.binary(max_size=60) | st.sampled_from([COOKIE + b"=", SIGNER.issue(NOW), b"x" * 600])


@given(headers=st.lists(st.tuples(names, values), max_size=6), peer=st.sampled_from([PROXY, "203.0.113.9", "unix", "?"]))
def test_whatever_arrives_is_a_device_or_none(headers: list[tuple[str, bytes]], peer: str) -> None:
    guarded = resolver(tls_header="x-ja4")
    request: Facts = facts(*headers, peer=peer)
    subject = guarded.fallback(request)
    assert (subject.device[:2], len(subject.device)) in {("d:", 24), ("", 0)}
    assert bool(subject.device) == bool(subject.device_kind)
    assert guarded.device_cookie(request) is not None


# Its settings


def test_settings_that_are_not() -> None:
    cases: dict[str, dict[str, Any]] = {
        "credential": {"headers": ["cookie"]},
        "twice": {"headers": ["user-agent", "user-agent"]},
        "pattern": {"headers": ["User-Agent"]},
        "stripped": {"headers": ["x-guardrail-x"]},
        "at least 1": {"headers": []},
        "holds a credential": {"tls_header": "authorization"},
        "valid boolean": {"cookie": "yes"},
        "not permitted": {"fingerprint": True},
    }
    for why, section in cases.items():
        with pytest.raises(ValidationError, match=why):
            IdentitySettings.model_validate({"trusted_proxies": ["unix"], "device": section})


def test_a_fingerprint_needs_somebody_to_believe() -> None:
    with pytest.raises(ValidationError, match="trusted_proxies names none"):
        IdentitySettings.model_validate({"device": {"tls_header": "x-ja4"}})
    IdentitySettings.model_validate({"trusted_proxies": ["unix"], "device": {"tls_header": "x-ja4"}})
