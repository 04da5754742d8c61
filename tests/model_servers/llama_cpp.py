"""llama-cpp-python's server, with random weights written as GGUF. Its streams never say their usage."""

from __future__ import annotations

from .kit import CHAT, COMPLETIONS, Part

__all__ = ["PART"]

PART = Part(
    name="llama_cpp",
    title="llama-cpp-python",
    package="llama-cpp-python",
    requirements=("llama-cpp-python[server]==0.3.36", "gguf==0.19.0", "tokenizers==0.23.3"),
    example="llama_cpp",
    mounted="`add_middleware` on its app, served by uvicorn",
    build=(("{python}", "-P", "{here}/random_model.py", "gguf", "{folder}/model/random.gguf"),),
    environment={
        "MODEL": "{folder}/model/random.gguf",
        "MODEL_ALIAS": "random",
        "N_CTX": "4096",
        "INTERRUPT_REQUESTS": "false",
        "EMBEDDING": "true",
    },
    serve=("{bin}/uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"),
    health="/.guardrail/live",
    calls=(
        "models",
        *CHAT,
        *COMPLETIONS,
        "embeddings",
    ),
    silent=("chat_stream", "chat_stream_usage", "completions_stream", "completions_stream_usage"),
    key="sk-example-alice",
    model="random",
)
