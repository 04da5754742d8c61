"""The collector: each key once a day and account, what is written again and again, and nothing of what is written once."""

from __future__ import annotations

import random
import re
from itertools import count
from pathlib import Path

import pytest

from guardrail_mw.algorithms import keys
from guardrail_mw.algorithms.keys import code_of
from guardrail_mw.clusters.collecting import A_DAY, DAY, Collector
from guardrail_mw.clusters.shingles import KEPT
from guardrail_mw.identity.digest import Digester
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Content, Subject

DIGESTER = Digester(b"0123456789abcdef0123456789abcdef")
PAYMENT, NETWORK, AGENT = (DIGESTER.key(code, "value") for code in (keys.PAYMENT, keys.NETWORK, keys.AGENT))
WORDS = re.findall(
    r"[a-z]{2,}", (Path(__file__).parents[2] / "docs" / "explanation" / "arithmetic.md").read_text(encoding="utf-8")
)
TEMPLATE = (
    "You are a careful examiner. Read the question below, think about it step by step, and write down every step of your "
    "reasoning before you give the answer; do not leave out what seems obvious. Then say how sure you are. Question: "
)
SECONDS = DAY // 1_000_000
numbers = count()


def collector(
    clock: FakeClock | None = None, *, content: bool = True, places: int = 1 << 16, accounts: int = 64
) -> Collector:
    return Collector(content=content, keys=DIGESTER, clock=clock or FakeClock(), places=places, accounts=accounts)


def subject(name: str = "one", *evidence: int) -> Subject:
    account = DIGESTER.account("jwt", "", name)
    return Subject(account=account, candidate=account, network="n:x", authenticated=True, evidence=evidence)


def words(length: int = 40) -> str:
    """Free text that was never written before."""
    return " ".join(random.Random(next(numbers)).choices(WORDS, k=length))


def asked(one: Collector, text: str, system: str = "") -> Content:
    assert one.read is not None
    found = one.read(system, text)
    assert found is not None
    return found


def piece(number: int) -> int:
    """A shingle's key; in the order of the numbers, which go to 1023."""
    return keys.join(keys.SHINGLE, number << 47 | random.Random(number).getrandbits(47))


def shingles(*pieces: int) -> Content:
    """A message with these shingles, another each time."""
    return Content(0, tuple(map(piece, sorted(pieces))), next(numbers) % 60_000 + 1)


def shown(one: Collector, who: Subject, content: Content) -> tuple[int, ...]:
    """What a request writes, where the charge succeeds."""
    edges = one.edges(who, content)
    one.noted(who, edges)
    return edges


# Once a day


@pytest.mark.parametrize("day", [80 * 256 - 1, 80 * 256, 80 * 256 + 1])
def test_no_day_is_another(day: int) -> None:
    """Of the day eight bits are kept: one day in 256 has none of them set."""
    one, who = collector(FakeClock(day * DAY)), subject("one", PAYMENT, NETWORK, AGENT)
    assert shown(one, who, shingles(1, 2)) == (PAYMENT, NETWORK, AGENT)
    shown(one, subject("two"), shingles(1, 2))
    assert shown(one, who, shingles(1, 2)) == (piece(1), piece(2))
    assert one.edges(who, shingles(3)) == ()


def test_what_is_written_is_not_written_again() -> None:
    one, who = collector(), subject("one", PAYMENT, NETWORK)
    assert one.edges(who) == (PAYMENT, NETWORK)
    one.noted(who, (PAYMENT, NETWORK))
    assert one.edges(who) == ()
    assert one.edges(subject("one", PAYMENT, NETWORK, AGENT)) == (AGENT,)
    assert one.edges(subject("two", PAYMENT)) == (PAYMENT,)


def test_where_the_charge_failed_they_come_again() -> None:
    one, who = collector(), subject("one", PAYMENT, NETWORK)
    assert one.edges(who) == one.edges(who) == (PAYMENT, NETWORK)
    one.noted(who, (PAYMENT,))
    assert one.edges(who) == (NETWORK,)


def test_a_new_day_has_them_again() -> None:
    """FakeClock starts at midnight UTC: the store shall know on which day evidence was last seen."""
    clock = FakeClock()
    one, who = collector(clock), subject("one", PAYMENT)
    one.noted(who, one.edges(who))
    assert one.edges(who) == ()
    clock.advance(SECONDS - 0.000_001)
    assert one.edges(who) == one.edges(subject("one", PAYMENT)) == ()
    clock.advance(0.000_001)
    assert one.edges(who) == (PAYMENT,)
    assert one.edges(subject("one", PAYMENT)) == (PAYMENT,)


def test_256_days_later_it_is_another_day() -> None:
    """The table holds the day's lowest eight bits; whoever does not come for so long has been pushed out, or is written."""
    clock = FakeClock()
    one, who = collector(clock), subject("one", PAYMENT)
    one.noted(who, one.edges(who))
    clock.advance(255 * SECONDS)
    assert one.edges(who) == (PAYMENT,)


def test_the_anonymous_and_what_shows_nothing_have_no_edges() -> None:
    one = collector()
    nobody = Subject(account="n:x", network="n:x", evidence=(PAYMENT,))
    assert one.edges(nobody, Content(PAYMENT, (), 1), (AGENT,)) == ()
    assert one.edges(subject()) == ()
    assert one.edges(subject(), Content()) == ()


def test_more_keys_are_written_as_evidence_is() -> None:
    one, who = collector(), subject("one", PAYMENT)
    release = keys.join(keys.RELEASE, 7)
    one.noted(who, one.edges(who))
    assert one.edges(who, None, (release,)) == (release,)
    one.noted(who, (release,))
    assert one.edges(who, None, (release,)) == ()


def test_a_table_that_is_too_small_writes_more_and_loses_nothing() -> None:
    """Two places for 40 values: each is told again, none is forgotten to be told."""
    one = collector(places=2)
    evidence = [DIGESTER.key(keys.PAYMENT, f"{number}") for number in range(40)]
    subjects = [subject(f"{number}", key) for number, key in enumerate(evidence)]
    for who in subjects:
        one.noted(who, one.edges(who))
    told = [one.edges(subject(f"{number}", key)) for number, key in enumerate(evidence)]
    assert sum(map(len, told)) == 38
    assert {edges for edges in told if edges} <= {(key,) for key in evidence}


def test_a_full_table_makes_room_in_whatever_is_older_than_today() -> None:
    clock = FakeClock()
    one = collector(clock, places=2)
    for name in "ab":
        one.noted(subject(name, PAYMENT), (PAYMENT,))
    clock.advance(SECONDS)
    for name in "cd":
        one.noted(subject(name, PAYMENT), (PAYMENT,))
    assert [one.edges(subject(name, PAYMENT)) for name in "abcd"] == [(PAYMENT,), (PAYMENT,), (), ()]


@pytest.mark.parametrize("places", [0, 1, 3, 1000, 1 << 25])
def test_places_are_a_power_of_two(places: int) -> None:
    with pytest.raises(ValueError, match="a power of two from 2 to"):
        collector(places=places)


@pytest.mark.parametrize(
    ("code", "most"),
    [
        (keys.NETWORK, 12),
        (keys.NETWORK_WIDE, 8),
        (keys.SYSTEM, 8),
        (keys.DEVICE_SEEN, 4),
        (keys.TLS, 4),
        (keys.AGENT, 4),
        (keys.PAYMENT, 100),
    ],
)
def test_who_shows_another_value_with_each_request_fills_no_store(code: int, most: int) -> None:
    """So many a day and account, each kind for itself; they that were written come again the next day."""
    clock = FakeClock()
    one = collector(clock)
    values = [DIGESTER.key(code, f"{number}") for number in range(100)]
    for _ in range(2):
        found: list[int] = []
        for value in values:
            who = subject("one", value)
            found += one.edges(who)
            one.noted(who, one.edges(who))
        assert found == values[:most]
        assert one.edges(subject("one", PAYMENT)) == (PAYMENT,)
        assert one.edges(subject("two", values[50])) == (values[50],)
        clock.advance(SECONDS)


def test_a_day_leaves_room_for_what_is_bound() -> None:
    """A store keeps 64 edges of an account."""
    assert sum(A_DAY.values()) + KEPT <= 56


# What was said


def test_without_content_nothing_is_read() -> None:
    assert collector(content=False).read is None


def test_a_system_prompt_is_one_key_from_its_first_time_on() -> None:
    one, who = collector(), subject()
    said = asked(one, "", "You are  helpful.")
    assert code_of(said.system) == keys.SYSTEM
    assert shown(one, who, said) == (said.system,)
    assert shown(one, who, asked(one, "", "you are helpful")) == ()
    assert one.read is not None
    assert one.read("", "") is None
    assert asked(one, "hello", "").system == 0


def test_what_somebody_writes_once_never_leaves() -> None:
    """Not in 300 messages of free text is anything digested, nor is it of messages that begin with them once more."""
    one, texts = collector(places=1 << 20), [words() for _ in range(300)]
    pieces = [one._shingler.pieces(text) for text in texts]
    assert sum(len(few) + len(many) for few, many, _ in pieces) > 600
    assert [asked(one, text).shingles for text in texts] == [()] * 300
    again = [asked(one, f"{text} {words()}") for text in texts]
    assert sum(len(each.shingles) for each in again) > 600
    assert [shown(one, subject(f"{place}"), each) for place, each in enumerate(again)] == [()] * 300


def test_a_message_that_is_sent_again_is_not_another() -> None:
    """An SDK's second try, and an agent that goes on with what its user asked once."""
    one, who, text = collector(), subject(), TEMPLATE + words()
    assert [shown(one, who, asked(one, text)) for _ in range(20)] == [()] * 20
    assert [shown(one, who, asked(one, text.replace(" ", "  "))) for _ in range(20)] == [()] * 20


def test_what_is_in_three_messages_is_written_with_the_third() -> None:
    """The second shows that it is written more than once, the second and the third that this account does so."""
    one, who = collector(), subject()
    template = {*one._shingler.keys(*one._shingler.pieces(TEMPLATE)[:2])}
    assert len(template) >= 3
    first, second, third, fourth = (asked(one, TEMPLATE + words()) for _ in range(4))
    assert shown(one, who, first) == shown(one, who, second) == ()
    assert len(template & {*shown(one, who, third)}) >= len(template) - 1
    assert shown(one, who, fourth) == ()


def test_what_others_write_is_written_with_ones_own_second() -> None:
    one = collector()
    for name in "abc":
        assert shown(one, subject(name), asked(one, TEMPLATE + words())) == ()
    assert shown(one, subject("c"), asked(one, TEMPLATE + words())) != ()
    assert shown(one, subject("a"), asked(one, TEMPLATE + words())) == ()
    assert shown(one, subject("a"), asked(one, TEMPLATE + words())) != ()


def test_one_copy_of_a_text_that_goes_around_is_nobodys_habit() -> None:
    """A hundred people paste it once each, and put a word before it."""
    one, text = collector(), TEMPLATE + words()
    said = [asked(one, f"{words(3)} {text}") for _ in range(100)]
    assert sum(len(each.shingles) for each in said) > 300
    assert [shown(one, subject(f"{number}"), each) for number, each in enumerate(said)] == [()] * 100


def test_a_template_becomes_evidence_of_those_who_use_it() -> None:
    one = collector()
    accounts = [subject(f"{number}") for number in range(12)]
    found: dict[str, set[int]] = {}
    for _ in range(4):
        for who in accounts:
            found.setdefault(who.candidate, set()).update(shown(one, who, asked(one, TEMPLATE + words())))
    template = {*one._shingler.keys(*one._shingler.pieces(TEMPLATE)[:2])}
    assert len(template) >= 3
    assert all(len(each & template) >= 2 for each in found.values())
    assert set.union(*found.values()) <= template


def test_shingles_come_again_the_next_day_without_being_met_twice() -> None:
    clock = FakeClock()
    one, who = collector(clock), subject()
    key = piece(99)
    for _ in range(2):
        shown(one, who, shingles(99))
    clock.advance(SECONDS)
    assert shown(one, who, shingles(99)) == (key,)
    assert shown(one, who, shingles(99)) == ()


def test_where_the_charge_failed_a_shingle_comes_with_the_next_message() -> None:
    one, who = collector(), subject()
    one.edges(who, shingles(99))
    assert one.edges(who, shingles(99)) == one.edges(who, shingles(99)) != ()


def test_the_sixteen_lowest_are_kept_and_those_above_are_not_sent() -> None:
    one, who = collector(), subject()
    high = range(100, 100 + KEPT)
    for _ in range(2):
        written = shown(one, who, shingles(*high))
    assert written == tuple(piece(number) for number in high)
    for _ in range(5):
        assert shown(one, who, shingles(200)) == ()
    for _ in range(2):
        written = shown(one, who, shingles(7))
    assert written == (piece(7),)
    clock_day = [shown(one, who, shingles(number)) for number in (115, 114)]
    assert clock_day == [(), ()]  # 115 has made room, 114 is written already


def test_one_who_was_pushed_out_by_a_lower_one_is_not_sent_the_next_day() -> None:
    clock = FakeClock()
    one, who = collector(clock), subject()
    every = range(100, 100 + KEPT)
    for _ in range(2):
        shown(one, who, shingles(*every))
    for _ in range(2):
        shown(one, who, shingles(7))
    clock.advance(SECONDS)
    again = {key for number in every for key in shown(one, who, shingles(number))}
    assert again == {piece(number) for number in every[:-1]}


def test_of_many_accounts_the_latest_are_known() -> None:
    """An account that was forgotten begins anew: its shingle is met twice before it is sent again, and changes nothing."""
    clock = FakeClock()
    one = collector(clock, accounts=4)
    for name in range(20):
        for _ in range(2):
            shown(one, subject(f"{name}"), shingles(99))
    clock.advance(SECONDS)
    assert [len(shown(one, subject(f"{name}"), shingles(99))) for name in (19, 18)] == [1, 1]
    assert len(one._kept._new) + len(one._kept._old) <= 8


def test_two_processes_agree() -> None:
    """Tables hang on nothing that is drawn anew in each process, so that a simulation can be run again."""
    messages = [TEMPLATE + words() for _ in range(6)]
    one, other = collector(), collector()
    for text in messages:
        assert shown(one, subject(), asked(one, text)) == shown(other, subject(), asked(other, text))


def test_nothing_of_a_text_is_kept() -> None:
    """Digests and hashes only: no text is in what the collector holds, nor in what it gives."""
    one, who = collector(), subject()
    for _ in range(4):
        said = asked(one, TEMPLATE + words(), "a system prompt of somebody's own")
        shown(one, who, said)
    held = (said.system, said.message)
    assert [type(each) for each in held] == [int, int]
    assert {type(key) for key in said.shingles} == {int}
    kept = {type(each) for each in (*one._prompts._new, *one._prompts._new.values(), *one._kept._new)}
    assert kept == {int}
