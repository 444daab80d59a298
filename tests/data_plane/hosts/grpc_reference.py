"""Carries calls over grpcio's own server: the reference for what gRPC clients are to see.

Messages stay bytes here. All RPCs are carried as streams: on the wire, a stream of one message is
what a unary caller expects.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import isfinite
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from modelplane.adapters.shared.rpc.metadata import Metadata, as_mapping, request_id_of
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane.calls.call import Call, Service
from modelplane.data_plane.calls.refusals import settle
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.carrying import refusal_trailers
from modelplane.data_plane.hosts.grpc.rpc import Rpc

# Sending to a caller who left may fail before the cancellation arrives.
_CALLER_GONE = (grpc.aio.InternalError, grpc.aio.UsageError)
_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def rpc_handlers(rpcs: Iterable[Rpc], service: Service) -> list[grpc.GenericRpcHandler]:
    """Return the handlers that a grpc.aio server needs to carry calls of `rpcs` to `service`."""
    by_service: dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]] = {}
    for rpc in rpcs:
        handlers = by_service.setdefault(rpc.service, {})
        handlers[rpc.name] = grpc.stream_stream_rpc_method_handler(_carrier(rpc, service))
    return [
        grpc.method_handlers_generic_handler(name, handlers)
        for name, handlers in by_service.items()
    ]


class GrpcOutlet:
    """Takes the messages of one gRPC call; see `rpc.Outlet`."""

    __slots__ = ("_context", "_request_id")

    def __init__(self, context: _Context, request_id: str) -> None:
        self._context = context
        self._request_id = request_id

    async def start(self, metadata: Metadata) -> None:
        """Send the initial metadata."""
        try:
            await self._context.send_initial_metadata(metadata)
        except _CALLER_GONE:
            raise asyncio.CancelledError from None

    async def send(self, message: bytes) -> None:
        """Send one message."""
        try:
            await self._context.write(message)
        except _CALLER_GONE:
            raise asyncio.CancelledError from None

    async def answer(self, metadata: Metadata, message: bytes) -> None:
        """Send the initial metadata and the only message."""
        await self.start(metadata)
        await self.send(message)

    async def fail(self, refusal: Refusal) -> None:
        """Let the call end with the status of a refusal once it has been answered."""
        self._context.set_trailing_metadata(refusal_trailers(refusal, self._request_id))
        self._context.set_code(refusal.status.code)
        self._context.set_details(shorten(refusal.message))


def _carrier(rpc: Rpc, service: Service) -> Callable[[object, _Context], Awaitable[None]]:
    async def carry(_: object, context: _Context) -> None:
        # Not left to grpcio: it never ends a call whose caller sends no message at all.
        message: Any = await context.read()
        if message is grpc.aio.EOF:
            text = "A request has one message, not 0."
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        metadata = as_mapping(context.invocation_metadata())
        request_id = request_id_of(metadata)
        try:

            async def receive(call: Call) -> None:
                rpc.read(message, call)

            deadline = _deadline(context)
            call = Call(
                rpc.method,
                task=rpc.task,
                metadata=metadata,
                request_id=request_id,
                deadline_seconds=deadline,
                receive=receive,
            )
            await service.answer(call, rpc.reply(GrpcOutlet(context, request_id)))
        except asyncio.CancelledError:
            raise
        except DecodeError:
            await context.abort(grpc.StatusCode.INTERNAL, "The request is no such message.")
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            await _refuse(context, error, request_id)

    return carry


def _deadline(context: _Context) -> float | None:
    remaining = context.time_remaining()
    return remaining if remaining is not None and isfinite(remaining) else None


async def _refuse(context: _Context, error: Exception, request_id: str) -> NoReturn:
    refusal = settle(error, request_id)
    context.set_trailing_metadata(refusal_trailers(refusal, request_id))
    await context.abort(refusal.status.code, shorten(refusal.message))
    raise AssertionError("abort returned")
