"""A stream says what the whole answer does, however its provider cuts it, on every way."""

import pytest
from hypothesis import given

from tests.data_plane.guardrails.pipeline import Pipeline, Wire, found_in
from tests.data_plane.guardrails.speech import SPEECH
from tests.data_plane.guardrails.test_every_cell import ask
from tests.data_plane.guardrails.texts import MASKING, WORDS, cuts, read_whole
from tests.data_plane.guardrails.ways import WAYS, Way

CHATS = [way for way in WAYS if way.outputs]
MASK = {"output": {"pii": {"behavior": "MASK"}}}
BLOCK = {"output": {"pii": {"behavior": "BLOCK"}, "invalid_keywords": list(WORDS)}}


async def hear(pipeline: Pipeline, way: Way, pieces: list[str], *, streams: bool) -> Wire:
    whole, streamed = SPEECH[way.endpoint]["content"]
    pipeline.provider.say(whole("".join(pieces)))
    if streams:
        pipeline.provider.stream(streamed([piece for piece in pieces if piece]))
    return await ask(pipeline, way, next(iter(way.inputs)), "Hi", streams=streams)


@pytest.mark.parametrize("way", CHATS, ids=lambda way: way.name)
@given(pieces=cuts())
async def test_a_stream_is_the_masked_whole(way: Way, pieces: list[str]) -> None:
    pipeline = Pipeline()
    pipeline.guard(MASK)
    masked, found = read_whole(MASKING, "".join(pieces))
    wire = await hear(pipeline, way, pieces, streams=True)
    assert way.joined(wire) == masked
    assert "".join(pieces) == masked or found.entities
    await hear(pipeline, way, pieces, streams=False)
    streamed, whole = pipeline.ledger.records
    assert found_in(streamed) == found_in(whole) == found
    if way.endpoint != "text":
        assert streamed.usage == whole.usage


@pytest.mark.parametrize("way", CHATS, ids=lambda way: way.name)
@given(pieces=cuts())
async def test_a_stream_is_blocked_where_the_whole_is(way: Way, pieces: list[str]) -> None:
    pipeline = Pipeline()
    pipeline.guard(BLOCK)
    wire = await hear(pipeline, way, pieces, streams=True)
    await hear(pipeline, way, pieces, streams=False)
    streamed, whole = pipeline.ledger.records
    assert streamed.error == whole.error
    text = "".join(pieces)
    masked, found = read_whole(MASKING, text)
    if not whole.error:
        assert way.joined(wire) == text
    elif found.entities and streamed.chunks:
        # What has left was before the first thing that was found.
        assert masked.startswith(way.joined(wire).split("This response was blocked")[0])
