"""How many tokens a query may use, before it is known: cheap estimates.

Used by `admitted.py`, which settles on the real usage afterwards.
"""

from modelplane.adapters.providers.types import JsonObject, Query, tokens_of

# An answer without a bound of its own is taken to be no longer than this.
DEFAULT_OUTPUT_TOKENS = 512
# Before any answer was seen, so many queries may be under way within a limit at once: enough that
# every worker sees one, and few enough that long answers leave little debt.
UNSEEN_AT_ONCE = 8
# Weights of a new answer in the mean and in the mean deviation: those of RFC 6298. The first few
# weigh more.
_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_FIRST = 8
# What a provider counts for the frame around a text, and for a picture or a sound.
_TOKENS_PER_ITEM = 4
_TOKENS_PER_MEDIUM = 1_000
# Deeper than any provider's schema.
_MAX_DEPTH = 50
# What a model reads beside the prompt.
_TOOL_FIELDS = frozenset({"tools", "functions"})
_PLAIN_FIELDS = 2
_BOUNDS = frozenset({"max_completion_tokens", "max_tokens", "max_output_tokens"})
# The Gemini API has its bound in here.
_OPTIONS, _BOUND_OF_OPTIONS = "generationConfig", "maxOutputTokens"
# Anthropic's medium is one by its type: tools too have parameters of this name.
_SOURCE = "source"
_MEDIA = frozenset(
    {"image_url", "input_audio", "file", "file_data", "inlineData", "fileData", _SOURCE}
)
_SOURCES = ("base64", "url", "file")


class Estimate:
    """What queries use beyond what their prompt is estimated to have, learned from those before.

    As TCP learns of round trips: a mean and a mean deviation, in which the last ones count most.

    Attributes:
        seen: Number of queries that it learned from.
        likely: What one likely uses at most: the mean and a mean deviation.
        least: What one likely uses at least: the mean, once there were a few.
    """

    __slots__ = ("_deviation", "_mean", "_parent", "least", "likely", "seen")

    def __init__(self, parent: "Estimate | None" = None) -> None:
        """Begin with nothing seen.

        Args:
            parent: Learns from these queries and from others like them, and is believed until there
                were any of these.
        """
        self._parent = parent
        self._mean = self._deviation = 0.0
        self.seen = self.least = self.likely = 0

    def learn(self, tokens: int) -> None:
        """Note what a query used beyond the estimate of its prompt."""
        seen = self.seen = self.seen + 1
        parent = self._parent
        # One in a few says enough to the parent.
        if parent is not None and (seen <= _FIRST or not seen % _FIRST):
            parent.learn(tokens)
        if seen == 1:
            self._mean, self._deviation = tokens, abs(tokens) / 2
        else:
            error = tokens - self._mean
            few = seen < _FIRST
            self._mean += error * (1 / seen if few else _MEAN_GAIN)
            gain = max(1 / seen, _DEVIATION_GAIN) if few else _DEVIATION_GAIN
            self._deviation += (abs(error) - self._deviation) * gain
        self.least = 0 if seen < _FIRST else round(self._mean)
        self.likely = round(self._mean + self._deviation)

    def known(self) -> "Estimate | None":
        """Return the estimate that is to be believed; None: no such query was ever seen."""
        if self.seen:
            return self
        return self._parent if self._parent is not None and self._parent.seen else None


def estimate_prompt(query: Query, fields: frozenset[str]) -> int:
    """Return about how many tokens the prompt of a query has.

    Args:
        query: The query.
        fields: Fields of its body that hold the prompt.
    """
    total = 0
    # A body has few fields, and most of those that may hold a prompt are of other APIs.
    for name, value in query.body.items():
        if name in fields:
            if isinstance(value, list) and value and isinstance(value[0], dict):
                total += sum(map(_message_tokens, value))
            else:
                total += _tokens(value)
        elif name in _TOOL_FIELDS:
            total += _tokens(value)
    return total


def output_bound(body: JsonObject) -> int | None:
    """Return the greatest number of tokens that the caller wants, None where they did not say."""
    options = body.get(_OPTIONS)
    if _BOUNDS.isdisjoint(body) and options is None:
        return None
    given = [body[name] for name in _BOUNDS if name in body]
    if isinstance(options, dict):
        given.append(options.get(_BOUND_OF_OPTIONS))
    bounds = [value for value in given if isinstance(value, int) and not isinstance(value, bool)]
    # Of two, providers differ in which they heed; one below zero bounds nothing.
    if not bounds or min(bounds) < 0:
        return None
    choices, prompts = body.get("n"), body.get("prompt")
    answers = choices if isinstance(choices, int) and choices > 0 else 1
    if isinstance(prompts, list) and prompts and not isinstance(prompts[0], int):
        answers *= len(prompts)
    return max(bounds) * answers


def _message_tokens(message: object) -> int:
    if isinstance(message, dict) and len(message) <= _PLAIN_FIELDS:
        content = message.get("content")
        if isinstance(content, str):
            # The usual case, `role` and `content`, costs least.
            return _TOKENS_PER_ITEM + tokens_of(len(content))
    return _tokens(message)


def _tokens(value: object, depth: int = 0) -> int:
    if isinstance(value, str):
        return tokens_of(len(value))
    if depth >= _MAX_DEPTH:
        return 0
    if isinstance(value, list):
        # A list of numbers is a text that is split into tokens already.
        return sum(1 if isinstance(item, int) else _tokens(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return _TOKENS_PER_ITEM + sum(
            _TOKENS_PER_MEDIUM
            if name in _MEDIA and (name != _SOURCE or _is_medium(item))
            else _tokens(item, depth + 1)
            for name, item in value.items()
        )
    return 0


def _is_medium(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") in _SOURCES
