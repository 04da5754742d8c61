"""LiteLLM's proxy, which answers by itself (`mock_response`): no provider is called.

Its mocks stream neither responses nor messages. So these ask for models whose provider is the same proxy: its own chat, over a
connection, becomes what was asked for, as any provider's does. DeepSeek has no responses, vLLM no messages, as far as LiteLLM
knows. The calls within are guarded and accounted for as well.
"""

from __future__ import annotations

from .kit import CHAT, COMPLETIONS, Part

__all__ = ["PART"]

WRITE = """
import sys, yaml
file, url = sys.argv[1:]
config = yaml.safe_load(open(file))
text = "".join("%02d " % (number % 100) for number in range(6000))
mock = {"model": "openai/mock-long", "api_key": "none", "mock_response": text}
around = {"api_base": url + "/v1", "api_key": "sk-master"}
config["model_list"] += [
    {"model_name": "mock-long", "litellm_params": mock},
    {"model_name": "around-deepseek", "litellm_params": {"model": "deepseek/mock-gpt", **around}},
    {"model_name": "around-vllm", "litellm_params": {"model": "hosted_vllm/mock-gpt", **around}},
    {"model_name": "around-long", "litellm_params": {"model": "hosted_vllm/mock-long", **around}},
]
yaml.safe_dump(config, open(file, "w"))
"""
"""Adds models to the example's configuration. A mock is cut into events of three characters, so the long one's are 6,000."""

PART = Part(
    name="litellm_proxy",
    title="LiteLLM proxy",
    package="litellm",
    requirements=("litellm[proxy]==1.108.7",),
    example="litellm",
    mounted="`add_middleware` on its app, served by uvicorn",
    build=(("{python}", "-c", WRITE, "{folder}/example/config.yaml", "{url}"),),
    environment={"CONFIG_FILE_PATH": "config.yaml", "LITELLM_LOCAL_MODEL_COST_MAP": "true", "LITELLM_LOG": "WARNING"},
    serve=("{bin}/uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"),
    health="/health/liveliness",
    calls=(
        "models",
        *CHAT,
        *COMPLETIONS,
        "responses",
        "responses_stream",
        "messages",
        "messages_stream",
        "messages_broken",
    ),
    silent=("chat_stream", "completions_stream"),
    key="sk-master",
    model="mock-gpt",
    models={
        "chat_broken": "mock-long",
        "responses": "around-deepseek",
        "messages": "around-vllm",
        "messages_broken": "around-long",
    },
    endless=6_001,  # the mock writes on for whoever has gone, and what is made is paid
)
