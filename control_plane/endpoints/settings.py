"""What a caller sets of an endpoint beside its configuration: from a request, and to an answer.

A field of an endpoint that has no versions is a line in each of the two. Before: `lifecycle`,
`views`. After: `validation`, `gateway_rules`. Beside: `setting_changes`, for requests that replace
one of them.
"""

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest

from modelplane.adapters.shared.guardrail_rules import NO_JUDGES, DefaultJudges
from modelplane.control_plane.endpoints import payload_tables
from modelplane.control_plane.endpoints.gateway_rules import build_ai_gateway, build_rate_limits
from modelplane.control_plane.endpoints.guardrail_judges import require_judges
from modelplane.control_plane.endpoints.limited_principals import require_principals
from modelplane.control_plane.endpoints.telemetry_rules import build_telemetry, show_telemetry
from modelplane.control_plane.endpoints.validation import check_tags, check_text
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints.changes import NewEndpoint


def build_settings(
    request: CreateServingEndpointRequest, *, tables: bool, judges: DefaultJudges = NO_JUDGES
) -> EndpointSettings:
    """Return the settings of a new endpoint, with their defaults.

    Args:
        request: What the caller sends.
        tables: Whether the deployment writes payload tables.
        judges: Who judges where the guardrails do not say who.

    Raises:
        InvalidParameter: One breaks a rule.
    """
    check_text("description", request.description)
    check_tags(request.tags)
    settings = EndpointSettings(
        description=request.description,
        tags=request.tags,
        rate_limits=build_rate_limits(request.rate_limits),
        ai_gateway=build_ai_gateway(request.ai_gateway, tables=tables, judges=judges),
        telemetry_config=build_telemetry(request.telemetry_config, available=tables),
    )
    payload_tables.check_redaction(settings)
    return settings


async def check_named(
    session: Session, principal: Principal, new: NewEndpoint, judges: DefaultJudges
) -> None:
    """Check that those exist whom the settings of a new endpoint name.

    Args:
        session: Reads the store.
        principal: Who makes the endpoint.
        new: The endpoint.
        judges: Who judges where the guardrails do not say who.

    Raises:
        InvalidParameter: One does not, or may not be named.
    """
    await require_principals(session, new.settings.ai_gateway)
    await require_judges(session, principal, new.name, new.settings, judges)


def show_settings(settings: EndpointSettings, endpoint: ServingEndpoint) -> None:
    """Put the settings into an answer, which leaves out the deprecated rate limits."""
    endpoint.description = settings.description
    endpoint.tags.extend(settings.tags)
    if settings.HasField("ai_gateway"):
        endpoint.ai_gateway.CopyFrom(settings.ai_gateway)
    if settings.HasField("telemetry_config"):
        endpoint.telemetry_config.CopyFrom(show_telemetry(settings.telemetry_config))
