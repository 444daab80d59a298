"""What any provider's adapter says or is told has a place of its own in the typed messages."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from modelserving.v1.chat_pb2 import ChatCompletion, ChatCompletionChunk, ChatRequest
from modelserving.v1.completion_pb2 import Completion
from modelserving.v1.embedding_pb2 import EmbeddingList

from modelplane.adapters.providers.types import Task
from modelplane.data_plane.hosts.typed.fields import EXTRA
from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.writer import write
from tests.adapters.providers.conformance import CASES, ProviderCase, open_gateway
from tests.data_plane.typed import as_json, canonical

ANSWERS: dict[str, type[Message]] = {
    Task.CHAT: ChatCompletion,
    Task.COMPLETIONS: Completion,
    Task.EMBEDDINGS: EmbeddingList,
}
CHUNKS: dict[str, type[Message]] = {Task.CHAT: ChatCompletionChunk, Task.COMPLETIONS: Completion}
SIGNED = {"google": {"thought_signature": "c2lnbmVk"}}
CALL = {"id": "c-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
# What only some providers say; the emulators do not say all of it in the conformance cases.
MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": "see",
    "reasoning_content": "hm",
    "thinking_blocks": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5jcnlwdGVk"},
    ],
    "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
    "extra_content": SIGNED,
    "tool_calls": [{**CALL, "extra_content": SIGNED}],
    "citations": [{"start": 0, "end": 3, "text": "see", "sources": [{"type": "document"}]}],
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.test"}}],
    "audio": {"id": "a-1", "data": "AA==", "expires_at": 1700000000, "transcript": "see"},
}
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 8,
    "total_tokens": 17,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 4},
    "cache_creation_input_tokens": 2,
    "estimated": True,
}
OWN_REASON = {"provider_finish_reason": "eos_token"}


def extra_fields(message: Message, path: str = "") -> Iterator[str]:
    """Yield what went into `extra_fields`, at whatever depth."""
    for field, value in message.ListFields():
        if field.name == EXTRA:
            yield from (f"{path}{name}" for name in value.fields)
        elif field.message_type is None or field.message_type.file.package != "modelserving.v1":
            continue
        elif not field.message_type.GetOptions().map_entry:
            for item in value if field.is_repeated else [value]:
                yield from extra_fields(item, f"{path}{field.name}.")


def assert_nothing_is_lost(message_class: type[Message], document: Any) -> None:
    message = read(message_class, document)
    assert as_json(message) == canonical(document)
    assert list(extra_fields(message)) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_answer_of_each_provider_has_a_typed_form(case: ProviderCase) -> None:
    async with open_gateway(case) as gateway:
        whole = await gateway.ask(stream=False)
        assert_nothing_is_lost(ANSWERS[case.task], whole.document)
        if case.streams and case.task in CHUNKS:
            for chunk in (await gateway.ask(stream=True)).chunks:
                assert_nothing_is_lost(CHUNKS[case.task], chunk)


@pytest.mark.parametrize("name", sorted(MESSAGE.keys() - {"role", "content"}))
def test_what_only_some_providers_say(name: str) -> None:
    message = {"role": "assistant", "content": "see", name: MESSAGE[name]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | OWN_REASON
    assert_nothing_is_lost(ChatCompletion, {"choices": [choice], "usage": USAGE})


def test_pieces_of_thoughts_are_numbered() -> None:
    block = {"index": 1, "type": "thinking", "thinking": "hm", "signature": "c2ln"}
    delta = {"thinking_blocks": [block], "extra_content": SIGNED}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop"} | OWN_REASON
    assert_nothing_is_lost(ChatCompletionChunk, {"choices": [choice], "usage": USAGE})


def test_a_provider_is_sent_back_what_it_said() -> None:
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "document", "source": {"type": "url", "url": "https://a.test/a.pdf"}},
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    ]
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}}
    body: dict[str, Any] = {
        "model": "chat",
        "messages": [{"role": "user", "content": parts}, MESSAGE],
        "tools": [tool],
        "extra_params": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 4},
    }
    assert write(read(ChatRequest, body)) == body
