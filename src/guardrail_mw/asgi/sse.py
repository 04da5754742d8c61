"""Server-sent events and JSON documents, read as they pass, without being held.

Source for events: HTML, section 9.2.6 "Interpreting an event stream". Lines end in LF, CR or CRLF, wherever the server cut
its chunks.
"""

from __future__ import annotations

import re

from guardrail_mw.asgi.scan import Scanner

__all__ = ["HELD", "Events", "payload"]

HELD = 65_536
"""Bytes of one unfinished event, or of a whole answer, that are kept; what is longer is scanned, not kept."""

_BOM = b"\xef\xbb\xbf"
_DATA = re.compile(rb"^data(?::[ ]?(.*))?$", re.MULTILINE)


class Events:
    """Cuts a stream into its events. What it keeps is less than `HELD` bytes between calls."""

    __slots__ = ("_begun", "_cr", "_rest", "_scanner", "scanned")

    def __init__(self) -> None:
        self._rest = b""
        self._cr = False
        self._begun = False
        self._scanner: Scanner | None = None
        self.scanned: list[Scanner] = []
        """Events that were too long to be kept, as far as they were scanned; whoever feeds takes them away."""

    def feed(self, block: bytes, *, last: bool = False) -> list[bytes]:
        """The events that `block` completes, as they came but for line ends; some may be empty or comments.

        `last` completes what stands without its blank line: clients drop such an event, but the server did the work.
        """
        if block and (self._cr or b"\r" in block):
            block = self._newlines(block)
        data = self._rest + block if self._rest else block
        if not self._begun and data:
            if len(data) < len(_BOM) and not last and _BOM.startswith(data):
                self._rest = data
                return []
            self._begun = True
            data = data.removeprefix(_BOM)
        if self._scanner is not None:
            data = self._scan(self._scanner, data)
        raw = data.split(b"\n\n")
        self._rest = raw.pop()
        if last:
            raw.append(self._rest)
            self._rest = b""
            if self._scanner is not None:
                self.scanned.append(self._scanner)
                self._scanner = None
        elif len(self._rest) > HELD:
            self._scanner = Scanner()
            self._rest = self._scan(self._scanner, self._rest)
        return raw

    def _newlines(self, block: bytes) -> bytes:
        """LF for CRLF and CR; a CR at the very end counts at once, and the LF that may follow it is dropped."""
        if self._cr and block[:1] == b"\n":
            block = block[1:]
        self._cr = block[-1:] == b"\r"
        return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _scan(self, scanner: Scanner, data: bytes) -> bytes:
        """Feed the long event; returns what belongs to the next one, or the last byte, which may begin a blank line."""
        end = data.find(b"\n\n")
        if end < 0:
            keep = data[-1:] == b"\n"
            scanner.feed(data[:-1] if keep else data)
            return b"\n" if keep else b""
        scanner.feed(data[:end])
        self.scanned.append(scanner)
        self._scanner = None
        return data[end + 2 :]


def payload(event: bytes) -> bytes:
    """The data of one event, its lines joined by LF; empty where it has none."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    if b"data" not in event:
        return b""
    return b"\n".join(_DATA.findall(event))
