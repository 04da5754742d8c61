"""Paths and logs of the middleware's own endpoints, in the hands of who means harm."""

from __future__ import annotations

import logging

import pytest

from ..asgi.verifying import guarded, link, look, scope  # noqa: TID252

pytestmark = pytest.mark.anyio


async def test_what_only_begins_like_the_prefix_is_the_apps() -> None:
    site = guarded()
    path = await link(site)
    for own in (path.replace("/verify/", "xverify/"), "/.guardrailsstatus"):
        assert b"account" not in (await look(site, own)).body
    assert [each["path"] for each in site.app.scopes][-2:] == [path.replace("/verify/", "xverify/"), "/.guardrailsstatus"]


async def test_a_name_in_a_webhooks_path_is_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    site = guarded()
    with caplog.at_level(logging.DEBUG):
        await site.ask(scope("/.guardrail/webhooks/ids\n2026 ERROR paid \x1b[2J", "POST"), b"{}")
    assert [record for record in caplog.records if set(record.getMessage()) & {"\n", "\x1b"}] == []
    assert "ERROR paid" in caplog.text
