"""Whatever is looked for is found on every way, at every place: no cell is empty."""

import pytest
from google.protobuf.message import Message

from modelplane.adapters.shared.tasks import PATHS
from modelplane.data_plane.calls.call import Method
from modelplane.data_plane.hosts.typed.reader import read
from modelplane.data_plane.hosts.typed.rpcs import TYPED_RPCS
from modelplane.data_plane.protocols.routes import all_paths, find_route
from tests.data_plane.guardrails.pipeline import Pipeline, Wire, chat_answer, found_in, vectors
from tests.data_plane.guardrails.speech import SPEECH
from tests.data_plane.guardrails.texts import PERSONAL
from tests.data_plane.guardrails.ways import MESSAGES_OF, WAYS, Way

KEYWORD = "blue falcon"
# What is looked for, and what stands in its place where it is masked.
BADGE = ("EMP-1234", "BADGE")
ENTITIES = [*((text.removeprefix("account "), name) for text, name in PERSONAL), BADGE]
RULES = {"pii": {"behavior": "MASK"}, "invalid_keywords": [KEYWORD]}
BADGES = {"name": "badges", "patterns": {"expressions": ["EMP-[0-9]{4}"], "entity": "BADGE"}}
JUDGED = {"name": "judged", "judge": {"endpoint_name": "judge", "form": "llama_guard"}}
# Of every request, so that no place is empty in a chat that has several.
INPUT_PLACES = ("system", "text", "part", "assistant", "arguments", "result")


@pytest.fixture
async def pipeline() -> Pipeline:
    return Pipeline()


async def ask(
    pipeline: Pipeline, way: Way, place: str, said: str, *, streams: bool = False
) -> Wire:
    path, body = way.request(place, said, streams=streams)
    if not way.rpcs:
        return await pipeline.post(path, body)
    name = way.rpcs[streams]
    body.pop("stream", None)
    message: Message = read(MESSAGES_OF[name], body)
    return await pipeline.call(name, message)


def answer_plainly(pipeline: Pipeline, way: Way) -> None:
    if way.endpoint == "vector":
        pipeline.provider.say(vectors())
    else:
        pipeline.provider.say(SPEECH[way.endpoint]["content"][0]("Fine."))


def in_words(entity: str, name: str) -> str:
    """Return a text with an entity, and what says that it is one."""
    return f"account {entity}, yes" if name == "US_BANK_NUMBER" else f"It is {entity}, yes"


def test_every_way_is_known() -> None:
    protocols = {
        route.protocol.name
        for path in all_paths()
        if (route := find_route(path.encode(), b"alt=sse")) and route.method is Method.QUERY
    }
    paths = [path for way in WAYS for path in (way.path, way.stream_path) if path]
    found = [find_route(*path.encode().partition(b"?")[::2]) for path in paths]
    assert {route.protocol.name for route in found if route} == protocols
    assert set(PATHS.values()) <= set(paths)
    assert {rpc.name for rpc in TYPED_RPCS} == {name for way in WAYS for name in way.rpcs}


def test_every_chat_has_every_place() -> None:
    chats = [way for way in WAYS if way.endpoint in ("chat", "claude")]
    assert all(tuple(way.inputs) == INPUT_PLACES for way in chats)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_request_is_masked(pipeline: Pipeline, way: Way) -> None:
    pipeline.guard({"input": RULES}, [{**BADGES, "action": "mask"}])
    answer_plainly(pipeline, way)
    for place in way.inputs:
        for entity, name in ENTITIES:
            wire = await ask(pipeline, way, place, in_words(entity, name))
            assert wire.status == 200, (place, name, wire.text)
            heard = pipeline.provider.requests[-1].body.decode()
            assert entity not in heard, (place, name)
            assert f"<{name}>" in heard, (place, name)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_request_is_blocked(pipeline: Pipeline, way: Way) -> None:
    rules = {"input": {"pii": {"behavior": "BLOCK"}, "invalid_keywords": [KEYWORD]}}
    pipeline.guard(rules, [BADGES])
    answer_plainly(pipeline, way)
    for place in way.inputs:
        for entity, name in (*ENTITIES, ("Blue FALCON", "INVALID_KEYWORD")):
            wire = await ask(pipeline, way, place, in_words(entity, name))
            assert not pipeline.provider.requests, (place, name)
            assert wire.status == (200 if way.refuses else 400), (place, name)
            # That API repeats the caller's own instructions.
            repeats = (way.name, place) == ("responses", "system")
            assert entity not in wire.text or repeats, (place, name)
            assert name in wire.text or "input_guardrail_triggered" in wire.text, (place, name)


SPEAKING = [way for way in WAYS if way.outputs]
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])


@whole_and_streamed
@pytest.mark.parametrize("way", SPEAKING, ids=lambda way: way.name)
async def test_an_answer_is_masked(pipeline: Pipeline, way: Way, *, streams: bool) -> None:
    pipeline.guard({"output": RULES}, [{**BADGES, "action": "mask"}])
    for place, (whole, streamed) in SPEECH[way.endpoint].items():
        for entity, name in ENTITIES:
            said = in_words(entity, name)
            pipeline.provider.say(whole(said))
            if streams:
                pipeline.provider.stream(streamed([said[:9], said[9:15], said[15:]]))
            wire = await ask(pipeline, way, next(iter(way.inputs)), "Hi", streams=streams)
            assert wire.status == 200, (place, name)
            assert entity not in wire.text, (place, name)
            assert found_in(pipeline.ledger.records[-1]).entities[name], (place, name)
            if place in ("content", "arguments"):
                assert f"<{name}>" in wire.text, (place, name)


@whole_and_streamed
@pytest.mark.parametrize("way", SPEAKING, ids=lambda way: way.name)
async def test_an_answer_is_blocked(pipeline: Pipeline, way: Way, *, streams: bool) -> None:
    rules = {"output": {"pii": {"behavior": "BLOCK"}, "invalid_keywords": [KEYWORD]}}
    pipeline.guard(rules, [BADGES])
    for place, (whole, streamed) in SPEECH[way.endpoint].items():
        for entity, name in (*ENTITIES, (KEYWORD, "INVALID_KEYWORD")):
            said = in_words(entity, name)
            pipeline.provider.say(whole(said))
            if streams:
                pipeline.provider.stream(streamed([said[:9], said[9:15], said[15:]]))
            wire = await ask(pipeline, way, next(iter(way.inputs)), "Hi", streams=streams)
            assert entity not in wire.text, (place, name)
            assert entity[:9] not in wire.text, (place, name)
            [record] = pipeline.ledger.records
            pipeline.ledger.records.clear()
            assert record.error == "GuardrailTriggered", (place, name)
            assert wire.status in (200, 400), (place, name)
            assert "yes" not in wire.text, (place, name)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
async def test_a_judge_reads_a_request(pipeline: Pipeline, way: Way) -> None:
    pipeline.guard(policies=[{**JUDGED, "phases": ["input"]}])
    pipeline.provider.verdicts = [chat_answer({"content": "unsafe\nS1"})]
    for place in way.inputs:
        wire = await ask(pipeline, way, place, "It is something bad")
        assert not pipeline.provider.requests, place
        assert "It is something bad" in str(pipeline.provider.judged[-1]["messages"]), place
        assert wire.status == (200 if way.refuses else 400), place


@whole_and_streamed
@pytest.mark.parametrize("way", SPEAKING, ids=lambda way: way.name)
async def test_a_judge_reads_an_answer(pipeline: Pipeline, way: Way, *, streams: bool) -> None:
    pipeline.guard(policies=[{**JUDGED, "phases": ["output"]}])
    pipeline.provider.verdicts = [chat_answer({"content": "unsafe\nS1"})]
    for place, (whole, streamed) in SPEECH[way.endpoint].items():
        pipeline.provider.say(whole("It is something bad"))
        if streams:
            pipeline.provider.stream(streamed(["It is ", "something bad"]))
        wire = await ask(pipeline, way, next(iter(way.inputs)), "Hi", streams=streams)
        assert "It is something bad" in str(pipeline.provider.judged[-1]["messages"]), place
        assert "something" not in wire.text, place
        assert pipeline.ledger.records[-1].error == "GuardrailTriggered", place
