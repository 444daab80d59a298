"""What a body asks of a language model: the rules of OpenAI's API, without an engine.

A field that nothing heeds is refused: an engine would ignore it, or take it for one of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .refusals import bad_request
from .sampling import check_sampling

CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
_INPUT_OF = {CHAT: "messages", COMPLETIONS: "prompt", EMBEDDINGS: "input"}
# For the endpoint, not for the model.
_OPTIONS = frozenset({"client_request_id", "databricks_options", "usage_context", "model", "user"})
_SAMPLING = {"temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty"}
_GENERATING = _SAMPLING | {"logit_bias", "logprobs", "max_tokens", "n", "stop", "stream"}
_CHATTING = {"messages", "max_completion_tokens", "response_format", "tools", "tool_choice"}
_FIELDS = {
    CHAT: _GENERATING | _CHATTING | {"stream_options", "top_logprobs"},
    COMPLETIONS: _GENERATING | {"stream_options", "prompt"},
    EMBEDDINGS: {"input", "instruction", "encoding_format"},
}
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Fields of completions, with the value by which they ask for nothing.
_ASKING_NOTHING = {"echo": False, "suffix": "", "error_behavior": "error", "use_raw_prompt": False}
_FORMATS = ("text", "json_object", "json_schema")
_ENCODINGS = ("float", "base64")
_MOST_TOKENS = (1 << 31) - 1
_MOST_ALTERNATIVES = {CHAT: 20, COMPLETIONS: 5}
_MOST_TEXTS = 150
# More tokens than any model has, and as many answers as OpenAI gives.
_MOST = {"max_tokens": _MOST_TOKENS, "max_completion_tokens": _MOST_TOKENS, "n": 128}
_SHOWN = 10


class Question(NamedTuple):
    """What an engine is asked.

    Attributes:
        task: Which of the three.
        body: What the engine gets, in OpenAI's form.
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
        tools: Whether its template has tools, and its calls of them are read.
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
    if task == COMPLETIONS:
        nothing = _ASKING_NOTHING.items()
        body = {key: value for key, value in body.items() if (key, value) not in nothing}
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
    for name, most in _MOST.items():
        _check_count(body, name, most)
    if not isinstance(body.get("stream", False), bool):
        raise bad_request("stream must be true or false.")
    options = body.pop("stream_options", {})
    if not isinstance(options, dict) or (options and not body.get("stream")):
        raise bad_request("stream_options must be an object, and belongs to a stream.")
    check_sampling(body)
    if task == CHAT:
        _check_messages(body["messages"])
    _check_format(body)
    _check_tools(body, able)
    if task == COMPLETIONS and not isinstance(body["prompt"], str):
        # The engine would answer a list of them otherwise than OpenAI does.
        raise bad_request("prompt must be one text; send several in several requests.")
    limit = body.pop("max_completion_tokens", None)
    if limit is not None:
        body["max_tokens"] = min(limit, body.get("max_tokens", limit))
    alternatives = _alternatives(task, body)
    return Question(task, body, alternatives, options.get("include_usage") is True)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages must be a list with at least one message.")
    for message in messages:
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise bad_request("Each message must have one of the roles %s." % ", ".join(_ROLES))


def _check_count(body: dict[str, Any], name: str, most: int) -> None:
    value = body.get(name, 1)
    if type(value) is not int or not 1 <= value <= most:
        raise bad_request("%s must be a whole number from 1 to %d." % (name, most))


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
    if body.get("tools") or body.get("tool_choice", "none") not in ("none", "auto"):
        raise bad_request(
            "This model cannot call tools: its chat template has none, or nothing reads its calls. "
            "Leave out tools and tool_choice, or ask another model."
        )
    body.pop("tools", None)
    body.pop("tool_choice", None)


def _alternatives(task: str, body: dict[str, Any]) -> int | None:
    """Return how many alternatives of each token are wanted; None: no probabilities at all."""
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
    return count


def check_dimensions(found: dict[str, Any], wanted: int) -> None:
    """Check that embeddings have as many numbers as the model's owner says.

    Raises:
        ValueError: They do not.
    """
    count = len(found["data"][0]["embedding"])
    if wanted not in (0, count):
        raise ValueError(
            "The model's embeddings have %d dimensions, and are said to have %d; say how many they "
            "have." % (count, wanted)
        )
