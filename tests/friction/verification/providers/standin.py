"""Stand-ins for the services, on loopback, as they document themselves: what they take, refuse and answer.

They check signatures in their own way, and keep what idempotency keys promise: the first answer again, and an error for another
wish under the same key.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Own", "Persona", "Service", "Stripe", "Sumsub", "Veriff", "serving"]

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class Request(NamedTuple):
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else {}


class Service:
    """What they have in common."""

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.things: dict[str, dict[str, Any]] = {}
        """What was made, by id."""
        self.kept: dict[str, tuple[tuple[str, bytes], tuple[int, Any]]] = {}
        """By idempotency key."""
        self.broken: list[tuple[int, bytes] | None] = []
        """What it sends instead, call after call, though it does what it was asked; None hangs up."""
        self.url = ""
        self.date = DATE
        self.way = ""
        """What it sends people to instead of its own."""

    def allowed(self, request: Request) -> bool:
        raise NotImplementedError

    def act(self, request: Request) -> tuple[int, Any]:
        raise NotImplementedError

    def answer(self, request: Request) -> tuple[int, Any]:
        if not self.allowed(request):
            return 401, {"error": "of the keys"}
        key = request.headers.get("idempotency-key", "")
        if key and key in self.kept:
            first, answer = self.kept[key]
            return answer if first == (request.target, request.body) else (409, {})
        answer = self.act(request)
        if key:
            self.kept[key] = ((request.target, request.body), answer)
        return answer

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of HTTP/1.1."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        request = Request(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
        self.calls.append(request)
        status, found = self.answer(request)
        body = json.dumps(found).encode() if found is not None else b""
        instead = self.broken.pop(0) if self.broken else (status, body)
        if instead is not None:
            status, body = instead
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\ndate: {self.date}\r\nlocation: /elsewhere\r\n"
            writer.write(head.encode() + b"connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[Service]:
    """Let it serve on a free port of loopback."""
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield service
    finally:
        server.close()
        await server.wait_closed()


class Own(Service):
    """Somebody's own."""

    def allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == "Bearer own-token-1"

    def act(self, request: Request) -> tuple[int, Any]:  # noqa: PLR0911 - a return for each call
        if request.path == "/verifications" and request.method == "POST":
            made = f"v{len(self.things) + 1}"
            self.things[made] = {
                "id": made,
                "case": request.json["case"],
                "level": request.json["level"],
                "state": "pending",
            }
            return 201, {"id": made, "url": self.way or f"https://id.example/{made}"}
        _, _, which, *rest = request.path.split("/")
        thing = self.things.get(which)
        if thing is None:
            return 404, {}
        match request.method, rest:
            case "GET", []:
                return 200, {"type": "verification.updated", "timestamp": "2025-12-31T12:00:00Z", "data": thing}
            case "POST", ["resume"]:
                return 200, {"id": which, "url": f"https://id.example/{which}/again"}
            case "POST", ["cancel"]:
                thing["state"] = "withdrawn"
                return 200, None
            case "DELETE", []:
                del self.things[which]
                return 204, None
        return 405, {}


class Stripe(Service):
    """Stripe Identity."""

    def allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == "Bearer rk_live_1"

    def act(self, request: Request) -> tuple[int, Any]:
        base, _, rest = request.path.partition("/verification_sessions")
        assert base == "/v1/identity"
        _, which, action = (f"{rest}//").split("/")[:3]
        if not which:
            return self._create(dict(parse_qsl(request.body.decode())), request.headers["content-type"])
        session = self.things.get(which)
        if session is None:
            return 404, {"error": {"code": "resource_missing"}}
        if action == "cancel":
            if session["status"] != "requires_input":
                return 400, {"error": {"message": "status"}}
            session |= {"status": "canceled", "url": None}
        if action == "redact":
            session |= {"redaction": {"status": "processing"}, "metadata": {}, "client_reference_id": "[redacted]"}
        if request.method == "GET" and session["status"] == "requires_input":
            session["url"] = self.way or f"https://verify.stripe.com/start/test_{len(self.calls)}"
        found = dict(session)
        if "last_verification_report.document.number" not in request.query.values():
            found["last_verification_report"] = "vr_1"
        return 200, found

    def _create(self, fields: dict[str, str], kind: str) -> tuple[int, Any]:
        if kind != "application/x-www-form-urlencoded" or not ("type" in fields or "verification_flow" in fields):
            return 400, {"error": {"code": "parameter_missing"}}
        made = f"vs_{len(self.things) + 1}"
        self.things[made] = {
            "id": made,
            "object": "identity.verification_session",
            "client_reference_id": fields["client_reference_id"],
            "created": 1_767_139_200,
            "last_error": None,
            "last_verification_report": {"document": {"number": "C 01-x00", "issuing_country": "DE"}},
            "livemode": True,
            "metadata": {"level": fields["metadata[level]"]},
            "status": "requires_input",
            "url": self.way or "https://verify.stripe.com/start/test_0",
        }
        return 200, self.things[made]


class Persona(Service):
    """Persona."""

    def allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == "Bearer persona_production_1"

    def act(self, request: Request) -> tuple[int, Any]:
        assert request.headers["persona-version"] == "2023-01-05"
        assert request.headers["key-inflection"] == "kebab"
        _, _, which, action = (request.path.removeprefix("/api/v1") + "//").split("/")[:4]
        if not which:
            return self._create(request.json["data"]["attributes"])
        inquiry = self.things.get(which)
        if inquiry is None:
            return 404, {"errors": [{"title": "Record not found"}]}
        if action == "generate-one-time-link":
            if inquiry["attributes"]["status"] == "expired":
                return 409, {"errors": []}
            link = self.way or f"https://withpersona.com/verify?code=us1-{len(self.calls)}"
            return 200, {"data": inquiry, "meta": {"one-time-link": link}}
        if action == "expire":
            inquiry["attributes"]["status"] = "expired"
        if request.method == "DELETE":
            inquiry["attributes"] |= {"redacted-at": "2026-01-01T00:00:00.000Z", "fields": {}}
        return 200, {"data": inquiry}

    def _create(self, attributes: dict[str, str]) -> tuple[int, Any]:
        made = f"inq_{len(self.things) + 1}"
        self.things[made] = {
            "type": "inquiry",
            "id": made,
            "attributes": {
                "status": "created",
                "reference-id": attributes["reference-id"],
                "completed-at": None,
                "fields": {
                    "identification-number": {"type": "string", "value": "C01 X00"},
                    "selected-country-code": {"type": "string", "value": "de"},
                },
            },
            "relationships": {
                "inquiry-template": {"data": {"type": "inquiry-template", "id": attributes["inquiry-template-id"]}}
            },
        }
        return 201, {"data": self.things[made]}


class Sumsub(Service):
    """Sumsub."""

    def allowed(self, request: Request) -> bool:
        stamp = request.headers.get("x-app-access-ts", "")
        said = f"{stamp}{request.method}{request.target}".encode() + request.body
        expected = hmac.new(b"sumsub-secret-key", said, "sha256").hexdigest()
        return request.headers.get("x-app-token") == "prd:1" and request.headers.get("x-app-access-sig") == expected

    def act(self, request: Request) -> tuple[int, Any]:
        if request.path == "/resources/applicants":
            return self._create(request.json["externalUserId"], request.query["levelName"])
        if request.path == "/resources/sdkIntegrations/levels/-/websdkLink":
            assert set(request.json) == {"levelName", "userId", "ttlInSecs", "redirect"}
            return 200, {"url": self.way or f"https://in.sumsub.com/websdk/p/{len(self.calls)}"}
        which, _, action = request.path.removeprefix("/resources/applicants/").partition("/")
        if which.startswith("-;externalUserId="):
            wanted = which.partition("=")[2]
            which = next((each["id"] for each in self.things.values() if each["externalUserId"] == wanted), "")
        applicant = self.things.get(which)
        if applicant is None:
            return 404, {"code": 404, "description": "not found"}
        if action == "presence/deactivated":
            assert request.method == "PATCH"
            applicant["deleted"] = True
        return 200, applicant

    def _create(self, case: str, level: str) -> tuple[int, Any]:
        if any(each["externalUserId"] == case for each in self.things.values()):
            return 409, {"code": 409, "description": "Applicant with external user id already exists"}
        made = f"5b594ade0a975a36c934{len(self.things):04d}"
        self.things[made] = {
            "id": made,
            "externalUserId": case,
            "review": {"reviewStatus": "init", "levelName": level},
            "info": {"idDocs": [{"idDocType": "SELFIE"}, {"idDocType": "PASSPORT", "country": "DEU", "number": "C01X00"}]},
        }
        return 201, self.things[made]


class Veriff(Service):
    """Veriff."""

    def allowed(self, request: Request) -> bool:
        signed = request.body or request.path.split("/")[3].encode()
        expected = hmac.new(b"veriff-secret-1", signed, "sha256").hexdigest()
        return request.headers.get("x-auth-client") == "key-1" and request.headers.get("x-hmac-signature") == expected

    def act(self, request: Request) -> tuple[int, Any]:
        if request.path == "/v1/sessions":
            made = f"12df6045-3846-3e45-946a-14fa6136{len(self.things):04d}"
            wanted = request.json["verification"]
            self.things[made] = {"id": made, "vendorData": wanted["vendorData"], "decided": None}
            way = self.way or f"https://alchemy.veriff.com/v/{made}"
            return 201, {"status": "success", "verification": {"id": made, "url": way, "status": "created"}}
        which = request.path.split("/")[3]
        if which not in self.things:
            return 404, {"status": "fail", "code": "1004"}
        if request.method == "DELETE":
            del self.things[which]
            return 200, {"status": "success", "verification": {"id": which}}
        return 200, {"status": "success", "verification": self.things[which]["decided"]}
