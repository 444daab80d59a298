"""What is asked of wrk and of grpcio's client, and what is made of what they tell."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from modelserving.v1 import model_service_pb2
from modelserving.v1.chat_pb2 import ChatCompletion, ChatRequest

from bench.grpc_load import TypedCall, call_loop
from bench.load import LoadResult, Request, closed_loop, open_loop, run_generator, wrk_version

_SERVICE = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
_Context: TypeAlias = "grpc.aio.ServicerContext[ChatRequest, ChatCompletion]"
REQUEST = Request("http://127.0.0.1:1/v1", {"authorization": "Bearer t"}, {"stream": True})
# Stands for wrk: keeps its arguments and what the file for the body holds.
_WRK = """#!/bin/sh
for argument; do
  case $argument in
    */modelplane-load-*) cat "$argument"; echo ;;
    *) printf '%s\\n' "$argument" ;;
  esac
done > "$0.told"
echo "Running 2s test"
echo '{"seconds": 2.0, "requests": 10, "failures": 1, "p50": 0.1, "p99": 0.2, "p99_9": 0.3}'
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Return what the program in wrk's place was given."""
    program = tmp_path / "wrk"
    program.write_text(_WRK)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return lambda: (tmp_path / "wrk.told").read_text().splitlines()


async def test_a_closed_loop_has_connections_and_a_time(told: Callable[[], list[str]]) -> None:
    result = await closed_loop(REQUEST, 16, 2)
    assert result == LoadResult(2.0, 10, failures=1, p50=0.1, p99=0.2, p99_9=0.3)
    assert result.rate == 5
    *options, url, dashes, body = told()
    assert {"--connections=16", "--duration=2s", "--header=authorization: Bearer t"} < set(options)
    assert (url, dashes, json.loads(body)) == (REQUEST.url, "--", REQUEST.body)


def test_wrk_tells_its_version(told: Callable[[], list[str]]) -> None:
    assert wrk_version() == "Running 2s"
    assert told() == ["-v"]


async def test_an_open_loop_has_a_rate(told: Callable[[], list[str]]) -> None:
    await open_loop(REQUEST, 12.5, 2)
    *_, url, dashes, body, rate = told()
    assert (url, dashes, json.loads(body), rate) == (REQUEST.url, "--", REQUEST.body, "12.5")


async def test_a_generator_that_fails_is_told_of_with_what_it_wrote() -> None:
    with pytest.raises(RuntimeError, match="no such target"):
        await run_generator(("sh", "-c", "echo no such target >&2; exit 1"), 1)


def test_wrk_has_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="is not installed"):
        wrk_version()


async def test_typed_calls_are_made_and_counted() -> None:
    calls: list[tuple[ChatRequest, str]] = []

    async def chat(request: ChatRequest, context: _Context) -> ChatCompletion:
        metadata = dict(context.invocation_metadata() or ())
        calls.append((request, str(metadata["authorization"])))
        if len(calls) % 4 == 0:
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        return ChatCompletion()

    handler = grpc.unary_unary_rpc_method_handler(
        chat,
        request_deserializer=ChatRequest.FromString,
        response_serializer=ChatCompletion.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE.full_name, {"Chat": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        result = await call_loop(TypedCall(f"127.0.0.1:{port}", "bench", "Bearer t"), 4, 1)
    finally:
        await server.stop(0)
    assert result.requests == len(calls) > 4
    assert result.failures == len(calls) // 4
    assert 0 < result.p50 <= result.p99 <= result.p99_9
    request, authorization = calls[0]
    assert authorization == "Bearer t"
    assert MessageToDict(request) == {
        "model": "bench",
        "messages": [{"role": "user", "content": "Say hello."}],
    }
