"""Why the data plane refuses a call, and how each refusal leaves it.

DataPlaneError          a call is refused
├── WorkerNotReady      this worker has no configuration yet
├── Unauthenticated     no token, or none that is accepted
├── PermissionDenied    the principal may not query the endpoint
├── EndpointNotFound    no such endpoint
├── ServedEntityNotFound the endpoint has no such served entity
├── EndpointNotReady    the first configuration of the endpoint is being rolled out
├── EndpointUnserved    no configuration of the endpoint is active, nor will one be by itself
├── MalformedRequest    the body is not a JSON object
├── InvalidParameter    a field is missing, or has a value that cannot be right
├── GuardrailError      it is not known whether the request or the answer may pass
│   └── GuardrailTriggered it holds what the endpoint's guardrails block
├── TooManyHops         the call has come through so many gateways that it goes in circles
├── LimitExceeded       a limit of the endpoint does not allow it now
├── LimitsUnavailable   the limits of the endpoint cannot be checked
├── UpstreamResting     the upstream has failed too often to be called now
├── HostedError         a hosted model does not answer
│   ├── EntityBusy      it is asked more than it answers at a time
│   ├── ThroughputExceeded it is asked more than is provisioned
│   ├── EntityStarting  it has no replica yet
│   ├── EntityFailed    it has none, and will not get one
│   ├── ReplicaLost     its replica ended before it had answered
│   ├── FatalCaller     its processes end too often while they answer this caller
│   └── ModelRefused    the query cannot be put to the model, or made it fail
│       ├── FatalRequest it has ended the model's processes
│       └── ModelRefusedParameter  a part of the query has a value that cannot be right
└── DeadlineExceeded    the answer took longer than the caller or the deployment allows

A provider's error (`adapters/providers/errors.py`) keeps its class and what the provider said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import grpc

from modelplane.adapters.providers import errors as provider_errors
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.adapters.shared.rpc.status import (
    INTERNAL,
    Status,
    StatusTable,
    error_type,
    shorten,
)
from modelplane.data_plane.provider_texts import provider_message

_RETRY_SOON_SECONDS = 1
_RETRY_LATER = frozenset({429, 503})


class DataPlaneError(Exception):
    """A call is refused; the text is for the caller."""


class WorkerNotReady(DataPlaneError):
    """This worker has no configuration yet, so it cannot tell who may do what."""

    def __init__(self) -> None:
        super().__init__("This worker has no configuration yet; try again.")


class Unauthenticated(DataPlaneError):
    """No token, or none that is accepted."""


class PermissionDenied(DataPlaneError):
    """The principal may not query the endpoint."""


class EndpointNotFound(DataPlaneError):
    """No such endpoint."""

    def __init__(self, similar: Sequence[str] = ()) -> None:
        """Say so; `similar` are names that may have been meant."""
        hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
        super().__init__(
            "The given endpoint does not exist, please retry after checking the specified model "
            f"and version deployment exists.{hint}"
        )


class ServedEntityNotFound(DataPlaneError):
    """The endpoint has no such served entity."""


class EndpointNotReady(DataPlaneError):
    """The first configuration of the endpoint is being rolled out."""


class EndpointUnserved(DataPlaneError):
    """No configuration of the endpoint is active, nor will one be by itself."""


class MalformedRequest(DataPlaneError):
    """The body is not a JSON object."""


class InvalidParameter(DataPlaneError):
    """A field is missing, or has a value that cannot be right."""


class GuardrailError(DataPlaneError):
    """Guardrails let the request or the answer not pass, by default as nobody has judged it."""


class GuardrailTriggered(GuardrailError):
    """The request or the answer holds what the endpoint's guardrails block; the text is JSON.

    Attributes:
        reason: Why, in words.
        phase: `input` or `output`.
        policy: Name of the guardrail.
    """

    def __init__(self, message: str, reason: str, phase: str, policy: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.phase = phase
        self.policy = policy


class CallerFull(DataPlaneError):
    """The caller has too many bytes of requests under way."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"Your requests under way are larger than {max_bytes >> 20} MiB together; send this "
            "one again when some of them are answered."
        )


class WorkerFull(DataPlaneError):
    """The requests of all callers under way take all the memory that there is for them."""

    def __init__(self) -> None:
        super().__init__("This worker has no room for a request of this size now; try again.")


class TooManyHops(DataPlaneError):
    """The call has come through so many gateways that it goes in circles."""


class LimitExceeded(DataPlaneError):
    """A limit of the endpoint does not allow the call now.

    Attributes:
        retry_after: Seconds after which there may be room again.
        metadata: What is left of the limits.
    """

    def __init__(self, message: str, retry_after: int, metadata: Metadata) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.metadata = metadata


class LimitsUnavailable(DataPlaneError):
    """The limits of the endpoint cannot be checked: no control plane answers."""

    def __init__(self) -> None:
        super().__init__("The limits of the endpoint cannot be checked at the moment; try again.")


class UpstreamResting(DataPlaneError):
    """The upstream has failed too often to be called now.

    Attributes:
        retry_after: Seconds after which it may be called again.
    """

    def __init__(self, entity: str, retry_after: int) -> None:
        super().__init__(
            f"Served entity '{entity}' has failed too often and is not called for now; try again "
            f"in {retry_after} seconds."
        )
        self.retry_after = retry_after


class HostedError(DataPlaneError):
    """A hosted model does not answer.

    Attributes:
        fallback: Another served entity may be tried.
        retry_after: Seconds after which it may answer, where that is known.
    """

    fallback: ClassVar[bool] = True

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class EntityBusy(HostedError):
    """It is asked more than it answers at a time, and too much waits already, or for too long."""

    def __init__(
        self,
        message: str = "Too many concurrent requests. Consider increasing the provisioned "
        "concurrency of the served entity.",
    ) -> None:
        super().__init__(message)


class ThroughputExceeded(HostedError):
    """It is sent more tokens per second than are provisioned."""

    def __init__(self, entity: str, tokens: int, retry_after: int) -> None:
        super().__init__(
            f"Provisioned throughput exceeded for served entity '{entity}', which may be sent "
            f"{tokens} tokens per second; try again in {retry_after} seconds, or raise its "
            "max_provisioned_throughput.",
            retry_after,
        )


class EntityStarting(HostedError):
    """It has no replica yet, and too much waits for one already, or for too long."""

    def __init__(self, entity: str, retry_after: int) -> None:
        super().__init__(
            f"Served entity '{entity}' is starting; try again in {retry_after} seconds.",
            retry_after,
        )


class EntityFailed(HostedError):
    """It has no replica, and will not get one by itself."""

    def __init__(self, entity: str, reason: str) -> None:
        super().__init__(f"Served entity '{entity}' cannot answer: {reason}")


class ReplicaLost(HostedError):
    """Its replica ended before it had answered; whether the model has run is not known."""

    def __init__(self, entity: str) -> None:
        super().__init__(
            f"The process of served entity '{entity}' ended before it had answered; the entity's "
            "logs may say why."
        )


class FatalCaller(HostedError):
    """Its processes ended too often while they answered this caller, who is kept from the others.

    Another entity that has not suffered by them may answer.
    """

    def __init__(self, entity: str, retry_after: int) -> None:
        super().__init__(
            f"Again and again, the process of served entity '{entity}' ended while it was "
            "answering requests of yours. So that others are answered, yours are refused for "
            f"{retry_after} seconds; the entity's logs may say what ends it.",
            retry_after,
        )


class ModelRefused(HostedError):
    """The query cannot be put to the model, or made it fail, as it would again."""

    fallback = False


class FatalRequest(ModelRefused):
    """It has ended two processes; an entity of which it has ended none may answer it."""

    fallback = True

    def __init__(self) -> None:
        super().__init__(
            "Twice, the model's process ended while it was answering this very request, which is "
            "refused for five minutes, so that others are answered; the entity's logs may say why. "
            "Change the request."
        )


class ModelRefusedParameter(ModelRefused):
    """A part of the query has a value that the model's signature does not allow."""


class DeadlineExceeded(DataPlaneError):
    """The answer took longer than the caller or the deployment allows.

    Attributes:
        by_caller: Whether only the caller's own deadline has passed.
    """

    def __init__(self, message: str, *, by_caller: bool = False) -> None:
        super().__init__(message)
        self.by_caller = by_caller


_CODE = grpc.StatusCode
_UNAVAILABLE = Status(_CODE.UNAVAILABLE, 503, "TEMPORARILY_UNAVAILABLE")
_DENIED = Status(_CODE.PERMISSION_DENIED, 403, "PERMISSION_DENIED")
_LIMITED = Status(_CODE.RESOURCE_EXHAUSTED, 429, "REQUEST_LIMIT_EXCEEDED")
STATUS_TABLE = StatusTable(
    {
        WorkerNotReady: _UNAVAILABLE,
        Unauthenticated: Status(_CODE.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
        PermissionDenied: _DENIED,
        EndpointNotFound: Status(_CODE.NOT_FOUND, 404, "ENDPOINT_NOT_FOUND"),
        ServedEntityNotFound: Status(_CODE.NOT_FOUND, 404, "RESOURCE_DOES_NOT_EXIST"),
        EndpointNotReady: _UNAVAILABLE,
        # Nothing that clients try again: they would wait for minutes and hide the reason.
        EndpointUnserved: Status(_CODE.FAILED_PRECONDITION, 400, "INVALID_STATE"),
        MalformedRequest: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        InvalidParameter: Status(_CODE.INVALID_ARGUMENT, 400, "INVALID_PARAMETER_VALUE"),
        GuardrailError: _UNAVAILABLE,
        GuardrailTriggered: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        # HTTP has 508 for this, which clients would retry as they do every status from 500 on.
        TooManyHops: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        CallerFull: _LIMITED,
        WorkerFull: _UNAVAILABLE,
        UpstreamResting: _UNAVAILABLE,
        # Nothing that clients try again, as with an endpoint that serves nothing.
        EntityFailed: Status(_CODE.FAILED_PRECONDITION, 400, "INVALID_STATE"),
        EntityBusy: _LIMITED,
        ThroughputExceeded: _LIMITED,
        EntityStarting: _UNAVAILABLE,
        FatalCaller: _LIMITED,
        ReplicaLost: Status(_CODE.INTERNAL, 502, "BAD_GATEWAY"),
        ModelRefused: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        ModelRefusedParameter: Status(_CODE.INVALID_ARGUMENT, 400, "INVALID_PARAMETER_VALUE"),
        HostedError: INTERNAL,
        LimitExceeded: _LIMITED,
        LimitsUnavailable: _UNAVAILABLE,
        DeadlineExceeded: Status(_CODE.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
        provider_errors.RequestRefused: Status(_CODE.INVALID_ARGUMENT, 400, "BAD_REQUEST"),
        provider_errors.ModelNotFound: Status(_CODE.NOT_FOUND, 404, "NOT_FOUND"),
        provider_errors.RequestConflict: Status(_CODE.ABORTED, 409, "RESOURCE_CONFLICT"),
        # The caller's own token is fine, so a refused credential of the endpoint is no 401.
        provider_errors.CredentialRefused: _DENIED,
        provider_errors.RateLimited: _LIMITED,
        provider_errors.QuotaExhausted: Status(_CODE.RESOURCE_EXHAUSTED, 429, "RESOURCE_EXHAUSTED"),
        provider_errors.ProviderFailed: INTERNAL,
        provider_errors.UnusableAnswer: INTERNAL,
        provider_errors.NoAnswer: Status(_CODE.INTERNAL, 502, "BAD_GATEWAY"),
        provider_errors.CredentialUnavailable: _UNAVAILABLE,
        provider_errors.ProviderUnavailable: _UNAVAILABLE,
        provider_errors.ProviderTimeout: Status(_CODE.DEADLINE_EXCEEDED, 504, "DEADLINE_EXCEEDED"),
        provider_errors.ProviderNotImplemented: Status(_CODE.UNIMPLEMENTED, 501, "NOT_IMPLEMENTED"),
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How an error leaves the data plane.

    Attributes:
        status: gRPC status, HTTP status and error code.
        message: Text for the caller; may repeat the prompt, so it is not for logs.
        retry_after: Seconds after which the caller may try again, where that makes sense.
        metadata: What else the caller is told.
    """

    status: Status
    message: str
    retry_after: int | None = None
    metadata: Metadata = ()

    def error(self) -> JsonObject:
        """Return the error as OpenAI's API has it, which most clients can show.

        `deploy/envoy/reshape.lua` makes the same of a refusal that goes another way.
        """
        return {
            "message": shorten(self.message),
            "type": error_type(self.status.http),
            "code": self.status.error_code,
            "param": None,
        }


def refusal_of(error: Exception, request_id: str) -> Refusal:
    """Return how `error` leaves; an error outside the domain shows nothing but `request_id`."""
    status = STATUS_TABLE.status_of(error)
    if status is None:
        message = f"The gateway failed to answer; its log has the reason for request {request_id}."
        return Refusal(INTERNAL, message)
    retry_after = _RETRY_SOON_SECONDS if status.http in _RETRY_LATER else None
    if isinstance(error, LimitExceeded):
        return Refusal(status, str(error), error.retry_after, error.metadata)
    if isinstance(error, UpstreamResting):
        return Refusal(status, str(error), error.retry_after)
    if isinstance(error, HostedError):
        return Refusal(status, str(error), error.retry_after or retry_after)
    if isinstance(error, provider_errors.AdapterError):
        return Refusal(status, provider_message(error), error.retry_after or retry_after)
    return Refusal(status, str(error), retry_after)
