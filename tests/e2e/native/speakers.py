"""The three protocols as tests speak them: what is sent, and what of an answer says what."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from tests.e2e.rest import Json
from tests.e2e.system import System

PARAMETERS: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
# What every emulator answers where an object is asked for.
ANSWER: Json = {
    "type": "object",
    "properties": {"model": {"type": "string"}, "heard": {"type": "string"}},
    "required": ["model", "heard"],
    "additionalProperties": False,
}
# One dot.
IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)
_BUDGET = 1024
_SECONDS = 120


@dataclass(frozen=True)
class Called:
    """A call that a model has made."""

    id: str
    name: str
    arguments: Json


class Speaker(ABC):
    """Speaks one protocol over HTTP.

    Attributes:
        name: What tests call it.
    """

    name: str

    @abstractmethod
    def path(self, model: str, *, streams: bool) -> str:
        """Return where a request goes."""

    @abstractmethod
    def body(self, model: str, said: str, *, streams: bool = False, tool: str = "") -> Json:
        """Return a request with a system's text, a turn before, and what the user says."""

    @abstractmethod
    def with_image(self, body: Json) -> Json:
        """Return a request whose last words have `IMAGE` beside."""

    @abstractmethod
    def with_schema(self, body: Json) -> Json:
        """Return a request whose answer is to be an object of the form `ANSWER`."""

    @abstractmethod
    def with_limit(self, body: Json, tokens: int) -> Json:
        """Return a request whose answer has at most so many tokens."""

    @abstractmethod
    def is_cut(self, answer: Json) -> bool:
        """Tell whether an answer has ended at its limit."""

    @abstractmethod
    def with_thinking(self, body: Json) -> Json:
        """Return a request that asks for thoughts, and to see them."""

    @abstractmethod
    def thoughts(self, answer: Json) -> str:
        """Return what an answer shows of thoughts, signatures included."""

    @abstractmethod
    def answered(self, body: Json, answer: Json, call: Called, result: str) -> Json:
        """Return the request that gives the result of a call."""

    @abstractmethod
    def text(self, answer: Json) -> str:
        """Return the text of an answer."""

    @abstractmethod
    def calls(self, answer: Json) -> list[Called]:
        """Return the calls in an answer."""

    @abstractmethod
    def usage(self, answer: Json) -> tuple[int, int]:
        """Return tokens of input and output."""

    @abstractmethod
    def total(self, events: Sequence[Json]) -> Json:
        """Return the answer that a stream adds up to."""

    @abstractmethod
    def error_text(self, body: Json) -> str:
        """Return what the protocol's own part of an error says."""

    @abstractmethod
    def check_limits(self, answer: requests.Response) -> None:
        """Check what an answer says of limits in the protocol's own way."""

    def post(
        self, system: System, body: Json, model: str, *, streams: bool = False, **headers: str
    ) -> requests.Response:
        """Send a request with a token, or with other headers."""
        sent = {"authorization": f"Bearer {system.token}"} | headers
        url = f"{system.url}{self.path(model, streams=streams)}"
        return requests.post(url, json=body, headers=sent, timeout=_SECONDS)

    def ask(self, system: System, body: Json, model: str, *, streams: bool = False) -> Json:
        """Return the answer to a request, added up where it is a stream."""
        answer = self.post(system, body, model, streams=streams)
        assert answer.status_code == 200, answer.text
        if not streams:
            whole: Json = answer.json()
            return whole
        lines = answer.content.decode().splitlines()
        return self.total(
            [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        )


class Messages(Speaker):
    """Anthropic's Messages API."""

    name = "messages"

    def path(self, model: str, *, streams: bool) -> str:
        del model, streams
        return "/ai-gateway/anthropic/v1/messages"

    def body(self, model: str, said: str, *, streams: bool = False, tool: str = "") -> Json:
        body: Json = {
            "model": model,
            "max_tokens": 400,
            "system": "Be brief.",
            "messages": [
                {"role": "user", "content": "Hi."},
                {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
                {"role": "user", "content": said},
            ],
        }
        if streams:
            body["stream"] = True
        if tool:
            body["tools"] = [{"name": tool, "input_schema": PARAMETERS}]
        return body

    def with_image(self, body: Json) -> Json:
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        *before, last = body["messages"]
        parts = [{"type": "text", "text": last["content"]}, {"type": "image", "source": source}]
        return body | {"messages": [*before, last | {"content": parts}]}

    def with_schema(self, body: Json) -> Json:
        return body | {"output_config": {"format": {"type": "json_schema", "schema": ANSWER}}}

    def with_limit(self, body: Json, tokens: int) -> Json:
        return body | {"max_tokens": tokens}

    def is_cut(self, answer: Json) -> bool:
        return bool(answer["stop_reason"] == "max_tokens")

    def with_thinking(self, body: Json) -> Json:
        thinking = {"type": "enabled", "budget_tokens": _BUDGET}
        return body | {"thinking": thinking, "max_tokens": 2 * _BUDGET}

    def thoughts(self, answer: Json) -> str:
        thought = [block for block in answer["content"] if block["type"].endswith("thinking")]
        return json.dumps(thought) if thought else ""

    def answered(self, body: Json, answer: Json, call: Called, result: str) -> Json:
        block = {"type": "tool_result", "tool_use_id": call.id, "content": result}
        turns = [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [block]},
        ]
        return body | {"messages": [*body["messages"], *turns]}

    def text(self, answer: Json) -> str:
        return "".join(block["text"] for block in answer["content"] if block["type"] == "text")

    def calls(self, answer: Json) -> list[Called]:
        used = [block for block in answer["content"] if block["type"] == "tool_use"]
        return [Called(block["id"], block["name"], block["input"]) for block in used]

    def usage(self, answer: Json) -> tuple[int, int]:
        return answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]

    def total(self, events: Sequence[Json]) -> Json:
        content: list[Json] = []
        usage: Json = {}
        for event in events:
            kind = event["type"]
            if kind == "content_block_start":
                content.append(dict(event["content_block"]) | {"json": ""})
            elif kind == "content_block_delta":
                self._grow(content[-1], event["delta"])
            elif kind == "message_delta":
                usage = event["usage"]
        for block in content:
            arguments = block.pop("json")
            if block["type"] == "tool_use":
                block["input"] = json.loads(arguments or "{}")
        return {"content": content, "usage": usage}

    def _grow(self, block: Json, delta: Json) -> None:
        if delta["type"] == "input_json_delta":
            block["json"] += delta["partial_json"]
        elif delta["type"] == "signature_delta":
            block["signature"] = delta["signature"]
        else:
            block[block["type"]] += delta[block["type"]]

    def check_limits(self, answer: requests.Response) -> None:
        assert answer.headers["anthropic-ratelimit-requests-limit"] == "1"
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "0"
        reset = datetime.fromisoformat(answer.headers["anthropic-ratelimit-requests-reset"])
        assert timedelta(0) <= reset - datetime.now(UTC) <= timedelta(seconds=62)

    def error_text(self, body: Json) -> str:
        assert body["type"] == "error"
        return str(body["error"]["message"])


class Responses(Speaker):
    """OpenAI's Responses API."""

    name = "responses"

    def path(self, model: str, *, streams: bool) -> str:
        del model, streams
        return "/ai-gateway/codex/v1/responses"

    def body(self, model: str, said: str, *, streams: bool = False, tool: str = "") -> Json:
        body: Json = {
            "model": model,
            "max_output_tokens": 400,
            "instructions": "Be brief.",
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "input": [
                {"role": "user", "content": "Hi."},
                {"role": "assistant", "content": [{"type": "output_text", "text": "Hello."}]},
                {"role": "user", "content": [{"type": "input_text", "text": said}]},
            ],
        }
        if streams:
            body["stream"] = True
        if tool:
            body["tools"] = [{"type": "function", "name": tool, "parameters": PARAMETERS}]
        return body

    def with_image(self, body: Json) -> Json:
        *before, last = body["input"]
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{IMAGE}"}
        return body | {"input": [*before, last | {"content": [*last["content"], image]}]}

    def with_schema(self, body: Json) -> Json:
        form = {"type": "json_schema", "name": "answer", "schema": ANSWER, "strict": True}
        return body | {"text": {"format": form}}

    def with_limit(self, body: Json, tokens: int) -> Json:
        return body | {"max_output_tokens": tokens}

    def is_cut(self, answer: Json) -> bool:
        ending = (answer["status"], answer["incomplete_details"])
        return ending == ("incomplete", {"reason": "max_output_tokens"})

    def with_thinking(self, body: Json) -> Json:
        reasoning = {"effort": "low", "summary": "auto"}
        return body | {"reasoning": reasoning, "max_output_tokens": 2 * _BUDGET}

    def thoughts(self, answer: Json) -> str:
        thought = [item for item in answer["output"] if item["type"] == "reasoning"]
        return json.dumps(thought) if thought else ""

    def answered(self, body: Json, answer: Json, call: Called, result: str) -> Json:
        output = {"type": "function_call_output", "call_id": call.id, "output": result}
        return body | {"input": [*body["input"], *answer["output"], output]}

    def text(self, answer: Json) -> str:
        return "".join(
            part["text"]
            for item in answer["output"]
            if item["type"] == "message"
            for part in item["content"]
        )

    def calls(self, answer: Json) -> list[Called]:
        called = [item for item in answer["output"] if item["type"] == "function_call"]
        return [
            Called(item["call_id"], item["name"], json.loads(item["arguments"])) for item in called
        ]

    def usage(self, answer: Json) -> tuple[int, int]:
        return answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]

    def total(self, events: Sequence[Json]) -> Json:
        assert events[-1]["type"] == "response.completed"
        whole: Json = events[-1]["response"]
        return whole

    def check_limits(self, answer: requests.Response) -> None:
        assert answer.headers["x-ratelimit-reset-requests"].endswith("s")

    def error_text(self, body: Json) -> str:
        return str(body["error"]["message"])


class Gemini(Speaker):
    """The Gemini API."""

    name = "gemini"

    def path(self, model: str, *, streams: bool) -> str:
        verb = "streamGenerateContent?alt=sse" if streams else "generateContent"
        return f"/ai-gateway/gemini/v1beta/models/{model}:{verb}"

    def body(self, model: str, said: str, *, streams: bool = False, tool: str = "") -> Json:
        del model, streams
        body: Json = {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"maxOutputTokens": 400},
            "contents": [
                {"role": "user", "parts": [{"text": "Hi."}]},
                {"role": "model", "parts": [{"text": "Hello."}]},
                {"role": "user", "parts": [{"text": said}]},
            ],
        }
        if tool:
            schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
            declared = {"name": tool, "parameters": schema | {"required": ["city"]}}
            body["tools"] = [{"functionDeclarations": [declared]}]
        return body

    def with_image(self, body: Json) -> Json:
        *before, last = body["contents"]
        image = {"inlineData": {"mimeType": "image/png", "data": IMAGE}}
        return body | {"contents": [*before, last | {"parts": [*last["parts"], image]}]}

    def with_schema(self, body: Json) -> Json:
        options = {"responseMimeType": "application/json", "responseJsonSchema": ANSWER}
        return body | {"generationConfig": options}

    def with_limit(self, body: Json, tokens: int) -> Json:
        return body | {"generationConfig": {"maxOutputTokens": tokens}}

    def is_cut(self, answer: Json) -> bool:
        return bool(answer["candidates"][0]["finishReason"] == "MAX_TOKENS")

    def with_thinking(self, body: Json) -> Json:
        thinking = {"includeThoughts": True, "thinkingBudget": _BUDGET}
        options = {"maxOutputTokens": 2 * _BUDGET, "thinkingConfig": thinking}
        return body | {"generationConfig": options}

    def thoughts(self, answer: Json) -> str:
        parts = self._parts(answer)
        thought = [part for part in parts if part.get("thought") or "thoughtSignature" in part]
        return json.dumps(thought) if thought else ""

    def answered(self, body: Json, answer: Json, call: Called, result: str) -> Json:
        response = {"name": call.name, "response": {"result": result}}
        turns = [
            answer["candidates"][0]["content"],
            {"role": "user", "parts": [{"functionResponse": response}]},
        ]
        return body | {"contents": [*body["contents"], *turns]}

    def text(self, answer: Json) -> str:
        return "".join(
            part.get("text", "") for part in self._parts(answer) if not part.get("thought")
        )

    def calls(self, answer: Json) -> list[Called]:
        called = [part["functionCall"] for part in self._parts(answer) if "functionCall" in part]
        return [Called(str(call.get("id")), call["name"], call["args"]) for call in called]

    def usage(self, answer: Json) -> tuple[int, int]:
        usage = answer["usageMetadata"]
        return usage["promptTokenCount"], usage["candidatesTokenCount"]

    def total(self, events: Sequence[Json]) -> Json:
        # As the SDK keeps a conversation: without texts that say nothing.
        parts = [part for event in events for part in self._parts(event) if part != {"text": ""}]
        candidate = {"content": {"role": "model", "parts": parts}}
        return {"candidates": [candidate], "usageMetadata": events[-1]["usageMetadata"]}

    def _parts(self, answer: Json) -> list[Any]:
        parts: list[Any] = answer["candidates"][0]["content"].get("parts", [])
        return parts

    def check_limits(self, answer: requests.Response) -> None:
        if answer.status_code != 200:
            (retry,) = answer.json()["error"]["details"]
            assert retry["@type"].endswith("google.rpc.RetryInfo")
            assert retry["retryDelay"] == answer.headers["retry-after"] + "s"

    def error_text(self, body: Json) -> str:
        assert body["error"]["status"].isupper()
        return str(body["error"]["message"])


SPEAKERS = (Messages(), Responses(), Gemini())
