"""What to try: lines for a shell, each of which can be pasted as it stands."""

from __future__ import annotations

from string import Template
from typing import Final, NamedTuple

__all__ = ["KEYS", "Hint", "hints", "text"]

KEYS: Final = {f"sk-demo-{name}": name for name in ("ada", "bob", "cyd", "dev", "eve", "fay")}
"""The keys that the demo's policy lists, and whose they are."""


class Hint(NamedTuple):
    """One thing to try."""

    what: str
    shell: str


_HINTS: Final = (
    (
        "Ask something. The answer's RateLimit fields say what is left.",
        """curl -si $base/v1/chat/completions -H 'Authorization: Bearer sk-demo-ada' -H 'Content-Type: application/json' \\
  -d '{"model": "demo-small", "messages": [{"role": "user", "content": "Hello"}]}'; echo""",
    ),
    (
        "Ask too fast: 429, with the time to wait.",
        """for n in 1 2 3 4 5 6 7 8 9; do curl -s $base/v1/embeddings -H 'Authorization: Bearer sk-demo-bob' \\
  -d '{"model": "demo-small", "input": "Hello"}' -o /dev/null -D - | grep -iE '^(HTTP|retry-after:)'; done""",
    ),
    (
        "Spend the day's $$0.02: 429, and no retry will help.",
        """seq 30 | xargs -P 2 -I{} curl -s $base/v1/messages -H 'x-api-key: sk-demo-cyd' \\
  -d '{"model": "demo-large", "max_tokens": 128, "messages": [{"role": "user", "content": "Hello {}"}]}' \\
  | grep -oE '"output_tokens":[0-9]+|"message":"[^"]*"'""",
    ),
    (
        "Be a crowd of sixty, each below its own limit: the server sheds strangers first (503), and keeps room for accounts.",
        """seq 60 | xargs -P 30 -I{} curl -s $base/v1/models -H 'X-Forwarded-For: 198.18.{}.1' -o /dev/null \\
  -w '%{http_code}\\n' | sort | uniq -c""",
    ),
    (
        "Invent a key: 401.",
        """curl -s $base/v1/models -H 'Authorization: Bearer sk-invented'; echo""",
    ),
    (
        "Be a browser that nobody sits at: 403, with a puzzle, which a page or a transport solves in a blink.",
        """curl -s $base/v1/models -H 'Authorization: Bearer sk-demo-fay' -H 'Guardrail-Solve: altcha' \\
  -H 'User-Agent: Mozilla/5.0 HeadlessChrome/140.0' | cut -c1-300; echo""",
    ),
    (
        "Be eve, whom an operator wants to know: 403. Open the first address in a browser, click through, ask again; or object.",
        """curl -s $base/v1/models -H 'Authorization: Bearer sk-demo-eve' | grep -oE 'http[^"]*/(verify|appeal)/[^"]*'""",
    ),
    (
        "The same with OpenAI's SDK (pip install openai).",
        """python3 - <<'EOF'
import openai
client = openai.OpenAI(base_url="$base/v1", api_key="sk-demo-bob", max_retries=0)
for n in range(9):
    try:
        chat = client.chat.completions.create(
            model="demo-small", messages=[{"role": "user", "content": "Hello"}], max_tokens=4
        )
        print(chat.choices[0].message.content, chat.usage.total_tokens)
    except openai.RateLimitError as error:
        print("RateLimitError:", error.message)
EOF""",
    ),
    (
        "And with Anthropic's (pip install anthropic).",
        """python3 - <<'EOF'
import anthropic
client = anthropic.Anthropic(base_url="$base", api_key="sk-demo-dev")
with client.messages.stream(
    model="demo-large", max_tokens=64, messages=[{"role": "user", "content": "Hello"}]
) as stream:
    for words in stream.text_stream:
        print(words, end="", flush=True)
    print("\\n", stream.get_final_message().usage)
EOF""",
    ),
)


def hints(base: str) -> list[Hint]:
    """All of them, for a server at `base`, `http://127.0.0.1:8080`."""
    return [Hint(Template(what).substitute(base=base), Template(shell).substitute(base=base)) for what, shell in _HINTS]


def text(base: str) -> str:
    """All of them, as one text."""
    return "\n\n".join(f"# {number}. {each.what}\n{each.shell}" for number, each in enumerate(hints(base), 1))
