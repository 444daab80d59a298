import asyncio
import json
from typing import Any

import grpc
import pytest

from modelplane.adapters.providers.http.transport import MAX_BODY_BYTES
from modelplane.adapters.shared.rpc.metadata import HTTP_STATUS, as_mapping
from tests.adapters.providers.upstream import END, EVENT_STREAM, Upstream, chunk, document
from tests.data_plane.conftest import System, bounded, collect, until_it_is_late
from tests.data_plane.messages import COMPLETIONS, endpoint, endpoint_config, snapshot
from tests.emulators.faults import LONG_PAUSE
from tests.emulators.openai import API_KEY, Fault

PROMPT = "one two three four five"
CHAT_BODY: dict[str, Any] = {"messages": [{"role": "user", "content": PROMPT}]}
DELTA = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
STREAM = CHAT_BODY | {"stream": True}


@pytest.fixture
async def served(system: System) -> System:
    text = system.entity("text", task=COMPLETIONS, model="gpt-3.5-turbo-instruct")
    await system.apply(
        snapshot(
            1,
            endpoint("chat", endpoint_config(system.entity())),
            endpoint("text", endpoint_config(text)),
        )
    )
    return system


async def test_the_stream_equals_the_whole_answer(served: System) -> None:
    whole = (await served.query("chat", CHAT_BODY)).json
    streamed = await served.query("chat", STREAM | {"stream_options": {"include_usage": True}})
    assert streamed.content_type == "text/event-stream; charset=utf-8"
    assert streamed.headers["served-model-name"] == "gpt-4"
    *chunks, usage, done = streamed.events
    assert done == "[DONE]"
    assert usage["usage"] == whole["usage"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert (
        "".join(delta.get("content") or "" for delta in deltas)
        == (whole["choices"][0]["message"]["content"])
    )
    assert ["role" in delta for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    assert {chunk["model"] for chunk in [*chunks, usage]} == {"chat"}


async def test_usage_comes_with_the_last_content_for_who_did_not_ask(served: System) -> None:
    whole = json.loads((await served.query("chat", CHAT_BODY)).messages[0])
    answer = await served.query("chat", STREAM)
    assert served.emulator.requests[-1].body["stream_options"] == {"include_usage": True}
    *chunks, last, _done = answer.events
    assert not any("usage" in chunk for chunk in chunks)
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] == whole["usage"]


async def test_usage_is_kept_from_who_wants_none(served: System) -> None:
    answer = await served.query("chat", STREAM | {"stream_options": {"include_usage": False}})
    assert all("usage" not in event for event in answer.events[:-1])
    assert all(event["choices"] for event in answer.events[:-1])


async def test_completions_stream(served: System) -> None:
    answer = await served.query("text", {"prompt": "say it", "stream": True})
    assert answer.events[-1] == "[DONE]"
    assert "".join(event["choices"][0]["text"] for event in answer.events[:-1])
    assert all("delta" not in event["choices"][0] for event in answer.events[:-1])


async def test_a_trickling_provider_makes_no_difference(served: System) -> None:
    expected = await served.query("chat", STREAM)
    served.emulator.misbehave("trickle")
    answer = await served.query("chat", STREAM)
    contents = [
        [event["choices"][0]["delta"] for event in one.events[:-1]] for one in (expected, answer)
    ]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("body", [CHAT_BODY, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("upstream", "status", "error_code"),
    [
        (400, 400, "BAD_REQUEST"),
        (401, 403, "PERMISSION_DENIED"),
        (402, 429, "RESOURCE_EXHAUSTED"),
        (403, 403, "PERMISSION_DENIED"),
        (404, 404, "NOT_FOUND"),
        (408, 504, "DEADLINE_EXCEEDED"),
        (409, 409, "RESOURCE_CONFLICT"),
        (413, 400, "BAD_REQUEST"),
        (422, 400, "BAD_REQUEST"),
        (429, 429, "REQUEST_LIMIT_EXCEEDED"),
        (500, 500, "INTERNAL_ERROR"),
        (502, 503, "TEMPORARILY_UNAVAILABLE"),
        (503, 503, "TEMPORARILY_UNAVAILABLE"),
        (504, 504, "DEADLINE_EXCEEDED"),
        (529, 503, "TEMPORARILY_UNAVAILABLE"),
    ],
)
async def test_an_upstream_error_keeps_its_class_and_its_text(
    served: System, body: object, upstream: int, status: int, error_code: str
) -> None:
    said = {"error": {"message": f"no: {API_KEY}", "type": "x", "param": None, "code": None}}
    served.emulator.fail(status=upstream, body=said, retry_after=LONG_PAUSE)
    answer = await served.query("chat", body)
    assert (answer.status, answer.error_code) == (status, error_code)
    if upstream in (401, 403):
        # No matter of the caller's own permission, so it does not read as one.
        assert answer.message.startswith("Provider 'openai' refused the credential of this endp")
        assert answer.message.endswith("The provider says: no: [redacted]")
    else:
        message = json.loads(answer.message)
        assert message["external_model_provider"] == "openai"
        assert message["external_model_error"]["error"]["message"] == "no: [redacted]"
    assert answer.headers["retry-after"] == str(LONG_PAUSE)


async def test_a_spent_quota_is_told_from_a_rate(served: System) -> None:
    served.emulator.fail(status=429, body={"error": {"code": "insufficient_quota"}})
    answer = await served.query("chat", CHAT_BODY)
    assert (answer.status, answer.error_code) == (429, "RESOURCE_EXHAUSTED")
    assert answer.headers["retry-after"] == "1"


async def test_a_long_upstream_error_is_cut_but_stays_json(served: System) -> None:
    served.emulator.fail(status=400, body={"error": {"message": "ж" * 20_000}})
    answer = await served.query("chat", CHAT_BODY)
    assert answer.status == 400
    assert json.loads(answer.message)["external_model_error"].endswith("…")


@pytest.mark.parametrize("body", [CHAT_BODY, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", ["drop", "garbage"])
async def test_no_answer_is_an_error(served: System, body: object, kind: Any) -> None:
    served.emulator.misbehave(kind)
    answer = await served.query("chat", body)
    assert answer.status in (500, 503)
    assert json.loads(answer.message)["external_model_provider"] == "openai"


async def test_a_broken_document_is_an_error(served: System) -> None:
    served.emulator.misbehave("truncate")
    assert (await served.query("chat", CHAT_BODY)).status == 503


async def test_an_unreachable_provider_is_an_error(system: System) -> None:
    entity = system.entity(openai_api_base="http://127.0.0.1:9/v1")
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    answer = await system.query("chat", CHAT_BODY)
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "could not be reached" in answer.message
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("body", [CHAT_BODY, STREAM], ids=["whole", "stream"])
async def test_a_silent_provider_times_out_and_is_hung_up_on(served: System, body: object) -> None:
    served.emulator.misbehave("stall")

    async def ask(seconds: float) -> None:
        answer = await served.query("chat", body, timeout=seconds)
        # The caller's own deadline may fire first; both say the same.
        assert answer.error_code == "DEADLINE_EXCEEDED"

    await until_it_is_late(served.emulator, ask)


@pytest.mark.parametrize("kind", ["truncate", "end_early"])
async def test_a_truncated_stream_ends_in_an_error(served: System, kind: Any) -> None:
    served.emulator.misbehave(kind, after_events=2)
    answer = await served.query("chat", STREAM)
    *_, last = answer.events
    assert last["error"]["code"] == answer.error_code == "TEMPORARILY_UNAVAILABLE"
    assert "[DONE]" not in answer.events


@pytest.mark.parametrize("kind", ["truncate", "end_early"])
async def test_a_stream_without_any_event_is_a_refusal(served: System, kind: Any) -> None:
    served.emulator.misbehave(kind, after_events=0)
    assert (await served.query("chat", STREAM)).status == 503


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ((chunk(b'data: {"error":{"message":"no","code":"x"}}\n\n'),), "INTERNAL_ERROR"),
        ((chunk(b'data: {"error":{"message":"no","code":429}}\n\n'),), "REQUEST_LIMIT_EXCEEDED"),
        ((chunk(b"data: {half\n\n"),), "INTERNAL_ERROR"),
        ((None,), "TEMPORARILY_UNAVAILABLE"),
    ],
)
async def test_a_failure_in_mid_stream_is_the_last_line_and_the_status(
    system: System, upstream: Upstream, then: tuple[bytes | None, ...], code: str
) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    upstream.say(EVENT_STREAM, chunk(DELTA))
    call = system.start_query("chat", STREAM)
    first = await call.read()
    assert json.loads(first.data.removeprefix(b"data: "))["model"] == "chat"
    upstream.say(*then)
    rest = await collect(call)
    [last] = rest.events
    assert last["error"]["code"] == rest.error_code == code
    assert last["error"]["message"] == rest.message
    assert system.registry.get_sample_value("modelplane_streamed_chunks_total") == 2


async def test_chunks_of_one_read_leave_as_one_message(system: System, upstream: Upstream) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    finish = DELTA.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    upstream.say(EVENT_STREAM + chunk(DELTA * 3 + finish + b"data: [DONE]\n\n") + END)
    answer = await system.query("chat", STREAM)
    assert len(answer.messages) == 1
    assert len(answer.events) == 5


async def test_a_missing_end_marker_is_put_in(system: System, upstream: Upstream) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    finish = DELTA.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    upstream.say(EVENT_STREAM, chunk(DELTA + finish.rstrip()), END)
    answer = await system.query("chat", STREAM)
    assert answer.events[-1] == "[DONE]"
    assert len(answer.events) == 3


@bounded(stream_idle_seconds=1.0)
async def test_comments_keep_a_stream_open_as_long_as_a_first_chunk_may_take(
    system: System, upstream: Upstream
) -> None:
    config = endpoint_config(system.entity(openai_api_base=upstream.url))
    governed = endpoint("chat", config)
    governed.ai_gateway.timeout_config.first_byte_seconds = 1
    await system.apply(snapshot(1, governed))
    upstream.say(EVENT_STREAM + chunk(DELTA))
    asking = asyncio.create_task(system.query("chat", STREAM))
    while not asking.done():
        upstream.say(chunk(b": thinking\n\n"))
        await asyncio.sleep(0.05)
    assert (await asking).events[-1]["error"]["code"] == "DEADLINE_EXCEEDED"


@bounded(stream_seconds=2.0)
async def test_a_stream_that_never_stops_talking_is_ended(
    system: System, upstream: Upstream
) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    upstream.say(EVENT_STREAM)
    asking = asyncio.create_task(system.query("chat", STREAM))
    while not asking.done():
        upstream.say(chunk(DELTA))
        await asyncio.sleep(0.05)
    last = (await asking).events[-1]["error"]
    assert (last["code"], last["message"]) == (
        "DEADLINE_EXCEEDED",
        "The stream was ended: it went on for 2 seconds.",
    )
    await upstream.seen_close.wait()


# Long, so that a slow machine reads as much as is allowed before the time of the stream is over.
COMMENT = b": " + b"x" * 1000 + b"\n"


@pytest.mark.parametrize(
    "nothing", [COMMENT, b"data:\n" + COMMENT, b"event: a\n" + COMMENT + b"data:\n\n"]
)
@pytest.mark.parametrize("first", [b"", DELTA], ids=["before", "after"])
async def test_what_says_nothing_without_end_is_no_answer(
    system: System, upstream: Upstream, nothing: bytes, first: bytes
) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    part = nothing * (MAX_BODY_BYTES // 8 // len(nothing))
    upstream.say(EVENT_STREAM + chunk(first or b"\n"), *[chunk(part)] * 10)
    answer = await system.query("chat", STREAM)
    if first:
        assert answer.events[-1]["error"]["code"] == "INTERNAL_ERROR"
    else:
        assert answer.error_code == "INTERNAL_ERROR"
    await upstream.seen_close.wait()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("said", [b'{"version": "inside"}', b'{"choices": {"key": "inside"}}'])
async def test_what_is_no_answer_to_the_task_is_not_handed_on(
    system: System, upstream: Upstream, said: bytes, *, stream: bool
) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    upstream.say(document(said, headers="content-type: application/json\r\n"))
    answer = await system.query("chat", CHAT_BODY | {"stream": stream})
    assert (answer.status, answer.error_code) == (502, "BAD_GATEWAY")
    assert "inside" not in answer.message


async def test_events_that_are_no_chunks_are_not_handed_on(
    system: System, upstream: Upstream
) -> None:
    entity = system.entity(openai_api_base=upstream.url)
    await system.apply(snapshot(1, endpoint("chat", endpoint_config(entity))))
    finish = DELTA.replace(b'"finish_reason":null', b'"finish_reason":"stop"')
    inside = b'data: {"version": "inside"}\n\n'
    upstream.say(EVENT_STREAM + chunk(inside + DELTA + inside + finish + b"data: [DONE]\n\n") + END)
    answer = await system.query("chat", STREAM)
    assert len(answer.events) == 3
    assert "inside" not in json.dumps(answer.events)


async def test_an_error_as_the_first_event_is_a_refusal(served: System) -> None:
    served.emulator.misbehave("error_event", after_events=0)
    assert (await served.query("chat", STREAM)).status == 500


@bounded(stream_idle_seconds=1.0)
async def test_an_idle_stream_ends_in_an_error(served: System) -> None:
    served.emulator.misbehave("stall_stream", after_events=2)
    answer = await served.query("chat", STREAM)
    assert answer.events[-1]["error"]["code"] == "DEADLINE_EXCEEDED"
    await served.emulator.seen_cancelled.wait()


async def test_chunks_arrive_while_the_provider_still_streams(served: System) -> None:
    served.emulator.misbehave("stall_stream", after_events=1)
    call = served.start_query("chat", STREAM)
    first = await call.read()
    assert first.data.startswith(b"data: {")
    call.cancel()


@pytest.mark.parametrize("kind", ["stall", "stall_stream"])
async def test_a_caller_who_leaves_ends_the_call_to_the_provider(served: System, kind: Any) -> None:
    served.emulator.faults.put("gpt-4", Fault(kind, after_events=1))
    call = served.start_query("chat", STREAM)
    if kind == "stall_stream":
        await call.read()
    else:
        while not served.emulator.requests:
            await asyncio.sleep(0.01)
    call.cancel()
    await served.emulator.seen_cancelled.wait()
    assert served.emulator.cancelled == 1


async def test_a_call_in_flight_ends_on_its_own_configuration(served: System) -> None:
    served.emulator.misbehave("stall_stream", after_events=1, times=1)
    call = served.start_query("chat", STREAM)
    await call.read()
    await served.apply(snapshot(2, endpoint("chat", endpoint_config(served.entity(), version=2))))
    headers = as_mapping(await call.initial_metadata())
    assert headers["x-modelplane-config-version"] == "1"
    later = await served.query("chat", CHAT_BODY)
    assert later.headers["x-modelplane-config-version"] == "2"
    call.cancel()


async def test_a_bug_shows_the_request_id_and_nothing_else(
    served: System, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_body: bytes) -> object:
        raise KeyError(PROMPT)

    monkeypatch.setattr("modelplane.data_plane.invocation.parse_body", broken)
    answer = await served.query("chat", CHAT_BODY, x_request_id="req-9")
    assert (answer.status, answer.error_code) == (500, "INTERNAL_ERROR")
    assert "req-9" in answer.message
    assert "three" not in answer.message
    [record] = [
        record for record in caplog.records if record.name == "modelplane.data_plane.calls.refusals"
    ]
    assert record.__dict__["fields"]["error"] == "KeyError"
    assert "three" not in repr([record.__dict__ for record in caplog.records])


async def test_a_grpc_caller_sees_grpc_statuses(served: System) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.start_query("nothing", CHAT_BODY).read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert as_mapping(caught.value.trailing_metadata())[HTTP_STATUS] == "404"
