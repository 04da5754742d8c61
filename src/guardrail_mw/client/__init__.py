"""For those who call a guarded server: what solves its challenges, so that a program is let through as a person would be.

    from openai import OpenAI
    from guardrail_mw.client import http_client

    client = OpenAI(http_client=http_client())

A request that meets a challenge is answered 403 with a puzzle in it. The puzzle is solved, its answer sent to where the server
says (never to another server, unless it is listed), and the request sent again, once. Whatever cannot be solved comes back as
the 403 that it was, and the SDK raises its PermissionDeniedError; the log `guardrail_mw.client` says why.
"""

from __future__ import annotations

from guardrail_mw.client.clients import async_http_client, http_client
from guardrail_mw.client.puzzle import ChallengeError
from guardrail_mw.client.transport import AsyncSolvingTransport, SolvingTransport

__all__ = ["AsyncSolvingTransport", "ChallengeError", "SolvingTransport", "async_http_client", "http_client"]
