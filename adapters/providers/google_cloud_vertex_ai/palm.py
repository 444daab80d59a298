"""PaLM's legacy models on Vertex AI, through `predict`: chat-bison, text-bison, code-bison, ….

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text. Google has retired
them; they are served as the documentation of external models lists them. Their streams have a
format of their own and are not supported. A prompt is a request of its own.

Built by `provider.py`.
"""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from modelplane.adapters.providers.base import StreamParser
from modelplane.adapters.providers.canonical.answers import (
    build_chat_answer,
    build_chat_choice,
    build_completion_answer,
    build_completion_choice,
    build_usage,
)
from modelplane.adapters.providers.canonical.history import arrange
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.messages import Message, TextPart, read_messages
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import VertexAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.errors import parse_object
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.counts import (
    estimate_usage,
    measure_messages,
    sum_usages,
)
from modelplane.adapters.providers.refusals import PALM_RANGES
from modelplane.adapters.providers.types import HttpAnswer, Image, JsonObject, Plan, Query, as_count

PALM_CHAT_MODELS = ("chat-bison", "codechat-bison")
PALM_TEXT_MODELS = ("text-bison", "text-unicorn", "code-bison", "code-gecko")
_CODE_MODELS = ("code-bison", "code-gecko")
_RENAMED: Mapping[str, str] = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "top_p": "topP",
    "top_k": "topK",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_UNSUPPORTED: Mapping[str, tuple[object, ...]] = {
    "tools": ([],),
    "functions": ([],),
    "function_call": (),
    "logit_bias": ({},),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "reasoning_effort": (),
    "modalities": (["text"],),
    "audio": (),
    "web_search_options": (),
    "best_of": (1,),
}
_BLOCKED = "content_filter"


class _PalmAdapter(VertexAdapter):
    """What chats and completions share."""

    __slots__ = ()

    def stream_parser(self, query: Query) -> StreamParser:
        """Refuse: see the module."""
        del query
        raise self.refusal(f"{self._target.model} does not support 'stream': leave it out")

    def _parameters(self, query: Query) -> Parameters:
        if query.stream:
            raise self.refusal(f"{self._target.model} does not support 'stream': leave it out")
        parameters = Parameters(self._target.provider, query)
        refuse_unsupported(self._target.provider, parameters.rest, _UNSUPPORTED)
        for name in ("tool_choice", "parallel_tool_calls"):
            parameters.take(name)
        if parameters.rest.get("logprobs") is False:
            parameters.take("logprobs")
        parameters.drop(*HARMLESS)
        parameters.fit(PALM_RANGES)
        for name, native in _RENAMED.items():
            parameters.rename(name, native)
        parameters.rename_stop("stopSequences")
        return parameters

    def _request_body(self, instance: JsonObject, parameters: Parameters) -> JsonObject:
        tail = {"parameters": parameters.rest} if parameters.rest else {}
        return {"instances": [instance], **tail}

    def _predictions(self, answer: HttpAnswer) -> tuple[list[JsonObject], JsonObject]:
        parsed = parse_object(self._target.provider, answer.body)
        predictions = as_objects(parsed.get("predictions"))
        if not predictions:
            raise MalformedAnswer(
                self._target.provider, "the provider answered without predictions"
            )
        return predictions, as_object(as_object(parsed.get("metadata")).get("tokenMetadata"))


class PalmChatAdapter(_PalmAdapter):
    """Translates chats."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the request; see `Adapter`."""
        del images
        parameters = self._parameters(query)
        messages = read_messages(self._target.provider, {"messages": parameters.take("messages")})
        system, turns = arrange(parameters, messages)
        instance: JsonObject = {
            "messages": [
                {
                    "author": "bot" if turn.role == "assistant" else "user",
                    "content": "\n".join(self._text(message) for message in turn.messages),
                }
                for turn in turns
            ]
        }
        if context := "\n".join(self._text(message) for message in system):
            instance["context"] = context
        examples = parameters.take("examples")
        if examples is not None:
            instance["examples"] = examples
        body = self._request_body(instance, parameters)
        return Plan((self.build_request("predict", body),), parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer; see `Adapter`."""
        predictions, tokens = self._predictions(answers[0])
        candidates = as_objects(predictions[0].get("candidates"))
        safety = predictions[0].get("safetyAttributes")
        choices = []
        for index, candidate in enumerate(candidates):
            text = as_text(candidate.get("content"))
            reason = _BLOCKED if _is_blocked(safety, index) else "stop"
            choices.append(build_chat_choice({"content": text}, reason, index))
        if not choices:
            raise MalformedAnswer(self._target.provider, "the provider answered without candidates")
        length = sum(len(as_text(candidate.get("content"))) for candidate in candidates)
        usage = _usage(tokens, measure_messages(query), length)
        return build_chat_answer(_new_id(), int(self._target.clock()), choices, usage)

    def _text(self, message: Message) -> str:
        if message.role == "tool" or message.tool_calls:
            raise self.refusal(f"{self._target.model} does not support tools")
        if not all(isinstance(part, TextPart) for part in message.parts):
            raise self.refusal(f"{self._target.model} takes texts only")
        return message.text


class PalmTextAdapter(_PalmAdapter):
    """Translates completions."""

    __slots__ = ()

    def plan(self, query: Query, images: Mapping[str, Image]) -> Plan:
        """Return the requests; see `Adapter`."""
        del images
        parameters = self._parameters(query)
        prompts = parameters.take_texts("prompt")
        suffix = parameters.take("suffix")
        is_code = self._target.model.startswith(_CODE_MODELS)
        if suffix is not None and not is_code:
            raise self.refusal("'suffix' is supported by code models only: leave it out")
        name = "prefix" if is_code else "prompt"
        tail = {} if suffix is None else {"suffix": suffix}
        requests = tuple(
            self.build_request("predict", self._request_body({name: text, **tail}, parameters))
            for text in prompts
        )
        return Plan(requests, parameters.adapted)

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answers to all prompts, numbered through; see `Adapter`."""
        prompts = Parameters(self._target.provider, query).take_texts("prompt")
        choices: list[JsonObject] = []
        usages: list[JsonObject] = []
        for prompt, answer in zip(prompts, answers, strict=True):
            predictions, tokens = self._predictions(answer)
            length = 0
            for prediction in predictions:
                text = as_text(prediction.get("content"))
                length += len(text)
                reason = _BLOCKED if _is_blocked(prediction.get("safetyAttributes"), 0) else "stop"
                choices.append(build_completion_choice(text, reason, len(choices)))
            usages.append(_usage(tokens, len(prompt), length))
        created = int(self._target.clock())
        return build_completion_answer(_new_id(), created, choices, sum_usages(usages))


def _is_blocked(safety: object, index: int) -> bool:
    """Return whether a candidate was withheld; the attributes are an object, or one for each."""
    if isinstance(safety, list):
        safety = safety[index] if index < len(safety) else None
    return as_object(safety).get("blocked") is True


def _usage(tokens: JsonObject, prompt_length: int, answer_length: int) -> JsonObject:
    counts = [
        as_count(as_object(tokens.get(name)).get("totalTokens"))
        for name in ("inputTokenCount", "outputTokenCount")
    ]
    if counts[0] is None or counts[1] is None:
        return estimate_usage(prompt_length, answer_length)
    return build_usage(counts[0], counts[1])


def _new_id() -> str:
    # These answers have no id of their own.
    return f"vertex-{uuid4().hex}"
