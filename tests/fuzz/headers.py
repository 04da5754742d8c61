"""Everything that is read from a request's headers: the chain of proxies, credentials, the device, the program behind it.

Input: the peer's address on the first line, then headers, `name: value`, one a line.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from guardrail_mw.asgi.body import BodyBudget, BodyReader
from guardrail_mw.asgi.edge import facts_of
from guardrail_mw.asgi.inspect import refuse_encoded
from guardrail_mw.errors import TokenError
from guardrail_mw.identity import IdentitySettings, Resolver
from guardrail_mw.identity.device_cookie import Signer
from guardrail_mw.identity.digest import Digester
from guardrail_mw.identity.keys import Keyring
from guardrail_mw.identity.network import Locator
from guardrail_mw.risk.agent_names import BROWSERS, CRAWLERS, HEADLESS, TOOLS, TOOLS_WITHIN
from guardrail_mw.risk.automation import AutomationScorer, AutomationSettings
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.requests import context, scope
from guardrail_mw.values import Facts, Subject

from .base import Target, head, said, within

ID_KEY: Final = b"0123456789abcdef0123456789abcdef"
MASTER: Final = b"the same whenever this is replayed"
PROXIES: Final = ["10.0.0.0/8", "2001:db8:ff::/48", "unix"]
MAX_BODY: Final = 1_000_000

_KEYS: Final = {"use": "api_key", "with": {"headers": ["authorization", "x-api-key"], "trust": "gateway"}}
_PROXY: Final = {
    "use": "header",
    "with": {"account": "x-user", "organisation": "x-org", "tier": "x-tier", "payment": "x-pay", "acr": "x-acr"},
}
SETTINGS: Final = [
    IdentitySettings.model_validate(each)
    for each in (
        {"sources": [_KEYS], "device": {}},
        {"trusted_proxies": PROXIES, "sources": [_PROXY, _KEYS], "device": {"tls_header": "x-ja4"}},
        {
            "trusted_proxies": [*PROXIES, {"hops": 2}],
            "network": {"header": "forwarded", "ipv4_prefix": 24},
            "sources": [_PROXY],
        },
        {"trusted_proxies": [{"hops": 1}], "network": {"ipv6_prefix": 48}, "sources": [{**_KEYS, "with": {"trust": "app"}}]},
    )
]
CLOCK: Final = FakeClock()
NOW: Final = CLOCK.now() // 1_000_000
KEYRING: Final = Keyring([MASTER])
_HOME: Final = re.compile(r"(?:[andocg]:)?[A-Za-z0-9_-]{22}")
_NAMES: Final = frozenset().union(
    *(each.values() for each in (BROWSERS, CRAWLERS, HEADLESS, TOOLS, TOOLS_WITHIN)),
    ("Windows", "macOS", "Linux", "Android", "Chrome OS", "iOS"),
)
_REASONS: Final = frozenset({
    "no-user-agent", "declared-program", "headless-browser", "crawler", "browser-without-language", "browser-without-hints",
    "browser-over-sdk", "hollow-browser", "any-language", "foreign-hints", "other-version", "other-system",
    "navigation-without-html",
})  # fmt: skip
_SCORING: Final = AutomationSettings(declared=10, unnamed=5)
_PUMPED: Final = 65_536


def parsed(data: bytes) -> tuple[str, list[tuple[bytes, bytes]]]:
    """The peer and the headers of an input; names in lower case, as servers give them."""
    peer, rest = head(data)
    headers = []
    for line in rest.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            headers.append((name.lower(), value.removeprefix(b" ")))
    return peer, headers


def check(data: bytes) -> None:
    """Every reader of headers, with every policy above."""
    peer, headers = parsed(data)
    with within(2):
        facts = smuggling(peer, headers)
        encodings(headers)
        lengths(headers)
        program(facts)
        for settings in SETTINGS:
            identity(settings, facts)
    if data.endswith(b"\n!"):  # a mutation's way of asking for more of the same
        pumped(peer, headers)


def pumped(peer: str, headers: list[tuple[bytes, bytes]]) -> None:
    """64 KiB of what stands in each header cost no more than that: nothing here grows with the square."""
    with within(2):
        for name, value in headers[:4]:
            long = (value * (_PUMPED // max(1, len(value)) + 1))[:_PUMPED]
            facts = Facts("POST", "/v1/x", [(name, long)], peer=peer)
            program(facts)
            for settings in SETTINGS:
                identity(settings, facts)


def smuggling(peer: str, headers: list[tuple[bytes, bytes]]) -> Facts:
    """What pretends to come from us is gone, for the app as well; all else is left in its order."""
    arrived: Any = {"type": "http", "method": "POST", "path": "/v1/x", "headers": list(headers), "client": (peer, 1)}
    facts = facts_of(arrived, "/v1/x", "http")
    kept = [each for each in headers if not each[0].replace(b"_", b"-").startswith(b"x-guardrail")]
    assert facts.headers == kept
    assert arrived["headers"] == kept
    return facts


def encodings(headers: list[tuple[bytes, bytes]]) -> None:
    """A body is encoded as soon as one header says so."""
    named = {value.strip().lower() for name, value in headers if name == b"content-encoding"}
    refused = False
    try:
        refuse_encoded(headers)
    except TokenError as error:
        refused = bool(said(error, "encoded_body"))
    assert refused is bool(named - {b"", b"identity"})


def lengths(headers: list[tuple[bytes, bytes]]) -> None:
    """A length is believed only where it is a number, and too large."""
    reader = BodyReader(_nothing, MAX_BODY, BodyBudget(1), headers)
    most = max((int(value[-40:]) for name, value in headers if name == b"content-length" and _digits(value)), default=0)
    long = any(name == b"content-length" and _digits(value) and len(value.lstrip(b"0")) > 7 for name, value in headers)
    padded = any(name == b"content-length" and _digits(value) and len(value) > 18 for name, value in headers)
    try:
        reader._announced()
    except TokenError as error:
        said(error, "body_too_large")
        assert most > MAX_BODY or long or padded
    else:
        assert most <= MAX_BODY
        assert not long


async def _nothing() -> Any:
    raise AssertionError("nobody reads")


def _digits(value: bytes) -> bool:
    return re.fullmatch(rb"[0-9]+", value) is not None


def program(facts: Facts) -> None:
    """Findings are of our own words, and the same for the same headers."""
    looked_at = context(facts)
    scorer = AutomationScorer(_SCORING, scope("automation", clock=CLOCK))
    found = scorer.score(looked_at)
    assert found == scorer.score(looked_at)
    for finding in found:
        assert finding.family in {"client", "automation"}
        assert 0 < finding.score <= 100
        assert finding.reason in _REASONS
        assert set(finding.figures) <= {"agent", "system"}
        assert set(finding.figures.values()) <= _NAMES, "a client's own text"


def identity(settings: IdentitySettings, facts: Facts) -> None:
    """Whose a request is: only digests and bounded texts, once as the next time, mapped as plain."""
    found = _answer(settings, facts, twice=True)
    placed(settings, facts)
    if isinstance(found, Subject):
        digests(found)
        signed(settings, facts, found)
    mapped = Facts("POST", "/v1/x", list(_mapped_headers(facts.headers)), peer=_mapped(facts.peer))
    if (mapped.headers, mapped.peer) != (facts.headers, facts.peer):
        assert _shown(_answer(settings, mapped)) == _shown(found), "IPv4-mapped is another than IPv4"


def _answer(settings: IdentitySettings, facts: Facts, *, twice: bool = False) -> Subject | str:
    """The subject, or the code of the refusal; with `twice` also from what was remembered."""
    resolver = Resolver(settings, id_key=ID_KEY, clock=CLOCK, keys=KEYRING)
    answers: list[Subject | str] = []
    for _ in range(1 + twice):
        try:
            found = resolver.identify(facts)
            assert isinstance(found, Subject)
            answers.append(found)
        except TokenError as error:
            answers.append(said(error, "ambiguous_credential", "credential_too_large"))
            digests(resolver.fallback(facts))
    assert _shown(answers[0]) == _shown(answers[-1]), "another answer the second time"
    return answers[0]


def _shown(found: Subject | str) -> object:
    if isinstance(found, str):
        return found
    return {name: getattr(found, name) for name in Subject.__slots__ if name not in {"cache", "memo", "until"}}


def digests(subject: Subject) -> None:
    """Nothing that names anybody is raw, and nothing is long."""
    for name in ("account", "candidate", "network", "network_parent", "organisation", "payment", "device"):
        value = getattr(subject, name)
        assert not value or _HOME.fullmatch(value), f"{name} is no digest"
    for name in ("organisation_name", "tier", "acr", "ial"):
        assert len(getattr(subject, name)) <= 512, f"{name} is long"
    assert subject.account
    assert subject.network


def signed(settings: IdentitySettings, facts: Facts, subject: Subject) -> None:
    """A device is signed only by a cookie of ours, by an HMAC worked out here."""
    assert subject.device_kind in {"", "signed", "seen"}
    if subject.device_kind == "signed":
        assert settings.device is not None
        key = HKDF(algorithm=SHA256(), length=32, salt=b"guardrail_mw", info=b"device-cookie").derive(MASTER)
        values = re.findall(
            rb"(?:^|[; ])__Host-guardrail-device=([^;]*)", b";".join(v for n, v in facts.headers if n == b"cookie")
        )
        assert any(_ours(key, value) for value in values), "a cookie that nobody signed"


def _ours(key: bytes, value: bytes) -> bool:
    text, _, signature = value.rpartition(b".")
    issued = text.rpartition(b".")[2]
    good = urlsafe_b64encode(hmac.new(key, text, sha256).digest()[:16]).rstrip(b"=")
    return good == signature and issued.isdigit() and int(issued) + 400 * 86_400 > NOW


def placed(settings: IdentitySettings, facts: Facts) -> None:
    """The network is the one that the rules come to when they are followed by somebody else."""
    header = settings.network.header.encode()
    chain = tuple(value for name, value in facts.headers if name == header) if settings.trusted_proxies else ()
    place = Locator(settings, Digester(ID_KEY)).locate(facts.peer, chain)
    plain = [str(each) for each in settings.trusted_proxies if not hasattr(each, "hops") and hasattr(each, "network")]
    hops = next((each.hops for each in settings.trusted_proxies if hasattr(each, "hops")), 0)
    unix = any(type(each).__name__ == "Unix" for each in settings.trusted_proxies)
    nobody = facts.peer in {"", "unix"}
    client = None if nobody else _address(facts.peer.encode("utf-8", "replace"))

    def believed(address: IPv4Address | IPv6Address | None) -> bool:
        if hops and not plain and not unix:
            return True
        return nobody and unix if address is None else any(address in ip_network(each) for each in plain)

    trusted = believed(client)
    assert place.trusted is trusted
    elements = b",".join(chain).split(b",") if chain and trusted else []
    for count in range(hops or 32):
        if not elements or (count and not hops and not (client is not None and believed(client))):
            break
        element = elements.pop()
        heard = None
        if len(element) < 512:
            heard = _forwarded(element) if header == b"forwarded" else _address(element)
        if heard is None:
            break
        client = heard
    if client is None:
        expected = Digester(ID_KEY).network(b"unix" if nobody else b"unknown")
    else:
        prefix = settings.network.ipv4_prefix if client.version == 4 else settings.network.ipv6_prefix
        network = ip_network((client.packed, prefix), strict=False)
        expected = Digester(ID_KEY).network(network.network_address.packed + bytes([prefix]))
    assert place.home == expected, f"{client} by the rules"


_PORT: Final = rb"(?::(?:[0-9]+|_.+))?"
_FOUR: Final = re.compile(rb"([^:%\[\]]*)" + _PORT, re.DOTALL)
_SIX: Final = re.compile(rb"\[([^\]%]*:[^\]%]*)(?:%[^\]]*)?\]" + _PORT + rb"|([^%\[]*:[^%]*:[^%]*)(?:%.*)?", re.DOTALL)


def _address(text: bytes) -> IPv4Address | IPv6Address | None:
    """An address with or without a port, brackets and zone, by patterns."""
    text = text.strip(b" \t")
    if len(text) > 64:
        return None
    found = _FOUR.fullmatch(text) or _SIX.fullmatch(text)
    if found is None:
        return None
    try:
        address = ip_address(next(group for group in found.groups() if group is not None).decode("ascii"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _forwarded(element: bytes) -> IPv4Address | IPv6Address | None:
    named = [pair.partition(b"=") for pair in element.split(b";")]
    values = [value.strip(b" \t") for name, equals, value in named if equals and name.strip(b" \t").lower() == b"for"]
    if len(values) != 1:
        return None
    quoted = re.fullmatch(rb'"(.*)"', values[0], re.DOTALL)
    return _address(quoted[1] if quoted else values[0])


def _mapped_headers(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers:
        if name != b"x-forwarded-for" or len(value) > 400:
            yield name, value
        else:
            yield name, b",".join(_mapped(part.decode("latin-1")).encode("latin-1") for part in value.split(b","))


def _mapped(text: str) -> str:
    """A plain IPv4 address in IPv6's clothes; all else as it is."""
    bare = text.strip(" \t")
    try:
        IPv4Address(bare)
    except ValueError:
        return text
    return text.replace(bare, f"::ffff:{bare}")


AGENTS: Final = (
    "OpenAI/Python 1.109.1",
    "curl/8.5.0",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (compatible; Somebot/2.1; +http://some.example/bot.html)",
    "Mozilla/5.0",
)


def seeds() -> Iterator[bytes]:
    """A request of each kind."""
    cookie = Signer(KEYRING).issue(NOW, b"0123456789abcdef").partition(b";")[0]
    old = Signer(KEYRING).issue(NOW - 40 * 86_400, b"0123456789abcdef").partition(b";")[0]
    for agent in AGENTS:
        yield f"192.0.2.1\nuser-agent: {agent}\naccept: text/html\naccept-language: en\n!".encode()
        more = 'sec-ch-ua: "Chromium"; v="126"\nsec-ch-ua-platform: "Linux"\nsec-fetch-site: none\nsec-fetch-mode: navigate'
        yield f"192.0.2.1\nuser-agent: {agent}\naccept: */*\naccept-language: *\n{more}\nx-stainless-lang: python\n".encode()
    for chain in (
        "203.0.113.9",
        "203.0.113.9, 10.1.2.3",
        "2001:db8::1, ::ffff:10.0.0.1",
        "[2001:db8::1]:80,10.0.0.1:1",
        "x,, ",
    ):
        for peer in ("10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8:ff::1", "unix", "", "testclient", "fe80::1%eth0"):
            yield f"{peer}\nx-forwarded-for: {chain}\nx-user: ada\nx-org: office\nx-pay: visa-1\n".encode()
    for element in (
        'for="[2001:db8::1]:4711"',
        "for=192.0.2.43;proto=http;by=203.0.113.1, FOR=10.0.0.2",
        "for=unknown, for=_x",
    ):
        yield f"10.0.0.1\nforwarded: {element}\nx-user: ada\nx-ja4: t13d1516h2\n".encode()
    for key in ("Bearer sk-one", "bearer  sk-one ", "Basic YTpi", "sk-one", "Bearer a,b", "Bearer " + "k" * 200, ""):
        yield f"192.0.2.1\nauthorization: {key}\nx-api-key: sk-one\n".encode()
        yield f"192.0.2.1\nauthorization: {key}\nauthorization: {key}\n".encode()
    for value in (cookie, old, cookie[:-1], b"a=b; " + cookie, b"x" + cookie + b"; " + cookie):
        yield b"192.0.2.1\ncookie: " + value + b"\n!"
    yield b"192.0.2.1\nx-guardrail-decision: allow\nx_guardrail_account: a\nX-Guardrail: 1\nx-other: 2\n"
    for length in ("5", "999999", "1000001", "0001", "-1", "9" * 19, "1e9", " 7"):
        yield f"192.0.2.1\ncontent-length: {length}\ncontent-encoding: identity\ncontent-encoding: gzip\n".encode()


WORDS: Final = (
    b"x-forwarded-for: ", b"forwarded: ", b"user-agent: ", b"authorization: Bearer ", b"x-api-key: ", b"cookie: ",
    b"sec-ch-ua: ", b"sec-ch-ua-platform: ", b"x-guardrail-", b"x_guardrail_", b"x-user: ", b"x-org: ", b"x-ja4: ",
    b"content-length: ", b"content-encoding: ", b"accept-language: ", b"x-forwarded-proto: https",
    b"sec-fetch-mode: navigate", b"\n!", b"10.0.0.1", b"::ffff:10.0.0.1", b"192.0.2.1", b"2001:db8:ff::1", b"for=",
    b'for="[', b"__Host-guardrail-device=", b"Mozilla/5.0 ", b"AppleWebKit/537.36 ", b"Chrome/126.", b"HeadlessChrome/",
    b"compatible; ", b"bot", b"Electron/", b"%eth0", b":80",
)  # fmt: skip

TARGET: Final = Target("headers", check, seeds, WORDS, 2048)
