"""The official SDKs, unmodified: one way to use each, for tests that go through all of them."""

from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from anthropic import Anthropic, APIStatusError
from google import genai
from google.genai import errors, types
from openai import APIStatusError as OpenAiStatusError
from openai import OpenAI

from tests.e2e.native.speakers import IMAGE
from tests.e2e.rest import Json

_PARAMETERS: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
_URL = f"data:image/png;base64,{IMAGE}"
_BUDGET = 1024
_MOST = 2 * _BUDGET


class Refused(Exception):
    """What an SDK raises for an answer that is an error, with its status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Sdk(ABC):
    """An SDK at one address of a deployment.

    Attributes:
        name: Its name.
        prefixes: Addresses at which it finds its API.
    """

    name: ClassVar[str]
    prefixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def __init__(self, base: str, token: str) -> None:
        """Use a deployment."""

    def ask(self, model: str, text: str) -> str:
        """Return a whole answer's text."""
        return self._text(self._whole(model, self._said(text)))

    def stream(self, model: str, text: str) -> str:
        """Return the text that a stream adds up to."""
        return self._text(self._streamed(model, self._said(text)))

    def show(self, model: str) -> str:
        """Return the answer to a question with an image."""
        return self._text(self._whole(model, self._shown()))

    @abstractmethod
    def think(self, model: str, text: str) -> str:
        """Return the answer to a question that is to be thought about."""

    @abstractmethod
    def use(self, model: str, tool: str, *, streams: bool) -> str:
        """Return what is answered when a tool that was called has said `rain`."""

    @abstractmethod
    def leave(self, model: str, text: str) -> None:
        """Go away from a stream after its first event."""

    @abstractmethod
    def _said(self, text: str) -> Any: ...

    @abstractmethod
    def _shown(self) -> Any: ...

    @abstractmethod
    def _whole(self, model: str, said: Any, **more: Any) -> Any: ...

    @abstractmethod
    def _streamed(self, model: str, said: Any, **more: Any) -> Any: ...

    @abstractmethod
    def _text(self, answer: Any) -> str: ...


class Messages(Sdk):
    """Anthropic's."""

    name = "anthropic"
    prefixes = ("/serving-endpoints/anthropic", "/ai-gateway/anthropic")

    def __init__(self, base: str, token: str) -> None:
        self._client = Anthropic(auth_token=token, base_url=base, max_retries=0)

    def think(self, model: str, text: str) -> str:
        thinking = {"type": "enabled", "budget_tokens": _BUDGET}
        more: Json = {"thinking": thinking, "max_tokens": _MOST}
        return self._text(self._whole(model, self._said(text), **more))

    def use(self, model: str, tool: str, *, streams: bool) -> str:
        said = self._said(f"call {tool}")
        tools: Json = {"tools": [{"name": tool, "input_schema": _PARAMETERS}]}
        first = (self._streamed if streams else self._whole)(model, said, **tools)
        (call,) = [block for block in first.content if block.type == "tool_use"]
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
        turns = [
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        return self._text(self._whole(model, [*said, *turns], **tools))

    def leave(self, model: str, text: str) -> None:
        with self._client.messages.stream(
            model=model, max_tokens=99, messages=self._said(text)
        ) as stream:
            next(iter(stream))

    def _said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def _shown(self) -> Any:
        source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
        parts = [{"type": "text", "text": "look"}, {"type": "image", "source": source}]
        return [{"role": "user", "content": parts}]

    def _whole(self, model: str, said: Any, **more: Any) -> Any:
        try:
            return self._client.messages.create(
                **{"model": model, "max_tokens": 400, "messages": said, **more}
            )
        except APIStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _streamed(self, model: str, said: Any, **more: Any) -> Any:
        try:
            with self._client.messages.stream(
                **{"model": model, "max_tokens": 400, "messages": said, **more}
            ) as stream:
                return stream.get_final_message()
        except APIStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _text(self, answer: Any) -> str:
        return "".join(block.text for block in answer.content if block.type == "text")


class Responses(Sdk):
    """OpenAI's, by its Responses API."""

    name = "openai-responses"
    prefixes = (
        "/serving-endpoints",
        *(f"/ai-gateway/{way}/v1" for way in ("openai", "codex", "mlflow", "cursor")),
    )

    def __init__(self, base: str, token: str) -> None:
        self._client = OpenAI(api_key=token, base_url=base, max_retries=0)

    def think(self, model: str, text: str) -> str:
        return self._text(self._whole(model, self._said(text), reasoning={"effort": "low"}))

    def use(self, model: str, tool: str, *, streams: bool) -> str:
        said = self._said(f"call {tool}")
        declared = {"type": "function", "name": tool, "parameters": _PARAMETERS, "strict": False}
        first = (self._streamed if streams else self._whole)(model, said, tools=[declared])
        (call,) = [item for item in first.output if item.type == "function_call"]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        return self._text(self._whole(model, [*said, *first.output, result], tools=[declared]))

    def leave(self, model: str, text: str) -> None:
        with self._client.responses.stream(model=model, input=self._said(text)) as stream:
            next(iter(stream))

    def _said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def _shown(self) -> Any:
        parts = [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": _URL, "detail": "auto"},
        ]
        return [{"role": "user", "content": parts}]

    def _whole(self, model: str, said: Any, **more: Any) -> Any:
        try:
            return self._client.responses.create(model=model, input=said, **more)
        except OpenAiStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _streamed(self, model: str, said: Any, **more: Any) -> Any:
        try:
            with self._client.responses.stream(model=model, input=said, **more) as stream:
                return stream.get_final_response()
        except OpenAiStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _text(self, answer: Any) -> str:
        return str(answer.output_text)


class Chat(Sdk):
    """OpenAI's, by its chat API."""

    name = "openai-chat"
    prefixes = Responses.prefixes

    def __init__(self, base: str, token: str) -> None:
        self._client = OpenAI(api_key=token, base_url=base, max_retries=0)

    def think(self, model: str, text: str) -> str:
        return self._text(self._whole(model, self._said(text), reasoning_effort="low"))

    def use(self, model: str, tool: str, *, streams: bool) -> str:
        said = self._said(f"call {tool}")
        declared = {"type": "function", "function": {"name": tool, "parameters": _PARAMETERS}}
        first = (self._streamed if streams else self._whole)(model, said, tools=[declared])
        message = first.choices[0].message
        (call,) = message.tool_calls
        turns = [
            message.model_dump(exclude_none=True, exclude={"parsed"}),
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        for told in turns[0]["tool_calls"]:
            told["function"].pop("parsed_arguments", None)
            told.pop("index", None)
        return self._text(self._whole(model, [*said, *turns], tools=[declared]))

    def leave(self, model: str, text: str) -> None:
        with self._client.chat.completions.stream(model=model, messages=self._said(text)) as stream:
            next(iter(stream))

    def _said(self, text: str) -> Any:
        return [{"role": "user", "content": text}]

    def _shown(self) -> Any:
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": _URL}},
        ]
        return [{"role": "user", "content": parts}]

    def _whole(self, model: str, said: Any, **more: Any) -> Any:
        try:
            return self._client.chat.completions.create(model=model, messages=said, **more)
        except OpenAiStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _streamed(self, model: str, said: Any, **more: Any) -> Any:
        try:
            with self._client.chat.completions.stream(model=model, messages=said, **more) as stream:
                return stream.get_final_completion()
        except OpenAiStatusError as error:
            raise Refused(error.status_code, str(error)) from error

    def _text(self, answer: Any) -> str:
        return answer.choices[0].message.content or ""


class Gemini(Sdk):
    """Google's."""

    name = "google-genai"
    prefixes = ("/serving-endpoints/gemini", "/ai-gateway/gemini")

    def __init__(self, base: str, token: str) -> None:
        options = types.HttpOptions(base_url=base)
        self._client = genai.Client(api_key=token, http_options=options)

    def think(self, model: str, text: str) -> str:
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=_BUDGET)
        config = types.GenerateContentConfig(thinking_config=thinking, max_output_tokens=_MOST)
        return self._text(self._whole(model, self._said(text), config=config))

    def use(self, model: str, tool: str, *, streams: bool) -> str:
        schema = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}
        declared = types.FunctionDeclaration.model_validate({"name": tool, "parameters": schema})
        tools = [types.Tool(function_declarations=[declared])]
        config = types.GenerateContentConfig(tools=tools)  # type: ignore[arg-type]
        said = self._said(f"call {tool}")
        first = (self._streamed if streams else self._whole)(model, said, config=config)
        contents = [answer.candidates[0].content for answer in first]
        parts = [part for content in contents for part in content.parts or ()]
        (call,) = [part.function_call for part in parts if part.function_call]
        result = types.FunctionResponse(id=call.id, name=call.name, response={"result": "rain"})
        told = [part for part in parts if part != types.Part(text="")]
        turns = [
            types.Content(role="model", parts=told),
            types.Content(role="user", parts=[types.Part(function_response=result)]),
        ]
        return self._text(self._whole(model, [*said, *turns], config=config))

    def leave(self, model: str, text: str) -> None:
        stream: Iterator[Any] = self._client.models.generate_content_stream(
            model=model, contents=self._said(text)
        )
        next(stream)
        # It keeps the connection for as long as the stream is referred to.
        stream.close()  # type: ignore[attr-defined]

    def _said(self, text: str) -> Any:
        return [types.Content(role="user", parts=[types.Part(text=text)])]

    def _shown(self) -> Any:
        image = types.Part.from_bytes(data=b64decode(IMAGE), mime_type="image/png")
        return [types.Content(role="user", parts=[types.Part(text="look"), image])]

    def _whole(self, model: str, said: Any, **more: Any) -> Any:
        try:
            answer = self._client.models.generate_content(model=model, contents=said, **more)
        except errors.APIError as error:
            raise Refused(error.code, str(error)) from error
        return [answer]

    def _streamed(self, model: str, said: Any, **more: Any) -> Any:
        try:
            return list(
                self._client.models.generate_content_stream(model=model, contents=said, **more)
            )
        except errors.APIError as error:
            raise Refused(error.code, str(error)) from error

    def _text(self, answer: Any) -> str:
        return "".join(one.text or "" for one in answer)


SDKS: Mapping[str, type[Sdk]] = {sdk.name: sdk for sdk in (Messages, Responses, Chat, Gemini)}
