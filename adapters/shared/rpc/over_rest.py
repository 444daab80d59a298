"""How Envoy hands REST calls of management to the control plane: their bodies as they came.

Envoy's transcoder drops the fields of a JSON body that it does not know. So `deploy/envoy`
describes these services to it under names of their own, with the body as bytes in one more field of
each request, and the control plane reads the JSON itself. Calls over gRPC are not concerned.
"""

from typing import Any

import grpc

# Of the names that Envoy calls these services by.
SUFFIX = "OverRest"
# Field of a request message that holds the body, a `google.api.HttpBody`. No request of its own
# has a number as high.
BODY_FIELD = "rest_body"
BODY_NUMBER = 1000
# Where Envoy puts path and query string as the caller sent them; callers themselves cannot.
ORIGINAL_PATH = "x-envoy-original-path"


def rest_service(name: str) -> str:
    """Return the name by which Envoy calls the service with the full name `name`."""
    return name + SUFFIX


def public_service(name: str) -> str | None:
    """Return the full name of the service that Envoy calls by `name`; None for one over gRPC."""
    return name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else None


def with_method(details: grpc.HandlerCallDetails, method: str) -> grpc.HandlerCallDetails:
    """Return the details of the same call to another RPC, as a server's interceptor hands them on.

    Args:
        details: The details.
        method: The RPC, as `/package.Service/Method`.
    """
    # grpc.aio takes no class but its own, which has no public name.
    make: Any = type(details)
    renamed: grpc.HandlerCallDetails = make(method, details.invocation_metadata)
    return renamed
