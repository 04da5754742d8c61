"""What a policy may say of the operator's port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from guardrail_mw import Policy, PolicyError
from guardrail_mw.policy import load

TOKEN = "operators-0123456789-abcdefghijklmnop"  # noqa: S105 - made up


def console(**given: Any) -> Policy:
    return load({"version": 1, "console": {"token": TOKEN, **given}}, environ={})


def test_it_is_off_unless_said() -> None:
    assert load({"version": 1}, environ={}).console is None
    assert load("guardrail:balanced", environ={}).console is None


@pytest.mark.parametrize(
    ("listen", "host", "port", "beyond", "url"),
    [
        (None, "127.0.0.1", 9900, False, "http://127.0.0.1:9900"),
        ("127.0.0.2:1", "127.0.0.2", 1, False, "http://127.0.0.2:1"),
        ("[::1]:65535", "::1", 65535, False, "http://[::1]:65535"),
        ("0.0.0.0:9900", "0.0.0.0", 9900, True, "http://0.0.0.0:9900"),  # noqa: S104
        ("[::]:9900", "::", 9900, True, "http://[::]:9900"),
        ("10.0.0.5:9900", "10.0.0.5", 9900, True, "http://10.0.0.5:9900"),
    ],
)
def test_where_it_listens(listen: str | None, host: str, port: int, beyond: bool, url: str) -> None:
    settings = (console() if listen is None else console(listen=listen)).console
    assert settings is not None
    address = settings.address
    assert (tuple(address), address.beyond, address.url) == ((host, port), beyond, url)


@pytest.mark.parametrize(
    "listen",
    ["", "9900", ":9900", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣",
     "127.0.0.1:" + "9" * 5000, "localhost:9900", "::1:9900", "[127.0.0.1]:9900", "[::1:9900", "[fe80::1%eth0]:9900",
     "http://127.0.0.1:9900", "127.0.0.1:9900 "],
)  # fmt: skip
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(PolicyError, match=r"console\.listen") as caught:
        console(listen=listen)
    assert "127.0.0.1:9900" in str(caught.value)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "fewer than 32 characters"),
        ("0123456789abcdefghijklmnopqrstu", "fewer than 32 characters"),
        ("abcdefghi" * 8, "fewer than 10 different"),
        ("operators 0123456789 abcdefghijklmnop", "may not"),
        ("operators-0123456789-abcdefghijklmnö", "may not"),
        ("operators-0123456789-abcdefghijklmnop\n", "may not"),
        (TOKEN * 20, "more than 512"),
    ],
)
def test_a_weak_token_is_refused_and_never_quoted(token: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why) as caught:
        console(token=token)
    assert "console.token" in str(caught.value)
    assert not token or token not in str(caught.value)


def test_a_token_of_32_characters_will_do() -> None:
    settings = console(token="0123456789abcdefghijklmnopqrstuv").console  # noqa: S106 - made up
    assert settings is not None
    assert len(settings.token) == 32


@pytest.mark.parametrize("listen", ["127.0.0.1:9900", "0.0.0.0:9900"])
def test_without_a_token_it_does_not_start_anywhere(listen: str) -> None:
    with pytest.raises(PolicyError, match=r"console\.token"):
        load({"version": 1, "console": {"listen": listen}}, environ={})


def test_the_token_comes_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nconsole: {token: '${GUARDRAIL_OPERATOR_TOKEN}'}\n")
    settings = load(str(file), environ={"GUARDRAIL_OPERATOR_TOKEN": TOKEN}).console
    assert settings is not None
    assert settings.token == TOKEN
    for environ in ({}, {"GUARDRAIL_OPERATOR_TOKEN": ""}, {"GUARDRAIL_OPERATOR_TOKEN": "short-secret"}):
        with pytest.raises(PolicyError, match=r"console\.token") as caught:
            load(str(file), environ=environ)
        assert "short-secret" not in str(caught.value)


def test_the_token_shows_nowhere_and_changes_no_hash() -> None:
    policy = console()
    assert TOKEN not in repr(policy)
    assert policy.hash == console(token=TOKEN[::-1]).hash


def test_without_the_extra_its_cure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guardrail_mw.telemetry.extras.find_spec", lambda _name: None)
    with pytest.raises(PolicyError, match=r"pip install 'guardrail-mw\[console\]'"):
        console(listen="127.0.0.1:9900")
