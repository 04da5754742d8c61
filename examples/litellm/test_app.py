"""LiteLLM's real proxy behind the guard, with mock answers, as OpenAI's SDK sees it. Needs `litellm[proxy]`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

HERE = Path(__file__).parent
ASKED: Any = [{"role": "user", "content": "Hello"}]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("litellm") is None, reason="needs LiteLLM. Install it with: pip install 'litellm[proxy]'"),
]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """The proxy's address; its own process, since it takes over what it is imported into."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {**os.environ, "CONFIG_FILE_PATH": str(HERE / "config.yaml"), "LITELLM_LOCAL_MODEL_COST_MAP": "true"}
    environment |= {"GUARDRAIL_STORE": "", "GUARDRAIL_MODE": ""}
    command = [sys.executable, "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)]
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, cwd=HERE, env=environment, **pipes)  # noqa: S603 - the command above
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "Uvicorn running on" in line:
            break
    else:
        pytest.fail("the proxy did not start:\n" + "".join(lines[-40:]))
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.communicate(timeout=20)


def sdk(base: str, key: str = "sk-master") -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{base}/v1", max_retries=0, timeout=60)


def test_the_proxy_answers_and_its_usage_is_counted(base: str) -> None:
    client = sdk(base)
    answer = client.chat.completions.with_raw_response.create(model="mock-gpt", messages=ASKED)
    assert answer.parse().choices[0].message.content == "Mocks are models too."
    assert len(answer.headers["x-guardrail-decision"]) == 24
    stream = client.chat.completions.create(
        model="mock-gpt", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(each.choices[0].delta.content or "" for each in stream if each.choices) == "Mocks are models too."


def test_a_key_that_the_proxy_refuses_is_nobodys(base: str) -> None:
    with pytest.raises((openai.AuthenticationError, openai.BadRequestError)):
        sdk(base, "sk-invented").chat.completions.create(model="mock-gpt", messages=ASKED)


def test_too_fast_is_refused_by_the_guard(base: str) -> None:
    client = sdk(base)
    with pytest.raises(openai.RateLimitError, match="Limit: requests") as refused:
        [client.chat.completions.create(model="mock-gpt", messages=ASKED) for _ in range(100)]
    assert refused.value.response.headers["x-should-retry"] == "true"
    assert client.with_options(max_retries=5).models.list() is not None
