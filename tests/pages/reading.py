"""Pages, read as a browser reads them."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

NONCE = "bm9uY2Ugb2YgYSB0ZXN0"
NASTY = "</script><script>alert(1)</script><!--\"'&\u2028\u2029{{nonce}}\ud800"


class Parsed(HTMLParser):
    """The elements of a page, with their attributes, and the texts in them."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(body.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.elements[-1][0], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def hidden(self) -> list[tuple[str | None, str | None]]:
        return [(each["name"], each["value"]) for each in self.all("input")]

    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag not in {"script", "style"})

    def data(self) -> Any:
        (found,) = [text for tag, text in self.texts if tag == "script" and text.lstrip().startswith("{")]
        return json.loads(found)


def directives(headers: dict[bytes, bytes]) -> dict[str, str]:
    parts = (part.partition(" ") for part in headers[b"content-security-policy"].decode().split("; "))
    return {name: value for name, _, value in parts}
