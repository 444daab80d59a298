"""Whom KEDA asks, with its own client, and what it makes of the answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from modelserving.keda.v1 import external_scaler_service_pb2 as pb
from modelserving.keda.v1.external_scaler_service_pb2_grpc import ExternalScalerStub

from modelplane.adapters.shared.rpc.tls import TlsFiles, open_channel
from modelplane.launcher.kubernetes.external_scaler_servicer import METRIC
from modelplane.launcher.kubernetes.manifests import name_of
from modelplane.launcher.kubernetes.place import kubernetes_backend
from modelplane.launcher.kubernetes.scaled_objects import GROUP_KEY
from tests.deploy.chart.schemas import keda_problems
from tests.emulators.kubernetes.keda import Keda
from tests.emulators.kubernetes.server import NAMESPACE
from tests.launcher.groups import group
from tests.launcher.kubernetes.world import Cluster, cluster
from tests.ports import free_port

# KEDA's own proto (pkg/scalers/externalscaler/externalscaler.proto, 2.20.2): number, type and label
# of each field, since names have no part in the wire form.
_STRING, _BOOL, _INT64 = FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BOOL, 3
_DOUBLE, _MESSAGE = FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_MESSAGE
WIRE = {
    "ScaledObjectRef": {(1, _STRING, False), (2, _STRING, False), (3, _MESSAGE, True)},
    "IsActiveResponse": {(1, _BOOL, False)},
    "GetMetricSpecResponse": {(1, _MESSAGE, True)},
    "MetricSpec": {(1, _STRING, False), (2, _INT64, False), (3, _DOUBLE, False)},
    "GetMetricsRequest": {(1, _MESSAGE, False), (2, _STRING, False)},
    "GetMetricsResponse": {(1, _MESSAGE, True)},
    "MetricValue": {(1, _STRING, False), (2, _INT64, False), (3, _DOUBLE, False)},
}
CALLS = {
    "IsActive": ("ScaledObjectRef", "IsActiveResponse", False),
    "StreamIsActive": ("ScaledObjectRef", "IsActiveResponse", True),
    "GetMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", False),
    "GetMetrics": ("GetMetricsRequest", "GetMetricsResponse", False),
}


def test_it_is_what_kedas_client_calls() -> None:
    file = pb.DESCRIPTOR
    assert file.package == "externalscaler"
    found = {
        name: {(field.number, field.type, field.is_repeated) for field in message.fields}
        for name, message in file.message_types_by_name.items()
    }
    assert found == WIRE
    [service] = file.services_by_name.values()
    assert service.full_name == "externalscaler.ExternalScaler"
    assert {
        method.name: (method.input_type.name, method.output_type.name, method.server_streaming)
        for method in service.methods
    } == CALLS


@asynccontextmanager
async def with_keda(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Keda]]:
    """Run a cluster with KEDA, which scales."""
    address = f"127.0.0.1:{free_port()}"
    options = {
        "MODELPLANE_KUBERNETES_SCALING": "keda",
        "MODELPLANE_KEDA_LISTEN": address,
        "MODELPLANE_KEDA_ADDRESS": address,
        "MODELPLANE_KEDA_AUTHENTICATION": "serving-keda",
    }
    async with cluster(tmp_path, **options) as here:
        keda = Keda(here.server.store, {"serving-keda": certificate(here, "keda")})
        working = asyncio.create_task(keda.work())
        try:
            yield here, keda
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


def certificate(here: Cluster, name: str) -> TlsFiles:
    folder = here.folder / "certificates"
    return TlsFiles(folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key")


@asynccontextmanager
async def asking(here: Cluster, name: str = "keda") -> AsyncIterator[Any]:
    files = certificate(here, name)
    async with open_channel(here.settings.keda_address, files, ()) as channel:
        yield ExternalScalerStub(channel)


def asked(group_id: str, namespace: str = NAMESPACE) -> pb.ScaledObjectRef:
    metadata = {GROUP_KEY: group_id} if group_id else {}
    return pb.ScaledObjectRef(name="any", namespace=namespace, scalerMetadata=metadata)


async def test_keda_scales_from_zero_to_three_and_back_and_nobody_else_does(
    tmp_path: Path,
) -> None:
    async with with_keda(tmp_path) as (here, keda):
        model = here.models.add("iris")
        counts = (1, 3, 1, 0)
        for generation, count in enumerate(counts, 1):
            here.run(spec := group(model, replicas=count, generation=generation))
            await here.until_ready(spec)
        name = name_of(spec.id)
        await here.until(lambda: keda.was_told[name][-1:] == [False])
        # From zero it is told at once.
        here.run(spec := group(model, replicas=1, generation=5))
        await here.until_ready(spec)
        assert [count for _, count in keda.scaled] == [3, 1, 0, 1]
        assert keda.was_told[name] == [True, False, True]
        assert not [path for _, path in here.server.requests if path.endswith("/scale")]

        [found] = here.server.store.list("scaledobjects")
        assert not keda_problems({key: found[key] for key in found.keys() - {"status"}})
        here.run()
        await here.until_gone(spec)
        assert not here.server.store.list("scaledobjects")


async def test_what_others_say_in_kedas_object_stays(tmp_path: Path) -> None:
    async with with_keda(tmp_path) as (here, _):
        here.run(spec := group(here.models.add("iris"), replicas=1))
        await here.until_ready(spec)
        name = name_of(spec.id)
        store = here.server.store

        def pause(document: dict[str, Any]) -> None:
            document["metadata"]["annotations"]["autoscaling.keda.sh/paused-replicas"] = "2"
            document["metadata"]["finalizers"] = ["finalizer.keda.sh"]

        store.change("scaledobjects", name, pause)
        await here.until(lambda: len(here.ready(spec)) == 2)
        before = store.read("scaledobjects", name)
        await here.end_launcher()
        # One that others ask under another address, as after an upgrade.
        changed = here.with_settings(keda_address="localhost:1")
        async with kubernetes_backend(changed) as second:
            watching = asyncio.create_task(second.watch())
            second.apply([spec])
            await here.until(lambda: store.read("scaledobjects", name)["spec"] != before["spec"])
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        after = store.read("scaledobjects", name)
        assert after["spec"]["triggers"][0]["metadata"]["scalerAddress"] == "localhost:1"
        assert after["metadata"]["finalizers"] == ["finalizer.keda.sh"]
        kept = "autoscaling.keda.sh/paused-replicas"
        assert after["metadata"]["annotations"][kept] == "2"
        assert len(here.deployments()) == 1


async def test_what_keda_is_told(tmp_path: Path) -> None:
    async with with_keda(tmp_path) as (here, keda):
        here.run(spec := group(here.models.add("iris"), replicas=2))
        async with asking(here) as stub:
            assert (await stub.IsActive(asked(spec.id))).result
            [told] = (await stub.GetMetricSpec(asked(spec.id))).metricSpecs
            assert (told.metricName, told.targetSize, told.targetSizeFloat) == (METRIC, 1, 1.0)
            question = pb.GetMetricsRequest(scaledObjectRef=asked(spec.id), metricName=METRIC)
            [value] = (await stub.GetMetrics(question)).metricValues
            assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC, 2, 2.0)

            stream = stub.StreamIsActive(asked(spec.id))
            assert (await stream.read()).result
            here.run(group(here.models.add("iris"), replicas=0, generation=2))
            assert not (await stream.read()).result
            assert not (await stub.IsActive(asked(spec.id))).result

            # Another launcher is the active one: KEDA, told nothing, changes nothing.
            def counts() -> list[int]:
                return [one["spec"]["replicas"] for one in here.deployments()]

            here.run(group(here.models.add("iris"), replicas=2, generation=3))
            assert (await stream.read()).result
            await here.until(lambda: counts() == [2])
            here.launcher.stand_by()
            assert await stream.read() is grpc.aio.EOF
            assert await stream.code() == grpc.StatusCode.OK
            await here.until(lambda: grpc.StatusCode.UNAVAILABLE in keda.errors)
            assert counts() == [2]


async def test_what_it_refuses(tmp_path: Path) -> None:
    async with with_keda(tmp_path) as (here, _):
        here.run(spec := group(here.models.add("iris"), replicas=0))
        cases = [
            (asked(""), METRIC, grpc.StatusCode.INVALID_ARGUMENT),
            (asked("f" * 32), METRIC, grpc.StatusCode.NOT_FOUND),
            (asked(spec.id, "elsewhere"), METRIC, grpc.StatusCode.NOT_FOUND),
            (asked(spec.id), "requests", grpc.StatusCode.INVALID_ARGUMENT),
        ]
        async with asking(here) as stub:
            for reference, metric, code in cases:
                question = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=metric)
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await stub.GetMetrics(question)
                assert raised.value.code() == code


async def test_who_is_not_keda_is_told_nothing(tmp_path: Path) -> None:
    async with with_keda(tmp_path) as (here, _):
        here.run(spec := group(here.models.add("iris"), replicas=0))
        async with asking(here, "worker") as stub:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.IsActive(asked(spec.id))
        assert raised.value.code() == grpc.StatusCode.PERMISSION_DENIED
        # And without a certificate nobody gets so far.
        ca = (here.folder / "certificates" / "ca.crt").read_bytes()
        credentials = grpc.ssl_channel_credentials(ca)
        async with grpc.aio.secure_channel(here.settings.keda_address, credentials) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await ExternalScalerStub(channel).IsActive(asked(spec.id))
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_cluster_without_keda_is_told(tmp_path: Path) -> None:
    async with with_keda(tmp_path) as (here, _):
        here.server.has_keda = False
        here.run(spec := group(here.models.add("iris"), replicas=1))
        await here.until(lambda: "install KEDA" in here.group(spec).message)
        here.server.has_keda = True
        await here.until(lambda: here.server.store.list("scaledobjects"))
        await here.until(lambda: not here.group(spec).message)
