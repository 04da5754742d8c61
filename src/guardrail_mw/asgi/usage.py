"""What an exchange really used, read from the answer in passing.

A `Meter` is shown every ASGI message that the app sends, after or before it goes on; it changes nothing, holds nothing back,
and keeps at most 16 KiB of a stream that it has not looked at yet (so that sixty chunks cost one look), 64 KiB of one
unfinished event or of a whole answer. What is longer goes through a scanner that holds only a usage object.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from guardrail_mw.asgi.counts import Counts, loads, written
from guardrail_mw.asgi.scan import Scanner
from guardrail_mw.asgi.sse import HELD, Events, payload
from guardrail_mw.values import Estimate, Usage

__all__ = ["BLOCK", "Meter"]

BLOCK = 16_384
"""Bytes of a stream that are looked at together."""

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_TEXT = re.compile(rb'"(?:content|text|partial_json|thinking|delta)":\s?"([^"\\]+)"')
_DURATION = re.compile(rb'\s*\{\s*(?:"(?:task|language)"\s*:\s*"[^"\\]*",\s*)*"duration"\s*:\s*"?([0-9.]+)')
_FINAL = frozenset({"message_stop", "response.completed", "response.incomplete", "response.failed", "response.done"})
_SNIFFED = 7
_INFLATED = frozenset({b"gzip", b"x-gzip", b"deflate"})
_NOTHING = Estimate()


class Meter:
    """Reads one answer. Feed it with `message`, or with `start` and `body`; ask `usage` whenever it is over, or before.

    Args:
        estimate: what was reserved: stands in for what the server does not say and the answer does not show.
        path: the request's; it tells images and audio from text.
    """

    __slots__ = (
        "_chars",
        "_counts",
        "_deltas",
        "_estimate",
        "_events",
        "_final",
        "_images",
        "_inflate",
        "_kind",
        "_mute",
        "_overhead",
        "_partial",
        "_parts",
        "_path",
        "_scanner",
        "_size",
        "_waiting",
        "ended",
        "status",
    )

    def __init__(self, estimate: Estimate | None = None, path: str = "") -> None:
        self._estimate = estimate or _NOTHING
        self._path = path
        self._mute = "/images/" in path or "/embeddings" in path
        self.status = 0
        """The answer's status; 0 until it started."""
        self.ended = False
        """Whether the app sent all of its answer."""
        self._kind = ""
        self._inflate: Any = None
        self._parts: list[bytes] = []
        self._waiting = 0
        self._size = 0
        self._events: Events | None = None
        self._scanner: Scanner | None = None
        self._counts = Counts()
        self._deltas = 0
        self._chars = 0
        self._overhead = -1
        self._images = 0
        self._partial = True
        self._final = False

    def message(self, message: Mapping[str, Any]) -> None:
        """See one ASGI message that goes to the client."""
        kind = message["type"]
        if kind == "http.response.body":
            self.body(message.get("body", b""), message.get("more_body", False))
        elif kind == "http.response.start":
            self.start(message["status"], message.get("headers", ()))

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """See the answer's head."""
        self.status = status
        content_type = encoding = b""
        for name, value in headers:
            lower = name.lower()
            if lower == b"content-type":
                content_type = value.split(b";", 1)[0].strip().lower()
            elif lower == b"content-encoding":
                encoding = value.strip().lower()
        if encoding in _INFLATED:
            self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        elif encoding not in (b"", b"identity"):
            self._kind = "opaque"
            return
        if content_type == b"text/event-stream":
            self._kind = "stream"
            self._events = Events()
        elif content_type == b"application/json" or content_type.endswith(b"+json"):
            self._kind = "json"
        elif content_type:
            self._kind = "opaque"

    def body(self, chunk: bytes, more: bool) -> None:  # noqa: FBT001 - ASGI's own two
        """See a piece of the body. Costs an append, but for one piece in about sixty."""
        if not more:
            self.ended = True
        size = len(chunk)
        if size:
            self._size += size
            if self._kind == "opaque":
                return
            if self._inflate is not None:
                self._inflated(self._inflate, chunk)
                return
            self._parts.append(chunk)
            self._waiting += size
            if self._waiting > BLOCK:
                self._look()

    def _inflated(self, inflate: Any, chunk: bytes) -> None:
        """Look at what a compressed piece holds, a block at a time."""
        while chunk:
            try:
                part = inflate.decompress(chunk, BLOCK)
            except zlib.error:
                self._kind, self._events, self._parts = "opaque", None, []
                return
            chunk = inflate.unconsumed_tail
            if part:
                self._parts.append(part)
                self._waiting += len(part)
                if self._waiting > BLOCK:
                    self._look()

    def usage(self) -> Usage:
        """What was used, as far as it is known by now; may be asked again.

        `complete` is False where the server did not say or the answer broke off. Then output is the largest of what the
        server had said, the delta events seen, and their characters / 4. An answer that cannot be read (not JSON, or in
        an encoding that the standard library lacks, brotli or zstd) costs what was reserved, or its bytes / 4 if that is
        more. Gzip is read, because both SDKs ask for it: else whoever asks for compression would pay an estimate.
        """
        self._look(last=self.ended)
        estimate = self._estimate
        if self.status >= HTTPStatus.BAD_REQUEST and not self._counts:
            return Usage(complete=False)
        if self._kind == "opaque" or not self.status:
            guess = max(estimate.output, self._size // 4) if self.status else 0
            return Usage(estimate.input, output=guess, complete=False)
        if self._kind == "json" and not self._final:
            self._document()
        seen = max(self._deltas, -(-self._chars // 4))
        final = self._final or (self.ended and not self._partial)
        return self._counts.usage(self._images, input_guess=estimate.input, output_guess=seen, final=final)

    def _look(self, *, last: bool = False) -> None:
        """Look at what has gathered."""
        parts = self._parts
        if not parts and not last:
            return
        if not self._kind:
            self._sniff(parts)
        if self._events is not None:
            block = b"".join(parts)
            self._parts, self._waiting = [], 0
            self._stream(self._events, block, last=last)
        elif self._kind == "json" and (self._scanner is not None or self._waiting > HELD):
            if self._scanner is None:
                self._scanner = Scanner()
                duration = _DURATION.match(b"".join(parts)[:512])
                if duration and "/audio/" in self._path:
                    self._counts.duration(duration[1].decode())
            for part in parts:
                self._scanner.feed(part)
            self._parts, self._waiting = [], 0
        elif self._kind == "opaque":
            self._parts, self._waiting = [], 0

    def _sniff(self, parts: list[bytes]) -> None:
        """An answer without a content type: JSON begins with a brace, events with a field's name or a colon."""
        head = b"".join(parts)[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
        if head[:1] in (b"{", b"["):
            self._kind = "json"
        elif head.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
            self._kind = "stream"
            self._events = Events()
        elif len(head) >= _SNIFFED or (head and self.ended):
            self._kind = "opaque"

    def _stream(self, events: Events, block: bytes, *, last: bool) -> None:
        """Count the events of a block. Most differ from the one before only in a text: then its length is enough."""
        search, overhead, deltas, chars = _TEXT.search, self._overhead, 0, 0
        for event in events.feed(block, last=last):
            found = search(event)
            if found is not None:
                start, end = found.span(1)
                more = len(event) + start - end - overhead
                if -1 <= more <= 1 and event.isascii() and not _USAGE.search(event):
                    overhead += more
                    deltas += 1
                    chars += end - start
                    continue
            self._overhead = overhead
            self._event(event)
            overhead = self._overhead
        self._overhead = overhead
        self._deltas += deltas
        self._chars += chars
        while events.scanned:
            self._scanned(events.scanned.pop())

    def _event(self, raw: bytes) -> None:
        """Read one event in full."""
        data = payload(raw)
        if len(data) > HELD:
            scanner = Scanner()
            scanner.feed(data)
            self._scanned(scanner)
        elif data == b"[DONE]":
            self._final = True
        elif data:
            event = loads(data)
            texts = written(event)
            self._deltas += len(texts)
            self._chars += sum(map(len, texts))
            if len(texts) == 1 and raw.isascii() and b"\\" not in raw:  # escapes would pass for overhead
                self._overhead = len(raw) - len(texts[0])
            self._reported(event)

    def _reported(self, event: dict[str, Any]) -> None:
        """Take what an event says of usage, and whether it is the last to say so."""
        kind = event.get("type")
        if type(kind) is not str:
            kind = ""
        if kind in _FINAL:
            self._final = True
        elif kind.startswith("image_") and kind.endswith(".completed"):
            self._images += 1
        for name in ("response", "message"):
            inner = event.get(name)
            if type(inner) is dict and self._counts.take(inner.get("usage")):
                self._partial = name == "message"
        if self._counts.take(event.get("usage")):
            self._partial = False
            if kind == "message_delta" or kind.endswith(".completed") or _last_chunk(event):
                self._final = True

    def _scanned(self, scanner: Scanner) -> None:
        """Take what an event too long to hold had to say."""
        for usage in scanner.usage:
            if self._counts.take(loads(usage)):
                self._partial = False
                self._final = True

    def _document(self) -> None:
        """Read a whole answer: the held one at once, a longer or broken one through a scanner."""
        scanner = self._scanner
        if scanner is None:
            text = b"".join(self._parts)
            document = loads(text)
            if document:
                self._held(document)
                return
            scanner = Scanner()
            scanner.feed(text)
        for usage in scanner.usage:
            self._counts.take(loads(usage))
        self._images = scanner.items if "/images/" in self._path else 0
        self._chars = 0 if self._mute else scanner.strings
        self._partial = not self._counts

    def _held(self, document: dict[str, Any]) -> None:
        self._counts.take(document.get("usage"))
        if "/audio/" in self._path:
            self._counts.duration(document.get("duration"))
        data = document.get("data")
        if "/images/" in self._path and type(data) is list:
            self._images = len(data)
        self._chars = 0 if self._mute else sum(map(len, written(document)))
        self._partial = not self._counts


def _last_chunk(event: dict[str, Any]) -> bool:
    """Whether a chat chunk with usage is the last to have one: no choices, or one that says why it finished."""
    choices = event.get("choices")
    if type(choices) is not list:
        return False
    return not choices or any(type(choice) is dict and choice.get("finish_reason") for choice in choices)
