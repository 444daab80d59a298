"""What happens when upstreams fail, through a whole worker with the emulator behind it."""

import asyncio
from contextlib import suppress
from typing import Any, cast

import pytest
from modelserving.v1.ai_gateway_pb2 import (
    AiGatewayConfig,
    FallbackConfig,
    RetryConfig,
    TimeoutConfig,
)

from tests.adapters.providers.upstream import document
from tests.data_plane.conftest import Answer, System
from tests.data_plane.messages import endpoint, endpoint_config, snapshot
from tests.emulators.faults import Fault

BODY = {"messages": [{"role": "user", "content": "hello"}]}
MODELS = {"first": "gpt-4", "second": "gpt-4o", "third": "gpt-4o-mini"}
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def serve(
    system: System,
    *names: str,
    split: dict[str, int] | None = None,
    fallback: bool = True,
    retries: int = 0,
    **timeouts: float,
) -> None:
    gateway = AiGatewayConfig(
        fallback_config=FallbackConfig(enabled=fallback),
        retry_config=RetryConfig(max_retries=retries),
        timeout_config=TimeoutConfig(**timeouts),
    )
    entities = [system.entity(name, model=MODELS[name]) for name in names]
    shares = split or {name: 100 if name == names[0] else 0 for name in names}
    config = endpoint_config(*entities, split=shares if len(names) > 1 else None)
    await system.apply(snapshot(1, endpoint("chat", config, ai_gateway=gateway)))


async def ask(system: System, *, stream: bool = False, **options: Any) -> Answer:
    return await system.query("chat", BODY | {"stream": stream}, **options)


def asked(system: System) -> list[str]:
    return [str(request.body["model"]) for request in system.emulator.requests]


def retries(system: System, error: str) -> float | None:
    return system.registry.get_sample_value("modelplane_retries_total", {"error": error})


@MODES
@pytest.mark.parametrize("status", [429, 500, 503, 401, 404])
async def test_another_entity_answers_where_the_first_cannot(
    system: System, status: int, *, stream: bool
) -> None:
    await serve(system, "first", "second", "third")
    system.emulator.faults.put("gpt-4", Fault("status", status=status))
    answer = await ask(system, stream=stream)
    assert answer.status == 200
    assert answer.headers["served-model-name"] == "second"
    assert answer.headers["x-modelplane-attempts"] == "2"
    assert answer.headers["x-modelplane-attempt-errors"].startswith("first=")
    assert asked(system) == ["gpt-4", "gpt-4o"]


@MODES
async def test_a_callers_mistake_is_no_reason_to_ask_another(
    system: System, *, stream: bool
) -> None:
    await serve(system, "first", "second", retries=2)
    system.emulator.faults.put("gpt-4", Fault("status", status=400))
    answer = await ask(system, stream=stream)
    assert (answer.status, answer.error_code) == (400, "BAD_REQUEST")
    assert asked(system) == ["gpt-4"]


@MODES
async def test_each_entity_is_asked_once_and_at_most_three_are(
    system: System, *, stream: bool
) -> None:
    models = {**MODELS, "fourth": "gpt-3.5-turbo"}
    entities = [system.entity(name, model=model) for name, model in models.items()]
    split = {"first": 0, "second": 0, "third": 100, "fourth": 0}
    gateway = AiGatewayConfig(
        fallback_config=FallbackConfig(enabled=True), retry_config=RetryConfig(max_retries=0)
    )
    config = endpoint_config(*entities, split=split)
    await system.apply(snapshot(1, endpoint("chat", config, ai_gateway=gateway)))
    system.emulator.faults.put("*", Fault("status", status=503))
    answer = await ask(system, stream=stream)
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert asked(system) == ["gpt-4o-mini", "gpt-3.5-turbo", "gpt-4"]
    errors = "third=ProviderUnavailable, fourth=ProviderUnavailable, first=ProviderUnavailable"
    assert answer.headers["x-modelplane-attempts"] == "3"
    assert answer.headers["x-modelplane-attempt-errors"] == errors


async def test_without_fallback_nobody_else_is_asked(system: System) -> None:
    await serve(system, "first", "second", fallback=False)
    system.emulator.faults.put("gpt-4", Fault("status", status=503))
    assert (await ask(system)).status == 503
    assert asked(system) == ["gpt-4"]


async def test_an_entity_named_in_the_path_is_not_replaced(system: System) -> None:
    await serve(system, "first", "second")
    system.emulator.faults.put("gpt-4", Fault("status", status=503))
    assert (await ask(system, served="first")).status == 503
    assert asked(system) == ["gpt-4"]


@MODES
async def test_the_same_entity_is_asked_again(system: System, *, stream: bool) -> None:
    await serve(system, "first", retries=2)
    system.emulator.faults.put("gpt-4", Fault("status", status=500, times=2))
    answer = await ask(system, stream=stream)
    assert answer.status == 200
    assert answer.headers["x-modelplane-attempts"] == "3"
    expected = "first=ProviderFailed, first=ProviderFailed"
    assert answer.headers["x-modelplane-attempt-errors"] == expected
    assert retries(system, "ProviderFailed") == 2


class Fickle:
    """Answers one request on each connection, and hangs up on the next."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError):
            await self._hear(reader)
            writer.write(document(b'{"choices": [{"index": 0, "message": {"content": "hi"}}]}'))
            await self._hear(reader)
        writer.close()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        self.requests += 1


async def test_a_request_on_a_connection_given_up_meanwhile_is_sent_again_and_told(
    system: System,
) -> None:
    fickle = Fickle()
    server = await asyncio.start_server(fickle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    never = AiGatewayConfig(retry_config=RetryConfig(max_retries=0))
    config = endpoint_config(system.entity("first", openai_api_base=url))
    await system.apply(snapshot(1, endpoint("chat", config, ai_gateway=never)))
    async with server:
        assert "x-modelplane-attempts" not in (await ask(system)).headers
        answer = await ask(system)
    assert answer.status == 200
    assert answer.headers["x-modelplane-attempts"] == "2"
    assert answer.headers["x-modelplane-attempt-errors"] == "first=StaleConnection"
    assert retries(system, "StaleConnection") == 1
    assert (fickle.requests, fickle.connections) == (3, 2)


async def test_a_connection_that_drops_is_tried_again(system: System) -> None:
    await serve(system, "first", retries=1)
    system.emulator.faults.put("gpt-4", Fault("drop", times=1))
    assert (await ask(system)).status == 200


@pytest.mark.parametrize(
    ("seconds", "patience", "calls"), [("1", 50, 2), ("3600", 50, 1), ("40", 30, 1)]
)
async def test_retry_after_is_honoured_where_it_fits(
    system: System, seconds: str, patience: float, calls: int
) -> None:
    await serve(system, "first", retries=1)
    fault = Fault("status", status=429, headers={"retry-after": seconds}, times=1)
    system.emulator.faults.put("gpt-4", fault)
    answer = await ask(system, timeout=patience)
    assert len(asked(system)) == calls
    assert answer.status == (200 if calls == 2 else 429)


async def test_what_has_begun_is_not_begun_again(system: System) -> None:
    await serve(system, "first", "second", retries=2)
    system.emulator.faults.put("gpt-4", Fault("error_event", after_events=1))
    answer = await ask(system, stream=True)
    assert "error" in answer.events[-1]
    assert asked(system) == ["gpt-4"]


@MODES
async def test_a_stalled_upstream_leaves_time_for_the_next(system: System, *, stream: bool) -> None:
    system.emulator.faults.put("gpt-4", Fault("stall"))
    # A busy machine may be slower than an upstream may be: then with more.
    for seconds in (0.3, 3.0, 30.0):
        await serve(system, "first", "second", first_byte_seconds=seconds)
        if (answer := await ask(system, stream=stream)).status == 200:
            break
    assert answer.headers["served-model-name"] == "second"
    assert answer.headers["x-modelplane-attempt-errors"] == "first=DeadlineExceeded"


async def test_half_of_the_callers_time_is_kept_for_a_fallback(system: System) -> None:
    await serve(system, "first", "second")
    system.emulator.faults.put("gpt-4", Fault("stall"))
    # A busy machine may need more than half.
    for seconds in (1.0, 10.0, 60.0):
        if (answer := await ask(system, timeout=seconds)).status == 200:
            break
    assert answer.headers["served-model-name"] == "second"


async def test_an_endpoint_may_bound_the_pauses_of_a_stream(system: System) -> None:
    await serve(system, "first", idle_seconds=0.2)
    system.emulator.faults.put("gpt-4", Fault("stall_stream", after_events=1))
    answer = await ask(system, stream=True)
    assert "within 0.2 seconds" in answer.events[-1]["error"]["message"]


async def test_a_broken_upstream_is_left_alone(system: System) -> None:
    await serve(system, "first")
    system.emulator.faults.put("gpt-4", Fault("status", status=500))
    for _ in range(5):
        assert (await ask(system)).status == 500
    answer = await ask(system)
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert "'first' has failed too often" in answer.message
    assert len(asked(system)) == 5
    opened = system.registry.get_sample_value("modelplane_circuit_changes_total", {"state": "open"})
    assert opened == 1


async def test_a_broken_upstream_is_passed_over(system: System) -> None:
    await serve(system, "first", "second")
    system.emulator.faults.put("gpt-4", Fault("status", status=500))
    for _ in range(20):
        assert (await ask(system)).status == 200
    assert asked(system).count("gpt-4") == 5


@pytest.mark.parametrize("status", [400, 404, 429])
async def test_refusals_do_not_break_an_upstream(system: System, status: int) -> None:
    await serve(system, "first")
    system.emulator.faults.put("gpt-4", Fault("status", status=status))
    for _ in range(10):
        assert (await ask(system)).status == status
    system.emulator.faults.clear()
    assert (await ask(system)).status == 200


MODEL_ERROR = {"error": {"message": "invalid content", "type": "model_error", "code": None}}


@MODES
async def test_a_conversation_that_the_model_fails_at_closes_nothing_to_others(
    system: System, *, stream: bool
) -> None:
    await serve(system, "first", retries=2)
    system.emulator.faults.put("gpt-4", Fault("status", status=500, body=MODEL_ERROR))
    for _ in range(5):
        answer = await ask(system, stream=stream)
        assert answer.status == 500
        # Each is billed: one more try may help, a third hardly.
        assert int(answer.headers["x-modelplane-attempts"]) <= 2
    system.emulator.faults.clear()
    assert (await ask(system, stream=stream)).status == 200


async def test_an_answer_that_would_be_the_same_is_not_asked_for_again(system: System) -> None:
    await serve(system, "first", "second", retries=2)
    system.emulator.faults.put("gpt-4", Fault("status", status=200, body=cast("Any", [])))
    for _ in range(10):
        answer = await ask(system)
        assert answer.headers["served-model-name"] == "second"
        assert answer.headers["x-modelplane-attempt-errors"] == "first=MalformedAnswer"
    assert asked(system) == ["gpt-4", "gpt-4o"] * 10


async def test_a_call_is_held_against_an_upstream_once(system: System) -> None:
    await serve(system, "first", retries=2)
    system.emulator.faults.put("gpt-4", Fault("status", status=500))
    for _ in range(4):
        assert (await ask(system)).status == 500
    system.emulator.faults.clear()
    assert (await ask(system)).status == 200


async def test_calls_of_one_routing_key_go_to_one_entity(system: System) -> None:
    await serve(system, "first", "second", split={"first": 50, "second": 50}, fallback=False)
    served = {}
    for key in map(str, range(20)):
        names = {
            (await ask(system, x_routing_key=key)).headers["served-model-name"] for _ in range(2)
        }
        [served[key]] = names
    assert set(served.values()) == {"first", "second"}
