"""What a caller sets of an endpoint beside its configuration: from a request, and to an answer.

A field of an endpoint that has no versions is a line in each of the two. Before: `lifecycle`,
`views`. After: `validation`, `gateway_rules`. Beside: `setting_changes`, for requests that replace
one of them.
"""

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest

from modelplane.control_plane.endpoints.gateway_rules import build_ai_gateway, build_rate_limits
from modelplane.control_plane.endpoints.validation import check_tags, check_text


def build_settings(request: CreateServingEndpointRequest, *, tables: bool) -> EndpointSettings:
    """Return the settings of a new endpoint, with their defaults.

    Args:
        request: What the caller sends.
        tables: Whether the deployment writes payload tables.

    Raises:
        InvalidParameter: One breaks a rule.
    """
    check_text("description", request.description)
    check_tags(request.tags)
    return EndpointSettings(
        description=request.description,
        tags=request.tags,
        rate_limits=build_rate_limits(request.rate_limits),
        ai_gateway=build_ai_gateway(request.ai_gateway, tables=tables),
    )


def show_settings(settings: EndpointSettings, endpoint: ServingEndpoint) -> None:
    """Put the settings into an answer, which leaves out the deprecated rate limits."""
    endpoint.description = settings.description
    endpoint.tags.extend(settings.tags)
    if settings.HasField("ai_gateway"):
        endpoint.ai_gateway.CopyFrom(settings.ai_gateway)
