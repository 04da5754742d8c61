"""What people see in a browser: the challenge's page, and the one that sends a form again."""

from __future__ import annotations

from guardrail_mw.asgi.pages.page import challenge_page, resend_page
from guardrail_mw.asgi.pages.widgets import Widget, hcaptcha, recaptcha, turnstile
from guardrail_mw.asgi.pages.words import Language, Words

__all__ = ["Language", "Widget", "Words", "challenge_page", "hcaptcha", "recaptcha", "resend_page", "turnstile"]
