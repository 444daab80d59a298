"""Lets none but workers use the services that only they reach.

The deployment's CA certifies others, too: whoever holds the certificate of an Envoy must not get
the credentials that workers are sent. Before: the gRPC server of `internal`, where it speaks TLS.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc

from modelplane.control_plane.interceptor import EXEMPT_SERVICES

# The name in a worker's certificate (`deploy/certificates.py`).
_WORKER = b"worker"
_NAMES = "x509_subject_alternative_name"

# Messages of an RPC: query and answer.
Q = TypeVar("Q")
A = TypeVar("A")

_Details = grpc.HandlerCallDetails
_Context = grpc.aio.ServicerContext[Any, Any]


class WorkersOnly(grpc.aio.ServerInterceptor):
    """Refuses callers whose certificate is not a worker's."""

    async def intercept_service(
        self,
        continuation: "Callable[[_Details], Awaitable[grpc.RpcMethodHandler[Q, A] | None]]",
        handler_call_details: _Details,
    ) -> "grpc.RpcMethodHandler[Q, A] | None":
        """Wrap the handler of the RPC."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or method.split("/")[1] in EXEMPT_SERVICES:
            return handler
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary), *codec)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(_stream(handler.stream_stream), *codec)
        raise TypeError(f"{method} is of a kind that this interceptor does not guard")


def _unary(behavior: Any) -> Any:  # noqa: ANN401 - typed for servers that are not asyncio's
    async def guarded(request: Q, context: _Context) -> A:
        await _check(context)
        answer: A = await behavior(request, context)
        return answer

    return guarded


def _stream(behavior: Any) -> Any:  # noqa: ANN401 - typed for servers that are not asyncio's
    async def guarded(requests: AsyncIterator[Q], context: _Context) -> AsyncIterator[A]:
        await _check(context)
        async with aclosing(behavior(requests, context)) as answers:
            async for answer in answers:
                yield answer

    return guarded


async def _check(context: _Context) -> None:
    if _WORKER not in context.auth_context().get(_NAMES, ()):
        await context.abort(
            grpc.StatusCode.PERMISSION_DENIED,
            "This certificate is not a worker's: it must be for the DNS name 'worker'.",
        )
