"""Between the `*_json` columns and proto messages.

Neighbours: `tables` (the columns), `records` (the statements).
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import lru_cache
from typing import TypeVar

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from modelserving.v1.endpoint_pb2 import EndpointConfig

M = TypeVar("M", bound=Message)
L = TypeVar("L", bound=IntEnum)


def encode(message: Message) -> str:
    """Return the canonical JSON of `message`: equal messages give equal text."""
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS).decode()


def encode_all(messages: Iterable[Message]) -> str:
    """Return the canonical JSON list of `messages`."""
    return "[" + ",".join(encode(message) for message in messages) + "]"


def decode(text: str, cls: type[M]) -> M:
    """Return the message of `text`, ignoring fields that a newer release has added."""
    return json_format.ParseDict(orjson.loads(text), cls(), ignore_unknown_fields=True)


def decode_all(text: str, cls: type[M]) -> list[M]:
    """Return the messages of a JSON list."""
    if text == "[]":
        return []
    return [
        json_format.ParseDict(item, cls(), ignore_unknown_fields=True)
        for item in orjson.loads(text)
    ]


def decode_config(text: str) -> EndpointConfig:
    """Return a configuration that the caller may change."""
    return EndpointConfig.FromString(_config_bytes(text))


def encode_levels(levels: Mapping[str, IntEnum]) -> str:
    """Return the JSON object of levels by identifiers."""
    return orjson.dumps({key: level.name for key, level in levels.items()}).decode()


def decode_levels(text: str, cls: type[L]) -> dict[str, L]:
    """Return the levels by identifiers in a JSON object."""
    return {key: cls[name] for key, name in orjson.loads(text).items()}


def encode_optional(message: Message | None) -> str | None:
    """Return the canonical JSON of `message`, None for none."""
    return None if message is None else encode(message)


def decode_optional(text: str | None, cls: type[M]) -> M | None:
    """Return the message of `text`, None for none."""
    return None if text is None else decode(text, cls)


@lru_cache(maxsize=32_768)
def _config_bytes(text: str) -> bytes:
    # JSON takes a hundred times as long to parse as the binary form, and the content of a version
    # never changes, so listing 10,000 endpoints parses each of them once.
    return decode(text, EndpointConfig).SerializeToString()
