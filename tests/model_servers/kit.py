"""What a part says of its server: how it is installed, built, started guarded, and which calls it answers.

`run.py` does the same with each part, in this order:

1. A fresh venv (Python 3.11) with `requirements`, this project from its tree, and the SDKs `openai` and `anthropic`.
2. `examples/<example>/` is copied into a scratch folder, `policy.yaml` is rewritten there (below), and the commands of `build`
   run in that copy, in the venv.
3. `serve` is started in that copy. It is up once its output has had a line that matches `ready` and `health` answers 200.
4. `talk.py` makes the calls of `calls` with the official SDKs, each from the synchronous and the asynchronous client, and
   notes for each the decision's id, what the server said of its usage, and the deltas that came. Where a kind of call comes
   without usage it asks the same again in a way that brings it: that is the gap.
5. `also`, if any: commands of the part's own against the running server; one that does not exit with 0 is a mismatch.
6. `talk.py` asks once more, and then until the limit in requests refuses it.
7. `accounting.py` compares every call with the event of its decision, and the sum of all calls with what the limits have left.
8. The server is asked to stop by `stop`, and whatever it started and left behind is ended by its process id.

A part is a module here that only needs the standard library and this file, with one constant. Whatever it imports of its server
stands in the example, or in a script that `build` runs.

    from .kit import Part

    PART = Part(
        name="ray_serve",                                   # the module's
        title="Ray Serve",
        package="ray",                                      # whose version the table shows
        requirements=("ray[serve]==2.50.0",),
        example="ray_serve",
        mounted="middleware of the FastAPI app of an ingress",
        serve=("{bin}/serve", "run", "app:model"),          # fields: see `Place`
        ready="Application .* is ready",
        calls=("chat", "chat_stream", "chat_stream_usage", "chat_broken", "messages", "messages_stream"),
        silent=("chat_stream",),
        key="sk-example-alice",
        model="mine",
    )

**The policy** is the example's own, with these changes: `mode: enforce`; events go to a file; `models` has one price for all
names; of `limits`, `requests`, `tokens` and `spend` are replaced (or added) by those of `LIMITS`, and the others stay, without
their figures mattering much: a run makes fewer than 60 calls and then a few score in a row that only list models. So an example's
limits should be called `requests` and `tokens`, and where a route names the `limits` that hold there, chat has to name
`requests`, `tokens` and `spend` or none. The route of `/v1/models` must name at least `requests`. `key` must name an account in
the example's policy, or be one that the server accepts (`trust: app`).

**Kinds of call** (`Kind`): the name before the first `_` is the API.

    models                                                            GET /v1/models
    chat, chat_stream, chat_stream_usage, chat_broken                 POST /v1/chat/completions
    completions, completions_stream, completions_stream_usage         POST /v1/completions
    embeddings                                                        POST /v1/embeddings
    responses, responses_stream                                       POST /v1/responses
    messages, messages_stream, messages_broken                        POST /v1/messages, by Anthropic's SDK

`_usage` asks by `stream_options: {"include_usage": true}`; `_broken` is a stream that the client leaves after a few deltas.
A server that does not list a kind is not asked for it. A kind in `silent` must come without usage, any other with it: either
way a change in the server's behaviour is noticed.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = [
    "CHAT",
    "COMPLETIONS",
    "KINDS",
    "LIMITS",
    "PRICE",
    "PROMPTS",
    "REQUESTS",
    "ROOT",
    "Kind",
    "Part",
    "Place",
    "amended",
    "api_of",
]

ROOT = Path(__file__).resolve().parents[2]
"""The project."""

Kind = Literal[
    "models",
    "chat",
    "chat_stream",
    "chat_stream_usage",
    "chat_broken",
    "completions",
    "completions_stream",
    "completions_stream_usage",
    "embeddings",
    "responses",
    "responses_stream",
    "messages",
    "messages_stream",
    "messages_broken",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
CHAT: tuple[Kind, ...] = ("chat", "chat_stream", "chat_stream_usage", "chat_broken")
COMPLETIONS: tuple[Kind, ...] = ("completions", "completions_stream", "completions_stream_usage")
"""All kinds of those APIs, which most servers answer."""

PROMPTS = {
    "prose": (
        "A lighthouse keeper writes down every ship that passes. Most nights there are two or three; tonight there were forty, "
        "all under the same flag, none of them in a hurry. What should she ask the harbour master in the morning, and why?"
    ),
    "code": (
        "for i, row in enumerate(rows):\n    if row['id'] in seen:\n        raise ValueError(f\"row {i}: {row['id']!r} twice\")\n"
        "    seen.add(row['id'])\n    totals[row['unit']] += int(row['amount']) * (10 ** row.get('exponent', 0))\n"
    ),
    "Japanese": (
        "灯台守は通り過ぎる船をすべて書き留めている。たいていの夜は二、三隻だが、今夜は四十隻で、どれも同じ旗を掲げ、"
        "急ぐ様子もなかった。朝になったら港長に何を尋ねるべきか、その理由も述べてください。"
    ),
}
"""What calls ask: the first, unless the part has another; all of them where the gap is measured."""

REQUESTS = 90
TOKENS = 50_000_000
DOLLARS = 5_000
LIMITS: tuple[dict[str, Any], ...] = (
    {"name": "requests", "per": ["account"], "rate": f"{REQUESTS}/hour"},
    {"name": "tokens", "per": ["account"], "unit": "tokens", "budget": f"{TOKENS}/month"},
    {"name": "spend", "per": ["account"], "unit": "usd", "budget": f"{DOLLARS}/month"},
)
"""Budgets do not refill within a run, so what they have left tells to the token what was settled."""
PRICE = {"input": 3, "cached": 1, "output": 15}
"""Dollars a million tokens, which is micro-dollars a token: whole numbers, so that nothing is rounded."""

_FIELD = re.compile(r"\{(python|bin|folder|here|port|url)\}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part is run. Its fields can stand in braces in `build`, `serve`, `also` and the values of `environment`."""

    python: Path
    """The venv's interpreter."""
    bin: Path
    """The folder with the venv's commands."""
    folder: Path
    """The part's scratch folder; the copy of the example is `{folder}/example`, and the model it builds goes to
    `{folder}/model`."""
    here: Path
    """This folder, for scripts that lie beside the part."""
    port: int
    """A free port on the loopback address, below 55000."""

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"

    def fill(self, text: str) -> str:
        """A text with its fields filled in; `{url}` too. Other braces stay."""
        return _FIELD.sub(lambda match: str(getattr(self, match[1])), text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One server. See this module's docstring for what becomes of each field.

    Raises:
        ValueError: a kind of call is unknown, or `silent` has one that is not in `calls`.
    """

    name: str
    title: str
    package: str
    requirements: tuple[str, ...]
    """Pinned: `name==version`. Installed by pip, with this project and the SDKs, so that they have to agree."""
    example: str
    """A folder of `examples/`."""
    mounted: str
    """How the guard is mounted, in a few words for the table."""
    serve: tuple[str, ...]
    """The server's command."""
    calls: tuple[Kind, ...]
    silent: tuple[Kind, ...] = ()
    key: str
    model: str
    """What calls name as their model; `{folder}` and the other fields are filled in."""
    models: Mapping[str, str] = field(default_factory=dict)
    """By kind of call, or by API: where it is another model."""
    first: tuple[str, ...] = ()
    """Requirements that pip installs by themselves, before the others: what it would else replace by a larger build."""
    build: tuple[tuple[str, ...], ...] = ()
    """Commands that make what the server needs."""
    also: tuple[tuple[str, ...], ...] = ()
    """Commands to run while the server is up, after the calls. What they charge to `key` is not in the sum that is compared, so
    they use another key, or none."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the server and of `build`; `HOME` is the scratch folder, and every `GUARDRAIL_*` is taken out."""
    ready: str = r"Uvicorn running on|Application startup complete"
    """A regular expression, searched in each line of the server's output."""
    health: str = "/health"
    stop: signal.Signals = signal.SIGTERM
    startup: float = 180.0
    """Seconds that it may take to come up."""
    at_once: int = 3
    """How many unstreamed calls of the asynchronous client are under way together."""
    most: int = 24
    """`max_tokens` of ordinary calls."""
    endless: int = 1500
    """`max_tokens` of calls that are broken off, and what their output must stay below: more than the server can have sent."""
    endless_prompt: str = ""
    """Their prompt; the same unless given. A server that answers with what it was asked needs a long one: the answer has to be
    longer than the sockets' buffers hold (about 10 MB), or it has finished before anybody hangs up."""

    def __post_init__(self) -> None:
        unknown = sorted({*self.calls, *self.silent} - {*KINDS})
        if unknown or not {*self.silent} <= {*self.calls}:
            raise ValueError(f"{self.name}: no such call: {', '.join(unknown) or 'of silent'}")


def api_of(kind: str) -> str:
    """The API of a kind of call: `chat` of `chat_stream`."""
    return kind.partition("_")[0]


def amended(document: Mapping[str, Any], events: Path) -> dict[str, Any]:
    """An example's policy as a run needs it (this module's docstring); `events` is the file that they go to."""
    ours = {limit["name"] for limit in LIMITS}
    others = [limit for limit in document.get("limits", ()) if limit["name"] not in ours]
    return {
        **document,
        "mode": "enforce",
        "models": {"other": {"usd_per_million": PRICE}},
        "limits": [*LIMITS, *others],
        "telemetry": {"events": [{"use": "jsonl", "with": {"path": str(events)}}]},
    }
