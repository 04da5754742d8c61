"""Domains of e-mail: who owns them, and where anybody can have an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrail_mw.identity.mail import FREE, domain_of, registered


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("ann@example.com", "example.com"),
        (" Ann.Smith+tag@EXAMPLE.com. ", "example.com"),
        ('"a@b"@example.com', "example.com"),
        ("ann@a.b.c.example.com", "example.com"),
        ("ann@cs.example.ac.uk", "example.ac.uk"),
        ("ann@www.example.com.au", "example.com.au"),
        ("ann@one.example.de", "example.de"),
        ("ann@one.co.de.com", "de.com"),
        ("ann@east.k12.ca.us", "east.k12.ca.us"),
        ("ann@example.ca.us", "example.ca.us"),
        ("ann@one.onmicrosoft.com", "one.onmicrosoft.com"),
        ("ann@bücher.example", "xn--bcher-kva.example"),
        ("ann@ｅｘａｍｐｌｅ.com", "example.com"),  # noqa: RUF001 - full width
        ("ann@exаmple.com", "xn--exmple-4nf.com"),  # noqa: RUF001 - a Cyrillic one: another domain
        ("ann@gmail.com", ""),
        ("ann@GMail.com.", ""),
        ("ann@ｇｍａｉｌ.com", ""),  # noqa: RUF001 - full width
        ("ann@yahoo.co.jp", ""),
        ("ann@privaterelay.appleid.com", ""),
        ("ann@i.softbank.jp", ""),
        ("ann@co.uk", ""),
        ("ann@onmicrosoft.com", ""),
        ("ann@localhost", ""),
        ("ann@192.0.2.1", ""),
        ("ann@[2001:db8::1]", ""),
        ("ann@", ""),
        ("@", ""),
        ("", ""),
        ("example.com", ""),
        ("ann@a..com", ""),
        ("ann@.com", ""),
        ("ann@exa mple.com", ""),
        ("ann@example.com\x00", ""),
        ("ann@" + "a" * 64 + ".com", ""),
        ("ann@" + "a." * 130 + "com", ""),
        ("ann@\ud800.com", ""),
    ],
)
def test_whose_a_domain_is(address: str, domain: str) -> None:
    assert domain_of(address) == domain


def test_more_domains_may_be_free() -> None:
    assert registered("mail.example.net", FREE | {"example.net"}) == ""
    assert registered("mail.example.net") == "example.net"


def test_the_list_is_of_domains_in_small_letters() -> None:
    assert len(FREE) > 200
    assert [name for name in FREE if name != name.lower().strip() or "." not in name] == []


@given(st.text(max_size=300))
def test_whatever_it_is_it_is_read(text: str) -> None:
    found = domain_of(f"ann@{text}")
    assert found.isascii()
    assert found == found.lower()
    assert found == "" or (registered(found) == found and len(found) <= 253)
