"""Attacks by a tenant without rights, while another tenant's calls go on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from bench.http_client import HttpAnswer
from tests.effort import times
from tests.hostile.conftest import HONEST
from tests.hostile.honest import honest_calls
from tests.hostile.stage import CHAT, ENDPOINTS, MIB, Stage, Tenant, error_of, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Ways to write this machine; the last one is judged when it is resolved.
HERE = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433")


def _at(url: str) -> object:
    model = {
        "name": "gpt-4o",
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_key_plaintext": "k", "openai_api_base": url},
    }
    return {"served_entities": [{"name": "own", "external_model": model}]}


async def test_the_deployments_own_ports_as_upstreams(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    ports = json.loads((stage.system.directory / "ports.json").read_text())
    ports["public"] = stage.port
    async with honest_calls(honest, HONEST, "own ports as upstreams"):
        for name, port in ports.items():
            for host in HERE:
                body = {"name": f"own-{name}", "config": _at(f"http://{host}:{port}/v1")}
                refused = await mallory.call("POST", ENDPOINTS, body)
                assert refused.status == 400, (host, name, refused)
                assert "leads into this deployment itself" in error_of(refused)["message"]
        # Whoever is allowed to use this machine still may, on other ports.
        await mallory.create("beside-own-ports")
        query = "/serving-endpoints/beside-own-ports/invocations"
        assert (await mallory.call("POST", query, CHAT)).status == 200


async def test_texts_that_would_fill_every_list(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    before = stage.memory()
    config = json.loads(json.dumps(_at("https://example.com/v1")))
    config["served_entities"][0]["external_model"]["name"] = "m" * 1_000_000
    async with honest_calls(honest, HONEST, "texts that would fill every list") as calls:
        for number in range(times(9, 90)):
            body = {"name": f"big-{number}", "config": config}
            refused = await mallory.call("POST", ENDPOINTS, body)
            assert (refused.status, "external_model.name" in error_of(refused)["message"]) == (
                400,
                True,
            )
        assert (await honest.call("GET", ENDPOINTS)).status == 200
        await calls.wait_for(10)
    _check_memory(stage, before)


async def test_bodies_that_take_long_to_parse(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    before, pids = stage.memory(), stage.pids()
    values: list[dict[str, str]] = [{}] * (5 * MIB)
    async with honest_calls(honest, HONEST, "bodies that take long to parse") as calls:

        async def send(name: str) -> list[HttpAnswer]:
            path = f"/serving-endpoints/{name}/invocations"
            return [
                await mallory.call("POST", path, {"messages": values}) for _ in range(times(2, 10))
            ]

        answers = await asyncio.gather(send("nope"), send("nope"), send(HONEST))
        await calls.wait_for(20)
    assert {answer.status for some in answers for answer in some} <= {400, 403, 404, 429}
    assert stage.pids() == pids
    _check_memory(stage, before)


async def test_refused_bodies_are_let_go_at_once(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    before, pids = stage.memory(), stage.pids()
    # As if it had more values than a body may have.
    body = {"model": "nope", "input": "," * (15 * MIB)}
    async with honest_calls(honest, HONEST, "bodies that are refused") as calls:
        for _ in range(times(14, 80)):
            refused = await mallory.call("POST", "/serving-endpoints/chat/completions", body)
            assert refused.status == 400, refused
        await calls.wait_for(10)
    assert stage.pids() == pids
    _check_memory(stage, before)


async def test_texts_in_many_parts_that_guardrails_look_through(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    before, pids = stage.memory(), stage.pids()
    await mallory.create("guarded")
    pii = {"guardrails": {"input": {"pii": {"behavior": "BLOCK"}}}}
    put = await mallory.call("PUT", f"{ENDPOINTS}/guarded/ai-gateway", pii)
    assert put.status == 200, put
    parts = [{"type": "text", "text": "x"}] * 20_000
    body = {"messages": [{"role": "user", "content": parts}]}
    path = "/serving-endpoints/guarded/invocations"
    async with honest_calls(honest, HONEST, "texts in many parts") as calls:
        for _ in range(times(2, 10)):
            asked = (mallory.call("POST", path, body) for _ in range(2))
            assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        await calls.wait_for(10)
    assert stage.pids() == pids
    _check_memory(stage, before)


async def test_a_provider_whose_stream_never_says_anything(
    stage: Stage, honest: Tenant, mallory: Tenant
) -> None:
    before, pids = stage.memory(), stage.pids()
    async with _empty_lines() as url:
        created = await mallory.call("POST", ENDPOINTS, {"name": "empty", "config": _at(url)})
        assert created.status == 200, created
        async with honest_calls(honest, HONEST, "a stream of empty lines") as calls:
            query = "/serving-endpoints/empty/invocations"

            async def is_cut_off() -> bool:
                answer = await mallory.call("POST", query, {**CHAT, "stream": True})
                # Told by a status, or by the last event of a stream that had begun.
                return answer.status in (500, 502) or b'"error"' in answer.body

            await until(is_cut_off)
            await calls.wait_for(20)
    assert stage.pids() == pids
    _check_memory(stage, before)


def _check_memory(stage: Stage, before: dict[str, int]) -> None:
    """Check that no more is held than some bodies under way, and what the allocator keeps."""
    grown = sum(size - before.get(name, 0) for name, size in stage.memory().items())
    assert grown < 200 * MIB


@contextlib.asynccontextmanager
async def _empty_lines() -> AsyncIterator[str]:
    """Serve streams of empty data without end; yield the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            while True:
                writer.write(b"data:\n" * 10_000)
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}/v1"
    finally:
        server.close()
