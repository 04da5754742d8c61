"""Whose error shapes a route speaks. Built-ins and plugins are entry points of the group `guardrail_mw.dialects`.

An entry point is an object with the methods of `Dialect`; no plugin needs to import this module.
"""

from __future__ import annotations

from guardrail_mw.asgi.dialects.base import Dialect, Extra, extra, sentence

__all__ = ["Dialect", "Extra", "extra", "sentence"]
