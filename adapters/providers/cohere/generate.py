"""Completions through Cohere's legacy generate API: bodies, whole answers and streams, pure.

API: https://docs.cohere.com/v1/reference/generate. OpenAI leaves the stop text out of an answer:
so do `end_sequences`, while Cohere's `stop_sequences` keep it. A stream is JSON lines.
"""

from collections.abc import Callable, Iterator, Sequence

from modelplane.adapters.providers.canonical.answers import (
    ChunkBuilder,
    build_completion_answer,
    build_completion_choice,
)
from modelplane.adapters.providers.canonical.bounds import MAX_CHOICES, check_count
from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_objects,
    as_text,
    parse_json_object,
)
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.cohere.conventions import (
    read_counts,
    read_finish,
    read_sampling,
    read_usage,
    sum_usage,
)
from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer, StreamTruncated
from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.providers.refusals import COHERE_GENERATE_RANGES
from modelplane.adapters.providers.types import JsonObject, Usage, as_count

_UNSUPPORTED: dict[str, Sequence[object]] = {
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "top_logprobs": (0,),
    "error_behavior": ("error",),
    "use_raw_prompt": (False,),
}


def build_generate_bodies(
    parameters: Parameters, *, stream: bool, stops: int | None = None
) -> list[JsonObject]:
    """Return a body of `POST /v1/generate` for each prompt, without `model`.

    Args:
        parameters: Parameters of the query.
        stream: Whether the answer is to be streamed.
        stops: How many texts to stop at the service takes; None: any number.

    Raises:
        RequestRefused: Cohere has no counterpart for something in the query.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    prompts = parameters.take_texts("prompt")
    if stream and len(prompts) > 1:
        raise parameters.refusal("Several prompts cannot be streamed together: send them apart.")
    read_sampling(parameters, COHERE_GENERATE_RANGES)
    parameters.rename_stop("end_sequences", stops)
    parameters.rename("n", "num_generations")
    _read_logprobs(parameters)
    parameters.drop(*HARMLESS)
    return [{"prompt": prompt, "stream": stream, **parameters.rest} for prompt in prompts]


def parse_generations(
    provider: str, prompts: Sequence[str], answers: Sequence[JsonObject], created: int
) -> JsonObject:
    """Return the canonical answer in Cohere's answers, one for each prompt.

    Raises:
        AdapterError: One is no answer, or failed.
    """
    choices: list[JsonObject] = []
    usages = []
    for prompt, answer in zip(prompts, answers, strict=True):
        found = parse_generation_choices(provider, answer, len(choices))
        said = [len(as_text(choice["text"])) for choice in found]
        usages.append(read_usage(as_object(answer.get("meta")), [prompt], said))
        choices += found
    answer_id = as_text(answers[0].get("id"))
    return build_completion_answer(answer_id, created, choices, sum_usage(usages))


def parse_generation_choices(provider: str, answer: JsonObject, first: int = 0) -> list[JsonObject]:
    """Return the canonical choices of one answer, numbered from `first`.

    Raises:
        AdapterError: It is no answer, or failed.
    """
    generations = as_objects(answer.get("generations"))
    if not generations:
        raise MalformedAnswer(provider, "the provider's answer has no generations")
    choices = []
    for index, generation in enumerate(generations, first):
        choice = build_completion_choice(as_text(generation.get("text")), None, index)
        choice["logprobs"] = _logprobs(as_objects(generation.get("token_likelihoods")))
        choices.append(choice | read_finish(provider, generation.get("finish_reason")))
    return choices


class GenerateStreamParser:
    """Parses one streamed completion; see `StreamParser`."""

    def __init__(
        self,
        provider: str,
        prompt: str,
        chunks: ChunkBuilder,
        reported: Callable[[JsonObject], AdapterError],
    ) -> None:
        """Start before the first byte.

        Args:
            provider: Name that errors carry.
            prompt: The prompt, to estimate its tokens.
            chunks: Builds the chunks; Cohere names the answer's id only at its end.
            reported: Returns the error in a line that is no part of an answer.
        """
        self.ended = False
        self.usage: Usage | None = None
        self._provider = provider
        self._prompt = prompt
        self._chunks = chunks
        self._reported = reported
        self._rest = bytearray()
        # Characters so far, of each completion.
        self._said: dict[int, int] = {}

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Yield the chunks that `data` completes; see `StreamParser`."""
        self._rest += data
        if len(self._rest) > MAX_BODY_BYTES:
            raise MalformedAnswer(self._provider, "line too large")
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            yield from self._line(line)

    def finish(self) -> Iterator[JsonObject]:
        """Yield what is left; see `StreamParser`."""
        line = bytes(self._rest)
        self._rest.clear()
        # A line that was cut off is no longer JSON, and says nothing but that.
        if line.rstrip().endswith(b"}"):
            yield from self._line(line)
        if not self.ended:
            raise StreamTruncated(self._provider, "the stream ended before the answer was complete")

    def _line(self, line: bytes) -> Iterator[JsonObject]:
        if self.ended or not line.strip():
            return
        yield from self.take(parse_json_object(self._provider, line))

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks of one event, for a provider that frames them in another way.

        Raises:
            AdapterError: The event reports an error.
        """
        kind = event.get("event_type")
        if kind == "stream-error":
            read_finish(
                self._provider, event.get("finish_reason") or "ERROR", self._reported(event).detail
            )
        if "is_finished" not in event:
            raise self._reported(event)
        if kind == "stream-end" or (kind is None and event["is_finished"]):
            yield from self._end(event)
        elif text := as_text(event.get("text")):
            index = as_count(event.get("index")) or 0
            self._said[index] = self._said.get(index, 0) + len(text)
            check_count(self._provider, len(self._said), MAX_CHOICES, "choices")
            yield self._chunks.text(text, None, index)

    def _end(self, event: JsonObject) -> Iterator[JsonObject]:
        response = as_object(event.get("response"))
        counts = as_object(response.get("meta"))
        self.usage = read_counts(counts)
        reasons = {
            as_count(generation.get("index")) or index: generation.get("finish_reason")
            for index, generation in enumerate(as_objects(response.get("generations")))
        }
        for index in sorted({0, *self._said, *reasons}):
            reason = reasons.get(index) or event.get("finish_reason")
            chunk = self._chunks.text("", None, index)
            as_objects(chunk["choices"])[0].update(read_finish(self._provider, reason))
            yield chunk
        self.ended = True
        yield self._chunks.usage(read_usage(counts, [self._prompt], self._said.values()))


def _read_logprobs(parameters: Parameters) -> None:
    """Cohere tells the likelihood of what it chose, not of alternatives."""
    wanted = parameters.take("logprobs")
    if wanted is None or wanted is False:
        return
    parameters.rest.setdefault("return_likelihoods", "GENERATION")
    if wanted is not True and wanted != 0:
        parameters.note("logprobs=without alternatives")


def _logprobs(items: Sequence[JsonObject]) -> JsonObject | None:
    if not items:
        return None
    tokens = [as_text(item.get("token")) for item in items]
    return {
        "tokens": tokens,
        "token_logprobs": [item.get("likelihood") for item in items],
        "top_logprobs": None,
        "text_offset": [sum(map(len, tokens[:index])) for index in range(len(tokens))],
    }
