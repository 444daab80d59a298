"""Lets none but workers, and none but launchers, use the services that are for them.

The deployment's CA certifies all parts: whoever holds the certificate of an Envoy must not get the
credentials that workers are sent, nor a worker what only a model's process may know. Before: the
gRPC server of `internal`, where it speaks TLS.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import grpc

from modelplane.control_plane.interceptor import EXEMPT_SERVICES

_NAMES = "x509_subject_alternative_name"

# Messages of an RPC: query and answer.
Q = TypeVar("Q")
A = TypeVar("A")

_Details = grpc.HandlerCallDetails
_Context = grpc.aio.ServicerContext[Any, Any]


class InternalCallers(grpc.aio.ServerInterceptor):
    """Refuses callers whose certificate is not for the service that they call."""

    def __init__(self, callers: Mapping[str, str]) -> None:
        """Keep the rule.

        Args:
            callers: For each service, the name that its callers' certificates have
                (`deploy/certificates.py`); services that it leaves out have no callers.
        """
        self._callers = callers

    async def intercept_service(
        self,
        continuation: "Callable[[_Details], Awaitable[grpc.RpcMethodHandler[Q, A] | None]]",
        handler_call_details: _Details,
    ) -> "grpc.RpcMethodHandler[Q, A] | None":
        """Wrap the handler of the RPC."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        service = method.split("/")[1]
        if handler is None or service in EXEMPT_SERVICES:
            return handler
        caller = self._callers.get(service, "")
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(_unary(handler.unary_unary, caller), *codec)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                _stream(handler.stream_stream, caller), *codec
            )
        raise TypeError(f"{method} is of a kind that this interceptor does not guard")


def _unary(behavior: Any, caller: str) -> Any:  # noqa: ANN401 - typed for servers that are not asyncio's
    async def guarded(request: Q, context: _Context) -> A:
        await _check(context, caller)
        answer: A = await behavior(request, context)
        return answer

    return guarded


def _stream(behavior: Any, caller: str) -> Any:  # noqa: ANN401 - typed for servers that are not asyncio's
    async def guarded(requests: AsyncIterator[Q], context: _Context) -> AsyncIterator[A]:
        await _check(context, caller)
        async with aclosing(behavior(requests, context)) as answers:
            async for answer in answers:
                yield answer

    return guarded


async def _check(context: _Context, caller: str) -> None:
    if not caller or caller.encode() not in context.auth_context().get(_NAMES, ()):
        await context.abort(
            grpc.StatusCode.PERMISSION_DENIED,
            f"This certificate is not a {caller}'s: it must be for the DNS name '{caller}'.",
        )
