"""RPC shell of the usage ledger: unpack, call `reader` or `prices`, pack with `views`."""

import re
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import usage_service_pb2 as pb
from modelserving.v1.usage_service_pb2_grpc import UsageServiceServicer

from modelplane.adapters.shared.rpc.metadata import as_mapping
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.states import UsageState
from modelplane.control_plane.store.usage.filters import UsageFilter
from modelplane.control_plane.usage.prices import UsagePrices
from modelplane.control_plane.usage.reader import MAX_RESULTS, UsageReader
from modelplane.control_plane.usage.views import (
    Table,
    build_rows,
    build_served_entities,
    build_totals,
    encode_csv,
    encode_json,
)

_Context = grpc.aio.ServicerContext[Any, Any]
_Listing = pb.ListUsageRequest | pb.ListServingEndpointUsageRequest
_Request = _Listing | pb.ListServedEntitiesRequest

_CSV = "text/csv"
_STATUS = re.compile(r"[1-5](xx|[0-9]{2})")


class UsageServicer(UsageServiceServicer):
    """Answers `/api/2.0/usage` and what belongs to it."""

    def __init__(self, usage: UsageReader, prices: UsagePrices) -> None:
        self._usage = usage
        self._prices = prices

    async def ListUsage(self, request: pb.ListUsageRequest, context: _Context) -> HttpBody:
        """List the usage of all endpoints."""
        endpoint = request.endpoint if request.HasField("endpoint") else None
        table = await self._build(request, _filter(request, endpoint))
        return _pack(table, request, context)

    async def ListServingEndpointUsage(
        self, request: pb.ListServingEndpointUsageRequest, context: _Context
    ) -> HttpBody:
        """List the usage of one endpoint."""
        principal = current_principal.get()
        selected = await self._usage.narrow(principal, request.name, _filter(request, None))
        return _pack(await self._build(request, selected), request, context)

    async def ListServedEntities(
        self, request: pb.ListServedEntitiesRequest, context: _Context
    ) -> HttpBody:
        """List what the endpoints serve and have served."""
        endpoint = request.endpoint if request.HasField("endpoint") else None
        versions, token = await self._usage.served_entities(
            current_principal.get(), endpoint, request.page_token
        )
        return _pack(build_served_entities(versions, token), request, context)

    async def GetPrices(self, request: pb.GetPricesRequest, context: _Context) -> pb.Prices:
        """Get all prices."""
        del request, context
        return pb.Prices(prices=await self._prices.read())

    async def PutPrices(self, request: pb.PutPricesRequest, context: _Context) -> pb.Prices:
        """Replace all prices."""
        del context
        stored = await self._prices.replace(current_principal.get(), request.prices)
        return pb.Prices(prices=stored)

    async def _build(self, request: _Listing, selected: UsageFilter) -> Table:
        principal = current_principal.get()
        if request.group_by:
            for name in ("max_results", "page_token"):
                if request.HasField(name):
                    raise InvalidParameter(
                        f"'{name}' is of lists; totals come whole, so leave it out with 'group_by'."
                    )
            # One parameter may hold several, with commas.
            group_by = [name for item in request.group_by for name in item.split(",")]
            percentiles = request.percentiles
            totals = await self._usage.totals(
                principal, selected, group_by, percentiles=percentiles
            )
            return build_totals(group_by, totals, percentiles=percentiles)
        if request.percentiles:
            raise InvalidParameter("'percentiles' are of totals; set 'group_by', too.")
        limit = request.max_results if request.HasField("max_results") else MAX_RESULTS
        return build_rows(
            *await self._usage.queries(principal, selected, limit, request.page_token)
        )


def _filter(request: _Listing, endpoint: str | None) -> UsageFilter:
    tag = None
    if request.HasField("tag"):
        key, separator, value = request.tag.partition("=")
        tag = key, value if separator else None
    return UsageFilter(
        endpoint=endpoint,
        served_entity=request.served_entity if request.HasField("served_entity") else None,
        requester=request.requester if request.HasField("requester") else None,
        client=request.client if request.HasField("client") else None,
        tag=tag,
        start_ms=request.start_time if request.HasField("start_time") else None,
        end_ms=request.end_time if request.HasField("end_time") else None,
        status=_statuses(request.status_code) if request.HasField("status_code") else None,
        state=_state(request.state) if request.HasField("state") else None,
        min_latency_ms=request.min_latency_ms if request.HasField("min_latency_ms") else None,
        request_id=request.request_id if request.HasField("request_id") else None,
        client_request_id=(
            request.client_request_id if request.HasField("client_request_id") else None
        ),
        fallback_only=request.fallback_only,
        provider=request.provider if request.HasField("provider") else None,
        model=request.model if request.HasField("model") else None,
    )


def _statuses(text: str) -> tuple[int, int]:
    """Return the lowest status that is meant, and the one after the highest."""
    if not _STATUS.fullmatch(text):
        raise InvalidParameter(
            "'status_code' must be a status such as 429, or a class of them such as 4xx."
        )
    if text.endswith("xx"):
        first = int(text[0]) * 100
        return first, first + 100
    return int(text), int(text) + 1


def _state(text: str) -> UsageState:
    if text not in tuple(UsageState):
        raise InvalidParameter(f"'state' must be one of {', '.join(UsageState)}.")
    return UsageState(text)


def _pack(table: Table, request: _Request, context: _Context) -> HttpBody:
    if not _wants_csv(request, context):
        return HttpBody(content_type="application/json", data=encode_json(table))
    return HttpBody(content_type=_CSV, data=encode_csv(table))


def _wants_csv(request: _Request, context: _Context) -> bool:
    match request.format:
        case "csv":
            return True
        case "json":
            return False
        case "":
            accepted = as_mapping(context.invocation_metadata()).get("accept", "")
            return accepted.startswith(_CSV)
    raise InvalidParameter("'format' must be json or csv.")
