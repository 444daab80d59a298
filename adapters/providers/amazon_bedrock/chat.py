"""Chat with every family of models at Bedrock, through Converse and ConverseStream.

Built by `provider.py`; `converse/request.py` builds what is sent, `converse/answers.py` reads what
comes back.
"""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from modelplane.adapters.providers.amazon_bedrock.adapter import REQUEST_ID, BedrockAdapter, Target
from modelplane.adapters.providers.amazon_bedrock.claude import ClaudePassage
from modelplane.adapters.providers.amazon_bedrock.converse.answers import (
    ConverseStreamParser,
    Reading,
    parse_converse,
)
from modelplane.adapters.providers.amazon_bedrock.converse.parameters import (
    FORMAT_TOOL,
    wants_schema,
)
from modelplane.adapters.providers.amazon_bedrock.converse.request import (
    build_converse_body,
    tool_names,
)
from modelplane.adapters.providers.anthropic.complete import is_legacy
from modelplane.adapters.providers.anthropic.passage import PROTOCOL
from modelplane.adapters.providers.base import Passage, StreamParser
from modelplane.adapters.providers.canonical.answers import ChunkBuilder
from modelplane.adapters.providers.canonical.json_values import parse_json_object
from modelplane.adapters.providers.canonical.messages import read_image_urls
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query


class ChatAdapter(BedrockAdapter):
    """Translates chats."""

    __slots__ = ("_passage",)

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        hosts_claude = target.family == "anthropic" and not is_legacy(target.model)
        self._passage = ClaudePassage(target.provider, self._request) if hosts_claude else None

    def passage(self, protocol: str) -> Passage | None:
        """Return how requests of Anthropic's API pass to Claude; see `Adapter`."""
        return self._passage if protocol == PROTOCOL else None

    def image_urls(self, query: Query) -> Sequence[str]:
        """Return the URLs of all images, which Converse takes as bytes only; see `Adapter`."""
        return read_image_urls(self._target.provider, query.body)

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the request; see `Adapter`."""
        target = self._target
        built = build_converse_body(target.provider, target.family, target.model, query, images)
        operation = "converse-stream" if query.stream else "converse"
        return Plan((self._request(operation, built.body),), built.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        (answer,) = answers
        body = parse_json_object(self._target.provider, answer.body)
        answer_id = f"chatcmpl-{answer.headers.get(REQUEST_ID) or uuid4().hex}"
        return parse_converse(self._reading(query), body, answer_id, self._created())

    def stream_parser(self, query: Query) -> StreamParser:
        """Return a parser for one streamed answer."""
        chunks = ChunkBuilder(f"chatcmpl-{uuid4().hex}", self._created())
        return ConverseStreamParser(self._reading(query), chunks)

    def _reading(self, query: Query) -> Reading:
        format_tool = FORMAT_TOOL if wants_schema(query) else None
        return Reading(self._target.provider, tool_names(query), format_tool)
