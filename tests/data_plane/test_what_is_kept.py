"""Calls leave nothing behind that only a collection of garbage would find.

Garbage is collected by the number of objects (`process.py`), not by their bytes: what calls leave
in cycles, bodies of 16 MiB say, would fill the memory long before.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType

import httpx
import pytest
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig, FallbackConfig, RetryConfig

from tests.data_plane.conftest import System, bounded, metadata
from tests.data_plane.envoy import Bridge
from tests.data_plane.messages import endpoint, endpoint_config, snapshot
from tests.emulators.faults import Fault

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}
STREAM = HELLO | {"stream": True}
# What a library raises there holds itself, and no call.
FREE = "ConnectionPool._reach"


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def in_cycles() -> set[str]:
    """Return which of our functions are held by nothing but cycles."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    codes = {one.f_code for one in gc.garbage if isinstance(one, FrameType)}
    gc.garbage.clear()
    return {code.co_qualname for code in codes if "/src/modelplane/" in code.co_filename} - {FREE}


@pytest.fixture
async def served(system: System) -> System:
    away = system.entity("away", openai_api_base="http://127.0.0.1:1/v1")
    two = [system.entity("first"), system.entity("second", model="gpt-4o")]
    once = RetryConfig(max_retries=1)
    fallback = AiGatewayConfig(fallback_config=FallbackConfig(enabled=True), retry_config=once)
    await system.apply(
        snapshot(
            1,
            endpoint(
                "chat", endpoint_config(*two[:1]), ai_gateway=AiGatewayConfig(retry_config=once)
            ),
            endpoint("away", endpoint_config(away)),
            endpoint(
                "two", endpoint_config(*two, split={"first": 100, "second": 0}), ai_gateway=fallback
            ),
        )
    )
    return system


Act = Callable[[System, Bridge], Awaitable[int]]


def query(body: object = HELLO, fault: Fault | None = None, name: str = "chat") -> Act:
    """Return what queries an endpoint over gRPC, perhaps while its provider misbehaves."""

    async def act(system: System, _: Bridge) -> int:
        if fault:
            system.emulator.faults.put("gpt-4", fault)
        return (await system.query(name, body)).status

    return act


def post(path: str, body: bytes, fault: Fault | None = None) -> Act:
    """Return what does the same over REST."""

    async def act(system: System, bridge: Bridge) -> int:
        if fault:
            system.emulator.faults.put("gpt-4", fault)
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"http://{bridge.target}{path}"
            return (await client.post(url, content=body, headers=dict(metadata()))).status_code

    return act


async def cancel(system: System, _: Bridge) -> int:
    system.emulator.faults.put("gpt-4", Fault("stall"))
    call = system.start_query("chat", HELLO)
    while not system.emulator.requests:
        await asyncio.sleep(0.01)
    call.cancel()
    while not system.emulator.cancelled:
        await asyncio.sleep(0.01)
    return 0


INVOKE = "/serving-endpoints/chat/invocations"
MESSAGES = "/serving-endpoints/anthropic/v1/messages"
ASKED = b'{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"a"}]}'


@pytest.mark.parametrize(
    ("act", "status"),
    [
        pytest.param(query(), 200, id="answered"),
        pytest.param(query(STREAM), 200, id="streamed"),
        pytest.param(post(MESSAGES, ASKED), 200, id="native, answered"),
        pytest.param(query(b"{"), 400, id="no JSON"),
        pytest.param(query(name="nobody"), 404, id="no endpoint"),
        pytest.param(query({"messages": 1}), 400, id="no messages"),
        pytest.param(query(fault=Fault("status", 400)), 400, id="refused"),
        pytest.param(query(fault=Fault("status", 429)), 429, id="busy"),
        pytest.param(query(fault=Fault("status", 500)), 500, id="broken"),
        pytest.param(query(fault=Fault("garbage")), 500, id="garbage"),
        pytest.param(query(fault=Fault("drop")), 503, id="dropped"),
        pytest.param(query(name="away"), 503, id="away"),
        pytest.param(query(name="two", fault=Fault("status", 500)), 200, id="another answers"),
        pytest.param(query(STREAM, Fault("status", 500)), 500, id="no stream"),
        pytest.param(query(STREAM, Fault("garbage")), 500, id="stream of garbage"),
        pytest.param(query(STREAM, Fault("truncate", after_events=2)), 503, id="cut off"),
        pytest.param(query(STREAM, Fault("end_early", after_events=2)), 503, id="ended early"),
        pytest.param(
            query(STREAM, Fault("error_event", after_events=2)), 503, id="told in between"
        ),
        pytest.param(query(STREAM, Fault("stall_stream", after_events=2)), 504, id="stalled"),
        pytest.param(cancel, 0, id="cancelled"),
        pytest.param(post(INVOKE, b"{"), 400, id="REST"),
        pytest.param(post(INVOKE, b"[" * 9000), 400, id="REST, deep"),
        pytest.param(post(MESSAGES, b"{"), 400, id="native"),
        pytest.param(post(MESSAGES, ASKED, Fault("status", 500)), 500, id="native, broken"),
    ],
)
@pytest.mark.usefixtures("uncollected")
@bounded(stream_idle_seconds=1.0)
async def test_a_call_is_held_by_no_cycle(
    served: System, bridge: Bridge, act: Act, status: int
) -> None:
    gc.collect()
    assert await act(served, bridge) == status
    # What a host still has to say of it.
    await asyncio.sleep(0)
    assert not in_cycles()
