"""What happens around every public RPC: authentication, error mapping, request id, log, metrics.

Before: the gRPC server. After: the servicers. Beside: `authentication`, `audit.call`, `errors`,
`not_available`, `output_only`.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from prometheus_client import CollectorRegistry, Counter, Histogram

from modelplane.adapters.shared.rpc.metadata import (
    AUTHORIZATION,
    REQUEST_ID,
    WORKERS_BEHIND,
    Metadata,
    as_mapping,
    request_id_of,
)
from modelplane.adapters.shared.rpc.over_rest import ORIGINAL_PATH, with_method
from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES, rules_of
from modelplane.adapters.shared.rpc.status import INTERNAL, shorten, trailing_metadata
from modelplane.adapters.shared.telemetry import cut_reason, kind_of, log_fields
from modelplane.control_plane.admission import Admission
from modelplane.control_plane.answer_headers import answer_headers
from modelplane.control_plane.audit.call import AuditedCall
from modelplane.control_plane.audit.log import AuditLog
from modelplane.control_plane.errors import (
    PASSING,
    STATUS_TABLE,
    InvalidParameter,
    MalformedRequest,
)
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.not_available import check_available
from modelplane.control_plane.output_only import clear_output_only
from modelplane.control_plane.principal import Principal, caller_found, current_principal
from modelplane.control_plane.rest.call import RestCall, RestMethod, find_rest_method
from modelplane.control_plane.rollout import answered_early

_log = logging.getLogger(__name__)

# Services whose calls carry no access token; the rest of the guard holds for them too.
_ANONYMOUS = {str(service.full_name) for service in PUBLIC_SERVICES if rules_of(service).anonymous}
# Not guarded: Envoy asks it all the time.
_HEALTH = "grpc.health.v1.Health"
# Streams of descriptions, for whoever is known.
_REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
EXEMPT_SERVICES = (_HEALTH, *_REFLECTION)

_RETRY_AFTER_SECONDS = 1
# Errors whose texts may repeat what was sent: the log says of them what kind they are.
_QUIET = (InvalidParameter, MalformedRequest)

# Messages of an RPC: query and answer.
Q = TypeVar("Q")
A = TypeVar("A")

_Details = grpc.HandlerCallDetails
_Context = grpc.aio.ServicerContext[Any, Any]
# Status, message and trailing metadata.
_Refusal = tuple[grpc.StatusCode, str, Metadata]
_Behavior = Callable[[Any, _Context], Awaitable[Any]]


class Interceptor(grpc.aio.ServerInterceptor):
    """Guards, maps, counts and logs each RPC."""

    def __init__(
        self, authenticator: Authenticator, audit_log: AuditLog, registry: CollectorRegistry
    ) -> None:
        """Keep the authenticator and declare the metrics.

        Args:
            authenticator: Knows the callers.
            audit_log: Told of changes and refusals.
            registry: Collects the metrics.
        """
        self._authenticator = authenticator
        self.audit_log = audit_log
        self.admission = Admission(registry)
        self._count = Counter(
            "modelplane_control_plane_requests",
            "Calls of the public API.",
            ("method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "modelplane_control_plane_request_seconds",
            "Duration of calls of the public API.",
            ("method", "status"),
            registry=registry,
        )

    async def intercept_service(
        self,
        continuation: "Callable[[_Details], Awaitable[grpc.RpcMethodHandler[Q, A] | None]]",
        handler_call_details: _Details,
    ) -> "grpc.RpcMethodHandler[Q, A] | None":
        """Wrap the handler of the RPC."""
        method = str(handler_call_details.method)
        rest = find_rest_method(method)
        if rest is not None:
            method = rest.path
            handler_call_details = with_method(handler_call_details, method)
        handler = await continuation(handler_call_details)
        service = method.split("/")[1]
        if handler is None or service == _HEALTH:
            return handler
        if service in _REFLECTION:
            return await self._known(handler, handler_call_details)
        if handler.unary_unary is None:
            raise TypeError(f"{method} is a stream, which this interceptor does not guard")
        guarded = self._wrap(method, handler, rest, anonymous=service in _ANONYMOUS)
        # As a stream, of one message, so that it arrives once it is known who sends it: gRPC would
        # have read a call of one message before it tells of it.
        return grpc.stream_unary_rpc_method_handler(
            guarded, response_serializer=handler.response_serializer
        )

    def _wrap(
        self,
        method: str,
        handler: Any,  # noqa: ANN401 - grpc's types know no coroutines
        rest: RestMethod | None,
        *,
        anonymous: bool,
    ) -> Any:  # noqa: ANN401 - the same
        async def guarded(_messages: AsyncIterator[bytes], context: _Context) -> Any:  # noqa: ANN401 - any message
            # What came over REST is parsed by other rules.
            receive = _Receiver(context, None if rest else handler.request_deserializer)
            call = _Call(self, method, context, rest, anonymous=anonymous)
            return await call.run(handler.unary_unary, receive)

        return guarded

    async def _known(
        self, handler: "grpc.RpcMethodHandler[Q, A]", details: _Details
    ) -> "grpc.RpcMethodHandler[Q, A]":
        """Return the handler of a stream if its caller is known, else one that refuses."""
        metadata = as_mapping(details.invocation_metadata)
        try:
            await self._authenticator.authenticate(metadata.get(AUTHORIZATION))
        except Exception as error:  # noqa: BLE001 - the boundary: every error gets a status
            status, message = STATUS_TABLE.status_of(error) or INTERNAL, shorten(str(error))

            async def refuse(_: object, context: _Context) -> None:
                await context.abort(status.code, message, trailing_metadata(status, None))

            return grpc.stream_stream_rpc_method_handler(refuse)
        return handler

    async def authenticate(self, authorization: str | None) -> Principal:
        """Find out who calls, for the rest of the RPC."""
        principal = await self._authenticator.authenticate(authorization)
        current_principal.set(principal)
        return principal

    def observe(self, method: str, status: str, seconds: float) -> None:
        """Count a finished RPC."""
        self._count.labels(method, status).inc()
        self._seconds.labels(method, status).observe(seconds)


class _Receiver:
    """Reads the only message of a call: from its context, since gRPC's iterator would keep it."""

    def __init__(self, context: _Context, parse: Callable[[bytes], Message] | None) -> None:
        self._context = context
        self._parse = parse

    async def __call__(self) -> Any:  # noqa: ANN401 - any message
        """Return the message.

        Raises:
            MalformedRequest: There is none, or it is none of its type.
        """
        raw = await self._context.read()
        if raw is grpc.aio.EOF:
            raise MalformedRequest("The call has no request message.")
        try:
            return self._parse(raw) if self._parse else raw
        except DecodeError:
            raise MalformedRequest("The request is no message of this call's type.") from None


class _Call:
    """One RPC under way."""

    def __init__(
        self,
        interceptor: Interceptor,
        path: str,
        context: _Context,
        rest: RestMethod | None,
        *,
        anonymous: bool,
    ) -> None:
        self._interceptor = interceptor
        self._rest = rest
        self._anonymous = anonymous
        self._method = path.rpartition("/")[2]
        self._context = context
        self._metadata = as_mapping(context.invocation_metadata())
        self._request_id = request_id_of(self._metadata)
        self._principal = ""
        self._audited = AuditedCall(interceptor.audit_log, path, self._metadata, self._request_id)
        # What is logged when the client goes away.
        self._status = grpc.StatusCode.CANCELLED
        self._reason = ""

    async def run(self, behavior: _Behavior, receive: _Receiver) -> Any:  # noqa: ANN401 - any message
        started = time.perf_counter()
        try:
            return await self._answer(behavior, receive)
        finally:
            self._record(time.perf_counter() - started)

    async def _answer(self, behavior: _Behavior, receive: _Receiver) -> Any:  # noqa: ANN401 - any message
        refusal = None
        try:
            response = await self._admitted(behavior, receive)
        except Exception as error:  # noqa: BLE001 - the boundary: every error gets a status
            refusal = self._refuse(error)
        if refusal is not None:
            # Here, where the error is gone: gRPC keeps what this raises in a cycle with the call,
            # and with it all that the error knows, the request too, until garbage is collected.
            await self._context.abort(*refusal)
        self._status = grpc.StatusCode.OK
        behind = ((WORKERS_BEHIND, "true"),) if answered_early.get() else ()
        headers = ((REQUEST_ID, self._request_id), *behind, *answer_headers.get())
        await self._context.send_initial_metadata(headers)
        return response

    async def _admitted(self, behavior: _Behavior, receive: _Receiver) -> Any:  # noqa: ANN401 - any message
        """Answer, in one of the places for calls; none is held for a message that is on its way."""
        admission = self._interceptor.admission
        if self._anonymous:
            caller_found.set(self._find)
            request = await receive()
            with admission.one():
                return await behavior(request, self._context)
        with admission.one():
            principal = await self._interceptor.authenticate(self._metadata.get(AUTHORIZATION))
        self._principal = principal.name
        with admission.of(principal):
            request = await receive()
            with admission.one():
                return await behavior(self._read(principal, request), self._context)

    def _find(self, principal: Principal) -> None:
        """Note who makes a call that carries no access token."""
        self._principal = principal.name
        self._audited.know(principal, None)
        self._audited.admit()

    def _read(self, principal: Principal, request: Any) -> Any:  # noqa: ANN401 - any message
        self._audited.know(principal, None if self._rest else request)
        if self._rest is not None:
            call = RestCall(self._rest, self._metadata[ORIGINAL_PATH], request)
            request = call.request
            self._audited.know(principal, request)
            call.read()
        check_available(request)
        clear_output_only(request)
        self._audited.admit()
        return request

    def _refuse(self, error: Exception) -> _Refusal:
        """Note that the call fails; return with what."""
        status = STATUS_TABLE.status_of(error)
        message = str(error)
        if status is None:
            fields = {"method": self._method, "request_id": self._request_id}
            _log.error("internal error", exc_info=error, extra=log_fields(**fields))
            message = f"Internal error; see the log for request {self._request_id}."
            status = INTERNAL
        self._reason = kind_of(error) if isinstance(error, _QUIET) else cut_reason(message)
        self._audited.refuse(status)
        self._status = status.code
        retry_after = _RETRY_AFTER_SECONDS if isinstance(error, PASSING) else None
        trailing = (*trailing_metadata(status, retry_after), (REQUEST_ID, self._request_id))
        return status.code, shorten(message), trailing

    def _record(self, seconds: float) -> None:
        status = self._status.name
        self._interceptor.observe(self._method, status, seconds)
        fields = {
            "method": self._method,
            "status": status,
            "principal": self._principal,
            "ms": round(seconds * 1000, 3),
            "request_id": self._request_id,
        }
        if self._reason:
            fields["reason"] = self._reason
        _log.info("request", extra=log_fields(**fields))
