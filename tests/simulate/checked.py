"""Reads a report as a page, and checks that it needs nothing else."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class Checked(HTMLParser):
    """Every element is closed in its place, and nothing is fetched."""

    VOID = frozenset({"meta", "line", "polyline", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.plots = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert not {"src", "href", "onclick"} & {name for name, _ in attrs}
        self.plots += tag == "svg"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        assert tag in self.VOID

    def handle_data(self, data: str) -> None:
        self.text += data
