"""How a model is to choose its words: fields that engines ignore where they cannot be meant.

Used by `language`. Ranges are those of OpenAI's API, and `top_k` that of the mirrored one.
"""

from __future__ import annotations

from typing import Any, Mapping

from .refusals import bad_request

_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}
# Engines count in so many bits.
_MOST_SEED = (1 << 63) - 1
_MOST_TOP_K = (1 << 31) - 1
_MOST_STOPS = 16
_MOST_BIASED = 1024
_MOST_BIAS = 100


def check_sampling(body: Mapping[str, Any]) -> None:
    """Check what a body says of it.

    Raises:
        Refused: A field is out of its range, or of another kind.
    """
    for name, (least, most) in _RANGES.items():
        value = body.get(name, least)
        if not (_is_number(value) and least <= value <= most):
            raise bad_request("%s must be a number from %d to %d." % (name, least, most))
    seed = body.get("seed", 0)
    if type(seed) is not int or not -_MOST_SEED <= seed <= _MOST_SEED:
        raise bad_request("seed must be a whole number of 64 bits.")
    top_k = body.get("top_k", 1)
    if type(top_k) is not int or not 1 <= top_k <= _MOST_TOP_K:
        raise bad_request("top_k must be a whole number from 1 to %d." % _MOST_TOP_K)
    _check_stop(body.get("stop", ""))
    _check_bias(body.get("logit_bias", {}))


def _check_stop(stop: object) -> None:
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise bad_request("stop must be a text or a list of texts.")
    if len(texts) > _MOST_STOPS:
        raise bad_request("stop may have %d texts; leave some out." % _MOST_STOPS)


def _check_bias(bias: object) -> None:
    if not isinstance(bias, dict) or len(bias) > _MOST_BIASED:
        raise bad_request("logit_bias must be an object with at most %d tokens." % _MOST_BIASED)
    for token, value in bias.items():
        if not (token.isdigit() and _is_number(value) and -_MOST_BIAS <= value <= _MOST_BIAS):
            raise bad_request(
                "logit_bias must have a number from -%d to %d for the number of each token."
                % (_MOST_BIAS, _MOST_BIAS)
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
