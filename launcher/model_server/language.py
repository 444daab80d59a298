"""What a body asks of a language model, and what of the answer is OpenAI's: the rules, no engine.

A field that nothing heeds is refused: an engine would ignore it, or take it for one of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .refusals import bad_request

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
_INPUT_OF = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input"}
# For the endpoint, not for the model.
_OPTIONS = frozenset({"client_request_id", "databricks_options", "usage_context", "model", "user"})
_GENERATING = frozenset(
    ("max_tokens", "temperature", "top_p", "top_k", "stop", "n", "seed")
    + ("stream", "stream_options", "logprobs", "logit_bias")
    + ("frequency_penalty", "presence_penalty")
)
_CHATTING = frozenset(
    ("messages", "max_completion_tokens", "top_logprobs")
    + ("response_format", "tools", "tool_choice")
)
_FIELDS = {
    CHAT: _GENERATING | _CHATTING,
    COMPLETIONS: _GENERATING | {"prompt"},
    EMBEDDINGS: frozenset(("input", "instruction", "encoding_format")),
}
_FORMATS = ("text", "json_object", "json_schema")
_ENCODINGS = ("float", "base64")
_MOST_ALTERNATIVES = {CHAT: 20, COMPLETIONS: 5}
_MOST_TEXTS = 150
_SHOWN = 10
_LEAST_LOGPROB = -9999.0


class Question(NamedTuple):
    """What an engine is asked.

    Attributes:
        task: Which of the three.
        body: What the engine gets.
        alternatives: How many the caller wants of each token; None: no probabilities at all.
        wants_usage: Whether a stream ends with a chunk that has the usage alone.
    """

    task: str
    body: dict[str, Any]
    alternatives: int | None
    wants_usage: bool

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted piece by piece."""
        return self.body.get("stream") is True


class Abilities(NamedTuple):
    """What a model can do.

    Attributes:
        task: What it is declared to do.
        tools: Whether its template has tools.
    """

    task: str
    tools: bool


def parse_question(sent: object, able: Abilities) -> Question:
    """Return what a body asks.

    Raises:
        Refused: It asks for nothing that the model does.
    """
    if isinstance(sent, list) and len(sent) == 1:  # printed so in documentation
        sent = sent[0]
    if not isinstance(sent, dict):
        raise bad_request("The body must be a JSON object.")
    task = _task_of(sent, able.task)
    body = {key: value for key, value in sent.items() if key not in _OPTIONS and value is not None}
    unknown = sorted(body.keys() - _FIELDS[task])
    if unknown:
        named = ", ".join(repr(name[:100]) for name in unknown[:_SHOWN])
        raise bad_request("This model has no use for %s; leave it out." % named)
    if task == EMBEDDINGS:
        return Question(task, _embeddings(body), None, wants_usage=False)
    return _generation(task, body, able)


def _task_of(sent: dict[str, Any], declared: str) -> str:
    """Return which task a body is for; a model that chats also completes."""
    possible = [EMBEDDINGS] if declared == EMBEDDINGS else [CHAT, COMPLETIONS]
    if declared == COMPLETIONS:
        possible = [COMPLETIONS]
    found = [task for task in possible if sent.get(_INPUT_OF[task]) is not None]
    if len(found) != 1:
        wanted = " or ".join(_INPUT_OF[task] for task in possible)
        raise bad_request("The body must have %s, which is what this model answers." % wanted)
    return found[0]


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    given = body["input"]
    texts = [given] if isinstance(given, str) else given
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise bad_request("input must be a text or a list of texts.")
    if len(texts) > _MOST_TEXTS:
        raise bad_request(
            "input has %d texts, and may have %d; send them in several requests."
            % (len(texts), _MOST_TEXTS)
        )
    instruction = body.get("instruction", "")
    if not isinstance(instruction, str):
        raise bad_request("instruction must be a text.")
    if instruction:
        gap = "" if instruction[-1].isspace() else " "
        texts = [instruction + gap + text for text in texts]
    encoding = body.get("encoding_format", "float")
    if encoding not in _ENCODINGS:
        raise bad_request("encoding_format must be float or base64.")
    return {"input": texts, "encoding_format": encoding}


def _generation(task: str, body: dict[str, Any], able: Abilities) -> Question:
    for name in ("max_tokens", "max_completion_tokens", "n"):
        _check_count(body, name)
    if not isinstance(body.get("stream", False), bool):
        raise bad_request("stream must be true or false.")
    options = body.pop("stream_options", {})
    if not isinstance(options, dict) or (options and not body.get("stream")):
        raise bad_request("stream_options must be an object, and belongs to a stream.")
    _check_format(body)
    _check_tools(body, able)
    if task == COMPLETIONS and not isinstance(body["prompt"], str):
        # The engine would answer a list of them otherwise than OpenAI does.
        raise bad_request("prompt must be one text; send several in several requests.")
    limit = body.pop("max_completion_tokens", None)
    if limit is not None:
        body["max_tokens"] = min(limit, body.get("max_tokens", limit))
    alternatives = _take_alternatives(task, body)
    if body.get("stream"):
        # Each chunk tells the usage, which is made of these.
        body.update(timings_per_token=True, stream_options={"include_usage": True})
    return Question(task, body, alternatives, options.get("include_usage") is True)


def _check_count(body: dict[str, Any], name: str) -> None:
    value = body.get(name, 1)
    if type(value) is not int or value < 1:
        raise bad_request("%s must be a whole number of at least 1." % name)


def _check_format(body: dict[str, Any]) -> None:
    wanted = body.get("response_format", {"type": "text"})
    if not isinstance(wanted, dict) or wanted.get("type") not in _FORMATS:
        raise bad_request("response_format must have one of the types %s." % ", ".join(_FORMATS))
    if wanted["type"] != "json_schema":
        return
    described = wanted.get("json_schema")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), dict):
        raise bad_request("response_format of type json_schema must have json_schema.schema.")


def _check_tools(body: dict[str, Any], able: Abilities) -> None:
    if able.tools:
        return
    if body.get("tools") or body.get("tool_choice", "none") not in {"none", "auto"}:
        raise bad_request(
            "This model cannot call tools: its chat template has none. Leave out tools and "
            "tool_choice, or ask another model."
        )
    body.pop("tools", None)
    body.pop("tool_choice", None)


def _take_alternatives(task: str, body: dict[str, Any]) -> int | None:
    """Return how many alternatives are wanted, and ask the engine for one where there are none."""
    most = _MOST_ALTERNATIVES[task]
    if task == CHAT:
        wanted = body.get("logprobs", False)
        if not isinstance(wanted, bool):
            raise bad_request("logprobs must be true or false.")
        if "top_logprobs" in body and not wanted:
            raise bad_request("top_logprobs needs logprobs to be true.")
        count, name = body.get("top_logprobs", 0), "top_logprobs"
    else:
        wanted, count, name = "logprobs" in body, body.get("logprobs", 0), "logprobs"
    if type(count) is not int or not 0 <= count <= most:
        raise bad_request("%s must be a whole number from 0 to %d." % (name, most))
    if not wanted:
        body.pop("logprobs", None)
        return None
    body["top_logprobs" if task == CHAT else "logprobs"] = max(1, count)
    return count


class Shaping:
    """Makes of an engine's answer, or of the chunks of one, what OpenAI's API says.

    An engine's answer differs in what it adds, in the form of the probabilities of completions, and
    in that only its last chunk tells the usage.
    """

    def __init__(self, question: Question, name: str) -> None:
        self._question = question
        self._name = name
        # Where the next token of each choice begins.
        self._offsets: dict[int, int] = {}
        self._id: str | None = None
        # The last chunks with choices, which wait for the usage.
        self._held: list[dict[str, Any]] = []
        self._usages: list[dict[str, Any]] = []

    def shape(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return an answer as it should be."""
        answer.pop("timings", None)
        answer["model"] = self._name
        for choice in answer.get("choices", ()):
            self._shape_choice(choice)
        return answer

    def shape_chunk(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what one of the engine's chunks becomes, the usage in each that has counted."""
        timings = chunk.get("timings")
        shaped = self.shape(chunk)
        # The engine answers each choice by itself.
        self._id = shaped["id"] = self._id or shaped.get("id")
        choices = shaped.get("choices")
        if not choices:
            return self._end(shaped)
        if choices[0].get("finish_reason"):
            self._held.append(shaped)
            return []
        if timings and self._question.body.get("n", 1) == 1:
            shaped["usage"] = _usage_of(timings)
        return [shaped]

    def _end(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what was held, once the usage of the last choice is known."""
        self._usages.append(chunk["usage"])
        if len(self._usages) < self._question.body.get("n", 1):
            return []
        said = sum(usage["completion_tokens"] for usage in self._usages)
        asked = self._usages[0]["prompt_tokens"]
        usage = {**self._usages[0], "completion_tokens": said, "total_tokens": asked + said}
        self._held[-1]["usage"] = chunk["usage"] = usage
        return [*self._held, chunk] if self._question.wants_usage else self._held

    def _shape_choice(self, choice: dict[str, Any]) -> None:
        found = (choice.get("logprobs") or {}).get("content")
        if found is None or self._question.alternatives is None:
            return
        count = self._question.alternatives
        tokens = [_token(token, count) for token in found]
        if self._question.task == CHAT:
            choice["logprobs"] = {"content": tokens}
        else:
            choice["logprobs"] = self._legacy(choice.get("index", 0), tokens)

    def _legacy(self, index: int, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        """Return probabilities in the form that completions have."""
        offsets = []
        for token in tokens:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(token["token"])
        return {
            "tokens": [token["token"] for token in tokens],
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {other["token"]: other["logprob"] for other in token["top_logprobs"]}
                for token in tokens
            ],
            "text_offset": offsets,
        }


def _token(token: dict[str, Any], count: int) -> dict[str, Any]:
    shaped = _probability(token)
    shaped["top_logprobs"] = [_probability(one) for one in token["top_logprobs"][:count]]
    return shaped


def _probability(token: dict[str, Any]) -> dict[str, Any]:
    return {
        "token": token["token"],
        # What cannot be is minus infinity, which is no JSON.
        "logprob": max(token["logprob"], _LEAST_LOGPROB),
        "bytes": token.get("bytes"),
    }


def _usage_of(timings: dict[str, Any]) -> dict[str, Any]:
    cached, said = timings.get("cache_n", 0), timings.get("predicted_n", 0)
    asked = cached + timings.get("prompt_n", 0)
    return {
        "completion_tokens": said,
        "prompt_tokens": asked,
        "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
