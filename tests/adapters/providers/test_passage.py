"""The one change of a native request: the name of its model."""

import json

import pytest

from modelplane.adapters.providers.passage import name_model
from modelplane.adapters.providers.types import NativeRequest

MODEL = "claude-sonnet-4-5"


def named(raw: bytes) -> bytes:
    request = NativeRequest("anthropic/v1/messages", json.loads(raw), raw, {})
    return name_model("anthropic", request, MODEL)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"mine","max_tokens":1}',
        b'{ "max_tokens" : 1 , "model" :  "mi\\u00e4ne" }',
        b'{"messages":[{"role":"user","content":"the \\"model\\" says"}],"model":"mine"}',
    ],
)
def test_nothing_else_changes(raw: bytes) -> None:
    before, _, rest = raw.partition(b'"model"')
    after = rest[rest.index(b'"') :].split(b'"', 2)[2]
    sent = named(raw)
    assert sent.startswith(before)
    assert sent.endswith(after)
    assert json.loads(sent) == json.loads(raw) | {"model": MODEL}


@pytest.mark.parametrize(
    "raw",
    [
        # A key of another object, which comes first.
        b'{"metadata":{"model":"x"},"model":"mine"}',
        b'{"model":"mine","model":"other"}',
        # The key in another spelling, and one that would be found in its place.
        b'{"\\u006dodel":"mine","metadata":{"model":"mine"}}',
        b'{"m\\u006Fdel":"mine"}',
        b'{"type":"model","model":"mine"}',
    ],
)
def test_the_model_that_counts_is_the_configured_one(raw: bytes) -> None:
    assert json.loads(named(raw)) == json.loads(raw) | {"model": MODEL}
