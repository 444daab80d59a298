"""Requests as REST callers send them; each must mean the same when it is sent with typed messages.

`test_typed_corpus.py` sends them both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PNG = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        method: RPC of the REST form.
        body: The JSON; `model` names the endpoint.
        extra: Fields of the body that have no typed form; they are sent as `extra_params`.
        fault: Arguments of the emulator's `fail`, when the provider is to refuse.
        status: HTTP status expected.
        streams: Whether the request is sent as a stream, too.
    """

    method: str
    body: Json
    extra: Json = field(default_factory=dict)
    fault: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    streams: bool = True

    @property
    def rest_body(self) -> Json:
        return self.body | self.extra


def text(content: object, role: str = "user", **rest: object) -> Json:
    return {"role": role, "content": content, **rest}


def chat(*messages: Json, model: str = "chat", **fields: Any) -> Case:
    return Case("CreateChatCompletion", {"model": model, "messages": list(messages), **fields})


def complete(prompt: object, **fields: Any) -> Case:
    return Case("CreateCompletion", {"model": "completions", "prompt": prompt, **fields})


def embed(given: object, **fields: Any) -> Case:
    body = {"model": "embeddings", "input": given, **fields}
    return Case("CreateEmbedding", body, streams=False)


def changed(case: Case, **changes: Any) -> Case:
    values = {name: getattr(case, name) for name in Case.__dataclass_fields__}
    return Case(**values | changes)


HELLO = text("hello there")
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "Name of the city"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "scale": {"type": "number", "default": 0.5},
    },
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Json = {
    "type": "function",
    "function": {"name": "weather", "description": "Forecast", "parameters": SCHEMA},
}
CLOCK: Json = {"type": "function", "function": {"name": "clock"}}
TOOLS = [WEATHER, CLOCK]
ANSWER_SCHEMA: Json = {
    "type": "json_schema",
    "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
}


def call(identifier: str, arguments: str = '{"city": "Oslo", "days": 1.0}') -> Json:
    return {
        "id": identifier,
        "type": "function",
        "function": {"name": "weather", "arguments": arguments},
    }


CASES: dict[str, Case] = {
    "plain": chat(HELLO),
    "system": chat(text("be brief", "system"), HELLO, temperature=0, top_p=0.25),
    "developer": chat(text("be brief", "developer", name="boss"), HELLO),
    "many turns": chat(
        text("one"), text("two", "assistant"), text("three"), text("four", "assistant"), HELLO
    ),
    "unicode": chat(text('grüße 你好 🙂 \u2028 \\ " \n\t')),
    "empty text": chat(text("")),
    "parts": chat(text([{"type": "text", "text": "a"}, {"type": "text", "text": " b"}])),
    "image by URL": chat(
        text(
            [
                {"type": "text", "text": "what is it"},
                {"type": "image_url", "image_url": {"url": "https://a.test/i.png"}},
            ]
        )
    ),
    "image by data": chat(
        text([{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}])
    ),
    "tools unused": chat(HELLO, tools=TOOLS),
    "tools auto": chat(text("the weather in Oslo"), tools=TOOLS, tool_choice="auto"),
    "tools required": chat(HELLO, tools=TOOLS, tool_choice="required"),
    "tools none": chat(text("the weather"), tools=TOOLS, tool_choice="none"),
    "tool forced": chat(
        HELLO,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "clock"}},
        parallel_tool_calls=False,
    ),
    "several tool calls": chat(text("weather"), tools=TOOLS, parallel_tool_calls=True, n=3),
    "strict tool": chat(
        text("weather"),
        tools=[{"type": "function", "function": WEATHER["function"] | {"strict": True}}],
    ),
    "tool results": chat(
        text("weather"),
        {"role": "assistant", "tool_calls": [call("c-1"), call("c-2", "")]},
        text("sunny", "tool", tool_call_id="c-1"),
        text([{"type": "text", "text": '{"rain": true}'}], "tool", tool_call_id="c-2"),
        tools=TOOLS,
    ),
    "JSON object": chat(HELLO, response_format={"type": "json_object"}),
    "JSON schema": chat(HELLO, response_format=ANSWER_SCHEMA),
    "text format": chat(HELLO, response_format={"type": "text"}),
    "stop": chat(text("one two three"), stop=["two", "never"]),
    "several answers": chat(HELLO, n=3),
    "cut": chat(text("one two three four"), max_tokens=2),
    "logprobs": chat(text("ü 🙂 two"), logprobs=True, top_logprobs=2),
    "sampling": chat(
        HELLO,
        seed=-(2**40),
        presence_penalty=-1.5,
        frequency_penalty=2,
        logit_bias={"50256": -100, "11": 0.5},
        user="someone",
    ),
    "reasoning": chat(
        HELLO, model="reasoning", reasoning_effort="low", max_completion_tokens=50, verbosity="low"
    ),
    "provider's notes": chat(
        HELLO, store=False, metadata={"a": "1"}, service_tier="flex", modalities=["text"]
    ),
    "gateway's notes": chat(HELLO, client_request_id="c-1", usage_context={"team": "a"}),
    "extra parameters": changed(
        chat(HELLO),
        extra={"prediction": {"type": "content", "content": ["x", 1, 2.5, None, True, {}]}},
    ),
    "completion": complete("say it", max_tokens=20, temperature=0.5),
    "completions": complete(["one", "two"], n=2, max_tokens=3),
    "completion of tokens": complete([1, 2, 3]),
    "completions of tokens": complete([[1, 2], [3]]),
    "completion in full": complete(
        "say it", echo=True, logprobs=2, suffix="end", best_of=2, stop=["it"], seed=7, user="u"
    ),
    "embedding": embed("one"),
    "embeddings": embed(["one", "two", "three"]),
    "embedding of tokens": embed([5, 6]),
    "short embeddings": embed(["one", "two"], dimensions=3, user="u"),
    "embeddings as base64": embed(["one", "two"], encoding_format="base64"),
    "embeddings as floats": embed("one", encoding_format="float"),
}

REFUSED: dict[str, Case] = {
    "no endpoint": chat(HELLO, model="nothing"),
    "no model": Case("CreateChatCompletion", {"messages": [HELLO]}),
    "no configuration": chat(HELLO, model="new"),
    "wrong task": chat(HELLO, model="embeddings"),
    "wrong task, too": Case("CreateEmbedding", {"model": "chat", "input": "a"}, streams=False),
    "no messages": chat(),
    "no prompt": Case("CreateCompletion", {"model": "completions"}),
    "no input": Case("CreateEmbedding", {"model": "embeddings"}, streams=False),
    "bad value": chat(HELLO, temperature=3),
    "bad value that is none": chat(HELLO, temperature=float("nan")),
    "bad role": chat(text("a", "nobody")),
    "bad tool order": chat(text("sunny", "tool", tool_call_id="c-1")),
    "unknown parameter": changed(chat(HELLO), extra={"top_k": 40}),
    "too many dimensions": embed("one", dimensions=5000),
    "unknown model": chat(HELLO, model="unknown"),
    "wrong key": chat(HELLO, model="locked"),
    "provider: 400": changed(chat(HELLO), fault={"status": 400}),
    # A pause that is longer than a call waits, and none that is asked for: those are short.
    "provider: 429": changed(chat(HELLO), fault={"status": 429, "retry_after": 11}),
    "provider: 429, tried again": changed(chat(HELLO), fault={"status": 429}),
    "provider: 500": changed(chat(HELLO), fault={"status": 500}),
    "provider: 503": changed(complete("a"), fault={"status": 503}),
    "provider: quota": changed(
        embed("a"), fault={"status": 429, "body": {"error": {"code": "insufficient_quota"}}}
    ),
}
