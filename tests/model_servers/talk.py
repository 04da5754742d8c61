"""Calls a guarded server with the official SDKs, and writes down what a client sees. Run by `run.py`, in the server's venv.

    python -P talk.py PLAN.json calls|limit

`calls` makes every kind of call that the plan lists, from the synchronous and the asynchronous client, and the pairs by which
the gap is measured. `limit` asks once more, and then until it is refused. What came goes to the plan's `out`: the fields of
`accounting.Call` and `accounting.Refused`. An error of the server's is not caught: it ends the run.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anthropic
import openai

SEEN = 3
"""Deltas after which a stream is broken off."""
TIMEOUT = 120.0
"""Seconds for one call."""


class Talk:
    """All calls of one client. Written once for both: what the synchronous one returns needs no waiting for."""

    def __init__(self, plan: dict[str, Any], client: str) -> None:
        self.plan = plan
        self.client = client
        kind = "Async" if client == "async" else ""
        options: dict[str, Any] = {"api_key": plan["key"], "max_retries": 0, "timeout": TIMEOUT}
        self.openai: Any = getattr(openai, f"{kind}OpenAI")(base_url=plan["url"] + "/v1", **options)
        self.anthropic: Any = getattr(anthropic, f"{kind}Anthropic")(base_url=plan["url"], **options)

    async def close(self) -> None:
        """Close the connections."""
        await self._got(self.openai.close())
        await self._got(self.anthropic.close())

    async def _got(self, answer: Any) -> Any:
        return await answer if inspect.isawaitable(answer) else answer

    async def _each(self, stream: Any) -> AsyncIterator[Any]:
        if hasattr(stream, "__aiter__"):
            async for event in stream:
                yield event
        else:
            for event in stream:
                yield event

    def _asks(self, kind: str, prompt: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        """The SDK's method for a kind of call, and its arguments."""
        api, _, how = kind.partition("_")
        broken = how == "broken"
        most = self.plan["endless"] if broken else self.plan["most"]
        models = self.plan["models"]
        model = models.get(kind) or models.get(api) or self.plan["model"]
        prompt = (broken and self.plan["endless_prompt"]) or prompt
        messages = [{"role": "user", "content": prompt}]
        client = self.openai
        method, arguments = {
            "chat": (client.chat.completions, {"messages": messages, "max_tokens": most, "temperature": 0}),
            "completions": (client.completions, {"prompt": prompt, "max_tokens": most, "temperature": 0}),
            "embeddings": (client.embeddings, {"input": prompt, "encoding_format": "float"}),
            # Some servers stream unless they are told not to.
            "responses": (client.responses, {"input": prompt, "max_output_tokens": most, "temperature": 0, "stream": False}),
            "messages": (self.anthropic.messages, {"messages": messages, "max_tokens": most}),
        }[api]
        if how:
            arguments["stream"] = True
        if how == "stream_usage":
            arguments["stream_options"] = {"include_usage": True}
        return method.with_raw_response.create, {"model": model, **arguments}

    async def call(self, kind: str, prompt: str, name: str = "") -> dict[str, Any]:
        """Make one call, and read its answer: all of it, or so much as is read before it is left."""
        seen: dict[str, Any] = {"kind": kind, "client": self.client, "prompt": name}
        if kind == "models":
            raw = await self._got(self.openai.models.with_raw_response.list())
            await self._got(raw.parse())
            return {**seen, **_nothing(raw), "asked": 0}
        create, arguments = self._asks(kind, prompt)
        raw = await self._got(create(**arguments))
        answer = await self._got(raw.parse())
        asked = arguments.get("prompt") or arguments.get("input") or arguments["messages"][0]["content"]
        seen |= {**_nothing(raw), "asked": len(asked)}
        if not arguments.get("stream"):
            text, said = whole(kind, answer)
        else:
            text, said = await self._streamed(seen, answer, broken=kind.endswith("_broken"))
        return {**seen, "characters": len(text), "said": said, "text": text if name else ""}

    async def _streamed(self, seen: dict[str, Any], stream: Any, *, broken: bool) -> tuple[str, dict[str, Any] | None]:
        """Read a stream; what it wrote, and all that it said of its usage."""
        parts: list[str] = []
        said: dict[str, Any] = {}
        async for event in self._each(stream):
            written, usage = piece(event)
            parts += written
            said |= {name: value for name, value in (usage or {}).items() if value is not None}
            if broken and len(parts) >= SEEN:
                await self._got(stream.close())
                break
        else:
            if broken:
                raise RuntimeError(f"{seen['kind']}: the stream was over after {len(parts)} deltas")
        seen["deltas"] = len(parts)
        return "".join(parts), said or None

    async def all(self) -> list[dict[str, Any]]:
        """Each kind of call; those of the asynchronous client that are no streams several at once."""
        plan, calls = self.plan, []
        prompt = next(iter(plan["prompts"].values()))
        for kind in plan["calls"]:
            calls.append(await self.call(kind, prompt))
            if self.client == "async" and kind == "chat":
                more = (self.call(kind, prompt) for _ in range(plan["at_once"] - 1))
                calls += await asyncio.gather(*more)
        return calls

    async def pairs(self) -> list[dict[str, Any]]:
        """For each kind that comes without usage: every prompt, so and in a way that brings it."""
        plan, calls = self.plan, []
        for kind in plan["silent"]:
            api = kind.partition("_")[0]
            ways = [way for way in (f"{api}_stream_usage", api) if way in plan["calls"] and way not in plan["silent"]]
            if ways and not kind.endswith("_broken"):
                for name, prompt in plan["prompts"].items():
                    calls += [await self.call(way, prompt, name) for way in (kind, ways[0])]
        return calls


def _nothing(raw: Any) -> dict[str, Any]:
    """An answer of which nothing is read yet."""
    return {"decision": raw.headers["x-guardrail-decision"], "said": None, "deltas": 0, "characters": 0, "text": ""}


def dumped(usage: Any) -> dict[str, Any] | None:
    """A usage object as the server sent it."""
    return None if usage is None else dict(usage.model_dump())


def whole(kind: str, answer: Any) -> tuple[str, dict[str, Any] | None]:
    """The text and the usage of an answer that is no stream."""
    api = kind.partition("_")[0]
    if api == "embeddings":
        text = ""
    elif api == "responses":
        text = answer.output_text
    elif api == "messages":
        text = "".join(part.text for part in answer.content if part.type == "text")
    else:
        text = "".join((choice.message.content if api == "chat" else choice.text) or "" for choice in answer.choices)
    return text, dumped(answer.usage)


def piece(event: Any) -> tuple[list[str], dict[str, Any] | None]:
    """The texts of one event of a stream that are not empty, and its usage."""
    choices = getattr(event, "choices", None)
    if choices is not None:
        texts = [choice.delta.content if hasattr(choice, "delta") else choice.text for choice in choices]
        return [text for text in texts if text], dumped(event.usage)
    delta = getattr(event, "delta", None)
    text = delta if isinstance(delta, str) else getattr(delta, "text", None)
    around = event
    for name in ("response", "message"):
        around = getattr(around, name, around)
    return ([text] if text else []), dumped(getattr(around, "usage", None))


async def calls(plan: dict[str, Any]) -> Any:
    """The first stage."""
    made = []
    for client in ("sync", "async"):
        talk = Talk(plan, client)
        made += await talk.all()
        if client == "sync":
            made += await talk.pairs()
        await talk.close()
    return made


async def limit(plan: dict[str, Any]) -> Any:
    """The second: the last call that is let through by right, and the refusals by each SDK."""
    talk = Talk(plan, "sync")
    prompt = next(iter(plan["prompts"].values()))
    last = await talk.call("chat", prompt)
    cheap = "models" if "models" in plan["calls"] else "chat"
    refused = []
    for vendor, kind in (("openai", cheap), ("anthropic", "messages")):
        if vendor == "anthropic" and kind not in plan["calls"]:
            continue
        for _ in range(plan["requests"] + 10):
            try:
                await talk.call(kind, prompt)
            except (openai.APIStatusError, anthropic.APIStatusError) as error:
                refused.append(
                    {
                        "error": f"{type(error).__module__.partition('.')[0]}.{type(error).__name__}",
                        "status": error.status_code,
                        "body": error.response.json(),
                        "headers": dict(error.response.headers),
                    }
                )
                break
        else:
            raise RuntimeError(f"{vendor}: no call was refused")
    await talk.close()
    return {"last": last, "refused": refused}


def main() -> None:
    """The command."""
    file, stage = sys.argv[1:]
    plan = json.loads(Path(file).read_text())
    found = asyncio.run({"calls": calls, "limit": limit}[stage](plan))
    Path(plan["out"]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
