"""Load of typed gRPC calls from grpcio's own client, in a process of its own.

`call_loop` runs it as a program (`python -m bench.grpc_load`), as `bench/load.py` runs wrk.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import grpc
import uvloop
from modelserving.v1.chat_pb2 import ChatMessage, ChatRequest
from modelserving.v1.model_service_pb2_grpc import ModelServiceStub

from bench.children import python
from bench.load import LoadResult, run_generator
from bench.report import percentile

if TYPE_CHECKING:
    from modelserving.v1.model_service_pb2_grpc import ModelServiceAsyncStub

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TypedCall:
    """`ModelService.Chat` of a deployment, with a small message."""

    # `host:port`.
    address: str
    endpoint: str
    authorization: str


async def call_loop(call: TypedCall, concurrency: int, seconds: int) -> LoadResult:
    """Call over and over, with `concurrency` calls at once.

    Raises:
        RuntimeError: The program failed.
    """
    arguments = (json.dumps(asdict(call)), str(concurrency), str(seconds))
    return await run_generator((*python("bench.grpc_load"), *arguments), seconds)


async def _run(call: TypedCall, concurrency: int, seconds: int) -> LoadResult:
    message = ChatMessage(role="user", text="Say hello.")
    request = ChatRequest(model=call.endpoint, messages=[message])
    metadata = (("authorization", call.authorization),)
    latencies: list[float] = []
    failures = 0

    async def loop(stub: "ModelServiceAsyncStub", end: float) -> None:
        nonlocal failures
        while (sent := time.perf_counter()) < end:
            try:
                await stub.Chat(request, metadata=metadata, timeout=_TIMEOUT_SECONDS)
            except grpc.aio.AioRpcError:
                failures += 1
            latencies.append(time.perf_counter() - sent)

    async with grpc.aio.insecure_channel(call.address) as channel:
        stub = ModelServiceStub(channel)
        started = time.perf_counter()
        await asyncio.gather(*(loop(stub, started + seconds) for _ in range(concurrency)))
        elapsed = time.perf_counter() - started
    latencies.sort()
    percentiles = (percentile(latencies, share) for share in (0.5, 0.99, 0.999))
    return LoadResult(elapsed, len(latencies), failures, *percentiles)


def main() -> None:
    """Make the load and print what came of it as JSON."""
    call, concurrency, seconds = sys.argv[1:]
    result = uvloop.run(_run(TypedCall(**json.loads(call)), int(concurrency), int(seconds)))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
