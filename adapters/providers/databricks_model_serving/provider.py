"""Another deployment's serving endpoint: Databricks Model Serving, or a modelplane of its own.

API: POST {workspace}/serving-endpoints/{name}/invocations with a bearer token. The wire is
`openai/provider.py`'s, with what such endpoints do differently:

- `content` may be a list of typed parts, in deltas too; reasoning parts become
  `reasoning_content`, texts are joined.
- `usage` may leave out `completion_tokens`; it is what `total_tokens` has beyond the prompt.
- An endpoint of a custom model answers `{"predictions": …}`, which is no answer to these tasks.
- Errors are `{"error_code", "message"}`.
"""

from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlsplit

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.credentials.signers import KeySigner, check_key
from modelplane.adapters.providers.errors import ConfigRefused, MalformedAnswer
from modelplane.adapters.providers.openai.provider import OpenAiAdapter
from modelplane.adapters.providers.openai.stream import OpenAiStreamParser
from modelplane.adapters.providers.route import Route
from modelplane.adapters.providers.types import HttpAnswer, JsonObject, Query, Task


class DatabricksAdapter(OpenAiAdapter):
    """Translates for one endpoint of another deployment."""

    __slots__ = ()

    def parse_answers(self, query: Query, answers: Sequence[HttpAnswer]) -> JsonObject:
        """Return the answer in the response; see `Adapter`."""
        answer = super().parse_answers(query, answers)
        if "predictions" in answer:
            raise MalformedAnswer(
                self._provider,
                "the endpoint serves a custom model: its answer holds predictions, not choices",
            )
        return _canonical(answer, "message")

    def stream_parser(self, query: Query) -> "DatabricksStreamParser":
        """Return a parser for one streamed answer."""
        del query
        return DatabricksStreamParser(
            self._provider, self._reported, self._usage_option.note_stream
        )


class DatabricksStreamParser(OpenAiStreamParser):
    """Parses one streamed chat or completion."""

    __slots__ = ()

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        for chunk in super().feed(data):
            yield _canonical(chunk, "delta")

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        for chunk in super().finish():
            yield _canonical(chunk, "delta")


def build_databricks_adapter(model: ExternalModel) -> DatabricksAdapter:
    """Return the adapter of an external model.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    if model.task not in set(Task):
        raise ConfigRefused(f"task '{model.task}' is not served by databricks-model-serving")
    config = model.databricks_model_serving_config
    token = check_key("databricks_api_token", config.databricks_api_token_plaintext)
    workspace = _workspace(config.databricks_workspace_url)
    url = f"{workspace}/serving-endpoints/{quote(model.name, safe='')}/invocations"
    return DatabricksAdapter(Route(model.provider, "", url, KeySigner(token)))


def _workspace(given: str) -> str:
    """Return scheme and host of a workspace, which people also give without scheme."""
    text = given.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query:
        raise ConfigRefused(
            "databricks_workspace_url must be the URL of a workspace, for example "
            "https://my-workspace.cloud.databricks.com"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _canonical(answer: JsonObject, part: str) -> JsonObject:
    choices = answer.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get(part) if isinstance(choice, dict) else None
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            _flatten(message, message["content"])
    usage = answer.get("usage")
    if isinstance(usage, dict) and "completion_tokens" not in usage:
        prompt, total = usage.get("prompt_tokens"), usage.get("total_tokens")
        if choices and isinstance(prompt, int) and isinstance(total, int) and total >= prompt:
            usage["completion_tokens"] = total - prompt
    return answer


def _flatten(message: JsonObject, parts: list[object]) -> None:
    """Put the texts of typed parts where OpenAI's clients look for them."""
    texts: list[str] = []
    reasoning: list[str] = []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "reasoning":
            summary = part.get("summary")
            items = summary if isinstance(summary, list) else [part]
            reasoning += [str(item.get("text", "")) for item in items if isinstance(item, dict)]
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    message["content"] = "".join(texts)
    if text := "".join(reasoning):
        message["reasoning_content"] = text
