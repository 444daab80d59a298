"""Feeds stream parsers and puts their chunks together again, to compare with whole answers."""

from collections.abc import Callable, Iterable
from typing import Any

from modelplane.adapters.providers.base import StreamParser

Chunks = list[dict[str, Any]]


def parse_stream(parser: StreamParser, parts: Iterable[bytes]) -> Chunks:
    """Return the chunks of a whole stream."""
    chunks: Chunks = []
    for part in parts:
        chunks.extend(parser.feed(part))
    chunks.extend(parser.finish())
    return chunks


def every_split(
    build: Callable[[], StreamParser], stream: bytes, step: int = 1
) -> Iterable[Chunks]:
    """Yield the chunks for each place at which the stream can be split in two."""
    for index in range(0, len(stream) + 1, step):
        yield parse_stream(build(), (stream[:index], stream[index:]))


def reassemble(chunks: Chunks) -> dict[str, Any]:
    """Return the whole answer that chunks add up to; checks the rules of chunks on the way."""
    assert all(set(chunk) >= {"id", "object", "created", "choices"} for chunk in chunks)
    assert [bool(chunk["choices"]) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"]})
            assert choice.get("finish_reason") is None, "nothing follows a finish reason"
            _add(choice, part)
    for choice in choices.values():
        assert choice["finish_reason"]
    return {
        "id": chunks[-1]["id"],
        "created": chunks[-1]["created"],
        "choices": [choices[index] for index in sorted(choices)],
        "usage": chunks[-1]["usage"],
    }


def _add(choice: dict[str, Any], part: dict[str, Any]) -> None:
    if "text" in part:
        choice["text"] = choice.get("text", "") + part["text"]
    else:
        _add_delta(choice, part["delta"])
    if part["logprobs"]:
        known = choice.get("logprobs") or {"content": []}
        content = known["content"] + part["logprobs"]["content"]
        choice["logprobs"] = {**part["logprobs"], "content": content}
    extra = {"index", "text", "delta", "logprobs"}
    choice.update({name: value for name, value in part.items() if name not in extra})
    choice.setdefault("logprobs", None)


def _add_delta(choice: dict[str, Any], delta: dict[str, Any]) -> None:
    if "message" not in choice:
        assert delta["role"] == "assistant", "the first delta has the role"
    message = choice.setdefault("message", {"role": "assistant", "content": None})
    for name in ("content", "reasoning_content"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    for name in ("citations",):
        if name in delta:
            message.setdefault(name, []).extend(delta[name])
    for call in delta.get("tool_calls", ()):
        _add_call(message.setdefault("tool_calls", []), call)


def _add_call(calls: list[dict[str, Any]], call: dict[str, Any]) -> None:
    call = dict(call)
    index = call.pop("index")
    if index == len(calls):
        assert call["id"]
        assert call["function"]["name"]
        calls.append({**call, "function": dict(call["function"])})
        return
    assert set(call) == {"function"}, "id, type and name come once"
    calls[index]["function"]["arguments"] += call["function"]["arguments"]
