"""`guardrail-mw clusters`: who acts together, why that is thought, and what is done about it."""

from __future__ import annotations

from guardrail_mw.cli.clusters.command import clusters
from guardrail_mw.cli.clusters.forming import form

__all__ = ["clusters"]

clusters.add_command(form)
