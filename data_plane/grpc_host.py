"""Carries calls over grpc.aio: one host of the service, `host.py` says what a host is.

Messages stay bytes here: decoding requests and encoding answers is shared with other hosts.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from math import isfinite
from typing import NoReturn, TypeAlias

import grpc

from adapters.rpc.metadata import REQUEST_ID, Metadata, as_mapping
from adapters.rpc.status import shorten, trailing_metadata
from adapters.telemetry import log_fields
from data_plane.errors import STATUS_TABLE, refusal_of
from data_plane.host import (
    SERVICE_NAME,
    Method,
    Service,
    encode_content_type,
    encode_data,
    parse_call,
)

# Sending to a caller who left may fail before the cancellation arrives.
_CALLER_GONE = (grpc.aio.InternalError, grpc.aio.UsageError)
_log = logging.getLogger(__name__)
_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"


def inference_handler(service: Service) -> grpc.GenericRpcHandler:
    """Return the handler that a grpc.aio server needs to carry calls to `service`."""
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        method.value: grpc.unary_stream_rpc_method_handler(_carrier(method, service))
        for method in Method
    }
    return grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)


class GrpcReply:
    """Answers one gRPC call; see `host.Reply`."""

    __slots__ = ("_context", "_prefix")

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._prefix = b""

    async def start(self, content_type: str, metadata: Metadata) -> None:
        """Send the initial metadata."""
        self._prefix = encode_content_type(content_type)
        try:
            await self._context.send_initial_metadata(metadata)
        except _CALLER_GONE:
            raise asyncio.CancelledError from None

    async def send(self, data: bytes) -> None:
        """Send one message."""
        message = self._prefix + encode_data(data)
        self._prefix = b""
        try:
            await self._context.write(message)
        except _CALLER_GONE:
            raise asyncio.CancelledError from None


def _carrier(method: Method, service: Service) -> Callable[[bytes, _Context], Awaitable[None]]:
    async def carry(message: bytes, context: _Context) -> None:
        metadata = as_mapping(context.invocation_metadata())
        call = parse_call(method, message, metadata, _deadline(context))
        try:
            await service.answer(call, GrpcReply(context))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug must reach the caller as one, too
            await _refuse(context, error, call.request_id)

    return carry


def _deadline(context: _Context) -> float | None:
    remaining = context.time_remaining()
    return remaining if remaining is not None and isfinite(remaining) else None


async def _refuse(context: _Context, error: Exception, request_id: str) -> NoReturn:
    if STATUS_TABLE.status_of(error) is None:
        # The error's own text stays out: it may repeat the prompt.
        stack = "".join(traceback.format_tb(error.__traceback__))
        fields = log_fields(request_id=request_id, error=type(error).__name__, stack=stack)
        _log.error("a call failed", extra=fields)
    refusal = refusal_of(error, request_id)
    metadata = trailing_metadata(refusal.status, refusal.retry_after)
    context.set_trailing_metadata((*metadata, (REQUEST_ID, request_id)))
    await context.abort(refusal.status.code, shorten(refusal.message))
    raise AssertionError("abort returned")
