"""Every way in which a query comes, with each place where a text may stand in it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelserving.v1.chat_pb2 import ChatRequest
from modelserving.v1.completion_pb2 import CompletionRequest
from modelserving.v1.embedding_pb2 import EmbeddingRequest

from tests.data_plane.guardrails.pipeline import Json, Wire

TOOL = {"type": "object", "properties": {"to": {"type": "string"}}}
Build = Callable[[str], Json]


@dataclass(frozen=True)
class Way:
    """One way in.

    Attributes:
        name: What tests call it.
        path: Where requests go; empty: it is a typed RPC.
        inputs: Bodies by the place of a text in them.
        stream_path: Where requests for streams go, if elsewhere.
        rpcs: The typed RPCs, whole and streamed.
        endpoint: Endpoint that is asked.
        outputs: Whether a model writes the answer.
        refuses: Whether what is blocked is answered as a model that refuses.
        piece: Returns the texts in an event of a stream.
    """

    name: str
    path: str
    inputs: Mapping[str, Build]
    stream_path: str = ""
    rpcs: tuple[str, ...] = ()
    endpoint: str = "chat"
    outputs: bool = True
    refuses: bool = False
    piece: Callable[[Json], str] = field(default=lambda _: "")

    def request(self, place: str, said: str, *, streams: bool = False) -> tuple[str, Json]:
        """Return path and body of a request with a text at a place."""
        body = self.inputs[place](said)
        if streams and self.stream_path:
            return self.stream_path, body
        return self.path, body | ({"stream": True} if streams else {})

    def joined(self, wire: Wire) -> str:
        """Return the text that a stream adds up to."""
        return "".join(map(self.piece, wire.events))


def arguments(said: str) -> str:
    return json.dumps({"to": said})


def _chat(messages: list[Json]) -> Json:
    return {"model": "chat", "messages": [*messages, {"role": "user", "content": "So?"}]}


def _called(said: str, result: str = "ok") -> list[Json]:
    function = {"name": "send", "arguments": arguments(said)}
    call = {"id": "c1", "type": "function", "function": function}
    return [
        {"role": "user", "content": "Do it"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": result},
    ]


CHAT: Mapping[str, Build] = {
    "system": lambda said: _chat([{"role": "system", "content": said}]),
    "text": lambda said: _chat([{"role": "user", "content": said}]),
    "part": lambda said: _chat([{"role": "user", "content": [{"type": "text", "text": said}]}]),
    "assistant": lambda said: _chat(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
    ),
    "arguments": lambda said: _chat(_called(said)),
    "result": lambda said: _chat(_called("x", said)),
}


def _messages(messages: list[Json], **more: object) -> Json:
    return {"model": "claude", "max_tokens": 9, "messages": messages, **more}


def _used(said: str, result: str = "ok") -> list[Json]:
    use = {"type": "tool_use", "id": "c1", "name": "send", "input": {"to": said}}
    answer = {"type": "tool_result", "tool_use_id": "c1", "content": result}
    return [
        {"role": "user", "content": "Do it"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [answer]},
    ]


MESSAGES: Mapping[str, Build] = {
    "system": lambda said: _messages([{"role": "user", "content": "Hi"}], system=said),
    "text": lambda said: _messages([{"role": "user", "content": said}]),
    "part": lambda said: _messages(
        [{"role": "user", "content": [{"type": "text", "text": said}]}],
    ),
    "assistant": lambda said: _messages(
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": said},
            {"role": "user", "content": "So?"},
        ]
    ),
    "arguments": lambda said: _messages(_used(said)),
    "result": lambda said: _messages(_used("x", said)),
}


def _responses(items: list[Json] | str, **more: object) -> Json:
    return {"model": "chat", "input": items, **more}


def _item(said: str, role: str = "user", kind: str = "input_text") -> Json:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": said}]}


def _function(said: str, result: str = "ok") -> list[Json]:
    call = {"type": "function_call", "call_id": "c1", "name": "send", "arguments": arguments(said)}
    return [
        _item("Do it"),
        call,
        {"type": "function_call_output", "call_id": "c1", "output": result},
    ]


RESPONSES: Mapping[str, Build] = {
    "system": lambda said: _responses("Hi", instructions=said),
    "text": _responses,
    "part": lambda said: _responses([_item(said)]),
    "assistant": lambda said: _responses(
        [_item("Hi"), _item(said, "assistant", "output_text"), _item("So?")]
    ),
    "arguments": lambda said: _responses(_function(said)),
    "result": lambda said: _responses(_function("x", said)),
}


def _gemini(contents: list[Json], **more: object) -> Json:
    return {"contents": contents, **more}


def _content(said: str, role: str = "user") -> Json:
    return {"role": role, "parts": [{"text": said}]}


def _functions(said: str, result: str = "ok") -> list[Json]:
    call = {"functionCall": {"id": "c1", "name": "send", "args": {"to": said}}}
    answer = {"id": "c1", "name": "send", "response": {"output": result}}
    return [
        _content("Do it"),
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": answer}]},
    ]


GEMINI: Mapping[str, Build] = {
    "system": lambda said: _gemini([_content("Hi")], systemInstruction={"parts": [{"text": said}]}),
    "text": lambda said: _gemini([_content(said)]),
    "part": lambda said: _gemini([{"role": "user", "parts": [{"text": "a"}, {"text": said}]}]),
    "assistant": lambda said: _gemini([_content("Hi"), _content(said, "model"), _content("So?")]),
    "arguments": lambda said: _gemini(_functions(said)),
    "result": lambda said: _gemini(_functions("x", said)),
}
PROMPTS: Mapping[str, Build] = {
    "prompt": lambda said: {"model": "text", "prompt": said},
    "prompts": lambda said: {"model": "text", "prompt": ["a", said]},
    "suffix": lambda said: {"model": "text", "prompt": "a", "suffix": said},
}
INPUTS: Mapping[str, Build] = {
    "input": lambda said: {"model": "vector", "input": said},
    "inputs": lambda said: {"model": "vector", "input": ["a", said]},
}
EMBED: Mapping[str, Build] = {"part": lambda said: {"content": {"parts": [{"text": said}]}}}
EMBED_ALL: Mapping[str, Build] = {
    "part": lambda said: {"requests": [{"content": {"parts": [{"text": said}]}}]}
}


def _of_chunk(event: Json) -> str:
    return "".join(
        (choice.get("delta") or {}).get("content") or choice.get("text") or ""
        for choice in event["choices"]
    )


def _of_message(event: Json) -> str:
    return str(event.get("delta", {}).get("text", ""))


def _of_response(event: Json) -> str:
    return str(event["delta"]) if event["type"] == "response.output_text.delta" else ""


def _of_gemini(event: Json) -> str:
    parts = [part for one in event["candidates"] for part in one["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts)


def _named(bodies: Mapping[str, Build]) -> Mapping[str, Build]:
    """Return bodies whose endpoint the path names."""

    def without(build: Build) -> Build:
        return lambda said: {name: one for name, one in build(said).items() if name != "model"}

    return {place: without(build) for place, build in bodies.items()}


_AI = "/ai-gateway/mlflow/v1"
_GEMINI_PATH = "/serving-endpoints/gemini/v1beta/models"
WAYS = (
    Way("chat", "/serving-endpoints/chat/completions", CHAT, piece=_of_chunk),
    Way("invocations", "/serving-endpoints/chat/invocations", _named(CHAT), piece=_of_chunk),
    Way("gateway", f"{_AI}/chat/completions", CHAT, refuses=True, piece=_of_chunk),
    Way("completion", "/serving-endpoints/completions", PROMPTS, endpoint="text", piece=_of_chunk),
    Way("embedding", "/serving-endpoints/embeddings", INPUTS, endpoint="vector", outputs=False),
    Way(
        "messages",
        "/serving-endpoints/anthropic/v1/messages",
        MESSAGES,
        endpoint="claude",
        refuses=True,
        piece=_of_message,
    ),
    Way("responses", "/serving-endpoints/responses", RESPONSES, refuses=True, piece=_of_response),
    Way(
        "gemini",
        f"{_GEMINI_PATH}/chat:generateContent",
        GEMINI,
        stream_path=f"{_GEMINI_PATH}/chat:streamGenerateContent?alt=sse",
        refuses=True,
        piece=_of_gemini,
    ),
    Way("embed", f"{_GEMINI_PATH}/vector:embedContent", EMBED, endpoint="vector", outputs=False),
    Way(
        "embed all",
        f"{_GEMINI_PATH}/vector:batchEmbedContents",
        EMBED_ALL,
        endpoint="vector",
        outputs=False,
    ),
    Way("typed chat", "", CHAT, rpcs=("Chat", "StreamChat"), piece=_of_chunk),
    Way(
        "typed completion",
        "",
        PROMPTS,
        rpcs=("Complete", "StreamComplete"),
        endpoint="text",
        piece=_of_chunk,
    ),
    Way("typed embedding", "", INPUTS, rpcs=("Embed",), endpoint="vector", outputs=False),
)
MESSAGES_OF: Mapping[str, type[Any]] = {
    "Chat": ChatRequest,
    "StreamChat": ChatRequest,
    "Complete": CompletionRequest,
    "StreamComplete": CompletionRequest,
    "Embed": EmbeddingRequest,
}
