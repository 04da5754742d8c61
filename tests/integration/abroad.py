"""The pages of a provider, which people are sent to: https on the provider's own names, which lead to loopback in the browser."""

from __future__ import annotations

import base64
import hashlib
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from .verifying import Service

__all__ = ["NAMES", "Abroad", "abroad"]

NAMES = ("id.example", "eu.id.example", "verify.stripe.com")


class Abroad:
    """The server.

    Args:
        folder: for its certificate.
    """

    def __init__(self, folder: Path) -> None:
        issued = trustme.CA().issue_cert(*NAMES)
        (file := folder / "certificate.pem").write_bytes(
            issued.private_key_pem.bytes() + b"".join([each.bytes() for each in issued.cert_chain_pems])
        )
        key = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_key()
        self._pin = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        self.service: Service | None = None
        """Whose pages they are."""
        self.came: list[str] = []
        """Where people came: host and path."""
        found = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
                pass

            def do_GET(self) -> None:
                found.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def options(self) -> list[str]:
        """For a browser that shall come here, and believe that it is there."""
        rules = ", ".join([f"MAP {name}:443 127.0.0.1:{self._server.server_port}" for name in NAMES])
        pin = base64.b64encode(self._pin).decode()
        return [f"--host-resolver-rules={rules}", f"--ignore-certificate-errors-spki-list={pin}"]

    @property
    def back(self) -> str:
        """Where the provider was told to send people back to."""
        assert self.service is not None
        begun = [call for call in self.service.calls if b"return_url" in call.body]
        body = begun[-1].body
        return str(begun[-1].json["return_url"]) if body.startswith(b"{") else parse_qs(body.decode())["return_url"][0]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """A page with a link back."""
        if request.path != "/favicon.ico":
            self.came.append(request.headers["host"] + request.path)
        page = f"<!doctype html><title>abroad</title><h1>The provider</h1><a href='{escape(self.back)}'>done</a>".encode()
        request.send_response(200)
        request.send_header("content-type", "text/html; charset=utf-8")
        request.send_header("content-length", str(len(page)))
        request.end_headers()
        request.wfile.write(page)

    def close(self) -> None:
        """No more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def abroad(folder: Path) -> Iterator[Abroad]:
    """It serves until the end."""
    found = Abroad(folder)
    try:
        yield found
    finally:
        found.close()
