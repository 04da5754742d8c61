"""The account of a credential, whoever recognises it: one source or the other, in whichever header it may stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from guardrail_mw import Guardrail
from guardrail_mw.engine.accounts import MisuseError
from guardrail_mw.engine.naming import Named, _presented, name
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.values import Facts, Subject

pytestmark = pytest.mark.anyio

SECRETS = {"GUARDRAIL_ID_KEY": "i" * 32}
KEYS = {"use": "api_key", "with": {"headers": ["x-first", "authorization"], "prefix": "sk-", "trust": "gateway"}}
PROXY = {"use": "header", "with": {"account": "x-user", "issuer": "gate"}}


def guarded(*sources: Mapping[str, Any], **more: Any) -> Guardrail:
    """One with these sources, behind a proxy."""
    identity = {"trusted_proxies": ["198.51.100.0/24"], "sources": list(sources)}
    return Guardrail({"version": 1, "identity": identity, **more}, environ=SECRETS, clock=FakeClock())


def by_request(of: Guardrail, *headers: tuple[bytes, bytes]) -> str:
    """What a request from behind the proxy would be called."""
    found = of.engine.identify(Facts("GET", "/any", list(headers), peer="198.51.100.7"))
    assert isinstance(found, Subject)
    return found.candidate


async def test_a_key_is_named_as_its_request_would_be() -> None:
    of = guarded(KEYS)
    account = by_request(of, (b"authorization", b"Bearer sk-one"))
    assert account
    for given in ("sk-one", "  sk-one\n"):
        for source in (None, "api_key"):
            assert await name(of, given, source) == Named(account, "api_key")
    assert (await name(of, "sk-two", None)).account != account


async def test_a_proxys_name_is_named_without_the_proxy() -> None:
    both = guarded(KEYS, PROXY)
    ada = Named(by_request(both, (b"x-user", b"ada")), "header")
    assert ada.account
    assert [await name(both, "ada", source) for source in (None, "header")] == [ada, ada]
    key = Named(by_request(both, (b"authorization", b"Bearer sk-one")), "api_key")
    assert await name(both, "sk-one", None) == key
    assert (await name(both, "sk-one", "header")).account == by_request(both, (b"x-user", b"sk-one"))
    with pytest.raises(MisuseError, match=r"^credential: is recognised by no source of the policy\.$"):
        await name(both, "ada", "api_key")


@pytest.mark.parametrize(
    ("sources", "credential", "source", "text"),
    [
        ([], "sk-one", None, "credential: is recognised by no source of the policy."),
        ([], "sk-one", "jwt", "source: is none of the policy's: it has none."),
        ([KEYS, PROXY], "sk-one", "jwt", "source: is none of the policy's: api_key, header."),
        ([KEYS], "", None, "credential: is empty."),
        ([KEYS], " \t ", None, "credential: is empty."),
        ([KEYS], "other", None, "credential: is recognised by no source of the policy."),
        ([KEYS], "sk-one,sk-two", None, "credential: is refused: The credential is malformed. (ambiguous_credential)"),
        ([KEYS], "sk-\ud800", None, "credential: is no text."),
    ],
)
async def test_a_credential_of_nobodys(sources: Sequence[Any], credential: str, source: str | None, text: str) -> None:
    with pytest.raises(MisuseError) as caught:
        await name(guarded(*sources), credential, source)
    assert str(caught.value) == text
    assert (caught.value.argument, caught.value.text) == tuple(text.split(": ", 1))
    assert credential not in str(caught.value) or not credential.strip()


def test_the_headers_in_which_it_may_stand() -> None:
    other = {"use": "api_key", "with": {"headers": ["x-other", "authorization"], "trust": "gateway"}}
    policy = guarded(KEYS, PROXY).policy
    shown = [(b"x-first", "sk-é".encode()), (b"authorization", b"Bearer sk-\xc3\xa9")]
    assert list(_presented(policy, "sk-é", None)) == shown
    assert list(_presented(policy, "sk-é", "api_key")) == shown
    assert list(_presented(policy, "sk-é", "header")) == []
    twice = guarded(KEYS).policy
    item = guarded(other).policy.identity.sources[0]
    twice = twice.model_copy(
        update={"identity": twice.identity.model_copy(update={"sources": [*twice.identity.sources, item]})}
    )
    assert [header for header, _ in _presented(twice, "k", None)] == [b"x-first", b"authorization", b"x-other"]
    assert next(iter(_presented(policy, "sk-\udcff", None))) == (b"x-first", b"sk-\xff")


async def test_a_name_charges_nothing_and_is_asked_of_nobodys_address() -> None:
    of = guarded(KEYS)
    seen: list[Facts] = []
    identify = of.engine.resolver.identify

    def looking(facts: Facts) -> Any:
        seen.append(facts)
        return identify(facts)

    of.engine.resolver.identify = looking  # type: ignore[method-assign]
    await name(of, "sk-one", None)
    assert [(facts.headers, facts.peer) for facts in seen] == [([(b"x-first", b"sk-one")], "192.0.2.1")]
    assert of.recorder.latest() == []
    assert of.counts.read() == {}
