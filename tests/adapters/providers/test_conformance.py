"""The conformance suite: all providers, tasks and modes, through the real data plane."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from modelserving.v1.external_model_pb2 import ExternalModel
from modelserving.v1.rules_pb2 import ProviderRules, provider_rules

from modelplane.adapters.providers.errors import (
    AdapterError,
    ProviderFailed,
    ProviderUnavailable,
    RateLimited,
    RequestRefused,
    StreamTruncated,
    classify,
)
from modelplane.adapters.providers.registry import FACTORIES
from modelplane.adapters.providers.types import Task
from modelplane.data_plane.errors import DeadlineExceeded, refusal_of
from tests.adapters.providers.conformance import (
    CASES,
    ENDPOINT,
    CapturedReply,
    ProviderCase,
    cases_of,
    open_gateway,
    read_choices,
    reassemble,
)

STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
MOST_EVENTS = 100
SERVED = sorted(FACTORIES)

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_stream = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.streams and case.task != Task.EMBEDDINGS],
    ids=lambda case: case.name,
)
each_mode = pytest.mark.parametrize(
    ("case", "stream"),
    [
        pytest.param(case, stream, id=f"{case.name}-{'stream' if stream else 'whole'}")
        for case in CASES
        for stream in ((False, True) if case.streams and case.task != Task.EMBEDDINGS else (False,))
    ],
)


def rules() -> Mapping[str, ProviderRules]:
    configs = ExternalModel.DESCRIPTOR.oneofs_by_name["provider_config"].fields
    messages = [field.message_type for field in configs if field.message_type is not None]
    declared = [message.GetOptions().Extensions[provider_rules] for message in messages]
    return {one.provider: one for one in declared}


@pytest.mark.parametrize("provider", SERVED)
def test_each_task_of_a_provider_has_a_case(provider: str) -> None:
    assert {case.task for case in cases_of(provider)} == set(rules()[provider].tasks)
    assert {case.provider for case in cases_of(provider)} == {provider}


@each_mode
async def test_it_answers(case: ProviderCase, *, stream: bool) -> None:
    async with open_gateway(case) as gateway:
        answer = await gateway.ask(stream=stream)
        if not stream:
            assert answer.document["model"] == ENDPOINT
            assert answer.document["usage"]["total_tokens"] > 0
            return
        assert answer.done
        *chunks, last = answer.chunks
        assert last["choices"] == []
        assert {chunk["model"] for chunk in [*chunks, last]} == {ENDPOINT}
        assert all(chunk["id"] and "created" in chunk for chunk in chunks)
        whole = (await gateway.ask(stream=False)).document
        assert reassemble(chunks) == read_choices(whole)
        assert last["usage"] == whole["usage"]


@each_case
async def test_a_stream_that_the_provider_does_not_have_is_refused(case: ProviderCase) -> None:
    if case.streams or case.task == Task.EMBEDDINGS:
        return
    async with open_gateway(case) as gateway:
        with pytest.raises(RequestRefused) as refused:
            await gateway.ask(stream=True)
        assert "stream" in str(refused.value.detail)
        assert not gateway.emulator.requests


@each_mode
async def test_each_error_has_its_class(case: ProviderCase, *, stream: bool) -> None:
    expected = {status: case.statuses.get(status, classify(status)) for status in STATUSES}
    found: dict[int, type] = {}
    async with open_gateway(case) as gateway:
        for status in STATUSES:
            gateway.emulator.fail(status=status)
            outcome = await gateway.outcome(stream=stream)
            found[status] = type(outcome)
            assert isinstance(outcome, AdapterError)
            assert outcome.provider == case.provider
            assert outcome.detail
    assert found == expected


@each_mode
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 10:00:09 GMT",
                "Date": "Sat, 21 Nov 2026 10:00:00 GMT",
            },
            9,
        ),
        ({"retry-after-ms": "1500"}, 2),
        ({"Retry-After": "soon"}, None),
    ],
    ids=["seconds", "date", "milliseconds", "nonsense"],
)
async def test_retry_after(
    case: ProviderCase, headers: Mapping[str, str], seconds: int | None, *, stream: bool
) -> None:
    async with open_gateway(case) as gateway:
        gateway.emulator.fail(status=429, headers=headers)
        outcome = await gateway.outcome(stream=stream)
        assert isinstance(outcome, case.statuses.get(429, RateLimited))
        assert outcome.retry_after == seconds


@each_mode
async def test_an_error_does_not_repeat_the_credential(case: ProviderCase, *, stream: bool) -> None:
    if not case.secret:
        return
    async with open_gateway(case) as gateway:
        gateway.emulator.fail(status=400, body={"message": f"no: {case.secret}"})
        outcome = await gateway.outcome(stream=stream)
        assert isinstance(outcome, AdapterError)
        assert case.secret not in f"{outcome.detail!r} {refusal_of(outcome, 'r').message}"


@each_stream
async def test_an_error_inside_a_stream_does_not_repeat_the_credential(case: ProviderCase) -> None:
    if not case.secret or not case.error_event:
        return
    text = f"no: {case.secret}"
    said = {"message": text, "error": {"type": "api_error", "message": text}}
    async with open_gateway(case) as gateway:
        for count in range(3):
            gateway.emulator.misbehave("error_event", body=said, after_events=count)
            outcome = await gateway.outcome(stream=True)
            if isinstance(outcome, CapturedReply):
                assert outcome.refusal is not None
                told = f"{outcome.refusal.message} {outcome.chunks!r}"
            else:
                assert isinstance(outcome, AdapterError)
                told = f"{outcome.detail!r} {refusal_of(outcome, 'r').message}"
            assert case.secret not in told
            assert "no: [redacted]" in told


@each_mode
async def test_silence_is_bounded(case: ProviderCase, *, stream: bool) -> None:
    async with open_gateway(case, answer_seconds=0.05) as gateway:
        gateway.emulator.misbehave("stall")
        assert isinstance(await gateway.outcome(stream=stream), DeadlineExceeded)


@each_mode
async def test_garbage_is_no_answer(case: ProviderCase, *, stream: bool) -> None:
    async with open_gateway(case) as gateway:
        gateway.emulator.misbehave("garbage")
        outcome = await gateway.outcome(stream=stream)
        assert isinstance(outcome, ProviderFailed | StreamTruncated)


@each_mode
async def test_a_connection_that_drops_is_no_answer(case: ProviderCase, *, stream: bool) -> None:
    async with open_gateway(case) as gateway:
        gateway.emulator.misbehave("drop")
        assert isinstance(await gateway.outcome(stream=stream), ProviderUnavailable)


@each_case
async def test_half_a_document_is_no_answer(case: ProviderCase) -> None:
    async with open_gateway(case) as gateway:
        gateway.emulator.misbehave("truncate")
        assert isinstance(await gateway.outcome(stream=False), ProviderUnavailable)


@each_mode
async def test_an_answer_byte_by_byte_is_the_same(case: ProviderCase, *, stream: bool) -> None:
    async with open_gateway(case) as gateway:
        whole = await gateway.ask(stream=stream)
        gateway.emulator.misbehave("trickle")
        slow = await gateway.ask(stream=stream)
        if stream:
            assert slow.done
            assert reassemble(slow.chunks) == reassemble(whole.chunks)
        else:
            assert slow.document.keys() == whole.document.keys()


@each_stream
@pytest.mark.parametrize("kind", ["truncate", "end_early"])
async def test_a_truncated_stream_is_never_a_success(case: ProviderCase, kind: Any) -> None:
    async with open_gateway(case) as gateway:
        complete = reassemble((await gateway.ask(stream=True)).chunks)
        succeeded = False
        for count in range(MOST_EVENTS):
            gateway.emulator.misbehave(kind, after_events=count)
            outcome = await gateway.outcome(stream=True)
            succeeded = _is_success(outcome)
            if succeeded:
                # Only what comes after the answer itself may be missing.
                assert isinstance(outcome, CapturedReply)
                assert reassemble(outcome.chunks) == complete
                break
            assert count == 0 or isinstance(outcome, CapturedReply | StreamTruncated | AdapterError)
        assert succeeded or kind == "truncate"
        assert count > 1


@each_stream
async def test_an_error_inside_a_stream_ends_it(case: ProviderCase) -> None:
    if not case.error_event:
        return
    async with open_gateway(case) as gateway:
        for count in range(3):
            gateway.emulator.misbehave("error_event", after_events=count)
            outcome = await gateway.outcome(stream=True)
            assert not _is_success(outcome)
            if isinstance(outcome, Exception):
                assert isinstance(outcome, AdapterError)
                assert not isinstance(outcome, StreamTruncated)


def _is_success(outcome: CapturedReply | Exception) -> bool:
    """Return whether a stream ended well; what did not must say so exactly once."""
    if isinstance(outcome, Exception):
        assert isinstance(outcome, AdapterError)
        return False
    assert outcome.done == (outcome.refusal is None)
    return outcome.done


@each_mode
@pytest.mark.parametrize("kind", ["stall", "stall_stream"])
async def test_cancellation_reaches_the_provider(
    case: ProviderCase, kind: Any, *, stream: bool
) -> None:
    async with open_gateway(case) as gateway:
        # The first query fetches the credential, where there is one to fetch.
        await gateway.ask(stream=stream)
        count = len(gateway.emulator.requests)
        gateway.emulator.misbehave(kind, after_events=1)
        call = asyncio.create_task(gateway.ask(stream=stream))
        await _until(lambda: len(gateway.emulator.requests) > count)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await _until(lambda: gateway.emulator.cancelled > 0)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)
