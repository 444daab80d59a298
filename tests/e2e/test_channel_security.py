"""The port that carries credentials to workers: no certificate, no snapshot."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from modelserving.worker.v1.metrics_service_pb2 import ReportMetricsRequest
from modelserving.worker.v1.metrics_service_pb2_grpc import MetricsServiceStub
from modelserving.worker.v1.quota_service_pb2 import LeaseQuotaRequest
from modelserving.worker.v1.quota_service_pb2_grpc import QuotaServiceStub
from modelserving.worker.v1.snapshot_service_pb2 import (
    Hello,
    WatchConfigRequest,
    WatchConfigResponse,
)
from modelserving.worker.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from modelserving.worker.v1.usage_service_pb2 import RecordUsageRequest
from modelserving.worker.v1.usage_service_pb2_grpc import UsageLedgerServiceStub

from modelplane.adapters.shared.rpc.tls import TlsFiles, open_channel
from modelplane.deploy.certificates import ENVOY, WORKER, CertificateDir
from tests.adapters.shared.rpc.certificates import files, wrong_ones
from tests.adapters.shared.rpc.test_tls import OPTIONS, STRANGERS
from tests.e2e.system import System


async def watch(system: System, tls: TlsFiles | None) -> WatchConfigResponse:
    """Return the first message that the control plane sends."""
    state = json.loads((system.data_dir / "up.json").read_text())
    async with open_channel(state["control_plane"]["snapshot"], tls, OPTIONS) as channel:
        hello = WatchConfigRequest(hello=Hello(worker_id="stranger", build="x"))
        stream = SnapshotServiceStub(channel).WatchConfig(_endless(hello))
        first = await stream.read()
        assert isinstance(first, WatchConfigResponse)
        return first


async def _endless(first: WatchConfigRequest) -> AsyncIterator[WatchConfigRequest]:
    yield first
    await asyncio.Event().wait()


@pytest.fixture
def certificates(system: System) -> CertificateDir:
    return CertificateDir(system.data_dir / "tls")


async def test_a_worker_gets_the_snapshot(system: System, certificates: CertificateDir) -> None:
    first = await watch(system, files(certificates, WORKER))
    assert first.snapshot.store_id


@pytest.mark.parametrize("stranger", [*STRANGERS, "without"])
async def test_a_stranger_gets_nothing(
    system: System, certificates: CertificateDir, stranger: str, tmp_path: Path
) -> None:
    wrong = wrong_ones(certificates, tmp_path / "wrong")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watch(system, wrong.get(stranger))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_envoy_is_no_worker(system: System, certificates: CertificateDir) -> None:
    tls = files(certificates, ENVOY)
    state = json.loads((system.data_dir / "up.json").read_text())
    async with open_channel(state["control_plane"]["snapshot"], tls, OPTIONS) as channel:
        # A message that meets the refusal on its way would hide it.
        watching = SnapshotServiceStub(channel).WatchConfig()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watching.read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "not a worker's" in (caught.value.details() or "")
        for call in (
            QuotaServiceStub(channel).LeaseQuota(LeaseQuotaRequest()),
            UsageLedgerServiceStub(channel).RecordUsage(RecordUsageRequest()),
            MetricsServiceStub(channel).ReportMetrics(ReportMetricsRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
