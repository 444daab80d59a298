"""KEDA, and the HorizontalPodAutoscaler that it makes, as far as a ScaledObject here needs them.

What KEDA does is of its `pkg/scalers/external_scaler.go` and `pkg/scaling/executor/
scale_scaledobjects.go` (2.20): it asks by gRPC, with the certificate of its TriggerAuthentication,
starts from zero at once, ends at zero, and changes nothing while a scaler answers with an error.
Between them the autoscaler's algorithm holds (https://kubernetes.io/docs/tasks/run-application/
horizontal-pod-autoscale/#algorithm-details), with an average value as target. Times are shorter.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from modelserving.keda.v1 import external_scaler_service_pb2 as pb
from modelserving.keda.v1.external_scaler_service_pb2_grpc import ExternalScalerStub

from modelplane.adapters.shared.rpc.tls import TlsFiles, open_channel
from tests.emulators.kubernetes.rules import Document
from tests.emulators.kubernetes.server import NAMESPACE
from tests.emulators.kubernetes.store import Store

_ROUND_SECONDS = 0.1
_TOLERANCE = 0.1
_PAUSED = "autoscaling.keda.sh/paused-replicas"


@dataclass
class Keda:
    """KEDA in a cluster.

    Attributes:
        store: Objects of the API server.
        authentications: Files of the certificates, by TriggerAuthentication.
        errors: What was answered with an error.
        was_told: What was told by streams, by ScaledObject.
        scaled: What was set, as deployment and number.
    """

    store: Store
    authentications: dict[str, TlsFiles]
    errors: list[grpc.StatusCode] = field(default_factory=list)
    was_told: dict[str, list[bool]] = field(default_factory=dict)
    scaled: list[tuple[str, int]] = field(default_factory=list)
    _streams: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    # Asked and scaled is in one go (`scalingMutex` of pkg/scaling/scale_handler.go).
    _scaling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def work(self) -> None:
        """Scale, until cancelled."""
        try:
            while True:
                for found in self.store.list("scaledobjects"):
                    name = found["metadata"]["name"]
                    if name not in self._streams or self._streams[name].done():
                        self._streams[name] = asyncio.create_task(self._listen(found))
                    async with self._scaling:
                        await self._scale(found)
                await asyncio.sleep(_ROUND_SECONDS)
        finally:
            for stream in self._streams.values():
                stream.cancel()
            await asyncio.gather(*self._streams.values(), return_exceptions=True)

    async def _listen(self, found: Document) -> None:
        """Follow the stream of a ScaledObject until it ends."""
        name = found["metadata"]["name"]
        with suppress(grpc.aio.AioRpcError):
            async with self._asking(found) as (stub, asked):
                async for told in stub.StreamIsActive(asked):
                    self.was_told.setdefault(name, []).append(told.result)
                    async with self._scaling:
                        if told.result and self._replicas(found) == 0:
                            self._set(found, max(1, found["spec"].get("minReplicaCount", 0)))

    async def _scale(self, found: Document) -> None:
        now = self._replicas(found)
        paused = found["metadata"].get("annotations", {}).get(_PAUSED)
        if now is None or paused is not None:
            if paused is not None:
                self._set(found, int(paused))
            return
        try:
            async with self._asking(found) as (stub, asked):
                is_active = (await stub.IsActive(asked)).result
                wanted = await self._wanted(stub, asked, max(now, 1))
        except grpc.aio.AioRpcError as error:
            self.errors.append(error.code())
            return
        spec = found["spec"]
        least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
        if not is_active:
            self._set(found, least)
        elif now == 0:
            self._set(found, max(1, least))
        else:
            self._set(found, min(max(wanted, least, 1), most))

    async def _wanted(self, stub: Any, asked: pb.ScaledObjectRef, now: int) -> int:
        """Return how many pods the autoscaler wants."""
        [spec] = (await stub.GetMetricSpec(asked)).metricSpecs
        request = pb.GetMetricsRequest(scaledObjectRef=asked, metricName=spec.metricName)
        [value] = (await stub.GetMetrics(request)).metricValues
        target = spec.targetSizeFloat if spec.targetSizeFloat > 0 else spec.targetSize
        usage: float = value.metricValueFloat if value.metricValueFloat > 0 else value.metricValue
        if abs(1 - usage / (target * now)) <= _TOLERANCE:
            return now
        return math.ceil(usage / float(target))

    @asynccontextmanager
    async def _asking(self, found: Document) -> AsyncIterator[tuple[Any, pb.ScaledObjectRef]]:
        [trigger] = [one for one in found["spec"]["triggers"] if one["type"] == "external-push"]
        files = self.authentications[trigger["authenticationRef"]["name"]]
        asked = pb.ScaledObjectRef(
            name=found["metadata"]["name"],
            namespace=NAMESPACE,
            # All that the trigger says, its address included.
            scalerMetadata=trigger["metadata"],
        )
        async with open_channel(trigger["metadata"]["scalerAddress"], files, ()) as channel:
            yield ExternalScalerStub(channel), asked

    def _replicas(self, found: Document) -> int | None:
        target = self.store.find("deployments", found["spec"]["scaleTargetRef"]["name"])
        return None if target is None else int(target["spec"]["replicas"])

    def _set(self, found: Document, replicas: int) -> None:
        name = found["spec"]["scaleTargetRef"]["name"]
        if self._replicas(found) in (None, replicas):
            return

        def change(document: Document) -> None:
            document["spec"]["replicas"] = replicas

        self.scaled.append((name, replicas))
        self.store.change("deployments", name, change)
