"""The parameters of one query on their way into a provider's body: pure.

An adapter takes, renames or drops those that it knows, `refuse_unsupported` refuses those that the
provider cannot take, and what is left in `rest` passes unchanged. The finished body is encoded
here.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import TypeAlias

import orjson

from modelplane.adapters.providers.errors import RequestRefused, refusal
from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Query

# Lowest and highest value of a parameter, by OpenAI's name of it; infinite: no highest.
Ranges: TypeAlias = Mapping[str, tuple[float, float]]

# OpenAI's parameters that change no answer, so that a provider without them loses nothing.
HARMLESS = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
)
_GATEWAYS_OWN = ("model", "stream", "stream_options")
# OpenAI's ranges; providers with narrower ones get the nearest value that they take.
_OPENAI_RANGES: Ranges = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
}


class Parameters:
    """The parameters of a query that are not yet dealt with; null means absent.

    Attributes:
        provider: Name that errors carry.
        rest: What passes to the provider as it is.
    """

    __slots__ = ("_adapted", "provider", "rest")

    def __init__(self, provider: str, query: Query) -> None:
        """Start with all of the query's body but what the gateway decides.

        Args:
            provider: Name that errors carry.
            query: The query; its body is left as it is.
        """
        self.provider = provider
        self.rest: JsonObject = {
            name: value
            for name, value in query.body.items()
            if value is not None and name not in _GATEWAYS_OWN
        }
        self._adapted: list[str] = []

    @property
    def adapted(self) -> tuple[str, ...]:
        """What was changed, for `Plan.adapted`."""
        return tuple(self._adapted)

    def note(self, change: str) -> None:
        """Report a change, once."""
        if change not in self._adapted:
            self._adapted.append(change)

    def take(self, name: str) -> object:
        """Remove a parameter and return its value, None where it is absent."""
        return self.rest.pop(name, None)

    def rename(self, name: str, own: str) -> None:
        """Pass a parameter under the provider's `own` name, unless that is given too."""
        if name in self.rest:
            self.rest.setdefault(own, self.rest.pop(name))

    def rename_stop(self, own: str, most: int | None = None) -> None:
        """Pass `stop` as a list under the provider's `own` name.

        Args:
            own: The provider's name.
            most: How many the provider takes; None: any number.

        Raises:
            RequestRefused: It is neither a text nor a list of texts, or too long.
        """
        stops = read_stop(self.provider, self.rest)
        if most is not None and len(stops) > most:
            raise self.refusal(f"'stop' may hold {most} texts with {self.provider}.")
        self.take("stop")
        if stops:
            self.rest.setdefault(own, stops)

    def drop(self, *names: str) -> None:
        """Remove parameters that the provider does not have and that it does well without."""
        for name in names:
            if self.take(name) is not None:
                self.note(f"{name}=dropped")

    def fit(self, ranges: Ranges) -> None:
        """Move parameters into the ranges that a provider takes, where OpenAI's are wider.

        Args:
            ranges: Lowest and highest value of each parameter.

        Raises:
            RequestRefused: One is out of OpenAI's range, too, or cannot be moved.
        """
        for name, (lowest, highest) in ranges.items():
            value = self.rest.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if lowest <= value <= highest:
                continue
            own = _OPENAI_RANGES.get(name)
            if own is None or not own[0] <= value <= own[1]:
                least, most = f"{lowest:g}", f"{highest:g}"
                bounds = f"at least {least}" if highest == inf else f"between {least} and {most}"
                raise self.refusal(f"'{name}' must be {bounds} with {self.provider}.")
            self.rest[name] = min(max(value, lowest), highest)
            self.note(f"{name}=clamped")

    def take_texts(self, name: str) -> list[str]:
        """Remove a text or a list of texts and return it as a list.

        Raises:
            RequestRefused: It holds tokens, or nothing.
        """
        value = self.take(name)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts:
            raise self.refusal(f"'{name}' must be a text or a list with at least one text.")
        if not all(isinstance(text, str) for text in texts):
            raise self.refusal(f"'{name}' must hold texts: {self.provider} takes no tokens.")
        return texts

    def take_objects(self, name: str) -> list[JsonObject]:
        """Remove a list of objects and return it, empty where it is absent.

        Raises:
            RequestRefused: It is something else.
        """
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refusal(f"'{name}' must be a list of objects.")
        return value

    def refusal(self, message: str) -> RequestRefused:
        """Return the refusal of the query."""
        return refusal(self.provider, message)


def encode_body(provider: str, body: JsonObject) -> bytes:
    """Return the body of a request to a provider.

    Raises:
        RequestRefused: It is nested too deeply.
    """
    try:
        return orjson.dumps(body)
    except NestedTooDeeply as error:
        raise refusal(provider, "the body is nested too deeply") from error


def read_stop(provider: str, body: JsonObject) -> list[str]:
    """Return the stop texts: `stop` may be absent, one text or a list.

    Raises:
        RequestRefused: It is something else.
    """
    stop = body.get("stop")
    if stop is None:
        return []
    listed = stop if isinstance(stop, list) else [stop]
    texts = [item for item in listed if isinstance(item, str)]
    if len(texts) != len(listed):
        raise refusal(provider, "'stop' must be a text or a list of texts.")
    return [item for item in texts if item]


def read_prompt(provider: str, body: JsonObject) -> str:
    """Return the prompt of a completion, for a provider that takes one text at a time.

    Raises:
        RequestRefused: It holds several texts, or tokens.
    """
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise refusal(
            provider, f"{provider} takes one text as 'prompt': send one request for each text."
        )
    return prompt


def refuse_unsupported(
    provider: str, body: JsonObject, neutral: Mapping[str, Sequence[object]]
) -> None:
    """Refuse parameters that the provider does not have; take out those that ask for nothing.

    Args:
        provider: Name that the refusal carries.
        body: Body to look at; parameters with a neutral value are removed from it.
        neutral: Values, beside null, that ask for nothing, by parameter; for example 1 for `n`.

    Raises:
        RequestRefused: One of the parameters asks for something.
    """
    for name, values in neutral.items():
        if name not in body:
            continue
        value = body.pop(name)
        # `False == 0`, and a parameter of the wrong type is to be refused, not ignored.
        if value is not None and not any(
            value == one and type(value) is type(one) for one in values
        ):
            raise refusal(provider, f"{provider} does not support '{name}': leave it out.")
