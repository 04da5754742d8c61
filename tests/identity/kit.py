"""What the tests of identity share: issuers with real keys, requests, and an observer that counts."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Awaitable
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from guardrail_mw.identity import Context, IdentitySettings, Presented, Resolver
from guardrail_mw.testing.clock import FakeClock
from guardrail_mw.testing.processes import free_port
from guardrail_mw.values import Facts, Subject

NOW = 1_767_225_600
"""Seconds: where FakeClock starts."""
ISSUER = "https://id.example/"
ID_KEY = b"0123456789abcdef0123456789abcdef"


class Counts(Counter[str]):
    """An observer that remembers."""

    def count(self, event: str, by: int = 1) -> None:
        """Note it."""
        self[event] += by


@cache
def private_key(kind: str, number: int) -> Any:  # noqa: ARG001 - tells keys of one kind apart
    """A private key of `kind` (RS256, ES256, EdDSA), the same for the same number."""
    if kind == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ES256" else ed25519.Ed25519PrivateKey.generate()


def public_jwk(kind: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """The public half, with whatever members besides."""
    algorithm: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[kind]
    document: dict[str, Any] = json.loads(algorithm.to_jwk(private_key(kind, number).public_key()))
    document.pop("key_ops", None)
    return document | more


def public_pem(kind: str, number: int = 0) -> str:
    """The public half in PEM."""
    public = private_key(kind, number).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return str(public, "ascii")


def claims(**more: Any) -> dict[str, Any]:
    """Good claims for an hour from `NOW`; None takes one away."""
    base = {"iss": ISSUER, "aud": "model-api", "sub": "alice", "exp": NOW + 3600}
    return {name: value for name, value in (base | more).items() if value is not None}


def token(
    kind: str = "ES256", number: int = 0, *, kid: str | None = None, header: dict[str, Any] | None = None, **more: Any
) -> bytes:
    """A signed token; `more` are claims, `header` further members of its header."""
    members = {"kid": kid} if kid is not None else {}
    payload = json.dumps(claims(**more)).encode()
    return jwt.api_jws.encode(payload, private_key(kind, number), kind, headers=members | (header or {})).encode()


def assemble(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> bytes:
    """Three segments of anything."""
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def jwt_source(**more: Any) -> dict[str, Any]:
    """An item of `sources:` with a static ES256 key, unless `more` says otherwise; None takes a setting away."""
    base = {"issuer": ISSUER, "audience": "model-api", "algorithms": ["ES256"], "keys": [public_pem("ES256")]}
    return {"use": "jwt", "with": {name: value for name, value in (base | more).items() if value is not None}}


def key_source(trust: str, **more: Any) -> dict[str, Any]:
    """An item of `sources:` for API keys."""
    return {"use": "api_key", "with": {"trust": trust, **more}}


def resolver(*sources: Any, clock: FakeClock | None = None, observer: Counts | None = None, **identity: Any) -> Resolver:
    """A resolver with these sources; `identity` is the rest of the section."""
    settings = IdentitySettings.model_validate({"sources": list(sources), **identity})
    return Resolver(settings, id_key=ID_KEY, clock=clock or FakeClock(), observer=observer)


def facts(*headers: tuple[str, str | bytes], peer: str = "203.0.113.9") -> Facts:
    """A request with these headers beside the usual ones."""
    raw = [(b"host", b"api.example"), (b"content-type", b"application/json")]
    raw += [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
    return Facts("POST", "/v1/chat/completions", raw, peer=peer)


def bearer(credential: bytes | str, peer: str = "203.0.113.9") -> Facts:
    """A request that presents a credential as the SDKs do."""
    raw = credential if isinstance(credential, bytes) else credential.encode()
    return facts(("authorization", b"Bearer " + raw), peer=peer)


async def finally_(answer: Subject | Awaitable[Subject]) -> Subject:
    """The subject, however long it takes."""
    return answer if isinstance(answer, Subject) else await answer


def at_once(answer: Subject | Awaitable[Subject]) -> Subject:
    """The subject, where no waiting is right."""
    assert isinstance(answer, Subject)
    return answer


def presented(credential: bytes = b"", *names: bytes, **more: Any) -> Presented:
    """What the resolver would hand to a source."""
    base: dict[str, Any] = {"attributes": {}, "trusted": False, "network": "n:one", "parent": "n:parent"}
    return Presented(credential, names or (b"authorization",), **(base | more))


def context(name: str, clock: FakeClock | None = None, observer: Counts | None = None) -> Context:
    """What the resolver would build a source with."""
    return Context(name, clock or FakeClock(), observer if observer is not None else Counts(), lambda: None)


class Issuer:
    """An issuer's key endpoint on this machine, in a thread of its own. Use it as a context manager.

    `answer` is what it says: status, further headers, body. While `hold` is cleared it keeps callers waiting.
    """

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.publish(*keys)
        self.asked: list[str] = []
        self.arrived = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/jwks.json"
        self._server: ThreadingHTTPServer | None = None

    def publish(self, *keys: dict[str, Any]) -> None:
        """Answer with these keys."""
        self.answer = (200, {}, json.dumps({"keys": list(keys)}).encode())

    def start(self) -> None:
        """Listen."""
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = issuer.answer
                issuer.asked.append(self.path)
                issuer.arrived.set()
                issuer.hold.wait(10)
                with suppress(OSError):  # the caller may have lost patience
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's word
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening: whoever calls now is refused."""
        if self._server is not None:
            self.hold.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
