"""What was passed, and until when: in a standing, or in a cookie that holds for one device on one network."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.friction.clearance import COOKIE, LONGEST, Cookies, field, holds

NOW = 1_767_225_600_000_000
MINUTE = 60_000_000
ONE, TWO = "0123456789abcdef", "fedcba9876543210"
DEVICE, NETWORK = b"d" * 16, "n:one"
COOKIES = Cookies([b"k" * 32])


def value(header: bytes) -> bytes:
    """What a client sends back."""
    name, _, rest = header.partition(b"=")
    assert name == COOKIE
    return rest.partition(b";")[0]


def test_a_field_of_the_standing_holds_until_its_time() -> None:
    fields = {field(ONE): str(NOW + 1), field(TWO): "soon"}
    assert holds(fields, ONE, NOW)
    assert not holds(fields, ONE, NOW + 1)
    assert not holds(fields, TWO, NOW)
    assert not holds({}, ONE, NOW)


def test_a_cookie_comes_back_as_fields_of_a_standing() -> None:
    header = COOKIES.issue({field(ONE): str(NOW + 30 * MINUTE)}, DEVICE, NETWORK, NOW)
    assert header.endswith(b"; Max-Age=1800; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert COOKIES.read(value(header), DEVICE, NETWORK, NOW) == {field(ONE): str(NOW + 30 * MINUTE)}
    assert COOKIES.read(value(header), DEVICE, NETWORK, NOW + 30 * MINUTE) == {}


def test_it_holds_for_no_other_device_network_or_key_and_not_once_it_was_changed() -> None:
    kept = value(COOKIES.issue({field(ONE): str(NOW + MINUTE)}, DEVICE, NETWORK, NOW))
    assert COOKIES.read(kept, b"e" * 16, NETWORK, NOW) == {}
    assert COOKIES.read(kept, DEVICE, "n:two", NOW) == {}
    assert COOKIES.read(kept, b"", NETWORK, NOW) == {}
    assert Cookies([b"x" * 32]).read(kept, DEVICE, NETWORK, NOW) == {}
    assert Cookies([b"x" * 32, b"k" * 32]).read(kept, DEVICE, NETWORK, NOW)
    later = kept.replace(b"%d" % ((NOW + MINUTE) // 1_000_000), b"%d" % ((NOW + 9 * MINUTE) // 1_000_000))
    assert later != kept
    assert COOKIES.read(later, DEVICE, NETWORK, NOW) == {}
    other = kept.replace(ONE.encode(), TWO.encode())
    assert COOKIES.read(other, DEVICE, NETWORK, NOW) == {}


def test_device_and_network_cannot_be_shifted_into_one_another() -> None:
    kept = value(COOKIES.issue({field(ONE): str(NOW + MINUTE)}, b"ab", "c", NOW))
    assert COOKIES.read(kept, b"a", "bc", NOW) == {}


def test_of_many_clearances_those_that_hold_longest_are_kept() -> None:
    fields = {field(f"{number:016x}"): str(NOW + number * MINUTE) for number in range(9)}
    found = COOKIES.read(value(COOKIES.issue(fields, DEVICE, NETWORK, NOW)), DEVICE, NETWORK, NOW)
    assert found == {field(f"{number:016x}"): str(NOW + number * MINUTE) for number in (8, 7, 6, 5)}
    assert len(COOKIES.issue(fields, DEVICE, NETWORK, NOW).partition(b";")[0]) < LONGEST


@given(st.binary(max_size=300))
def test_nothing_else_is_one_or_raises(noise: bytes) -> None:
    assert COOKIES.read(noise, DEVICE, NETWORK, NOW) == {}
