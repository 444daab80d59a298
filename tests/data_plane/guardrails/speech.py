"""What the provider behind an endpoint says, with a text at each place of an answer."""

from collections.abc import Callable, Mapping, Sequence

from tests.data_plane.guardrails.pipeline import (
    Json,
    chat_answer,
    chat_chunks,
    claude_answer,
    claude_events,
    text_answer,
    text_chunks,
)
from tests.data_plane.guardrails.ways import arguments

Whole = Callable[[str], Json]
Streamed = Callable[[Sequence[str]], list[Json]]


def _call(text: str) -> Json:
    function = {"name": "send", "arguments": text}
    return {"index": 0, "id": "c1", "type": "function", "function": function}


def _fragment(text: str) -> Json:
    return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}


def _chat_call(pieces: Sequence[str]) -> list[Json]:
    whole = arguments("".join(pieces))
    fragments = [_fragment(whole[at : at + 5]) for at in range(0, len(whole), 5)]
    return chat_chunks([{"tool_calls": [_call("")]}, *fragments], "tool_calls")


def _claude_call(pieces: Sequence[str]) -> list[Json]:
    whole = arguments("".join(pieces))
    start: Json = {"type": "tool_use", "id": "c1", "name": "send", "input": {}}
    fragments = (whole[at : at + 5] for at in range(0, len(whole), 5))
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in fragments]
    return claude_events(start, deltas)


def _claude_thought(pieces: Sequence[str]) -> list[Json]:
    deltas: list[Json] = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    start: Json = {"type": "thinking", "thinking": "", "signature": ""}
    return claude_events(start, [*deltas, {"type": "signature_delta", "signature": "sig=="}])


def _channel(name: str) -> tuple[Whole, Streamed]:
    return (
        lambda text: chat_answer({name: text}),
        lambda pieces: chat_chunks([{name: piece} for piece in pieces]),
    )


_CHAT: Mapping[str, tuple[Whole, Streamed]] = {
    "content": _channel("content"),
    "reasoning": _channel("reasoning_content"),
    "refusal": _channel("refusal"),
    "arguments": (
        lambda text: chat_answer({"tool_calls": [_call(arguments(text))]}, "tool_calls"),
        _chat_call,
    ),
}
# By endpoint, and by place.
SPEECH: Mapping[str, Mapping[str, tuple[Whole, Streamed]]] = {
    "chat": _CHAT,
    "text": {"content": (text_answer, text_chunks)},
    "claude": {
        "content": (
            lambda text: claude_answer({"type": "text", "text": text}),
            lambda pieces: claude_events(
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": piece} for piece in pieces],
            ),
        ),
        "reasoning": (
            lambda text: claude_answer(
                {"type": "thinking", "thinking": text, "signature": "sig=="}
            ),
            _claude_thought,
        ),
        "arguments": (
            lambda text: claude_answer(
                {"type": "tool_use", "id": "c1", "name": "send", "input": {"to": text}}
            ),
            _claude_call,
        ),
    },
}
