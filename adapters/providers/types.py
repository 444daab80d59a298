"""Types that pass between the data plane and an adapter: tasks, queries, requests, answers.

The canonical form of a query and of an answer is OpenAI's JSON; it stays an open JSON object, so
that parameters nobody listed pass through. Next: `base.py`, what an adapter does with them.

What is made for each query is not frozen: that takes four times as long. Nobody changes it, but
for the headers of a planned request, to which the gateway adds its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ssl import SSLContext
from typing import TypeAlias

import orjson

JsonObject: TypeAlias = dict[str, object]
# What was parsed can be encoded again, with this one exception: the parser goes deeper than the
# encoder, which ends at 254 levels.
NestedTooDeeply = orjson.JSONEncodeError

# Far above what any model takes, and so far below what counters hold that sums stay below it too:
# a provider that counts more, or below zero, has not counted.
MAX_COUNT = 1 << 40


class Task(StrEnum):
    """What an external model does."""

    CHAT = "llm/v1/chat"
    COMPLETIONS = "llm/v1/completions"
    EMBEDDINGS = "llm/v1/embeddings"


@dataclass(slots=True)
class NativeRequest:
    """A request in a provider's own form, as the caller sent it.

    Attributes:
        protocol: Name of the form, for example `anthropic/v1/messages`.
        body: The JSON object.
        raw: The same as bytes; empty where the body, written anew, has the same.
        headers: The caller's headers.
        passing: Whether the answer that comes has that form too, and passes as it is; set for each
            attempt.
    """

    protocol: str
    body: JsonObject = field(repr=False)
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    passing: bool = False


@dataclass(slots=True)
class Query:
    """One validated query in canonical form.

    Attributes:
        body: The caller's JSON object without the gateway's own fields.
        stream: Whether the answer is to be streamed.
        raw: The body as the caller sent it, for a model that gets it so; else empty.
        native: The request that it was translated from, or that is passed on untranslated; None: it
            came in canonical form. What is only passed on has the caller's body in place of the
            canonical one.
    """

    body: JsonObject = field(repr=False)
    stream: bool
    raw: bytes = field(default=b"", repr=False)
    native: NativeRequest | None = None


@dataclass(slots=True)
class HttpRequest:
    """A request to a provider. Its repr shows neither credentials nor the prompt.

    Attributes:
        provider: Provider called, for error texts.
        url: Absolute URL; may carry a query.
        headers: All headers, credentials among them.
        body: The encoded body.
        method: HTTP method.
        secrets: What it is signed with, and no answer may repeat.
        owner: For whom a host name is looked up, so that no one takes all lookups; empty: nobody.
        pinned: What alone is believed of the server; None: what authorities vouch for.
    """

    provider: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    owner: str = ""
    pinned: SSLContext | None = field(default=None, repr=False)


@dataclass(slots=True)
class HttpAnswer:
    """A provider's whole response.

    Attributes:
        status: HTTP status.
        headers: Headers, looked up in lower case.
        body: The body, decoded from any transfer encoding.
        secrets: Those of its request.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(slots=True)
class Plan:
    """How a query is put to a provider.

    Attributes:
        requests: Requests to send; a stream has one. Several are sent at once, and their answers
            are parsed together, in this order.
        adapted: Parameters of the query that the provider cannot take as they are: each names the
            parameter and says in a few words what was done, for example `temperature=clamped`.
        asks_usage: Whether a stream is asked for its usage, which the caller may not have wanted.
    """

    requests: tuple[HttpRequest, ...]
    adapted: tuple[str, ...] = ()
    asks_usage: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """The content behind an image's URL.

    Attributes:
        media_type: For example `image/png`.
        data: The encoded image.
    """

    media_type: str
    data: bytes = field(repr=False)


@dataclass(slots=True)
class Usage:
    """Tokens that an answer reported; None where it did not say.

    Attributes:
        input_tokens: Of the prompt.
        output_tokens: Of the answer.
        cached_tokens: Those of the prompt that the provider had cached.
        reasoning_tokens: Those of the answer that are reasoning.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


def tokens_of(characters: int) -> int:
    """Return about how many tokens a text of so many characters has.

    It is what the mirrored API takes where a provider does not count, so that one estimate serves
    for answers, for the ledger and for limits.
    """
    return (characters + 1) // 4


def parse_usage(answer: JsonObject) -> Usage | None:
    """Return the usage that a canonical answer or chunk reports, None where it reports none."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, answered = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        as_count(usage.get("prompt_tokens")),
        as_count(usage.get("completion_tokens")),
        as_count(prompt.get("cached_tokens")) if isinstance(prompt, dict) else None,
        as_count(answered.get("reasoning_tokens")) if isinstance(answered, dict) else None,
    )


def as_count(value: object) -> int | None:
    """Return a whole number, which some providers write as `3.0`; None where there is none."""
    # Not `isinstance`: a truth value is no count.
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else None
    if type(value) is float and 0 <= value <= MAX_COUNT and value.is_integer():
        return int(value)
    return None
