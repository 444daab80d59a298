"""Completions with AI21's J2 models: bodies and answers, pure; these models do not stream.

API: AI21 Studio's `complete`. Names are camel case, penalties are objects, and usage is not
counted: the tokens of prompt and answers are listed instead.
"""

from collections.abc import Sequence

from modelplane.adapters.providers.ai21labs.chat import read_finish
from modelplane.adapters.providers.canonical.answers import (
    build_completion_answer,
    build_completion_choice,
    build_usage,
    estimate_tokens,
)
from modelplane.adapters.providers.canonical.json_values import as_object, as_objects, as_text
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    refuse_unsupported,
)
from modelplane.adapters.providers.errors import MalformedAnswer, RequestRefused, refusal
from modelplane.adapters.providers.refusals import J2_RANGES
from modelplane.adapters.providers.types import JsonObject, as_count

_UNSUPPORTED: dict[str, Sequence[object]] = {
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
    "logit_bias": ({},),
    "top_k": (0,),
    "top_logprobs": (0,),
    "error_behavior": ("error",),
    "use_raw_prompt": (False,),
}
_RENAMED = {
    "n": "numResults",
    "max_tokens": "maxTokens",
    "top_p": "topP",
    "min_tokens": "minTokens",
}
_PENALTIES = {"frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty"}


def build_complete_bodies(parameters: Parameters, *, stream: bool) -> list[JsonObject]:
    """Return a body of `POST /studio/v1/{model}/complete` for each prompt.

    Raises:
        RequestRefused: J2 has no counterpart for something in the query.
    """
    if stream:
        raise stream_refusal(parameters.provider)
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    prompts = parameters.take_texts("prompt")
    parameters.fit(J2_RANGES)
    for name, own in _RENAMED.items():
        parameters.rename(name, own)
    parameters.rename_stop("stopSequences")
    for name, own in _PENALTIES.items():
        scale = parameters.take(name)
        if scale is not None:
            parameters.rest.setdefault(own, {"scale": scale})
    alternatives = parameters.take("logprobs")
    if alternatives is not None and alternatives is not False:
        parameters.rest.setdefault("topKReturn", 1 if alternatives is True else alternatives)
    parameters.drop(*HARMLESS, "seed")
    return [{"prompt": prompt, **parameters.rest} for prompt in prompts]


def stream_refusal(provider: str) -> RequestRefused:
    """Return the refusal of a stream, which J2 does not have."""
    return refusal(provider, f"Completions of {provider} cannot be streamed: leave out 'stream'.")


def parse_completions(
    provider: str,
    prompts: Sequence[str],
    answers: Sequence[JsonObject],
    created: int,
    *,
    logprobs: bool = False,
) -> JsonObject:
    """Return the canonical answer in J2's answers, one for each prompt.

    Args:
        provider: Name that errors carry.
        prompts: The prompts, to estimate what was not counted.
        answers: J2's answers.
        created: Seconds since the epoch.
        logprobs: Whether the caller asked for log probabilities, which J2 always sends.

    Raises:
        MalformedAnswer: One is no answer.
    """
    choices: list[JsonObject] = []
    prompt_counts: list[tuple[int, bool]] = []
    answer_counts: list[tuple[int, bool]] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        completions = as_objects(answer.get("completions"))
        if not completions:
            raise MalformedAnswer(provider, "the provider's answer has no completions")
        prompt_counts.append(_count(as_object(answer.get("prompt")), prompt))
        for completion in completions:
            data = as_object(completion.get("data"))
            answer_counts.append(_count(data, as_text(data.get("text"))))
            choices.append(_choice(completion, data, len(choices), logprobs=logprobs))
    usage = build_usage(
        sum(count for count, _ in prompt_counts),
        sum(count for count, _ in answer_counts),
        estimated=any(estimated for _, estimated in prompt_counts + answer_counts),
    )
    # The id is a number in some answers.
    return build_completion_answer(str(answers[0].get("id", "")), created, choices, usage)


def _count(data: JsonObject, text: str) -> tuple[int, bool]:
    """Return the number of tokens in `data`, and whether it is an estimate from `text`."""
    tokens = data.get("tokens")
    if isinstance(tokens, list):
        return len(tokens), False
    return estimate_tokens(text), True


def _choice(completion: JsonObject, data: JsonObject, index: int, *, logprobs: bool) -> JsonObject:
    choice = build_completion_choice(as_text(data.get("text")), None, index)
    if logprobs:
        choice["logprobs"] = _logprobs(as_objects(data.get("tokens")))
    return choice | read_finish(as_object(completion.get("finishReason")).get("reason"))


def _logprobs(tokens: Sequence[JsonObject]) -> JsonObject | None:
    if not tokens:
        return None
    generated = [as_object(token.get("generatedToken")) for token in tokens]
    return {
        "tokens": [_text(one) for one in generated],
        "token_logprobs": [one.get("logprob") for one in generated],
        "top_logprobs": [
            {_text(one): one.get("logprob") for one in as_objects(token.get("topTokens"))}
            for token in tokens
        ],
        "text_offset": [as_count(as_object(one.get("textRange")).get("start")) for one in tokens],
    }


def _text(token: JsonObject) -> str:
    """Return a token's text; AI21 writes spaces and line breaks as signs."""
    return as_text(token.get("token")).replace("\u2581", " ").replace("<|newline|>", "\n")
