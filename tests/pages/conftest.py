"""Chromium, and what checks pages in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from .browser import Tab, axe, chromium


@pytest.fixture(scope="module")
def tabs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe_core(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe(tmp_path_factory.mktemp("axe"))


@pytest.fixture
def tab(tabs: Any) -> Iterator[Tab]:
    found: Tab = tabs()
    found.call("Network.clearBrowserCookies")
    found.look()
    yield found
    with suppress(AssertionError):  # one that is on its way elsewhere goes with the browser
        found.call("Page.close")  # it may be calculating still
