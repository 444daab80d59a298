"""RPC shell of endpoints: unpack, call the use cases, pack.

After: `lifecycle`, `setting_changes`, `config_history`, `metrics`, `model_logs`; `views`,
`openapi` and `metrics_text` pack.
"""

import asyncio
from contextlib import aclosing
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import endpoint_service_pb2 as pb
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceServicer

from modelplane.adapters.shared.rpc.metadata import as_mapping
from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.listing import read_listing
from modelplane.control_plane.endpoints.metrics import EndpointMetrics
from modelplane.control_plane.endpoints.metrics_text import build_metrics_text
from modelplane.control_plane.endpoints.model_logs import ModelLogs, WantedLog
from modelplane.control_plane.endpoints.openapi import build_openapi
from modelplane.control_plane.endpoints.pages import Page, limit_of
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.endpoints.trial import Trial
from modelplane.control_plane.endpoints.views import (
    build_endpoint,
    build_optimization_info,
    build_summary,
    build_version,
)
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.hosting.throughput_rules import require_units
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.states import LogKind

_Context = grpc.aio.ServicerContext[Any, Any]

_PAUSE_AFTER = 200
_PRODUCT = "PPT"


class EndpointServicer(EndpointServiceServicer):
    """Answers the calls under `/api/2.0/serving-endpoints`."""

    def __init__(
        self,
        endpoints: Endpoints,
        settings: SettingChanges,
        history: ConfigHistory,
        metrics: EndpointMetrics,
        logs: ModelLogs,
        pinning: Pinning,
        trial: Trial,
    ) -> None:
        self._endpoints = endpoints
        self._trial = trial
        self._settings = settings
        self._history = history
        self._metrics = metrics
        self._logs = logs
        self._pinning = pinning

    async def CreateServingEndpoint(
        self, request: pb.CreateServingEndpointRequest, context: _Context
    ) -> ServingEndpoint:
        """Create an endpoint."""
        principal = current_principal.get()
        return build_endpoint(await self._endpoints.create(principal, request), principal)

    async def CreateProvisionedThroughputEndpoint(
        self, request: pb.CreateServingEndpointRequest, context: _Context
    ) -> ServingEndpoint:
        """Create an endpoint whose entities are provisioned in model units."""
        require_units(request.config)
        return await self.CreateServingEndpoint(request, context)

    async def UpdateProvisionedThroughputEndpointConfig(
        self, request: pb.UpdateServingEndpointConfigRequest, context: _Context
    ) -> ServingEndpoint:
        """Roll out a new configuration in model units."""
        require_units(request.config)
        return await self.UpdateServingEndpointConfig(request, context)

    async def GetModelOptimizationInfo(
        self, request: pb.GetModelOptimizationInfoRequest, context: _Context
    ) -> pb.ModelOptimizationInfo:
        """Read in which steps the throughput of a registered model can be provisioned."""
        return build_optimization_info(
            await self._pinning.describe(
                request.model_name, request.model_version, request.workload_type
            )
        )

    async def GetServingEndpoint(
        self, request: pb.GetServingEndpointRequest, context: _Context
    ) -> ServingEndpoint:
        """Read an endpoint."""
        principal = current_principal.get()
        return build_endpoint(await self._endpoints.get(principal, request.name), principal)

    async def ListServingEndpoints(
        self, request: pb.ListServingEndpointsRequest, context: _Context
    ) -> pb.ListServingEndpointsResponse:
        """List the endpoints that the caller may see."""
        principal = current_principal.get()
        listing = read_listing(request)
        page = Page[ServingEndpoint](listing.limit, listing.token_of)
        found = await self._endpoints.list_all(principal, listing)
        for index, record in enumerate(found):
            if not page.add(build_summary(record, principal)):
                break
            if index % _PAUSE_AFTER == 0:
                # Thousands of summaries at once would hold up every other call.
                await asyncio.sleep(0)
        if listing.recent:
            shown = found[: len(page.items)]
            calls = await self._metrics.recent([record.id for record in shown])
            for record, endpoint in zip(shown, page.items, strict=True):
                endpoint.recent.CopyFrom(calls[record.id])
        return pb.ListServingEndpointsResponse(
            endpoints=page.items,
            next_page_token=page.next_token,
            total_count=await self._endpoints.count(principal, listing),
        )

    async def ListFoundationModelEndpoints(
        self, request: pb.ListFoundationModelEndpointsRequest, context: _Context
    ) -> pb.ListFoundationModelEndpointsResponse:
        """List the endpoints of the catalogue of foundation models."""
        if request.product not in ("", _PRODUCT):
            raise InvalidParameter(
                f"'product' is '{request.product[:100]}', of which there are no foundation models "
                f"here; use {_PRODUCT}, or leave it out."
            )
        principal = current_principal.get()
        found = await self._endpoints.list_foundation(principal)
        return pb.ListFoundationModelEndpointsResponse(
            endpoints=[build_summary(record, principal) for record in found]
        )

    async def DeleteServingEndpoint(
        self, request: pb.DeleteServingEndpointRequest, context: _Context
    ) -> pb.DeleteServingEndpointResponse:
        """Delete an endpoint."""
        await self._endpoints.delete(current_principal.get(), request.name)
        return pb.DeleteServingEndpointResponse()

    async def UpdateServingEndpointConfig(
        self, request: pb.UpdateServingEndpointConfigRequest, context: _Context
    ) -> ServingEndpoint:
        """Roll out a new configuration."""
        principal = current_principal.get()
        record = await self._endpoints.update_config(principal, request.name, request.config)
        return build_endpoint(record, principal)

    async def ValidateServingEndpoint(
        self, request: pb.ValidateServingEndpointRequest, context: _Context
    ) -> pb.ValidateServingEndpointResponse:
        """Check what would be created or updated."""
        principal = current_principal.get()
        if request.HasField("create") == request.HasField("update"):
            raise InvalidParameter("Send one of 'create' and 'update', as that call would have it.")
        if request.HasField("create"):
            differences = await self._trial.create(principal, request.create)
        else:
            differences = await self._trial.update(principal, request.update)
        return pb.ValidateServingEndpointResponse(differences=differences)

    async def CancelServingEndpointUpdate(
        self, request: pb.CancelServingEndpointUpdateRequest, context: _Context
    ) -> ServingEndpoint:
        """Cancel the update in progress."""
        principal = current_principal.get()
        record = await self._endpoints.cancel_update(principal, request.name)
        return build_endpoint(record, principal)

    async def StopServingEndpoint(
        self, request: pb.StopServingEndpointRequest, context: _Context
    ) -> ServingEndpoint:
        """End the processes of an endpoint's hosted models."""
        principal = current_principal.get()
        await self._settings.stop(principal, request.name)
        return build_endpoint(await self._endpoints.get(principal, request.name), principal)

    async def StartServingEndpoint(
        self, request: pb.StartServingEndpointRequest, context: _Context
    ) -> ServingEndpoint:
        """Start a stopped endpoint."""
        principal = current_principal.get()
        record = await self._endpoints.start(principal, request.name)
        return build_endpoint(record, principal)

    async def RollbackServingEndpointConfig(
        self, request: pb.RollbackServingEndpointConfigRequest, context: _Context
    ) -> ServingEndpoint:
        """Roll out the content of a past version."""
        principal = current_principal.get()
        record = await self._endpoints.rollback(principal, request.name, request.config_version)
        return build_endpoint(record, principal)

    async def ListServingEndpointConfigVersions(
        self, request: pb.ListServingEndpointConfigVersionsRequest, context: _Context
    ) -> pb.ListServingEndpointConfigVersionsResponse:
        """List the versions of an endpoint's configuration, newest first."""
        page = Page[pb.ServingEndpointConfigVersion](
            limit_of(request), lambda last: str(last.config_version)
        )
        principal, token = current_principal.get(), request.page_token
        async with aclosing(self._history.list_all(principal, request.name, token)) as versions:
            async for version in versions:
                if not page.add(build_version(version)):
                    break
        return pb.ListServingEndpointConfigVersionsResponse(
            config_versions=page.items, next_page_token=page.next_token
        )

    async def GetServingEndpointConfigVersion(
        self, request: pb.GetServingEndpointConfigVersionRequest, context: _Context
    ) -> pb.ServingEndpointConfigVersion:
        """Read one version of an endpoint's configuration."""
        return build_version(
            await self._history.get(current_principal.get(), request.name, request.config_version)
        )

    async def CompareServingEndpointConfigVersions(
        self, request: pb.CompareServingEndpointConfigVersionsRequest, context: _Context
    ) -> pb.CompareServingEndpointConfigVersionsResponse:
        """Compare two versions of an endpoint's configuration."""
        differences = await self._history.compare(
            current_principal.get(), request.name, request.from_version, request.to_version
        )
        return pb.CompareServingEndpointConfigVersionsResponse(differences=differences)

    async def PatchServingEndpointTags(
        self, request: pb.PatchServingEndpointTagsRequest, context: _Context
    ) -> pb.PatchServingEndpointTagsResponse:
        """Add and delete tags."""
        tags = await self._settings.patch_tags(
            current_principal.get(), request.name, request.add_tags, request.delete_tags
        )
        return pb.PatchServingEndpointTagsResponse(tags=tags)

    async def PutServingEndpointRateLimits(
        self, request: pb.PutServingEndpointRateLimitsRequest, context: _Context
    ) -> pb.ServingEndpointRateLimits:
        """Replace the deprecated rate limits."""
        limits = await self._settings.put_rate_limits(
            current_principal.get(), request.name, request.rate_limits
        )
        return pb.ServingEndpointRateLimits(rate_limits=limits)

    async def GetServingEndpointRateLimits(
        self, request: pb.GetServingEndpointRateLimitsRequest, context: _Context
    ) -> pb.ServingEndpointRateLimits:
        """Read the deprecated rate limits."""
        limits = await self._settings.get_rate_limits(current_principal.get(), request.name)
        return pb.ServingEndpointRateLimits(rate_limits=limits)

    async def PutServingEndpointAiGateway(
        self, request: pb.PutServingEndpointAiGatewayRequest, context: _Context
    ) -> AiGatewayConfig:
        """Replace the AI Gateway settings."""
        principal = current_principal.get()
        return await self._settings.put_ai_gateway(principal, request.name, request.ai_gateway)

    async def GetServingEndpointAiGateway(
        self, request: pb.GetServingEndpointAiGatewayRequest, context: _Context
    ) -> AiGatewayConfig:
        """Read the AI Gateway settings."""
        return await self._settings.get_ai_gateway(current_principal.get(), request.name)

    async def PutServingEndpointPolicies(
        self, request: pb.PutServingEndpointPoliciesRequest, context: _Context
    ) -> pb.ServingEndpointPolicies:
        """Replace the guardrail policies."""
        principal = current_principal.get()
        policies = await self._settings.put_policies(principal, request.name, request.policies)
        return pb.ServingEndpointPolicies(policies=policies)

    async def GetServingEndpointPolicies(
        self, request: pb.GetServingEndpointPoliciesRequest, context: _Context
    ) -> pb.ServingEndpointPolicies:
        """Read the guardrail policies."""
        policies = await self._settings.get_policies(current_principal.get(), request.name)
        return pb.ServingEndpointPolicies(policies=policies)

    async def PatchServingEndpointNotifications(
        self, request: pb.PatchServingEndpointNotificationsRequest, context: _Context
    ) -> ServingEndpoint:
        """Read an endpoint: that nobody is told about updates is all that can be asked for."""
        principal = current_principal.get()
        record = await self._endpoints.get_managed(principal, request.name)
        return build_endpoint(record, principal)

    async def PatchServingEndpointTelemetryConfig(
        self, request: pb.PatchServingEndpointTelemetryConfigRequest, context: _Context
    ) -> ServingEndpoint:
        """Replace what is recorded of an endpoint's telemetry."""
        principal = current_principal.get()
        given = request.telemetry_config
        record = await self._settings.patch_telemetry(principal, request.name, given)
        return build_endpoint(record, principal)

    async def GetServingEndpointOpenApi(
        self, request: pb.GetServingEndpointOpenApiRequest, context: _Context
    ) -> HttpBody:
        """Read an OpenAPI description of how to query the endpoint."""
        record = await self._endpoints.get(current_principal.get(), request.name)
        return HttpBody(content_type="application/json", data=build_openapi(record))

    async def GetServingEndpointMetrics(
        self, request: pb.GetServingEndpointMetricsRequest, context: _Context
    ) -> HttpBody:
        """Read the metrics of an endpoint."""
        view = await self._metrics.read(current_principal.get(), request.name)
        accept = as_mapping(context.invocation_metadata()).get("accept", "")
        content_type, text = build_metrics_text(view, accept)
        return HttpBody(content_type=content_type, data=text)

    async def GetServedModelBuildLogs(
        self, request: pb.GetServedModelBuildLogsRequest, context: _Context
    ) -> pb.ServedModelLogs:
        """Read how a hosted model was fetched and its environment built."""
        return pb.ServedModelLogs(logs=await self._logs.read(_log_of(request), LogKind.BUILD))

    async def GetServedModelLogs(
        self, request: pb.GetServedModelLogsRequest, context: _Context
    ) -> pb.ServedModelLogs:
        """Read what the processes of a hosted model print."""
        return pb.ServedModelLogs(logs=await self._logs.read(_log_of(request), LogKind.SERVICE))


def _log_of(request: pb.GetServedModelBuildLogsRequest | pb.GetServedModelLogsRequest) -> WantedLog:
    version = request.config_version if request.HasField("config_version") else None
    return WantedLog(current_principal.get(), request.name, request.served_model_name, version)
