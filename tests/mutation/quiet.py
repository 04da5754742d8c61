"""A pytest plugin for runs that are many: no servers, no shrinking, the same examples every time."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutation")


def pytest_sessionstart() -> None:
    """Have every server missing, so that its tests are skipped."""
    from guardrail_mw.testing import servers

    def start(kind: str, *_options: str) -> Any:
        raise servers.ServerMissing(f"{kind} is not started here")

    servers.start = start
