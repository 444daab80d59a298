"""Text completions with Amazon's Titan and Meta's Llama, whose formats only Bedrock has: pure.

API: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html. Both take one
prompt for each request and answer it once. Titan takes only some stop texts, Llama
none. Llama is asked in the template of its version, unless the prompt has one.

Used by `completions.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from modelplane.adapters.providers.canonical.answers import (
    ChunkBuilder,
    build_completion_answer,
    build_completion_choice,
    build_usage,
    estimate_tokens,
)
from modelplane.adapters.providers.canonical.json_values import (
    as_object,
    as_objects,
    as_text,
    as_texts,
)
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    Ranges,
    refuse_unsupported,
)
from modelplane.adapters.providers.errors import MalformedAnswer
from modelplane.adapters.providers.refusals import LLAMA_RANGES, TITAN_RANGES, TITAN_STOPS
from modelplane.adapters.providers.types import JsonObject, Usage, as_count, tokens_of

_UNSUPPORTED: Mapping[str, Sequence[object]] = {
    "n": (1,),
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "top_k": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0, 0.0),
    "presence_penalty": (0, 0.0),
}
_FINISH_REASONS = {
    "FINISHED": "stop",
    "FINISH": "stop",
    "STOP_CRITERIA_MET": "stop",
    "LENGTH": "length",
    "CONTENT_FILTERED": "content_filter",
    "stop": "stop",
    "length": "length",
}
_LLAMA_3 = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
)
# By the beginning of the model's name.
_TEMPLATES: Mapping[str, tuple[str, str]] = {
    "llama2": ("<s>[INST] ", " [/INST]"),
    "llama4": (
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\n",
        "<|eot|><|header_start|>assistant<|header_end|>\n\n",
    ),
}
_MARKS = ("[INST]", "<|start_header_id|>", "<|header_start|>")


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole answer, or the next part of one; counts are totals, None where not given."""

    text: str = field(repr=False)
    reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


class TextFormat(ABC):
    """How one family writes prompts and answers.

    Attributes:
        ranges: Ranges of its parameters.
    """

    ranges: ClassVar[Ranges]

    def build_bodies(self, parameters: Parameters) -> list[JsonObject]:
        """Return a body for each prompt.

        Raises:
            RequestRefused: The family has no counterpart for something in the query.
        """
        refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
        prompts = parameters.take_texts("prompt")
        parameters.fit(self.ranges)
        parameters.drop(*HARMLESS, "seed")
        return self._bodies(parameters, prompts)

    @abstractmethod
    def _bodies(self, parameters: Parameters, prompts: Sequence[str]) -> list[JsonObject]:
        """Return the bodies; what is left in `parameters` is added to each by this method."""

    @abstractmethod
    def read(self, event: JsonObject) -> Piece | None:
        """Return what an answer or a stream's event says; None when it is neither."""


class TitanFormat(TextFormat):
    """Amazon Titan Text."""

    ranges = TITAN_RANGES

    _CONFIG: Mapping[str, str] = {
        "max_tokens": "maxTokenCount",
        "temperature": "temperature",
        "top_p": "topP",
    }

    def _bodies(self, parameters: Parameters, prompts: Sequence[str]) -> list[JsonObject]:
        config = dict(as_object(parameters.take("textGenerationConfig")))
        for name, own in self._CONFIG.items():
            if (value := parameters.take(name)) is not None:
                config[own] = value
        parameters.rename_stop("stopSequences")
        stops = as_texts(parameters.rest.get("stopSequences"))
        if not set(stops) <= TITAN_STOPS:
            known = ", ".join(sorted(map(repr, TITAN_STOPS)))
            raise parameters.refusal(f"'stop' may only hold {known} with this model.")
        if (stop := parameters.take("stopSequences")) is not None:
            config["stopSequences"] = stop
        shared = {"textGenerationConfig": config} if config else {}
        return [{"inputText": prompt, **shared, **parameters.rest} for prompt in prompts]

    def read(self, event: JsonObject) -> Piece | None:
        """Return what an answer or an event says; see `TextFormat`."""
        results = as_objects(event.get("results"))
        part = results[0] if results else event
        text = part.get("outputText")
        if not isinstance(text, str):
            return None
        reason = as_text(part.get("completionReason")) or None
        completion = part.get("tokenCount" if results else "totalOutputTextTokenCount")
        prompt = as_count(event.get("inputTextTokenCount"))
        return Piece(text, reason, prompt, as_count(completion))


class LlamaFormat(TextFormat):
    """Meta Llama."""

    ranges = LLAMA_RANGES

    def __init__(self, model: str) -> None:
        """Choose the template.

        Args:
            model: The model's own name.
        """
        found = (value for name, value in _TEMPLATES.items() if model.startswith(name))
        self._template = next(found, _LLAMA_3)

    def _bodies(self, parameters: Parameters, prompts: Sequence[str]) -> list[JsonObject]:
        refuse_unsupported(parameters.provider, parameters.rest, {"stop": ("", [])})
        parameters.rename("max_tokens", "max_gen_len")
        return [{"prompt": self._write(prompt), **parameters.rest} for prompt in prompts]

    def read(self, event: JsonObject) -> Piece | None:
        """Return what an answer or an event says; see `TextFormat`."""
        text = event.get("generation")
        if not isinstance(text, str):
            return None
        reason = as_text(event.get("stop_reason")) or None
        prompt = as_count(event.get("prompt_token_count"))
        return Piece(text, reason, prompt, as_count(event.get("generation_token_count")))

    def _write(self, prompt: str) -> str:
        before, after = self._template
        written = any(mark in prompt for mark in _MARKS)
        return prompt if written else f"{before}{prompt}{after}"


def parse_texts(
    provider: str,
    prompts: Sequence[str],
    pieces: Sequence[Piece | None],
    answer_id: str,
    created: int,
) -> JsonObject:
    """Return the canonical answer in the answers to several prompts.

    Raises:
        MalformedAnswer: One is no answer.
    """
    choices = []
    totals = _Totals(prompts)
    for index, piece in enumerate(pieces):
        if piece is None or piece.reason is None:
            raise MalformedAnswer(provider, "the provider's answer is no completion")
        choice = build_completion_choice(piece.text, _finish_reason(piece.reason), index)
        choices.append(choice | _more(piece.reason))
        totals.add(piece, len(piece.text))
    return build_completion_answer(answer_id, created, choices, totals.usage())


class TextReader:
    """Reads the events of one streamed completion."""

    def __init__(self, form: TextFormat, prompt: str, chunks: ChunkBuilder) -> None:
        """Start before the first event.

        Args:
            form: The family's format.
            prompt: The prompt, to estimate its tokens.
            chunks: Builds the chunks.
        """
        self.ended = False
        self._form = form
        self._prompt = prompt
        self._chunks = chunks
        # Characters so far.
        self._said = 0
        self.usage: Usage | None = None

    def take(self, event: JsonObject) -> Iterator[JsonObject]:
        """Yield the chunks that one event gives."""
        piece = self._form.read(event)
        if piece is None:
            return
        self._count(piece)
        if piece.text:
            self._said += len(piece.text)
            yield self._chunks.text(piece.text)
        if piece.reason is not None:
            yield from self._end(piece.reason)

    def _count(self, piece: Piece) -> None:
        if piece.prompt_tokens is None and piece.completion_tokens is None:
            return
        seen = self.usage or Usage()
        self.usage = Usage(
            seen.input_tokens if piece.prompt_tokens is None else piece.prompt_tokens,
            seen.output_tokens if piece.completion_tokens is None else piece.completion_tokens,
        )

    def _end(self, reason: str) -> Iterator[JsonObject]:
        yield self._chunks.text("", _finish_reason(reason), more=_more(reason))
        totals = _Totals([self._prompt])
        seen = self.usage or Usage()
        counted = Piece("", None, seen.input_tokens, seen.output_tokens)
        totals.add(counted, self._said)
        self.ended = True
        yield self._chunks.usage(totals.usage())


class _Totals:
    """Adds up the tokens of several answers, estimated where they were not counted."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self._prompts = iter(prompts)
        self._prompt = 0
        self._completion = 0
        self._estimated = False

    def add(self, piece: Piece, said: int) -> None:
        prompt, completion = piece.prompt_tokens, piece.completion_tokens
        asked = next(self._prompts)
        self._prompt += estimate_tokens(asked) if prompt is None else prompt
        self._completion += tokens_of(said) if completion is None else completion
        self._estimated |= prompt is None or completion is None

    def usage(self) -> JsonObject:
        return build_usage(self._prompt, self._completion, estimated=self._estimated)


def _finish_reason(reason: str) -> str:
    return _FINISH_REASONS.get(reason, "stop")


def _more(reason: str) -> JsonObject:
    return {} if reason in _FINISH_REASONS else {"provider_finish_reason": reason}
