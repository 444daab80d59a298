"""Who does not use guardrails, payload tables, native protocols or hosted models pays nothing."""

import pytest

from bench.unused import PARTS, asking, count, of_part

_PII = {"input": {"pii": {"behavior": "MASK"}}, "output": {"pii": {"behavior": "MASK"}}}
_MESSAGES = "/ai-gateway/anthropic/v1/messages"


# A question to a chat model may come in the form of the Responses API, which its fields tell.
_LOOK = "data_plane/calls/native.py:is_of_responses"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_call_enters_no_code_of_what_its_endpoint_does_not_use(
    *, stream: bool
) -> None:
    called = await count(asking(None, stream=stream))
    assert sum(called.values()) > 20
    found = {part: dict(of_part(called, part)) for part in PARTS}
    assert found.pop("native protocols") == {_LOOK: 1}
    assert not any(found.values())


async def test_what_is_used_is_counted() -> None:
    guarded = await count(asking(_PII, stream=False))
    assert of_part(guarded, "guardrails")
    native = await count(asking(None, stream=False, path=_MESSAGES))
    assert of_part(native, "native protocols")
