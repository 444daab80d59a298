"""Tells KEDA how many pods a group should have: as many as the control plane wants.

Asked by KEDA, which a ScaledObject of `scaled_objects.py` has sent here. After:
`../cluster/launcher.py`, which knows what should run. While that is not known, KEDA gets an error,
with which it changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import grpc
from modelserving.keda.v1 import external_scaler_service_pb2 as pb
from modelserving.keda.v1 import external_scaler_service_pb2_grpc as pb_grpc

from modelplane.adapters.shared.rpc.tls import TlsFiles, server_credentials
from modelplane.launcher.cluster.cluster import ClusterAway
from modelplane.launcher.kubernetes.scaled_objects import GROUP_KEY

METRIC = "replicas"
# The name in the certificate of who may ask (`deploy/certificates.py`).
CALLER = "keda"
_NAMES = "x509_subject_alternative_name"
# A stream for each group, and as many questions.
_MOST_CALLS = 4096
_MOST_BYTES = 64 * 1024
_STOP_SECONDS = 1.0
_Context = grpc.aio.ServicerContext[Any, Any]


class Wanted(Protocol):
    """Knows how many replicas each group should have."""

    def wanted(self, group_id: str) -> int | None:
        """Return how many; None: there is no such group.

        Raises:
            ClusterAway: That is not known here, or not yet.
        """

    def news(self) -> asyncio.Event:
        """Return what is set once any of that changes."""


class ExternalScaler(pb_grpc.ExternalScalerServicer):
    """Serves `ExternalScaler` to KEDA.

    Args:
        groups: Knows how many replicas there should be.
        namespace: Where they are.
    """

    def __init__(self, groups: Wanted, namespace: str) -> None:
        self._groups = groups
        self._namespace = namespace

    async def IsActive(self, request: pb.ScaledObjectRef, context: _Context) -> pb.IsActiveResponse:
        """Tell whether there should be any pods."""
        return pb.IsActiveResponse(result=await self._wanted(request, context) > 0)

    async def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: _Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """Tell it at once and at each change, until that is no longer known here.

        Then the stream just ends: KEDA opens it again after two seconds; after errors, ever later.
        """
        told: bool | None = None
        while True:
            # Before it is read, so that no change falls between.
            news = self._groups.news()
            try:
                is_active = await self._find(request, context) > 0
            except ClusterAway:
                return
            if is_active != told:
                told = is_active
                yield pb.IsActiveResponse(result=is_active)
            await news.wait()

    async def GetMetricSpec(
        self, request: pb.ScaledObjectRef, context: _Context
    ) -> pb.GetMetricSpecResponse:
        """Tell that pods are counted: one of them is one pod's."""
        await self._wanted(request, context)
        spec = pb.MetricSpec(metricName=METRIC, targetSize=1, targetSizeFloat=1.0)
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: _Context
    ) -> pb.GetMetricsResponse:
        """Tell how many pods there should be."""
        count = await self._wanted(request.scaledObjectRef, context)
        if request.metricName != METRIC:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"There is no metric but {METRIC!r}."
            )
        value = pb.MetricValue(metricName=METRIC, metricValue=count, metricValueFloat=float(count))
        return pb.GetMetricsResponse(metricValues=[value])

    async def _wanted(self, asked: pb.ScaledObjectRef, context: _Context) -> int:
        try:
            return await self._find(asked, context)
        except ClusterAway as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
            raise AssertionError("abort returned") from error

    async def _find(self, asked: pb.ScaledObjectRef, context: _Context) -> int:
        if CALLER.encode() not in context.auth_context().get(_NAMES, ()):
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"This certificate is not KEDA's: it must be for the DNS name '{CALLER}'.",
            )
        group = asked.scalerMetadata.get(GROUP_KEY, "")
        if not group:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"The trigger's metadata has no {GROUP_KEY!r}: ScaledObjects are made by the "
                "launcher.",
            )
        count = self._groups.wanted(group)
        if count is None or asked.namespace != self._namespace:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"The group {group!r} does not run in the namespace {asked.namespace!r}.",
            )
            raise AssertionError("abort returned")
        return count


@asynccontextmanager
async def answering_keda(
    groups: Wanted, namespace: str, address: str, files: TlsFiles
) -> AsyncIterator[int]:
    """Let KEDA ask, by mutual TLS alone; yield the port.

    Args:
        groups: Knows how many replicas there should be.
        namespace: Where they are.
        address: `host:port` to listen on.
        files: The launcher's certificate, and the CA that has signed KEDA's.

    Raises:
        OSError: A file cannot be read, or the address not be listened on.
    """
    options = (("grpc.max_receive_message_length", _MOST_BYTES), ("grpc.so_reuseport", 0))
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_MOST_CALLS)
    pb_grpc.add_ExternalScalerServicer_to_server(ExternalScaler(groups, namespace), server)
    try:
        port = server.add_secure_port(address, server_credentials(files))
    except RuntimeError as error:
        raise OSError(f"KEDA cannot ask on {address}: it cannot be listened on") from error
    await server.start()
    try:
        yield port
    finally:
        await server.stop(_STOP_SECONDS)
