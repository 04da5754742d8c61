"""`transformers serve`, with a tiny model of random weights."""

from __future__ import annotations

from .kit import CHAT, COMPLETIONS, Part

__all__ = ["PART"]

PART = Part(
    name="transformers_serve",
    title="transformers serve",
    package="transformers",
    first=("torch==2.13.0",),
    requirements=("transformers[serving]==5.24.0",),
    example="transformers_serve",
    mounted="`add_middleware` on the app that the command builds",
    build=(("{python}", "-P", "{here}/random_model.py", "transformers", "{folder}/model/random"),),
    serve=(
        "{python}",
        "app.py",
        "serve",
        "{folder}/model/random",
        "--host",
        "127.0.0.1",
        "--port",
        "{port}",
        "--device",
        "cpu",
    ),
    calls=(
        "models",
        *CHAT,
        *COMPLETIONS,
        "responses",
        "responses_stream",
    ),
    key="sk-example-alice",
    model="{folder}/model/random",
)
