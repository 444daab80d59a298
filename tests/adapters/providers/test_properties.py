"""Properties of every adapter and task, over the cases that each provider declares.

A provider added later is covered by its cases in `tests/emulators/<provider>/cases.py`.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from copy import deepcopy
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelplane.adapters.providers.errors import AdapterError, RequestRefused
from modelplane.adapters.providers.types import (
    HttpAnswer,
    JsonObject,
    Plan,
    Query,
    Task,
    parse_usage,
)
from modelplane.data_plane.errors import refusal_of
from modelplane.data_plane.upstreams.streaming import ChunkShaper, encode_answer
from tests.adapters.providers.conformance import (
    CASES,
    CapturedReply,
    Gateway,
    ProviderCase,
    open_gateway,
    read_choices,
    reassemble,
)
from tests.adapters.providers.queries import JSON, ODD_VALUES, PARAMETERS, bodies
from tests.adapters.providers.reassembly import parse_stream
from tests.adapters.providers.recordings import Path, Recording, documents, paths, record, spoil
from tests.effort import times

examples = settings(
    max_examples=times(6, 250),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# Of the bytes of a stream, every fifth is where it is split or cut, every one in the long run.
PLACES = times(5, 1)
TOOLS: list[JsonObject] = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("clock", "get_weather")
]
OF_TOOLS = ("tool_choice", "parallel_tool_calls")
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_stream = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.streams and case.task != Task.EMBEDDINGS],
    ids=lambda case: case.name,
)
each_embedding = pytest.mark.parametrize(
    "case", [case for case in CASES if case.task == Task.EMBEDDINGS], ids=lambda case: case.name
)


def chunks_of(recording: Recording, *parts: bytes) -> list[dict[str, Any]]:
    """Return the canonical chunks of a stream, without what differs from run to run."""
    chunks = parse_stream(recording.adapter.stream_parser(recording.query), parts)
    return [{name: chunk[name] for name in chunk if name != "created"} for chunk in chunks]


def split(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]


@each_stream
def test_a_stream_split_anywhere_is_the_same(case: ProviderCase) -> None:
    recording = record(case.name, stream=True)
    data = recording.stream
    whole = _unnamed(chunks_of(recording, data))
    for place in range(1, len(data), PLACES):
        assert _unnamed(chunks_of(recording, data[:place], data[place:])) == whole
    assert _unnamed(chunks_of(recording, *(data[at : at + 1] for at in range(len(data))))) == whole

    @examples
    @given(st.lists(st.integers(1, 1 << 20), max_size=12))
    def check(places: list[int]) -> None:
        assert _unnamed(chunks_of(recording, *split(data, places))) == whole

    check()


def _unnamed(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out identifiers that the adapter made up, and check that one stream has one."""
    assert len({chunk.get("id") for chunk in chunks}) == 1
    return [{**chunk, "id": ""} for chunk in chunks]


@each_stream
def test_a_stream_cut_anywhere_is_truncated_or_complete(case: ProviderCase) -> None:
    recording = record(case.name, stream=True)
    data = recording.stream
    whole = reassemble(chunks_of(recording, data))
    for place in range(0, len(data), PLACES):
        try:
            chunks = chunks_of(recording, data[:place])
        except AdapterError:
            continue
        assert reassemble(chunks) == whole


@each_case
def test_any_value_in_an_answer_is_read_or_an_error(case: ProviderCase) -> None:
    recording = record(case.name, stream=False)

    def read(which: int, path: Path, value: Any) -> None:
        answers = list(recording.answers)
        known = answers[which]
        answers[which] = HttpAnswer(200, known.headers, spoil(known.body, 0, path, value))
        answer = recording.adapter.parse_answers(recording.query, answers)
        encode_answer(case.provider, "model", orjson.dumps, answer)
        parse_usage(answer)

    check_any_value([documents(answer.body)[0] for answer in recording.answers], read)


@each_stream
def test_any_value_in_a_stream_is_read_or_an_error(case: ProviderCase) -> None:
    recording = record(case.name, stream=True)

    def read(which: int, path: Path, value: Any) -> None:
        shaper = ChunkShaper(case.task, wanted=True)
        parser = recording.adapter.stream_parser(recording.query)
        for chunk in (*parser.feed(spoil(recording.stream, which, path, value)), *parser.finish()):
            if shaper.shape(chunk):
                encode_answer(case.provider, "model", orjson.dumps, chunk)

    check_any_value(documents(recording.stream), read)


def check_any_value(known: Sequence[Any], read: Callable[[int, Path, Any], None]) -> None:
    """Check that `read` raises nothing but an `AdapterError`, whatever stands in a document.

    Args:
        known: The documents.
        read: Reads them with another value at a path of the one with this number.
    """

    def check(which: int, path: Path, value: Any) -> None:
        try:
            read(which, path, value)
        except AdapterError as error:
            # What the caller is told of it.
            refusal_of(error, "request-1")

    # Of events of one form, such as the pieces of a text, the last one stands for all.
    forms = {tuple(paths(document)): which for which, document in enumerate(known)}
    for form, which in forms.items():
        for path in form:
            for value in ODD_VALUES:
                check(which, path, value)

    @examples
    @given(data=st.data())
    def check_more(data: st.DataObject) -> None:
        which = data.draw(st.integers(0, len(known) - 1))
        check(which, data.draw(st.sampled_from(paths(known[which]))), data.draw(JSON))

    check_more()


@contextmanager
def running(case: ProviderCase) -> Iterator[tuple[Gateway, asyncio.Runner]]:
    """Run a case's gateway for examples that are not asynchronous themselves."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(stack.enter_async_context(open_gateway(case))), runner
        finally:
            runner.run(stack.aclose())


async def put_query(
    gateway: Gateway, body: dict[str, Any], *, stream: bool
) -> CapturedReply | AdapterError:
    """Return the answer to a query, or the adapter's own refusal of it."""
    before = len(gateway.emulator.requests)
    # The gateway takes bodies over.
    outcome = await gateway.outcome(stream=stream, **deepcopy(body))
    if isinstance(outcome, CapturedReply):
        return outcome
    assert isinstance(outcome, RequestRefused), outcome
    # What a provider is known to refuse is not sent to it.
    assert len(gateway.emulator.requests) == before, outcome.detail
    return outcome


@each_case
def test_any_query_is_answered_or_refused_before_it_is_sent(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        @examples
        @given(body=bodies(case.task))
        def check(body: dict[str, Any]) -> None:
            whole = runner.run(put_query(gateway, body, stream=False))
            if isinstance(whole, AdapterError):
                return
            check_usage(whole.document["usage"])
            if case.task == Task.EMBEDDINGS:
                check_embeddings(whole.document, body)
                return
            check_calls(whole.document)
            if case.streams:
                check_stream(whole, runner.run(put_query(gateway, body, stream=True)), body)

        check()


def check_usage(usage: dict[str, Any]) -> None:
    prompt, completion = usage["prompt_tokens"], usage.get("completion_tokens", 0)
    assert usage["total_tokens"] == prompt + completion
    assert prompt >= 0
    assert completion >= 0
    assert (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0) <= prompt
    details = usage.get("completion_tokens_details") or {}
    assert details.get("reasoning_tokens", 0) <= completion


def check_calls(document: dict[str, Any]) -> None:
    for choice in document["choices"]:
        calls = (choice.get("message") or {}).get("tool_calls") or []
        assert len({call["id"] for call in calls}) == len(calls)
        assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in calls)
        # One that was forced may end with `stop`.
        assert calls or choice["finish_reason"] != "tool_calls"


def check_embeddings(document: dict[str, Any], body: dict[str, Any]) -> None:
    count = len(body["input"]) if isinstance(body["input"], list) else 1
    assert [one["index"] for one in document["data"]] == list(range(count))


def check_stream(
    whole: CapturedReply, streamed: CapturedReply | AdapterError, body: dict[str, Any]
) -> None:
    if isinstance(streamed, AdapterError):
        # Several prompts are several requests, of which a stream can have one only.
        assert isinstance(body.get("prompt"), list) or body.get("n", 1) > 1
        return
    assert streamed.done
    *chunks, last = streamed.chunks
    assert reassemble(chunks) == read_choices(whole.document)
    assert last["usage"] == whole.document["usage"]


@each_embedding
@pytest.mark.parametrize("count", [1, 6, 97])
def test_as_many_embeddings_come_out_as_went_in_and_in_their_order(
    case: ProviderCase, count: int
) -> None:
    # One more than providers take at once.
    texts = [f"text {index}" for index in range(count)]
    with running(case) as (gateway, runner):
        there = runner.run(gateway.ask(stream=False, input=texts)).document
        back = runner.run(gateway.ask(stream=False, input=texts[::-1])).document
    assert [one["index"] for one in there["data"]] == list(range(count))
    vectors = [one["embedding"] for one in there["data"]]
    assert [one["embedding"] for one in back["data"]] == vectors[::-1]
    assert len({str(vector) for vector in vectors}) == count
    assert there["usage"] == back["usage"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.task == Task.CHAT], ids=lambda case: case.name
)
def test_the_ids_of_calls_survive_the_way_to_the_provider_and_back(case: ProviderCase) -> None:
    with running(case) as (gateway, runner):

        def ask(*messages: Any) -> CapturedReply | Exception:
            body = {"messages": [*messages], "tools": TOOLS, "n": 1, "max_tokens": 4000}
            return runner.run(gateway.outcome(stream=False, **deepcopy(body)))

        # Emulators call what they hear the name of; some only once, some for each mention.
        asked = {"role": "user", "content": "clock get_weather clock, twice"}
        first = ask(asked)
        if isinstance(first, Exception):
            assert isinstance(first, RequestRefused)
            assert "tools" in str(first.detail)
            return
        message = first.document["choices"][0]["message"]
        ids = [call["id"] for call in message["tool_calls"]]
        assert len(set(ids)) == len(ids) > 0
        results = [
            {"role": "tool", "tool_call_id": call_id, "content": f"result {at}"}
            for at, call_id in enumerate(ids)
        ]
        # Strict emulators refuse results that do not belong to the calls before them.
        second = ask(asked, message, *results)
        assert isinstance(second, CapturedReply), second
        stray = ask(asked, message, *results, {**results[0], "tool_call_id": "another"})
        assert isinstance(stray, RequestRefused)


@each_case
def test_no_parameter_is_ignored_in_silence(case: ProviderCase) -> None:
    adapter = record(case.name, stream=False).adapter

    def plan(name: str, value: Any) -> Plan | RequestRefused:
        tools = {"tools": TOOLS} if name in OF_TOOLS else {}
        try:
            body = deepcopy({**case.body, **tools, name: value})
            return adapter.plan(Query(body, stream=False), {})
        except RequestRefused as error:
            return error

    for name, value in PARAMETERS:
        without, given_it = plan(name, None), plan(name, value)
        if isinstance(given_it, RequestRefused):
            # `max_completion_tokens` is read as `max_tokens`.
            named = {name.replace("completion_", ""), *(["tools"] if name in OF_TOOLS else [])}
            assert any(one in str(given_it.detail) for one in named), name
            continue
        assert isinstance(without, Plan)
        sent = [(one.url, one.body) for one in given_it.requests]
        unchanged = [(one.url, one.body) for one in without.requests] == sent
        assert not unchanged or any(note.startswith(name) for note in given_it.adapted), name
